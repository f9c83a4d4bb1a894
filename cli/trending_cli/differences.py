"""What two tables with the same kinds of rows don't have in common; pure."""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

Row = Mapping[str, Any]

# They say who wrote a row and when, not what a page says.
LEFT_OUT = ("code_version", "rejected_at")
MOST_EXAMPLES = 5  # of each kind, for each table
MOST_SHOWN = 200  # characters of a value


@dataclass
class Differences:
    """Of one table: `before` are the rows that are kept, `after` those of today's code."""

    before: int = 0
    after: int = 0
    same: int = 0
    only_before: int = 0
    only_after: int = 0
    changed: int = 0
    columns: Counter[str] = field(default_factory=Counter)
    sources: Counter[str] = field(default_factory=Counter)
    examples: list[dict[str, Any]] = field(default_factory=list)

    @property
    def none(self) -> bool:
        return not (self.only_before or self.only_after or self.changed)


def differences(before: Iterable[Row], after: Iterable[Row]) -> Differences:
    """Compare rows that come from the same event; a row is a difference once."""
    was, now = _by_event(before), _by_event(after)
    found = Differences(before=_size(was), after=_size(now))
    for key in sorted(was.keys() | now.keys()):
        old, new = was.get(key, []), now.get(key, [])
        for one, other in zip(old, new, strict=False):
            _compare(one, other, found)
        for one in old[len(new) :]:
            found.only_before += 1
            _tell(found, "only before", one)
        for one in new[len(old) :]:
            found.only_after += 1
            _tell(found, "only after", one)
    return found


def _compare(old: Row, new: Row, found: Differences) -> None:
    names = sorted((old.keys() | new.keys()) - set(LEFT_OUT))
    changed = [name for name in names if old.get(name) != new.get(name)]
    if not changed:
        found.same += 1
        return
    found.changed += 1
    found.columns.update(changed)
    values = {name: [_short(old.get(name)), _short(new.get(name))] for name in changed}
    _tell(found, "changed", new, columns=values)


def _tell(found: Differences, what: str, row: Row, **more: Any) -> None:
    if "source" in row:  # features have none
        found.sources[str(row["source"])] += 1
    if sum(example["what"] == what for example in found.examples) < MOST_EXAMPLES:
        names = ("source", "source_id", "event_id", "page_url")
        example = {name: row[name] for name in names if name in row}
        reason = {"reason": row["reason"]} if "reason" in row else {}
        found.examples.append({"what": what, **example, **reason, **more})


def _by_event(rows: Iterable[Row]) -> dict[tuple[str, str], list[Row]]:
    grouped: dict[tuple[str, str], list[Row]] = {}
    for row in rows:
        grouped.setdefault((row["event_id"], str(row["fetched_at"])), []).append(row)
    return grouped


def _size(grouped: Mapping[tuple[str, str], Sequence[Row]]) -> int:
    return sum(map(len, grouped.values()))


def _short(value: Any) -> str:
    text = str(value)
    return text if len(text) <= MOST_SHOWN else f"{text[:MOST_SHOWN]}…"
