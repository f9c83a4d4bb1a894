"""Parts of imported files, as `trending import` makes them, and what their rows become."""

from pathlib import Path

import pytest

from trending_cleaner.fields import countries, kind, minutes, year
from trending_cli.import_files import Lines, Report, csv_parts, imdb_parts
from trending_scraper.sources.base import (
    Extracted,
    FetchedPage,
    JobNotUnderstood,
    PageUnparsable,
    Source,
)
from trending_scraper.testing import FETCHED_AT, a_source
from trending_shared.events import ScrapeJob
from trending_shared.imports import HOST

FIXTURES = Path(__file__).parent / "fixtures"
PART = f"store:imports/ab/ab{'0' * 62}.csv.gz"
CSV = a_source("csv", "", hosts=frozenset({HOST}))
IMDB = a_source("imdb", "", hosts=frozenset({HOST}))


def read(source: Source, body: bytes) -> Extracted:
    return source.extract(
        ScrapeJob(source=source.name, url=PART), FetchedPage(PART, body, "utf-8", FETCHED_AT)
    )


def the_part(path: Path) -> bytes:
    with path.open("rb") as file:
        (part,) = csv_parts(Lines(file, str(path)), Report())
        return part


@pytest.mark.parametrize("source", [CSV, IMDB], ids=["csv", "imdb"])
@pytest.mark.parametrize("url", ["https://datasets.imdbws.com/title.basics.tsv.gz", "store:raw/a"])
def test_only_parts_are_read(source: Source, url: str) -> None:
    assert source.plan(ScrapeJob(source=source.name, url=PART)).url == PART
    with pytest.raises(JobNotUnderstood, match="trending import"):
        source.plan(ScrapeJob(source=source.name, url=url))


def test_rows_of_a_csv_become_titles_with_their_oddities() -> None:
    found = read(CSV, the_part(FIXTURES / "csv/titles.csv"))
    titles = {title.source_id: title.title for title in found.titles}
    assert len(titles) == 4
    assert titles["x1"].name == "The Lamplighter's Ledger"
    assert titles["x1"].genres == ("Dramas", "International Movies", "Thrillers")
    assert titles["x1"].countries == ("Ireland", "France")
    assert titles["x2"].kind == "TV Show"
    assert titles["x2"].plot is not None
    assert titles["x2"].plot.startswith("Night shifts in a port\nthat hides")
    assert titles["x3"].age_rating == "74 min"
    assert titles["x3"].runtime is None
    assert titles["x4"].countries == ("Kenya",)


def test_what_rows_become_means_something_to_the_cleaner() -> None:
    found = read(CSV, the_part(FIXTURES / "csv/titles.csv"))
    assert [kind(title.title.kind) for title in found.titles] == ["film", "show", "film", "film"]
    assert [minutes(title.title.runtime, title.title.age_rating) for title in found.titles] == [
        *(108, None, 74, 61)
    ]
    assert {year(title.title.year, now=FETCHED_AT) for title in found.titles} == {2026, 2025, 1931}
    assert countries(found.titles[3].title.countries) == ("Kenya",)


def test_imdbs_titles_are_facts() -> None:
    with (
        (FIXTURES / "imdb/title.basics.tsv").open("rb") as basics,
        (FIXTURES / "imdb/title.ratings.tsv").open("rb") as ratings,
    ):
        lines = Lines(basics, "basics"), Lines(ratings, "ratings")
        (part,) = imdb_parts(*lines, Report())
    found = read(IMDB, part)
    assert found.titles == ()
    ledger, watch = found.facts
    assert ledger.source_id == "tt9900101"
    assert ledger.title.external_ids == {"imdb": "tt9900101"}
    assert ledger.title.genres == ("Drama", "Mystery")
    assert (ledger.title.rating, ledger.title.best_rating) == ("7.4", "10")
    assert (ledger.title.runtime, ledger.title.year) == ("108", "2026")
    assert (watch.title.rating, watch.title.best_rating, watch.title.runtime) == (None,) * 3
    assert kind(watch.title.kind) == "show"


@pytest.mark.parametrize("source", [CSV, IMDB], ids=["csv", "imdb"])
@pytest.mark.parametrize(
    "body",
    [b"", b"a,b\n1,2\n", b"\xff\xfe", b'"', bytes(1000), b"<html>"],
    ids=["empty", "columns", "not UTF-8", "a quote", "zeros", "HTML"],
)
def test_what_is_no_part_is_unparsable(source: Source, body: bytes) -> None:
    with pytest.raises(PageUnparsable):
        read(source, body)


def test_a_part_with_a_row_of_another_table_was_damaged() -> None:
    part = the_part(FIXTURES / "csv/titles.csv")
    with pytest.raises(PageUnparsable, match="line"):
        read(CSV, part + b"x9,Movie\r\n")
