"""Erases features, vectors, entries of the catalog and rows of datasets, after the cleaner's rows.

What is left of a title, a review or a signal, as another page told of it too, is in those tables by
then, and is written to the catalog again.
"""

import asyncio
from collections.abc import Callable, Collection, Sequence
from typing import Any

import pyarrow as pa
import sqlalchemy as sa
import structlog

from trending_featurizer.datasets import Datasets
from trending_featurizer.entries import Entries
from trending_featurizer.trend_keeping import TrendKeeper
from trending_shared.catalog import (
    Catalog,
    external_ids,
    identities,
    identity_ids,
    reviews,
    signals,
    titles,
    trend_lacks,
    trends,
)
from trending_shared.clock import Clock
from trending_shared.embeddings import Embedder
from trending_shared.erasing import any_value, erase_rows
from trending_shared.erasures import Erasure, read_erasure
from trending_shared.events import Page, RecordsErased, ReviewCleaned, SignalCleaned, TitleCleaned
from trending_shared.features import LIBRARY, RECIPE, text_hash
from trending_shared.messages import Message
from trending_shared.storage import ObjectStore
from trending_shared.tables import read_table

log = structlog.get_logger()

AFTER = "cleaner"
_AT_ONCE = 500  # ids in a statement
_OF_TITLES = (
    *((titles, titles.c.title_id), (trends, trends.c.title_id)),
    *((trend_lacks, trend_lacks.c.title_id), (identities, identities.c.title_id)),
    *((identity_ids, identity_ids.c.merged_id), (external_ids, external_ids.c.owner_id)),
    (signals, signals.c.subject_id),
)
"""What the catalog has of a title, or of what a signal counts, and by which column."""


class Eraser:
    """Raises `StoreUnavailable` when tables, store or catalog don't answer."""

    def __init__(
        self,
        url: str,
        *,
        entries: Entries,
        trends: TrendKeeper,
        datasets: Datasets,
        embedder: Embedder,
        catalog: Catalog,
        clock: Clock,
    ) -> None:
        self._url = url
        self._store = ObjectStore.at(url)
        self._entries = entries
        self._trends = trends
        self._datasets = datasets
        self._embedder = embedder
        self._catalog = catalog
        self._clock = clock

    async def on_records_erased(
        self, message: Message[RecordsErased]
    ) -> list[Message[RecordsErased]]:
        if message.event.service != AFTER:
            return []
        erasure = await asyncio.to_thread(read_erasure, self._store, message.event.erasure_id)
        counts = await self._erase_reviews(erasure)
        if erasure.titles:
            counts |= await self._erase_titles(erasure)
            counts |= await asyncio.to_thread(self._erase_features, erasure)
        await self._catalog.wipe()
        datasets, gone = await asyncio.to_thread(self._datasets.erase, erasure)
        counts["datasets"] = gone
        log.info("records_erased", erasure=erasure.erasure_id, **counts)
        return [
            message.leads_to(
                RecordsErased(
                    erasure_id=erasure.erasure_id,
                    service="featurizer",
                    counts=counts,
                    datasets=tuple(sorted(datasets)),
                )
            )
        ]

    # ------------------------------------------------------------ the catalog

    async def _erase_reviews(self, erasure: Erasure) -> dict[str, int]:
        columns = (reviews.c.review_id, reviews.c.title_id, reviews.c.author_hash)
        async with self._catalog.reading() as connection:
            listed = (await connection.execute(sa.select(*columns))).all()
        named = [row for row in listed if erasure.names(row.review_id, row.author_hash)]
        ids = [row.review_id for row in named]
        count = await self._delete(reviews, reviews.c.review_id, ids)
        left = await asyncio.to_thread(self._newest, "reviews", "review_id", erasure.names)
        await self._entries.write_reviews([review_of(row) for row in left])
        await self._measure({row.title_id for row in named})
        return {"catalog/reviews": count}

    async def _erase_titles(self, erasure: Erasure) -> dict[str, int]:
        named = erasure.names_title
        left = await asyncio.to_thread(self._newest, "titles", "title_id", named)
        counted = await asyncio.to_thread(self._rows, "signals", "subject_id", named)
        told = [title_of(row) for row in left]
        stay = {one.title_id for one in told}
        counts = {}
        for table, column in _OF_TITLES:
            async with self._catalog.reading() as connection:
                listed = (await connection.scalars(sa.select(column).distinct())).all()
            # Which title one is that stays the cleaner has said anew by now, or is about to.
            kept = stay if table in (identities, identity_ids) else set()
            gone = [one for one in listed if one not in kept and named(one)]
            counts[f"catalog/{table.name}"] = await self._delete(table, column, gone)
        hashes = [text_hash(LIBRARY[RECIPE].of(row)) for row in left]
        await self._entries.write_titles(told, hashes)
        await self._entries.write_signals([signal_of(row) for row in counted])
        await self._measure(stay)
        return counts

    async def _measure(self, title_ids: Collection[str]) -> None:
        """What counted for their trends may be gone."""
        ids = sorted(title_ids)
        for start in range(0, len(ids), _AT_ONCE):
            await self._trends.measure(ids[start : start + _AT_ONCE], self._trends.today())

    async def _delete(self, table: sa.Table, column: sa.Column[Any], values: Sequence[str]) -> int:
        count = 0
        for start in range(0, len(values), _AT_ONCE):
            some = column.in_(values[start : start + _AT_ONCE])
            async with self._catalog.transaction() as connection:
                count += (await connection.execute(sa.delete(table).where(some))).rowcount
        return count

    # ------------------------------------------------------------ tables

    def _erase_features(self, erasure: Erasure) -> dict[str, int]:
        columns = ["title_id", "page_hash", "text_hash"]
        found = read_table(self._url, "features", columns)
        rows = found[0].to_pylist() if found else []
        named = [row for row in rows if _names_features(erasure, row)]
        kept = {row["text_hash"] for row in rows if not _names_features(erasure, row)}
        hashes = {row["text_hash"] for row in named} - kept
        vectors = self._embedder.forget(sorted(hashes))
        features = erase_rows(
            self._url,
            "features",
            columns,
            lambda some: [_names_features(erasure, row) for row in some.to_pylist()],
            now=self._clock.now(),
        )
        return {"vectors": vectors, "tables/features": features}

    def _rows(self, name: str, key: str, named: Callable[[str], bool]) -> list[dict[str, Any]]:
        """What the cleaner's table still has of these, oldest first."""
        found = read_table(self._url, name)
        if found is None:
            return []
        rows = found[0].filter(pa.array(any_value({key: named})(found[0]), pa.bool_())).to_pylist()
        return sorted(rows, key=lambda row: (row["fetched_at"], row["event_id"]))

    def _newest(self, name: str, key: str, named: Callable[[str], bool]) -> list[dict[str, Any]]:
        return list({row[key]: row for row in self._rows(name, key, named)}.values())


def _names_features(erasure: Erasure, row: dict[str, Any]) -> bool:
    return erasure.names_title(row["title_id"]) and erasure.names_page(row["page_hash"])


def title_of(row: dict[str, Any]) -> TitleCleaned:
    """The event that a row of the table `titles` was published as."""
    confidence = zip(row["genres"], row.get("genre_confidence") or (), strict=False)
    return TitleCleaned.model_validate(
        {
            **_told(row),
            "unknown_genres": row["unknown_genres"] or (),
            "warnings": row.get("warnings") or (),
            "countries": row["countries"] or (),
            "popularity": row["popularity"] or (),
            "genre_confidence": {one: sure for one, sure in confidence if sure is not None},
            "external_ids": _by_scheme(row),
        }
    )


def review_of(row: dict[str, Any]) -> ReviewCleaned:
    """Likewise of the table `reviews`."""
    return ReviewCleaned.model_validate({**_told(row), "warnings": row.get("warnings") or ()})


def signal_of(row: dict[str, Any]) -> SignalCleaned:
    """Likewise of the table `signals`."""
    return SignalCleaned.model_validate({**_told(row), "external_ids": _by_scheme(row)})


def _told(row: dict[str, Any]) -> dict[str, Any]:
    page = Page(
        url=row["page_url"],
        hash=row["page_hash"],
        key=row["page_key"],
        fetched_at=row["fetched_at"],
    )
    return {**row, "page": page}


def _by_scheme(row: dict[str, Any]) -> dict[str, str]:
    return dict(one.split(":", 1) for one in row.get("external_ids") or ())
