"""Delta Lake tables that know which Kafka records they hold.

Each append is one commit that records, as Delta application transactions, the highest Kafka offset
of every partition it came from. A record that is read again lies at or below that mark and is left
out: exactly once into the table, without Kafka transactions.

The mark tells records, not events. An event that was postponed comes back from a retry topic, and
one that its sender published twice lies in its topic twice: under another offset, above the mark.
Writers for whom that matters compare event ids before they append, as cleaner and featurizer do.

A table that was made before its schema had a column gets that column when it is opened, empty in
the rows that are there. Such a column is nullable; none is ever taken away or changes its type.

Small commits make small files, so writers merge them now and then; versions stay readable.
Source: Delta transaction protocol, "Transaction Identifiers", "Add File and Remove File".
"""

import json
import os
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from typing import Any
from urllib.parse import unquote, urlsplit

import pyarrow as pa
import pyarrow.compute as pc
import stamina
import structlog
from deltalake import CommitProperties, DeltaTable, Schema, Transaction, write_deltalake
from deltalake.exceptions import CommitFailedError, DeltaError, TableNotFoundError
from deltalake.fs import DeltaStorageHandler
from pyarrow.dataset import dataset
from pyarrow.fs import PyFileSystem

from trending_shared.clock import SystemClock
from trending_shared.compaction import compact
from trending_shared.datasets import list_datasets, read_manifest
from trending_shared.errors import StoreUnavailable, TrendingError
from trending_shared.messages import Position
from trending_shared.storage import ObjectStore, in_short

log = structlog.get_logger()

Row = Mapping[str, Any]

NEW_FILES = 100  # appended before they are merged; an append slows by a tenth of a ms for each
BATCH = 10_000  # rows that a follower holds at once
COMPACTIONS = 10  # of one writer between two times that it deletes what nobody needs


class OffsetTable:
    """An append-only table fed from Kafka, each record once.

    Args:
        url: the object store's URL; the table lies at `<url>/tables/<name>`.
        schema: Arrow schema; a row is a mapping with these names.
        owner: the consumer group; several groups may feed one table.
        new_files: how many files may be new before they are merged.
    """

    def __init__(
        self, url: str, name: str, *, schema: pa.Schema, owner: str, new_files: int = NEW_FILES
    ) -> None:
        self.uri = table_uri(url, name)
        self.schema = schema
        self.owner = owner
        self._fields = Schema.from_arrow(schema).fields
        self._url = url
        self._name = name
        self._new_files = new_files
        self._compact_at = new_files
        self._compactions = 0
        self._table: DeltaTable | None = None

    def open(self) -> DeltaTable:
        """The table at its newest version, created if there is none, with all columns of `schema`.

        Raises:
            StoreUnavailable: the table's storage didn't answer.
        """
        try:
            if self._table is None:
                try:
                    self._table = DeltaTable(self.uri, storage_options=storage_options())
                except TableNotFoundError:
                    self._table = DeltaTable.create(
                        self.uri,
                        schema=self.schema,
                        mode="ignore",
                        # A dataset may name any version for ever.
                        configuration={"delta.enableExpiredLogCleanup": "false"},
                        storage_options=storage_options(),
                    )
            self._table.update_incremental()
            self._add_columns(self._table)
        except (DeltaError, OSError) as error:
            self._table = None
            raise StoreUnavailable(f"table {self.uri}: {in_short(error)}") from error
        return self._table

    def _add_columns(self, table: DeltaTable) -> None:
        known = {field.name for field in table.schema().fields}
        new = [field for field in self._fields if field.name not in known]
        if not new:
            return
        try:
            table.alter.add_columns(new)
        except CommitFailedError:  # another one was faster, perhaps with the same columns
            table.update_incremental()
            self._add_columns(table)
        else:
            log.info("columns_added", table=self.uri, columns=[field.name for field in new])

    def _commit(self, rows: Sequence[tuple[Position | None, Row]]) -> int:
        table = self.open()
        known: dict[str, int | None] = {}
        marks: dict[str, int] = {}
        new: list[Row] = []
        for position, row in rows:
            if position is None:
                new.append(row)
                continue
            app = transaction_name(self.owner, position.topic, position.partition)
            if app not in known:  # a look into Delta's log takes a third of a millisecond
                known[app] = table.transaction_version(app)
            mark = known[app]
            if mark is None or position.offset > mark:
                new.append(row)
            marks[app] = max(position.offset, marks.get(app, -1))
        if not new:
            return 0
        write_deltalake(
            table,
            pa.Table.from_pylist([dict(row) for row in new], schema=self.schema),
            mode="append",
            schema_mode="merge",  # the table may have columns that this release doesn't know
            commit_properties=CommitProperties(
                app_transactions=[Transaction(app, mark) for app, mark in marks.items()]
            ),
        )
        return len(new)

    def append(self, rows: Iterable[tuple[Position | None, Row]]) -> int:
        """Append the rows whose records aren't in the table yet, in one commit.

        A concurrent commit of the same partition (its former owner, still at work) makes Delta
        refuse ours; the marks are then read anew and what is left is appended.

        Args:
            rows: each with the position of the record it came from; several rows may share one.
                A row of no record has none and is always appended.

        Returns:
            How many rows were appended.

        Raises:
            StoreUnavailable: the table's storage didn't answer.
        """
        listed = list(rows)
        if not listed:
            return 0
        try:
            # Not as a decorator: it logs the arguments of what it retries, scraped text and all.
            for attempt in stamina.retry_context(
                on=CommitFailedError, attempts=10, wait_initial=0.02, wait_max=0.5
            ):
                with attempt:
                    appended = self._commit(listed)
        except (DeltaError, OSError) as error:
            self._table = None
            raise StoreUnavailable(f"table {self.uri}: {in_short(error)}") from error
        if appended:
            self._tidy()
        return appended

    def _tidy(self) -> None:
        """Compact when enough files are new, and vacuum now and then.

        The rows are in the table whatever happens here: another writer may be compacting, or the
        store may have gone, and the next append that finds too many files tries again.
        """
        try:
            table = self.open()
            if len(table.file_uris()) < self._compact_at:
                return
            replaced = compact(
                table, self.files(), commit=self._commit_entry, now=SystemClock().now()
            )
            log.info("table_compacted", table=self.uri, files=replaced)
            if self._compactions % COMPACTIONS == 0:
                self._vacuum(table)
            self._compactions += 1
            self._compact_at = len(table.file_uris()) + self._new_files
        except (DeltaError, OSError, pa.ArrowException, TrendingError) as error:
            self._table = None
            self._compact_at += self._new_files
            log.warning("table_not_tidied", table=self.uri, detail=str(error))

    def _commit_entry(self, version: int, entry: bytes) -> bool:
        key = f"tables/{self._name}/{log_entry(version)}"
        return ObjectStore.at(self._url).put_new(key, entry)

    def _vacuum(self, table: DeltaTable) -> None:
        """Delete files that no version needs which somebody may still read.

        These are the versions of the past week (Delta's default, and what it takes for a reader or
        a `Follower` to be done with them) and those that a dataset was cut from.
        """
        store = ObjectStore.at(self._url)
        manifests = [read_manifest(store, dataset_id) for dataset_id in list_datasets(store)]
        named = {manifest.tables.get(self._name, -1) for manifest in manifests}
        # In full: Delta forgets in its checkpoints which old files it had, and would leave them.
        deleted = table.vacuum(dry_run=False, full=True, keep_versions=sorted(named - {-1}))
        table.update_incremental()
        if deleted:
            log.info("table_vacuumed", table=self.uri, files=len(deleted))

    def read(self, columns: Sequence[str] | None = None, *, version: int | None = None) -> pa.Table:
        """The rows of the newest version, or of a given one."""
        if version is not None:
            old = DeltaTable(self.uri, version=version, storage_options=storage_options())
            return old.to_pyarrow_table(columns=list(columns) if columns else None)
        return self.open().to_pyarrow_table(columns=list(columns) if columns else None)

    def version(self) -> int:
        return int(self.open().version())

    def files(self) -> PyFileSystem:
        """The table's folder."""
        return PyFileSystem(DeltaStorageHandler(self.uri, storage_options()))


def transaction_name(owner: str, topic: str, partition: int) -> str:
    """What the mark of a partition is called in Delta's log."""
    return f"{owner}:{topic}:{partition}"


class Follower:
    """Keeps something up to date with a table by reading each appended row once, whoever wrote it.

    After a restart or a rebalance the next `new_rows` reads what others appended meanwhile, so no
    state has to be handed over. A compaction adds files but no rows (`dataChange` is false), so
    after the first time the commits are read, not the list of files. Once rows were erased, whoever
    they were read by has to forget all, and reads what is left.

    Args:
        forget: called before all rows are read once more.
    """

    def __init__(
        self,
        table: OffsetTable,
        columns: Sequence[str],
        *,
        forget: Callable[[], None] = lambda: None,
    ) -> None:
        self._table = table
        self._columns = list(columns)
        self._forget = forget
        self._version: int | None = None

    @property
    def version(self) -> int:
        """The table's version up to which rows were read; 0 before the first time."""
        return self._version or 0

    def start_over(self) -> None:
        """Read all rows the next time."""
        self._version = None

    def new_rows(self) -> pa.Table:
        """The rows appended since the last call, columns as asked for; at first all rows.

        They are all rows again after a pause so long that what was appended meanwhile has been
        compacted and vacuumed, a week at least; so what is made of them must bear repetition.

        Raises:
            StoreUnavailable: the table's storage didn't answer.
        """
        schema = pa.schema([self._table.schema.field(name) for name in self._columns])
        return pa.Table.from_batches(self.new_batches(), schema)

    def new_batches(self) -> Iterator[pa.RecordBatch]:
        """Likewise, some thousand rows at a time; those of a call that isn't used up come again.

        Raises:
            StoreUnavailable: the table's storage didn't answer.
        """
        table = self._table.open()
        version, files = int(table.version()), self._table.files()
        try:
            try:
                yield from self._read(files, self._appended(table, files))
            except (FileNotFoundError, _RowsErased):
                log.info("follower_starts_over", table=self._table.uri, version=self._version)
                self._forget()
                yield from self._read(files, _live_files(table))
        except OSError as error:
            raise StoreUnavailable(f"table {self._table.uri}: {in_short(error)}") from error
        self._version = version

    def _appended(self, table: DeltaTable, files: PyFileSystem) -> list[str]:
        if self._version is None:
            return _live_files(table)
        return [
            name
            for version in range(self._version + 1, table.version() + 1)
            for name in _appended_files(files, version)
        ]

    def _read(self, files: PyFileSystem, names: Sequence[str]) -> Iterator[pa.RecordBatch]:
        if not names:
            return
        # Only what is new is opened: Delta's own dataset takes a millisecond a file, read or not.
        rows = dataset(names, schema=self._table.schema, format="parquet", filesystem=files)
        yield from rows.to_batches(columns=self._columns, batch_size=BATCH, fragment_readahead=4)


def _live_files(table: DeltaTable) -> list[str]:
    return [uri.rsplit("/", 1)[-1] for uri in table.file_uris()]  # our tables aren't partitioned


class _RowsErased(Exception):
    """A commit took rows away."""


def _appended_files(files: PyFileSystem, version: int) -> list[str]:
    """The files that a commit added, unless it only moved rows that were there."""
    with files.open_input_stream(log_entry(version)) as stream:
        actions = [json.loads(line) for line in stream.read().splitlines()]
    if any(action["remove"]["dataChange"] for action in actions if "remove" in action):
        raise _RowsErased
    added = [action["add"] for action in actions if "add" in action]
    return [unquote(file["path"]) for file in added if file["dataChange"]]


def latest(table: pa.Table, *, by: str, order: str) -> pa.Table:
    """The last row of each `by` in the sense of `order`.

    Shapes: n rows in, as many rows out as there are distinct values of `by`, sorted by it.
    """
    ordered = table.sort_by([(by, "ascending"), (order, "ascending")]).combine_chunks()
    if ordered.num_rows < 2:
        return ordered
    keys = ordered.column(by).combine_chunks()
    last_of_its_kind = pc.not_equal(keys[:-1], keys[1:])
    return ordered.filter(pa.concat_arrays([last_of_its_kind, pa.array([True])]))


def read_table(
    url: str,
    name: str,
    columns: Collection[str] | None = None,
    *,
    where: pc.Expression | None = None,
) -> tuple[pa.Table, int] | None:
    """The rows of a table of the store at `url` as it is now, and its version; None without it.

    For those who only read: nothing is created, and whatever is appended meanwhile isn't seen.

    Args:
        columns: those wanted; the ones that the table doesn't have are left out.
        where: what holds of the rows wanted; all of them if not given.

    Raises:
        StoreUnavailable: the table's storage didn't answer.
    """
    try:
        table = DeltaTable(table_uri(url, name), storage_options=storage_options())
        rows = table.to_pyarrow_dataset()
        names = [each for each in rows.schema.names if columns is None or each in columns]
        return rows.to_table(columns=names, filter=where), int(table.version())
    except TableNotFoundError:
        return None
    except (DeltaError, OSError) as error:
        raise StoreUnavailable(f"table {name} at {url}: {in_short(error)}") from error


def table_uri(url: str, name: str) -> str:
    """Where a table of the object store at `url` lies, as Delta Lake wants it told."""
    uri = f"{url.rstrip('/')}/tables/{name}"
    return unquote(urlsplit(uri).path) if urlsplit(uri).scheme == "file" else uri


def log_entry(version: int) -> str:
    """Where a table's folder keeps what the commit of a version did."""
    return f"_delta_log/{version:020d}.json"


def storage_options() -> dict[str, str] | None:
    """What delta-rs needs for S3 from the usual `AWS_…` variables; a folder needs nothing."""
    options = {key: value for key, value in os.environ.items() if key.startswith("AWS_")}
    return options or None
