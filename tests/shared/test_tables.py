"""Exactly once into a table, whatever is read again and whoever else writes."""

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

from trending_shared.messages import Position
from trending_shared.tables import Follower, OffsetTable, latest

SCHEMA = pa.schema([("id", pa.string()), ("n", pa.int64())])


def rows(first: int, last: int, partition: int = 0) -> list[tuple[Position, dict[str, Any]]]:
    return [
        (Position("titles-scraped", partition, n), {"id": f"{partition}-{n}", "n": n})
        for n in range(first, last + 1)
    ]


@pytest.fixture
def url(tmp_path: Path) -> str:
    return (tmp_path / "with space").as_uri()


def a_table(url: str, owner: str = "cleaner") -> OffsetTable:
    return OffsetTable(url, "titles", schema=SCHEMA, owner=owner)


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


def test_the_latest_row_of_each_key_is_kept() -> None:
    table = pa.table({"id": ["b", "a", "b", "a"], "n": [2, 1, 1, 3], "v": ["x", "y", "z", "w"]})
    assert latest(table, by="id", order="n").to_pydict() == {
        "id": ["a", "b"],
        "n": [3, 2],
        "v": ["w", "x"],
    }
    assert latest(table.slice(0, 0), by="id", order="n").num_rows == 0
    assert latest(table.slice(0, 1), by="id", order="n").num_rows == 1
