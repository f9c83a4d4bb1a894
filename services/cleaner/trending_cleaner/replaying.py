"""Records told once more, taken by today's code: `python -m trending_cleaner.replaying URL FROM`.

What today's scraper tells (`replays`) comes in as lines of JSON, and goes into tables below URL;
how far it has come goes out. It is the cleaner itself that takes the records, knowing what was
there before FROM, at the time at which each page was fetched.
"""

import sys
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator
from datetime import datetime
from itertools import chain
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
from deltalake import write_deltalake
from prometheus_client import CollectorRegistry

from trending_cleaner.app import create_cleaner
from trending_cleaner.metrics import CleanerMetrics
from trending_cleaner.schemas import TABLES
from trending_cleaner.settings import CleanerSettings
from trending_cleaner.validation import Limits
from trending_shared.clock import FrozenClock
from trending_shared.events import FactsScraped, ReviewScraped, SignalScraped, TitleScraped
from trending_shared.logs import configure_logs
from trending_shared.messages import Message, Position
from trending_shared.replays import Line, read_lines, write_line
from trending_shared.settings import read_settings
from trending_shared.tables import OffsetTable, storage_options

BATCH = 500  # records; as the service's own


def remember(here: str, there: str, *, before: datetime) -> None:
    """Copy to `there` the rows at `here` of pages that were fetched before."""
    for name, schema in TABLES.items():
        if "fetched_at" not in schema.names:
            continue
        rows = OffsetTable(here, name, schema=schema, owner="cleaner").read()
        at = rows["fetched_at"]
        earlier = rows.filter(pc.less(at, pa.scalar(before, at.type)))
        table = OffsetTable(there, name, schema=schema, owner="cleaner").open()
        write_deltalake(table, earlier, mode="append", storage_options=storage_options())


class Replay:
    """Takes records in the order in which they come, in batches of one UTC day."""

    def __init__(self, there: str, *, code_version: str, clock: FrozenClock) -> None:
        self._clock = clock
        metrics = CleanerMetrics(CollectorRegistry())
        cleaner = create_cleaner(
            there,
            metrics=metrics,
            limits=Limits(share=1),  # there is no partition to hold, and nobody who'd look at it
            clock=clock,
            code_version=code_version,
        )
        self._handlers: dict[type[Any], Any] = {
            TitleScraped: cleaner.on_titles_scraped,
            ReviewScraped: cleaner.on_reviews_scraped,
            FactsScraped: cleaner.on_facts_scraped,
            SignalScraped: cleaner.on_signals_scraped,
        }
        self._waiting: defaultdict[type[Any], list[Message[Any]]] = defaultdict(list)
        self._offsets: Counter[str] = Counter()

    def take(self, line: Line) -> Iterator[Line]:
        """What is to be passed on: that a page is done, or why it can't be read."""
        if line.told is None:
            yield line
            return
        message = line.told.message
        kind = type(message.event)
        if kind not in self._handlers:
            return
        at: datetime = message.event.page.fetched_at  # type: ignore[attr-defined]
        if at.date() != self._clock.now().date():  # what is plausible depends on the day
            self.flush()
        self._clock.at = at
        topic = kind.topic
        self._waiting[kind].append(_placed(message, Position(topic, 0, self._offsets[topic])))
        self._offsets[topic] += 1
        if len(self._waiting[kind]) >= BATCH:
            self.flush()

    def flush(self) -> None:
        waiting, self._waiting = self._waiting, defaultdict(list)
        for kind, messages in waiting.items():
            self._handlers[kind](messages)


def _placed(message: Message[Any], position: Position) -> Message[Any]:
    return Message(
        event=message.event,
        id=message.id,
        correlation_id=message.correlation_id,
        causation_id=message.causation_id,
        position=position,
    )


def replay(texts: Iterable[str], replaying: Replay) -> Iterator[str]:
    """Lines for lines; when there are no more, all records are in the tables."""
    for line in chain.from_iterable(map(replaying.take, read_lines(texts))):
        yield write_line(line)
    replaying.flush()


def main(there: str, since: str) -> None:
    configure_logs(service="cleaner", level="ERROR")
    settings = read_settings(CleanerSettings)
    before = datetime.fromisoformat(since)
    remember(settings.store, there, before=before)
    replaying = Replay(there, code_version=settings.code_version, clock=FrozenClock(before))
    for line in replay(sys.stdin, replaying):
        sys.stdout.write(line)
        sys.stdout.flush()


if __name__ == "__main__":
    main(*sys.argv[1:])
