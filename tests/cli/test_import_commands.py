"""`trending import` as its user runs it."""

from pathlib import Path
from typing import Any

import pytest

from trending_cli.import_files import BASICS_COLUMNS, CSV_COLUMNS, RATINGS_COLUMNS
from trending_shared.imports import read_part
from trending_shared.storage import ObjectStore

HEADER = ",".join(CSV_COLUMNS)


@pytest.fixture
def titles(tmp_path: Path) -> Path:
    file = tmp_path / "titles.csv"
    rows = [f"s{n},Movie,Film {n},2026,Dramas,A plot." for n in range(700)]
    file.write_text("\n".join([HEADER, *rows, "s700,Movie", ""]))
    return file


@pytest.fixture
def datasets(tmp_path: Path) -> list[object]:
    basics, ratings = tmp_path / "basics.tsv", tmp_path / "ratings.tsv"
    row = "tt0000001\tmovie\tA\tA\t0\t2026\t\\N\t90\tDrama"
    basics.write_text("\t".join(BASICS_COLUMNS) + f"\n{row}\n")
    ratings.write_text("\t".join(RATINGS_COLUMNS) + "\ntt0000001\t7.1\t99\n")
    return ["--basics", basics, "--ratings", ratings]


def test_imdbs_terms_must_be_accepted_first(
    offline: Any, datasets: list[object], monkeypatch: pytest.MonkeyPatch
) -> None:
    said = offline.run("import", "imdb", *datasets, status=2).stderr
    assert "SCRAPER_ACCEPT_IMDB_TERMS=true" in said
    monkeypatch.setenv("SCRAPER_ACCEPT_IMDB_TERMS", "no")
    offline.run("import", "imdb", *datasets, status=2)
    monkeypatch.setenv("SCRAPER_ACCEPT_IMDB_TERMS", "true")
    assert "no Kafka" in offline.run("import", "imdb", *datasets, status=4).stderr


@pytest.mark.parametrize("source", ["nobody", "tvmaze"])
def test_a_source_that_takes_no_csv_is_wrong_usage(offline: Any, titles: Path, source: str) -> None:
    assert source in offline.run("import", "csv", titles, "--source", source, status=2).stderr


def test_a_scraper_that_wouldnt_read_the_file_is_told_of(
    offline: Any, titles: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert "SCRAPER_SOURCES has no csv" in offline.run("import", "csv", titles, status=4).stderr
    monkeypatch.setenv("SCRAPER_SOURCES", "demo, csv")
    assert "SCRAPER_SOURCES" not in offline.run("import", "csv", titles, status=4).stderr


def test_a_file_that_isnt_there_is_wrong_usage(offline: Any, tmp_path: Path) -> None:
    offline.run("import", "csv", tmp_path / "nowhere.csv", status=2)


@pytest.mark.connected
@pytest.mark.timeout(300)
def test_a_csv_becomes_jobs_once_however_often_it_is_imported(terminal: Any, titles: Path) -> None:
    told = terminal.json("import", "csv", titles, status=1)
    assert (told["rows"], told["parts"]) == (700, 2)
    assert told["broken"] == {"ColumnsDiffer": 1}
    assert told["broken_rows"] == [f"{titles}, line 702: ColumnsDiffer: 2 values under 6 columns"]
    assert terminal.json("jobs", "status", told["job_id"])["counts"]["pages"] == 2
    store = ObjectStore.at(terminal.settings.store)
    parts = [read_part(store, f"store:{key}") for key in store.keys("imports")]
    assert sorted(part.count(b"\n") for part in parts) == [201, 501]

    again = terminal.run("import", "csv", titles, status=1)
    assert "line 702" in again.stderr
    assert str(told["job_id"]) in again.stdout
    assert terminal.json("jobs", "status", told["job_id"])["counts"]["pages"] == 2
    assert len(store.keys("imports")) == 2


@pytest.mark.connected
@pytest.mark.timeout(300)
def test_a_file_of_another_kind_is_refused_and_leads_to_nothing(
    terminal: Any, tmp_path: Path
) -> None:
    file = tmp_path / "page.html"
    file.write_text("<html>")
    said = terminal.run("import", "csv", file, status=1).stderr
    assert f"{file}, line 1: the header lacks show_id" in said
    assert ObjectStore.at(terminal.settings.store).keys("imports") == []


@pytest.mark.connected
@pytest.mark.timeout(300)
def test_imdbs_files_become_a_job(
    terminal: Any, datasets: list[object], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SCRAPER_ACCEPT_IMDB_TERMS", "true")
    told = terminal.json("import", "imdb", *datasets, "--min-votes", 50)
    assert (told["rows"], told["passed_over"], told["broken"]) == (1, {}, {})
    said = terminal.run("import", "imdb", *datasets, "--min-votes", 100, status=1).stderr
    assert "no row could be imported" in said
