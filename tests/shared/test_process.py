"""The process of a service, as far as it can be seen without one."""

from collections.abc import MutableMapping
from typing import Any

import pytest

from trending_shared.errors import BrokerUnavailable
from trending_shared.process import _brief_about_outages

Told = list[MutableMapping[str, Any]]


async def start(error: Exception | None, told: Told) -> None:
    """Let an app start, or not because of an error, and keep what the server is told."""

    async def app(scope: Any, receive: Any, send: Any) -> None:
        if error:
            await send({"type": "lifespan.startup.failed", "message": "Traceback\n…\n…"})
            raise error
        await send({"type": "lifespan.startup.complete"})

    async def receive() -> Any:
        return {"type": "lifespan.startup"}

    async def send(message: MutableMapping[str, Any]) -> None:
        told.append(message)

    await _brief_about_outages(app, [])({"type": "lifespan"}, receive, send)


async def test_a_service_that_starts_says_so() -> None:
    told: Told = []
    await start(None, told)
    assert told == [{"type": "lifespan.startup.complete"}]


async def test_a_service_that_finds_no_kafka_says_so_in_a_line() -> None:
    told: Told = []
    await start(BrokerUnavailable("no Kafka answers at localhost:9092"), told)
    assert [(message["type"], message["message"]) for message in told] == [
        ("lifespan.startup.failed", "BrokerUnavailable: no Kafka answers at localhost:9092")
    ]


async def test_a_bug_at_the_start_keeps_its_traceback() -> None:
    told: Told = []
    with pytest.raises(ZeroDivisionError):
        await start(ZeroDivisionError(), told)
    assert [message["message"] for message in told] == ["Traceback\n…\n…"]
