"""Which topics there are, with their partitions and retention, and how they come to be."""

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Iterable, Mapping, Sequence, Set
from contextlib import aclosing, asynccontextmanager
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

import stamina
import structlog
from aiokafka import AIOKafkaConsumer, ConsumerRecord, TopicPartition
from aiokafka.admin import AIOKafkaAdminClient, NewTopic
from aiokafka.errors import (
    ClusterAuthorizationFailedError,
    InvalidReplicationFactorError,
    KafkaError,
    PolicyViolationError,
    TopicAlreadyExistsError,
    TopicAuthorizationFailedError,
    for_code,
)

from trending_shared.errors import BrokerUnavailable, SettingInvalid
from trending_shared.events import (
    EVENTS,
    DatasetPublished,
    DatasetRequested,
    DriftDetected,
    ErasureRequested,
    Event,
    ExperimentChanged,
    ModelApproved,
    ModelPromoted,
    ModelRefused,
    ModelRegistered,
    RecordsDeleted,
    RecordsErased,
    RetrainingDecided,
    RetrainingRequested,
    ScrapeJob,
    ServiceConfigured,
    TrainingRequested,
)
from trending_shared.refusals import explain_refusal

log = structlog.get_logger()

# What a cluster's rules say to a new topic; they won't say otherwise in a minute.
_NEVER = (ClusterAuthorizationFailedError, PolicyViolationError, TopicAuthorizationFailedError)
FOREVER = timedelta(milliseconds=-1)
RETRY_DELAYS = (timedelta(seconds=10), timedelta(minutes=2), timedelta(minutes=10))
_FEW: tuple[type[Event], ...] = (
    DatasetPublished,
    DatasetRequested,
    DriftDetected,
    ErasureRequested,
    ExperimentChanged,
    ModelApproved,
    ModelPromoted,
    ModelRefused,
    ModelRegistered,
    RecordsDeleted,
    RecordsErased,
    ServiceConfigured,
    RetrainingDecided,
    RetrainingRequested,
    TrainingRequested,
)  # a handful a day, and their order matters across keys: one partition, kept for ever


@dataclass(frozen=True, slots=True)
class TopicSpec:
    """A topic as it is created.

    `retention` below zero keeps records for ever; of a `compacted` one only the newest of each key.
    """

    name: str
    partitions: int
    retention: timedelta
    compacted: bool = False

    def new_topic(self, replication_factor: int) -> NewTopic:
        policy = "compact" if self.compacted else "delete"
        milliseconds = max(-1, int(self.retention.total_seconds() * 1000))
        return NewTopic(
            name=self.name,
            num_partitions=self.partitions,
            replication_factor=replication_factor,
            topic_configs={"retention.ms": str(milliseconds), "cleanup.policy": policy},
        )


SCHEDULES = TopicSpec("scrape-schedules", 1, FOREVER, compacted=True)
"""The scraper's own: by schedule, the newest period whose job was published."""


def topic_spec(event: type[Event], *, partitions: int = 3) -> TopicSpec:
    """The topic of an event class."""
    if event in _FEW:
        return TopicSpec(event.topic, 1, FOREVER)
    if event is ScrapeJob:
        return TopicSpec(event.topic, partitions, timedelta(days=14))
    return TopicSpec(event.topic, partitions, timedelta(days=90))


def retry_topic(topic: str, group: str, delay: timedelta) -> str:
    """Where a message of `topic` waits that `group` couldn't handle.

    `titles-scraped-cleaner-retry-10s`.
    """
    seconds = int(delay.total_seconds())
    pause = f"{seconds // 60}m" if seconds >= 60 and seconds % 60 == 0 else f"{seconds}s"
    return f"{topic}-{group}-retry-{pause}"


def dead_letter_topic(topic: str, group: str) -> str:
    """Where a message of `topic` is parked that `group` can never handle."""
    return f"{topic}-{group}-dlq"


def group_topics(
    events: Iterable[type[Event]], group: str, delays: Sequence[timedelta] = RETRY_DELAYS
) -> list[TopicSpec]:
    """The retry and dead-letter topics of a consumer group."""
    specs = []
    for event in events:
        specs += [
            TopicSpec(retry_topic(event.topic, group, delay), 1, timedelta(days=7))
            for delay in delays
        ]
        specs.append(TopicSpec(dead_letter_topic(event.topic, group), 1, FOREVER))
    return specs


def all_event_topics(*, partitions: int = 3) -> list[TopicSpec]:
    return [topic_spec(event, partitions=partitions) for event in EVENTS]


async def list_partitions(kafka: dict[str, Any]) -> list[TopicPartition]:
    """The partitions of all topics but Kafka's internal ones, in order.

    A consumer that has subscribed to nothing doesn't know them; the admin client does.

    Raises:
        BrokerUnavailable: the broker didn't answer.
    """
    async with _administering(kafka) as admin:
        return sorted(
            TopicPartition(topic["topic"], partition["partition"])
            for topic in await admin.describe_topics()
            if not topic["is_internal"]
            for partition in topic["partitions"]
        )


def look_at(consumer: AIOKafkaConsumer, partitions: Sequence[TopicPartition]) -> None:
    """Have a consumer know these partitions without reading them.

    Asked for the offsets of partitions that it doesn't know, it would look up one topic after the
    other, a tenth of a second each.
    """
    if partitions:  # a consumer from which all of them are taken away can't be stopped any more
        consumer.assign(partitions)
        consumer.pause(*partitions)


async def read_to_end(
    reader: AIOKafkaConsumer, starts: Mapping[TopicPartition, int]
) -> AsyncGenerator[ConsumerRecord, None]:
    """The records of these partitions, from the given offsets to where they end by now."""
    if not starts:
        return
    reader.assign(list(starts))
    for partition, offset in starts.items():
        reader.seek(partition, offset)
    ends = await reader.end_offsets(list(starts))
    left = {partition for partition, offset in starts.items() if offset < ends[partition]}
    while left:
        for batch in (await reader.getmany(*left, timeout_ms=500)).values():
            for record in batch:
                yield record
        left = {each for each in left if await reader.position(each) < ends[each]}


async def read_all(
    reader: AIOKafkaConsumer, partitions: Sequence[TopicPartition]
) -> AsyncGenerator[ConsumerRecord, None]:
    """The records that these partitions hold by now."""
    look_at(reader, partitions)
    starts = await reader.beginning_offsets(partitions)
    async with aclosing(read_to_end(reader, starts)) as records:
        async for record in records:
            yield record


async def ensure_topics(
    specs: Sequence[TopicSpec], kafka: dict[str, Any], replication: int
) -> None:
    """Create the topics that don't exist yet, and return once all of them can be used.

    Waits up to a minute for a broker that answers, then as long for the topics' leaders: a client
    that asks for a topic before it has some complains, and looks away for a while.

    Args:
        specs: the topics wanted; existing ones are left as they are.
        kafka: connection options as aiokafka takes them (`KafkaSettings.connection`).
        replication: replication factor of new topics.

    Raises:
        BrokerUnavailable: the broker didn't answer, or a topic has no leader.
        SettingInvalid: the broker doesn't let us in, or its rules are against such topics.
    """
    # Not as a decorator: that would log all topics at each attempt.
    async for attempt in stamina.retry_context(
        on=BrokerUnavailable, attempts=None, timeout=60, wait_initial=0.2, wait_max=3
    ):
        with attempt:
            await _create_missing(specs, kafka, replication)
    await _wait_for_leaders({spec.name for spec in specs}, kafka)


async def _create_missing(
    specs: Sequence[TopicSpec], kafka: dict[str, Any], replication: int
) -> None:
    async with _administering(kafka) as admin:
        missing = {spec.name: spec for spec in specs}
        for name in await admin.list_topics():
            missing.pop(name, None)
        if not missing:
            return
        answer = await admin.create_topics(
            [spec.new_topic(replication) for spec in missing.values()], timeout_ms=30_000
        )
        for name, code, said in answer.topic_errors:
            error = for_code(code)
            if not code or error is TopicAlreadyExistsError:
                continue
            problem = f"topic {name} wasn't created: {error.__name__}: {said}"
            if error is InvalidReplicationFactorError:  # perhaps not all brokers are up yet
                problem += f"; KAFKA_REPLICATION_FACTOR is {replication}"
            if error in _NEVER:
                raise SettingInvalid(f"KAFKA_BOOTSTRAP_SERVERS: {problem}")
            raise BrokerUnavailable(problem)
        log.info("topics_created", topics=sorted(missing))


async def _wait_for_leaders(names: Set[str], kafka: dict[str, Any]) -> None:
    """Wait until every partition of these topics has a leader, and the leaders know it."""
    async with _administering(kafka) as admin:
        for _ in range(600):
            described = [one for one in await admin.describe_topics() if one["topic"] in names]
            waiting = names - {topic["topic"] for topic in described if _is_led(topic)}
            if not waiting:
                break
            await asyncio.sleep(0.1)
        else:
            raise BrokerUnavailable(f"no leader within a minute for {', '.join(sorted(waiting))}")
    # A broker announces leaders a little before it leads; the question is repeated until it does.
    consumer = AIOKafkaConsumer(**kafka, enable_auto_commit=False, auto_offset_reset="none")
    try:
        await consumer.start()
        partitions = [
            TopicPartition(topic["topic"], one["partition"])
            for topic in described
            for one in topic["partitions"]
        ]
        look_at(consumer, partitions)
        await consumer.end_offsets(partitions)
    except (KafkaError, OSError) as error:
        raise BrokerUnavailable.at(kafka["bootstrap_servers"], error) from error
    finally:
        await consumer.stop()


def _is_led(topic: Mapping[str, Any]) -> bool:
    """Whether a topic, as Kafka's metadata describe it, has a leader for every partition."""
    if topic["error_code"] or not topic["partitions"]:
        return False
    return all(one["error_code"] == 0 and one["leader"] >= 0 for one in topic["partitions"])


@asynccontextmanager
async def _administering(kafka: dict[str, Any]) -> AsyncIterator[AIOKafkaAdminClient]:
    """A client that lives as long as the block, whose failures are ours."""
    admin = AIOKafkaAdminClient(**kafka)
    try:
        await admin.start()
        yield admin
    except (KafkaError, OSError) as error:
        await explain_refusal(kafka)
        raise BrokerUnavailable.at(kafka["bootstrap_servers"], error) from error
    finally:
        await admin.close()
