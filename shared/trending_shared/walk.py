"""One job's way through the house, read from the event log alone.

Every event names the job it belongs to (correlation) and the event it follows from (causation), so
what is still under way is plain set arithmetic: titles and reviews that nothing has followed from
yet, and jobs of whose page not everything has come that it was said to lead to.
"""

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Iterable, Mapping, Sequence, Set
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, TypeVar, cast
from uuid import UUID

from aiokafka import AIOKafkaConsumer, ConsumerRecord, TopicPartition
from aiokafka.errors import KafkaError

from trending_shared.errors import BrokerUnavailable, Rejected
from trending_shared.events import (
    EVENTS,
    Event,
    FactsScraped,
    FeaturesComputed,
    PageFetched,
    RecordRejected,
    ReviewCleaned,
    ReviewScraped,
    ScrapeJob,
    SignalScraped,
    TitleCleaned,
    TitleMerged,
    TitleScraped,
)
from trending_shared.messages import Message, Position, decode
from trending_shared.reading import reader
from trending_shared.settings import KafkaSettings
from trending_shared.topics import list_partitions
from trending_shared.unhandled import REASON

E = TypeVar("E", bound=Event)
# What a page leads to, in many messages; a scraper may be killed between two of them.
_OF_A_PAGE = (PageFetched, ScrapeJob, TitleScraped, ReviewScraped, FactsScraped, SignalScraped)
Batches = Mapping[TopicPartition, list[ConsumerRecord]]
_PAUSE = 0.1  # seconds, when nothing has been fetched yet
_CLOCKS_DIFFER = 60_000  # ms between two services' clocks, at most


@dataclass
class Span:
    """When the first and the last event of a kind were published."""

    first: datetime
    last: datetime

    def extend(self, at: datetime) -> None:
        self.first, self.last = min(self.first, at), max(self.last, at)

    @property
    def seconds(self) -> float:
        return (self.last - self.first).total_seconds()


@dataclass
class Walk:
    """What is known of one job."""

    job_id: UUID
    ids: dict[type[Event], set[UUID]] = field(default_factory=dict)
    followed: set[UUID] = field(default_factory=set)
    led_to: dict[UUID, set[UUID]] = field(default_factory=dict)
    pages: dict[UUID, int] = field(default_factory=dict)
    """How many events the page of a job was said to lead to."""
    parked: dict[UUID, str] = field(default_factory=dict)
    rejected: Counter[str] = field(default_factory=Counter)
    rejected_records: Counter[str] = field(default_factory=Counter)
    spans: dict[type[Event], Span] = field(default_factory=dict)
    firsts: dict[type[Event], Event] = field(default_factory=dict)

    def add(self, message: Message[Any]) -> None:
        """Take note of an event; the same event twice counts once."""
        kind = type(message.event)
        seen = self.ids.setdefault(kind, set())
        if message.id in seen:
            return
        seen.add(message.id)
        if message.causation_id and kind is not TitleMerged:  # comes besides what is waited for
            self._follow(message.causation_id, message)
        if message.time:
            if kind in self.spans:
                self.spans[kind].extend(message.time)
            else:
                self.spans[kind] = Span(message.time, message.time)
        if isinstance(message.event, RecordRejected):
            self.rejected[message.event.reason] += 1
            self.rejected_records[message.event.record] += 1
        self.firsts.setdefault(kind, message.event)

    def _follow(self, cause: UUID, message: Message[Any]) -> None:
        """Take note that something came of an event, and whether that is all."""
        if not isinstance(message.event, _OF_A_PAGE):
            self.followed.add(cause)
            return
        come = self.led_to.setdefault(cause, set())
        if isinstance(message.event, PageFetched):
            self.pages[cause] = message.event.events
        else:
            come.add(message.id)
        if len(come) >= self.pages.get(cause, len(come) + 1):
            self.followed.add(cause)

    def count(self, kind: type[Event]) -> int:
        return len(self.ids.get(kind, ()))

    def first_of(self, kind: type[E]) -> E | None:
        """The first event of a class that was seen."""
        return cast("E | None", self.firsts.get(kind))

    def waiting(self, *kinds: type[Event]) -> int:
        """How many events of these kinds nothing has come of yet."""
        return sum(
            len(self.ids.get(kind, set()) - self.followed - self.parked.keys()) for kind in kinds
        )

    @property
    def settled(self) -> bool:
        """Every page, title and review of the job has come to its end."""
        kinds = (ScrapeJob, TitleScraped, ReviewScraped, TitleCleaned)
        return self.count(ScrapeJob) > 0 and self.waiting(*kinds) == 0

    @property
    def counts(self) -> dict[str, int]:
        return {
            "pages": self.count(ScrapeJob),
            "titles_scraped": self.count(TitleScraped),
            "reviews_scraped": self.count(ReviewScraped),
            "titles_cleaned": self.count(TitleCleaned),
            "titles_rejected": self.rejected_records["title"],
            "reviews_cleaned": self.count(ReviewCleaned),
            "reviews_rejected": self.rejected_records["review"],
            "featurized": self.count(FeaturesComputed),
            "parked": len(self.parked),
        }

    @property
    def seen(self) -> int:
        """How many of its events have come, parked ones included; it never falls."""
        return sum(map(len, self.ids.values())) + len(self.parked)

    def summary(self) -> dict[str, object]:
        """The walk as one JSON document."""
        return {
            "job_id": self.job_id,
            "done": self.settled,
            "counts": self.counts,
            "rejected": dict(self.rejected),
            "parked": {str(id): reason for id, reason in self.parked.items()},
        }


class EventLog:
    """What a consumer without a group reads, whatever it comes upon.

    Args:
        starts: where the consumer begins to read.
    """

    def __init__(
        self, consumer: AIOKafkaConsumer, starts: Mapping[TopicPartition, int] | None = None
    ) -> None:
        self._consumer = consumer
        self._next = dict(starts or {})
        self._careful = False

    async def take(self, wait: float) -> Sequence[ConsumerRecord]:
        """What has come; waits so many seconds at most, and raises `BrokerUnavailable`."""
        try:
            batches = await (self._take_carefully() if self._careful else self._take(wait))
        except UnicodeDecodeError:  # the client drops what it took before: all begin where we are
            for partition, offset in self._next.items():
                self._consumer.seek(partition, offset)
            self._careful = True
            return []
        except KafkaError as error:
            raise BrokerUnavailable(f"the log can't be read: {error!r}") from error
        for partition, records in batches.items():
            self._next[partition] = records[-1].offset + 1
        return [record for records in batches.values() for record in records]

    async def _take(self, wait: float) -> Batches:
        batches: Batches = await self._consumer.getmany(
            timeout_ms=int(wait * 1000), max_records=5000
        )
        return batches

    async def _take_carefully(self) -> Batches:
        """The next record of each partition, until one is stepped over that can't be read.

        See `reading`, which does so in a group.
        """
        batches: dict[TopicPartition, list[ConsumerRecord]] = {}
        for partition in self._next:
            try:
                batches |= await self._consumer.getmany(partition, max_records=1)
            except UnicodeDecodeError:
                offset = await self._consumer.position(partition)
                self._consumer.seek(partition, offset + 1)
                self._next[partition] = offset + 1
                self._careful = False
        if not batches:
            await asyncio.sleep(_PAUSE)
        return batches

    async def ended(self) -> bool:
        """Whether everything that was there a moment ago has been read."""
        try:
            ends = await self._consumer.end_offsets(list(self._consumer.assignment()))
            for partition, end in ends.items():
                if await self._consumer.position(partition) < end:
                    return False
        except KafkaError as error:
            raise BrokerUnavailable(f"the log's end isn't known: {error!r}") from error
        return True


class WalkWatcher:
    """Follows the event log and keeps a `Walk` for each job it is asked about.

    Every method raises `BrokerUnavailable` if Kafka doesn't answer.
    """

    def __init__(self, log: EventLog, jobs: Iterable[UUID]) -> None:
        self._log = log
        self.walks: dict[UUID, Walk] = {job: Walk(job) for job in jobs}

    async def poll(self, wait: float = 0.5) -> bool:
        """Read what has come, waiting `wait` seconds at most; true if there was anything."""
        records = await self._log.take(wait)
        for record in records:
            self._take(record)
        return bool(records)

    def _take(self, record: ConsumerRecord) -> None:
        headers = dict(record.headers)
        correlation = _uuid(headers.get("ce_correlationid"))
        walk = self.walks.get(correlation) if correlation else None
        if walk is None:
            return
        if record.topic.endswith("-dlq"):
            reason = headers.get(REASON) or b"unknown"
            if id := _uuid(headers.get("ce_id")):
                walk.parked[id] = reason.decode(errors="replace")
            return
        try:
            walk.add(
                decode(
                    headers=record.headers,
                    body=record.value,
                    position=Position(record.topic, record.partition, record.offset),
                )
            )
        except Rejected:
            return  # whoever consumes it parks it, and we see that

    async def caught_up(self) -> bool:
        """Whether everything that was in the log a moment ago has been read."""
        return await self._log.ended()


def _uuid(header: bytes | None) -> UUID | None:
    try:
        return UUID((header or b"").decode())
    except ValueError:
        return None


@asynccontextmanager
async def watching(
    kafka: KafkaSettings, *jobs: UUID, first: type[Event] = ScrapeJob
) -> AsyncIterator[WalkWatcher]:
    """Read all event and dead-letter topics, without a consumer group.

    It begins where the first of these jobs did that is in the log; what isn't there yet may be
    published from now on.

    Args:
        jobs: ids of the messages that stories begin with.
        first: what these messages tell; a request for something else begins a story, too.

    Raises:
        BrokerUnavailable: Kafka didn't answer.
    """
    async with reader(kafka) as consumer:
        try:
            ends = await _ends(consumer, kafka)  # first: a job may come while we look for it
            since = await _began(consumer, ends, set(jobs), first)
            log = await _log_since(consumer, ends, since)
        except KafkaError as error:
            raise BrokerUnavailable(f"the log can't be read: {error!r}") from error
        yield WalkWatcher(log, jobs)


@asynccontextmanager
async def reading_since(kafka: KafkaSettings, moment: datetime) -> AsyncIterator[EventLog]:
    """All event and dead-letter topics from a moment on, without a consumer group.

    Raises:
        BrokerUnavailable: Kafka didn't answer.
    """
    async with reader(kafka) as consumer:
        try:
            ends = await _ends(consumer, kafka)
            log = await _log_since(consumer, ends, int(moment.timestamp() * 1000))
        except KafkaError as error:
            raise BrokerUnavailable(f"the log can't be read: {error!r}") from error
        yield log


async def _ends(consumer: AIOKafkaConsumer, kafka: KafkaSettings) -> dict[TopicPartition, int]:
    """Where all event and dead-letter topics end by now."""
    main = {event.topic for event in EVENTS}
    partitions = [
        partition
        for partition in await list_partitions(kafka.connection)
        if partition.topic in main or partition.topic.endswith("-dlq")
    ]
    consumer.assign(partitions)
    ends: dict[TopicPartition, int] = await consumer.end_offsets(partitions)
    return ends


async def _log_since(
    consumer: AIOKafkaConsumer, ends: Mapping[TopicPartition, int], since: int | None
) -> EventLog:
    """The log from a moment on, in ms, or else from these ends on."""
    starts = dict(ends)
    consumer.assign(list(starts))
    if since is not None:
        moment = max(0, since - _CLOCKS_DIFFER)
        found = await consumer.offsets_for_times(dict.fromkeys(starts, moment))
        starts |= {partition: at.offset for partition, at in found.items() if at is not None}
    for partition, offset in starts.items():
        consumer.seek(partition, offset)
    return EventLog(consumer, starts)


async def _began(
    consumer: AIOKafkaConsumer,
    partitions: Iterable[TopicPartition],
    jobs: Set[UUID],
    first: type[Event],
) -> int | None:
    """When the first of these jobs was published, in ms; none if none is in the log."""
    wanted = [each for each in partitions if each.topic == first.topic]
    if not wanted:
        return None
    consumer.assign(wanted)
    starts = await consumer.beginning_offsets(wanted)
    for partition, offset in starts.items():
        consumer.seek(partition, offset)
    log = EventLog(consumer, starts)
    found: dict[UUID | None, int] = {}
    while len(found) < len(jobs) and not await log.ended():
        for record in await log.take(0.5):
            if (id := _uuid(dict(record.headers).get("ce_id"))) in jobs:
                found.setdefault(id, record.timestamp)
    return min(found.values(), default=None)
