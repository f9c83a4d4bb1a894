"""Recurring jobs: which are due when, and what is done about it."""

import asyncio
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from uuid import uuid4

import pytest
from prometheus_client import CollectorRegistry

from trending_scraper.metrics import ScheduleMetrics
from trending_scraper.scheduling import (
    Decide,
    Due,
    Mark,
    Overtaken,
    Recurring,
    Scheduler,
    due,
)
from trending_shared.clock import FrozenClock
from trending_shared.errors import BrokerUnavailable, Unavailable
from trending_shared.sources import Schedule

NOON = datetime(2026, 11, 26, 12, tzinfo=UTC)
MIDNIGHT = NOON.replace(hour=0)
HOUR, DAY = timedelta(hours=1), timedelta(days=1)


def a_recurring(name: str = "all", every: timedelta = DAY) -> Recurring:
    return Recurring("films", name, Schedule(every=every, url="https://films.example/{day}"))


def marked(recurring: Recurring, begins: datetime) -> dict[str, Mark]:
    return {recurring.key: Mark(begins=begins, job_id=uuid4())}


# ---------------------------------------------------------------- what is due


def test_what_was_never_published_is_due_at_once() -> None:
    (found,) = due([a_recurring()], {}, NOON)
    assert (found.begins, found.missed) == (MIDNIGHT, 0)
    assert found.message.event.url == "https://films.example/2026-11-26"


@pytest.mark.parametrize(
    ("last", "begins", "missed"),
    [
        (MIDNIGHT, None, None),
        (MIDNIGHT - DAY, MIDNIGHT, 0),
        (MIDNIGHT - 4 * DAY, MIDNIGHT, 3),
    ],
)
def test_the_newest_period_is_due_once_and_those_before_it_are_counted(
    last: datetime, begins: datetime | None, missed: int | None
) -> None:
    each = a_recurring()
    found = due([each], marked(each, last), NOON)
    assert [(one.begins, one.missed) for one in found] == ([(begins, missed)] if begins else [])


@pytest.mark.parametrize(("ahead", "is_due"), [(timedelta(seconds=1), False), (2 * DAY, True)])
def test_a_clock_a_little_ahead_is_believed_and_one_that_was_wrong_stops_nothing(
    ahead: timedelta, is_due: bool
) -> None:
    each = a_recurring(every=HOUR)
    just_before = NOON - timedelta(milliseconds=1)
    marks = marked(each, each.schedule.begins(just_before + ahead))
    found = due([each], marks, just_before)
    assert [one.missed for one in found] == ([0] if is_due else [])


def test_a_schedule_whose_period_is_changed_goes_on() -> None:
    hourly, daily = a_recurring(every=HOUR), a_recurring(every=DAY)
    assert due([daily], marked(hourly, NOON), NOON) == []
    assert [one.begins for one in due([daily], marked(hourly, NOON), NOON + DAY)] == [
        MIDNIGHT + DAY
    ]
    assert [one.missed for one in due([hourly], marked(daily, MIDNIGHT), NOON)] == [11]


def test_a_period_always_has_the_same_job() -> None:
    ids = [
        due([each], {}, now)[0].message.id
        for each in (a_recurring(), a_recurring("others"))
        for now in (MIDNIGHT, NOON, NOON + DAY)
    ]
    assert len(set(ids)) == 4
    assert ids[0] == ids[1] == due([a_recurring()], {}, NOON)[0].message.correlation_id


# ---------------------------------------------------------------- what is done about it


class MemoryLedger:
    """A ledger that others write to as well, and that fails when told to."""

    def __init__(self) -> None:
        self.marks: dict[str, Mark] = {}
        self.published: list[Due] = []
        self.reads = 0
        self.failures: list[Unavailable] = []
        self.overtakes = False

    async def read(self) -> Mapping[str, Mark]:
        self.reads += 1
        if self.failures:
            raise self.failures.pop(0)
        return self.marks

    async def publish(self, decide: Decide) -> Sequence[Due]:
        if self.overtakes:
            self._write(decide({}))
        found = decide(self.marks)
        self._write(found)
        return found

    def _write(self, found: Sequence[Due]) -> None:
        self.published += found
        self.marks |= {each.recurring.key: each.mark for each in found}


class Bench:
    """A scheduler, its ledger, its clock, and how long it wanted to sleep."""

    def __init__(self, *recurring: Recurring) -> None:
        self.ledger, self.clock = MemoryLedger(), FrozenClock(NOON)
        self.registry = CollectorRegistry()
        self.pauses: asyncio.Queue[float] = asyncio.Queue()
        self.scheduler = Scheduler(
            recurring,
            ledger=self.ledger,
            metrics=ScheduleMetrics(self.registry),
            clock=self.clock,
            sleep=self._sleep,
            spread=0,
        )

    async def _sleep(self, seconds: float) -> None:
        self.clock.advance(timedelta(seconds=seconds))
        await self.pauses.put(seconds)
        await asyncio.sleep(0)

    def metric(self, name: str, recurring: Recurring) -> float | None:
        labels = {"source": recurring.source, "schedule": recurring.name}
        return self.registry.get_sample_value(f"trending_scraper_{name}", labels)


async def test_a_period_is_published_once_however_often_one_looks() -> None:
    each = a_recurring()
    bench = Bench(each)
    for _ in range(3):
        await bench.scheduler.look()
    bench.clock.advance(DAY)
    await bench.scheduler.look()
    assert [one.begins for one in bench.ledger.published] == [MIDNIGHT, MIDNIGHT + DAY]
    assert bench.ledger.reads == 2, "Kafka is asked only when something is due"
    assert bench.metric("scheduled_jobs_total", each) == 2
    tomorrow = (MIDNIGHT + DAY).timestamp()
    assert bench.metric("newest_period_timestamp_seconds", each) == tomorrow


async def test_periods_in_which_nobody_ran_are_counted_and_not_made_up_for() -> None:
    each = a_recurring(every=HOUR)
    bench = Bench(each)
    bench.ledger.marks = marked(each, NOON - 5 * HOUR)
    await bench.scheduler.look()
    assert len(bench.ledger.published) == 1
    assert bench.metric("missed_periods_total", each) == 4


async def test_what_another_scraper_published_meanwhile_is_left_to_it() -> None:
    each = a_recurring()
    bench = Bench(each)
    bench.ledger.overtakes = True
    await bench.scheduler.look()
    assert len(bench.ledger.published) == 1, "the other one's"
    assert not bench.metric("scheduled_jobs_total", each)


async def test_it_wakes_when_something_falls_due_and_every_minute_before() -> None:
    bench = Bench(a_recurring(every=HOUR))
    bench.clock.at = NOON + timedelta(minutes=58, seconds=30)
    async with bench.scheduler.running():
        pauses = [await bench.pauses.get() for _ in range(3)]
    assert pauses == [60, 30, 60]
    assert [one.begins for one in bench.ledger.published] == [NOON, NOON + HOUR]


async def test_kafka_that_is_away_is_asked_again() -> None:
    bench = Bench(a_recurring())
    bench.ledger.failures = [BrokerUnavailable("away"), Overtaken("by another")]
    async with bench.scheduler.running():
        away, overtaken, done = [await bench.pauses.get() for _ in range(3)]
    assert away == 15
    assert overtaken <= 1
    assert done == 60
    assert len(bench.ledger.published) == 1


async def test_a_scheduler_that_is_asleep_ends_at_once() -> None:
    ledger, asleep = MemoryLedger(), asyncio.Event()

    async def sleep(_: float) -> None:
        asleep.set()
        await asyncio.Event().wait()

    scheduler = Scheduler(
        [a_recurring()],
        ledger=ledger,
        metrics=ScheduleMetrics(CollectorRegistry()),
        clock=FrozenClock(NOON),
        sleep=sleep,
    )
    async with scheduler.running():
        await asleep.wait()
    assert len(ledger.published) == 1


async def test_a_look_that_has_begun_is_finished_before_the_scheduler_stops() -> None:
    class Slow(MemoryLedger):
        async def publish(self, decide: Decide) -> Sequence[Due]:
            begun.set()
            await going_on.wait()
            return await super().publish(decide)

    begun, going_on = asyncio.Event(), asyncio.Event()
    ledger = Slow()
    scheduler = Scheduler(
        [a_recurring()],
        ledger=ledger,
        metrics=ScheduleMetrics(CollectorRegistry()),
        clock=FrozenClock(NOON),
    )
    async with scheduler.running():
        await begun.wait()
        asyncio.get_running_loop().call_soon(going_on.set)
    assert len(ledger.published) == 1


async def test_without_schedules_nothing_is_started() -> None:
    bench = Bench()
    async with bench.scheduler.running():
        await asyncio.sleep(0)
    assert bench.ledger.reads == 0
    assert bench.pauses.empty()
