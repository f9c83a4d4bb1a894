"""Delivery on a real broker: what is committed, what is read again, what waits, what is parked."""

import asyncio
import os
import signal
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Sequence
from contextlib import asynccontextmanager
from datetime import timedelta
from typing import Any
from uuid import uuid4

import pytest
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, TopicPartition
from aiokafka.admin import AIOKafkaAdminClient
from prometheus_client import CollectorRegistry

from trending_cli.embedded_kafka import EmbeddedKafka
from trending_shared.clock import SystemClock
from trending_shared.delivery import Answer, Consumer
from trending_shared.errors import BrokerUnavailable, Rejected, Unavailable
from trending_shared.events import TitleCleaned, TitleScraped
from trending_shared.messages import Message, first_message
from trending_shared.publishing import KafkaPublisher
from trending_shared.settings import ConsumerSettings, KafkaSettings
from trending_shared.testing import a_title_cleaned, a_title_scraped
from trending_shared.topics import (
    TopicSpec,
    ensure_topics,
    group_topics,
    list_partitions,
    topic_spec,
)
from trending_shared.unhandled import ORIGIN, REASON
from trending_shared.worker import Base, worker_app

pytestmark = [pytest.mark.connected, pytest.mark.timeout(120)]

SHORT = (timedelta(seconds=1), timedelta(seconds=2))
Handler = Callable[[Sequence[Message[TitleScraped]]], Answer]


class Bench:
    """A consumer group of its own on a real broker, and tools to look at what it did."""

    def __init__(self, bootstrap: str) -> None:
        self.kafka = KafkaSettings(bootstrap_servers=bootstrap)
        self.group = f"bench{uuid4().hex[:8]}"
        self.dlq = f"titles-scraped-{self.group}-dlq"
        self.consumer: Consumer | None = None

    @asynccontextmanager
    async def serving(
        self,
        handle: Handler,
        publisher_class: type[KafkaPublisher] = KafkaPublisher,
        at_once: int | None = None,
        **options: Any,
    ) -> AsyncIterator[Consumer]:
        registry, clock = CollectorRegistry(), SystemClock()
        publisher = publisher_class(
            self.kafka, service=self.group, code_version="test", registry=registry
        )
        consumer = Consumer(
            service=self.group,
            publisher=publisher,
            registry=registry,
            delays=SHORT,
            clock=clock,
            **options,
        )
        if at_once is None:
            consumer.on(TitleScraped, handle)
        else:
            consumer.on_each(TitleScraped, lambda message: handle([message]), at_once=at_once)
        settings = ConsumerSettings(kafka=self.kafka)
        base = Base(settings, registry, clock, publisher, consumer)
        app = worker_app(base, produces=(TitleCleaned,))
        async with app.start_lifespan_context():
            yield consumer

    async def send(self, *records: tuple[str, list[tuple[str, bytes | None]], bytes]) -> None:
        """Put records (key, headers, body) on the topic as they are."""
        producer = AIOKafkaProducer(**self.kafka.connection)
        await producer.start()
        try:
            for key, headers, body in records:
                await producer.send_and_wait(
                    TitleScraped.topic, value=body, key=key.encode(), headers=headers, partition=0
                )
        finally:
            await producer.stop()

    @asynccontextmanager
    async def transactions(self) -> AsyncIterator[Callable[..., Awaitable[None]]]:
        """Sends a number of records at a time and commits them, or takes them back."""
        producer = AIOKafkaProducer(**self.kafka.connection, transactional_id=self.group)
        await producer.start()

        async def send(source_id: str, count: int, *, commit: bool) -> None:
            key, headers, body = a_record(source_id)
            await producer.begin_transaction()
            for _ in range(count):
                await producer.send_and_wait(
                    TitleScraped.topic, value=body, key=key.encode(), headers=headers, partition=0
                )
            await (producer.commit_transaction if commit else producer.abort_transaction)()

        try:
            yield send
        finally:
            await producer.stop()

    async def skip_history(self) -> None:
        """Let the group begin at the end: other tests use the same topic."""
        async with self.reader() as reader:
            ends = await reader.end_offsets(
                [TopicPartition(TitleScraped.topic, n) for n in range(3)]
            )
        member = AIOKafkaConsumer(
            **self.kafka.connection, group_id=self.group, enable_auto_commit=False
        )
        member.assign(list(ends))
        await member.start()
        try:
            await member.commit(ends)
        finally:
            await member.stop()

    @asynccontextmanager
    async def reader(self) -> AsyncIterator[AIOKafkaConsumer]:
        reader = AIOKafkaConsumer(**self.kafka.connection, enable_auto_commit=False)
        await reader.start()
        try:
            yield reader
        finally:
            await reader.stop()

    async def records(self, topic: str) -> list[Any]:
        async with self.reader() as reader:
            partition = TopicPartition(topic, 0)
            reader.assign([partition])
            await reader.seek_to_beginning(partition)
            end = (await reader.end_offsets([partition]))[partition]
            found: list[Any] = []
            while len(found) < end:
                for batch in (await reader.getmany(timeout_ms=500)).values():
                    found += batch
            return found

    async def lag(self) -> int:
        """Records of the topic and its retries that the group has yet to commit."""
        admin = AIOKafkaAdminClient(**self.kafka.connection)
        await admin.start()
        try:
            committed = await admin.list_consumer_group_offsets(self.group)
        finally:
            await admin.close()
        wanted = [
            partition
            for partition in await list_partitions(self.kafka.connection)
            if partition.topic == TitleScraped.topic
            or (self.group in partition.topic and "retry" in partition.topic)
        ]
        async with self.reader() as reader:
            ends = await reader.end_offsets(wanted)
        return sum(
            end - max(0, committed[p].offset if p in committed else 0) for p, end in ends.items()
        )

    async def lag_is(self, wanted: int) -> bool:
        return await self.lag() == wanted

    async def until(self, done: Callable[[], Any]) -> None:
        """Wait for a condition, sync or async; the test's own time limit ends it."""
        while True:
            answer = done()
            if asyncio.iscoroutine(answer):
                answer = await answer
            if answer:
                return
            await asyncio.sleep(0.05)


def a_record(source_id: str) -> tuple[str, list[tuple[str, bytes | None]], bytes]:
    message = first_message(a_title_scraped(source_id=source_id))
    headers = message.headers(source="test", code_version="1", now=SystemClock().now())
    return message.event.key, list(headers), message.body()


class PlotForbidden(Rejected):
    pass


class ArchiveClosed(Unavailable):
    pass


@pytest.fixture
async def bench(kafka: Any) -> Bench:
    bench = Bench(kafka.bootstrap)
    await ensure_topics(
        [topic_spec(TitleScraped), *group_topics([TitleScraped], bench.group, SHORT)],
        bench.kafka.connection,
        1,
    )
    await bench.skip_history()
    return bench


async def test_new_topics_can_be_read_at_once(kafka: Any, caplog: pytest.LogCaptureFixture) -> None:
    """Without a word of the client: it complains of each partition whose leader doesn't lead."""
    connection = KafkaSettings(bootstrap_servers=kafka.bootstrap).connection
    for _ in range(8):
        group = f"bench{uuid4().hex[:8]}"
        specs = [TopicSpec(f"{group}-{n}", 3, timedelta(days=1)) for n in range(9)]
        await ensure_topics(specs, connection, 1)
        reader = AIOKafkaConsumer(
            *[spec.name for spec in specs],
            **connection,
            group_id=group,
            auto_offset_reset="earliest",
        )
        await reader.start()
        try:
            for partition in reader.assignment():
                assert await reader.position(partition) == 0
        finally:
            await reader.stop()
    said = [record.getMessage() for record in caplog.records if record.name.startswith("aiokafka")]
    assert said == []


async def test_what_was_handled_is_committed_and_not_read_again(bench: Bench) -> None:
    seen: list[str] = []

    def handle(messages: Sequence[Message[TitleScraped]]) -> Answer:
        seen.extend(message.event.source_id for message in messages)
        return [message.leads_to(a_title_cleaned()) for message in messages]

    await bench.send(*[a_record(f"t{n}") for n in range(20)])
    async with bench.serving(handle):
        await bench.until(lambda: len(seen) == 20)
        await bench.until(lambda: bench.lag_is(0))
    async with bench.serving(handle):
        await bench.send(a_record("last"))
        await bench.until(lambda: "last" in seen)
    assert seen == [f"t{n}" for n in range(20)] + ["last"]


@pytest.mark.parametrize("batch_size", [3, 50])
async def test_what_a_transaction_took_back_is_never_seen(bench: Bench, batch_size: int) -> None:
    seen: list[str] = []

    def handle(messages: Sequence[Message[TitleScraped]]) -> Answer:
        seen.extend(message.event.source_id for message in messages)
        return None

    async with (
        bench.transactions() as send,
        bench.serving(handle, batch_size=batch_size) as consumer,
    ):
        await send("committed", 3, commit=True)
        await bench.until(lambda: seen == ["committed"] * 3)
        await send("taken back", 2, commit=False)
        await send("last", 1, commit=True)
        await bench.until(lambda: bench.lag_is(0))
        await bench.until(lambda: set(consumer.progress.lag.values()) == {0})
    assert seen == ["committed"] * 3 + ["last"]


async def test_a_batch_that_can_neither_be_published_nor_set_aside_is_read_again(
    bench: Bench,
) -> None:
    class Flaky(KafkaPublisher):
        failures = 2

        async def publish(self, messages: Iterable[Message[Any]]) -> None:
            listed = list(messages)
            answers = any(isinstance(each.event, TitleCleaned) for each in listed)
            if answers and self.failures:
                raise BrokerUnavailable("the broker is down")
            await super().publish(listed)

        async def publish_raw(self, topic: str, **record: Any) -> None:
            self.failures -= 1
            raise BrokerUnavailable("the broker is down")

    batches: list[list[str]] = []

    def handle(messages: Sequence[Message[TitleScraped]]) -> Answer:
        batches.append([message.event.source_id for message in messages])
        return [message.leads_to(a_title_cleaned()) for message in messages]

    await bench.send(*[a_record(name) for name in "abc"])
    async with bench.serving(handle, publisher_class=Flaky):
        await bench.until(lambda: bench.lag_is(0))
    assert batches == [["a", "b", "c"]] * 3


async def test_hostile_records_are_parked_while_their_neighbours_are_handled(
    bench: Bench,
) -> None:
    seen: list[str] = []

    def handle(messages: Sequence[Message[TitleScraped]]) -> Answer:
        seen.extend(message.event.source_id for message in messages)
        return None

    key, headers, body = a_record("x")
    binary = [(n, b"\xff\xfe" if n == "ce_id" else v) for n, v in headers]
    missing = [(n, None if n == "ce_source" else v) for n, v in headers]
    newer = [(n, b"trending.TitleScraped.v7" if n == "ce_type" else v) for n, v in headers]
    await bench.send(
        a_record("a"),
        (key, binary, body),
        (key, missing, body),
        (key, headers, body[:-20]),
        (key, newer, body),
        (key, [], b""),
        a_record("b"),
    )
    async with bench.serving(handle):
        await bench.until(lambda: seen == ["a", "b"])
        await bench.until(lambda: bench.lag_is(0))
    parked = [dict(record.headers) for record in await bench.records(bench.dlq)]
    assert [headers[REASON] for headers in parked] == [
        b"Undecodable",
        b"Undecodable",
        b"Undecodable",
        b"UnknownEventType",
        b"Undecodable",
    ]
    assert len({headers[ORIGIN] for headers in parked}) == 5


async def test_what_cannot_work_now_comes_back_and_nothing_waits_for_it(bench: Bench) -> None:
    seen: list[str] = []

    def handle(messages: Sequence[Message[TitleScraped]]) -> Answer:
        (message,) = messages
        name = message.event.source_id
        seen.append(name)
        if name == "later" and seen.count("later") < 3:
            raise ArchiveClosed
        if name == "never":
            raise PlotForbidden("no")
        return None

    async with bench.serving(handle, batch_size=1):
        await bench.send(a_record("later"), a_record("never"), a_record("a"), a_record("b"))
        await bench.until(lambda: seen.count("later") == 3)
        await bench.until(lambda: bench.lag_is(0))
    assert seen[:4] == ["later", "never", "a", "b"], "its neighbours don't wait"
    assert seen[4:] == ["later", "later"]
    (record,) = await bench.records(bench.dlq)
    assert dict(record.headers)[REASON] == b"PlotForbidden"


async def test_what_cannot_work_before_a_time_comes_back_then_however_few_attempts_there_are(
    bench: Bench,
) -> None:
    clock = SystemClock()
    opens = clock.now() + timedelta(seconds=6)  # steps of two seconds, and more than all attempts
    seen: list[tuple[str, bool]] = []

    def handle(messages: Sequence[Message[TitleScraped]]) -> Answer:
        (message,) = messages
        seen.append((message.event.source_id, clock.now() >= opens))
        if message.event.source_id == "later" and clock.now() < opens:
            raise ArchiveClosed("until six", not_before=opens)
        return None

    async with bench.serving(handle, batch_size=1):
        await bench.send(a_record("later"), a_record("a"))
        await bench.until(lambda: ("later", True) in seen)
        await bench.until(lambda: bench.lag_is(0))
    assert seen == [("later", False), ("a", False), ("later", True)]
    assert await bench.records(bench.dlq) == []


@pytest.mark.parametrize("at_once", [None, 4])
async def test_a_run_of_dead_letters_stops_the_consumer_and_leaves_the_rest(
    bench: Bench, at_once: int | None
) -> None:
    def handle(messages: Sequence[Message[TitleScraped]]) -> Answer:
        raise PlotForbidden("a bad deploy")

    await bench.send(*[a_record(f"t{n}") for n in range(50)])
    async with bench.serving(
        handle, at_once=at_once, dead_letter_limit=5, batch_size=2
    ) as consumer:
        await bench.until(lambda: consumer.progress.halted)
        await bench.send(a_record("more"))
    under_way = at_once or 1
    assert 5 <= len(await bench.records(bench.dlq)) < 5 + under_way
    assert await bench.lag() >= 45


# ---------------------------------------------------------------- stopping


async def test_a_publisher_stops_although_kafka_is_gone(fresh_kafka: EmbeddedKafka) -> None:
    kafka = KafkaSettings(bootstrap_servers=fresh_kafka.address)
    await ensure_topics([topic_spec(TitleScraped)], kafka.connection, 1)
    publisher = KafkaPublisher(
        kafka,
        service="test",
        code_version="test",
        registry=CollectorRegistry(),
        stop_within=timedelta(seconds=1),
    )
    async with publisher:
        assert fresh_kafka.pid is not None
        os.kill(fresh_kafka.pid, signal.SIGKILL)
        held = asyncio.create_task(publisher.publish([first_message(a_title_scraped())]))
        await asyncio.sleep(0)
    assert not held.done()  # it was told neither that the event is stored nor that it isn't
    held.cancel()
