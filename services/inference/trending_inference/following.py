"""Scrape jobs as they go through the house, read from the event log while somebody asks.

The gateway has no consumer group: each reading is a client of its own from where the job began, so
a process bounds how many there are at once.
"""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from uuid import UUID

from trending_shared.errors import BrokerUnavailable, Unavailable
from trending_shared.events import ScrapeJob
from trending_shared.walk import Walk, WalkWatcher

Watch = Callable[[UUID], AbstractAsyncContextManager[WalkWatcher]]

_LONGEST = 600.0  # seconds of one stream; whoever still listens comes again with its last id
_PAUSE = 0.5  # seconds between two looks


class TooManyFollowers(Unavailable):
    """As many jobs are followed as this process can."""


class JobUnknown(Exception):
    """The log has no such job, or none any more."""


class Jobs:
    """Reads jobs from the log.

    Args:
        watch: reads the log for one job, from where that began; `trending_shared.walk.watching`.
        at_once: readings at a time.
        patience: seconds that a reading may take to get to the end of the log.
    """

    def __init__(self, watch: Watch, *, at_once: int, patience: float) -> None:
        self._watch = watch
        self._at_once = at_once
        self._patience = patience
        self._under_way = 0
        self._stopping = False

    def stop(self) -> None:
        """Have all streams end soon; a server that stops waits for them. For a signal handler."""
        self._stopping = True

    @asynccontextmanager
    async def following(self, job_id: UUID) -> AsyncIterator["Following"]:
        """A job as far as the log has it by now, and on from there.

        Raises:
            BrokerUnavailable: Kafka didn't answer in time.
            JobUnknown: there is no such job.
            TooManyFollowers: others are followed already.
        """
        if self._under_way >= self._at_once:
            raise TooManyFollowers(f"{self._under_way} jobs are followed already")
        self._under_way += 1
        try:
            async with self._watch(job_id) as watcher:
                following = Following(watcher, watcher.walks[job_id], lambda: self._stopping)
                try:
                    async with asyncio.timeout(self._patience):
                        await following.catch_up()
                except TimeoutError as error:
                    raise BrokerUnavailable("the end of the log wasn't reached") from error
                if following.walk.count(ScrapeJob) == 0:
                    raise JobUnknown(f"no job {job_id} in {ScrapeJob.topic}")
                yield following
        finally:
            self._under_way -= 1


class Following:
    """A job that is followed."""

    def __init__(self, watcher: WalkWatcher, walk: Walk, stopping: Callable[[], bool]) -> None:
        self._watcher = watcher
        self._stopping = stopping
        self.walk = walk

    async def catch_up(self) -> None:
        while not await self._watcher.caught_up():
            await self._watcher.poll(_PAUSE)

    async def changes(self, seen: int) -> AsyncIterator[Walk]:
        """The walk whenever more of it has come than so many events, and last when it is settled.

        Ends too when Kafka is gone, the server stops, or it has taken long.
        """
        loop = asyncio.get_running_loop()
        until = loop.time() + _LONGEST
        try:
            while not (self.walk.settled and await self._watcher.caught_up()):
                if self.walk.seen > seen:
                    seen = self.walk.seen
                    yield self.walk
                if self._stopping() or loop.time() > until:
                    return
                await self._watcher.poll(_PAUSE)
        except BrokerUnavailable:
            return
        yield self.walk
