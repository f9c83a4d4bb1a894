"""Merging the small files of a Delta table while others append to it, or merge them too.

A compaction commits only if each file that it replaces is still there at the very version before
its own; Delta's log takes one entry a version, so of two that merge the same files one is refused.
delta-rs has `optimize.compact`, but lets two of them that began at one version both pass (1.6.6):
every row is in the table twice then.

Sources: Delta transaction protocol, "Delta Log Entries", "Add File and Remove File"; O'Neil et al.
1996, "The Log-Structured Merge-Tree" (which files are worth merging).
"""

import json
from collections.abc import Callable, Iterable, Iterator, Mapping
from datetime import datetime
from typing import Any
from uuid import uuid4

import pyarrow as pa
import pyarrow.parquet as pq
from deltalake import DeltaTable
from pyarrow.dataset import dataset
from pyarrow.fs import PyFileSystem

LARGE = 128 * 1024 * 1024  # bytes; a file of this size is never merged again
ROW_GROUP = 16_384  # rows that a reader who filters by time can skip together

File = dict[str, Any]


def compact(
    table: DeltaTable,
    files: PyFileSystem,
    *,
    commit: Callable[[int, bytes], bool],
    now: datetime,
) -> int:
    """Merge the files that are worth it into one; rows and application transactions stay.

    Args:
        files: the table's folder.
        commit: creates the log's entry of a version, unless there is one.

    Returns:
        How many files were replaced; 0 if none is worth merging or someone else was faster.

    Raises:
        OSError: the table's storage didn't answer.
        DeltaError: it can't be read as a table.
    """
    live = live_files(table)
    names = worth_merging({name: file["size_bytes"] for name, file in live.items()})
    if not names:
        return 0
    # In the order of their coming, so that the rows of an hour lie together.
    names.sort(key=lambda name: live[name]["modification_time"])
    schema = pa.schema(table.schema().to_arrow())
    merged = f"part-{uuid4()}-merged.snappy.parquet"
    rows = dataset(names, schema=schema, format="parquet", filesystem=files)
    with files.open_output_stream(merged) as out, pq.ParquetWriter(out, schema) as writer:
        for group in _row_groups(rows.to_batches(fragment_readahead=4)):
            writer.write_table(group, row_group_size=ROW_GROUP)
    size = files.get_file_info(merged).size
    while set(names) <= live.keys():
        replaced = {name: live[name] for name in names}
        added = {
            merged: {
                "size_bytes": size,
                "modification_time": int(now.timestamp() * 1000),
                "num_records": sum(file["num_records"] for file in replaced.values()),
            }
        }
        entry = entry_that_replaces(
            replaced, added, operation="OPTIMIZE", version=table.version(), now=now
        )
        if commit(table.version() + 1, entry):
            table.update_incremental()
            return len(names)
        table.update_incremental()
        live = live_files(table)
    return 0  # the merged file is in no version; a vacuum deletes it


def worth_merging(sizes: Mapping[str, int]) -> list[str]:
    """The files worth merging, by their sizes in bytes; none or at least two.

    A file is, if it isn't larger than all the smaller ones together. What it becomes part of is
    then about twice as large, so a table of n files rewrites each row O(log n) times.
    """
    small = sorted((name for name in sizes if sizes[name] < LARGE), key=lambda name: sizes[name])
    worth = total = 0
    for count, name in enumerate(small):
        if total >= LARGE:
            break
        if count and sizes[name] <= total:
            worth = count + 1
        total += sizes[name]
    return small[:worth]


def live_files(table: DeltaTable) -> dict[str, File]:
    """What Delta tells of each file of the newest version; our tables aren't partitioned."""
    actions = table.get_add_actions()
    columns = ("size_bytes", "modification_time", "num_records")
    told = zip(*(actions.column(name).to_pylist() for name in columns), strict=True)
    files = (dict(zip(columns, values, strict=True)) for values in told)
    return dict(zip(actions.column("path").to_pylist(), files, strict=True))


def entry_that_replaces(
    removed: Mapping[str, File],
    added: Mapping[str, File],
    *,
    operation: str,
    version: int,
    now: datetime,
    erasing: bool = False,
) -> bytes:
    """The log's entry after `version` that replaces files by others.

    Args:
        removed, added: by name, what `live_files` tells of a file.
        erasing: whether there are rows that are in none of those added.
    """
    milliseconds = int(now.timestamp() * 1000)
    info = {
        "timestamp": milliseconds,
        "operation": operation,
        "operationParameters": {},
        "readVersion": version,
        "isBlindAppend": False,
    }
    adds = [
        {
            "path": name,
            "partitionValues": {},
            "size": file["size_bytes"],
            "modificationTime": file["modification_time"],
            "dataChange": erasing,
            "stats": json.dumps({"numRecords": file["num_records"]}),
        }
        for name, file in added.items()
    ]
    removes = [
        {
            "path": name,
            "deletionTimestamp": milliseconds,
            "dataChange": erasing,
            "extendedFileMetadata": True,
            "partitionValues": {},
            "size": file["size_bytes"],
        }
        for name, file in removed.items()
    ]
    actions = [
        {"commitInfo": info},
        *({"add": file} for file in adds),
        *({"remove": file} for file in removes),
    ]
    return "\n".join(json.dumps(action) for action in actions).encode()


def _row_groups(batches: Iterable[pa.RecordBatch]) -> Iterator[pa.Table]:
    held: list[pa.RecordBatch] = []
    for batch in batches:
        held.append(batch)
        if sum(one.num_rows for one in held) >= ROW_GROUP:
            yield pa.Table.from_batches(held)
            held = []
    if held:
        yield pa.Table.from_batches(held)
