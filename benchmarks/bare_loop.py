"""The least a service on Kafka does: read, write the same bytes, commit.

`python -m benchmarks.bare_loop SOURCE TARGET` is to a service what an empty loop is to an
algorithm. Its clients are set up as the services' are.
"""

import asyncio
import sys

from aiokafka import AIOKafkaConsumer, AIOKafkaProducer

from trending_shared.settings import KafkaSettings, read_settings

BATCH = 500  # records; the services' own default


async def loop(source: str, target: str) -> None:
    """Copy records for ever; the consumer group is called as the source."""
    connection = read_settings(KafkaSettings).connection
    consumer = AIOKafkaConsumer(
        source,
        **connection,
        group_id=source,
        auto_offset_reset="earliest",
        enable_auto_commit=False,
    )
    producer = AIOKafkaProducer(
        **connection,
        enable_idempotence=True,
        acks="all",
        compression_type="gzip",
        max_batch_size=256 * 1024,
    )
    async with consumer, producer:
        while True:
            batches = await consumer.getmany(timeout_ms=200, max_records=BATCH)
            futures = [
                await producer.send(
                    target, value=record.value, key=record.key, headers=list(record.headers)
                )
                for records in batches.values()
                for record in records
            ]
            if futures:
                await asyncio.gather(*futures)
                await consumer.commit()


if __name__ == "__main__":
    asyncio.run(loop(sys.argv[1], sys.argv[2]))
