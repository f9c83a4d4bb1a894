"""Taking records from Kafka, in a group or outside of any, and when the client can't read one.

Kafka's protocol wants the names of headers in UTF-8, but no broker checks it. The client raises
where a record breaks this, again and again, and gives out none of the records fetched with it.
"""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any

from aiokafka import AIOKafkaConsumer
from aiokafka import ConsumerRecord as Record
from aiokafka.errors import KafkaError

from trending_shared.errors import BrokerUnavailable
from trending_shared.messages import Position
from trending_shared.refusals import explain_refusal
from trending_shared.settings import KafkaSettings

_PAUSE = 0.2  # seconds, when nothing has been fetched yet
_PATIENCE = 10.0  # seconds for Kafka to answer at all; it does within one, or isn't there

Take = Callable[[AIOKafkaConsumer], Awaitable[tuple[Record, ...]]]


class Reader:
    """Takes batches; once a record can't be read, single records, until that one is stepped over.

    Args:
        take: the usual way to get a batch.
        park: told where a record lies that can't be read.
    """

    def __init__(self, take: Take, park: Callable[[Position], Awaitable[None]]) -> None:
        self._take = take
        self._park = park
        self._careful = False

    async def __call__(self, consumer: AIOKafkaConsumer) -> tuple[Record, ...]:
        if not self._careful:
            try:
                return await self._take(consumer)
            except UnicodeDecodeError:
                await _start_over(consumer)
                self._careful = True
        return await self._take_carefully(consumer)

    async def _take_carefully(self, consumer: AIOKafkaConsumer) -> tuple[Record, ...]:
        """The next record of each partition."""
        found: list[Record] = []
        for partition in sorted(consumer.assignment()):
            try:
                for records in (await consumer.getmany(partition, max_records=1)).values():
                    found += records
            except UnicodeDecodeError:
                offset = await consumer.position(partition)
                await self._park(Position(partition.topic, partition.partition, offset))
                consumer.seek(partition, offset + 1)
                await consumer.commit({partition: offset + 1})
                self._careful = False
        if not found:
            await asyncio.sleep(_PAUSE)
        return tuple(found)


async def _start_over(consumer: AIOKafkaConsumer) -> None:
    """Go back to what was handled: the client drops what it took before it came to the record."""
    for partition in consumer.assignment():
        offset = await consumer.committed(partition)
        if offset is None:
            await consumer.seek_to_beginning(partition)
        else:
            consumer.seek(partition, offset)


@asynccontextmanager
async def started(
    kafka: KafkaSettings, start: Callable[[], Awaitable[Any]], stop: Callable[[], Awaitable[Any]]
) -> AsyncIterator[None]:
    """Between a client's start and its stop.

    Raises:
        BrokerUnavailable: it can't start.
        SettingInvalid: nor will it later, since Kafka doesn't let us in.
    """
    try:
        try:
            async with asyncio.timeout(_PATIENCE):
                await start()
        except (BrokerUnavailable, KafkaError, OSError, TimeoutError) as error:
            await explain_refusal(kafka.connection)
            raise BrokerUnavailable(
                f"no Kafka answers at {kafka.bootstrap_servers}; start one with `trending up`, "
                "or set KAFKA_BOOTSTRAP_SERVERS"
            ) from error
        yield
    finally:
        await stop()


@asynccontextmanager
async def reader(kafka: KafkaSettings) -> AsyncIterator[AIOKafkaConsumer]:
    """A consumer outside of any group, that commits nothing; it reads what services read."""
    client = AIOKafkaConsumer(
        **kafka.connection,
        enable_auto_commit=False,
        auto_offset_reset="earliest",
        isolation_level="read_committed",
    )
    async with started(kafka, client.start, client.stop):
        yield client
