"""Experiments from the command line: started, weighed and stopped through the store."""

from typing import Any

import pytest

from trending_shared.experiments import Experiments
from trending_shared.registry import ModelRegistry
from trending_shared.storage import ObjectStore
from trending_shared.testing.models import a_graph, a_manifest


@pytest.fixture
def version(offline: Any) -> str:
    """Of a model that is registered."""
    graph = a_graph()
    store = ObjectStore.at((offline.home / "store").as_uri())
    return ModelRegistry(store).register(graph, a_manifest(graph)).version


def test_an_experiment_goes_from_shadow_to_a_split_to_its_end(offline: Any, version: str) -> None:
    assert offline.json("experiments", "list") == []
    started = offline.json(
        *("experiments", "start", "autumn", "--reason", "does it agree?"),
        *("--arm", "control=champion:1", "--shadow", f"candidate={version}:0.5"),
    )
    assert (started["number"], started["state"]) == (1, "running")
    assert started["arms"] == [
        {"name": "control", "version": "champion", "weight": 1.0, "shadow": 0.0},
        {"name": "candidate", "version": version, "weight": 0.0, "shadow": 0.5},
    ]
    split = offline.json(
        "experiments", "weights", "candidate=0.1", "control=0.9", "--shadow", "candidate=0"
    )
    assert [(arm["weight"], arm["shadow"]) for arm in split["arms"]] == [(0.9, 0), (0.1, 0)]
    assert "candidate" in offline.run("experiments", "list").stdout
    assert "stopped" in offline.run("experiments", "stop", "--reason", "decided").stdout
    store = ObjectStore.at((offline.home / "store").as_uri())
    history = Experiments(store).history("models", "genres")
    assert [each.reasons for each in history] == [("does it agree?",), ("by hand",), ("decided",)]
    assert offline.json("experiments", "list")[0]["state"] == "stopped"


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
    offline.json("experiments", "start", "autumn", "--arm", "control=champion:1")
    assert why in offline.run("experiments", *told, status=status).stderr
    assert offline.json("experiments", "list")[0]["number"] == 1


def test_versions_that_arent_registered_are_refused(offline: Any) -> None:
    told = offline.run("experiments", "start", "b", "--arm", f"a={'0' * 16}:1", status=1)
    assert "no usable genres" in told.stderr
