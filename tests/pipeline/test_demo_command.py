"""The demo as a user runs it: one command, and what can be asked afterwards."""

import json
import os
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import psutil
import pytest

from trending_cli.embedded_kafka import EmbeddedKafka

pytestmark = [pytest.mark.connected, pytest.mark.timeout(300)]

TRENDING = Path(sys.executable).with_name("trending")


def trending(home: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [TRENDING, *arguments],
        env={**os.environ, "TRENDING_HOME": str(home)},
        capture_output=True,
        text=True,
        check=False,
        timeout=280,
    )


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("demo") / "home"


@pytest.fixture(scope="module")
def result(home: Path) -> Mapping[str, Any]:
    done = trending(home, "demo", "--exit", "--json", "--home", str(home))
    assert done.returncode == 0, done.stderr
    (line,) = done.stdout.splitlines()
    answer: Mapping[str, Any] = json.loads(line)
    return answer


def test_every_page_is_accounted_for_and_a_model_is_in_force(result: Mapping[str, Any]) -> None:
    counts = result["counts"]
    assert counts["titles_scraped"] >= 300
    assert counts["titles_cleaned"] + counts["titles_rejected"] == counts["titles_scraped"]
    assert counts["reviews_cleaned"] + counts["reviews_rejected"] == counts["reviews_scraped"]
    assert counts["featurized"] == counts["titles_cleaned"]
    assert counts["parked"] == 0
    assert result["champion"].split()[0] == "blend"
    assert 0.5 < result["macro_f1"] < 1
    assert len(result["predictions"]) == 3
    services = {"scraper", "cleaner", "featurizer", "trainer", "inference", "monitor"}
    assert services <= result["peak_memory_mb"].keys()
    assert result["seconds"]["total"] > 0


def test_nothing_is_left_running(result: Mapping[str, Any], home: Path) -> None:
    left = [
        process.info["pid"]
        for process in psutil.process_iter(["pid", "environ"])
        if (process.info["environ"] or {}).get("TRENDING_HOME") == str(home)
    ]
    assert left == []


def test_a_prediction_is_traced_to_its_page_and_gives_the_same_again(
    result: Mapping[str, Any], home: Path
) -> None:
    prediction = result["predictions"][0]["prediction_id"]
    traced = trending(home, "lineage", prediction, "--replay", "--json")
    assert traced.returncode == 0, traced.stderr
    lineage = json.loads(traced.stdout)
    assert lineage["replay"]["equal"] is True
    assert lineage["model"]["version"] in result["champion"]
    pages = [row["page"] for row in lineage["rows"]]
    assert pages
    assert all(page["verified"] for page in pages)


def test_a_title_s_story_goes_through_all_services_in_one_trace_and_the_request_s(
    result: Mapping[str, Any], home: Path
) -> None:
    prediction = result["predictions"][0]["prediction_id"]
    with EmbeddedKafka(home):
        told = trending(home, "story", prediction, "--json")
    assert told.returncode == 0, told.stderr
    story = json.loads(told.stdout)
    steps = [(step["service"], step["what"]) for step in story["steps"]]
    walk = [
        *[("scraper", "asked for"), ("scraper", "scraped"), ("cleaner", "cleaned")],
        *[("featurizer", "featurized"), ("featurizer", "dataset")],
        *[("trainer", "model"), ("trainer", "promoted"), ("inference", "predicted")],
    ]
    assert [steps.index(step) for step in walk] == sorted(map(steps.index, walk))
    scraped, served = (story["steps"][steps.index(step)] for step in (walk[1], walk[-1]))
    assert set(story["traces"]) == {scraped["trace_id"], served["trace_id"]}
    assert story["gaps"] == []


def test_the_first_walk_teaches_what_the_registry_shows(
    result: Mapping[str, Any], home: Path
) -> None:
    shown = json.loads(trending(home, "models", "list", "--json").stdout)
    assert shown["champion"] == result["champion"].split()[-1]
    algorithms = {version["algorithm"] for version in shown["versions"]}
    assert algorithms == {"tfidf-logreg", "tfidf-xgboost", "embedding-logreg", "blend"}


def test_the_records_have_the_quality_that_the_report_asks_for(
    result: Mapping[str, Any], home: Path
) -> None:
    report = trending(home, "quality", "report", "--fail-on", "warning")
    assert report.returncode == 0, report.stdout
