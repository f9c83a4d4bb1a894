"""What lies in Kafka, and who has yet to handle how much of it."""

from collections import Counter
from collections.abc import Sequence
from contextlib import aclosing
from dataclasses import dataclass

from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.admin import AIOKafkaAdminClient

from trending_shared.topics import look_at, read_to_end


@dataclass(frozen=True, slots=True)
class Lag:
    """Records of a partition that a group has yet to handle."""

    group: str
    topic: str
    partition: int
    records: int


@dataclass(frozen=True, slots=True)
class GroupState:
    """A consumer group, its state in Kafka's words (`Stable`, `Empty`, …), and who is in it."""

    name: str
    state: str
    members: int


async def measure_lag(admin: AIOKafkaAdminClient, reader: AIOKafkaConsumer) -> list[Lag]:
    """What each consumer group has yet to handle, of every partition it has committed.

    Args:
        admin, reader: started; the reader is in no group, commits nothing, and reads from nowhere
            in particular afterwards.
    """
    found = []
    for group, *_ in await admin.list_consumer_groups():
        committed = await admin.list_consumer_group_offsets(group)
        look_at(reader, list(committed))
        ends = await reader.end_offsets(list(committed))
        for partition, place in sorted(committed.items()):
            start = max(0, place.offset)
            behind = max(0, ends[partition] - start)
            if behind and not await _holds_records(reader, partition, start):
                behind = 0
            found.append(Lag(group, partition.topic, partition.partition, behind))
    return sorted(found, key=lambda lag: (lag.group, lag.topic, lag.partition))


async def _holds_records(reader: AIOKafkaConsumer, partition: TopicPartition, start: int) -> bool:
    """Whether there is anything to handle from an offset on.

    Offsets are also taken by Kafka's own marks of a transaction's end, and by what a transaction
    took back.
    """
    async with aclosing(read_to_end(reader, {partition: start})) as records:
        async for _ in records:
            return True
    return False


async def describe_groups(admin: AIOKafkaAdminClient) -> list[GroupState]:
    """All consumer groups, by name."""
    found = []
    for name, *_ in await admin.list_consumer_groups():
        # One by one: aiokafka 0.14 misreads an answer about several groups.
        for response in await admin.describe_consumer_groups([name]):
            for _, group, state, _, _, members, *_ in response.groups:
                found.append(GroupState(group, state, len(members)))
    return sorted(found, key=lambda group: group.name)


async def count_records(
    reader: AIOKafkaConsumer, partitions: Sequence[TopicPartition]
) -> Counter[str]:
    """Records by topic, marks of transactions included."""
    look_at(reader, partitions)
    first = await reader.beginning_offsets(partitions)
    last = await reader.end_offsets(partitions)
    records: Counter[str] = Counter()
    for partition in partitions:
        records[partition.topic] += last[partition] - first[partition]
    return records
