"""The catalog: what point lookups need, in SQLite or PostgreSQL.

The featurizer writes titles, reviews, signals and trends, the monitor writes predictions,
corrections, windows, insights and retraining decisions, the gateway what models say of listed
titles and what it asked a language model; the gateway and the command line read.
Everything in it can be rebuilt from topics and tables, or asked for again.
"""

import inspect
import re
import unicodedata
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import sqlalchemy as sa
import stamina
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.exc import DBAPIError, SQLAlchemyError
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine, create_async_engine
from sqlalchemy.ext.compiler import compiles

from trending_shared import migrations
from trending_shared.errors import RowUnfit, SettingInvalid, StoreUnavailable, TrendingError

metadata = sa.MetaData()


class UtcTime(sa.TypeDecorator[datetime]):
    """An instant; SQLite forgets time zones, so every value goes in and comes out in UTC."""

    impl = sa.DateTime(timezone=True)
    cache_ok = True

    def process_bind_param(self, value: datetime | None, dialect: sa.Dialect) -> datetime | None:
        return value.astimezone(UTC) if value else None

    def process_result_value(self, value: datetime | None, dialect: sa.Dialect) -> datetime | None:
        if value is None:
            return None
        return value.astimezone(UTC) if value.tzinfo else value.replace(tzinfo=UTC)


# SQLite's integers have room for 64 bits whatever they are called.
LargeNumber = sa.BigInteger().with_variant(sa.Integer, "sqlite")

_MARKS = re.compile("[\u0300-\u036f]")


def fold(text: str) -> str:
    """A name as it is searched for: without case and without accents."""
    return _MARKS.sub("", unicodedata.normalize("NFKD", text).lower())


class Folded(sa.sql.functions.FunctionElement[str]):
    """`fold` of a column, in SQL."""

    name = "folded"
    type = sa.Text()
    inherit_cache = True


@compiles(Folded, "sqlite")
def _folded_in_sqlite(element: Folded, compiler: Any, **options: Any) -> str:
    return f"folded({compiler.process(element.clauses, **options)})"  # see `_configure_sqlite`


@compiles(Folded, "postgresql")
def _folded_in_postgresql(element: Folded, compiler: Any, **options: Any) -> str:
    text = f"lower(normalize({compiler.process(element.clauses, **options)}, NFKD))"
    return f"regexp_replace({text}, '[\u0300-\u036f]', '', 'g')"


titles = sa.Table(
    "titles",
    metadata,
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
    sa.Column("rating_count", LargeNumber),
    sa.Column("license", sa.String(64), nullable=False),
    sa.Column("url", sa.Text, nullable=False),
    sa.Column("page_hash", sa.String(64), nullable=False),
    sa.Column("page_key", sa.Text, nullable=False),
    sa.Column("fetched_at", UtcTime, nullable=False),
    sa.Column("content_hash", sa.String(16), nullable=False),
    sa.Column("text_hash", sa.String(16), nullable=False, index=True),
    sa.Column("popularity", sa.JSON, nullable=False),
    sa.Column("released", sa.Date),
)

reviews = sa.Table(
    "reviews",
    metadata,
    sa.Column("review_id", sa.String(32), primary_key=True),
    sa.Column("title_id", sa.String(32), nullable=False, index=True),
    sa.Column("day", sa.Date),
    sa.Column("rating", sa.Float),
    sa.Column("text", sa.Text, nullable=False),
    sa.Column("author_hash", sa.String(64), index=True),
    sa.Column("page_hash", sa.String(64), nullable=False),
    sa.Column("fetched_at", UtcTime, nullable=False),
)

signals = sa.Table(
    "signals",
    metadata,
    sa.Column("subject_id", sa.String(32), primary_key=True),
    sa.Column("metric", sa.String(32), primary_key=True),
    sa.Column("day", sa.Date, primary_key=True),
    sa.Column("count", sa.BigInteger, nullable=False),
    sa.Column("fetched_at", UtcTime, nullable=False),
    sa.Index("signals_by_day", "day"),
)

# Which title each title was last said to be, and what that is called elsewhere.
identities = sa.Table(
    "identities",
    metadata,
    sa.Column("title_id", sa.String(32), primary_key=True),
    sa.Column("merged_id", sa.String(32), nullable=False, index=True),
    sa.Column("resolution", sa.BigInteger, nullable=False),
)
identity_ids = sa.Table(
    "identity_ids",
    metadata,
    sa.Column("merged_id", sa.String(32), primary_key=True),
    sa.Column("external_id", sa.String(300), primary_key=True, index=True),
)

# What a title, or the subject of a signal, is called elsewhere by its own source.
external_ids = sa.Table(
    "external_ids",
    metadata,
    sa.Column("owner_id", sa.String(32), primary_key=True),
    sa.Column("scheme", sa.String(16), primary_key=True),
    sa.Column("external_id", sa.String(300), nullable=False, index=True),
    sa.Column("fetched_at", UtcTime, nullable=False),
)

trends = sa.Table(
    "trends",
    metadata,
    sa.Column("title_id", sa.String(32), primary_key=True),
    sa.Column("day", sa.Date, primary_key=True),
    sa.Column("score", sa.Float, nullable=False),
    sa.Column("recent", sa.Float, nullable=False),
    sa.Column("expected", sa.Float, nullable=False),
    sa.Column("signals", sa.Integer, nullable=False),
    # None in trends of before there were intervals.
    sa.Column("low", sa.Float),
    sa.Column("high", sa.Float),
    sa.Column("chance", sa.Float),
    sa.Column("verdict", sa.String(16)),
    sa.Column("standing", sa.String(16)),
    sa.Column("parts", sa.JSON(none_as_null=True)),
    sa.Column("cause", sa.JSON(none_as_null=True)),
    sa.Index("trends_by_day", "day", "score"),
    sa.Index("trends_by_chance", "day", "chance"),  # what stands out is found in it alone
)

# What titles lack that have no trend, on the day that they were last measured for.
trend_lacks = sa.Table(
    "trend_lacks",
    metadata,
    sa.Column("title_id", sa.String(32), primary_key=True),
    sa.Column("day", sa.Date, nullable=False),
    sa.Column("lack", sa.String(32), nullable=False),
)

# By how much all that is counted in a channel rose on a day; see `trends.measure_tides`.
tides = sa.Table(
    "tides",
    metadata,
    sa.Column("channel", sa.String(128), primary_key=True),
    sa.Column("day", sa.Date, primary_key=True),
    sa.Column("factor", sa.Float, nullable=False),
)

predictions = sa.Table(
    "predictions",
    metadata,
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
    sa.Column("served_at", UtcTime, nullable=False),
    sa.Column("duration_ms", sa.Float, nullable=False),
    sa.Column("window_id", sa.String(36)),
    # What an experiment had to do with it; with a `shadow_of` it was told to nobody.
    sa.Column("experiment", sa.String(64)),
    sa.Column("arm", sa.String(64)),
    sa.Column("unit", sa.String(32)),
    sa.Column("fallback", sa.Boolean),
    sa.Column("shadow_of", sa.String(36), index=True),
    sa.Index(
        "predictions_of_titles",
        "title_id",
        sqlite_where=sa.text("title_id IS NOT NULL"),
        postgresql_where=sa.text("title_id IS NOT NULL"),
    ),
    sa.Index("predictions_to_measure", "model_version", "window_id", "shadow_of"),
    # Not behind the version: SQLite would look for what lies in no window yet by going through all
    # that does, in the order of time.
    sa.Index("predictions_by_time", "served_at"),
    sa.Index("predictions_by_experiment", "experiment", "served_at"),
)

# What a model says of a title's present text, for lists; each is one of the predictions above.
title_predictions = sa.Table(
    "title_predictions",
    metadata,
    sa.Column("title_id", sa.String(32), primary_key=True),
    sa.Column("model_version", sa.String(64), primary_key=True),
    sa.Column("text_hash", sa.String(16), nullable=False),  # as in `titles`
    sa.Column("prediction_id", sa.String(36), nullable=False),
    sa.Column("probabilities", sa.JSON, nullable=False),
    sa.Column("genres", sa.JSON, nullable=False),
    sa.Column("served_at", UtcTime, nullable=False, index=True),
)

# What people said instead, each once.
corrections = sa.Table(
    "corrections",
    metadata,
    sa.Column("feedback_id", sa.String(36), primary_key=True),
    sa.Column("title_id", sa.String(32), index=True),
    sa.Column("prediction_id", sa.String(36), index=True),
    sa.Column("text", sa.Text, nullable=False),
    sa.Column("text_hash", sa.String(16), nullable=False),
    sa.Column("genres", sa.JSON, nullable=False),
    sa.Column("model", sa.String(64)),
    sa.Column("model_version", sa.String(64)),
    sa.Column("said_by", sa.String(96), nullable=False),
    sa.Column("corrected_at", UtcTime, nullable=False),
)

windows = sa.Table(
    "windows",
    metadata,
    sa.Column("window_id", sa.String(36), primary_key=True),
    sa.Column("model", sa.String(64), nullable=False),
    sa.Column("model_version", sa.String(64), nullable=False),
    sa.Column("predictions", sa.Integer, nullable=False),
    sa.Column("first_at", UtcTime, nullable=False),
    sa.Column("last_at", UtcTime, nullable=False),
    sa.Column("scores", sa.JSON, nullable=False),
    sa.Column("drifted", sa.JSON, nullable=False),
    sa.Column("thresholds", sa.JSON),  # none in windows of before each feature had its own
    # How good its answers are: as the model's own confidence says, if that can be told, and as
    # labels say that came later, by where these come from.
    sa.Column("quality", sa.JSON),
    sa.Column("checks", sa.JSON),
    sa.Index("windows_by_version", "model_version", "last_at"),
)

# Whether a model is to be trained anew, numbered without gaps: whoever creates the next number has
# decided on what all before it say. Then what came of a yes.
retrainings = sa.Table(
    "retrainings",
    metadata,
    sa.Column("number", sa.Integer, primary_key=True, autoincrement=False),
    sa.Column("decision_id", sa.String(36), nullable=False, unique=True),
    sa.Column("correlation_id", sa.String(36), nullable=False),
    sa.Column("trigger", sa.String(16), nullable=False),
    sa.Column("retrain", sa.Boolean, nullable=False),
    sa.Column("decided_at", UtcTime, nullable=False),
    sa.Column("decision", sa.JSON, nullable=False),
    sa.Column("request_id", sa.String(36), index=True),  # of a dataset, if a fresh one is wanted
    sa.Column("training_id", sa.String(36), index=True),
    sa.Column("dataset_id", sa.String(64)),
    sa.Column("outcome", sa.String(16)),
    sa.Column("ended_at", UtcTime),
)

# What was told of titles with a language model's help, or without: all but words.
insights = sa.Table(
    "insights",
    metadata,
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
    sa.Column("served_at", UtcTime, nullable=False, index=True),
)

# Answers that an experiment had to do with, of models and prompts alike.
trial_answers = sa.Table(
    "trial_answers",
    metadata,
    sa.Column("answer_id", sa.String(36), primary_key=True),
    sa.Column("experiment", sa.String(160), nullable=False),  # `models/genres/autumn`
    sa.Column("arm", sa.String(64), nullable=False),
    sa.Column("unit", sa.String(32), nullable=False),
    sa.Column("fallback", sa.Boolean, nullable=False),
    sa.Column("shadow_of", sa.String(36), index=True),
    sa.Column("text_hash", sa.String(64), nullable=False),  # of what was asked about
    sa.Column("title_id", sa.String(32)),
    sa.Column("genres", sa.JSON),  # none of prompts: they are judged by `score`
    sa.Column("score", sa.Float),  # of what is judged without a label
    sa.Column("duration_ms", sa.Float),
    sa.Column("served_at", UtcTime, nullable=False),
    sa.Column("recorded_at", UtcTime, nullable=False),
    sa.Index("trial_answers_by_experiment", "experiment", "recorded_at", "answer_id"),
)

# What is known of how good they were, in the order in which it became known; never changed.
trial_outcomes = sa.Table(
    "trial_outcomes",
    metadata,
    sa.Column("experiment", sa.String(160), primary_key=True),
    sa.Column("phase", sa.String(16), primary_key=True),
    sa.Column("of", sa.String(64), primary_key=True),  # a text in shadow, then a unit
    sa.Column("arm", sa.String(64)),  # none in shadow, where `value` is a difference
    sa.Column("value", sa.Float, nullable=False),
    sa.Column("slices", sa.JSON, nullable=False),
    sa.Column("answer_id", sa.String(36), nullable=False),
    sa.Column("label", sa.String(96), nullable=False),  # who says what is true
    sa.Column("known_at", UtcTime, nullable=False),
    sa.Column("position", sa.Integer, nullable=False),  # among those of the same moment
    sa.Index("trial_outcomes_in_order", "experiment", "known_at", "position"),
)

# Models that may be tried; what became of each.
approvals = sa.Table(
    "approvals",
    metadata,
    sa.Column("experiment", sa.String(64), primary_key=True),
    sa.Column("model", sa.String(64), nullable=False),
    sa.Column("version", sa.String(64), nullable=False),
    sa.Column("reasons", sa.JSON, nullable=False),
    sa.Column("event_id", sa.String(36), nullable=False),
    sa.Column("correlation_id", sa.String(36), nullable=False),
    sa.Column("approved_at", UtcTime, nullable=False),
    sa.Column("became", sa.String(16)),  # `tried` or `superseded`; none while it waits
)

# What a language model answered to a question, by the question's hash; see the gateway's insights.
drafts = sa.Table(
    "drafts",
    metadata,
    sa.Column("insight_key", sa.String(64), primary_key=True),
    sa.Column("draft", sa.JSON, nullable=False),
    sa.Column("asked_at", UtcTime, nullable=False, index=True),
)

# What language models cost by day (UTC) and caller; the caller `""` is the sum of all.
spending = sa.Table(
    "spending",
    metadata,
    sa.Column("day", sa.Date, primary_key=True),
    sa.Column("caller", sa.String(64), primary_key=True),
    sa.Column("micro_usd", sa.BigInteger, nullable=False),
    sa.Column("calls", sa.Integer, nullable=False),
)


_FAILURES = (DBAPIError, sa.exc.TimeoutError, OverflowError, UnicodeError, OSError)
_REFUSED = ("28", "3D", "42501")  # SQLSTATEs of a wrong user, no such database, no such right


class Catalog:
    """One engine, and the few statements that two dialects spell differently."""

    def __init__(self, url: str) -> None:
        """Prepare the engine; nothing is connected yet.

        Raises:
            SettingInvalid: `CATALOG_URL` isn't one of the two kinds.
        """
        if not url.startswith(("sqlite+aiosqlite://", "postgresql+asyncpg://")):
            raise SettingInvalid(
                "CATALOG_URL: must start with sqlite+aiosqlite:// or postgresql+asyncpg://"
            )
        try:
            self.engine: AsyncEngine = create_async_engine(
                url,
                pool_pre_ping=True,
                # Each process of ours has one engine; a small PostgreSQL has room for 80 or so.
                pool_size=5,
                max_overflow=5,
                hide_parameters=True,  # an error that is logged would repeat what was searched for
            )
        except (sa.exc.ArgumentError, ValueError) as error:
            raise SettingInvalid("CATALOG_URL: isn't an address of a database") from error
        if url.startswith("sqlite"):
            Path(url.split("///", 1)[1]).parent.mkdir(parents=True, exist_ok=True)
            sa.event.listen(self.engine.sync_engine, "connect", _configure_sqlite)
        else:
            _check_options(self.engine.url)
        engine = self.engine.sync_engine
        sa.event.listen(engine, "before_cursor_execute", _without_nul, retval=True)

    async def create(self, *, patience: float = 60) -> None:
        """Bring the tables to what this code needs, from nothing or from those of a former release.

        Several services may do so at once.

        Args:
            patience: seconds to wait for a database that doesn't answer yet.

        Raises:
            StoreUnavailable: the database didn't answer.
            SettingInvalid: it doesn't let us in.
        """
        async for attempt in stamina.retry_context(
            on=StoreUnavailable, attempts=None, timeout=patience, wait_initial=0.2, wait_max=3
        ):
            with attempt:
                try:
                    async with self.transaction() as connection:
                        await connection.run_sync(migrations.migrate)
                except StoreUnavailable as error:
                    if _state(error.__cause__).startswith(_REFUSED):
                        raise SettingInvalid(f"CATALOG_URL: {error}") from error
                    raise

    async def revision(self) -> str | None:
        """The revision of its tables, of `migrations`; none if there aren't any yet."""
        async with self.reading() as connection:
            return await connection.run_sync(migrations.revision)

    @asynccontextmanager
    async def transaction(self) -> AsyncIterator[AsyncConnection]:
        """A transaction that may read first and write then, and commits if nothing was raised.

        Raises:
            StoreUnavailable: the database didn't answer, or stayed locked.
            RowUnfit: a value can't be kept.
        """
        try:
            async with self.engine.begin() as connection:
                if self.engine.dialect.name == "sqlite":
                    # Take the write lock first: a read that turns into a write can't wait for it.
                    await connection.exec_driver_sql("BEGIN IMMEDIATE")
                yield connection
        except _FAILURES as error:
            raise _translated(error) from error

    @asynccontextmanager
    async def reading(self) -> AsyncIterator[AsyncConnection]:
        """A connection for reads; raises as `transaction` does."""
        try:
            async with self.engine.connect() as connection:
                yield connection
        except _FAILURES as error:
            raise _translated(error) from error

    async def upsert(
        self,
        connection: AsyncConnection,
        table: sa.Table,
        rows: Sequence[Mapping[str, Any]],
        *,
        newer: str | None = None,
    ) -> int:
        """Insert rows or replace those with the same primary key.

        Args:
            newer: a column; an existing row is replaced only by one that isn't older in it.

        Returns:
            How many rows were inserted or replaced.
        """
        if not rows:
            return 0
        insert = self._insert(table)
        keys = _keys(table)
        values = {
            column.name: insert.excluded[column.name]
            for column in table.columns
            if column.name not in keys and column.name in rows[0]
        }
        where = insert.excluded[newer] >= table.c[newer] if newer else None
        statement = insert.on_conflict_do_update(index_elements=keys, set_=values, where=where)
        result = await connection.execute(statement, _in_order(table, rows))
        return int(result.rowcount)

    async def insert_new(
        self, connection: AsyncConnection, table: sa.Table, rows: Sequence[Mapping[str, Any]]
    ) -> None:
        """Insert the rows whose primary key isn't there yet."""
        if rows:
            statement = self._insert(table).on_conflict_do_nothing()
            await connection.execute(statement, _in_order(table, rows[::-1]))  # the first counts

    def _insert(self, table: sa.Table) -> Any:
        dialect = sqlite if self.engine.dialect.name == "sqlite" else postgresql
        return dialect.insert(table)

    async def wipe(self) -> None:
        """Leave nothing in the database's files of what was deleted.

        PostgreSQL does so by itself, in its own time (autovacuum, and the end of its log's files).

        Raises:
            StoreUnavailable: the database didn't answer, or stayed in use.
        """
        if self.engine.dialect.name != "sqlite":
            return
        try:
            async with self.engine.connect() as connection:
                whole = await connection.execution_options(isolation_level="AUTOCOMMIT")
                await whole.exec_driver_sql("VACUUM")
                # Pages as they were lie in the log until it is cut.
                [busy, *_] = (await whole.exec_driver_sql("PRAGMA wal_checkpoint(TRUNCATE)")).one()
        except (DBAPIError, OSError) as error:
            raise StoreUnavailable(f"the catalog: {error}") from error
        if busy:
            raise StoreUnavailable("the catalog is being read, and its log can't be cut")

    async def ping(self) -> bool:
        try:
            async with self.engine.connect() as connection:
                await connection.execute(sa.text("SELECT 1"))
        except (SQLAlchemyError, OSError):
            return False
        return True

    async def close(self) -> None:
        await self.engine.dispose()


def _keys(table: sa.Table) -> list[str]:
    return [column.name for column in table.primary_key.columns]


def _in_order(table: sa.Table, rows: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """The last row of each key, by key: who writes the same rows waits, but not for each other."""
    keys = _keys(table)
    unique = {tuple(row[key] for key in keys): dict(row) for row in rows}
    return [unique[key] for key in sorted(unique)]


def _translated(error: Exception) -> TrendingError:
    """What went wrong with the database, in our words and without any value."""
    cause = _cause(error)
    if _state(error).startswith("22") or isinstance(cause, OverflowError | ValueError):
        return RowUnfit(f"the catalog can't keep a value: {type(cause).__name__}")
    return StoreUnavailable(f"the catalog: {cause}")


def _cause(error: BaseException | None) -> BaseException | None:
    """What the driver itself raised, behind what SQLAlchemy made of it."""
    if isinstance(error, DBAPIError) and error.orig:
        return error.orig.__cause__ or error.orig
    return error


def _state(error: BaseException | None) -> str:
    """PostgreSQL's SQLSTATE; nothing of another's error."""
    return str(getattr(_cause(error), "sqlstate", None) or "")


def _check_options(url: sa.URL) -> None:
    """Raise `SettingInvalid` for what asyncpg wouldn't understand, such as libpq's `sslmode`."""
    import asyncpg  # who has SQLite doesn't need it

    known = {*inspect.signature(asyncpg.connect).parameters, "prepared_statement_cache_size"}
    if unknown := url.query.keys() - known:
        hint = "; TLS is asked for by ssl=require" if "sslmode" in unknown else ""
        raise SettingInvalid(f"CATALOG_URL: no option {', '.join(sorted(unknown))}{hint}")


def _without_nul(
    connection: Any, cursor: Any, statement: str, parameters: Any, context: Any, many: bool
) -> tuple[str, Any]:
    """People do send U+0000; PostgreSQL keeps no text with it, and SQLite finds nothing behind."""
    if many:
        return statement, [_replaced(each) for each in parameters]
    return statement, _replaced(parameters)


def _replaced(values: Any) -> Any:
    if not any(isinstance(value, str) and "\0" in value for value in values):
        return values
    return tuple(
        value.replace("\0", "\ufffd") if isinstance(value, str) else value for value in values
    )


def _configure_sqlite(connection: Any, _: Any) -> None:
    connection.create_function("folded", 1, fold, deterministic=True)
    cursor = connection.cursor()
    cursor.execute("PRAGMA journal_mode=WAL")  # readers don't wait for the writer
    cursor.execute("PRAGMA busy_timeout=30000")  # two services write; each waits for the other
    cursor.execute("PRAGMA synchronous=NORMAL")
    cursor.execute("PRAGMA secure_delete=ON")  # what is erased is no longer in the file
    cursor.close()
