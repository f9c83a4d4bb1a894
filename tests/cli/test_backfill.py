"""Tables made anew from kept pages, in one process; on Ray see `tests/ray`."""

import shutil
from datetime import timedelta
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from pipeline.walks import PLOT, Walk, a_titles_page

from trending_cleaner.backfilling import divide
from trending_cli import backfill
from trending_cli.replay import read_table
from trending_scraper.testing import FETCHED_AT
from trending_shared.storage import ObjectStore

CLEANERS = ("titles", "reviews", "facts", "signals", "rejects")
ONLY = [option for name in CLEANERS for option in ("--table", name)]
LONG = (
    "Nothing in it is new, and yet the silence of the first hour, the faces in the dark and the "
    "last of its corridors stay with whoever has seen it on a large screen."
)
SPUN = LONG.replace("large", "wide")


@pytest.fixture(scope="module")
def walked(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A home after a walk with all that makes a record depend on others, over three days."""
    home = tmp_path_factory.mktemp("walked")
    walk = Walk(home)
    second, third = FETCHED_AT + timedelta(days=1), FETCHED_AT + timedelta(days=2)
    walk.visit(
        {
            "alien": a_titles_page("Alien", LONG, "Slow, and all the better."),
            "dark": a_titles_page("Dark", "Nobody understands it.", genre="Mystery"),
            "empty": a_titles_page("Empty", "It has a review and no plot.", plot="?"),
            "late": a_titles_page("Late", year="3024"),
        }
    )
    # Another source: the same film by its name, with a review spun of one that is known.
    walk.visit({"alien": a_titles_page("Alien", SPUN)}, source="schema_org", at=second)
    # A film of its own, with the very words of a review of another source's film.
    walk.visit({"copy": a_titles_page("Copy", LONG)}, source="schema_org", at=second)
    # Known already, changed, and as it was before.
    walk.visit({"alien": a_titles_page("Alien", LONG)}, at=second)
    walk.visit({"alien": a_titles_page("Alien", LONG, plot=PLOT[:60])}, at=third)
    walk.visit({"dark": a_titles_page("Dark", genre="Drama")}, at=third)
    return home


@pytest.fixture
def store(offline: Any, walked: Path) -> str:
    """The store of such a home, for one test; its URL."""
    shutil.copytree(walked, offline.home)
    return str(offline.settings.store)


@pytest.mark.parametrize("parts", [1, 3, 16])
def test_in_however_many_parts_the_rows_are_those_that_the_services_wrote(
    offline: Any, store: str, parts: int
) -> None:
    found = offline.json("backfill", *ONLY, "--check", "--parts", parts)
    assert found["equal"]
    assert (found["pages"], found["problems"]) == (9, [])
    tables = found["compared"]["tables"]
    assert all(one["before"] == one["same"] == one["after"] for one in tables.values())
    reasons = read_table(store, "rejects")
    assert reasons is not None
    assert set(reasons["reason"].to_pylist()) == {
        *("TextMissing", "YearImplausible", "DuplicateTitle", "DuplicateReview"),
        "NearDuplicateReview",
    }
    assert (tables["titles"]["same"], tables["rejects"]["same"]) == (6, len(reasons))


def test_rows_of_some_days_are_what_came_before_and_after_makes_of_them(
    offline: Any, store: str
) -> None:
    days = [f"{FETCHED_AT + timedelta(days=n):%Y-%m-%d}" for n in (1, 1)]
    found = offline.json("backfill", *ONLY, "--check", "--from", days[0], "--to", days[1])
    assert found["equal"]
    assert found["rows"]["titles"] == 2
    reasons = read_table(found["into"], "rejects")
    assert reasons is not None
    assert "DuplicateTitle" in reasons["reason"].to_pylist()


def test_a_changed_rule_shows_and_the_tables_in_force_stay(
    offline: Any, store: str, tmp_path: Path
) -> None:
    catalogue = Path("shared/trending_shared/sources.yaml").read_text()
    begin = catalogue.index("\ndemo:")
    line = next(each for each in catalogue[begin:].splitlines() if "license:" in each)
    changed = catalogue[:begin] + catalogue[begin:].replace(line, "  license: CC0-1.0", 1)
    offline.env["SOURCES_FILE"] = str(tmp_path / "sources.yaml")
    (tmp_path / "sources.yaml").write_text(changed)
    before = read_table(store, "titles")
    found = offline.json("backfill", "--table", "titles", "--check", status=1)
    assert found["compared"]["tables"]["titles"]["columns"] == {"content_hash": 4, "license": 4}
    assert before is not None
    assert before.equals(read_table(store, "titles"))


def test_a_page_whose_bytes_are_gone_is_named(offline: Any, store: str) -> None:
    objects = ObjectStore.at(store)
    for key in objects.keys("raw"):
        objects.delete(key)
    found = offline.json("backfill", "--table", "titles", status=1)
    assert {problem["reason"] for problem in found["problems"]} == {"ObjectMissing"}
    assert (found["pages"], found["rows"]) == (0, {"titles": 0})


def test_a_place_with_tables_is_refused(offline: Any, store: str) -> None:
    result = offline.run("backfill", "--table", "titles", "--into", store, status=1)
    assert "name an empty place" in result.stderr


def test_without_pages_there_is_nothing_to_make(offline: Any) -> None:
    found = offline.json("backfill", "--check")
    assert (found["pages"], found["rows"], found["equal"]) == (0, {}, None)


def test_who_has_no_ray_is_told_how_to_get_it(
    offline: Any, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(backfill, "RAY_PYTHON", tmp_path / "nowhere")
    result = offline.run("backfill", "--engine", "ray", status=1)
    assert "make install-ray" in result.stderr


def test_the_last_day_mustnt_lie_before_the_first(offline: Any, store: str) -> None:
    offline.run("backfill", "--from", "2026-11-02", "--to", "2026-11-01", status=2)


def test_what_is_linked_is_together_and_nothing_else() -> None:
    linked = pa.table(
        {
            "title_id": ["a", "b", "b", "c", "d", None, "e"],
            "links": [["x"], ["x", "y"], [], ["y"], ["z"], None, []],
        }
    )
    assert divide(linked) == {"a": "a", "b": "a", "c": "a"}
