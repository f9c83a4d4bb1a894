"""What the featurizer writes to the catalog: titles, reviews and signals, each at its newest."""

from collections.abc import Mapping, Sequence
from datetime import UTC, date, datetime, timedelta
from typing import Any

import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncConnection

from trending_featurizer.metrics import FeaturizerMetrics
from trending_shared.catalog import (
    Catalog,
    external_ids,
    identities,
    identity_ids,
    reviews,
    signals,
    titles,
)
from trending_shared.events import DayCount, ReviewCleaned, SignalCleaned, TitleCleaned, TitleMerged
from trending_shared.retention import Kept
from trending_shared.series import called, read_popularity
from trending_shared.trends import KEPT

Row = Mapping[str, Any]


class Entries:
    """Titles, reviews, signals in the catalog; a version older than the one there changes nothing.

    Every method raises `StoreUnavailable` when the database doesn't answer.
    """

    def __init__(self, catalog: Catalog, metrics: FeaturizerMetrics) -> None:
        self._catalog = catalog
        self._metrics = metrics

    async def write_titles(self, events: Sequence[TitleCleaned], hashes: Sequence[str]) -> None:
        """Insert or renew titles.

        Args:
            hashes: the text hash of each title.
        """
        ids = sorted({event.title_id for event in events})
        async with self._catalog.transaction() as connection:
            known = sa.select(titles.c.title_id, titles.c.popularity)
            found = await connection.execute(known.where(titles.c.title_id.in_(ids)))
            days = {title_id: read_popularity(stored) for title_id, stored in found}
            rows = []
            for event, text_hash in sorted(zip(events, hashes, strict=True), key=_by_title):
                days[event.title_id] = merge_popularity(
                    days.get(event.title_id, {}), event.popularity, _fetched_on(event)
                )
                rows.append(title_row(event, text_hash, days[event.title_id]))
            await self._catalog.upsert(connection, titles, rows, newer="fetched_at")
            names = [row for event in events for row in id_rows(event.title_id, event)]
            await self._write_ids(connection, names)
        self._metrics.catalog_rows.labels("titles").inc(len(rows))

    async def write_reviews(self, events: Sequence[ReviewCleaned]) -> None:
        """Insert or renew reviews; their titles may come later."""
        rows = [review_row(event) for event in sorted(events, key=_by_review)]
        async with self._catalog.transaction() as connection:
            await self._catalog.upsert(connection, reviews, rows, newer="fetched_at")
        self._metrics.catalog_rows.labels("reviews").inc(len(rows))

    async def write_signals(self, events: Sequence[SignalCleaned]) -> Sequence[str]:
        """Insert or renew counts by day; their titles may come later.

        Returns:
            The titles that are here already.
        """
        rows = [row for event in sorted(events, key=_by_subject) for row in signal_rows(event)]
        names = [row for event in events for row in id_rows(event.subject_id, event)]
        known = called(external_ids_in=sorted({row["external_id"] for row in names}))
        async with self._catalog.transaction() as connection:
            await self._catalog.upsert(connection, signals, rows, newer="fetched_at")
            await self._write_ids(connection, names)
            mine = sa.select(titles.c.title_id).where(
                titles.c.title_id.in_(sa.select(known.c.title_id))
            )
            title_ids = (await connection.scalars(mine)).all()
        self._metrics.catalog_rows.labels("signals").inc(len(rows))
        return title_ids

    async def write_identities(self, events: Sequence[TitleMerged]) -> Sequence[str]:
        """Insert or renew which title each title is; what was said knowing less changes nothing.

        Returns:
            The titles that are here already.
        """
        ordered = sorted(events, key=lambda event: event.resolution)
        rows = [row for event in ordered for row in identity_rows(event)]
        ids = sorted({row["title_id"] for row in rows})
        async with self._catalog.transaction() as connection:
            await self._catalog.upsert(
                connection,
                identities,
                sorted(rows, key=lambda row: (row["title_id"], row["resolution"])),
                newer="resolution",
            )
            for event in ordered:
                await self._write_identity_ids(connection, event)
            here = sa.select(titles.c.title_id).where(titles.c.title_id.in_(ids))
            title_ids = (await connection.scalars(here)).all()
        self._metrics.catalog_rows.labels("identities").inc(len(rows))
        return title_ids

    async def _write_identity_ids(self, connection: AsyncConnection, event: TitleMerged) -> None:
        in_force = sa.select(identities.c.title_id).where(
            identities.c.title_id == event.title_id,
            identities.c.merged_id == event.title_id,
            identities.c.resolution == event.resolution,
        )
        if (await connection.scalar(in_force)) is None:
            return
        known = identity_ids.c.merged_id == event.title_id
        await connection.execute(sa.delete(identity_ids).where(known))
        await self._catalog.insert_new(
            connection,
            identity_ids,
            [{"merged_id": event.title_id, "external_id": id} for id in event.external_ids],
        )

    async def _write_ids(self, connection: AsyncConnection, rows: Sequence[Row]) -> None:
        # What is told once holds until another id of its scheme is told.
        ordered = sorted(rows, key=lambda row: (row["owner_id"], row["scheme"], row["fetched_at"]))
        await self._catalog.upsert(connection, external_ids, ordered, newer="fetched_at")

    async def count_titles(self) -> int:
        async with self._catalog.reading() as connection:
            count = await connection.scalar(sa.select(sa.func.count()).select_from(titles))
        return int(count or 0)


def kept_reviews(catalog: Catalog, long: timedelta | None) -> Kept:
    """For how long reviews stay in the catalog."""

    async def count(moment: datetime) -> int:
        old = sa.select(sa.func.count()).where(reviews.c.fetched_at < moment)
        async with catalog.reading() as connection:
            return await connection.scalar(old) or 0

    async def delete(moment: datetime) -> None:
        async with catalog.transaction() as connection:
            await connection.execute(sa.delete(reviews).where(reviews.c.fetched_at < moment))

    return Kept("catalog/reviews", long, count, delete)


def title_row(event: TitleCleaned, text_hash: str, popularity: Mapping[date, int]) -> Row:
    """A title as the catalog keeps it."""
    return {
        "title_id": event.title_id,
        "source": event.source,
        "source_id": event.source_id,
        "name": event.name,
        "kind": event.kind,
        "year": event.year,
        "genres": list(event.genres),
        "plot": event.plot,
        "countries": list(event.countries),
        "language": event.language,
        "runtime_minutes": event.runtime_minutes,
        "rating": event.rating,
        "rating_count": event.rating_count,
        "license": event.license,
        "url": event.page.url,
        "page_hash": event.page.hash,
        "page_key": event.page.key,
        # SQLite keeps no offset, and compares what it keeps as text.
        "fetched_at": event.page.fetched_at.astimezone(UTC),
        "content_hash": event.content_hash,
        "text_hash": text_hash,
        "popularity": [
            {"day": day.isoformat(), "count": count} for day, count in sorted(popularity.items())
        ],
        "released": event.released,
    }


def review_row(event: ReviewCleaned) -> Row:
    """A review as the catalog keeps it."""
    return {
        "review_id": event.review_id,
        "title_id": event.title_id,
        "day": event.day,
        "rating": event.rating,
        "text": event.text,
        "author_hash": event.author_hash,
        "page_hash": event.page.hash,
        "fetched_at": event.page.fetched_at.astimezone(UTC),
    }


def signal_rows(event: SignalCleaned) -> list[Row]:
    """The counts of a signal as the catalog keeps them."""
    fetched_at = event.page.fetched_at.astimezone(UTC)
    return [
        {
            "subject_id": event.subject_id,
            "metric": event.metric,
            "day": item.day,
            "count": item.count,
            "fetched_at": fetched_at,
        }
        for item in event.counts
        if item.day > fetched_at.date() - KEPT
    ]


def id_rows(owner_id: str, event: TitleCleaned | SignalCleaned) -> list[Row]:
    """What a title or a signal's subject is called elsewhere, as the catalog keeps it."""
    return [
        {
            "owner_id": owner_id,
            "scheme": scheme,
            "external_id": f"{scheme}:{name}",
            "fetched_at": event.page.fetched_at.astimezone(UTC),
        }
        for scheme, name in event.external_ids.items()
    ]


def identity_rows(event: TitleMerged) -> list[Row]:
    """Which title its members are, as the catalog keeps it; facts aren't in the catalog."""
    return [
        {
            "title_id": member.title_id,
            "merged_id": event.title_id,
            "resolution": event.resolution,
        }
        for member in event.members
        if member.described
    ]


def merge_popularity(
    known: Mapping[date, int], told: Sequence[DayCount], fetched_on: date
) -> dict[date, int]:
    """What is known by day, corrected and extended by what a page tells.

    A page shows its last few days only, so the past that a trend needs has to be gathered. The
    day the page was fetched on wasn't over, and later ones are made up: both are left out.
    """
    days = {**known, **{entry.day: entry.count for entry in told if entry.day < fetched_on}}
    oldest = fetched_on - KEPT
    return {day: count for day, count in days.items() if day > oldest}


def _fetched_on(event: TitleCleaned) -> date:
    return event.page.fetched_at.astimezone(UTC).date()


# The last of several versions in one batch wins; replicas that lock in one order can't deadlock.
def _by_title(entry: tuple[TitleCleaned, str]) -> tuple[Any, ...]:
    event = entry[0]
    return event.title_id, event.page.fetched_at, event.content_hash


def _by_subject(event: SignalCleaned) -> tuple[Any, ...]:
    return event.subject_id, event.metric, event.page.fetched_at


def _by_review(event: ReviewCleaned) -> tuple[Any, ...]:
    return event.review_id, event.page.fetched_at, event.content_hash
