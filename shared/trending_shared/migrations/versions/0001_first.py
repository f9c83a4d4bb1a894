"""The catalog as it was when its migrations began, and whatever an older one lacks of that.

Catalogs of before have tables, perhaps not all of them or with fewer columns, and no revision.
Nothing in them is touched: every column that was ever added may be empty.
"""

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None

MOMENT = sa.DateTime(timezone=True)
NAMED = sa.text("title_id IS NOT NULL")
tables = sa.MetaData()

sa.Table(
    "approvals",
    tables,
    sa.Column("experiment", sa.String(64), primary_key=True),
    sa.Column("model", sa.String(64), nullable=False),
    sa.Column("version", sa.String(64), nullable=False),
    sa.Column("reasons", sa.JSON, nullable=False),
    sa.Column("event_id", sa.String(36), nullable=False),
    sa.Column("correlation_id", sa.String(36), nullable=False),
    sa.Column("approved_at", MOMENT, nullable=False),
    sa.Column("became", sa.String(16)),
)
sa.Table(
    "corrections",
    tables,
    sa.Column("feedback_id", sa.String(36), primary_key=True),
    sa.Column("title_id", sa.String(32), index=True),
    sa.Column("prediction_id", sa.String(36), index=True),
    sa.Column("text", sa.Text, nullable=False),
    sa.Column("text_hash", sa.String(16), nullable=False),
    sa.Column("genres", sa.JSON, nullable=False),
    sa.Column("model", sa.String(64)),
    sa.Column("model_version", sa.String(64)),
    sa.Column("said_by", sa.String(96), nullable=False),
    sa.Column("corrected_at", MOMENT, nullable=False),
)
sa.Table(
    "drafts",
    tables,
    sa.Column("insight_key", sa.String(64), primary_key=True),
    sa.Column("draft", sa.JSON, nullable=False),
    sa.Column("asked_at", MOMENT, nullable=False, index=True),
)
sa.Table(
    "external_ids",
    tables,
    sa.Column("owner_id", sa.String(32), primary_key=True),
    sa.Column("scheme", sa.String(16), primary_key=True),
    sa.Column("external_id", sa.String(300), nullable=False, index=True),
    sa.Column("fetched_at", MOMENT, nullable=False),
)
sa.Table(
    "identities",
    tables,
    sa.Column("title_id", sa.String(32), primary_key=True),
    sa.Column("merged_id", sa.String(32), nullable=False, index=True),
    sa.Column("resolution", sa.BigInteger, nullable=False),
)
sa.Table(
    "identity_ids",
    tables,
    sa.Column("merged_id", sa.String(32), primary_key=True),
    sa.Column("external_id", sa.String(300), primary_key=True, index=True),
)
sa.Table(
    "insights",
    tables,
    sa.Column("insight_id", sa.String(36), primary_key=True),
    sa.Column("outcome", sa.String(16), nullable=False),
    sa.Column("reason", sa.String(64)),
    sa.Column("prompt_version", sa.String(64), nullable=False),
    sa.Column("llm", sa.String(128)),
    sa.Column("attempts", sa.Integer, nullable=False),
    sa.Column("cached", sa.Boolean, nullable=False),
    sa.Column("prompt_tokens", sa.Integer, nullable=False),
    sa.Column("completion_tokens", sa.Integer, nullable=False),
    sa.Column("cost_usd", sa.Float, nullable=False),
    sa.Column("sentences", sa.Integer, nullable=False),
    sa.Column("withheld", sa.Integer, nullable=False),
    sa.Column("claims", sa.Integer, nullable=False),
    sa.Column("dropped", sa.JSON, nullable=False),
    sa.Column("score", sa.Float),
    sa.Column("served_at", MOMENT, nullable=False, index=True),
)
sa.Table(
    "predictions",
    tables,
    sa.Column("prediction_id", sa.String(36), primary_key=True),
    sa.Column("request_id", sa.String(128), nullable=False),
    sa.Column("correlation_id", sa.String(36), nullable=False),
    sa.Column("model", sa.String(64), nullable=False),
    sa.Column("model_version", sa.String(64), nullable=False),
    sa.Column("alias", sa.String(32), nullable=False),
    sa.Column("title_id", sa.String(32)),
    sa.Column("text", sa.Text, nullable=False),
    sa.Column("text_hash", sa.String(16), nullable=False),
    sa.Column("probabilities", sa.JSON, nullable=False),
    sa.Column("genres", sa.JSON, nullable=False),
    sa.Column("served_at", MOMENT, nullable=False),
    sa.Column("duration_ms", sa.Float, nullable=False),
    sa.Column("window_id", sa.String(36)),
    sa.Column("experiment", sa.String(64)),
    sa.Column("arm", sa.String(64)),
    sa.Column("unit", sa.String(32)),
    sa.Column("fallback", sa.Boolean),
    sa.Column("shadow_of", sa.String(36), index=True),
    sa.Index("predictions_by_experiment", "experiment", "served_at"),
    sa.Index("predictions_by_time", "served_at"),
    sa.Index("predictions_of_titles", "title_id", sqlite_where=NAMED, postgresql_where=NAMED),
    sa.Index("predictions_to_measure", "model_version", "window_id", "shadow_of"),
)
sa.Table(
    "retrainings",
    tables,
    sa.Column("number", sa.Integer, primary_key=True, autoincrement=False),
    sa.Column("decision_id", sa.String(36), nullable=False, unique=True),
    sa.Column("correlation_id", sa.String(36), nullable=False),
    sa.Column("trigger", sa.String(16), nullable=False),
    sa.Column("retrain", sa.Boolean, nullable=False),
    sa.Column("decided_at", MOMENT, nullable=False),
    sa.Column("decision", sa.JSON, nullable=False),
    sa.Column("request_id", sa.String(36), index=True),
    sa.Column("training_id", sa.String(36), index=True),
    sa.Column("dataset_id", sa.String(64)),
    sa.Column("outcome", sa.String(16)),
    sa.Column("ended_at", MOMENT),
)
sa.Table(
    "reviews",
    tables,
    sa.Column("review_id", sa.String(32), primary_key=True),
    sa.Column("title_id", sa.String(32), nullable=False, index=True),
    sa.Column("day", sa.Date),
    sa.Column("rating", sa.Float),
    sa.Column("text", sa.Text, nullable=False),
    sa.Column("author_hash", sa.String(64), index=True),
    sa.Column("page_hash", sa.String(64), nullable=False),
    sa.Column("fetched_at", MOMENT, nullable=False),
)
sa.Table(
    "signals",
    tables,
    sa.Column("subject_id", sa.String(32), primary_key=True),
    sa.Column("metric", sa.String(32), primary_key=True),
    sa.Column("day", sa.Date, primary_key=True),
    sa.Column("count", sa.BigInteger, nullable=False),
    sa.Column("fetched_at", MOMENT, nullable=False),
    sa.Index("signals_by_day", "day"),
)
sa.Table(
    "spending",
    tables,
    sa.Column("day", sa.Date, primary_key=True),
    sa.Column("caller", sa.String(64), primary_key=True),
    sa.Column("micro_usd", sa.BigInteger, nullable=False),
    sa.Column("calls", sa.Integer, nullable=False),
)
sa.Table(
    "tides",
    tables,
    sa.Column("channel", sa.String(128), primary_key=True),
    sa.Column("day", sa.Date, primary_key=True),
    sa.Column("factor", sa.Float, nullable=False),
)
sa.Table(
    "title_predictions",
    tables,
    sa.Column("title_id", sa.String(32), primary_key=True),
    sa.Column("model_version", sa.String(64), primary_key=True),
    sa.Column("text_hash", sa.String(16), nullable=False),
    sa.Column("prediction_id", sa.String(36), nullable=False),
    sa.Column("probabilities", sa.JSON, nullable=False),
    sa.Column("genres", sa.JSON, nullable=False),
    sa.Column("served_at", MOMENT, nullable=False, index=True),
)
sa.Table(
    "titles",
    tables,
    sa.Column("title_id", sa.String(32), primary_key=True),
    sa.Column("source", sa.String(64), nullable=False),
    sa.Column("source_id", sa.String(256), nullable=False),
    sa.Column("name", sa.Text, nullable=False),
    sa.Column("kind", sa.String(8), nullable=False),
    sa.Column("year", sa.Integer),
    sa.Column("genres", sa.JSON, nullable=False),
    sa.Column("plot", sa.Text, nullable=False),
    sa.Column("countries", sa.JSON, nullable=False),
    sa.Column("language", sa.String(32)),
    sa.Column("runtime_minutes", sa.Integer),
    sa.Column("rating", sa.Float),
    sa.Column("rating_count", sa.Integer),
    sa.Column("license", sa.String(64), nullable=False),
    sa.Column("url", sa.Text, nullable=False),
    sa.Column("page_hash", sa.String(64), nullable=False),
    sa.Column("page_key", sa.Text, nullable=False),
    sa.Column("fetched_at", MOMENT, nullable=False),
    sa.Column("content_hash", sa.String(16), nullable=False),
    sa.Column("text_hash", sa.String(16), nullable=False, index=True),
    sa.Column("popularity", sa.JSON, nullable=False),
    sa.Column("released", sa.Date),
)
sa.Table(
    "trend_lacks",
    tables,
    sa.Column("title_id", sa.String(32), primary_key=True),
    sa.Column("day", sa.Date, nullable=False),
    sa.Column("lack", sa.String(32), nullable=False),
)
sa.Table(
    "trends",
    tables,
    sa.Column("title_id", sa.String(32), primary_key=True),
    sa.Column("day", sa.Date, primary_key=True),
    sa.Column("score", sa.Float, nullable=False),
    sa.Column("recent", sa.Float, nullable=False),
    sa.Column("expected", sa.Float, nullable=False),
    sa.Column("signals", sa.Integer, nullable=False),
    sa.Column("low", sa.Float),
    sa.Column("high", sa.Float),
    sa.Column("chance", sa.Float),
    sa.Column("verdict", sa.String(16)),
    sa.Column("standing", sa.String(16)),
    sa.Column("parts", sa.JSON),
    sa.Column("cause", sa.JSON),
    sa.Index("trends_by_chance", "day", "chance"),
    sa.Index("trends_by_day", "day", "score"),
)
sa.Table(
    "trial_answers",
    tables,
    sa.Column("answer_id", sa.String(36), primary_key=True),
    sa.Column("experiment", sa.String(160), nullable=False),
    sa.Column("arm", sa.String(64), nullable=False),
    sa.Column("unit", sa.String(32), nullable=False),
    sa.Column("fallback", sa.Boolean, nullable=False),
    sa.Column("shadow_of", sa.String(36), index=True),
    sa.Column("text_hash", sa.String(64), nullable=False),
    sa.Column("title_id", sa.String(32)),
    sa.Column("genres", sa.JSON),
    sa.Column("score", sa.Float),
    sa.Column("duration_ms", sa.Float),
    sa.Column("served_at", MOMENT, nullable=False),
    sa.Column("recorded_at", MOMENT, nullable=False),
    sa.Index("trial_answers_by_experiment", "experiment", "recorded_at", "answer_id"),
)
sa.Table(
    "trial_outcomes",
    tables,
    sa.Column("experiment", sa.String(160), primary_key=True),
    sa.Column("phase", sa.String(16), primary_key=True),
    sa.Column("of", sa.String(64), primary_key=True),
    sa.Column("arm", sa.String(64)),
    sa.Column("value", sa.Float, nullable=False),
    sa.Column("slices", sa.JSON, nullable=False),
    sa.Column("answer_id", sa.String(36), nullable=False),
    sa.Column("label", sa.String(96), nullable=False),
    sa.Column("known_at", MOMENT, nullable=False),
    sa.Column("position", sa.Integer, nullable=False),
    sa.Index("trial_outcomes_in_order", "experiment", "known_at", "position"),
)
sa.Table(
    "windows",
    tables,
    sa.Column("window_id", sa.String(36), primary_key=True),
    sa.Column("model", sa.String(64), nullable=False),
    sa.Column("model_version", sa.String(64), nullable=False),
    sa.Column("predictions", sa.Integer, nullable=False),
    sa.Column("first_at", MOMENT, nullable=False),
    sa.Column("last_at", MOMENT, nullable=False),
    sa.Column("scores", sa.JSON, nullable=False),
    sa.Column("drifted", sa.JSON, nullable=False),
    sa.Column("thresholds", sa.JSON),
    sa.Column("quality", sa.JSON),
    sa.Column("checks", sa.JSON),
    sa.Index("windows_by_version", "model_version", "last_at"),
)


def upgrade() -> None:
    connection = op.get_bind()
    before = sa.inspect(connection)
    known = {name: _names(before, name) for name in before.get_table_names()}
    tables.create_all(connection)
    for table in tables.sorted_tables:
        if table.name in known:
            columns, indexes = known[table.name]
            for column in table.columns:
                if column.name not in columns:
                    op.add_column(table.name, sa.Column(column.name, column.type))
            for index in table.indexes:
                if index.name not in indexes:
                    index.create(connection)


def _names(found: sa.Inspector, table: str) -> tuple[set[str], set[str | None]]:
    columns = {column["name"] for column in found.get_columns(table)}
    return columns, {index["name"] for index in found.get_indexes(table)}
