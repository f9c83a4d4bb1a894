"""Long work holds no message: a loop that runs open runs, each in a process of its own."""

import asyncio
import contextlib
import os
import signal
import socket
import sys
from collections.abc import AsyncIterator, Coroutine, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any
from uuid import UUID

import structlog

from trending_shared.clock import Clock
from trending_shared.errors import Rejected, Unavailable
from trending_shared.events import ModelRefused
from trending_shared.publishing import Publisher
from trending_shared.tracing import OFF, TRACEPARENT, Tracing, current_traceparent, fail
from trending_trainer.metrics import TrainerMetrics
from trending_trainer.runs import Attempt, Outcome, Request, Runs

log = structlog.get_logger()

FIT = (sys.executable, "-m", "trending_trainer.fitting")
MODEL = "genres"
_STOP_WITHIN = 10.0  # seconds a fit has to end after SIGTERM


class FitNotStarted(Unavailable):
    """The machine had no room for a fit's process or its log."""


class Supervisor:
    """Runs one open run after the other and publishes what came of it.

    Args:
        command: starts a fit; the run's id, the attempt's number and our process id are added.
        attempts: fits that die before a run counts as failed.
        look_again: seconds between looks for runs that another trainer left behind.
    """

    def __init__(
        self,
        *,
        runs: Runs,
        publisher: Publisher,
        metrics: TrainerMetrics,
        clock: Clock,
        attempts: int,
        logs: Path,
        command: Sequence[str] = FIT,
        look_again: float = 1.0,
        tracing: Tracing = OFF,
    ) -> None:
        self._runs = runs
        self._publisher = publisher
        self._metrics = metrics
        self._clock = clock
        self._attempts = attempts
        self._logs = logs
        self._command = tuple(command)
        self._look_again = look_again
        self._tracing = tracing
        self._owner = f"{socket.gethostname()}:{os.getpid()}"
        self._wake = asyncio.Event()

    def wake(self) -> None:
        """Look for open runs now."""
        self._wake.set()

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """Supervise in the background; a fit at work is stopped and withdrawn when left."""
        async with in_background(self._loop(), died="runs_no_longer_supervised"):
            yield

    async def _loop(self) -> None:
        while True:
            self._wake.clear()
            try:
                requests = await asyncio.to_thread(self._runs.open)
                self._metrics.open_runs.set(len(requests))
            except Unavailable as error:
                log.warning("runs_not_found", reason=error.reason, detail=str(error))
                requests = []
            for request in requests:
                await self._advance_if_possible(request)
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._wake.wait(), timeout=self._look_again)

    async def _advance_if_possible(self, request: Request) -> None:
        """Whatever keeps one run from going on, the others do."""
        try:
            await self.advance(request)
        except (Unavailable, Rejected) as error:
            write = log.warning if isinstance(error, Unavailable) else log.error
            write(
                "run_not_advanced",
                run_id=str(request.run_id),
                reason=error.reason,
                detail=str(error),
            )

    async def advance(self, request: Request) -> None:
        """Take a run as far as it goes: fit it if nobody does, publish it if it has ended.

        Raises:
            Unavailable: the store or Kafka didn't answer, or no process could be started; the run
                stays open.
            Rejected: a document of the run is damaged, or a fact too large; it stays open, too.
        """
        run_id = request.run_id
        outcome = await asyncio.to_thread(self._runs.outcome, run_id)
        if outcome is None:
            attempt = await asyncio.to_thread(
                lambda: self._runs.begin(run_id, owner=self._owner, now=self._clock.now())
            )
            if attempt is None:
                return  # somebody else is at it
            outcome = await self._try(request, attempt)
        if outcome is None:
            return
        await self._publisher.publish(outcome.messages(request))
        await asyncio.to_thread(self._runs.close, run_id)
        self._count(outcome)
        log.info(
            "run_published",
            run_id=str(run_id),
            outcome=outcome.verdict,
            promoted=outcome.promoted.model_version if outcome.promoted else None,
            approved=outcome.approved.model_version if outcome.approved else None,
            refused=list(outcome.refused.reasons) if outcome.refused else None,
        )

    async def _try(self, request: Request, attempt: Attempt) -> Outcome | None:
        run_id = request.run_id
        if await asyncio.to_thread(self._runs.tries, run_id) > self._attempts:
            reason = f"no fit came to an end in {self._attempts} attempts; see the trainer's log"
            refused = ModelRefused(model=MODEL, dataset_id=request.dataset_id, reasons=(reason,))
            failed = Outcome(refused=refused, failed=True)
            return await asyncio.to_thread(self._runs.end, run_id, failed)
        self._metrics.attempts.inc()
        log.info("fit_started", run_id=str(run_id), attempt=attempt.number)
        give_up = self._runs.release
        try:
            told = {"trending.run_id": str(run_id), "trending.attempt": attempt.number}
            with (
                self._metrics.seconds.time(),
                self._tracing.span(f"train {MODEL}", told, parent=request.traceparent) as span,
            ):
                status = await self._fit(run_id, attempt)
                if status:
                    fail(span, f"status {status}")
        except asyncio.CancelledError:
            give_up = self._runs.withdraw
            raise
        finally:
            try:
                await asyncio.to_thread(give_up, run_id, attempt)
            except Unavailable as error:
                # It ends with its lease then; an error here would take the place of a cancellation.
                log.warning("attempt_not_given_up", run_id=str(run_id), detail=str(error))
        log.info("fit_ended", run_id=str(run_id), attempt=attempt.number, status=status)
        return await asyncio.to_thread(self._runs.outcome, run_id)

    async def _fit(self, run_id: UUID, attempt: Attempt) -> int:
        path = self._logs / f"{run_id}-{attempt.number}.log"
        try:
            self._logs.mkdir(parents=True, exist_ok=True)
            with path.open("wb") as output:
                process = await asyncio.create_subprocess_exec(
                    *self._command,
                    str(run_id),
                    str(attempt.number),
                    str(os.getpid()),
                    env=os.environ | {TRACEPARENT: current_traceparent() or ""},
                    stdin=asyncio.subprocess.DEVNULL,
                    stdout=output,
                    stderr=output,
                )
        except OSError as error:
            raise FitNotStarted(f"{self._command[0]}: {error}") from error
        try:
            status = await process.wait()
        finally:
            if process.returncode is None:
                await _stop(process)
        if status:
            tail = await asyncio.to_thread(path.read_bytes)
            log.error("fit_failed", run_id=str(run_id), status=status, output=last_line(tail))
        return status

    def _count(self, outcome: Outcome) -> None:
        for registered in outcome.registered:
            self._metrics.macro_f1.labels(registered.algorithm).set(registered.macro_f1)
        self._metrics.runs.labels(outcome.verdict).inc()


@asynccontextmanager
async def in_background(loop: Coroutine[Any, Any, None], *, died: str) -> AsyncIterator[None]:
    """Run something without end until left; should an error end it, that is logged as `died`."""

    def report(task: "asyncio.Task[None]") -> None:
        if not task.cancelled() and (error := task.exception()):
            log.critical(died, exc_info=error)

    task = asyncio.create_task(loop)
    task.add_done_callback(report)
    try:
        yield
    finally:
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await task


async def _stop(process: asyncio.subprocess.Process) -> None:
    process.send_signal(signal.SIGTERM)
    try:
        await asyncio.wait_for(process.wait(), timeout=_STOP_WITHIN)
    except TimeoutError:
        process.kill()
        await process.wait()


def last_line(output: bytes) -> str:
    """What a process said last: of one that failed, why."""
    lines = output.decode(errors="replace").strip().splitlines()
    return lines[-1] if lines else ""
