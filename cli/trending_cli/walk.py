"""One job's way through the house, read from the event log alone.

Every event names the job it belongs to (correlation) and the event it follows from (causation), so
what is still under way is plain set arithmetic: titles and reviews that nothing has followed from
yet, and jobs of whose page not everything has come that it was said to lead to.
"""

from collections import Counter
from collections.abc import AsyncIterator, Iterable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, TypeVar, cast
from uuid import UUID

from aiokafka import AIOKafkaConsumer, ConsumerRecord, TopicPartition

from trending_cli import clients
from trending_shared.errors import Rejected
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
from trending_shared.settings import KafkaSettings
from trending_shared.topics import list_partitions
from trending_shared.unhandled import REASON

E = TypeVar("E", bound=Event)
# What a page leads to, in many messages; a scraper may be killed between two of them.
_OF_A_PAGE = (PageFetched, ScrapeJob, TitleScraped, ReviewScraped, FactsScraped, SignalScraped)


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


class WalkWatcher:
    """Follows the event log and keeps a `Walk` for each job it is asked about."""

    def __init__(self, consumer: AIOKafkaConsumer, jobs: Iterable[UUID]) -> None:
        self._consumer = consumer
        self.walks: dict[UUID, Walk] = {job: Walk(job) for job in jobs}

    async def poll(self, wait: float = 0.5) -> bool:
        """Read what has come, waiting `wait` seconds at most; true if there was anything."""
        batches = cast(
            "Mapping[TopicPartition, list[ConsumerRecord]]",
            await self._consumer.getmany(timeout_ms=int(wait * 1000), max_records=5000),
        )
        for records in batches.values():
            for record in records:
                self._take(record)
        return bool(batches)

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
        ends = await self._consumer.end_offsets(list(self._consumer.assignment()))
        for partition, end in ends.items():
            if await self._consumer.position(partition) < end:
                return False
        return True


def _uuid(header: bytes | None) -> UUID | None:
    try:
        return UUID((header or b"").decode())
    except ValueError:
        return None


@asynccontextmanager
async def watching(
    kafka: KafkaSettings, *jobs: UUID, from_now: bool = False
) -> AsyncIterator[WalkWatcher]:
    """Read all event and dead-letter topics from their beginning, or only what comes `from_now` on.

    Raises:
        BrokerUnavailable: Kafka didn't answer.
    """
    async with clients.reader(kafka) as consumer:
        main = {event.topic for event in EVENTS}
        partitions = [
            partition
            for partition in await list_partitions(kafka.connection)
            if partition.topic in main or partition.topic.endswith("-dlq")
        ]
        consumer.assign(partitions)
        await (consumer.seek_to_end if from_now else consumer.seek_to_beginning)(*partitions)
        yield WalkWatcher(consumer, jobs)
