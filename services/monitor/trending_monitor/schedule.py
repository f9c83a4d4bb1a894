"""Reports that nobody asks for: once a day has ended, in a process of its own."""

import asyncio
import sys
from collections.abc import Awaitable, Callable
from datetime import date, timedelta

import structlog

from trending_monitor.reports import is_told, subjects_of
from trending_shared.catalog import Catalog
from trending_shared.clock import Clock
from trending_shared.errors import StoreUnavailable
from trending_shared.storage import ObjectStore

log = structlog.get_logger()

_PATIENCE = timedelta(minutes=15)  # Evidently takes half a minute, on a busy machine two

Report = Callable[[date], Awaitable[int]]


async def report_in_a_process(day: date) -> int:
    """The exit status of `python -m trending_monitor.reporting`, ended if it takes too long."""
    command = (sys.executable, "-m", "trending_monitor.reporting", str(day), "--missing")
    process = await asyncio.create_subprocess_exec(*command, stdout=asyncio.subprocess.DEVNULL)
    try:
        return await asyncio.wait_for(process.wait(), _PATIENCE.total_seconds())
    except TimeoutError:
        return -1
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()


class ReportSchedule:
    """Looks every now and then whether the last day's reports are there, and has them made."""

    def __init__(
        self,
        *,
        catalog: Catalog,
        store: ObjectStore,
        clock: Clock,
        every: timedelta,
        report: Report = report_in_a_process,
    ) -> None:
        self._catalog = catalog
        self._store = store
        self._clock = clock
        self._every = every
        self._report = report

    async def run(self) -> None:
        """Until it is cancelled."""
        while True:
            try:
                await self.look()
            except (StoreUnavailable, OSError) as error:
                log.warning("reports_postponed", reason=str(error))
            await asyncio.sleep(self._every.total_seconds())

    async def look(self) -> None:
        """Have the last day's reports made if one is missing."""
        day = self._clock.now().date() - timedelta(days=1)
        subjects = await subjects_of(self._catalog, day)
        there = [await asyncio.to_thread(is_told, self._store, day, one) for one in subjects]
        if all(there):
            return
        status = await self._report(day)
        (log.info if status == 0 else log.warning)("reports_made", day=str(day), status=status)
