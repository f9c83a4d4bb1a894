"""Publishing events: in order per key, acknowledged by all replicas, without waiting one by one.

FastStream's own publisher costs 0.35 ms of CPU a message and its batches ignore keys; aiokafka's
idempotent producer keeps the order of each partition across its own retries, and costs a thirtieth.
"""

import asyncio
from collections.abc import Iterable, Sequence
from datetime import date, timedelta
from types import TracebackType
from typing import Any, Protocol, Self
from uuid import uuid5

import structlog
from aiokafka import AIOKafkaProducer
from aiokafka.errors import KafkaError, MessageSizeTooLargeError
from prometheus_client import CollectorRegistry, Counter

from trending_shared.clock import Clock, SystemClock
from trending_shared.errors import BrokerUnavailable, EventTooLarge
from trending_shared.events import Event, RecordsDeleted, ServiceConfigured
from trending_shared.messages import NAMESPACE, Message, first_message
from trending_shared.settings import KafkaSettings, ServiceSettings, tell_settings
from trending_shared.tracing import OFF, Tracing

log = structlog.get_logger()

MAX_RECORD = 1_000_000  # bytes; the broker's own default limit is 1 MiB
STOP_WITHIN = timedelta(seconds=10)  # for the last records; what stops us kills us after 45 s


class RawPublisher(Protocol):
    """Sends records as they are; what delivery needs to park and postpone."""

    async def publish_raw(
        self,
        topic: str,
        *,
        key: bytes | None,
        value: bytes | None,
        headers: Sequence[tuple[str, bytes]],
    ) -> None: ...


class Publisher(RawPublisher, Protocol):
    """Sends messages; returns when every one is stored by Kafka."""

    async def publish(self, messages: Iterable[Message[Any]]) -> None: ...


class KafkaPublisher:
    """The real publisher; an async context manager that owns one idempotent producer."""

    def __init__(
        self,
        kafka: KafkaSettings,
        *,
        service: str,
        code_version: str,
        registry: CollectorRegistry,
        clock: Clock | None = None,
        stop_within: timedelta = STOP_WITHIN,
        tracing: Tracing = OFF,
    ) -> None:
        self._kafka = kafka
        self._tracing = tracing
        self._stop_within = stop_within
        self._service = service
        self._code_version = code_version
        self._clock = clock or SystemClock()
        self._producer: AIOKafkaProducer | None = None
        self._published = Counter(
            "trending_events_published_total",
            "Events acknowledged by Kafka; a fall to zero means the service stopped producing",
            ["topic"],
            registry=registry,
        )
        self._unpublished = Counter(
            "trending_events_unpublished_total",
            "Events that Kafka didn't acknowledge; a rise means that it is down or too slow",
            registry=registry,
        )

    async def __aenter__(self) -> Self:
        """Raises `BrokerUnavailable` if Kafka doesn't answer."""
        producer = self._create_producer()
        try:
            await producer.start()
        except BaseException as error:
            await producer.stop()
            if isinstance(error, KafkaError | OSError):
                raise BrokerUnavailable.at(self._kafka.bootstrap_servers, error) from error
            raise
        self._producer = producer
        return self

    def _create_producer(self) -> AIOKafkaProducer:
        return AIOKafkaProducer(
            **self._kafka.connection,
            client_id=f"trending-{self._service}",
            enable_idempotence=True,
            acks="all",
            compression_type="zstd",
            linger_ms=0,
            max_request_size=MAX_RECORD,
            max_batch_size=256 * 1024,
            request_timeout_ms=40_000,  # a broker that restarts is back well within this
        )

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        producer, self._producer = self._producer, None
        if producer is None:
            return
        try:
            async with asyncio.timeout(self._stop_within.total_seconds()):
                await producer.stop()
        except TimeoutError:
            # An idempotent producer never gives a record up, so without Kafka it never stops. What
            # it holds was acknowledged to nobody: what led to it is read again.
            log.warning("publisher_abandoned", seconds=self._stop_within.total_seconds())
            await producer.client.close()

    async def publish(self, messages: Iterable[Message[Any]]) -> None:
        """Send messages, each to its class's topic under its key; keep their order for each key.

        Raises:
            EventTooLarge: a body doesn't fit into a record; those before it may have been sent.
            BrokerUnavailable: Kafka didn't acknowledge all of them in time.
        """
        now = self._clock.now()
        with self._tracing.sending(messages) as sent:
            await self._send(
                [
                    (
                        message.event.topic,
                        message.event.key.encode(),
                        message.body(),
                        message.headers(
                            source=self._service, code_version=self._code_version, now=now
                        ),
                    )
                    for message in sent
                ]
            )

    async def ping(self) -> bool:
        """Whether Kafka answers a question within two seconds."""
        if self._producer is None:
            return False
        try:
            async with asyncio.timeout(2):
                await self._producer.client.fetch_all_metadata()
        except (KafkaError, OSError, TimeoutError):
            return False
        return True

    async def publish_raw(
        self,
        topic: str,
        *,
        key: bytes | None,
        value: bytes | None,
        headers: Sequence[tuple[str, bytes]],
    ) -> None:
        """Send one record as it is; raises as `publish` does."""
        if key is None and value is None:
            value = b""  # Kafka takes records without either, its client doesn't
        await self._send([(topic, key, value, list(headers))])

    async def _send(
        self, records: Sequence[tuple[str, bytes | None, bytes | None, list[tuple[str, bytes]]]]
    ) -> None:
        if self._producer is None:
            raise BrokerUnavailable("the publisher isn't started")
        for topic, _, value, _ in records:
            if value is not None and len(value) > MAX_RECORD - 4096:
                raise EventTooLarge(f"{len(value)} bytes for {topic}; a record holds {MAX_RECORD}")
        try:
            futures = [
                await self._producer.send(topic, value=value, key=key, headers=headers)
                for topic, key, value, headers in records
            ]
            if futures:
                await asyncio.gather(*futures)
        except MessageSizeTooLargeError as error:
            raise EventTooLarge(str(error)) from error
        except KafkaError as error:
            self._unpublished.inc(len(records))
            raise BrokerUnavailable(f"Kafka took no event: {error!r}") from error
        for topic, *_ in records:
            self._published.labels(topic).inc()


def configured(
    service: str,
    settings: ServiceSettings,
    consumes: Iterable[type[Event]],
    produces: Iterable[type[Event]],
) -> Message[ServiceConfigured]:
    """What a service tells when it begins."""
    return first_message(
        ServiceConfigured(
            service=service,
            settings=tell_settings(settings),
            consumes=tuple(sorted(kind.topic for kind in consumes)),
            produces=tuple(sorted(kind.topic for kind in produces)),
        )
    )


def deletion(what: str, count: int, before: date, kept: timedelta) -> Message[RecordsDeleted]:
    """What is to be published before anything is deleted: nobody is to miss it untold.

    Its id follows from what and before when, so whoever goes on after a kill says the same.
    """
    reason = f"{what} are kept for {kept.days} days"
    event = RecordsDeleted(what=what, count=count, before=before, reason=reason)
    return first_message(event, id=uuid5(NAMESPACE, f"deleted:{event.natural_key}"))
