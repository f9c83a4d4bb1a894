"""What `trending sources` says of the catalogue, and of what the scraper is told about it."""

import re
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from trending_cli.sources import Told, describe, find_problems
from trending_shared.sources import read_catalogue
from trending_shared.testing import a_catalogue

CONTACT = {"SCRAPER_CONTACT": "mailto:us@films.example"}
CHARTS = {"charts": {"every": "PT6H", "url": "https://charts.example/{day}"}}


@pytest.mark.parametrize(
    ("environ", "said"),
    [
        ({}, []),
        (CONTACT | {"SCRAPER_SOURCES": "tvmaze, Wikidata"}, []),
        ({"SCRAPER_SOURCES": "csv"}, []),
        (
            CONTACT | {"SCRAPER_SOURCES": "tvmaze,cinema"},
            ["SCRAPER_SOURCES: .* no cinema, but csv"],
        ),
        ({"SCRAPER_SOURCES": "tvmaze"}, ["SCRAPER_CONTACT: .*before visiting api.tvmaze.com:443"]),
        (
            CONTACT | {"SCRAPER_SOURCES": "tmdb,omdb", "SCRAPER_OMDB_KEY": "secret"},
            ["SCRAPER_TMDB_TOKEN: get a key for tmdb from https://"],
        ),
        (CONTACT | {"SCRAPER_SOURCES": "imdb"}, ["SCRAPER_ACCEPT_IMDB_TERMS: read https://"]),
        (
            CONTACT | {"SCRAPER_SOURCES": "imdb", "SCRAPER_ACCEPT_IMDB_TERMS": "perhaps"},
            ["SCRAPER_ACCEPT_IMDB_TERMS: 'perhaps' is neither"],
        ),
        (CONTACT | {"SCRAPER_SOURCES": "imdb", "SCRAPER_ACCEPT_IMDB_TERMS": "true"}, []),
        (CONTACT | {"SCRAPER_SOURCES": "schema_org"}, ["SOURCES_FILE: schema_org has no base"]),
        ({"SCRAPER_DEMO_URL": "127.0.0.1:8080"}, ["SCRAPER_DEMO_URL: .*must look like"]),
        ({"SCRAPER_DEMO_URL": "http://127.0.0.1:8080"}, ["SCRAPER_CONTACT"]),
        (
            {
                "SCRAPER_DEMO_URL": "http://127.0.0.1:8080",
                "SCRAPER_ALLOWED_PRIVATE_HOSTS": "127.0.0.1:8080",
            },
            [],
        ),
    ],
    ids=str,
)
def test_each_problem_names_the_variable_to_set(environ: dict[str, str], said: list[str]) -> None:
    problems = find_problems(read_catalogue(), Told(environ))
    for problem, expected in zip(problems, said, strict=True):
        assert re.match(expected, problem), problem


def test_a_schedule_must_begin_at_a_host_of_its_source(offline: Any, tmp_path: Path) -> None:
    file = tmp_path / "mine.yaml"
    file.write_text(a_catalogue(schedule=CHARTS))
    offline.env |= CONTACT | {"SCRAPER_SOURCES": "films", "SOURCES_FILE": str(file)}
    no_base, no_host = offline.json("sources", "check", status=1)["problems"]
    assert no_base.startswith("SOURCES_FILE: films has no base and no hosts")
    assert no_host.startswith("SOURCES_FILE: films.schedule.charts: charts.example:443 is none")
    file.write_text(a_catalogue(schedule=CHARTS, hosts=["charts.example:443"]))
    assert offline.json("sources", "check") == {"asked": ["films"], "problems": []}
    file.write_text(a_catalogue().replace("gives:", "yields:"))
    assert "films.gives" in offline.run("sources", "check", status=1).stdout


def test_every_schedule_of_our_own_catalogue_begins_at_a_host_of_its_source() -> None:
    catalogue = read_catalogue()
    told = Told(CONTACT | {"SCRAPER_SOURCES": ",".join(catalogue)})
    assert not [problem for problem in find_problems(catalogue, told) if ".schedule." in problem]


def test_a_source_that_is_asked_says_when_it_is_due_next() -> None:
    now = datetime(2026, 11, 26, 13, 30, tzinfo=UTC)
    entry = read_catalogue()["tvmaze"]
    asked = describe("tvmaze", entry, Told({"SCRAPER_SOURCES": "tvmaze"}), now)
    assert asked["schedule"]["updates"]["next_due"] == datetime(2026, 11, 26, 18, tzinfo=UTC)
    for environ in ({}, {"SCRAPER_SOURCES": "tvmaze", "SCRAPER_SCHEDULES": "false"}):
        idle = describe("tvmaze", entry, Told(environ), now)
        assert idle["schedule"]["updates"]["next_due"] is None


def test_the_list_tells_what_is_missing_and_no_secret(offline: Any) -> None:
    offline.env |= {"SCRAPER_SOURCES": "omdb,tvmaze", "SCRAPER_OMDB_KEY": "hush-hush"}
    listed = {each["source"]: each for each in offline.json("sources", "list")}
    assert listed.keys() == read_catalogue().keys()
    assert listed["omdb"]["needs"] == {"SCRAPER_OMDB_KEY": True}
    assert listed["tmdb"]["needs"] == {"SCRAPER_TMDB_TOKEN": False}
    assert [name for name, each in listed.items() if each["asked"]] == ["omdb", "tvmaze"]
    offline.env["COLUMNS"] = "300"
    shown = offline.run("sources", "list").stdout
    assert "needs SCRAPER_OMDB_KEY, which is set" in shown
    assert "needs SCRAPER_TMDB_TOKEN ·" in shown
    assert "CC-BY-SA-4.0" in shown
    assert "updates every 6 h, next" in shown
    assert "hush" not in shown + str(listed)


def test_doctor_tells_what_the_sources_lack(offline: Any) -> None:
    offline.env["SCRAPER_SOURCES"] = "tvmaze"
    found = {each["what"]: each for each in offline.json("doctor", status=1)}
    assert "SCRAPER_CONTACT" in found["sources"]["found"]
    assert "`trending sources check`" in found["sources"]["found"]
