"""Events a second through services on Kafka, and through a loop that does nothing."""

import asyncio
import time
from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from datetime import timedelta
from itertools import islice
from statistics import median
from typing import Any
from uuid import uuid4

from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, TopicPartition
from aiokafka.admin import AIOKafkaAdminClient

from benchmarks.inputs import Record, as_records, cleaned_titles, scraped_titles, texts_of
from benchmarks.results import Result
from benchmarks.rounds import ROUNDS, Bench, MeasurementFailed, Running, rates
from trending_featurizer.settings import FeaturizerSettings
from trending_shared.encoder import SentenceEncoder
from trending_shared.events import FeaturesComputed, ScrapeJob, TitleCleaned, TitleScraped
from trending_shared.messages import Message
from trending_shared.settings import read_settings
from trending_shared.topics import TopicSpec, ensure_topics, list_partitions

SCRAPED = 3000  # events a round; some seconds of work
CLEANED = 256
COPIED = 3000  # by the bare loop, which would be through with less before one can look
WARM_UP = 128
TIMEOUT = 120.0  # seconds a round may take
LOOK_EVERY = 0.01  # seconds


@dataclass(frozen=True)
class Kafka:
    """The clients of the measurement itself."""

    bench: Bench
    admin: AIOKafkaAdminClient
    producer: AIOKafkaProducer
    consumer: AIOKafkaConsumer

    async def send(self, topic: str, records: Sequence[Record]) -> dict[TopicPartition, int]:
        """Write records; returns where each partition they went to ends now."""
        futures = [
            await self.producer.send(topic, value=value, key=key, headers=headers)
            for key, value, headers in records
        ]
        ends: dict[TopicPartition, int] = {}
        for stored in await asyncio.gather(*futures):
            partition = TopicPartition(topic, stored.partition)
            ends[partition] = max(ends.get(partition, 0), stored.offset + 1)
        return ends

    async def wait_until_committed(
        self, running: Running, group: str, ends: Mapping[TopicPartition, int]
    ) -> None:
        deadline = time.monotonic() + TIMEOUT
        while True:
            committed = await self.admin.list_consumer_group_offsets(group, partitions=[*ends])
            if all(committed[partition].offset >= end for partition, end in ends.items()):
                return
            running.check()
            if time.monotonic() > deadline:
                raise MeasurementFailed(f"{running.name} isn't through after {TIMEOUT:.0f} s")
            await asyncio.sleep(LOOK_EVERY)

    async def count(self, topic: str) -> int:
        """How many records a topic has taken so far."""
        return sum((await self._ends(topic)).values())

    async def skip_backlog(self, group: str, topic: str) -> None:
        """Have a group that isn't at work start at the end of a topic."""
        ends = await self._ends(topic)
        if ends:
            consumer = AIOKafkaConsumer(**self.bench.kafka.connection, group_id=group)
            async with consumer:
                consumer.assign([*ends])
                await consumer.commit(ends)

    async def refuse_houses(self) -> None:
        """Raises `MeasurementFailed` if anything was ever scraped by way of this Kafka."""
        if await self.count(ScrapeJob.topic):
            address = self.bench.kafka.bootstrap_servers
            raise MeasurementFailed(f"a house lives on the Kafka at {address}: name another")

    async def _ends(self, topic: str) -> dict[TopicPartition, int]:
        found = await list_partitions(self.bench.kafka.connection)
        ends: dict[TopicPartition, int] = await self.consumer.end_offsets(
            [partition for partition in found if partition.topic == topic]
        )
        return ends


@dataclass
class Lane:
    """One process that takes records from `source` and puts one for each into `target`.

    Or one for every `per` of them.
    """

    kafka: Kafka
    running: Running
    group: str
    source: str
    target: str
    records: Iterator[Record]
    per: int = 1
    seconds: list[float] = field(default_factory=list)
    cpu_ms: list[float] = field(default_factory=list)

    async def warm_up(self) -> None:
        ends = await self.kafka.send(self.source, list(islice(self.records, WARM_UP)))
        await self.kafka.wait_until_committed(self.running, self.group, ends)

    async def go(self, count: int) -> None:
        """One round: from a backlog's first record to the commit of its last."""
        backlog = list(islice(self.records, count))
        before = await self.kafka.count(self.target)
        with self.running.standing_still():
            ends = await self.kafka.send(self.source, backlog)
            cpu = self.running.cpu_seconds()
        started = time.perf_counter()
        await self.kafka.wait_until_committed(self.running, self.group, ends)
        self.seconds.append(time.perf_counter() - started)
        self.cpu_ms.append((self.running.cpu_seconds() - cpu) / count * 1000)
        led_to = await self.kafka.count(self.target) - before
        if led_to != count // self.per:
            raise MeasurementFailed(f"{count} events of {self.source} led to {led_to}")

    def result(self, name: str, count: int) -> Result:
        return Result(name, "events/s", rates(count, self.seconds), median(self.cpu_ms))


async def measure_cleaner(bench: Bench) -> Result:
    """The cleaner, beside the bare loop."""
    return await _measure(
        bench, "cleaner", TitleScraped.topic, TitleCleaned.topic, scraped_titles(), SCRAPED
    )


async def measure_featurizer(bench: Bench) -> Result:
    """The featurizer, beside the bare loop and the encoder alone."""
    measured = await _measure(
        bench,
        "featurizer",
        TitleCleaned.topic,
        FeaturesComputed.topic,
        cleaned_titles(),
        CLEANED,
        snapshot_titles=10**6,  # never: not an event's work
    )
    bench.tell("featurizer: the encoder alone")
    alone = await asyncio.to_thread(_measure_encoder, bench)
    return replace(measured, references=(*measured.references, alone))


def _measure_encoder(bench: Bench) -> Result:
    settings = read_settings(FeaturizerSettings)
    encoder = SentenceEncoder.load(bench.home / "encoder", threads=settings.threads)
    texts = texts_of(list(islice(cleaned_titles(), CLEANED)))
    encoder.encode(texts[:WARM_UP])
    seconds, cpu_ms = [], []
    for _ in range(ROUNDS):
        started, cpu = time.perf_counter(), time.process_time()
        for first in range(0, CLEANED, settings.batch_size):
            encoder.encode(texts[first : first + settings.batch_size])
        seconds.append(time.perf_counter() - started)
        cpu_ms.append((time.process_time() - cpu) / CLEANED * 1000)
    return Result("encoder alone", "texts/s", rates(CLEANED, seconds), median(cpu_ms))


async def _measure(
    bench: Bench,
    service: str,
    source: str,
    target: str,
    messages: Iterator[Message[Any]],
    count: int,
    **settings: object,
) -> Result:
    """Rounds of a service and of the bare loop in turn, so that both see the same machine."""
    records = (record for message in messages for record in as_records([message]))
    bare_source = f"benchmark-{uuid4().hex[:8]}"
    bare_target = f"{bare_source}-copy"
    specs = [
        TopicSpec(name, bench.kafka.partitions, timedelta(hours=1))
        for name in (bare_source, bare_target)
    ]
    await ensure_topics(specs, bench.kafka.connection, bench.kafka.replication_factor)
    async with connected(bench) as kafka:
        await kafka.refuse_houses()
        await kafka.skip_backlog(service, source)
        bench.tell(f"{service}: starting it and the bare loop")
        with (
            bench.service(service, **settings) as worker,
            bench.process("bare_loop", "benchmarks.bare_loop", bare_source, bare_target) as loop,
        ):
            lane = Lane(kafka, worker, service, source, target, records)
            bare = Lane(kafka, loop, bare_source, bare_source, bare_target, records)
            await lane.warm_up()
            await bare.warm_up()
            for number in range(1, ROUNDS + 1):
                bench.tell(f"{service}: round {number} of {ROUNDS}")
                await lane.go(count)
                await bare.go(COPIED)
        await kafka.admin.delete_topics([bare_source, bare_target])
    return replace(lane.result(service, count), references=(bare.result("bare loop", COPIED),))


@asynccontextmanager
async def connected(bench: Bench) -> AsyncIterator[Kafka]:
    """Clients of the bench's Kafka, as long as the block."""
    connection = bench.kafka.connection
    admin = AIOKafkaAdminClient(**connection)
    producer = AIOKafkaProducer(**connection, compression_type="gzip", acks="all")
    consumer = AIOKafkaConsumer(**connection)
    await admin.start()
    try:
        async with producer, consumer:
            yield Kafka(bench, admin, producer, consumer)
    finally:
        await admin.close()
