"""Which records of different sources are of one title, and why. Pure, and in no order.

External ids speak first: records that share one are one title. Where none speaks for or against,
records of different sources with the same kind, name and year are one, unless it isn't clear which:

    two records of one source have that name    they are two titles, so whose is the third?
    two of them have other ids of one scheme    a remake, or a namesake
    a year or kind isn't known, or differs      by one year too: nothing says which of them errs

Then none of them is joined by name; rather a title twice than two titles as one. What more than
`NAMESAKES` records share says nothing: no title has so many sources.

What comes out follows from the set of records alone. Ids of titles don't change by it: an identity
is a statement about them, and the next one may be another.
"""

import re
import unicodedata
from collections import defaultdict
from collections.abc import Hashable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Generic, TypeVar

NAMESAKES = 50
ALONE = "alone"
UNCLEAR = "alone: of several records with its name and year it isn't clear which are one title"

_NO_WORD = re.compile(r"[\W_]+")
_ARTICLES = ("the", "a", "an")

T = TypeVar("T", bound=Hashable)


@dataclass(frozen=True, slots=True)
class Told:
    """What a source tells of a title that helps to recognise it.

    Attributes:
        first_at: when its page was first fetched, in microseconds since 1970.
        described: whether it has a plot, or facts only.
        name: as `name_key` makes it; None if it can't tell one title from another.
        ids: `imdb:tt0078748`.
    """

    title_id: str
    source: str
    first_at: int
    described: bool
    name: str | None
    ids: frozenset[str]


@dataclass(frozen=True, slots=True)
class Identity:
    """Records of one title, and why each is; named after the description that was first fetched."""

    title_id: str
    reasons: Mapping[str, str]


def name_key(name: str | None, kind: str | None, year: int | None) -> str | None:
    """What two sources' names of one title have in common: `film 1979 alien`.

    Unicode's NFKC, without case, punctuation and an English article (`The Thing`, `Thing, The`).
    """
    if not name or not kind or not year:
        return None
    text = unicodedata.normalize("NFKC", name).casefold().replace("&", " and ")
    words = _NO_WORD.sub(" ", text.replace("'", "").replace("’", "")).split()
    if len(words) > 1 and words[0] in _ARTICLES:
        del words[0]
    elif len(words) > 1 and words[-1] in _ARTICLES and "," in name:
        del words[-1]
    return f"{kind} {year} {' '.join(words) or text.strip()}"


def resolve(records: Iterable[Told]) -> list[Identity]:
    """Say which records are of one title.

    Args:
        records: all that are connected by ids or names with any of them, or more.

    Returns:
        One identity for each title that somebody describes, sorted by id.
    """
    told = {record.title_id: record for record in sorted(records, key=lambda one: one.title_id)}
    by_id = _shared((record.title_id, id) for record in told.values() for id in record.ids)
    by_name = _shared((record.title_id, record.name) for record in told.values() if record.name)
    joined = Sets(told)
    for title_ids in by_id.values():
        joined.join(title_ids)
    parts = joined.parts()
    unclear = _join_names(told, by_name, parts, joined)
    identities = []
    for members in joined.parts().values():
        described = [told[one] for one in members if told[one].described]
        if described:
            first = min(described, key=lambda one: (one.first_at, one.title_id))
            reasons = {
                one: _reason(told[one], set(members), by_id, by_name, unclear) for one in members
            }
            identities.append(Identity(first.title_id, reasons))
    return sorted(identities, key=lambda identity: identity.title_id)


def _join_names(
    told: Mapping[str, Told],
    by_name: Mapping[str, Sequence[str]],
    parts: Mapping[str, Sequence[str]],
    joined: "Sets[str]",
) -> set[str]:
    """Join parts with a name in common, where it is clear; the records where it isn't."""
    part_of = {one: name for name, members in parts.items() for one in members}
    by_names = Sets(parts)
    for title_ids in by_name.values():
        by_names.join([part_of[one] for one in title_ids])
    unclear: set[str] = set()
    for together in by_names.parts().values():
        if len(together) == 1:
            continue
        members = [[told[one] for one in parts[part]] for part in together]
        if _is_clear(members):
            joined.join(together)
        else:
            unclear.update(one.title_id for part in members for one in part)
    return unclear


def _is_clear(parts: Sequence[Sequence[Told]]) -> bool:
    """Whether no two parts have a source, or a scheme of ids, in common."""
    seen: set[str] = set()
    for part in parts:
        witnesses = {record.source for record in part}
        witnesses |= {f"{id.split(':', 1)[0]}:" for record in part for id in record.ids}
        if witnesses & seen:
            return False
        seen |= witnesses
    return True


def _reason(
    record: Told,
    members: set[str],
    by_id: Mapping[str, Sequence[str]],
    by_name: Mapping[str, Sequence[str]],
    unclear: set[str],
) -> str:
    for id in sorted(record.ids):
        others = members.intersection(by_id.get(id, ())) - {record.title_id}
        if others:
            return f"external id {id} shared with {min(others)}"
    namesakes = by_name.get(record.name, ()) if record.name else ()
    others = members.intersection(namesakes) - {record.title_id}
    if others:
        return f"kind, name and year of {min(others)}"
    return UNCLEAR if record.title_id in unclear else ALONE


def _shared(pairs: Iterable[tuple[str, str]]) -> dict[str, list[str]]:
    """The records by what they share with others, unless with too many."""
    found: dict[str, list[str]] = defaultdict(list)
    for title_id, what in pairs:
        found[what].append(title_id)
    return {what: found[what] for what in sorted(found) if 1 < len(found[what]) <= NAMESAKES}


class Sets(Generic[T]):
    """Disjoint sets, each named after its least element."""

    def __init__(self, items: Iterable[T]) -> None:
        self._parent = {item: item for item in items}

    def join(self, items: Sequence[T]) -> None:
        roots = sorted({self._root(item) for item in items}, key=str)
        for root in roots:
            self._parent[root] = roots[0]

    def parts(self) -> dict[T, list[T]]:
        found: dict[T, list[T]] = defaultdict(list)
        for item in self._parent:
            found[self._root(item)].append(item)
        return found

    def _root(self, item: T) -> T:
        while self._parent[item] != item:
            self._parent[item] = self._parent[self._parent[item]]
            item = self._parent[item]
        return item
