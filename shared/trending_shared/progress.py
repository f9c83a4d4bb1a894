"""How a consumer gets on: what Prometheus counts, and what its probe looks at."""

import asyncio
from dataclasses import dataclass, field
from datetime import datetime

from aiokafka import AIOKafkaConsumer
from aiokafka.errors import IllegalStateError
from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram

OUTCOMES = ("handled", "postponed", "waiting", "parked", "declined")
_AGE_BUCKETS = (0.1, 0.5, 1, 5, 15, 60, 300, 900, 3600, 14_400, 86_400)


class DeliveryMetrics:
    """What every consumer counts."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self.events = Counter(
            "trending_events_consumed_total",
            "Events by outcome; parked means a person must look, declined that none needs to, "
            "postponed that something is down, waiting that its time hasn't come",
            ["topic", "outcome"],
            registry=registry,
        )
        self.seconds = Histogram(
            "trending_event_batch_seconds",
            "Time a batch took; a rise shows what is slow before the lag does",
            ["topic"],
            buckets=(0.005, 0.02, 0.1, 0.5, 1, 2.5, 5, 15, 60, 300),
            registry=registry,
        )
        self.age = Histogram(
            "trending_event_age_seconds",
            "From publication to the end of handling; a rise means the service falls behind",
            ["topic"],
            buckets=_AGE_BUCKETS,
            registry=registry,
        )
        self.last = Gauge(
            "trending_event_last_handled_timestamp_seconds",
            "When an event was last handled; old while records wait means that it stands still",
            ["topic"],
            registry=registry,
        )
        self.lag = Gauge(
            "trending_consumer_lag",
            "Records not yet handled by partition; a steady rise means too few replicas",
            ["topic", "partition"],
            registry=registry,
        )
        self.stuck = Gauge(
            "trending_consumer_stuck",
            "1 while the consumer is halted, holds a partition or doesn't get on; /progressz says "
            "which",
            registry=registry,
        )
        self.halted = Gauge(
            "trending_consumer_halted",
            "1 when too many dead letters in a row stopped the consumer",
            registry=registry,
        )
        self.held = Gauge(
            "trending_consumer_partition_held",
            "1 for a partition of which nothing is taken until a person has looked at its records",
            ["topic", "partition"],
            registry=registry,
        )

    def expect(self, topic: str) -> None:
        """Begin counting a topic's events at zero: Prometheus sees no rise in a first value."""
        for outcome in OUTCOMES:
            self.events.labels(topic, outcome)


@dataclass
class Progress:
    """The state of a consumer."""

    started_at: datetime
    last_at: datetime
    """When the last batch ended."""
    busy_since: datetime | None = None
    dead_in_a_row: int = 0
    """Messages parked since one was handled."""
    halted: str | None = None
    """Why nothing more is taken, once that is so."""
    held: dict[tuple[str, int], str] = field(default_factory=dict)
    """Why nothing is taken of a partition, by topic and partition."""
    lag: dict[tuple[str, int], int] = field(default_factory=dict)
    """Records that wait, by topic and partition."""


async def measure_lag(
    consumer: AIOKafkaConsumer, progress: Progress, metrics: DeliveryMetrics
) -> None:
    """Say anew how many records wait in each partition that the consumer has now."""
    progress.lag.clear()
    metrics.lag.clear()
    for partition in consumer.assignment():
        end = consumer.highwater(partition)
        if end is None:
            continue
        try:
            position = await asyncio.wait_for(consumer.position(partition), timeout=1)
        except (TimeoutError, IllegalStateError):
            continue  # reassigned just now; its new owner measures it
        lag = max(0, end - position)
        progress.lag[partition.topic, partition.partition] = lag
        metrics.lag.labels(partition.topic, str(partition.partition)).set(lag)
