"""How messages reach handlers: at least once, in batches, nothing blocked and nothing lost.

A service has one consumer. It reads all topics of the service, and their retry topics, as one
FastStream batch subscriber with `NACK_ON_ERROR`: offsets are committed after every message of a
batch was handled, postponed or parked. What comes out of a handler is published before that commit.

    handled    the handler returned; its messages are published
    postponed  it can't work now: `<topic>-<group>-retry-<delay>`; a record that isn't due yet
               pauses its partition
    waiting    it can't work before a time that its error names: it goes through the same topics
               until then, and no attempt is used up
    parked     it can never work (`Rejected`, undecodable, retries used up):
               `<topic>-<group>-dlq`, with the reason
    declined   parked too, but an everyday thing (`Declined`)
    halted     too many parked in a row: the consumer stops and says so, because a bad deploy must
               not empty a topic
    held       a handler found a partition's records unfit (`BatchUnfit`): the partition is put back
               to before this batch and paused; the others go on. It is read again after a restart

Read `Consumer` from `on` to `deliver` first. Beside it, `unhandled` postpones and parks, `outcomes`
tells what became of each event, `progress` says how the consumer gets on, and `reading` steps over
what Kafka's client can't read.
"""

import asyncio
import inspect
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, TypeVar, cast

import structlog
from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka import ConsumerRecord as Record
from faststream import AckPolicy
from faststream.exceptions import NackMessage
from faststream.kafka import KafkaBroker
from faststream.kafka.message import KafkaAckableMessage, KafkaMessage
from prometheus_client import CollectorRegistry

from trending_shared.clock import Clock, SystemClock
from trending_shared.errors import BatchUnfit, Rejected, Unavailable
from trending_shared.events import Event
from trending_shared.messages import Message, Position, decode
from trending_shared.outcomes import Outcomes
from trending_shared.progress import DeliveryMetrics, Progress, measure_lag
from trending_shared.publishing import Publisher
from trending_shared.reading import Reader
from trending_shared.topics import RETRY_DELAYS, retry_topic
from trending_shared.tracing import OFF, Tracing
from trending_shared.unhandled import OURS, Halted, Unhandled, due_at, waits_until

log = structlog.get_logger()

E = TypeVar("E", bound=Event)
Rewinds = dict[TopicPartition, tuple[int, datetime | None]]  # where to read on, and when if ever
Answer = Iterable[Message[Any]] | None
BatchHandler = Callable[[Sequence[Message[E]]], Answer | Awaitable[Answer]]
EachHandler = Callable[[Message[E]], Answer | Awaitable[Answer]]


@dataclass(frozen=True, slots=True)
class Route:
    """What happens on one kind of event."""

    kind: type[Event]
    handle: Callable[[Sequence[Message[Any]]], Awaitable[None]]


class Consumer:
    """The one consumer of a service: routes events to handlers and decides what becomes of each.

    Args:
        service: consumer group, and part of the names of retry and dead-letter topics.
        publisher: takes what handlers return, and what is parked or postponed.
        batch_size: records handled at once.
        dead_letter_limit: dead letters in a row after which the consumer halts.
        delays: pauses before the first, second, … further attempt.
        tell_handled: whether events that were handled have a line in the log.
    """

    def __init__(
        self,
        *,
        service: str,
        publisher: Publisher,
        registry: CollectorRegistry,
        batch_size: int = 500,
        dead_letter_limit: int = 100,
        delays: Sequence[timedelta] = RETRY_DELAYS,
        clock: Clock | None = None,
        tracing: Tracing = OFF,
        tell_handled: bool = True,
    ) -> None:
        self.service = service
        self.publisher = publisher
        self.batch_size = batch_size
        self.delays = tuple(delays)
        self.metrics = DeliveryMetrics(registry)
        self.clock = clock or SystemClock()
        now = self.clock.now()
        self.progress = Progress(started_at=now, last_at=now)
        self._outcomes = Outcomes(tracing, tell_handled=tell_handled)
        self._unhandled = Unhandled(
            group=service,
            publisher=publisher,
            delays=self.delays,
            dead_letter_limit=dead_letter_limit,
            metrics=self.metrics,
            progress=self.progress,
            clock=self.clock,
            tell=self._outcomes.tell,
        )
        self._routes: dict[type[Event], Route] = {}
        self._resumes: set[asyncio.TimerHandle] = set()
        self._originals: dict[Position, Record] = {}
        self._subscriber: Any = None
        self._stopping: asyncio.Task[None] | None = None

    # ------------------------------------------------------------ what is consumed

    def on(self, kind: type[E], handle: BatchHandler[E]) -> None:
        """Handle events of a class in batches; a plain `def` runs in a thread.

        The messages a batch leads to are published when the handler returns. If it raises
        `Unavailable`, the whole batch is postponed; on any other error it is halved until the
        message that fails stands alone.
        """

        async def batched(messages: Sequence[Message[Any]]) -> None:
            await self._whole(handle, cast("Sequence[Message[E]]", messages))

        self._add(Route(kind, batched))

    def on_each(self, kind: type[E], handle: EachHandler[E], *, at_once: int = 1) -> None:
        """Handle events of a class one by one, or up to `at_once` together and in no order."""

        async def awaited(batch: Sequence[Message[E]]) -> Answer:
            return await cast("Awaitable[Answer]", handle(batch[0]))

        def called(batch: Sequence[Message[E]]) -> Answer | Awaitable[Answer]:
            return handle(batch[0])

        alone: BatchHandler[E] = awaited if inspect.iscoroutinefunction(handle) else called

        async def singly(messages: Sequence[Message[Any]]) -> None:
            slots = asyncio.Semaphore(at_once)

            async def one(message: Message[Any]) -> None:
                async with slots:
                    await self._whole(alone, [message])

            if at_once == 1:
                for message in messages:
                    await one(message)
                return
            try:
                async with asyncio.TaskGroup() as group:
                    for message in messages:
                        group.create_task(one(message))
            except ExceptionGroup as failed:
                halted = failed.subgroup(Halted)
                raise (halted or failed).exceptions[0] from failed

        self._add(Route(kind, singly))

    def _add(self, route: Route) -> None:
        self._routes[route.kind] = route
        self.metrics.expect(route.kind.topic)

    @property
    def consumes(self) -> tuple[type[Event], ...]:
        return tuple(self._routes)

    def topics(self) -> list[str]:
        """Every topic read: those of the events, then where their retries wait."""
        main = [kind.topic for kind in self._routes]
        return main + [retry_topic(topic, self.service, d) for topic in main for d in self.delays]

    def subscribe(self, broker: KafkaBroker) -> None:
        """Register with the broker; call once, after all `on`."""

        async def parse(records: tuple[Record, ...]) -> KafkaMessage:
            # FastStream's own parser decodes headers first, and skips a record where it can't.
            return KafkaAckableMessage(
                body=[],
                headers={},
                batch_headers=[],
                reply_to="",
                message_id=f"{records[0].offset}-{records[-1].offset}",
                correlation_id=None,
                raw_message=records,
                consumer=self._subscriber.consumer,
            )

        async def pass_on(message: KafkaMessage) -> list[Record]:
            return list(cast("tuple[Record, ...]", message.raw_message))

        self._subscriber = broker.subscriber(
            *self.topics(),
            batch=True,
            group_id=self.service,
            auto_offset_reset="earliest",
            isolation_level="read_committed",  # what a transaction took back was never there
            ack_policy=AckPolicy.NACK_ON_ERROR,
            max_records=self.batch_size,
            batch_timeout_ms=200,
            # Only our own idle clock; a hung handler shows in the probe.
            max_poll_interval_ms=30 * 60 * 1000,
            parser=parse,
            decoder=pass_on,
        )
        self._subscriber.get_msg = Reader(self._subscriber.get_msg, self._unhandled.park_unreadable)

        @self._subscriber  # type: ignore[untyped-decorator]
        async def deliver(records: list[Any]) -> None:
            await self._deliver_and_commit(records)

    # ------------------------------------------------------------ one batch

    async def _deliver_and_commit(self, records: Sequence[Record]) -> None:
        if self.progress.halted:
            raise NackMessage
        try:
            rewinds = await self.deliver(records)
        except Halted:
            # What was parked is parked again after the restart, rather than lost by a commit.
            self._stopping = asyncio.create_task(self._subscriber.stop())
            raise NackMessage from None
        except Exception:
            # Kafka or the publisher is down: the batch is read again, but not in a hot loop.
            log.exception("batch_not_delivered", records=len(records))
            await asyncio.sleep(1)
            raise
        consumer = cast("AIOKafkaConsumer", self._subscriber.consumer)
        for partition, (offset, due) in rewinds.items():
            self._put_back(consumer, partition, offset, due)
        await measure_lag(consumer, self.progress, self.metrics)

    async def deliver(self, records: Sequence[Record]) -> Rewinds:
        """Handle a batch of records to the end.

        Returns:
            Where to read on, and when, for each partition whose next record isn't due yet; without
            a time for a partition that is held.

        Raises:
            Halted: too many dead letters in a row.
            BrokerUnavailable: something could be neither published, postponed nor parked.
        """
        self.progress.busy_since = self.clock.now()
        self._originals = {
            Position(record.topic, record.partition, record.offset): record for record in records
        }
        rewinds: Rewinds = {}
        by_kind: dict[type[Event], list[Message[Any]]] = {}
        try:
            for position, record in self._originals.items():
                partition = TopicPartition(record.topic, record.partition)
                if partition in rewinds:
                    continue
                due = due_at(record)
                if due and due > self.clock.now():
                    rewinds[partition] = (record.offset, due)
                    continue
                until = waits_until(record)
                if until and until > self.clock.now():
                    await self._unhandled.wait_on(record, until)
                    continue
                try:
                    message = decode(
                        headers=[h for h in record.headers if h[0] not in OURS],
                        body=record.value,
                        position=position,
                        known=self._routes,
                    )
                except Rejected as error:
                    await self._unhandled.park(record, error)
                else:
                    by_kind.setdefault(type(message.event), []).append(message)
            for kind, messages in by_kind.items():
                with self.metrics.seconds.labels(kind.topic).time():
                    rewinds |= await self._handle(kind, messages)
        finally:
            self._outcomes.leave()
            now = self.clock.now()
            self.progress.busy_since, self.progress.last_at = None, now
        return rewinds

    async def _handle(self, kind: type[Event], messages: Sequence[Message[Any]]) -> Rewinds:
        """Handle the messages of the partitions that are fit, and hold the others."""
        for message in messages:
            self._release(_partition(message))
        try:
            await self._routes[kind].handle(messages)
        except BatchUnfit as unfit:
            rest = [message for message in messages if _partition(message) not in unfit.partitions]
            if len(rest) == len(messages):
                raise
            rewinds: Rewinds = {}
            for message in reversed(messages):
                partition = _partition(message)
                if why := unfit.partitions.get(partition):
                    self._hold(partition, why)
                    rewinds[TopicPartition(*partition)] = (_position(message).offset, None)
            return rewinds | (await self._handle(kind, rest) if rest else {})
        return {}

    async def _whole(self, handle: BatchHandler[Any], messages: Sequence[Message[Any]]) -> None:
        """Handle messages together; on failure find out which of them it was."""
        messages = self._outcomes.begin(messages)
        try:
            with self._outcomes.within(messages):
                answer = tuple(await _call(handle, messages) or ())
            await self.publisher.publish(answer)
        except BatchUnfit:
            raise
        except Unavailable as error:
            for message in messages:
                await self._unhandled.postpone(self._original(message), error)
        except Exception as error:
            if len(messages) == 1:
                await self._unhandled.set_aside(self._original(messages[0]), error)
            else:
                middle = len(messages) // 2
                await self._whole(handle, messages[:middle])
                await self._whole(handle, messages[middle:])
        else:
            self._count_handled(messages)
            self._outcomes.handled([self._original(each) for each in messages], answer)

    def _count_handled(self, messages: Sequence[Message[Any]]) -> None:
        self.progress.dead_in_a_row = 0
        now = self.clock.now()
        for message in messages:
            topic = message.event.topic
            self.metrics.events.labels(topic, "handled").inc()
            self.metrics.last.labels(topic).set(now.timestamp())
            if message.time:
                age = (now - message.time).total_seconds()
                self.metrics.age.labels(topic).observe(max(0.0, age))

    def _original(self, message: Message[Any]) -> Record:
        return self._originals[_position(message)]

    # ------------------------------------------------------------ partitions that wait

    @property
    def held(self) -> Mapping[tuple[str, int], str]:
        """The partitions of ours that wait for a person, and why."""
        consumer = self._subscriber.consumer if self._subscriber else None
        if consumer is None:
            return self.progress.held
        ours = consumer.assignment()  # who has the others now has judged them anew
        return {p: why for p, why in self.progress.held.items() if TopicPartition(*p) in ours}

    def _hold(self, partition: tuple[str, int], why: str) -> None:
        if partition in self.progress.held:
            return
        topic, number = partition
        self.progress.held[partition] = why
        self.metrics.held.labels(topic, str(number)).set(1)
        log.critical("partition_held", topic=topic, partition=number, reason=why)

    def _release(self, partition: tuple[str, int]) -> None:
        if self.progress.held.pop(partition, None):
            self.metrics.held.remove(partition[0], str(partition[1]))

    def _put_back(
        self,
        consumer: AIOKafkaConsumer,
        partition: TopicPartition,
        offset: int,
        due: datetime | None,
    ) -> None:
        """Put a partition back to a record that isn't due, and read on when it is, if ever.

        The commit that follows stores the consumer's position, and so exactly what was handled.
        """
        if partition not in consumer.assignment():
            return
        consumer.seek(partition, offset)
        consumer.pause(partition)
        if due is None:
            return
        pause = max(0.0, (due - self.clock.now()).total_seconds())

        def resume() -> None:
            self._resumes.discard(handle)
            if partition in consumer.assignment():
                consumer.resume(partition)

        handle = asyncio.get_running_loop().call_later(pause, resume)
        self._resumes.add(handle)

    def close(self) -> None:
        """Forget the partitions that wait; they are read again after the next start."""
        for handle in self._resumes:
            handle.cancel()
        self._resumes.clear()


def _position(message: Message[Any]) -> Position:
    assert message.position is not None, "a delivered message has a position"
    return message.position


def _partition(message: Message[Any]) -> tuple[str, int]:
    position = _position(message)
    return position.topic, position.partition


async def _call(handle: BatchHandler[Any], messages: Sequence[Message[Any]]) -> Answer:
    if inspect.iscoroutinefunction(handle):
        return cast("Answer", await handle(messages))
    answer = await asyncio.to_thread(handle, messages)
    return await answer if inspect.isawaitable(answer) else answer
