"""The registry from the command line: what is in force, what is put in force, what is asked for."""

import threading
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any

import pytest

from trending_shared.events import (
    Event,
    ModelApproved,
    ModelPromoted,
    ModelRefused,
    TrainingRequested,
)
from trending_shared.messages import Message
from trending_shared.registry import Manifest, ModelRegistry
from trending_shared.storage import ObjectStore
from trending_shared.testing.models import a_graph, a_manifest, promote

pytestmark = pytest.mark.timeout(300)

SCORES = {"precision": 0.75, "recall": 0.6, "f1": 0.667, "support": 41, "given": 37}
SHOWS = {"macro_f1": 0.4321, "interval": {"low": 0.4013, "high": 0.4711}, "rows": 99, "genres": 5}
METRICS = {
    "macro_f1": 0.5123,
    "macro_f1_interval": {"low": 0.48, "high": 0.54},
    "calibration": {"ece": 0.02, "brier": 0.1, "bins": []},
    "genres": {"Horror": SCORES},
    "slices": {"kind": {"show": SHOWS}},
}


def registry_of(terminal: Any) -> ModelRegistry:
    return ModelRegistry(ObjectStore.at(terminal.settings.store))


def two_models(terminal: Any) -> tuple[Manifest, Manifest]:
    """A champion, and a newer model that was registered."""
    registry = registry_of(terminal)
    first = promote(registry, a_graph(), metrics=METRICS)
    graph = a_graph(likely=0.8)
    later = datetime(2026, 11, 2, tzinfo=UTC)
    return first, registry.register(graph, a_manifest(graph, created_at=later))


def test_the_list_tells_the_champion(offline: Any) -> None:
    assert offline.json("models", "list") == {"champion": None, "versions": []}
    first, second = two_models(offline)
    told = offline.json("models", "list")
    assert told["champion"] == first.version
    assert [each["version"] for each in told["versions"]] == [first.version, second.version]
    lines = offline.run("models", "list").stdout.splitlines()
    assert ["champion" in line for line in lines if first.version in line] == [True]
    assert ["champion" in line for line in lines if second.version in line] == [False]


def test_a_model_is_shown_with_its_scores_by_genre_and_by_slice(offline: Any) -> None:
    first, second = two_models(offline)
    shown = offline.run("models", "show").stdout
    assert first.version in shown
    for told in ("0.5123", "0.50", "0.750", "0.600", "0.667", "41", "37", "0.4321", "0.401", "99"):
        assert told in shown
    assert offline.json("models", "show", second.version)["version"] == second.version
    assert second.version in offline.run("models", "show", second.version).stdout


def test_a_models_card_is_told_as_it_was_written(offline: Any) -> None:
    first, second = two_models(offline)
    assert offline.run("models", "card").stdout == f"{first.card.rstrip()}\n"
    told = offline.json("models", "card", second.version)
    assert told == {"version": second.version, "card": second.card}


def test_what_the_registry_does_not_hold_is_not_found(offline: Any) -> None:
    assert "no champion" in offline.run("models", "show", status=3).stderr
    assert "no genres 0123" in offline.run("models", "show", "0123", status=3).stderr
    offline.run("models", "promote", "0123", status=3)
    assert "no other champion" in offline.run("models", "rollback", status=3).stderr


@pytest.mark.connected
def test_promotion_and_rollback_move_the_alias_and_are_announced(terminal: Any) -> None:
    first, second = two_models(terminal)
    registry = registry_of(terminal)
    told = terminal.json("models", "promote", second.version, "--reason", "seen by the critics")
    assert (told["number"], told["version"]) == (2, second.version)
    event = terminal.json("topics", "tail", ModelPromoted.topic, "-n", 1)["body"]
    assert event["model_version"] == second.version
    assert event["previous"] == first.version
    assert event["reasons"] == ["seen by the critics"]
    said = terminal.run("models", "promote", second.version, status=1).stderr
    assert "is the champion already" in said

    assert terminal.json("models", "rollback")["version"] == first.version
    event = terminal.json("topics", "tail", ModelPromoted.topic, "-n", 1)["body"]
    assert (event["model_version"], event["number"]) == (first.version, 3)
    assert event["reasons"] == [f"rolled back from {second.version}"]
    assert registry.champion("genres").version == first.version


def test_nothing_is_promoted_that_cannot_be_announced(offline: Any) -> None:
    first, second = two_models(offline)
    offline.run("models", "promote", second.version, status=4)
    assert registry_of(offline).champion("genres").version == first.version


@pytest.mark.connected
def test_a_training_is_requested(terminal: Any) -> None:
    told = terminal.json("models", "train", "--dataset", "0123456789abcdef", "--reason", "a whim")
    assert told["promoted"] is None
    assert told["refused"] is None
    newest = terminal.json("topics", "tail", TrainingRequested.topic, "-n", 1)
    assert newest["headers"]["ce_id"] == told["training_id"]
    assert newest["body"] == {"reason": "a whim", "dataset_id": "0123456789abcdef"}


@pytest.mark.connected
@pytest.mark.parametrize(
    ("verdict", "status", "told"),
    [
        (
            ModelPromoted(
                model="genres",
                model_version="9f2c4e6a8b0d1f37",
                alias="champion",
                number=1,
                previous=None,
                reasons=("better",),
            ),
            0,
            "champion is now 9f2c4e6a8b0d1f37",
        ),
        (
            ModelApproved(
                model="genres",
                model_version="9f2c4e6a8b0d1f37",
                champion="6fffe8c4000d4f50",
                dataset_id="d",
                reasons=("better",),
            ),
            0,
            "9f2c4e6a8b0d1f37 passed the gate and is to be tried",
        ),
        (ModelRefused(model="genres", reasons=("[/worse]",)), 1, "[/worse]"),
    ],
    ids=["promoted", "approved", "refused"],
)
def test_a_training_is_followed_to_the_decision_of_the_gate(
    terminal: Any, verdict: Event, status: int, told: str
) -> None:
    decided = threading.Event()

    def decide(messages: Sequence[Message[Any]]) -> Sequence[Message[Any]]:
        """A trainer that has made up its mind."""
        decided.set()
        return [message.leads_to(verdict) for message in messages]

    with terminal.group(f"gate-{verdict.topic}", TrainingRequested, decide):
        said = terminal.run("models", "train", "--wait", status=status).stdout
    assert decided.is_set()
    assert told in said
