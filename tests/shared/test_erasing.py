"""Rows go from a table, from its history and its log; everything else stays, for readers too."""

from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from deltalake import DeltaTable

from trending_shared.erasing import any_value, erase_rows
from trending_shared.errors import StoreUnavailable
from trending_shared.messages import Position
from trending_shared.storage import ObjectStore
from trending_shared.tables import Follower, OffsetTable, log_entry

NOW = datetime(2026, 11, 27, 12, tzinfo=UTC)
SCHEMA = pa.schema([("id", pa.string()), ("text", pa.string())])
GOES = "the words of somebody who wants them erased"


def a_table(folder: Path, *, new_files: int = 100) -> OffsetTable:
    return OffsetTable(
        folder.as_uri(), "reviews", schema=SCHEMA, owner="cleaner", new_files=new_files
    )


def append(table: OffsetTable, numbers: range, *, going: range = range(0)) -> None:
    for n in numbers:
        row = {"id": f"{n}", "text": GOES if n in going else f"what {n} says"}
        table.append([(Position("reviews-scraped", 0, n), row)])


def erase(folder: Path) -> int:
    goes = any_value({"text": lambda value: value == GOES})
    return erase_rows(folder.as_uri(), "reviews", ["text"], goes, now=NOW)


def bytes_with(folder: Path, what: bytes) -> list[str]:
    return [
        str(path.relative_to(folder))
        for path in folder.rglob("*")
        if path.is_file() and what in path.read_bytes()
    ]


def test_no_file_no_version_and_no_entry_of_the_log_tells_of_it(tmp_path: Path) -> None:
    table = a_table(tmp_path, new_files=10)  # is compacted several times
    append(table, range(120), going=range(40, 43))  # has a checkpoint after 100
    assert bytes_with(tmp_path, GOES[:30].encode())
    assert erase(tmp_path) == 3
    assert bytes_with(tmp_path, GOES[:30].encode()) == []
    left = table.read().sort_by("id").to_pylist()
    assert sorted(int(row["id"]) for row in left) == [*range(40), *range(43, 120)]
    assert {row["text"] for row in left} == {f"what {row['id']} says" for row in left}


def test_marks_stay_and_a_record_that_comes_again_is_no_row(tmp_path: Path) -> None:
    table = a_table(tmp_path)
    append(table, range(5), going=range(5))
    erase(tmp_path)
    append(table, range(5), going=range(5))
    assert table.read().num_rows == 0
    append(table, range(5, 6))
    fresh = DeltaTable(table.uri)
    assert fresh.to_pyarrow_table()["id"].to_pylist() == ["5"]
    assert fresh.transaction_version("cleaner:reviews-scraped:0") == 5


def test_once_more_does_nothing(tmp_path: Path) -> None:
    table = a_table(tmp_path)
    append(table, range(3), going=range(1))
    assert [erase(tmp_path), erase(tmp_path)] == [1, 0]
    assert table.version() == 4


def test_a_table_that_does_not_exist_has_nothing_to_erase(tmp_path: Path) -> None:
    assert erase(tmp_path) == 0
    assert not any(tmp_path.iterdir())


def test_other_files_of_old_versions_stay(tmp_path: Path) -> None:
    table = a_table(tmp_path)
    append(table, range(6), going=range(5, 6))
    before = table.version()
    erase(tmp_path)
    assert table.read(version=before - 1).num_rows == 5  # before that row came


def test_a_follower_forgets_all_and_reads_what_is_left(tmp_path: Path) -> None:
    table, known = a_table(tmp_path), set[str]()
    follower = Follower(table, ["id"], forget=known.clear)

    def follow() -> set[str]:
        known.update(follower.new_rows()["id"].to_pylist())
        return known

    append(table, range(4), going=range(2, 3))
    assert follow() == {"0", "1", "2", "3"}
    erase(tmp_path)
    append(table, range(4, 5))
    assert follow() == {"0", "1", "3", "4"}
    append(table, range(5, 6))
    assert follow() == {"0", "1", "3", "4", "5"}


def test_a_commit_in_between_loses_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    table = a_table(tmp_path)
    append(table, range(3), going=range(1))
    put_new = ObjectStore.put_new
    told: list[str] = []

    def beaten(store: ObjectStore, key: str, data: bytes) -> bool:
        if not told and key.endswith(log_entry(4)):
            told.append(key)
            append(a_table(tmp_path), range(3, 5), going=range(4, 5))  # somebody else is faster
        return put_new(store, key, data)

    monkeypatch.setattr(ObjectStore, "put_new", beaten)
    assert erase(tmp_path) == 2
    assert sorted(table.read()["id"].to_pylist()) == ["1", "2", "3"]


def test_a_kill_at_any_step_is_made_up_for(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Every write to the store is the last one of some process."""
    steps: Mapping[str, Any] = {
        name: getattr(ObjectStore, name) for name in ("put", "put_new", "delete")
    }
    for allowed in range(30):
        folder = tmp_path / f"{allowed}"
        folder.mkdir()
        table = a_table(folder, new_files=10)
        append(table, range(12), going=range(2, 4))
        left = [allowed]

        def dying(name: str, left: list[int] = left) -> Any:
            def step(store: ObjectStore, *given: Any) -> Any:
                if not left[0]:
                    raise StoreUnavailable("killed")
                left[0] -= 1
                return steps[name](store, *given)

            return step

        with monkeypatch.context() as patch:
            for name in steps:
                patch.setattr(ObjectStore, name, dying(name))
            try:
                erase(folder)
            except StoreUnavailable:
                died = True
            else:
                died = False
        erase(folder)
        assert bytes_with(folder, GOES[:30].encode()) == []
        assert table.read().num_rows == 10
        if not died:
            return
    raise AssertionError("it never came to its end")
