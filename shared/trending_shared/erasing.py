"""Erasing rows of a Delta table from its newest version, from all earlier ones, and from its log.

A commit replaces each file that holds such rows by one without them, while others append, as a
compaction does (`compaction`). The rows then still lie in four places, which are cleared in turn:

    files of earlier versions      deleted, if they hold a row that goes
    files of no version            likewise: a writer that was killed left them
    statistics in the log          an entry tells the least and the greatest of each column's values
    checkpoints                    they repeat these statistics: a new one is made, the others go

The log keeps every entry, so versions keep their numbers and no writer can take one a second time.
Application transactions aren't touched: no Kafka record that is read again becomes a row. Done
twice, or after a kill, it does what is left.

Source: Delta transaction protocol, "Add File and Remove File", "Checkpoints", "Per-file
Statistics".
"""

import json
import re
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from urllib.parse import unquote
from uuid import uuid4

import pyarrow as pa
import pyarrow.parquet as pq
import structlog
from deltalake import DeltaTable
from deltalake.exceptions import DeltaError, TableNotFoundError
from deltalake.fs import DeltaStorageHandler
from pyarrow.fs import PyFileSystem

from trending_shared.compaction import ROW_GROUP, File, entry_that_replaces, live_files
from trending_shared.errors import ObjectMissing, StoreUnavailable
from trending_shared.storage import ObjectStore
from trending_shared.tables import log_entry, storage_options, table_uri

log = structlog.get_logger()

Goes = Callable[[pa.Table], Sequence[bool]]
"""Which rows of a table go; shape: as many as there are rows."""
_CHECKPOINT = re.compile(r"/_delta_log/(\d{20})\.checkpoint.*\.parquet$")


def any_value(columns: Mapping[str, Callable[[str], bool]]) -> Goes:
    """Rows in which any of these columns of texts has a value of which its function says so."""

    def goes(rows: pa.Table) -> Sequence[bool]:
        found = [False] * rows.num_rows
        for name, named in columns.items():
            if name not in rows.column_names:  # the file is older than the column
                continue
            values = rows[name].to_pylist()
            told = {value: named(value) for value in set(values) if value is not None}
            found = [
                one or told.get(value, False) for one, value in zip(found, values, strict=True)
            ]
        return found

    return goes


def erase_rows(url: str, name: str, columns: Sequence[str], goes: Goes, *, now: datetime) -> int:
    """Erase rows of a table of the store at `url`, and all traces of them.

    Args:
        columns: those that `goes` looks at.

    Returns:
        How many rows went from the newest version.

    Raises:
        StoreUnavailable: the table's storage didn't answer, or somebody is faster all the time.
    """
    uri = table_uri(url, name)
    try:
        table = DeltaTable(uri, storage_options=storage_options())
    except TableNotFoundError:
        return 0
    except (DeltaError, OSError) as error:
        raise StoreUnavailable(f"table {uri}: {error}") from error
    try:
        eraser = _Eraser(url, name, table, columns, goes, now)
        erased = eraser.replace_files()
        files = eraser.delete_files()
        entries = eraser.clear_log()
    except (DeltaError, OSError, pa.ArrowException) as error:
        raise StoreUnavailable(f"table {uri}: {error}") from error
    log.info("rows_erased", table=uri, rows=erased, files=files, entries=entries)
    return erased


class _Eraser:
    def __init__(
        self,
        url: str,
        name: str,
        table: DeltaTable,
        columns: Sequence[str],
        goes: Goes,
        now: datetime,
    ) -> None:
        self._store = ObjectStore.at(url)
        self._folder = f"tables/{name}"
        self._table = table
        self._files = PyFileSystem(DeltaStorageHandler(table_uri(url, name), storage_options()))
        self._columns = columns
        self._goes = goes
        self._now = now
        self._clean: set[str] = set()  # files that hold no such row; a file never changes

    def replace_files(self) -> int:
        """Commit without the rows, until no file of the newest version holds one."""
        erased = 0
        while True:
            live = live_files(self._table)
            holding = [name for name in live if self._holds(name)]
            if not holding:
                return erased
            replaced = {name: live[name] for name in holding}
            added: dict[str, File] = {}
            for name, file in replaced.items():
                added |= self._without(name, file)
            before, after = (
                sum(file["num_records"] for file in files.values()) for files in (replaced, added)
            )
            # Whoever is faster may have merged one of these files; its rows lie elsewhere then.
            while replaced.keys() <= live.keys():
                version = int(self._table.version())
                entry = entry_that_replaces(
                    replaced,
                    added,
                    operation="DELETE",
                    version=version,
                    now=self._now,
                    erasing=True,
                )
                if self._store.put_new(f"{self._folder}/{log_entry(version + 1)}", entry):
                    erased += before - after
                    break
                self._table.update_incremental()
                live = live_files(self._table)
            self._table.update_incremental()

    def delete_files(self) -> int:
        """Delete what holds such rows and is no part of the newest version."""
        live = set(live_files(self._table))
        deleted = 0
        for key in self._store.keys(self._folder):
            name = key.removeprefix(f"{self._folder}/")
            if "/" in name or not name.endswith(".parquet") or name in live:
                continue
            try:
                if self._holds(name):
                    self._store.delete(key)
                    deleted += 1
            except FileNotFoundError:
                continue  # a vacuum was faster
            except pa.ArrowInvalid:
                log.warning("file_unreadable", file=key)  # perhaps it is being written
        return deleted

    def clear_log(self) -> int:
        """Take the statistics of files that are gone out of the log, and out of its checkpoints."""
        live = set(live_files(self._table))
        version, cleared, checkpoints = int(self._table.version()), 0, []
        for key in self._store.keys(f"{self._folder}/_delta_log"):
            if found := _CHECKPOINT.search(f"/{key}"):
                checkpoints.append((int(found[1]), key))
            elif key.endswith(".json"):
                cleared += self._clear_entry(key, live)
        if checkpoints:
            self._table.create_checkpoint()
            for number, key in checkpoints:
                if number < version:
                    self._store.delete(key)
        return cleared

    def _clear_entry(self, key: str, live: set[str]) -> bool:
        try:
            before = self._store.get(key)
        except ObjectMissing:
            return False
        actions = [json.loads(line) for line in before.splitlines() if line]
        changed = False
        for action in actions:
            for kind in ("add", "remove"):
                file = action.get(kind, {})
                stats = json.loads(file.get("stats") or "{}")
                if stats.keys() - {"numRecords"} and unquote(file["path"]) not in live:
                    file["stats"] = json.dumps({"numRecords": stats.get("numRecords")})
                    changed = True
        if changed:
            self._store.put(key, "\n".join(json.dumps(action) for action in actions).encode())
        return changed

    def _holds(self, name: str) -> bool:
        if name in self._clean:
            return False
        with self._files.open_input_file(name) as source:
            file = pq.ParquetFile(source)
            columns = [column for column in self._columns if column in file.schema_arrow.names]
            for batch in file.iter_batches(columns=columns):
                if any(self._goes(pa.Table.from_batches([batch]))):
                    return True
        self._clean.add(name)
        return False

    def _without(self, name: str, file: File) -> dict[str, File]:
        """Write the rows of a file that stay into another one; none if none stay."""
        made = f"part-{uuid4()}-erased.snappy.parquet"
        rows = 0
        with self._files.open_input_file(name) as source:
            old = pq.ParquetFile(source)
            writer: pq.ParquetWriter | None = None
            out = None
            for batch in old.iter_batches(batch_size=ROW_GROUP):
                table = pa.Table.from_batches([batch])
                stays = table.filter(pa.array([not one for one in self._goes(table)], pa.bool_()))
                if not stays.num_rows:
                    continue
                if writer is None:
                    out = self._files.open_output_stream(made)
                    writer = pq.ParquetWriter(out, old.schema_arrow)
                writer.write_table(stays, row_group_size=ROW_GROUP)
                rows += stays.num_rows
            if writer is None or out is None:
                return {}
            writer.close()
            out.close()
        size = self._files.get_file_info(made).size
        return {made: {**file, "size_bytes": size, "num_records": rows}}
