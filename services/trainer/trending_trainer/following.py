"""W&B follows our registry: whenever there is something new, `mirroring` runs as a process.

What is new is seen by looking, not told by a run: so a mirror that failed is made up for, and what
a person promotes or rolls back is mirrored as well. A server that hangs holds up that process only,
and the process is ended after a while.
"""

import asyncio
import contextlib
import os
import signal
import sys
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from datetime import datetime, timedelta
from pathlib import Path

import structlog

from trending_shared.clock import Clock
from trending_shared.errors import Unavailable
from trending_shared.registry import ModelRegistry
from trending_trainer.kept_runs import is_online, unsynced
from trending_trainer.metrics import TrainerMetrics
from trending_trainer.supervising import MODEL, in_background, last_line

log = structlog.get_logger()

MIRROR = (sys.executable, "-m", "trending_trainer.mirroring", "--json")
LOOK_AGAIN = 10.0  # seconds
GIVE_UP = timedelta(minutes=15)  # what isn't uploaded by then is by the next process
PAUSE = timedelta(minutes=5)  # after a failure


class Follower:
    """Starts the mirror when there is something that it hasn't seen.

    Args:
        home: where runs are kept, and what the last process said.
        command: status 0 says that W&B lacks nothing.
    """

    def __init__(
        self,
        *,
        registry: ModelRegistry,
        metrics: TrainerMetrics,
        clock: Clock,
        home: Path,
        command: Sequence[str] = MIRROR,
        give_up: timedelta = GIVE_UP,
    ) -> None:
        self._registry = registry
        self._home = home
        self._metrics = metrics
        self._clock = clock
        self._log = home / "trainer" / "mirror.log"
        self._command = tuple(command)
        self._give_up = give_up
        self._mirrored: frozenset[str] | None = None
        self._not_before: datetime | None = None

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """Follow in the background, if W&B is online; a mirror at work is ended when left."""
        if not is_online():
            yield
            return
        async with in_background(self._loop(), died="registry_no_longer_followed"):
            yield

    async def _loop(self) -> None:
        while True:
            await self.look()
            await asyncio.sleep(LOOK_AGAIN)

    async def look(self) -> None:
        """Mirror if there is something new, and the last failure is some time ago."""
        try:
            keys = await asyncio.to_thread(self._registry.keys, MODEL)
            behind = keys != self._mirrored or bool(await asyncio.to_thread(unsynced, self._home))
        except Unavailable as error:
            log.warning("registry_not_followed", reason=error.reason, detail=str(error))
            return
        self._metrics.mirror_behind.set(behind)
        now = self._clock.now()
        if not behind or (self._not_before and now < self._not_before):
            return
        if await self._mirror():
            self._mirrored, self._not_before = keys, None
            self._metrics.mirror_behind.set(0)
            self._metrics.mirrorings.labels("done").inc()
        else:
            self._not_before = now + PAUSE
            self._metrics.mirrorings.labels("failed").inc()

    async def _mirror(self) -> bool:
        """Whether W&B lacks nothing now."""
        try:
            self._log.parent.mkdir(parents=True, exist_ok=True)
            with self._log.open("wb") as output:
                process = await asyncio.create_subprocess_exec(
                    *self._command,
                    stdin=asyncio.subprocess.DEVNULL,
                    stdout=output,
                    stderr=output,
                    start_new_session=True,  # W&B's own process ends with it
                )
        except OSError as error:
            log.warning("mirror_failed", detail=str(error))
            return False
        try:
            async with asyncio.timeout(self._give_up.total_seconds()):
                status = await process.wait()
        except TimeoutError:
            log.warning("mirror_failed", detail=f"it didn't end within {self._give_up}")
            return False
        finally:
            if process.returncode is None:
                with contextlib.suppress(ProcessLookupError):
                    os.killpg(process.pid, signal.SIGKILL)
                await process.wait()
        if status:
            said = await asyncio.to_thread(self._log.read_bytes)
            log.warning("mirror_failed", status=status, detail=last_line(said))
        return status == 0
