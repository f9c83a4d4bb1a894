"""The other load generator: requests that come when they come, whether or not others are answered.

`python -m benchmarks.arrivals` reads `Arrivals` from stdin and writes what came of them to stdout,
both as JSON. Callers who wait for an answer before they ask again slow down with the server that
they measure; a crowd doesn't. Requests come as a Poisson process, and each is timed from the moment
at which it was due, so that a generator that falls behind hides nothing.
"""

import asyncio
import random
import sys
import time
from collections.abc import Iterator
from itertools import cycle
from typing import cast

import uvloop
from pydantic import BaseModel

from benchmarks.callers import HOST, content_length, request, rotated

PATIENCE = 10.0  # seconds beyond the end for answers that are still due
TICK = 0.001  # seconds; who was due in between comes at its end
MOST = 4000  # connections; who finds none fails


class Arrivals(BaseModel):
    """What comes."""

    port: int
    path: str
    bodies: list[str]
    first: int = 0
    per_second: float
    seconds: float
    patience: float
    """Seconds within which an answer is of use; sent along as X-Request-Timeout."""


class Arrived(BaseModel):
    """What came of it."""

    asked: int
    good: int
    """200 within the patience."""
    late: int
    refused: int
    """503 or 429."""
    failed: int
    seconds: float
    good_p50_ms: float | None
    good_p99_ms: float | None
    refused_p50_ms: float | None
    refused_p99_ms: float | None
    cpu_seconds: float
    """Of the load generator itself."""


class Crowd:
    """All connections, and what they were told."""

    def __init__(self, arrivals: Arrivals) -> None:
        self.arrivals = arrivals
        extra = f"X-Request-Timeout: {arrivals.patience}\r\n"
        self._requests: Iterator[bytes] = cycle(
            [
                request(arrivals.port, arrivals.path, body.encode(), extra)
                for body in rotated(arrivals.bodies, arrivals.first)
            ]
        )
        self._idle: list[Connection] = []
        self._open = 0
        self._connecting: set[asyncio.Task[None]] = set()
        self.answered: list[tuple[bytes, float]] = []
        self.asked = 0
        self.gone = asyncio.Event()

    async def come(self) -> float:
        """All of them; returns the seconds that it took them to come."""
        loop = asyncio.get_running_loop()
        chance = random.Random(7)
        started = due = time.perf_counter()
        while (now := time.perf_counter()) - started < self.arrivals.seconds:
            while due <= now:
                self._ask(loop, due)
                due += chance.expovariate(self.arrivals.per_second)
            await asyncio.sleep(TICK)
        took = time.perf_counter() - started
        if len(self.answered) < self.asked:
            self.gone.clear()
            async with asyncio.timeout(PATIENCE):
                await self.gone.wait()
        return took

    def _ask(self, loop: asyncio.AbstractEventLoop, due: float) -> None:
        self.asked += 1
        if self._idle:
            self._idle.pop().ask(next(self._requests), due)
            return
        connection = Connection(self, next(self._requests), due)
        if self._open >= MOST:
            self.told(b"", connection)
            return
        self._open += 1
        task = asyncio.create_task(self._connect(loop, connection))
        self._connecting.add(task)
        task.add_done_callback(self._connecting.discard)

    async def _connect(self, loop: asyncio.AbstractEventLoop, connection: "Connection") -> None:
        try:
            await loop.create_connection(lambda: connection, HOST, self.arrivals.port)
        except OSError:
            self._open -= 1
            self.told(b"", connection)

    def told(self, status: bytes, connection: "Connection", again: bool = False) -> None:
        self.answered.append((status, time.perf_counter() - connection.due))
        if again:
            self._idle.append(connection)
        if len(self.answered) >= self.asked:
            self.gone.set()

    def forget(self, connection: "Connection") -> None:
        self._open -= 1
        if connection in self._idle:
            self._idle.remove(connection)


class Connection(asyncio.Protocol):
    """One request at a time."""

    def __init__(self, crowd: Crowd, first: bytes, due: float) -> None:
        self._crowd = crowd
        self._first = first
        self._received = bytearray()
        self._waiting = False
        self.due = due

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)  # uvloop's own
        self.ask(self._first, self.due)

    def ask(self, request: bytes, due: float) -> None:
        self.due = due
        self._waiting = True
        self._transport.write(request)

    def data_received(self, data: bytes) -> None:
        self._received += data
        head = self._received.find(b"\r\n\r\n")
        if head < 0 or len(self._received) < head + 4 + content_length(self._received[: head + 4]):
            return
        status = bytes(self._received[9:12])
        self._received.clear()
        self._waiting = False
        self._crowd.told(status, self, again=True)

    def connection_lost(self, error: Exception | None) -> None:
        self._crowd.forget(self)
        if self._waiting:
            self._crowd.told(b"", self)


async def send(arrivals: Arrivals) -> Arrived:
    crowd, cpu = Crowd(arrivals), time.process_time()
    seconds = await crowd.come()
    good = sorted(took for status, took in crowd.answered if status == b"200")
    refused = sorted(took for status, took in crowd.answered if status in (b"503", b"429"))
    in_time = [took for took in good if took <= arrivals.patience]
    return Arrived(
        asked=crowd.asked,
        good=len(in_time),
        late=len(good) - len(in_time),
        refused=len(refused),
        failed=crowd.asked - len(good) - len(refused),
        seconds=seconds,
        good_p50_ms=_percentile(good, 0.5),
        good_p99_ms=_percentile(good, 0.99),
        refused_p50_ms=_percentile(refused, 0.5),
        refused_p99_ms=_percentile(refused, 0.99),
        cpu_seconds=time.process_time() - cpu,
    )


def _percentile(seconds: list[float], share: float) -> float | None:
    """Milliseconds; none if there are none."""
    return seconds[int(len(seconds) * share)] * 1000 if seconds else None


if __name__ == "__main__":
    asked = Arrivals.model_validate_json(sys.stdin.read())
    sys.stdout.write(uvloop.run(send(asked)).model_dump_json())
