"""Exactly once into a table, whatever is read again, whoever else writes (S3: `make test-s3`)."""

import os
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

import pyarrow as pa
import pytest

from trending_shared.compaction import LARGE, worth_merging
from trending_shared.datasets import DatasetManifest, manifest_key
from trending_shared.messages import Position
from trending_shared.storage import ObjectStore
from trending_shared.tables import Follower, OffsetTable, latest, read_table

S3 = os.environ.get("TEST_S3_BUCKET")
SCHEMA = pa.schema([("id", pa.string()), ("n", pa.int64())])


def rows(first: int, last: int, partition: int = 0) -> list[tuple[Position, dict[str, Any]]]:
    return [
        (Position("titles-scraped", partition, n), {"id": f"{partition}-{n}", "n": n})
        for n in range(first, last + 1)
    ]


@pytest.fixture(params=["file", *(["s3"] if S3 else [])])
def url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    return f"s3://{S3}/{uuid4()}" if request.param == "s3" else (tmp_path / "with space").as_uri()


def a_table(url: str, owner: str = "cleaner", **options: int) -> OffsetTable:
    return OffsetTable(url, "titles", schema=SCHEMA, owner=owner, **options)


def forgetful(url: str) -> OffsetTable:
    """A table that merges every second file, and needs old files for no time at all."""
    table = a_table(url, new_files=2)
    table.open().alter.set_table_properties(
        {"delta.deletedFileRetentionDuration": "interval 0 seconds"}
    )
    return table


def cut_dataset(url: str, version: int) -> None:
    """A snapshot's manifest that names a version of the table."""
    id = UUID(int=version)
    manifest = DatasetManifest(
        dataset_id=f"{version:016x}",
        created_at=datetime(2026, 11, 1, tzinfo=UTC),
        rows=0,
        labelled=0,
        reviews=0,
        columns={},
        recipe="test",
        tables={"titles": version, "reviews": -1},
        files=(),
        sources={},
        licenses={},
        labels={},
        code_version="test",
        requested_by=id,
        correlation_id=id,
    )
    body = manifest.model_dump_json().encode()
    ObjectStore.at(url).put_new(manifest_key(manifest.dataset_id), body)


def ids(table: OffsetTable) -> list[str]:
    return sorted(table.read(["id"])["id"].to_pylist())


def test_a_batch_that_is_read_again_adds_nothing(url: str) -> None:
    table = a_table(url)
    assert table.append(rows(0, 4)) == 5
    assert table.append(rows(0, 4)) == 0
    assert len(ids(table)) == 5


def test_a_batch_cut_differently_adds_only_what_is_new(url: str) -> None:
    a_table(url).append(rows(0, 4))
    restarted = a_table(url)
    assert restarted.append(rows(3, 7)) == 3
    assert ids(restarted) == sorted(f"0-{n}" for n in range(8))


def test_partitions_are_counted_apart(url: str) -> None:
    table = a_table(url)
    table.append(rows(5, 6, partition=0))
    assert table.append(rows(0, 1, partition=1) + rows(6, 7, partition=0)) == 3


def test_one_record_may_give_several_rows(url: str) -> None:
    table = a_table(url)
    position = Position("titles-scraped", 0, 0)
    assert table.append([(position, {"id": "a", "n": 1}), (position, {"id": "b", "n": 2})]) == 2


def test_two_writers_of_one_partition_never_double_a_row(url: str) -> None:
    a_table(url).append(rows(0, 0))

    def write(_: int) -> int:
        table = a_table(url)
        return sum(table.append(rows(n, n + 3)) for n in range(0, 20, 2))

    with ThreadPoolExecutor(2) as pool:
        added = sum(pool.map(write, range(2)))
    assert ids(a_table(url)) == sorted(f"0-{n}" for n in range(22))
    assert added == 21


def test_groups_that_feed_one_table_keep_their_own_marks(url: str) -> None:
    a_table(url, "cleaner").append(rows(0, 3))
    assert a_table(url, "backfill").append(rows(0, 3)) == 4


def test_a_follower_reads_each_row_once_whoever_wrote_it(url: str) -> None:
    table, other = a_table(url), a_table(url, "other")
    follower = Follower(table, ["id"])
    assert follower.new_rows().num_rows == 0
    table.append(rows(0, 1))
    other.append(rows(7, 7))
    assert sorted(follower.new_rows()["id"].to_pylist()) == ["0-0", "0-1", "0-7"]
    assert follower.new_rows().num_rows == 0
    table.append(rows(2, 2))
    assert follower.new_rows()["id"].to_pylist() == ["0-2"]


def test_an_old_version_of_a_table_can_still_be_read(url: str) -> None:
    table = a_table(url)
    table.append(rows(0, 1))
    version = table.version()
    table.append(rows(2, 3))
    assert table.read(version=version).num_rows == 2


# ---------------------------------------------------------------- compaction


def test_an_older_table_gets_the_columns_it_lacks_and_an_older_writer_may_go_on(url: str) -> None:
    wider = pa.schema([SCHEMA.field("id"), ("ids", pa.list_(pa.string())), SCHEMA.field("n")])
    older = a_table(url, new_files=3)
    older.append(rows(0, 0))
    follower = Follower(
        newer := OffsetTable(url, "titles", schema=wider, owner="new"), ["id", "ids"]
    )
    assert newer.read(["id", "ids"]).to_pylist() == [{"id": "0-0", "ids": None}]
    newer.append([(Position("titles-scraped", 1, 0), {"id": "1-0", "ids": ["imdb:tt1"], "n": 0})])
    assert older.append(rows(1, 1)) == 1
    assert older.append(rows(2, 2)) == 1  # and merges the four files
    told = {row["id"]: row["ids"] for row in newer.read(["id", "ids"]).to_pylist()}
    assert told == {"0-0": None, "0-1": None, "0-2": None, "1-0": ["imdb:tt1"]}
    assert sorted(follower.new_rows()["id"].to_pylist()) == sorted(told)


def test_writers_that_bring_the_same_new_column_at_once_all_come_through(url: str) -> None:
    a_table(url).append(rows(0, 0))
    wider = pa.schema([*SCHEMA, ("ids", pa.list_(pa.string()))])
    writers = [OffsetTable(url, "titles", schema=wider, owner=f"w{n}") for n in range(6)]
    with ThreadPoolExecutor(6) as pool:
        counts = list(pool.map(lambda table: table.append(rows(0, 0)), writers))
    assert counts == [1] * 6
    assert writers[0].read().schema.names == ["id", "n", "ids"]


def test_small_files_are_merged_and_every_row_and_mark_stays(url: str) -> None:
    table = a_table(url, new_files=5)
    for n in range(23):
        table.append(rows(n, n, partition=n % 2))
    assert len(table.open().file_uris()) < 10
    table.open().create_checkpoint()
    restarted = a_table(url)
    assert sum(restarted.append(rows(n, n, partition=n % 2)) for n in range(23)) == 0
    assert ids(restarted) == sorted(f"{n % 2}-{n}" for n in range(23))


def test_versions_from_before_a_compaction_can_still_be_read(url: str) -> None:
    table = a_table(url, new_files=4)
    for n in range(9):
        table.append(rows(n, n))
    counts = [table.read(version=version).num_rows for version in range(table.version() + 1)]
    assert sorted(set(counts)) == list(range(10))


def test_writers_that_compact_at_once_lose_and_double_nothing(url: str) -> None:
    a_table(url).open()

    def write(partition: int) -> int:
        table = a_table(url, new_files=3)
        return sum(table.append(rows(n, n, partition=partition)) for n in range(20))

    with ThreadPoolExecutor(3) as pool:
        added = sum(pool.map(write, (0, 1, 1)))
    assert added == 40
    assert ids(a_table(url)) == sorted(f"{p}-{n}" for p in (0, 1) for n in range(20))


def test_a_follower_sees_each_row_once_across_compactions(url: str) -> None:
    table = a_table(url, new_files=3)
    eager, lazy = Follower(table, ["n"]), Follower(a_table(url), ["n"])
    table.append(rows(0, 0))
    assert lazy.new_rows()["n"].to_pylist() == [0]
    seen: list[int] = []
    for n in range(1, 12):
        table.append(rows(n, n))
        seen += eager.new_rows()["n"].to_pylist()
    assert sorted(seen) == list(range(12))
    assert sorted(lazy.new_rows()["n"].to_pylist()) == list(range(1, 12))
    assert eager.new_rows().num_rows == lazy.new_rows().num_rows == 0


def test_what_a_dataset_was_cut_from_outlives_what_nobody_needs(url: str) -> None:
    table = forgetful(url)
    table.append(rows(0, 0))
    cut_dataset(url, table.version())
    first = table.version()
    for n in range(1, 60):
        table.append(rows(n, n))
    assert table.read(version=first).num_rows == 1
    assert len(ids(table)) == 60
    with pytest.raises(FileNotFoundError):
        table.read(version=first + 1)


def test_a_follower_that_slept_too_long_starts_over(url: str) -> None:
    table = forgetful(url)
    table.append(rows(0, 0))
    follower = Follower(table, ["n"])
    assert follower.new_rows().num_rows == 1
    for n in range(1, 60):
        table.append(rows(n, n))
    assert sorted(follower.new_rows()["n"].to_pylist()) == list(range(60))
    table.append(rows(60, 60))
    assert follower.new_rows()["n"].to_pylist() == [60]


def test_rows_are_appended_and_nothing_is_deleted_while_a_dataset_cannot_be_read(
    url: str,
) -> None:
    table = forgetful(url)
    ObjectStore.at(url).put(manifest_key("damaged"), b"{}")
    assert sum(table.append(rows(n, n)) for n in range(12)) == 12
    assert [table.read(version=v).num_rows for v in (2, 3, 4)] == [1, 2, 2]


@pytest.mark.parametrize(
    ("sizes", "merged"),
    [
        ([], []),
        ([7], []),
        ([3, 3], [3, 3]),
        ([3, 1, 3, 3, 3], [1, 3, 3, 3, 3]),
        ([10, 3, 3, 3], [3, 3, 3]),
        ([9, 3, 3, 3], [3, 3, 3, 9]),
        ([3, LARGE, 3], [3, 3]),
        ([LARGE - 1] * 3, [LARGE - 1] * 2),
    ],
)
def test_a_file_is_merged_if_the_smaller_ones_make_up_for_it(
    sizes: list[int], merged: list[int]
) -> None:
    files = {f"file{n}": size for n, size in enumerate(sizes)}
    assert [files[name] for name in worth_merging(files)] == merged


def test_the_latest_row_of_each_key_is_kept() -> None:
    table = pa.table({"id": ["b", "a", "b", "a"], "n": [2, 1, 1, 3], "v": ["x", "y", "z", "w"]})
    assert latest(table, by="id", order="n").to_pydict() == {
        "id": ["a", "b"],
        "n": [3, 2],
        "v": ["w", "x"],
    }
    assert latest(table.slice(0, 0), by="id", order="n").num_rows == 0
    assert latest(table.slice(0, 1), by="id", order="n").num_rows == 1


def test_a_reader_creates_nothing_and_takes_the_columns_that_are_there(url: str) -> None:
    assert read_table(url, "titles") is None
    assert read_table(url, "titles") is None
    a_table(url).append(rows(0, 2))
    found = read_table(url, "titles", ["n", "invented"])
    assert found is not None
    assert (found[0].to_pydict(), found[1]) == ({"n": [0, 1, 2]}, 1)
