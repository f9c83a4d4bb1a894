"""Today's code over the pages of a walk: the services' own processes, and no Kafka."""

import gzip
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import IO, Any

import pytest
from pipeline.walks import SITE, Walk, a_titles_page

from trending_cli import replay
from trending_cli.differences import differences
from trending_scraper.testing import FETCHED_AT
from trending_shared.storage import ObjectStore

DAY = f"{FETCHED_AT:%Y-%m-%d}"

ALIEN = a_titles_page("Alien", "Frightening from the first minute.", "Slow, and all the better.")
DARK = a_titles_page("Dark", "Nobody understands it.", genre="Mystery")


@pytest.fixture
def walk(offline: Any) -> Walk:
    offline.home.mkdir(exist_ok=True)
    walk = Walk(offline.home)
    walk.visit({"alien": ALIEN, "dark": DARK})
    walk.visit({"alien": ALIEN})  # another job, the same content: duplicates
    return walk


def kept(walk: Walk) -> list[str]:
    return ObjectStore.at(walk.url).keys("replays")


def test_the_same_code_makes_no_difference_and_leaves_nothing(offline: Any, walk: Walk) -> None:
    found = offline.json("replay", "--from", DAY, "--to", DAY)
    assert found["equal"]
    assert (found["pages"], found["problems"]) == (3, [])
    rows = {name: (one["before"], one["same"]) for name, one in found["tables"].items()}
    assert rows["titles"] == (2, 2)
    assert rows["reviews"] == (3, 3)
    assert rows["rejects"] == (3, 3)
    assert kept(walk) == []


def test_a_changed_rule_shows_in_the_columns_it_changes(
    offline: Any, walk: Walk, tmp_path: Path
) -> None:
    catalogue = Path("shared/trending_shared/sources.yaml").read_text()
    begin = catalogue.index("\ndemo:")
    line = next(each for each in catalogue[begin:].splitlines() if "license:" in each)
    changed = catalogue[:begin] + catalogue[begin:].replace(line, "  license: CC0-1.0", 1)
    offline.env["SOURCES_FILE"] = str(tmp_path / "sources.yaml")
    (tmp_path / "sources.yaml").write_text(changed)
    found = offline.json("replay", "--from", DAY, "--to", DAY, "--source", "demo", status=1)
    titles, reviews = found["tables"]["titles"], found["tables"]["reviews"]
    assert (titles["changed"], titles["columns"]) == (2, {"content_hash": 2, "license": 2})
    assert (reviews["changed"], reviews["columns"]) == (3, {"content_hash": 3, "license": 3})
    assert found["tables"]["rejects"]["same"] == 3
    assert (titles["only_before"], titles["only_after"]) == (0, 0)


def test_a_page_whose_bytes_are_gone_is_named_and_its_rows_are_counted(
    offline: Any, walk: Walk
) -> None:
    store = ObjectStore.at(walk.url)
    for key in store.keys("raw"):
        if b"Dark" in gzip.decompress(store.get(key)):
            store.delete(key)
    found = offline.json("replay", "--from", DAY, "--to", DAY, "--keep", status=1)
    (problem,) = found["problems"]
    assert (problem["url"], problem["reason"]) == (f"{SITE}/titles/dark", "ObjectMissing")
    assert found["rows_of_problems"] == 2
    assert all(one["same"] == one["before"] == one["after"] for one in found["tables"].values())
    assert kept(walk)


def test_a_source_that_left_the_catalogue_is_named(
    offline: Any, walk: Walk, tmp_path: Path
) -> None:
    (tmp_path / "sources.yaml").write_text("{}")
    offline.env["SOURCES_FILE"] = str(tmp_path / "sources.yaml")
    found = offline.json("replay", "--from", DAY, "--to", DAY, status=1)
    assert {problem["reason"] for problem in found["problems"]} == {"UnknownSource"}
    assert len(found["problems"]) == 3


def test_ctrl_c_ends_both_readers_and_leaves_nothing(
    offline: Any, walk: Walk, monkeypatch: pytest.MonkeyPatch
) -> None:
    started: list[subprocess.Popen[str]] = []

    def start(*arguments: Any, **options: Any) -> subprocess.Popen[str]:
        started.append(begin(*arguments, **options))
        return started[-1]

    def interrupted(told: IO[str]) -> Iterator[Any]:
        assert told.readline()  # they are at work
        raise KeyboardInterrupt

    begin = replay._start
    monkeypatch.setattr(replay, "_start", start)
    monkeypatch.setattr(replay, "read_lines", interrupted)
    offline.run("replay", "--from", DAY, "--to", DAY, status=130)
    assert [process.poll() is None for process in started] == [False, False]
    assert kept(walk) == []


def test_other_days_and_other_sources_have_no_pages(offline: Any, walk: Walk) -> None:
    assert offline.json("replay", "--from", "2026-01-01", "--to", "2026-01-31")["pages"] == 0
    found = offline.json("replay", "--from", DAY, "--to", DAY, "--source", "tvmaze")
    assert (found["pages"], found["equal"]) == (0, True)


def test_the_last_day_mustnt_lie_before_the_first(offline: Any) -> None:
    offline.run("replay", "--from", "2026-11-02", "--to", "2026-11-01", status=2)


# ---------------------------------------------------------------- comparing


def a_row(event: str, **fields: Any) -> dict[str, Any]:
    row = {"event_id": event, "source": "demo", "source_id": event, "page_url": SITE}
    return row | {"fetched_at": FETCHED_AT, "name": "Alien", "code_version": "1"} | fields


def test_rows_are_compared_by_event_whatever_their_order_and_version() -> None:
    before = [a_row("a"), a_row("b"), a_row("c")]
    after = [a_row("d"), a_row("c", name="Aliens"), a_row("a", code_version="2")]
    found = differences(before, after)
    assert (found.same, found.changed, found.only_before, found.only_after) == (1, 1, 1, 1)
    assert found.columns == {"name": 1}
    assert found.sources == {"demo": 3}
    assert found.examples[1]["columns"] == {"name": ["Alien", "Aliens"]}
