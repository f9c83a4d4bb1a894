"""Refusals at the door: the same as inside, and only of what is surely one request."""

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest
import uvicorn
from structlog.testing import capture_logs

from trending_inference.admission import Admission
from trending_inference.door import Door, Refused
from trending_inference.workers import listen
from trending_shared.testing.models import a_graph, promote

BODY = json.dumps({"items": [{"text": "A ghost in the attic."}]}).encode()
HEAD = b"POST /v1/genres HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
INSIDE = b"Connection: keep-alive\r\n"  # says nothing, and is nothing the door looks at


def asked(*headers: bytes, length: int = len(BODY), body: bytes = BODY) -> bytes:
    return HEAD + b"".join(headers) + b"Content-Length: %d\r\n\r\n" % length + body


class Caller:
    """One connection."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader = reader
        self.writer = writer

    async def ask(self, request: bytes) -> tuple[int, dict[str, str], Any]:
        self.writer.write(request)
        return await self.answer()

    async def answer(self) -> tuple[int, dict[str, str], Any]:
        head = (await self._reader.readuntil(b"\r\n\r\n")).decode()
        status, *lines = head.rstrip().split("\r\n")
        headers = dict(line.lower().split(": ", 1) for line in lines)
        body = await self._reader.readexactly(int(headers["content-length"]))
        told = json.loads(body) if "json" in headers["content-type"] else body
        return int(status.split()[1]), headers, told


@pytest.fixture
async def caller(world: Any) -> AsyncIterator[Caller]:
    promote(world.models, a_graph())
    async with serving(world) as port:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        yield Caller(reader, writer)
        writer.close()
        await writer.wait_closed()


@asynccontextmanager
async def serving(world: Any) -> AsyncIterator[int]:
    with listen("127.0.0.1", 0, shared=False) as bound:
        bound.listen()
        server = uvicorn.Server(
            uvicorn.Config(world.app(), http=Door, log_config=None, access_log=False, lifespan="on")
        )
        task = asyncio.create_task(server.serve([bound]))
        yield bound.getsockname()[1]
        server.should_exit = True
        await task


@pytest.fixture
def crowd(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """Empty: nobody waits; else the seconds that all have to wait."""
    waits: list[float] = []
    monkeypatch.setattr(Admission, "crowded", property(lambda _: bool(waits)))
    monkeypatch.setattr(
        Admission,
        "shortage",
        lambda _, texts, within: waits[0] if waits and waits[0] > within / 2 else None,
    )
    return waits


async def test_a_refusal_is_what_it_is_inside(caller: Caller, crowd: list[float]) -> None:
    crowd.append(7.2)
    at_the_door = await caller.ask(asked(b"X-Request-Id: order-17\r\n"))
    inside = await caller.ask(asked(b"X-Request-Id: order-17\r\n", INSIDE))
    for _, headers, _ in (at_the_door, inside):
        del headers["date"]
    assert at_the_door == inside
    status, headers, problem = at_the_door
    assert (status, headers["retry-after"]) == (503, "8")
    assert problem["type"] == "urn:trending:problem:overloaded"
    assert problem["request_id"] == headers["x-request-id"] == "order-17"


async def test_who_was_refused_is_answered_later_on_the_same_connection(
    caller: Caller, crowd: list[float]
) -> None:
    assert (await caller.ask(asked()))[0] == 200
    crowd.append(9.0)
    assert (await caller.ask(asked()))[0] == 503
    assert (await caller.ask(asked()))[0] == 503
    crowd.clear()
    status, _, answer = await caller.ask(asked())
    assert status == 200
    assert answer["items"][0]["recorded"]


async def test_who_has_time_gets_in(caller: Caller, crowd: list[float]) -> None:
    crowd.append(3.0)  # of the ten seconds that are waited if nobody says anything
    assert (await caller.ask(asked()))[0] == 200
    assert (await caller.ask(asked(b"X-Request-Timeout: 1.5\r\n")))[0] == 503


async def test_refusals_are_counted(caller: Caller, crowd: list[float]) -> None:
    crowd.append(9.0)
    await caller.ask(asked())
    await caller.ask(asked(INSIDE))
    _, _, metrics = await caller.ask(b"GET /metrics HTTP/1.1\r\nHost: localhost\r\n\r\n")
    assert b'requests_total{route="/v1/genres",status="503"} 2.0' in metrics
    assert b"trending_inference_shed_requests_total 2.0" in metrics


async def test_what_looks_like_a_request_inside_of_another_is_none(
    caller: Caller, crowd: list[float]
) -> None:
    crowd.append(9.0)
    caller.writer.write(b"GET /healthz HTTP/1.1\r\nHost: localhost\r\nX-Odd: ")
    await caller.writer.drain()
    hidden = b"POST /v1/genres HTTP/1.1\r\nContent-Length: 0\r\n\r\n"
    status, _, told = await caller.ask(hidden)
    assert (status, told) == (200, b"live")


async def test_a_request_in_pieces_goes_in(caller: Caller, crowd: list[float]) -> None:
    crowd.append(9.0)
    whole = asked()
    caller.writer.write(whole[:-10])
    await caller.writer.drain()
    status, headers, _ = await caller.ask(whole[-10:])
    assert (status, headers["retry-after"]) == (503, "9")


async def test_two_requests_at_once_are_two_answers(caller: Caller, crowd: list[float]) -> None:
    crowd.append(9.0)
    caller.writer.write(asked(b"X-Request-Id: one\r\n") + asked(b"X-Request-Id: two\r\n"))
    answers = [await caller.answer(), await caller.answer()]
    assert [headers["x-request-id"] for _, headers, _ in answers] == ["one", "two"]
    assert [status for status, _, _ in answers] == [503, 503]


class Later:
    """A loop whose time passes when told."""

    def __init__(self) -> None:
        self.due: list[Any] = []

    def call_later(self, seconds: float, callback: Any) -> None:
        self.due.append(callback)


def test_who_is_refused_is_told_by_number() -> None:
    later, refused = Later(), Refused()
    with capture_logs() as lines:
        for _ in range(1000):
            refused.count(later)  # type: ignore[arg-type]
        assert lines == []
        for tell in later.due:
            tell()
    (line,) = lines
    assert (line["event"], line["status"], line["requests"]) == ("requests_refused", 503, 1000)
    refused.count(later)  # type: ignore[arg-type]
    assert len(later.due) == 2  # the next second is told of anew
