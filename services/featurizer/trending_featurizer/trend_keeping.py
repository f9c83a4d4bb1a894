"""Keeps the catalog's trends true: of the titles something happened to, and of all on a new day."""

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from datetime import UTC, date, datetime, time, timedelta
from typing import Any, Never

import sqlalchemy as sa
import structlog

from trending_featurizer.metrics import FeaturizerMetrics
from trending_shared.catalog import Catalog, signals, tides, titles, trend_lacks, trends
from trending_shared.clock import Clock
from trending_shared.errors import Unavailable
from trending_shared.events import Lack, Trend
from trending_shared.publishing import Publisher, deletion
from trending_shared.series import read_facts, read_series, read_tides
from trending_shared.trends import KEPT, OF_LATE, measure_tides, measure_trends

log = structlog.get_logger()

CHECKED = timedelta(hours=1)
MOST_SIGNALS = 2**31 - 1  # an SQL integer
_AT_ONCE = 1000  # titles; bounds memory and the length of a transaction

Sleep = Callable[[float], Awaitable[None]]


class TrendKeeper:
    """Measures trends from what the catalog holds and stores them there under title and day.

    A row follows from the catalog and the day alone, so measuring again is harmless. The tides that
    it rests on lie in the catalog too, and are looked at hourly. Every method raises
    `StoreUnavailable` when the database doesn't answer.
    """

    def __init__(
        self,
        catalog: Catalog,
        *,
        publisher: Publisher,
        clock: Clock,
        metrics: FeaturizerMetrics,
    ) -> None:
        self._publisher = publisher
        self._catalog = catalog
        self._clock = clock
        self._metrics = metrics

    def today(self) -> date:
        """The day in UTC that trends are measured for."""
        return self._clock.now().date()

    async def measure(self, title_ids: Sequence[str], day: date) -> dict[str, Trend | Lack]:
        """The trends of some titles on a day, or what they lack; unknown titles are missing.

        What several sources tell of one title counts together, so what happens to one of them
        moves all: the answer has those besides. All of them are read and stored in one
        transaction, so a thousand or two are enough.
        """
        async with self._catalog.transaction() as connection:
            series = await read_series(connection, title_ids, day)
            facts = await read_facts(connection, sorted(series))
            moved = await read_tides(connection, day)
            found = await asyncio.to_thread(measure_trends, series, day, facts=facts, tides=moved)
            rows, lacking = [], []
            for title_id, trend in sorted(found.items()):
                if isinstance(trend, Trend):
                    rows.append(trend_row(title_id, trend))
                else:
                    lacking.append({"title_id": title_id, "day": day, "lack": trend})
            await self._catalog.upsert(connection, trends, rows)
            await self._catalog.upsert(connection, trend_lacks, lacking, newer="day")
            told = [row["title_id"] for row in rows]
            silent = [row["title_id"] for row in lacking]
            await connection.execute(
                sa.delete(trends).where(trends.c.day == day, trends.c.title_id.in_(silent))
            )
            await connection.execute(
                sa.delete(trend_lacks).where(
                    trend_lacks.c.day <= day, trend_lacks.c.title_id.in_(told)
                )
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
            await self.look_at_tides(day)
            while page := await self._next_titles(after):
                found = await self.measure(page, day)
                count += sum(isinstance(found.get(title_id), Trend) for title_id in page)
                after = page[-1]
            for table in (trends, signals, tides):
                await self._forget(table, day - KEPT + timedelta(days=1))
        self._metrics.trending_titles.set(count)
        self._metrics.trends_day.set(datetime.combine(day, time(), UTC).timestamp())
        log.info("trends_measured", day=day.isoformat(), titles=count)
        return count

    async def _forget(self, table: sa.Table, before: date) -> None:
        """Delete what is of earlier days, and say so first."""
        old = table.c.day < before
        async with self._catalog.reading() as connection:
            count = await connection.scalar(sa.select(sa.func.count()).where(old))
        if not count:
            return
        await self._publisher.publish([deletion(table.name, count, before, KEPT)])
        async with self._catalog.transaction() as connection:
            await connection.execute(sa.delete(table).where(old))

    async def look_at_tides(self, day: date) -> bool:
        """Find out what moves in whole channels, from a thousand titles, and keep that.

        Ids are hashes, so the first titles are a sample like any other.

        Returns:
            Whether that is another thing than what was known.
        """
        sample = await self._next_titles("")
        async with self._catalog.transaction() as connection:
            series = await read_series(connection, sample, day)
            known = await read_tides(connection, day)
            found = await asyncio.to_thread(measure_tides, series.values(), day, known)
            late = {
                channel: since
                for channel, days in known.items()
                if (since := {at: days[at] for at in days if at >= day - OF_LATE})
            }
            if found == late:
                return False
            await connection.execute(
                sa.delete(tides).where(tides.c.day < day, tides.c.day >= day - OF_LATE)
            )
            rows = [
                {"channel": channel, "day": at, "factor": factor}
                for channel, days in found.items()
                for at, factor in days.items()
            ]
            await self._catalog.upsert(connection, tides, rows)
        log.info("tides_changed", day=day.isoformat(), channels=sorted(found))
        return True

    async def keep_fresh(self, sleep: Sleep = asyncio.sleep) -> Never:
        """Measure all titles now, and when a day begins or a tide turns; look once an hour."""
        measured: date | None = None
        while True:
            try:
                today = self.today()
                if measured != today or await self.look_at_tides(today):
                    measured = None
                    await self.measure_all(today)
                    measured = today
            except Unavailable as error:
                log.warning("trends_not_measured", detail=str(error))
            await sleep(CHECKED.total_seconds())

    async def _next_titles(self, after: str) -> Sequence[str]:
        query = sa.select(titles.c.title_id).where(titles.c.title_id > after)
        async with self._catalog.reading() as connection:
            found = await connection.scalars(query.order_by(titles.c.title_id).limit(_AT_ONCE))
            return found.all()


def trend_row(title_id: str, trend: Trend) -> Mapping[str, Any]:
    """A trend as the catalog keeps it."""
    row = trend.model_dump(mode="json") | {"day": trend.day}
    return {"title_id": title_id, **row, "signals": min(trend.signals, MOST_SIGNALS)}
