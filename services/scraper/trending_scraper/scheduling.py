"""Recurring jobs: what the catalogue's schedules ask for is published once a period.

Every scraper looks when something is due, and Kafka decides which of them publishes it. A job and
its mark in the topic `scrape-schedules` become visible together, in a transaction. All scrapers use
one transactional id: whoever begins with it shuts out whoever had it before, and what that one left
unfinished is taken back. Only then are the marks read once more and the decision is made, so it
can't be out of date when it takes effect, and a scraper may be killed at any point.

Read `due`, then `Scheduler`; `KafkaLedger` is the part that talks to Kafka.
"""

import asyncio
import random
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Mapping, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Protocol
from uuid import UUID

import structlog
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, ConsumerRecord, TopicPartition
from aiokafka.errors import IllegalOperation, InvalidProducerEpoch, KafkaError, ProducerFenced
from pydantic import AwareDatetime, BaseModel, ConfigDict

from trending_scraper.metrics import ScheduleMetrics
from trending_scraper.sources.base import Source
from trending_shared.clock import Clock
from trending_shared.errors import BrokerUnavailable, Unavailable
from trending_shared.events import ScrapeJob
from trending_shared.messages import Message
from trending_shared.settings import KafkaSettings
from trending_shared.sources import Schedule, job_of_period
from trending_shared.topics import SCHEDULES, read_to_end

log = structlog.get_logger()

TRANSACTIONAL_ID = "trending-scraper-schedule"
AHEAD = timedelta(days=1)  # a mark further ahead is the work of a clock that was wrong
_SPREAD = 10.0  # seconds within which scrapers look, so that they seldom shut each other out
_LOOK_AT_LEAST = 60.0  # seconds; a machine that slept is late by no more
_RETRY = 15.0  # seconds until Kafka is asked again
_STOP_WITHIN = 5.0  # seconds for Kafka's client to end; it waits for a broker that is away


class Overtaken(Unavailable):
    """Another scraper has begun to publish what is due; it may die before it has."""


class Mark(BaseModel):
    """The newest period of a schedule that was published, by its beginning."""

    model_config = ConfigDict(frozen=True, extra="ignore")

    begins: AwareDatetime
    job_id: UUID


@dataclass(frozen=True, slots=True)
class Recurring:
    """A schedule of a source that this scraper has."""

    source: str
    name: str
    schedule: Schedule

    @property
    def key(self) -> str:
        return f"{self.source}/{self.name}"


@dataclass(frozen=True, slots=True)
class Due:
    """A period whose job is to be published, and how many before it never were."""

    recurring: Recurring
    begins: datetime
    missed: int

    @property
    def message(self) -> Message[ScrapeJob]:
        each = self.recurring
        return job_of_period(each.source, each.name, each.schedule, self.begins)

    @property
    def mark(self) -> Mark:
        return Mark(begins=self.begins, job_id=self.message.id)


Decide = Callable[[Mapping[str, Mark]], Sequence[Due]]


def recurring_jobs(sources: Iterable[Source]) -> list[Recurring]:
    """The schedules of these sources."""
    return [
        Recurring(source.name, name, schedule)
        for source in sources
        for name, schedule in source.entry.schedule.items()
    ]


def due(recurring: Iterable[Recurring], marks: Mapping[str, Mark], now: datetime) -> list[Due]:
    """What should have been published by now and wasn't: of each schedule the newest period only.

    Periods are compared by their beginnings, so a schedule whose length was changed goes on.
    """
    found = []
    for each in recurring:
        begins = each.schedule.begins(now)
        mark = marks.get(each.key)
        if mark and begins <= mark.begins <= now + AHEAD:
            continue
        passed = (begins - mark.begins) // each.schedule.every if mark else 1
        found.append(Due(each, begins, missed=max(0, passed - 1)))
    return found


class Ledger(Protocol):
    """Where it is written down which periods were published."""

    async def read(self) -> Mapping[str, Mark]:
        """The mark of each schedule, by its key."""

    async def publish(self, decide: Decide) -> Sequence[Due]:
        """Publish what `decide` makes of the marks, with its marks: all of it or nothing.

        Raises:
            Overtaken: somebody else began after us; nothing of ours is published.
            BrokerUnavailable: Kafka didn't answer, or refused.
        """


class Scheduler:
    """Publishes recurring jobs in the background.

    Args:
        sleep: waits a number of seconds.
        spread: within how many seconds after something falls due it is looked at.
    """

    def __init__(
        self,
        recurring: Sequence[Recurring],
        *,
        ledger: Ledger,
        metrics: ScheduleMetrics,
        clock: Clock,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
        spread: float = _SPREAD,
    ) -> None:
        self._recurring = tuple(recurring)
        self._ledger = ledger
        self._metrics = metrics
        self._clock = clock
        self._sleep = sleep
        self._spread = spread
        self._marks: dict[str, Mark] = {}  # as far as we know

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """Look in the background as long as this lasts; with no schedules there's nothing to do."""
        if not self._recurring:
            yield
            return
        looking = asyncio.Lock()
        task = asyncio.create_task(self._loop(looking))
        task.add_done_callback(_report)
        try:
            yield
        finally:
            # Not in the middle of a look: a client that is broken off while it connects leaves its
            # connection open.
            with suppress(TimeoutError):
                await asyncio.wait_for(looking.acquire(), _STOP_WITHIN)
            task.cancel()
            await asyncio.wait({task}, timeout=_STOP_WITHIN)

    async def _loop(self, looking: asyncio.Lock) -> None:
        while True:
            try:
                async with looking:
                    await self.look()
                pause = self._until_next()
            except Overtaken:
                pause = random.uniform(0.1, 1.0)  # by then it is done, or its scraper is dead
            except Unavailable as error:
                log.warning("schedules_wait", reason=error.reason, detail=str(error))
                pause = _RETRY
            await self._sleep(pause)

    async def look(self) -> None:
        """Publish what is due, unless another scraper has.

        Raises:
            Overtaken: another scraper is at it; look again soon.
            BrokerUnavailable: Kafka didn't answer.
        """
        if not due(self._recurring, self._marks, self._clock.now()):
            return
        if self._decide(await self._ledger.read()):
            for each in await self._ledger.publish(self._decide):
                self._note(each)

    def _decide(self, marks: Mapping[str, Mark]) -> Sequence[Due]:
        self._marks = dict(marks)
        for each in self._recurring:
            if mark := marks.get(each.key):
                labels = self._metrics.period.labels(each.source, each.name)
                labels.set(mark.begins.timestamp())
        return due(self._recurring, marks, self._clock.now())

    def _note(self, published: Due) -> None:
        each, message = published.recurring, published.message
        self._marks[each.key] = published.mark
        labels = (each.source, each.name)
        self._metrics.published.labels(*labels).inc()
        self._metrics.missed.labels(*labels).inc(published.missed)
        self._metrics.period.labels(*labels).set(published.begins.timestamp())
        log.info(
            "job_scheduled",
            source=each.source,
            schedule=each.name,
            begins=published.begins.isoformat(),
            missed=published.missed,
            job_id=str(message.id),
            url=message.event.url,
        )

    def _until_next(self) -> float:
        """Seconds until it's worth looking again."""
        now = self._clock.now()
        soonest = min(each.schedule.begins(now) + each.schedule.every for each in self._recurring)
        pause = (soonest - now).total_seconds() + random.uniform(0, self._spread)
        return min(pause, _LOOK_AT_LEAST)


def _report(loop: "asyncio.Task[None]") -> None:
    if not loop.cancelled() and (error := loop.exception()):
        log.critical("nothing_scheduled_any_more", exc_info=error)


class KafkaLedger:
    """The ledger in Kafka: a compacted topic, written in transactions.

    Nothing is kept open between two looks, which lie minutes to days apart.
    """

    def __init__(
        self,
        kafka: KafkaSettings,
        *,
        code_version: str,
        clock: Clock,
        producer_class: type[AIOKafkaProducer] = AIOKafkaProducer,
    ) -> None:
        self._kafka = kafka
        self._code_version = code_version
        self._clock = clock
        self._producer_class = producer_class

    async def read(self) -> Mapping[str, Mark]:
        """The marks that are committed by now.

        Raises:
            BrokerUnavailable: Kafka didn't answer.
        """
        consumer = AIOKafkaConsumer(
            **self._kafka.connection,
            enable_auto_commit=False,
            auto_offset_reset="earliest",
            isolation_level="read_committed",
        )
        marks: dict[str, Mark] = {}
        try:
            await consumer.start()
            async for record in read_to_end(consumer, {TopicPartition(SCHEDULES.name, 0): 0}):
                _take(record, marks)
        except (KafkaError, OSError) as error:
            raise BrokerUnavailable.at(self._kafka.bootstrap_servers, error) from error
        finally:
            await consumer.stop()
        return marks

    async def publish(self, decide: Decide) -> Sequence[Due]:
        producer = self._producer_class(
            **self._kafka.connection,
            client_id="trending-scraper-schedule",
            transactional_id=TRANSACTIONAL_ID,
            # Until it is over, readers wait for it; if nobody takes over, Kafka ends it.
            transaction_timeout_ms=10_000,
        )
        try:
            await producer.start()  # from here on whoever had the id before can't commit
            found = decide(await self.read())
            if found:
                await self._send(producer, found)
        except (ProducerFenced, InvalidProducerEpoch, IllegalOperation) as error:
            raise Overtaken("another scraper has begun to publish what is due") from error
        except (KafkaError, OSError) as error:
            raise BrokerUnavailable(f"Kafka took no scheduled job: {error!r}") from error
        finally:
            await producer.stop()
        return found

    async def _send(self, producer: AIOKafkaProducer, found: Sequence[Due]) -> None:
        """Send jobs and marks in one transaction.

        One that fails isn't taken back here: the next scraper that begins does that, or Kafka.
        """
        await producer.begin_transaction()
        sent = []
        for each in found:
            message = each.message
            headers = message.headers(
                source="scraper", code_version=self._code_version, now=self._clock.now()
            )
            job, key = message.body(), message.event.key.encode()
            mark = each.mark.model_dump_json().encode()
            sent += [
                await producer.send(ScrapeJob.topic, job, key=key, headers=headers),
                await producer.send(SCHEDULES.name, mark, key=each.recurring.key.encode()),
            ]
        await asyncio.gather(*sent)  # a commit doesn't ask what became of them
        await producer.commit_transaction()


def _take(record: ConsumerRecord, marks: dict[str, Mark]) -> None:
    """Take note of a mark; one that can't be read counts for nothing."""
    try:
        key = (record.key or b"").decode()
        if record.value is None:
            marks.pop(key, None)
        else:
            marks[key] = Mark.model_validate_json(record.value)
    except ValueError as error:
        log.warning("mark_not_read", offset=record.offset, detail=str(error))
