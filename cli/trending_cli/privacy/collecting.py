"""What belongs to an author or a page: found in tables and topics before anything is erased."""

import asyncio
import json
from collections.abc import Iterable, Iterator, Mapping
from contextlib import aclosing
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from trending_cli import clients
from trending_cli.privacy.needles import Matcher, needles_of
from trending_shared.erasures import Kind, names_of
from trending_shared.settings import CommonSettings
from trending_shared.topics import list_partitions, read_all

if TYPE_CHECKING:
    import pyarrow as pa

_TOLD = ("reviews", "titles", "facts", "signals", "rejects")
_COLUMNS = (
    *("review_id", "author_hash", "title_id", "subject_id", "event_id", "page_url", "page_hash"),
    *("text", "plot", "name"),
)
_TEXTS = ("text", "plot")


@dataclass
class Belongings:
    """What was found; plain, and therefore written nowhere."""

    kind: Kind
    subjects: set[str]
    """The author's hashes, or the page's addresses: asked for, and where redirects ended."""
    reviews: set[str] = field(default_factory=set)
    events: set[str] = field(default_factory=set)
    titles: set[str] = field(default_factory=set)
    """Of an erased page: titles and counted subjects that it told of."""
    stay: set[str] = field(default_factory=set)
    """Those of them that other pages tell of as well."""
    pages: set[str] = field(default_factory=set)
    """Content hashes of pages whose bytes show what is erased."""
    texts: set[str] = field(default_factory=set)
    text_hashes: set[str] = field(default_factory=set)
    counts: dict[str, int] = field(default_factory=dict)
    others: list[str] = field(default_factory=list)
    """Texts of others, which may say the same words."""

    @property
    def empty(self) -> bool:
        return not (self.events or self.pages or self.reviews)

    def names(self) -> dict[str, tuple[str, ...]]:
        """What an erasure tells of it: hashes."""
        return {
            "subjects": names_of(self.subjects),
            "records": names_of(self.reviews | self.events | self.text_hashes),
            "titles": names_of(self.titles),
            "pages": names_of(self.pages),
        }

    def matcher(self) -> Matcher:
        """Finds what must not be anywhere afterwards."""
        gone = self.titles - self.stay
        needles = [
            *needles_of("author" if self.kind == "author" else "address", self.subjects),
            *needles_of("id", (*self.reviews, *gone)),
            *needles_of("text", self.texts),
        ]
        if self.kind == "page":
            needles += needles_of("page", self.pages)
        return Matcher(needles).without(self.others)


async def collect(common: CommonSettings, kind: Kind, subjects: Iterable[str]) -> Belongings:
    """Find it.

    Raises:
        StoreUnavailable: the tables' storage didn't answer.
        BrokerUnavailable: Kafka didn't.
    """
    found = Belongings(kind, set(subjects))
    # Twice: a record in a topic may know an address or an id that no table has, and the reverse.
    tables = await asyncio.to_thread(_read_tables, common.store)
    for _ in range(2):
        _collect_from_tables(found, tables)
        await _collect_from_topics(found, common)
    _collect_from_tables(found, tables)
    _collect_what_stays(found, tables)
    return found


def _read_tables(url: str) -> dict[str, "pa.Table"]:
    from trending_shared.tables import read_table  # with what takes half a second to load

    wanted = {
        **dict.fromkeys(_TOLD, _COLUMNS),
        "pages": ("url", "page_url", "page_hash", "event_id"),
        "features": ("title_id", "page_hash", "text_hash"),
    }
    read = {name: read_table(url, name, columns) for name, columns in wanted.items()}
    return {name: table[0] for name, table in read.items() if table}


def _collect_from_tables(found: Belongings, tables: Mapping[str, "pa.Table"]) -> None:
    if found.kind == "page" and "pages" in tables:
        rows = _rows(tables["pages"], {"url": found.subjects, "page_url": found.subjects})
        found.counts["tables/pages"] = len(rows)
        for row in rows:
            found.subjects.update((row["url"], row["page_url"]))
            found.pages.add(row["page_hash"])
            found.events.add(row["event_id"])
    for name in _TOLD:
        if name not in tables:
            continue
        rows = _rows(tables[name], _wanted(found, name))
        found.counts[f"tables/{name}"] = len(rows)
        for row in rows:
            _take(found, row)
    if found.kind == "page" and "features" in tables:
        for row in _rows(tables["features"], {"page_hash": found.pages}):
            if row["title_id"] in found.titles:
                found.text_hashes.add(row["text_hash"])


def _wanted(found: Belongings, name: str) -> dict[str, set[str]]:
    by = {"event_id": found.events, "review_id": found.reviews}
    own = "author_hash" if found.kind == "author" else "page_url"
    return by | {own: found.subjects} if name != "titles" or found.kind == "page" else {}


def _take(found: Belongings, row: Mapping[str, Any]) -> None:
    found.events.add(row["event_id"])
    found.pages.add(row["page_hash"])
    if row.get("review_id"):
        found.reviews.add(row["review_id"])
    elif found.kind == "page":
        found.titles.update(filter(None, (row.get("title_id"), row.get("subject_id"))))
    found.texts.update(filter(None, (row.get(name) for name in _TEXTS)))


def _rows(table: "pa.Table", wanted: Mapping[str, set[str]]) -> list[dict[str, Any]]:
    """The rows in which any of these columns has any of these values."""
    import pyarrow as pa
    import pyarrow.compute as pc

    masks = [
        pc.is_in(table[name], value_set=pa.array(sorted(values), pa.string()))
        for name, values in wanted.items()
        if name in table.column_names and values
    ]
    if not masks:
        return []
    mask = masks[0]
    for other in masks[1:]:
        mask = pc.or_(mask, other)
    rows: list[dict[str, Any]] = table.filter(mask).to_pylist()
    return rows


def _collect_what_stays(found: Belongings, tables: Mapping[str, "pa.Table"]) -> None:
    """What other pages and other authors say: titles that stay, and words that aren't only ours."""
    for name in ("titles", "facts", "signals", "reviews"):
        if name not in tables:
            continue
        for row in tables[name].to_pylist():
            if row["event_id"] in found.events:
                continue
            if name != "reviews":
                told = {row.get("title_id"), row.get("subject_id")}
                found.stay |= told & found.titles
            found.others += filter(None, (row.get(each) for each in _TEXTS))


# ---------------------------------------------------------------- topics


async def _collect_from_topics(found: Belongings, common: CommonSettings) -> None:
    async with clients.reader(common.kafka) as reader:
        partitions = await list_partitions(common.kafka.connection)
        async with aclosing(read_all(reader, partitions)) as records:
            async for record in records:
                _take_record(found, record)


def _take_record(found: Belongings, record: Any) -> None:
    """What a record tells, be it parked, postponed or on its way.

    It is read as what it is on the wire: a class of today might not take it.
    """
    try:
        body = json.loads(record.value or b"")
    except ValueError:
        return
    if not isinstance(body, dict) or not _belongs(found, body):
        return
    headers = dict(record.headers)
    found.events.add((headers.get("ce_id") or b"").decode("utf-8", "replace"))
    found.events.discard("")
    page = _part(body, "page")
    if isinstance(page.get("hash"), str):
        found.pages.add(page["hash"])
    if found.kind == "page":
        found.subjects.update(_addresses(body))
    for part in (body, _part(body, "review"), _part(body, "title")):
        found.texts.update(part[name] for name in _TEXTS if isinstance(part.get(name), str))
    if isinstance(body.get("review_id"), str):
        found.reviews.add(body["review_id"])


def _belongs(found: Belongings, body: Mapping[str, Any]) -> bool:
    if found.kind == "page":
        return not found.subjects.isdisjoint(_addresses(body))
    authors = (body.get("author_hash"), _part(body, "review").get("author_hash"))
    return any(author in found.subjects for author in authors if isinstance(author, str))


def _addresses(body: Mapping[str, Any]) -> Iterator[str]:
    """What was asked for, and where that ended; a job tells one alone."""
    for part in (body, _part(body, "page")):
        if isinstance(part.get("url"), str):
            yield part["url"]


def _part(body: Mapping[str, Any], name: str) -> Mapping[str, Any]:
    part = body.get(name)
    return part if isinstance(part, dict) else {}
