"""Keeps the catalog's trends true: of the titles something happened to, and of all on a new day."""

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence, Set
from datetime import UTC, date, datetime, time, timedelta
from typing import Any, Never

import sqlalchemy as sa
import structlog
from sqlalchemy.ext.asyncio import AsyncConnection

from trending_featurizer.entries import called, read_popularity
from trending_featurizer.metrics import FeaturizerMetrics
from trending_featurizer.trends import OLDEST, Counts, measure_trend
from trending_shared.catalog import (
    Catalog,
    external_ids,
    identities,
    reviews,
    signals,
    titles,
    trends,
)
from trending_shared.clock import Clock
from trending_shared.errors import StoreUnavailable
from trending_shared.events import Trend

log = structlog.get_logger()

KEPT = timedelta(days=90)
CHECKED = timedelta(hours=1)
MOST_SIGNALS = 2**31 - 1  # an SQL integer
_AT_ONCE = 1000  # titles; bounds memory and the length of a transaction

Sleep = Callable[[float], Awaitable[None]]


class TrendKeeper:
    """Measures trends from what the catalog holds and stores them there under title and day.

    A row follows from the catalog and the day alone, so measuring again is harmless. Every method
    raises `StoreUnavailable` when the database doesn't answer.
    """

    def __init__(self, catalog: Catalog, *, clock: Clock, metrics: FeaturizerMetrics) -> None:
        self._catalog = catalog
        self._clock = clock
        self._metrics = metrics

    def today(self) -> date:
        """The day in UTC that trends are measured for."""
        return self._clock.now().date()

    async def measure(self, title_ids: Sequence[str], day: date) -> dict[str, Trend]:
        """The trends of some titles on a day; those without enough data are missing in the answer.

        What several sources tell of one title counts together, so what happens to one of them
        moves all: the answer has those besides. All of them are read and stored in one
        transaction, so a thousand or two are enough.
        """
        async with self._catalog.transaction() as connection:
            same = await _same_titles(connection, title_ids)
            ids = sorted(same)
            series = unite(await _read_series(connection, ids, day), same)
            found = await asyncio.to_thread(measure_trends, series, day)
            rows = [trend_row(title_id, found[title_id]) for title_id in ids if title_id in found]
            await self._catalog.upsert(connection, trends, rows)
            silent = [title_id for title_id in ids if title_id not in found]
            await connection.execute(
                sa.delete(trends).where(trends.c.day == day, trends.c.title_id.in_(silent))
            )
        self._metrics.catalog_rows.labels("trends").inc(len(rows))
        return found

    async def measure_all(self, day: date) -> int:
        """Measure the trends of all titles for a day, and forget days long past.

        Returns:
            How many titles have a trend.
        """
        count, after = 0, ""
        with self._metrics.trend_seconds.time():
            while page := await self._next_titles(after):
                count += len(await self.measure(page, day))
                after = page[-1]
            async with self._catalog.transaction() as connection:
                await connection.execute(sa.delete(trends).where(trends.c.day <= day - KEPT))
                await connection.execute(sa.delete(signals).where(signals.c.day <= day - KEPT))
        self._metrics.trending_titles.set(count)
        self._metrics.trends_day.set(datetime.combine(day, time(), UTC).timestamp())
        log.info("trends_measured", day=day.isoformat(), titles=count)
        return count

    async def keep_fresh(self, sleep: Sleep = asyncio.sleep) -> Never:
        """Measure all titles now, and again whenever a new day has begun; look once an hour."""
        measured: date | None = None
        while True:
            if measured != (today := self.today()):
                try:
                    await self.measure_all(today)
                    measured = today
                except StoreUnavailable as error:
                    log.warning("trends_not_measured", detail=str(error))
            await sleep(CHECKED.total_seconds())

    async def _next_titles(self, after: str) -> Sequence[str]:
        query = sa.select(titles.c.title_id).where(titles.c.title_id > after)
        async with self._catalog.reading() as connection:
            found = await connection.scalars(query.order_by(titles.c.title_id).limit(_AT_ONCE))
            return found.all()


async def _same_titles(
    connection: AsyncConnection, title_ids: Sequence[str]
) -> Mapping[str, Set[str]]:
    """These titles, and all that were said to be the same as one of them, each with all it is."""
    its, theirs = identities.alias(), identities.alias()
    pairs = await connection.execute(
        sa.select(its.c.title_id, theirs.c.title_id)
        .join(theirs, theirs.c.merged_id == its.c.merged_id)
        .where(its.c.title_id.in_(title_ids))
    )
    same: dict[str, set[str]] = {title_id: {title_id} for title_id in title_ids}
    for one, other in pairs:
        same[one].add(other)
    return same | {other: same[one] for one in title_ids for other in same[one]}


async def _read_series(
    connection: AsyncConnection, title_ids: Sequence[str], as_of: date
) -> Mapping[str, Mapping[str, Counts]]:
    # Days too old to count become one: it still tells that the title had reviews by then.
    early = as_of - OLDEST - timedelta(days=1)
    day = sa.case((reviews.c.day < early, sa.literal(early, sa.Date)), else_=reviews.c.day)
    reviewed = (
        sa.select(reviews.c.title_id, day, sa.func.count(), sa.func.max(reviews.c.fetched_at))
        .where(reviews.c.title_id.in_(title_ids), reviews.c.day.is_not(None))
        .group_by(reviews.c.title_id, day)
    )
    counted = sa.select(titles.c.title_id, titles.c.popularity, titles.c.fetched_at).where(
        titles.c.title_id.in_(title_ids)
    )
    review_rows = (await connection.execute(reviewed)).all()
    title_rows = (await connection.execute(counted)).all()
    signal_rows = (await connection.execute(_signals_of(title_ids, early))).all()
    return gather_series(title_rows, review_rows, signal_rows)


def _signals_of(title_ids: Sequence[str], early: date) -> sa.Select[Any]:
    """What was counted, since a day, of everything that shares an id with one of these titles."""
    theirs = called(title_ids=title_ids)
    return (
        sa.select(
            theirs.c.title_id,
            signals.c.subject_id,
            signals.c.metric,
            signals.c.day,
            signals.c["count"],
        )
        .join_from(theirs, external_ids, external_ids.c.external_id == theirs.c.external_id)
        .join(signals, signals.c.subject_id == external_ids.c.owner_id)
        .where(signals.c.day > early)
        .distinct()  # they may share several ids
    )


def measure_trends(series: Mapping[str, Mapping[str, Counts]], as_of: date) -> dict[str, Trend]:
    """The trends of many titles, without those that have too little data."""
    measured = {title_id: measure_trend(one, as_of) for title_id, one in series.items()}
    return {title_id: trend for title_id, trend in measured.items() if trend}


def unite(
    series: Mapping[str, Mapping[str, Counts]], same: Mapping[str, Set[str]]
) -> Mapping[str, Mapping[str, Counts]]:
    """The series of each title and of those that are the same."""
    return {
        title_id: {name: counts for one in ids for name, counts in series.get(one, {}).items()}
        for title_id, ids in same.items()
        if title_id in series
    }


def gather_series(
    title_rows: Sequence[Any], review_rows: Sequence[Any], signal_rows: Sequence[Any] = ()
) -> Mapping[str, Mapping[str, Counts]]:
    """What is known of each title, by title and name of the series.

    From a title's first review to the day before its page was last fetched, a day without reviews
    had none. A day without popularity is unknown: the source may just not have shown it.

    Args:
        title_rows: title id, popularity as the catalog keeps it, time of fetching.
        review_rows: title id, day, number of reviews, newest time of fetching.
        signal_rows: title id, subject, metric, day, count; one of each subject, metric and day.
    """
    reviewed: dict[str, dict[date, int]] = {}
    until: dict[str, date] = {}
    for title_id, day, count, fetched_at in review_rows:
        reviewed.setdefault(title_id, {})[day] = count
        until[title_id] = max(until.get(title_id, date.min), fetched_at.date())
    series: dict[str, dict[str, dict[date, int]]] = {}
    for title_id, stored, fetched_at in title_rows:
        series[title_id] = {f"popularity of {title_id}": read_popularity(stored)}
        if counts := reviewed.get(title_id):
            first, end = min(counts), max(until[title_id], fetched_at.date())
            days = (first + timedelta(days=n) for n in range((end - first).days))
            series[title_id][f"reviews of {title_id}"] = {day: counts.get(day, 0) for day in days}
    for title_id, subject_id, metric, day, count in signal_rows:
        if title_id in series:
            named = series[title_id].setdefault(f"{metric} of {subject_id}", {})
            named[day] = count
    return series


def trend_row(title_id: str, trend: Trend) -> Mapping[str, Any]:
    """A trend as the catalog keeps it."""
    row = trend.model_dump()
    return {"title_id": title_id, **row, "signals": min(trend.signals, MOST_SIGNALS)}
