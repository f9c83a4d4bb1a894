"""The verifier: reads every object, file, row and record there is, and says where a needle is.

It asks nobody what is where. Every key of the store is read, whether anything refers to it or not;
every table that the catalog's database has, every SQLite file, every record that a topic gives out.
"""

import asyncio
import sqlite3
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from contextlib import closing
from dataclasses import asdict, dataclass, field
from pathlib import Path
from time import monotonic
from typing import Any
from urllib.parse import unquote, urlsplit

import sqlalchemy as sa
from aiokafka import AIOKafkaConsumer

from trending_cli.privacy.needles import Matcher, Needle
from trending_shared.catalog import Catalog
from trending_shared.errors import ObjectMissing
from trending_shared.reading import started
from trending_shared.settings import CommonSettings, KafkaSettings
from trending_shared.storage import ObjectStore
from trending_shared.topics import list_partitions, look_at

KAFKA = "kafka"
"""The folder of the embedded broker, whose files are packed; what it gives out is read instead."""
_ROWS = 200  # looked at together
_SQLITE = b"SQLite format 3\x00"

Tell = Callable[[str], None]


@dataclass(frozen=True, slots=True, order=True)
class Finding:
    """Something is left: in which store, where exactly, and of which kind."""

    store: str
    where: str
    kind: str
    name: str


@dataclass
class Scan:
    """What was read, and what was found in it."""

    read: Counter[str] = field(default_factory=Counter)
    findings: set[Finding] = field(default_factory=set)
    unread: list[str] = field(default_factory=list)
    seconds: float = 0.0

    def note(self, store: str, where: str, needles: set[Needle]) -> None:
        self.findings.update(Finding(store, where, each.kind, each.name) for each in needles)

    def document(self) -> dict[str, Any]:
        return {
            "read": dict(self.read),
            "seconds": round(self.seconds, 2),
            "findings": [asdict(one) for one in sorted(self.findings)],
            "unread": self.unread,
        }


async def scan_everything(
    common: CommonSettings, matcher: Matcher, *, tell: Tell = lambda text: None
) -> Scan:
    """Look into the store, the catalog, the topics, and the files of this machine's home.

    Raises:
        StoreUnavailable: store or catalog didn't answer.
        BrokerUnavailable: Kafka didn't.
    """
    scan, began = Scan(), monotonic()
    store = await asyncio.to_thread(ObjectStore.at, common.store)
    tell("reading the store")
    folder = _folder(common.store)
    await asyncio.to_thread(scan_store, store, matcher, scan, folder=folder)
    tell("reading the catalog")
    await scan_catalog(common.catalog, matcher, scan)
    tell("reading the topics")
    await scan_topics(common.kafka, matcher, scan)
    tell("reading this machine's files")
    await asyncio.to_thread(scan_files, common.home, matcher, scan, besides=folder)
    scan.seconds = monotonic() - began
    return scan


def scan_store(
    store: ObjectStore, matcher: Matcher, scan: Scan, *, folder: Path | None = None
) -> None:
    """Every object, by its key and its bytes.

    Args:
        folder: where the store lies, if it is one; what a killed writer left there is no object.
    """
    keys = store.keys("")
    known = frozenset(keys)
    if folder:
        _scan_paths(
            (each for each in _files(folder, set()) if str(each.relative_to(folder)) not in known),
            *("store", folder, matcher, scan),
        )
    for key in keys:
        try:
            data = store.get(key)
        except ObjectMissing:  # it went while we looked
            continue
        scan.read["objects"] += 1
        scan.read["bytes"] += len(data)
        scan.note("store", key, matcher.find(key) | matcher.find_in(data))


async def scan_catalog(url: str, matcher: Matcher, scan: Scan) -> None:
    """Every column of every row of every table that the database has."""
    catalog = Catalog(url)
    try:
        async with catalog.reading() as connection:
            names = await connection.run_sync(lambda one: sa.inspect(one).get_table_names())
            for name in names:
                result = await connection.stream(
                    sa.select(sa.text("*")).select_from(sa.table(name))
                )
                async for rows in result.partitions(_ROWS):
                    _look_at_rows("catalog", name, [tuple(row) for row in rows], matcher, scan)
    finally:
        await catalog.close()


async def scan_topics(kafka: KafkaSettings, matcher: Matcher, scan: Scan) -> None:
    """Key, body and headers of every record, those of transactions taken back included."""
    client = AIOKafkaConsumer(
        **kafka.connection,
        enable_auto_commit=False,
        auto_offset_reset="earliest",
        isolation_level="read_uncommitted",
    )
    async with started(kafka, client.start, client.stop):
        partitions = await list_partitions(kafka.connection)
        look_at(client, partitions)
        starts = await client.beginning_offsets(partitions)
        ends = await client.end_offsets(partitions)
        # One by one, so that what can't be read is named; half a second passes after an assignment.
        for partition in partitions:
            client.seek(partition, starts[partition])
            client.resume(partition)
            try:
                while await client.position(partition) < ends[partition]:
                    for batch in (await client.getmany(partition, timeout_ms=500)).values():
                        for record in batch:
                            scan.read["records"] += 1
                            found = matcher.find_in(record_bytes(record))
                            place = f"{record.topic}:{record.partition}:{record.offset}"
                            scan.note("topic", place, found)
            except UnicodeDecodeError:  # a header that no client of ours can read
                scan.unread.append(f"topic {partition.topic}:{partition.partition}")


def record_bytes(record: Any) -> bytes:
    """All that a record holds."""
    headers = [part or b"" for name, value in record.headers for part in (name.encode(), value)]
    return b"\n".join([record.key or b"", record.value or b"", *headers])


def scan_files(home: Path, matcher: Matcher, scan: Scan, *, besides: Path | None) -> None:
    """Every file below the home folder, the rows of SQLite's files and what else is in them.

    Args:
        besides: a folder that is left out, as is the embedded broker's.
    """
    but = {home / KAFKA, *((besides,) if besides else ())}
    _scan_paths(_files(home, but), "file", home, matcher, scan)


def _scan_paths(
    files: Iterable[Path], store: str, folder: Path, matcher: Matcher, scan: Scan
) -> None:
    for file in files:
        where = str(file.relative_to(folder))
        try:
            data = file.read_bytes()
        except OSError as error:
            scan.unread.append(f"file {where}: {error.strerror}")
            continue
        scan.read["files"] += 1
        scan.read["bytes"] += len(data)
        scan.note(store, where, matcher.find(where) | matcher.find_in(data))
        if data.startswith(_SQLITE):
            _scan_sqlite(file, where, matcher, scan)


def _scan_sqlite(file: Path, where: str, matcher: Matcher, scan: Scan) -> None:
    try:
        with closing(sqlite3.connect(f"file:{file}?mode=ro", uri=True)) as database:
            listed = database.execute("SELECT name FROM sqlite_master WHERE type = 'table'")
            for (name,) in listed.fetchall():
                cursor = database.execute(f'SELECT * FROM "{name}"')
                while rows := cursor.fetchmany(_ROWS):
                    _look_at_rows(f"file {where}", name, rows, matcher, scan)
    except sqlite3.Error as error:
        scan.unread.append(f"file {where}: {error}")


def _look_at_rows(
    store: str, table: str, rows: list[tuple[Any, ...]], matcher: Matcher, scan: Scan
) -> None:
    scan.read["rows"] += len(rows)
    texts = ["\n".join(map(_shown, row)).encode() for row in rows]
    if matcher.find_in(b"\n\n".join(texts)):
        for row, text in zip(rows, texts, strict=True):
            # By the first column, which is the key or a part of it, unless that is what is left.
            key = _shown(row[0])
            where = table if matcher.find(key) else f"{table}: {key}"
            scan.note(store, where, matcher.find_in(text))


def _shown(value: Any) -> str:
    return value.decode("utf-8", "replace") if isinstance(value, bytes) else str(value)


def _files(folder: Path, but: set[Path]) -> Iterator[Path]:
    if not folder.is_dir():
        return
    for path in sorted(folder.iterdir()):
        if path in but or path.is_symlink():
            continue
        if path.is_dir():
            yield from _files(path, but)
        elif path.is_file():
            yield path


def _folder(url: str) -> Path | None:
    """The folder of a store that is one."""
    parts = urlsplit(url)
    return Path(unquote(parts.path)) if parts.scheme == "file" else None
