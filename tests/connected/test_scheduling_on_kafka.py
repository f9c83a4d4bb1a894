"""Recurring jobs on a real broker: once a period, whoever is killed in between."""

import asyncio
import signal
import subprocess
import sys
from collections import Counter
from contextlib import AsyncExitStack
from datetime import UTC, datetime, timedelta
from pathlib import Path
from uuid import UUID, uuid4

import pytest
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, TopicPartition
from prometheus_client import CollectorRegistry

from trending_cli.testing import KafkaUnderTest
from trending_scraper.metrics import ScheduleMetrics
from trending_scraper.scheduling import (
    Due,
    KafkaLedger,
    Overtaken,
    Recurring,
    Scheduler,
    due,
)
from trending_shared.clock import FrozenClock
from trending_shared.errors import BrokerUnavailable
from trending_shared.events import ScrapeJob
from trending_shared.messages import Message, Position, decode
from trending_shared.settings import KafkaSettings
from trending_shared.sources import Schedule
from trending_shared.topics import SCHEDULES, ensure_topics, read_to_end, topic_spec

pytestmark = [pytest.mark.connected, pytest.mark.timeout(300)]

START = datetime(2026, 11, 26, 23, 50, tzinfo=UTC)
MINUTE = timedelta(minutes=1)
SCHEDULE = Schedule(every=MINUTE, url="https://films.example/{day}")
PROCESS = Path(__file__).with_name("scheduling_process.py")


@pytest.fixture
async def settings(kafka: KafkaUnderTest) -> KafkaSettings:
    specs = [SCHEDULES, topic_spec(ScrapeJob, partitions=kafka.settings.partitions)]
    await ensure_topics(specs, kafka.settings.connection, kafka.settings.replication_factor)
    return kafka.settings


@pytest.fixture
def source() -> str:
    """A source of one test's own: topics are shared by all."""
    return f"films_{uuid4().hex[:8]}"


def ledger(kafka: KafkaSettings, clock: FrozenClock, **options: type) -> KafkaLedger:
    return KafkaLedger(kafka, code_version="test", clock=clock, **options)


async def jobs(
    kafka: KafkaSettings, source: str, isolation_level: str = "read_committed"
) -> list[Message[ScrapeJob]]:
    """The jobs for a source."""
    reader = AIOKafkaConsumer(
        **kafka.connection, enable_auto_commit=False, isolation_level=isolation_level
    )
    await reader.start()
    found = []
    try:
        starts = {TopicPartition(ScrapeJob.topic, n): 0 for n in range(kafka.partitions)}
        async for record in read_to_end(reader, starts):
            position = Position(record.topic, record.partition, record.offset)
            message = decode(headers=record.headers, body=record.value, position=position)
            if message.event.source == source:
                found.append(message)
    finally:
        await reader.stop()
    return found


def wanted(*recurring: Recurring, periods: int) -> Counter[UUID]:
    """The ids of the jobs of so many periods, each once."""
    begins = [START + n * MINUTE for n in range(periods)]
    return Counter(Due(each, begin, missed=0).message.id for each in recurring for begin in begins)


async def test_several_schedulers_publish_each_period_once(
    settings: KafkaSettings, source: str
) -> None:
    clock, periods = FrozenClock(START), 15
    recurring = [Recurring(source, name, SCHEDULE) for name in ("films", "shows")]

    async def doze(seconds: float) -> None:
        await asyncio.sleep(seconds / 10 if seconds <= 1 else 0.02)

    async with AsyncExitStack() as stack:
        for _ in range(4):
            scheduler = Scheduler(
                recurring,
                ledger=ledger(settings, clock),
                metrics=ScheduleMetrics(CollectorRegistry()),
                clock=clock,
                sleep=doze,
            )
            await stack.enter_async_context(scheduler.running())
        for n in range(periods):
            clock.at = START + n * MINUTE
            while not await is_marked(settings, recurring, clock.at):
                pass
    found = await jobs(settings, source)
    assert Counter(job.id for job in found) == wanted(*recurring, periods=periods)
    days = Counter(job.event.url.rsplit("/", 1)[1] for job in found)
    assert days == {"2026-11-26": 20, "2026-11-27": 10}, "addresses are those of their periods"


async def is_marked(kafka: KafkaSettings, recurring: list[Recurring], begins: datetime) -> bool:
    marks = await ledger(kafka, FrozenClock(begins)).read()
    found = [marks.get(each.key) for each in recurring]
    return all(mark and mark.begins == begins for mark in found)


def started(command: list[str]) -> "subprocess.Popen[bytes]":
    return subprocess.Popen(command)


async def test_processes_that_are_killed_in_mid_transaction_lose_and_double_nothing(
    settings: KafkaSettings, source: str, tmp_path: Path
) -> None:
    each, clock = Recurring(source, "all", SCHEDULE), tmp_path / "clock"
    command = [sys.executable, str(PROCESS), settings.bootstrap_servers, source, str(clock)]
    replicas: list[subprocess.Popen[bytes]] = []
    killed = periods = 0
    try:
        while periods < 12 or killed < 6:
            now = START + periods * MINUTE
            (tmp_path / "next").write_text(now.isoformat())
            (tmp_path / "next").rename(clock)
            periods += 1
            while not await is_marked(settings, [each], now):
                dead = [one for one in replicas if one.poll() is not None]
                assert {one.returncode for one in dead} <= {-signal.SIGKILL}
                killed += len(dead)
                replicas = [one for one in replicas if one.poll() is None]
                replicas += [started(command) for _ in range(3 - len(replicas))]
    finally:
        for one in replicas:
            one.kill()
            one.wait()
    found = Counter(job.id for job in await jobs(settings, source))
    assert found == wanted(each, periods=periods)


async def test_what_a_dead_scheduler_began_is_taken_back_before_another_decides(
    settings: KafkaSettings, source: str
) -> None:
    class DiesBeforeCommit(AIOKafkaProducer):  # type: ignore[misc]
        async def commit_transaction(self) -> None:
            raise ConnectionError("and is never heard of again")

    each, clock = Recurring(source, "all", SCHEDULE), FrozenClock(START)
    with pytest.raises(BrokerUnavailable):
        await ledger(settings, clock, producer_class=DiesBeforeCommit).publish(
            lambda marks: due([each], marks, START)
        )
    assert len(await jobs(settings, source, "read_uncommitted")) == 1
    assert await jobs(settings, source) == []
    healthy = ledger(settings, clock)
    for _ in range(2):
        await healthy.publish(lambda marks: due([each], marks, START))
    found = Counter(job.id for job in await jobs(settings, source))
    assert found == wanted(each, periods=1)


async def test_who_is_overtaken_publishes_nothing(settings: KafkaSettings, source: str) -> None:
    each, clock = Recurring(source, "all", SCHEDULE), FrozenClock(START)

    class Slow(AIOKafkaProducer):  # type: ignore[misc]
        async def begin_transaction(self) -> None:
            await ledger(settings, clock).publish(lambda marks: due([each], marks, START))
            await super().begin_transaction()

    with pytest.raises(Overtaken):
        await ledger(settings, clock, producer_class=Slow).publish(
            lambda marks: due([each], marks, START)
        )
    found = Counter(job.id for job in await jobs(settings, source))
    assert found == wanted(each, periods=1)


async def test_a_mark_that_is_none_counts_for_nothing(settings: KafkaSettings, source: str) -> None:
    each, clock = Recurring(source, "all", SCHEDULE), FrozenClock(START)
    async with AIOKafkaProducer(**settings.connection) as vandal:
        for key, value in ((each.key.encode(), b"{}"), (b"\xff", b"[]")):
            await vandal.send_and_wait(SCHEDULES.name, value, key=key)
    assert each.key not in await ledger(settings, clock).read()
