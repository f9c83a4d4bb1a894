"""Deletes what was kept long enough: each service what it owns, for as long as its settings say."""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from typing import Never

import structlog

from trending_shared.clock import Clock
from trending_shared.errors import Unavailable
from trending_shared.publishing import Publisher, deletion

log = structlog.get_logger()

LOOKED_AT = timedelta(hours=1)


@dataclass(frozen=True, slots=True)
class Kept:
    """What is kept for how long, and how to count and to delete what is older than a moment.

    Args:
        what: by which name its deletion is told.
        long: none for ever.
    """

    what: str
    long: timedelta | None
    count: Callable[[datetime], Awaitable[int]]
    delete: Callable[[datetime], Awaitable[object]]


class Retention:
    """Looks once an hour whether something is older than it is to be.

    What is going to be deleted is told first, as `RecordsDeleted`. If it is killed in between, the
    next look goes on.
    """

    def __init__(self, kept: Sequence[Kept], *, publisher: Publisher, clock: Clock) -> None:
        self._kept = kept
        self._publisher = publisher
        self._clock = clock

    async def run(self) -> Never:
        """Until it is cancelled."""
        while True:
            try:
                await self.look()
            except (Unavailable, OSError) as error:
                log.warning("deletion_postponed", reason=str(error))
            await asyncio.sleep(LOOKED_AT.total_seconds())

    async def look(self) -> None:
        """Delete what is too old by now; raises `Unavailable` if something didn't answer."""
        today = self._clock.now().date()
        for each in self._kept:
            if each.long is None:
                continue
            before = today - each.long
            moment = start_of(before)
            if count := await each.count(moment):
                await self._publisher.publish([deletion(each.what, count, before, each.long)])
                await each.delete(moment)
                log.info("records_deleted", what=each.what, count=count, before=str(before))


def start_of(day: date) -> datetime:
    return datetime.combine(day, time(), UTC)
