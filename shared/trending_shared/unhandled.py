"""What becomes of a message that wasn't handled: it is tried again later, or parked.

Either way the record goes on to another topic as it came, with headers of ours that say why, and
its own partition moves on. The same headers tell, when it comes back, how often it was tried.
"""

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Protocol

import structlog
from aiokafka import ConsumerRecord as Record

from trending_shared.clock import Clock
from trending_shared.errors import (
    Declined,
    EventTooLarge,
    Rejected,
    TrendingError,
    Unavailable,
    Undecodable,
)
from trending_shared.messages import Position
from trending_shared.progress import DeliveryMetrics, Progress
from trending_shared.publishing import RawPublisher
from trending_shared.topics import dead_letter_topic, retry_topic

log = structlog.get_logger()

DUE = "trending-due"  # milliseconds since 1970: not to be tried before
ATTEMPT = "trending-attempt"  # the number of the next attempt, from 1
REASON = "trending-reason"  # the error's name
UNTIL = "trending-until"  # milliseconds since 1970: not to be handled before, due or not
SINCE = "trending-since"  # milliseconds since 1970: when it was first told to wait
DETAIL = "trending-detail"  # what the error said
ORIGIN = "trending-origin"  # where the message first lay: topic:partition:offset
OURS = frozenset({DUE, ATTEMPT, UNTIL, SINCE, REASON, DETAIL, ORIGIN})

LONGEST_WAIT = timedelta(days=7)

_MAX_DETAIL = 2000  # bytes
_LARGE, _MOST_HEADERS = 512, 50  # what a record that hardly fits keeps of key and headers


class Halted(Exception):
    """Too many dead letters in a row; nothing more is taken until a person has looked."""


class Tell(Protocol):
    """Told what becomes of each record; see `Outcomes.tell`."""

    def __call__(
        self,
        outcome: str,
        origin: str,
        error: Exception | None = None,
        *,
        record: Record | None = None,
        **more: object,
    ) -> None: ...


class Unhandled:
    """Postpones and parks records for one consumer group.

    Args:
        group: part of the names of retry and dead-letter topics.
        delays: pauses before the first, second, … further attempt.
        dead_letter_limit: dead letters in a row after which `Halted` is raised.

    Raises:
        Halted: too many dead letters in a row, the last of them parked.
        BrokerUnavailable: Kafka took neither retry nor dead letter.
    """

    def __init__(
        self,
        *,
        group: str,
        publisher: RawPublisher,
        delays: Sequence[timedelta],
        dead_letter_limit: int,
        metrics: DeliveryMetrics,
        progress: Progress,
        clock: Clock,
        tell: Tell,
    ) -> None:
        self._tell = tell
        self._group = group
        self._publisher = publisher
        self._delays = tuple(delays)
        self._dead_letter_limit = dead_letter_limit
        self._metrics = metrics
        self._progress = progress
        self._clock = clock

    async def set_aside(self, record: Record, error: Exception) -> None:
        """Park what can never work, postpone what failed for any other reason."""
        if isinstance(error, Rejected):
            await self.park(record, error)
        else:
            await self.postpone(record, error)

    async def postpone(self, record: Record, error: Exception) -> None:
        """Have a record tried again, after the next delay or when the error says.

        The next delay uses up an attempt, and when all are used up the record is parked. Waiting
        until a time that is known uses up none, but in all may not take longer than LONGEST_WAIT.
        """
        until = error.not_before if isinstance(error, Unavailable) else None
        if until and until > self._clock.now() and self._delays:
            await self._wait(record, error, until)
            return
        attempt = attempt_of(record)
        if attempt > len(self._delays):
            await self.park(record, error)
            return
        origin = origin_of(record)
        delay = self._delays[attempt - 1]
        due = self._clock.now() + delay
        topic = origin.split(":")[0]
        try:
            await self._publisher.publish_raw(
                retry_topic(topic, self._group, delay),
                key=record.key,
                value=record.value,
                headers=[
                    *_foreign_headers(record),
                    *((SINCE, value) for name, value in record.headers if name == SINCE and value),
                    (DUE, _milliseconds(due)),
                    (ATTEMPT, str(attempt + 1).encode()),
                    *_why(error, origin),
                ],
            )
        except EventTooLarge as too_large:
            await self.park(record, too_large)
            return
        self._metrics.events.labels(topic, "postponed").inc()
        self._tell("postponed", origin, error, record=record, due=due.isoformat())

    async def _wait(self, record: Record, error: Exception, until: datetime) -> None:
        origin = origin_of(record)
        since = _time(record, SINCE) or self._clock.now()
        if until - since > LONGEST_WAIT:
            await self.park(record, error)
            return
        headers = [
            *_foreign_headers(record),
            (UNTIL, _milliseconds(until)),
            (SINCE, _milliseconds(since)),
            (ATTEMPT, str(attempt_of(record)).encode()),
            *_why(error, origin),
        ]
        try:
            await self._hop(record, headers, until)
        except EventTooLarge as too_large:
            await self.park(record, too_large)
            return
        self._metrics.events.labels(origin.split(":")[0], "waiting").inc()
        self._tell("waiting", origin, error, record=record, until=until.isoformat())

    async def wait_on(self, record: Record, until: datetime) -> None:
        """Have a record that waits for a later time than its topic's delay go on waiting."""
        headers = [(name, value or b"") for name, value in record.headers if name != DUE]
        await self._hop(record, headers, until)

    async def _hop(
        self, record: Record, headers: Sequence[tuple[str, bytes]], until: datetime
    ) -> None:
        """One step of a wait.

        The delay of each topic is constant, so what waits there is due in order; taking the longest
        that fits into the rest keeps steps few, and a short wait from standing behind a long one.
        """
        now = self._clock.now()
        delay = max((d for d in self._delays if d <= until - now), default=min(self._delays))
        await self._publisher.publish_raw(
            retry_topic(origin_of(record).split(":")[0], self._group, delay),
            key=record.key,
            value=record.value,
            headers=[*headers, (DUE, _milliseconds(now + delay))],
        )

    async def park(self, record: Record, error: Exception) -> None:
        """Put a record with the dead letters, and what was wrong with it."""
        origin = origin_of(record)
        topic = origin.split(":")[0]
        dead_letters = dead_letter_topic(topic, self._group)
        foreign = _foreign_headers(record)
        ours = [(ATTEMPT, str(attempt_of(record)).encode()), *_why(error, origin)]
        try:
            await self._publisher.publish_raw(
                dead_letters, key=record.key, value=record.value, headers=[*foreign, *ours]
            )
        except EventTooLarge:
            # It hardly fitted into a record without the reason. All of it still lies at its origin.
            key = record.key if len(record.key or b"") <= _LARGE else None
            small = [(name, value) for name, value in foreign if len(name) + len(value) <= _LARGE]
            await self._publisher.publish_raw(
                dead_letters, key=key, value=None, headers=[*small[:_MOST_HEADERS], *ours]
            )
        self._count_parked(origin, error, record)

    async def park_unreadable(self, position: Position) -> None:
        """Park what even Kafka's client can't read, by its position."""
        error = Undecodable("the name of a header isn't UTF-8")
        await self._publisher.publish_raw(
            dead_letter_topic(position.topic, self._group),
            key=None,
            value=None,
            headers=_why(error, str(position)),
        )
        self._count_parked(str(position), error, None)

    def _count_parked(self, origin: str, error: Exception, record: Record | None) -> None:
        outcome = "declined" if isinstance(error, Declined) else "parked"
        self._metrics.events.labels(origin.split(":")[0], outcome).inc()
        self._tell(outcome, origin, error, record=record)
        if outcome == "declined":
            return
        self._progress.dead_in_a_row += 1
        dead = self._progress.dead_in_a_row
        if dead >= self._dead_letter_limit:
            last = what_was_said(error)["reason"]
            self._progress.halted = f"{dead} dead letters in a row, last: {last}"
            self._metrics.halted.set(1)
            log.critical("consumer_halted", reason=self._progress.halted)
            raise Halted


def due_at(record: Record) -> datetime | None:
    """When a postponed record may be tried again; none for any other record."""
    return _time(record, DUE)


def waits_until(record: Record) -> datetime | None:
    """Before when a record isn't to be handled, though it may be due; none for any other record."""
    return _time(record, UNTIL)


def _time(record: Record, name: str) -> datetime | None:
    text = _header(record, name)
    return datetime.fromtimestamp(int(text) / 1000, UTC) if text and text.isdigit() else None


def _milliseconds(time: datetime) -> bytes:
    return str(int(time.timestamp() * 1000)).encode()


def attempt_of(record: Record) -> int:
    """The number of the attempt that a record is at, from 1."""
    text = _header(record, ATTEMPT)
    return int(text) if text and text.isdigit() else 1


def origin_of(record: Record) -> str:
    """Where a record first lay, as topic:partition:offset."""
    return _header(record, ORIGIN) or _position(record)


def _position(record: Record) -> str:
    return str(Position(record.topic, record.partition, record.offset))


def _header(record: Record, name: str) -> str | None:
    """A header of ours; on another topic than those for retries it isn't by us."""
    if "-retry-" not in record.topic:
        return None
    value = next((value for key, value in record.headers if key == name), None)
    return value.decode(errors="replace") if value is not None else None


def _foreign_headers(record: Record) -> list[tuple[str, bytes]]:
    return [(key, value or b"") for key, value in record.headers if key not in OURS]


def what_was_said(error: Exception) -> dict[str, str]:
    """An error's reason and detail, as they are told."""
    reason = error.reason if isinstance(error, TrendingError) else type(error).__name__
    detail = str(error).encode(errors="replace")[:_MAX_DETAIL].decode(errors="replace")
    return {"reason": reason, "detail": detail}


def _why(error: Exception, origin: str) -> list[tuple[str, bytes]]:
    said = what_was_said(error)
    return [
        (REASON, said["reason"].encode()),
        (DETAIL, said["detail"].encode()),
        (ORIGIN, origin.encode()),
    ]
