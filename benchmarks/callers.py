"""The load generator: callers of an HTTP server, each of whom asks again when it has its answer.

`python -m benchmarks.callers` reads a `Load` from stdin and writes an `Outcome` to stdout, both as
JSON. It speaks just as much HTTP/1.1 as it needs (RFC 9112: kept connections, answers with a
Content-Length), because a client library would take more CPU time than the server it calls.
"""

import asyncio
import sys
import time
from itertools import cycle

from pydantic import BaseModel

HOST = "127.0.0.1"
PATIENCE = 10.0  # seconds beyond the end for answers that are still due


class Load(BaseModel):
    """What is asked. Every answer has to be a 200 whose body contains `expect`."""

    port: int
    path: str
    bodies: list[str]
    first: int = 0
    """Which of the bodies comes first, so that the next round doesn't ask the same again."""
    expect: str
    callers: int
    seconds: float


class Outcome(BaseModel):
    """What came of it."""

    answers: int
    errors: int
    seconds: float
    p50_ms: float
    p99_ms: float
    cpu_seconds: float
    """Of the load generator itself."""


class Calls:
    """What all callers share."""

    def __init__(self, load: Load) -> None:
        self.load = load
        self.requests = cycle(
            [
                request(load.port, load.path, body.encode())
                for body in rotated(load.bodies, load.first)
            ]
        )
        self.ends_at = time.perf_counter() + load.seconds
        self.latencies: list[float] = []
        self.errors = 0


class Caller(asyncio.Protocol):
    """One connection."""

    def __init__(self, calls: Calls) -> None:
        self._calls = calls
        self._expect = calls.load.expect.encode()
        self._received = bytearray()
        self._asked_at = 0.0
        self._waiting = False
        self.done = asyncio.get_running_loop().create_future()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport
        self._ask()

    def data_received(self, data: bytes) -> None:
        self._received += data
        head = self._received.find(b"\r\n\r\n")
        if head < 0:
            return
        body = head + 4
        if len(self._received) < body + content_length(self._received[:body]):
            return
        self._calls.latencies.append(time.perf_counter() - self._asked_at)
        self._waiting = False
        if self._received[9:12] != b"200" or self._received.find(self._expect, body) < 0:
            self._calls.errors += 1
        self._received.clear()
        if time.perf_counter() < self._calls.ends_at:
            self._ask()
        else:
            self._transport.close()

    def connection_lost(self, error: Exception | None) -> None:
        self._calls.errors += self._waiting
        if not self.done.done():
            self.done.set_result(None)

    def _ask(self) -> None:
        self._waiting = True
        self._asked_at = time.perf_counter()
        self._transport.write(next(self._calls.requests))


def rotated(bodies: list[str], first: int) -> list[str]:
    """All bodies, in a circle that begins elsewhere."""
    first %= len(bodies)
    return bodies[first:] + bodies[:first]


def request(port: int, path: str, body: bytes, headers: str = "") -> bytes:
    """A POST of JSON as it goes over the wire; further headers end with CRLF each."""
    head = (
        f"POST {path} HTTP/1.1\r\nHost: {HOST}:{port}\r\n{headers}"
        f"Content-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n"
    )
    return head.encode() + body


def content_length(head: bytearray) -> int:
    """Of the answer whose head this is."""
    _, _, rest = head.lower().partition(b"content-length:")
    return int(rest.partition(b"\r\n")[0])


async def call(load: Load) -> Outcome:
    """Let them all call; answers after the end still count, with the time they took."""
    loop = asyncio.get_running_loop()
    calls, started, cpu = Calls(load), time.perf_counter(), time.process_time()
    callers = [
        (await loop.create_connection(lambda: Caller(calls), HOST, load.port))[1]
        for _ in range(load.callers)
    ]
    async with asyncio.timeout(load.seconds + PATIENCE):
        await asyncio.gather(*(caller.done for caller in callers))
    latencies = sorted(calls.latencies) or [float("nan")]
    return Outcome(
        answers=len(calls.latencies),
        errors=calls.errors,
        seconds=time.perf_counter() - started,
        p50_ms=latencies[len(latencies) // 2] * 1000,
        p99_ms=latencies[int(len(latencies) * 0.99)] * 1000,
        cpu_seconds=time.process_time() - cpu,
    )


if __name__ == "__main__":
    asked = Load.model_validate_json(sys.stdin.read())
    sys.stdout.write(asyncio.run(call(asked)).model_dump_json())
