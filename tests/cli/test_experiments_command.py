"""Experiments from the command line: started, weighed and stopped through the store."""

import json
from datetime import UTC, datetime
from typing import Any

import pytest
from typer.testing import CliRunner

from trending_cli.main import app
from trending_cli.standings import picture
from trending_shared.experiments import Experiments
from trending_shared.registry import ModelRegistry
from trending_shared.standings import (
    ArmStanding,
    GuardStanding,
    Moment,
    Standing,
    keep_standing,
)
from trending_shared.storage import ObjectStore
from trending_shared.testing.models import a_graph, a_manifest, promote


@pytest.fixture
def version(offline: Any) -> str:
    """Of a model that is registered."""
    graph = a_graph()
    store = ObjectStore.at((offline.home / "store").as_uri())
    return ModelRegistry(store).register(graph, a_manifest(graph)).version


def test_an_experiment_goes_from_shadow_to_a_split_to_its_end(offline: Any, version: str) -> None:
    assert offline.json("experiment", "list") == []
    started = offline.json(
        *("experiment", "start", "autumn", "--reason", "does it agree?"),
        *("--arm", "control=champion:1", "--shadow", f"candidate={version}:0.5"),
    )
    assert (started["number"], started["state"]) == (1, "running")
    assert started["arms"] == [
        {"name": "control", "version": "champion", "weight": 1.0, "shadow": 0.0},
        {"name": "candidate", "version": version, "weight": 0.0, "shadow": 0.5},
    ]
    split = offline.json(
        "experiment", "weights", "candidate=0.1", "control=0.9", "--shadow", "candidate=0"
    )
    assert [(arm["weight"], arm["shadow"]) for arm in split["arms"]] == [(0.9, 0), (0.1, 0)]
    assert "candidate" in offline.run("experiment", "list").stdout
    assert "stopped" in offline.run("experiment", "stop", "--reason", "decided").stdout
    store = ObjectStore.at((offline.home / "store").as_uri())
    history = Experiments(store).history("models", "genres")
    assert [each.reasons for each in history] == [("does it agree?",), ("by hand",), ("decided",)]
    assert offline.json("experiment", "list")[0]["state"] == "stopped"


@pytest.mark.parametrize(
    ("told", "status", "why"),
    [
        (("start", "b", "--arm", "a=champion:1"), 1, "autumn is running"),
        (("start", "b", "--arm", "a=champion"), 2, "NAME=VERSION:NUMBER"),
        (("start", "b", "--arm", "a=champion:much"), 2, "weight"),
        (("start", "b", "--arm", "a=champion:1", "--arm", "a=champion:2"), 2, "told twice"),
        (("start", "b", "--arm", "a=champion:1", "--subject", "others"), 2, "others"),
        (("weights", "other=1"), 2, "no arm other"),
        (("weights", "control=0"), 1, "none would answer"),
        (("stop", "--subject", "prompts", "--target", "insights"), 3, "no experiment"),
    ],
)
def test_what_cant_be_is_told_with_a_status(
    offline: Any, told: tuple[str, ...], status: int, why: str
) -> None:
    offline.json("experiment", "start", "autumn", "--arm", "control=champion:1")
    assert why in offline.run("experiment", *told, status=status).stderr
    assert offline.json("experiment", "list")[0]["number"] == 1


def test_versions_that_arent_registered_are_refused(offline: Any) -> None:
    told = offline.run("experiment", "start", "b", "--arm", f"a={'0' * 16}:1", status=1)
    assert "no usable genres" in told.stderr


# ---------------------------------------------------------------- those that the monitor conducts


@pytest.fixture
def champion(offline: Any, version: str) -> str:
    store = ObjectStore.at((offline.home / "store").as_uri())
    return promote(ModelRegistry(store), a_graph(likely=0.8)).version


def test_a_candidate_is_handed_to_the_monitor_in_shadow(
    offline: Any, version: str, champion: str
) -> None:
    started = offline.json("experiment", "start", "autumn", "--candidate", version)
    assert started["arms"] == [
        {"name": "control", "version": champion, "weight": 1.0, "shadow": 0.0},
        {"name": "candidate", "version": version, "weight": 0.0, "shadow": 1.0},
    ]
    assert started["judged"]["phase"] == "shadow"
    told = offline.run("experiment", "status", status=3).stderr
    assert "the monitor has looked at no experiment autumn" in told


@pytest.mark.parametrize(
    ("told", "status", "why"),
    [
        ((), 2, "say --candidate"),
        (("--candidate", "0" * 16, "--arm", "a=champion:1"), 2, "say --candidate"),
        (("--candidate", "newest"), 2, "isn't a version"),
        (("--candidate", "0" * 16), 1, "no usable genres"),
    ],
)
def test_a_candidate_that_cannot_be_tried_is_told_with_a_status(
    offline: Any, champion: str, told: tuple[str, ...], status: int, why: str
) -> None:
    assert why in offline.run("experiment", "start", "autumn", *told, status=status).stderr


def test_without_a_champion_there_is_nothing_to_try_against(offline: Any, version: str) -> None:
    told = offline.run("experiment", "start", "autumn", "--candidate", version, status=3)
    assert "no champion" in told.stderr


A_STANDING = Standing(
    subject="models",
    target="genres",
    name="autumn",
    phase="split",
    cause="",
    reasons=(),
    missing=("certainty that it is better",),
    started_at=datetime(2026, 11, 1, tzinfo=UTC),
    looked_at=datetime(2026, 11, 2, tzinfo=UTC),
    alpha=0.05,
    outcomes=600,
    texts=300,
    pairs=150,
    arms=(
        ArmStanding(name="control", version="0" * 16, answers=200, outcomes=150, score=0.61),
        ArmStanding(name="candidate", version="1" * 16, answers=200, outcomes=150, score=0.66),
    ),
    path=(
        Moment(outcomes=100, difference=0.1, low=-0.4, high=0.6),
        Moment(outcomes=600, difference=0.05, low=-0.02, high=0.12),
    ),
    capital=7.5,
    guards=(GuardStanding(name="latency p95", said="[red]fine", verdict="kept", evidence=0.0),),
)


def test_a_standing_is_told_by_name_to_people_and_programs(offline: Any) -> None:
    store = ObjectStore.at((offline.home / "store").as_uri())
    keep_standing(store, A_STANDING)
    told = offline.run("experiment", "status", "autumn").stdout
    for part in ("split", "7.5 against", "[red]fine", "needs certainty", "+0.0500 [-0.0200"):
        assert part in told
    assert offline.json("experiment", "status", "autumn") == A_STANDING.model_dump(mode="json")
    assert "no experiment spring" in offline.run("experiment", "status", "spring", status=3).stderr
    assert "there was no experiment" in offline.run("experiment", "status", status=3).stderr


def test_a_picture_has_the_difference_between_its_bounds() -> None:
    _, first, second = picture(A_STANDING.path)
    for line in (first, second):
        assert line.index("─") < line.index("●") < line.rindex("─")
    assert second.index("│" if "│" in second else "┼") < second.index("●")


def test_experiments_are_simulated_by_the_monitors_own_program(
    capfd: pytest.CaptureFixture[str],
) -> None:
    arguments = ["experiment", "simulate", "--runs", "4", "--outcomes", "600", "--seed", "1"]
    result = CliRunner().invoke(app, [*arguments, "--json"])
    assert result.exit_code == 0
    told = json.loads(capfd.readouterr().out)
    assert told["seed"] == 1
    assert {each["scenario"]: each["runs"] for each in told["scenarios"]} == dict.fromkeys(
        ("no difference", "better", "worse", "one slice worse", "slower"), 4
    )
    assert CliRunner().invoke(app, [*arguments, "--alpha", "2"]).exit_code == 2
