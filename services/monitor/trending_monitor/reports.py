"""Where the reports on a day lie, which there should be, and how long they are kept.

reports/drift/<day>/<subject>/report.html.gz    Evidently's page
reports/drift/<day>/<subject>/report.json       scores, thresholds, what failed and why
reports/drift/<day>/<subject>/told              written once the event is published
"""

from datetime import UTC, date, datetime, time, timedelta

import sqlalchemy as sa

from trending_shared.catalog import Catalog, insights, predictions
from trending_shared.storage import ObjectStore

FOLDER = "reports/drift"
INSIGHTS = "insights"
"""The subject of what was told of titles; all others are versions of the model."""


def folder_of(day: date, subject: str) -> str:
    return f"{FOLDER}/{day}/{subject}"


def is_told(store: ObjectStore, day: date, subject: str) -> bool:
    """Whether there is a report, and its event is published."""
    return store.exists(f"{folder_of(day, subject)}/told")


def start_of(day: date) -> datetime:
    return datetime.combine(day, time(), UTC)


def during(table: sa.Table, first: datetime, end: datetime) -> sa.ColumnElement[bool]:
    """Rows that were served from one instant to before another."""
    return (table.c.served_at >= first) & (table.c.served_at < end)


async def subjects_of(catalog: Catalog, day: date) -> list[str]:
    """The versions that answered on a day, and `INSIGHTS` if any was told.

    Raises:
        StoreUnavailable: the catalog didn't answer.
    """
    first = start_of(day)
    end = first + timedelta(days=1)
    shown = predictions.c.shadow_of.is_(None).label("shown")
    async with catalog.reading() as connection:
        # As a condition, `shown` would have SQLite go by its index rather than by time.
        of_day = await connection.execute(
            sa.select(predictions.c.model_version, shown)
            .distinct()
            .where(during(predictions, first, end))
        )
        versions = {row.model_version for row in of_day if row.shown}
        told = await connection.execute(
            sa.select(insights.c.insight_id).where(during(insights, first, end)).limit(1)
        )
        return [*sorted(versions), *([INSIGHTS] if told.first() else [])]


def expired(store: ObjectStore, *, before: date) -> list[str]:
    """The keys of reports on days before one; what has no day in its key is left alone."""
    found = []
    for key in store.keys(FOLDER):
        try:
            day = date.fromisoformat(key.removeprefix(f"{FOLDER}/").split("/")[0])
        except ValueError:
            continue
        if day < before:
            found.append(key)
    return found
