"""A cleaner on real tables, that can be killed and started again."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from prometheus_client import CollectorRegistry

from trending_cleaner.cleaner import Cleaner
from trending_cleaner.erasing import Eraser
from trending_cleaner.metrics import CleanerMetrics
from trending_cleaner.pages import PAGES, Pages
from trending_cleaner.schemas import FACTS, MERGED, REJECTS, REVIEWS, SIGNALS, TITLES
from trending_cleaner.validation import Limits
from trending_shared.clock import FrozenClock
from trending_shared.erasures import Erasures
from trending_shared.errors import StoreUnavailable
from trending_shared.events import TitleMerged, TitleScraped
from trending_shared.messages import Message, Position
from trending_shared.storage import ObjectStore
from trending_shared.tables import OffsetTable

SCHEMAS = {
    "titles": TITLES,
    "reviews": REVIEWS,
    "facts": FACTS,
    "signals": SIGNALS,
    "rejects": REJECTS,
    "merged": MERGED,
}


class FragileTable(OffsetTable):
    """A table whose storage may be `down`."""

    down = False

    def append(self, rows: Any) -> int:
        listed: Sequence[tuple[Position | None, Any]] = list(rows)
        if self.down and listed:
            raise StoreUnavailable("the disk is full")
        return super().append(listed)


@dataclass
class House:
    """The cleaner of one process, and the tables that outlive it."""

    url: str
    limits: Limits = field(default_factory=Limits)
    registry: CollectorRegistry = field(init=False)
    tables: dict[str, FragileTable] = field(init=False)
    cleaner: Cleaner = field(init=False)
    pages: Pages = field(init=False)
    eraser: Eraser = field(init=False)

    def __post_init__(self) -> None:
        self.restart()

    def restart(self) -> None:
        """Go on as a new process, which knows what the tables know."""
        self.registry = CollectorRegistry()
        self.tables = {
            name: FragileTable(self.url, name, schema=schema, owner="cleaner")
            for name, schema in SCHEMAS.items()
        }
        self.cleaner = Cleaner(
            **self.tables,
            erasures=Erasures(ObjectStore.at(self.url)),
            metrics=CleanerMetrics(self.registry),
            limits=self.limits,
            clock=FrozenClock(datetime(2026, 11, 20, 12, tzinfo=UTC)),
            code_version="1.2.3",
        )
        self.eraser = Eraser(
            self.url,
            cleaner=self.cleaner,
            clock=FrozenClock(datetime(2026, 11, 20, 12, tzinfo=UTC)),
        )
        pages = FragileTable(self.url, "pages", schema=PAGES, owner="cleaner")
        self.pages = Pages(
            pages,
            erasures=Erasures(ObjectStore.at(self.url)),
            metrics=CleanerMetrics(CollectorRegistry()),
        )

    def take_titles(self, messages: Sequence[Message[TitleScraped]]) -> list[Message[Any]]:
        """What the titles of a batch lead to, one by one: without what they are merged to."""
        answers = self.cleaner.on_titles_scraped(messages)
        return [answer for answer in answers if not isinstance(answer.event, TitleMerged)]

    def rows(self, name: str) -> list[dict[str, Any]]:
        """The rows of a table, oldest page first."""
        table = OffsetTable(self.url, name, schema=SCHEMAS[name], owner="test")
        rows: list[dict[str, Any]] = table.read().to_pylist()
        return sorted(rows, key=_in_time)

    def count(self, metric: str, **labels: str) -> float:
        return self.registry.get_sample_value(f"trending_cleaner_{metric}", labels) or 0.0


def _in_time(row: dict[str, Any]) -> tuple[Any, ...]:
    when = row.get("fetched_at", row.get("resolution"))
    return when, row.get("source_id", row.get("title_id")), row["event_id"]


@pytest.fixture
def house(tmp_path: Path) -> House:
    return House(tmp_path.as_uri())
