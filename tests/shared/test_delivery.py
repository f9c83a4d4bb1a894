"""What becomes of each message of a batch, decided without a broker."""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from aiokafka import TopicPartition
from hypothesis import given, settings
from hypothesis import strategies as st
from prometheus_client import CollectorRegistry

from trending_shared.clock import FrozenClock
from trending_shared.delivery import Consumer
from trending_shared.errors import BatchUnfit, BrokerUnavailable, Rejected, Unavailable
from trending_shared.events import TitleScraped
from trending_shared.messages import Message, first_message
from trending_shared.probes import progress_problem
from trending_shared.testing import CollectingPublisher, a_title_cleaned, a_title_scraped
from trending_shared.unhandled import LONGEST_WAIT, Halted

NOW = datetime(2026, 11, 1, 12, tzinfo=UTC)


class PlotForbidden(Rejected):
    """A test's own reason."""


class ArchiveClosed(Unavailable):
    """A test's own outage."""


@dataclass
class Record:
    """The attributes of a consumer record that delivery reads."""

    offset: int
    value: bytes | None
    headers: Sequence[tuple[str, bytes | None]]
    topic: str = "titles-scraped"
    partition: int = 0
    key: bytes | None = b"demo:7"


@dataclass
class House:
    """A consumer, what it publishes, and what its handler was given."""

    publisher: CollectingPublisher = field(default_factory=CollectingPublisher)
    registry: CollectorRegistry = field(default_factory=CollectorRegistry)
    clock: FrozenClock = field(default_factory=lambda: FrozenClock(NOW))
    limit: int = 100
    batches: list[list[str]] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.consumer = Consumer(
            service="cleaner",
            publisher=self.publisher,
            registry=self.registry,
            dead_letter_limit=self.limit,
            clock=self.clock,
        )
        self.consumer.on(TitleScraped, self.handle)

    def handle(self, messages: Sequence[Message[TitleScraped]]) -> list[Message[Any]]:
        names = [message.event.source_id for message in messages]
        self.batches.append(names)
        for name in names:
            if name.startswith("never"):
                raise PlotForbidden(f"{name} tells the ending")
            if name.startswith("later"):
                raise ArchiveClosed("closed on Mondays")
            if name.startswith("bug"):
                raise ZeroDivisionError("a bug of ours")
        return [
            message.leads_to(a_title_cleaned(title_id=message.event.source_id))
            for message in messages
        ]

    @property
    def cleaned(self) -> list[str]:
        return [message.event.title_id for message in self.publisher.messages]

    def count(self, outcome: str) -> float:
        labels = {"topic": "titles-scraped", "outcome": outcome}
        return self.registry.get_sample_value("trending_events_consumed_total", labels) or 0.0


def a_record(source_id: str, offset: int, **changes: Any) -> Record:
    message = first_message(a_title_scraped(source_id=source_id))
    headers = message.headers(source="scraper", code_version="1", now=NOW)
    return replace(Record(offset, message.body(), headers), **changes)


async def test_a_good_batch_is_handled_at_once_and_its_events_are_published_in_order() -> None:
    house = House()
    rewinds = await house.consumer.deliver([a_record("a", 0), a_record("b", 1), a_record("c", 2)])
    assert house.batches == [["a", "b", "c"]]
    assert house.cleaned == ["a", "b", "c"]
    assert rewinds == {}
    assert house.count("handled") == 3
    last = "trending_event_last_handled_timestamp_seconds"
    labels = {"topic": "titles-scraped"}
    assert house.registry.get_sample_value(last, labels) == house.clock.now().timestamp()


def test_what_may_become_of_an_event_is_counted_from_zero_before_the_first() -> None:
    events, (topic,) = House().consumer.metrics.events, House().consumer.consumes
    counted = {
        sample.labels["outcome"]: sample.value
        for metric in events.collect()
        for sample in metric.samples
        if sample.name.endswith("_total") and sample.labels["topic"] == topic.topic
    }
    assert counted == dict.fromkeys(("handled", "postponed", "waiting", "parked", "declined"), 0)


async def test_one_bad_message_is_found_by_halving_and_parked_with_its_reason() -> None:
    house = House()
    names = ["a", "b", "never-7", "c", "d", "e", "f", "g"]
    await house.consumer.deliver([a_record(name, n) for n, name in enumerate(names)])
    assert sorted(house.cleaned) == ["a", "b", "c", "d", "e", "f", "g"]
    ((topic, key, _, headers),) = house.publisher.raw
    assert topic == "titles-scraped-cleaner-dlq"
    assert key == b"demo:7"
    assert headers["trending-reason"] == b"PlotForbidden"
    assert headers["trending-detail"] == b"never-7 tells the ending"
    assert headers["trending-origin"] == b"titles-scraped:0:2"
    assert headers["ce_type"] == b"trending.TitleScraped.v1"
    assert (house.count("handled"), house.count("parked")) == (7, 1)


async def test_what_cannot_work_now_waits_as_it_came_in_the_first_retry_topic() -> None:
    house = House()
    record = a_record("later-1", 5)
    await house.consumer.deliver([record])
    ((topic, key, value, headers),) = house.publisher.raw
    assert topic == "titles-scraped-cleaner-retry-10s"
    assert (key, value) == (record.key, record.value)
    assert int(headers["trending-due"]) == int((NOW + timedelta(seconds=10)).timestamp() * 1000)
    assert headers["trending-attempt"] == b"2"
    assert headers["trending-reason"] == b"ArchiveClosed"
    assert len(house.batches) == 1, "an outage isn't searched for among the messages"


async def test_an_unexpected_error_is_tried_again_and_the_others_go_on() -> None:
    house = House()
    await house.consumer.deliver([a_record("a", 0), a_record("bug", 1), a_record("b", 2)])
    assert sorted(house.cleaned) == ["a", "b"]
    ((topic, *_, headers),) = house.publisher.raw
    assert topic.endswith("-retry-10s")
    assert headers["trending-reason"] == b"ZeroDivisionError"


async def test_retries_go_through_longer_pauses_and_end_in_the_dead_letters() -> None:
    house = House()
    record = a_record("later-1", 5)
    topics = []
    for _ in range(4):
        await house.consumer.deliver([record])
        topic, key, value, headers = house.publisher.raw[-1]
        topics.append(topic.removeprefix("titles-scraped-cleaner-"))
        assert headers["trending-origin"] == b"titles-scraped:0:5"
        record = Record(0, value, list(headers.items()), topic=topic, key=key)
        house.clock.advance(timedelta(minutes=30))
    assert topics == ["retry-10s", "retry-2m", "retry-10m", "dlq"]
    assert headers["trending-attempt"] == b"4"


class GateClosed(Unavailable):
    """A test's own outage whose end is known."""


def closed_for(wait: timedelta) -> House:
    """A house whose handler lets nothing through until `wait` has gone by."""
    house = House()
    opens = NOW + wait

    def handle(messages: Sequence[Message[TitleScraped]]) -> list[Message[Any]]:
        if house.clock.now() < opens:
            raise GateClosed("closed", not_before=opens)
        return house.handle(messages)

    house.consumer.on(TitleScraped, handle)
    return house


async def follow(house: House, record: Record) -> list[tuple[str, datetime]]:
    """Deliver a record and what becomes of it until it is handled or parked; where it was, when."""
    way: list[tuple[str, datetime]] = []
    while True:
        before = len(house.publisher.raw)
        rewinds = await house.consumer.deliver([record])
        for _, due in rewinds.values():
            assert due is not None, "a postponed record says when it is due"
            house.clock.at = due
        if rewinds:
            continue
        if len(house.publisher.raw) == before:
            return way
        topic, key, value, headers = house.publisher.raw[-1]
        way.append((topic.removeprefix("titles-scraped-cleaner-"), house.clock.now()))
        if topic.endswith("-dlq"):
            return way
        record = Record(len(way), value, list(headers.items()), topic=topic, key=key)


async def test_what_cannot_work_before_a_time_waits_for_it_in_the_longest_steps_that_fit() -> None:
    house = closed_for(timedelta(minutes=25, seconds=15))
    way = await follow(house, a_record("a", 5))
    assert [step.removeprefix("retry-") for step, _ in way] == [
        *("10m", "10m", "2m", "2m"),
        *("10s",) * 8,
    ]
    assert house.cleaned == ["a"]
    assert len(house.batches) == 1, "it was handled once, when its time had come"
    assert house.count("waiting") == 1


@given(seconds=st.integers(1, 7 * 86400))
@settings(max_examples=25, deadline=None)
def test_a_wait_ends_soon_after_its_time_and_takes_few_steps(seconds: int) -> None:
    house = closed_for(timedelta(seconds=seconds))
    way = asyncio.run(follow(house, a_record("a", 5)))
    assert house.cleaned == ["a"]
    assert (
        timedelta() <= house.clock.now() - NOW - timedelta(seconds=seconds) <= timedelta(seconds=10)
    )
    assert len(way) <= seconds / 600 + 4 + 12 + 1


async def test_a_wait_uses_up_no_attempt() -> None:
    house = closed_for(timedelta(hours=1))
    way = await follow(house, a_record("later-1", 5))
    tried = [step for step, at in way if at >= NOW + timedelta(hours=1)]
    assert tried == ["retry-10s", "retry-2m", "retry-10m", "dlq"]
    assert house.publisher.raw[-1][3]["trending-origin"] == b"titles-scraped:0:5"


async def test_a_wait_says_why_as_long_as_it_lasts() -> None:
    house = closed_for(timedelta(minutes=25))
    record = a_record("a", 5)
    await follow(house, record)
    for *_, key, value, headers in house.publisher.raw:
        assert (key, value) == (record.key, record.value)
        assert headers["trending-reason"] == b"GateClosed"
        assert headers["trending-attempt"] == b"1"
        assert headers["ce_type"] == b"trending.TitleScraped.v1"


async def test_a_wait_beyond_all_measure_is_parked_with_its_reason() -> None:
    house = closed_for(LONGEST_WAIT + timedelta(seconds=1))
    ((topic, _),) = await follow(house, a_record("a", 5))
    assert topic == "dlq"
    assert house.publisher.raw[-1][3]["trending-reason"] == b"GateClosed"


async def test_waits_that_never_end_are_parked_in_the_end() -> None:
    house = House()

    def handle(messages: Sequence[Message[TitleScraped]]) -> list[Message[Any]]:
        raise GateClosed("closed", not_before=house.clock.now() + timedelta(hours=20))

    house.consumer.on(TitleScraped, handle)
    way = await follow(house, a_record("a", 5))
    assert way[-1][0] == "dlq"
    assert way[-1][1] - NOW == pytest.approx(LONGEST_WAIT, abs=timedelta(hours=20))


async def test_a_time_that_has_passed_is_no_reason_to_wait() -> None:
    house = House()

    def handle(messages: Sequence[Message[TitleScraped]]) -> list[Message[Any]]:
        raise GateClosed("closed", not_before=NOW)

    house.consumer.on(TitleScraped, handle)
    way = await follow(house, a_record("a", 5))
    assert [step for step, _ in way] == ["retry-10s", "retry-2m", "retry-10m", "dlq"]


async def test_a_record_that_is_not_due_holds_its_own_partition_only() -> None:
    house = House()
    due = NOW + timedelta(seconds=7)
    waiting = a_record("w", 3, topic="titles-scraped-cleaner-retry-10s")
    waiting.headers = [
        *waiting.headers,
        ("trending-due", str(int(due.timestamp() * 1000)).encode()),
    ]
    behind = a_record("v", 4, topic=waiting.topic)
    rewinds = await house.consumer.deliver([waiting, behind, a_record("a", 9)])
    assert house.cleaned == ["a"]
    assert rewinds == {TopicPartition(waiting.topic, 0): (3, due)}
    house.clock.advance(timedelta(seconds=7))
    assert await house.consumer.deliver([waiting, behind]) == {}
    assert house.cleaned == ["a", "w", "v"]


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"value": b'{"source": "demo"'}, b"Undecodable"),
        ({"value": None}, b"Undecodable"),
        ({"headers": [("ce_type", b"\xff\xfe")]}, b"Undecodable"),
        ({"headers": [("ce_type", None)]}, b"Undecodable"),
        ({"headers": []}, b"Undecodable"),
        ({"headers": [("ce_type", b"trending.TitleScraped.v9")]}, b"UnknownEventType"),
    ],
)
async def test_what_cannot_be_decoded_is_parked_and_its_neighbours_are_handled(
    changes: dict[str, Any], reason: bytes
) -> None:
    house = House()
    bad = a_record("x", 1, **changes)
    await house.consumer.deliver([a_record("a", 0), bad, a_record("b", 2)])
    assert house.cleaned == ["a", "b"]
    ((topic, _, value, headers),) = house.publisher.raw
    assert topic == "titles-scraped-cleaner-dlq"
    assert value == bad.value
    assert headers["trending-reason"] == reason


async def test_a_run_of_dead_letters_halts_the_consumer() -> None:
    house = House(limit=3)
    with pytest.raises(Halted):
        await house.consumer.deliver([a_record(f"never-{n}", n) for n in range(8)])
    assert len(house.publisher.raw) == 3
    assert house.consumer.progress.halted == "3 dead letters in a row, last: PlotForbidden"
    assert house.registry.get_sample_value("trending_consumer_halted") == 1


async def test_a_success_ends_a_run_of_dead_letters() -> None:
    house = House(limit=2)
    for n, name in enumerate(["never-1", "a", "never-2", "b", "never-3"]):
        await house.consumer.deliver([a_record(name, n)])
    assert house.consumer.progress.halted is None
    assert house.count("parked") == 3


async def test_a_partition_that_is_unfit_is_put_back_and_the_others_go_on() -> None:
    house = House()
    unfit = {("titles-scraped", 1): "2 of 2 records are errors"}

    def handle(messages: Sequence[Message[TitleScraped]]) -> list[Message[Any]]:
        if any(message.event.source_id.startswith("unfit") for message in messages):
            raise BatchUnfit(unfit)
        return house.handle(messages)

    house.consumer.on(TitleScraped, handle)
    records = [
        a_record("a", 7),
        a_record("unfit-1", 3, partition=1),
        a_record("unfit-2", 4, partition=1),
        a_record("b", 8),
    ]
    rewinds = await house.consumer.deliver(records)
    assert rewinds == {TopicPartition("titles-scraped", 1): (3, None)}
    assert house.cleaned == ["a", "b"]
    assert house.publisher.raw == []
    assert house.consumer.held == unfit
    labels = {"topic": "titles-scraped", "partition": "1"}
    gauge = "trending_consumer_partition_held"
    assert house.registry.get_sample_value(gauge, labels) == 1
    problem = progress_problem(house.consumer, house.clock)
    assert problem == "held: titles-scraped:1: 2 of 2 records are errors"

    await house.consumer.deliver([a_record("c", 3, partition=1)])  # it was given back, and is fine
    assert house.consumer.held == {}
    assert house.registry.get_sample_value(gauge, labels) is None
    assert progress_problem(house.consumer, house.clock) is None


async def test_an_unfit_partition_is_neither_halved_nor_postponed() -> None:
    house = House()

    def handle(messages: Sequence[Message[TitleScraped]]) -> list[Message[Any]]:
        house.batches.append([message.event.source_id for message in messages])
        raise BatchUnfit({("titles-scraped", 0): "all of it"})

    house.consumer.on(TitleScraped, handle)
    rewinds = await house.consumer.deliver([a_record(name, n) for n, name in enumerate("abc")])
    assert house.batches == [["a", "b", "c"]]
    assert rewinds == {TopicPartition("titles-scraped", 0): (0, None)}
    assert (house.publisher.raw, house.publisher.messages) == ([], [])


async def test_nothing_is_committed_when_a_message_can_neither_be_published_nor_set_aside() -> None:
    house = House()
    house.publisher.down = True
    with pytest.raises(BrokerUnavailable):
        await house.consumer.deliver([a_record("a", 0)])


async def test_a_redelivered_batch_leads_to_the_same_ids() -> None:
    house = House()
    records = [a_record("a", 0), a_record("b", 1)]
    await house.consumer.deliver(records)
    await house.consumer.deliver(records[1:])
    first, second, again = (message.id for message in house.publisher.messages)
    assert second == again != first


async def test_messages_handled_one_by_one_fail_alone() -> None:
    house = House()
    seen: list[str] = []

    async def on_title(message: Message[TitleScraped]) -> list[Message[Any]]:
        seen.append(message.event.source_id)
        return house.handle([message])

    house.consumer.on_each(TitleScraped, on_title, at_once=4)
    names = ["a", "never-1", "later-1", "b"]
    await house.consumer.deliver([a_record(name, n) for n, name in enumerate(names)])
    assert sorted(seen) == sorted(names), "each is tried once"
    assert sorted(house.cleaned) == ["a", "b"]
    assert sorted(topic.rsplit("-", 1)[-1] for topic, *_ in house.publisher.raw) == ["10s", "dlq"]


async def test_messages_handled_together_fail_as_plainly_as_one() -> None:
    house = House()
    house.publisher.down = True
    house.consumer.on_each(TitleScraped, lambda message: house.handle([message]), at_once=4)
    with pytest.raises(BrokerUnavailable):
        await house.consumer.deliver([a_record(f"t{n}", n) for n in range(8)])
