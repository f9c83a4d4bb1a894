"""Asks for the decisions that no event asks for, once they are due."""

import asyncio
from datetime import timedelta

import structlog

from trending_monitor.deciding import Decider
from trending_shared.errors import Unavailable
from trending_shared.publishing import Publisher

log = structlog.get_logger()


class Reminder:
    """Looks every now and then; what is asked for twice is decided once."""

    def __init__(self, *, decider: Decider, publisher: Publisher, every: timedelta) -> None:
        self._decider = decider
        self._publisher = publisher
        self._every = every

    async def run(self) -> None:
        """Until it is cancelled."""
        while True:
            try:
                await self.look()
            except (Unavailable, OSError) as error:
                log.warning("decisions_postponed", reason=str(error))
            await asyncio.sleep(self._every.total_seconds())

    async def look(self) -> None:
        """Ask for what is due by now."""
        if due := await self._decider.due():
            await self._publisher.publish(due)
