"""Deletes what was kept long enough: days of reports, of predictions and of insights."""

import asyncio
from collections.abc import Awaitable, Callable
from datetime import date, timedelta

import sqlalchemy as sa
import structlog

from trending_monitor.reports import FOLDER, expired, start_of
from trending_shared.catalog import Catalog, insights, predictions, title_predictions
from trending_shared.clock import Clock
from trending_shared.errors import Unavailable
from trending_shared.publishing import Publisher, deletion
from trending_shared.storage import ObjectStore

log = structlog.get_logger()

_AT_ONCE = 5000  # rows; bounds the length of a transaction, in which nobody else writes


class Retention:
    """Looks every now and then whether something is older than it is to be.

    What is going to be deleted is told first, as `RecordsDeleted`: nothing is to be gone of which
    nobody was told. If it is killed in between, the next look goes on.

    Args:
        reports: for how long the reports on a day are kept.
        records: for how long predictions and insights are; those that lists of titles still show
            stay.
    """

    def __init__(
        self,
        *,
        catalog: Catalog,
        store: ObjectStore,
        publisher: Publisher,
        clock: Clock,
        every: timedelta,
        reports: timedelta,
        records: timedelta,
    ) -> None:
        self._catalog = catalog
        self._store = store
        self._publisher = publisher
        self._clock = clock
        self._every = every
        self._reports = reports
        self._records = records

    async def run(self) -> None:
        """Until it is cancelled."""
        while True:
            try:
                await self.look()
            except (Unavailable, OSError) as error:
                log.warning("deletion_postponed", reason=str(error))
            await asyncio.sleep(self._every.total_seconds())

    async def look(self) -> None:
        """Delete what is too old by now; raises `Unavailable` if something didn't answer."""
        today = self._clock.now().date()
        await self._expire_reports(today - self._reports)
        listed = sa.select(title_predictions.c.prediction_id)
        for table, kept in (
            (predictions, predictions.c.prediction_id.not_in(listed)),
            (insights, sa.true()),
        ):
            await self._expire_rows(table, kept, today - self._records)

    async def _expire_reports(self, before: date) -> None:
        keys = await asyncio.to_thread(expired, self._store, before=before)

        async def delete() -> None:
            for key in keys:
                await asyncio.to_thread(self._store.delete, key)

        await self._tell_and(delete, FOLDER, len(keys), before, self._reports)

    async def _expire_rows(
        self, table: sa.Table, condition: sa.ColumnElement[bool], before: date
    ) -> None:
        [key] = table.primary_key
        old = (table.c.served_at < start_of(before)) & condition
        async with self._catalog.reading() as connection:
            count = await connection.scalar(sa.select(sa.func.count()).where(old)) or 0

        async def delete() -> None:
            some = sa.select(key).where(old).limit(_AT_ONCE)
            while True:
                async with self._catalog.transaction() as connection:
                    ids = (await connection.scalars(some)).all()
                    await connection.execute(sa.delete(table).where(key.in_(ids)))
                if len(ids) < _AT_ONCE:
                    return

        await self._tell_and(delete, table.name, count, before, self._records)

    async def _tell_and(
        self,
        delete: Callable[[], Awaitable[None]],
        what: str,
        count: int,
        before: date,
        kept: timedelta,
    ) -> None:
        if not count:
            return
        await self._publisher.publish([deletion(what, count, before, kept)])
        await delete()
        log.info("records_deleted", what=what, count=count, before=str(before))
