"""Delta Lake tables that know which Kafka records they hold.

Each append is one commit that records, as Delta application transactions, the highest Kafka offset
of every partition it came from. A batch that is read again finds its records below that mark and
appends nothing: exactly once into the table, without Kafka transactions. Source: Delta transaction
protocol, "Transaction Identifiers".
"""

import os
from collections.abc import Iterable, Mapping, Sequence
from typing import Any
from urllib.parse import unquote, urlsplit

import pyarrow as pa
import pyarrow.compute as pc
import stamina
from deltalake import CommitProperties, DeltaTable, Transaction, write_deltalake
from deltalake.exceptions import CommitFailedError, DeltaError, TableNotFoundError
from deltalake.fs import DeltaStorageHandler
from pyarrow.dataset import dataset
from pyarrow.fs import PyFileSystem

from trending_shared.errors import StoreUnavailable
from trending_shared.messages import Position

Row = Mapping[str, Any]


class OffsetTable:
    """An append-only table fed from Kafka.

    Args:
        url: the object store's URL; the table lies at `<url>/tables/<name>`.
        schema: Arrow schema; a row is a mapping with these names.
        owner: the consumer group; several groups may feed one table.
    """

    def __init__(self, url: str, name: str, *, schema: pa.Schema, owner: str) -> None:
        self.uri = table_uri(url, name)
        self.schema = schema
        self.owner = owner
        self._table: DeltaTable | None = None

    def open(self) -> DeltaTable:
        """The table at its newest version, created if there is none.

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
                        storage_options=storage_options(),
                    )
            self._table.update_incremental()
        except (DeltaError, OSError) as error:
            self._table = None
            raise StoreUnavailable(f"table {self.uri}: {error}") from error
        return self._table

    @stamina.retry(on=CommitFailedError, attempts=10, wait_initial=0.02, wait_max=0.5)
    def _commit(self, rows: Sequence[tuple[Position, Row]]) -> int:
        table = self.open()
        known: dict[str, int | None] = {}
        marks: dict[str, int] = {}
        new: list[Row] = []
        for position, row in rows:
            app = f"{self.owner}:{position.topic}:{position.partition}"
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
            commit_properties=CommitProperties(
                app_transactions=[Transaction(app, mark) for app, mark in marks.items()]
            ),
        )
        return len(new)

    def append(self, rows: Iterable[tuple[Position, Row]]) -> int:
        """Append the rows whose records aren't in the table yet, in one commit.

        A concurrent commit of the same partition (its former owner, still at work) makes Delta
        refuse ours; the marks are then read anew and what is left is appended.

        Args:
            rows: each with the position of the record it came from; several rows may share one.

        Returns:
            How many rows were appended.

        Raises:
            StoreUnavailable: the table's storage didn't answer.
        """
        listed = list(rows)
        if not listed:
            return 0
        try:
            return self._commit(listed)
        except (DeltaError, OSError) as error:
            self._table = None
            raise StoreUnavailable(f"table {self.uri}: {error}") from error

    def read(self, columns: Sequence[str] | None = None, *, version: int | None = None) -> pa.Table:
        """The rows of the newest version, or of a given one."""
        if version is not None:
            old = DeltaTable(self.uri, version=version, storage_options=storage_options())
            return old.to_pyarrow_table(columns=list(columns) if columns else None)
        return self.open().to_pyarrow_table(columns=list(columns) if columns else None)

    def version(self) -> int:
        return int(self.open().version())


class Follower:
    """Keeps something up to date with a table by reading each data file once, whoever wrote it.

    After a restart or a rebalance the next `refresh` reads what others appended meanwhile, so no
    state has to be handed over.
    """

    def __init__(self, table: OffsetTable, columns: Sequence[str]) -> None:
        self._table = table
        self._columns = list(columns)
        self._seen: set[str] = set()

    def new_rows(self) -> pa.Table:
        """The rows of data files not seen before, columns as asked for.

        Raises:
            StoreUnavailable: the table's storage didn't answer.
        """
        table = self._table.open()
        files = set(table.file_uris())
        fresh = files - self._seen
        if not fresh:
            return self._table.schema.empty_table().select(self._columns)
        # Only what is new is opened: Delta's own dataset takes a millisecond a file, read or not.
        names = [uri.rsplit("/", 1)[-1] for uri in fresh]  # our tables aren't partitioned
        filesystem = PyFileSystem(DeltaStorageHandler(self._table.uri, storage_options()))
        try:
            rows = dataset(
                names, schema=self._table.schema, format="parquet", filesystem=filesystem
            ).to_table(columns=self._columns)
        except OSError as error:
            raise StoreUnavailable(f"table {self._table.uri}: {error}") from error
        self._seen = files
        return rows


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


def table_uri(url: str, name: str) -> str:
    """Where a table of the object store at `url` lies, as Delta Lake wants it told."""
    uri = f"{url.rstrip('/')}/tables/{name}"
    return unquote(urlsplit(uri).path) if urlsplit(uri).scheme == "file" else uri


def storage_options() -> dict[str, str] | None:
    """What delta-rs needs for S3 from the usual `AWS_…` variables; a folder needs nothing."""
    options = {key: value for key, value in os.environ.items() if key.startswith("AWS_")}
    return options or None
