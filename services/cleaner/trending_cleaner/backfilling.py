"""Records told once more, taken by today's code over tables of them: for `trending backfill`.

What a record becomes depends on few others: earlier ones of its own title, those that may be the
same title, reviews that it may repeat. So records are linked by whatever the cleaner compares them
by, and everything that is linked, by whatever way, is one component. Components don't touch each
other, and any number of them make a part. Each part is taken by a cleaner of its own, in order,
and what all of them write together is what one would have written.

Two things aren't told apart by links, and neither changes a row but in tables beyond these sizes:
of a hundred reviews with a phrase in common, one cleaner compares a review with those it finds
first; and one cleaner forgets all but the latest 100,000 rejected events.
"""

from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from pathlib import Path
from tempfile import TemporaryDirectory
from zlib import crc32

import pyarrow as pa

from trending_cleaner.cleaning import clean_facts, clean_review, clean_title
from trending_cleaner.external_ids import listed
from trending_cleaner.identity import title_id
from trending_cleaner.near_duplicates import TELLING, Sketch
from trending_cleaner.replaying import Replay
from trending_cleaner.resolving import Sets, name_key
from trending_cleaner.schemas import TABLES
from trending_cleaner.settings import CleanerSettings
from trending_shared.backfills import LINES, LINKED, TAKEN, pack
from trending_shared.clock import FrozenClock
from trending_shared.errors import Rejected
from trending_shared.events import FactsScraped, ReviewScraped, SignalScraped, TitleScraped
from trending_shared.replays import Line, read_lines
from trending_shared.settings import read_settings
from trending_shared.tables import OffsetTable

Record = TitleScraped | ReviewScraped | FactsScraped | SignalScraped

_BEGINNING = datetime(1970, 1, 1, tzinfo=UTC)


def link(lines: pa.Table) -> pa.Table:
    """`LINES` to `LINKED`: what each record may have to do with others."""
    found = [_linked(line) for line in read_lines(lines["line"].to_pylist())]
    ids, links = [one[0] for one in found], [one[1] for one in found]
    columns = [pa.array(ids, pa.string()), pa.array(links, pa.list_(pa.string()))]
    return pa.Table.from_arrays([*lines.columns, *columns], schema=LINKED)


def divide(linked: pa.Table) -> dict[str, str]:
    """Titles that have something to do with others, each with one that stands for all of them.

    Args:
        linked: the columns `title_id` and `links`.
    """
    by_link: dict[str, set[str]] = {}
    for one, links in zip(linked["title_id"].to_pylist(), linked["links"].to_pylist(), strict=True):
        for each in links or ():
            by_link.setdefault(each, set()).add(one)
    shared = [together for together in by_link.values() if len(together) > 1]
    sets = Sets(one for together in shared for one in together)
    for together in shared:
        sets.join(sorted(together))
    return {one: first for first, members in sets.parts().items() for one in members}


def assign(linked: pa.Table, *, together: Mapping[str, str], parts: int) -> pa.Table:
    """`LINKED` without what tells no record, as `LINES` with the number of each one's part.

    Args:
        together: as `divide` says.
    """
    told = linked.filter(linked["title_id"].is_valid())
    names = [together.get(one, one) for one in told["title_id"].to_pylist()]
    numbers = pa.array([crc32(name.encode()) % parts for name in names], pa.int32())
    return told.select(LINES.names).append_column("part", numbers)


def take(lines: pa.Table) -> pa.Table:
    """`LINES` of one part to `TAKEN`: the rows that a cleaner writes who knows nothing else."""
    ordered = lines.sort_by([("place", "ascending"), ("number", "ascending")])
    with TemporaryDirectory(prefix="trending-backfill-") as folder:
        url = Path(folder).as_uri()
        replaying = Replay(
            url,
            code_version=read_settings(CleanerSettings).code_version,
            clock=FrozenClock(_BEGINNING),
        )
        for line in read_lines(ordered["line"].to_pylist()):
            for _ in replaying.take(line):
                pass
        replaying.flush()
        taken = {
            name: OffsetTable(url, name, schema=schema, owner="cleaner").read()
            for name, schema in TABLES.items()
        }
    rows = [{"table": name, "rows": pack(table)} for name, table in taken.items()]
    return pa.Table.from_pylist(rows, schema=TAKEN)


def _linked(line: Line) -> tuple[str | None, list[str]]:
    if line.told is None:
        return None, []
    event = line.told.message.event
    if not isinstance(event, Record):
        return None, []
    return title_id(event.source, event.source_id), sorted(_links(event))


def _links(event: Record) -> Iterable[str]:
    try:
        match event:
            case TitleScraped() | FactsScraped():
                fetched_at = event.page.fetched_at
                cleaned = (
                    clean_title(event, fetched_at)
                    if isinstance(event, TitleScraped)
                    else clean_facts(event, fetched_at)
                )
                name = name_key(cleaned.name, cleaned.kind, cleaned.year)
                return [*listed(cleaned.external_ids), *([f"name {name}"] if name else [])]
            case ReviewScraped():
                sketch = Sketch.of(clean_review(event, event.page.fetched_at).event.text)
                return [f"text {sketch.whole}"] if len(sketch.words) >= TELLING else []
    except Rejected:
        pass  # what will be rejected is like no other
    return []
