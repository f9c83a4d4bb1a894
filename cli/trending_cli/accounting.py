"""What events tell of a job, beside what lies in the tables: each record is a row or a reject."""

from collections import Counter
from collections.abc import Set
from dataclasses import dataclass
from uuid import UUID

import pyarrow.compute as pc

from trending_shared.events import (
    Event,
    FactsScraped,
    ReviewScraped,
    SignalScraped,
    TitleCleaned,
    TitleScraped,
)
from trending_shared.tables import read_table
from trending_shared.walk import Walk

_TABLES: dict[type[Event], str] = {
    TitleScraped: "titles",
    ReviewScraped: "reviews",
    FactsScraped: "facts",
    SignalScraped: "signals",
    TitleCleaned: "features",
}
"""Where the rows are that an event leads to, if its record isn't rejected."""


@dataclass(frozen=True)
class Account:
    """The events of one kind, and what became of their records.

    Args:
        events: their topic.
        count: how many; parked ones aren't counted.
        missing: ids of those that are neither in the table nor rejected.
        repeated: ids of those that the table has twice.
    """

    events: str
    count: int
    table: str
    rows: int
    rejected: int
    missing: tuple[str, ...]
    repeated: tuple[str, ...]

    @property
    def sound(self) -> bool:
        return not self.missing and not self.repeated


def account(url: str, walk: Walk) -> list[Account]:
    """Look for every record of a job in the tables of the store at `url`.

    Raises:
        StoreUnavailable: a table didn't answer.
    """
    return [_account(url, walk, kind, table) for kind, table in _TABLES.items()]


def _account(url: str, walk: Walk, kind: type[Event], table: str) -> Account:
    told = walk.ids.get(kind, set()) - walk.parked.keys()
    rows, rejects = _found(url, table, told), _found(url, "rejects", told)
    # What sources counted has a row for each delivery.
    repeated = () if kind is SignalScraped else (id for id, count in rows.items() if count > 1)
    return Account(
        events=kind.topic,
        count=len(told),
        table=table,
        rows=len(rows),
        rejected=len(rejects),
        missing=tuple(sorted({str(id) for id in told} - rows.keys() - rejects.keys())),
        repeated=tuple(sorted(repeated)),
    )


def _found(url: str, table: str, events: Set[UUID]) -> Counter[str]:
    """How many rows of a table there are of each of these events."""
    if not events:
        return Counter()
    wanted = pc.field("event_id").isin([str(id) for id in events])
    found = read_table(url, table, ["event_id"], where=wanted)
    return Counter(found[0].column("event_id").to_pylist() if found else ())
