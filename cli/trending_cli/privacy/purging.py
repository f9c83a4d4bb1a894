"""Clears topics of records that Kafka can't delete one by one.

    topics of events         everything up to the newest record that goes, once all who consume the
                             topic are past it: what lies there was handled by all of them
    retries, dead letters,   everything up to their end, after what is anybody else's was put there
    what is kept for ever    once more: nothing that is parked, and nothing that waits, is lost

Kafka gives out none of it from then on. Its files go when their segment is full or old enough, as
the broker's `segment.ms` and `segment.bytes` say.
"""

import asyncio
from collections.abc import Mapping, Sequence
from contextlib import aclosing
from dataclasses import asdict, dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.admin import AIOKafkaAdminClient, RecordsToDelete

from trending_cli import clients
from trending_cli.privacy.needles import Matcher
from trending_cli.privacy.scanning import Tell, record_bytes
from trending_shared.events import EVENTS
from trending_shared.publishing import KafkaPublisher
from trending_shared.settings import CommonSettings
from trending_shared.topics import (
    dead_letter_topic,
    list_partitions,
    read_all,
    read_to_end,
    topic_spec,
)

_PAUSE = 0.5  # seconds, before it is looked again who has come how far


@dataclass(frozen=True, slots=True)
class Purged:
    """What came of a partition that had something to erase."""

    topic: str
    partition: int
    found: int
    deleted_below: int | None
    """The offset below which it holds nothing any more; none if somebody isn't past it."""
    waits_for: tuple[str, ...] = ()
    """Consumer groups that have yet to handle it."""
    gone_by: str | None = None
    """When Kafka's own retention deletes it at the latest."""

    def document(self) -> dict[str, Any]:
        return asdict(self)


@dataclass
class _Hits:
    """Records of a partition that go."""

    count: int = 0
    last: int = -1
    newest: int = 0  # ms


async def purge(
    common: CommonSettings, matcher: Matcher, *, patience: timedelta, tell: Tell
) -> list[Purged]:
    """Delete what the topics hold of it; waits so long for consumers that aren't past it.

    Raises:
        BrokerUnavailable: Kafka didn't answer.
    """
    async with (
        clients.admin(common.kafka) as admin,
        clients.reader(common.kafka) as reader,
        clients.publisher(common) as publisher,
    ):
        partitions = await list_partitions(common.kafka.connection)
        topics = {partition.topic for partition in partitions}
        hits = await _look(reader, matcher, partitions)
        done = []
        for partition, found in sorted(hits.items()):
            if _is_passed_through(partition.topic):
                readers = _consumers(partition.topic, topics)
                behind = await _wait(
                    admin, partition, found.last, readers, patience=patience, tell=tell
                )
                below = None if behind else found.last + 1
            else:
                behind, below = [], await _put_again(reader, publisher, matcher, partition)
            if below is not None:
                await admin.delete_records({partition: RecordsToDelete(below)})
            done.append(
                Purged(
                    topic=partition.topic,
                    partition=partition.partition,
                    found=found.count,
                    deleted_below=below,
                    waits_for=tuple(behind),
                    gone_by=_gone_by(partition.topic, found.newest) if behind else None,
                )
            )
        return done


async def _look(
    reader: AIOKafkaConsumer, matcher: Matcher, partitions: Sequence[TopicPartition]
) -> Mapping[TopicPartition, _Hits]:
    hits: dict[TopicPartition, _Hits] = {}
    async with aclosing(read_all(reader, partitions)) as records:
        async for record in records:
            if matcher.find_in(record_bytes(record)):
                found = hits.setdefault(TopicPartition(record.topic, record.partition), _Hits())
                found.count += 1
                found.last = max(found.last, record.offset)
                found.newest = max(found.newest, record.timestamp)
    return hits


def _is_passed_through(topic: str) -> bool:
    """Whether a topic's records were handled by all who are past them, and needn't stay."""
    retention = {event.topic: topic_spec(event).retention for event in EVENTS}
    return retention.get(topic, timedelta(0)) > timedelta(0)


def _consumers(topic: str, topics: set[str]) -> list[str]:
    """The groups that consume a topic: each has dead letters of it."""
    names = (name.removeprefix(f"{topic}-") for name in topics if name.startswith(f"{topic}-"))
    groups = {name.removesuffix("-dlq") for name in names if name.endswith("-dlq")}
    return sorted(group for group in groups if dead_letter_topic(topic, group) in topics)


async def _wait(
    admin: AIOKafkaAdminClient,
    partition: TopicPartition,
    offset: int,
    groups: Sequence[str],
    *,
    patience: timedelta,
    tell: Tell,
) -> list[str]:
    """The groups that haven't handled a record after all this time."""
    waited = 0.0
    while True:
        behind = []
        for group in groups:
            committed = await admin.list_consumer_group_offsets(group, partitions=[partition])
            place = committed.get(partition)
            if place is None or place.offset <= offset:
                behind.append(group)
        if not behind or waited >= patience.total_seconds():
            return behind
        if not waited:
            tell(f"waiting for {', '.join(behind)} to be past {partition.topic}")
        await asyncio.sleep(_PAUSE)
        waited += _PAUSE


async def _put_again(
    reader: AIOKafkaConsumer,
    publisher: KafkaPublisher,
    matcher: Matcher,
    partition: TopicPartition,
) -> int:
    """Publish the records of a partition once more that aren't to go; where it ended before."""
    ends = await reader.end_offsets([partition])
    starts = await reader.beginning_offsets([partition])
    async with aclosing(read_to_end(reader, starts)) as records:
        async for record in records:
            if record.offset < ends[partition] and not matcher.find_in(record_bytes(record)):
                headers = [(name, value or b"") for name, value in record.headers]
                await publisher.publish_raw(
                    record.topic, key=record.key, value=record.value, headers=headers
                )
    return int(ends[partition])


def _gone_by(topic: str, newest: int) -> str:
    retention = {event.topic: topic_spec(event).retention for event in EVENTS}[topic]
    return (datetime.fromtimestamp(newest / 1000, UTC) + retention).isoformat(timespec="minutes")
