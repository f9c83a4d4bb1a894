"""Keeps the catalog's trends true: of the titles something happened to, and of all on a new day."""

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from datetime import UTC, date, datetime, time, timedelta
from typing import Any, Never

import sqlalchemy as sa
import structlog

from trending_featurizer.metrics import FeaturizerMetrics
from trending_shared.catalog import Catalog, signals, titles, trends
from trending_shared.clock import Clock
from trending_shared.errors import StoreUnavailable
from trending_shared.events import Trend
from trending_shared.series import read_series
from trending_shared.trends import KEPT, Series, measure_trend

log = structlog.get_logger()

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
            series = await read_series(connection, title_ids, day)
            ids = sorted(series)
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


def measure_trends(series: Mapping[str, Series], as_of: date) -> dict[str, Trend]:
    """The trends of many titles, without those that have too little data."""
    measured = {title_id: measure_trend(one, as_of) for title_id, one in series.items()}
    return {title_id: trend for title_id, trend in measured.items() if trend}


def trend_row(title_id: str, trend: Trend) -> Mapping[str, Any]:
    """A trend as the catalog keeps it."""
    row = trend.model_dump()
    return {"title_id": title_id, **row, "signals": min(trend.signals, MOST_SIGNALS)}
