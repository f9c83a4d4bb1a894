"""Records that nobody of ours would publish: each is parked, and nothing stops for it."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Any

import pytest
from prometheus_client import CollectorRegistry

from trending_shared.clock import FrozenClock
from trending_shared.delivery import Consumer
from trending_shared.errors import Declined, EventTooLarge, Rejected, Unavailable
from trending_shared.events import TitleScraped
from trending_shared.messages import Message, first_message
from trending_shared.publishing import MAX_RECORD
from trending_shared.testing import CollectingPublisher, a_title_scraped
from trending_shared.unhandled import Halted

NOW = datetime(2026, 11, 1, 12, tzinfo=UTC)
ROOM = MAX_RECORD - 4096  # bytes of a body, as in `publishing`


class PageIsGone(Declined):
    """A test's own everyday reason."""


class PlotForbidden(Rejected):
    """A test's own reason."""


class ArchiveClosed(Unavailable):
    """A test's own outage."""


ERRORS = {"gone": PageIsGone, "never": PlotForbidden, "later": ArchiveClosed}


class NarrowPublisher(CollectingPublisher):
    """Takes no more in a record than Kafka does, headers and all."""

    async def publish_raw(
        self,
        topic: str,
        *,
        key: bytes | None,
        value: bytes | None,
        headers: Sequence[tuple[str, bytes]],
    ) -> None:
        size = len(key or b"") + sum(len(name) + len(value) for name, value in headers)
        if len(value or b"") > ROOM or size + len(value or b"") > MAX_RECORD:
            raise EventTooLarge("too large")
        await super().publish_raw(topic, key=key, value=value, headers=headers)


@dataclass
class Record:
    """The attributes of a consumer record that delivery reads."""

    offset: int
    value: bytes | None
    headers: list[tuple[str, bytes]]
    topic: str = "titles-scraped"
    partition: int = 0
    key: bytes | None = b"demo:7"


class House:
    """A consumer whose handler fails as the titles' names say."""

    def __init__(self, *, at_once: int = 1, limit: int = 100) -> None:
        self.publisher = NarrowPublisher()
        self.registry = CollectorRegistry()
        self.handled: list[str] = []
        self.consumer = Consumer(
            service="cleaner",
            publisher=self.publisher,
            registry=self.registry,
            dead_letter_limit=limit,
            clock=FrozenClock(NOW),
        )
        self.consumer.on_each(TitleScraped, self.on_title_scraped, at_once=at_once)

    async def on_title_scraped(self, message: Message[TitleScraped]) -> None:
        error = ERRORS.get(message.event.source_id.partition("-")[0])
        if error:
            raise error("as its name says")
        self.handled.append(message.event.source_id)

    def count(self, outcome: str) -> float:
        labels = {"topic": "titles-scraped", "outcome": outcome}
        return self.registry.get_sample_value("trending_events_consumed_total", labels) or 0.0


def a_record(source_id: str, offset: int, **headers: bytes) -> Record:
    message = first_message(a_title_scraped(source_id=source_id))
    named = dict(message.headers(source="scraper", code_version="1", now=NOW)) | headers
    return Record(offset, message.body(), list(named.items()))


async def test_a_time_without_an_offset_is_undecodable_and_stops_nobody() -> None:
    house = House()
    bad = a_record("x", 1, ce_time=b"2026-11-01T00:00:00")
    await house.consumer.deliver([a_record("a", 0), bad, a_record("b", 2)])
    assert house.handled == ["a", "b"]
    ((topic, _, value, headers),) = house.publisher.raw
    assert (topic, value) == ("titles-scraped-cleaner-dlq", bad.value)
    assert headers["trending-reason"] == b"Undecodable"
    assert house.count("parked") == 1


@pytest.mark.parametrize(
    "headers",
    [
        {"trending-due": "²".encode()},
        {"trending-due": b"9" * 30},
        {"trending-due": b"99999999999999"},
        {"trending-attempt": "²".encode()},
        {"trending-attempt": b"9" * 6000},
        {"trending-origin": b"no such topic/../"},
    ],
)
@pytest.mark.parametrize("source_id", ["a", "never", "later"])
async def test_our_own_headers_are_believed_only_where_we_put_them(
    headers: dict[str, Any], source_id: str
) -> None:
    house = House()
    assert await house.consumer.deliver([a_record(source_id, 0, **headers)]) == {}
    for topic, _, _, written in house.publisher.raw:
        assert topic.startswith("titles-scraped-cleaner-")
        assert written["trending-origin"] == b"titles-scraped:0:0"
    assert house.count("handled") + house.count("parked") + house.count("postponed") == 1


@pytest.mark.parametrize(
    "enlarge",
    [
        lambda record: replace(record, value=b"x" * (ROOM + 1)),
        lambda record: replace(record, key=b"x" * MAX_RECORD),
        lambda record: replace(record, headers=[*record.headers, ("x", b"x" * MAX_RECORD)]),
        lambda record: replace(record, headers=[*record.headers, *[("x", b"x" * 400)] * 2500]),
    ],
)
@pytest.mark.parametrize("source_id", ["never", "later"])
async def test_what_fits_into_no_record_of_ours_is_parked_without_what_is_large(
    enlarge: Callable[[Record], Record], source_id: str
) -> None:
    house = House()
    bad = enlarge(a_record(source_id, 1))
    await house.consumer.deliver([a_record("a", 0), bad, a_record("b", 2)])
    assert house.handled == ["a", "b"]
    ((topic, _, value, headers),) = house.publisher.raw
    assert (topic, value) == ("titles-scraped-cleaner-dlq", None)
    assert headers["trending-origin"] == b"titles-scraped:0:1", "where all of it still lies"
    assert headers["ce_id"] == dict(bad.headers)["ce_id"]
    assert house.count("parked") == 1


async def test_everyday_refusals_are_parked_and_never_halt() -> None:
    house = House(at_once=8)
    await house.consumer.deliver([a_record(f"gone-{n}", n) for n in range(200)])
    assert house.consumer.progress.halted is None
    assert {topic for topic, *_ in house.publisher.raw} == {"titles-scraped-cleaner-dlq"}
    assert {headers["trending-reason"] for *_, headers in house.publisher.raw} == {b"PageIsGone"}
    assert (house.count("declined"), house.count("parked")) == (200, 0)


async def test_everyday_refusals_neither_make_nor_break_a_run_of_dead_letters() -> None:
    house = House(limit=2)
    with pytest.raises(Halted):
        await house.consumer.deliver(
            [a_record(name, n) for n, name in enumerate(["never-1", "gone-1", "never-2", "a"])]
        )
    assert house.handled == []


async def test_messages_handled_together_halt_the_consumer_too() -> None:
    house = House(at_once=8, limit=3)
    with pytest.raises(Halted):
        await house.consumer.deliver([a_record(f"never-{n}", n) for n in range(50)])
    assert house.consumer.progress.halted is not None
