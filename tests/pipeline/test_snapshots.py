"""From a catalogue's file to a dataset without Kafka, by the functions that the services use."""

import json
from pathlib import Path

import pytest
from pipeline.snapshots import main

from trending_shared.datasets import newest_manifest, read_dataset
from trending_shared.storage import ObjectStore

HEAD = "show_id,type,title,country,release_year,listed_in,description\n"
ROWS = (
    's1,Movie,Low Tide,"Norway, Chile",2019,"Dramas, Horror Movies",A diver hears her brother.\n'
    "s2,TV Show,Two Kitchens,,2021,Reality TV,Two cooks share one stove for a winter.\n"
    "s3,TV Show,,Japan,2021,Anime Series,Nobody knows what it is called.\n"
)


def run(capsys: pytest.CaptureFixture[str], *arguments: object) -> tuple[int, str, str]:
    status = main([str(argument) for argument in arguments])
    told = capsys.readouterr()
    return status, told.out, told.err


def test_a_file_becomes_a_dataset_and_what_is_no_title_is_counted(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "some.csv"
    file.write_text(HEAD + ROWS)
    ids = set()
    for folder in (tmp_path / "one", tmp_path / "two"):
        status, told, _ = run(capsys, "clean", file, folder)
        assert (status, json.loads(told)) == (0, {"titles": 2, "NameMissing": 1})
        status, told, _ = run(capsys, "features", folder)
        ids.add(json.loads(told.splitlines()[-1])["dataset_id"])
        assert status == 0
    assert len(ids) == 1
    store = ObjectStore.at((tmp_path / "one").as_uri())
    manifest = newest_manifest(store)
    assert manifest is not None
    rows = {row["source_id"]: row for row in read_dataset(store, manifest).to_pylist()}
    assert rows["s1"]["genres"] == ["Drama", "Horror"]
    assert rows["s1"]["countries"] == ["Norway", "Chile"]
    assert rows["s2"]["kind"] == "show"
    assert rows["s2"]["text"].endswith("kind_show")


def test_tables_arent_filled_twice(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = tmp_path / "some.csv"
    file.write_text(HEAD + ROWS)
    assert run(capsys, "clean", file, tmp_path / "out")[0] == 0
    status, _, error = run(capsys, "clean", file, tmp_path / "out")
    assert status == 1
    assert "holds tables" in error


def test_what_cant_be_read_is_said(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    status, _, error = run(capsys, "clean", tmp_path / "none.csv", tmp_path / "out")
    assert status == 1
    assert "none.csv" in error
    (tmp_path / "other.csv").write_text("title\nLow Tide\n")
    status, _, error = run(capsys, "clean", tmp_path / "other.csv", tmp_path / "out")
    assert status == 1
    assert "show_id" in error
