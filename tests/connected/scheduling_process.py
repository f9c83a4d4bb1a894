"""A scheduler in a process of its own, killed in the middle of some of its transactions.

Arguments: Kafka's address, the name of a source, and a file that holds the time.
"""

import asyncio
import os
import random
import signal
import sys
import threading
from datetime import datetime, timedelta
from pathlib import Path

from aiokafka import AIOKafkaProducer
from prometheus_client import CollectorRegistry

from trending_scraper.metrics import ScheduleMetrics
from trending_scraper.scheduling import KafkaLedger, Recurring, Scheduler
from trending_shared.logs import configure_logs
from trending_shared.settings import KafkaSettings
from trending_shared.sources import Schedule

SCHEDULE = Schedule(every=timedelta(minutes=1), url="https://films.example/{day}")


class FileClock:
    """Tells the time that somebody else writes into a file."""

    def __init__(self, file: Path) -> None:
        self._file = file

    def now(self) -> datetime:
        return datetime.fromisoformat(self._file.read_text())


class Mortal(AIOKafkaProducer):  # type: ignore[misc]
    """A producer whose process is killed within a moment after half of the transactions' begins."""

    async def begin_transaction(self) -> None:
        await super().begin_transaction()
        if random.random() < 0.5:
            moment = random.uniform(0, 0.1)
            threading.Timer(moment, os.kill, [os.getpid(), signal.SIGKILL]).start()


async def doze(seconds: float) -> None:
    """What is meant to wait a second waits a tenth; the time in the file is looked at often."""
    await asyncio.sleep(seconds / 10 if seconds <= 1 else 0.02)


async def main(bootstrap: str, source: str, clock: FileClock) -> None:
    scheduler = Scheduler(
        [Recurring(source, "all", SCHEDULE)],
        ledger=KafkaLedger(
            KafkaSettings(bootstrap_servers=bootstrap),
            code_version="test",
            clock=clock,
            producer_class=Mortal,
        ),
        metrics=ScheduleMetrics(CollectorRegistry()),
        clock=clock,
        sleep=doze,
    )
    async with scheduler.running():
        await asyncio.Event().wait()


if __name__ == "__main__":
    configure_logs(service="scheduler")
    asyncio.run(main(sys.argv[1], sys.argv[2], FileClock(Path(sys.argv[3]))))
