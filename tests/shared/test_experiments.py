"""Who gets which arm, and how one state of an experiment follows on another."""

from collections import Counter
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import chi2, chi2_contingency

from trending_shared.errors import ExperimentInvalid, ExperimentMoved, ExperimentUnreadable
from trending_shared.experiments import (
    Arm,
    Assignment,
    Experiment,
    Experiments,
    assign,
    hash_unit,
)
from trending_shared.registry import ModelRegistry
from trending_shared.storage import ObjectStore
from trending_shared.testing.models import a_graph, a_manifest

NOW = datetime(2026, 11, 1, tzinfo=UTC)
EVEN = {"control": 1.0, "candidate": 1.0}
UNITS = [f"viewer-{number}" for number in range(20_000)]
VERSION = a_manifest(a_graph()).version
OTHER = a_manifest(a_graph(likely=0.8)).version


def an_experiment(weights: Mapping[str, float], name: str = "autumn") -> Experiment:
    """An experiment whose arms have these weights."""
    return Experiment(
        number=1,
        subject="models",
        target="genres",
        name=name,
        state="running",
        arms=tuple(Arm(name=arm, version=VERSION, weight=w) for arm, w in weights.items()),
        changed_by="test",
        changed_at=NOW,
    )


def arms_of(experiment: Experiment) -> list[str]:
    return [assign(experiment, unit).arm.name for unit in UNITS]


def improbability(counts: Counter[str], weights: dict[str, float]) -> float:
    """The p-value of Pearson's chi-square test of counts against weights."""
    total, whole = sum(counts.values()), sum(weights.values())
    expected = {arm: total * weight / whole for arm, weight in weights.items()}
    statistic = sum((counts[arm] - e) ** 2 / e for arm, e in expected.items())
    return float(chi2.sf(statistic, len(weights) - 1))


# ---------------------------------------------------------------- assignment


@pytest.mark.parametrize(
    "weights",
    [
        EVEN,
        {"control": 0.9, "candidate": 0.1},
        {"control": 95, "a": 1, "b": 4},
    ],
    ids=["even", "a tenth", "three"],
)
def test_arms_get_units_by_their_weights(weights: dict[str, float]) -> None:
    counts = Counter(arms_of(an_experiment(weights)))
    assert set(counts) == set(weights)
    assert improbability(counts, weights) > 0.01


def test_an_arm_without_a_weight_gets_nobody() -> None:
    assert set(arms_of(an_experiment({"control": 1, "candidate": 0}))) == {"control"}


def test_the_draw_is_the_one_that_is_on_record_everywhere() -> None:
    """Other code, another machine or another release must not draw anew."""
    drawn = [assign(an_experiment(EVEN), unit) for unit in UNITS[:8]]
    assert drawn[0].unit == hash_unit("autumn", "viewer-0") == "b59a70eb3bb19660211986c069410e25"
    candidates = [n for n, each in enumerate(drawn) if each.arm.name == "candidate"]
    assert candidates == [1, 6, 7]


def test_a_new_weight_moves_units_in_one_direction_only_and_no_more_than_it_must() -> None:
    before = arms_of(an_experiment({"control": 0.9, "candidate": 0.1}))
    after = arms_of(an_experiment({"control": 0.5, "candidate": 0.5}))
    moves = Counter((a, b) for a, b in zip(before, after, strict=True) if a != b)
    assert set(moves) == {("control", "candidate")}
    assert moves.total() / len(UNITS) == pytest.approx(0.4, abs=0.015)


def test_a_third_arm_takes_units_from_the_others_and_moves_none_between_them() -> None:
    before = arms_of(an_experiment(EVEN))
    after = arms_of(an_experiment({"another": 1, "candidate": 1, "control": 1}))
    moved = {b for a, b in zip(before, after, strict=True) if a != b}
    assert moved == {"another"}


def test_experiments_draw_independently_of_each_other() -> None:
    first = arms_of(an_experiment(EVEN))
    second = arms_of(an_experiment(EVEN, "winter"))
    both = Counter(zip(first, second, strict=True))
    names = ("control", "candidate")
    table = [[both[one, other] for other in names] for one in names]
    assert chi2_contingency(table).pvalue > 0.01
    assert hash_unit("autumn", UNITS[0]) != hash_unit("winter", UNITS[0])


def test_shadows_are_asked_for_their_share_of_the_other_arms_units() -> None:
    experiment = an_experiment(EVEN)
    control, candidate = experiment.arms
    arms = (control, candidate.model_copy(update={"shadow": 0.25}))
    experiment = experiment.model_copy(update={"arms": arms})
    drawn: list[Assignment] = [assign(experiment, unit) for unit in UNITS]
    assert not any(each.shadows for each in drawn if each.arm.name == "candidate")
    seen = [bool(each.shadows) for each in drawn if each.arm.name == "control"]
    assert sum(seen) / len(seen) == pytest.approx(0.25, abs=0.015)


@given(
    unit=st.text(min_size=1, max_size=128),
    weights=st.lists(st.floats(0, 1e6), min_size=1, max_size=8).filter(any),
)
def test_whoever_asks_gets_an_arm_that_serves_whatever_the_order(
    unit: str, weights: list[float]
) -> None:
    names = {f"arm{number}": weight for number, weight in enumerate(weights)}
    drawn = assign(an_experiment(names), unit)
    again = assign(an_experiment(dict(reversed(names.items()))), unit)
    assert drawn == again
    assert drawn.arm.weight > 0


# ---------------------------------------------------------------- states


@pytest.fixture
def experiments() -> Experiments:
    store = ObjectStore.at("memory:///")
    models = ModelRegistry(store)
    for likely in (0.9, 0.8):
        graph = a_graph(likely=likely)
        models.register(graph, a_manifest(graph))
    return Experiments(store)


def change(experiments: Experiments, name: str = "autumn", **changes: Any) -> Experiment:
    """The next state: half of the units to `VERSION`, unless told otherwise."""
    fields: dict[str, Any] = {
        "state": "running",
        "arms": [
            Arm(name="control", version="champion", weight=1),
            Arm(name="candidate", version=VERSION, weight=1),
        ],
        "expected": experiments.current("models", "genres"),
        "reasons": ("a test wants it",),
        "changed_by": "test",
        "at": NOW,
    }
    return experiments.change("models", "genres", name=name, **(fields | changes))


def test_states_follow_each_other_and_are_kept(experiments: Experiments) -> None:
    assert experiments.current("models", "genres") is None
    change(experiments)
    weights = [
        Arm(name="control", version="champion", weight=9),
        Arm(name="candidate", version=VERSION, weight=1),
    ]
    change(experiments, arms=weights)
    change(experiments, state="stopped", arms=weights)
    change(experiments, "winter")
    told = [
        (each.number, each.name, each.state) for each in experiments.history("models", "genres")
    ]
    assert told == [
        (1, "autumn", "running"),
        (2, "autumn", "running"),
        (3, "autumn", "stopped"),
        (4, "winter", "running"),
    ]
    assert experiments.all() == [experiments.current("models", "genres")]


def test_of_two_who_change_it_at_once_one_has_to_look_again(experiments: Experiments) -> None:
    seen = change(experiments)
    change(experiments, expected=seen)
    with pytest.raises(ExperimentMoved):
        change(experiments, expected=seen, state="stopped")
    with pytest.raises(ExperimentMoved):
        change(experiments, expected=None)


@pytest.mark.parametrize(
    ("changes", "why"),
    [
        ({"name": "winter"}, "autumn is running"),
        ({"arms": [Arm(name="candidate", version=OTHER, weight=1)]}, "name a new arm"),
        ({"arms": [Arm(name="new", version="0" * 16, weight=1)]}, "no usable genres 0000"),
        ({"arms": [Arm(name="control", version="champion")]}, "none would answer"),
        ({"arms": [Arm(name="a", version=OTHER, weight=1)] * 2}, "one name"),
        ({"arms": []}, "arms"),
    ],
    ids=["another", "version", "unknown", "weights", "names", "none"],
)
def test_a_state_that_would_spoil_the_records_is_refused(
    experiments: Experiments, changes: dict[str, Any], why: str
) -> None:
    change(experiments)
    with pytest.raises(ExperimentInvalid, match=why):
        change(experiments, **changes)
    assert len(experiments.history("models", "genres")) == 1


def test_a_name_is_one_experiment(experiments: Experiments) -> None:
    change(experiments)
    change(experiments, state="stopped")
    change(experiments)  # it goes on
    change(experiments, state="stopped")
    change(experiments, "winter")
    change(experiments, "winter", state="stopped")
    with pytest.raises(ExperimentInvalid, match="take a new name"):
        change(experiments)
    with pytest.raises(ExperimentInvalid, match="isn't running"):
        change(experiments, "spring", state="stopped")


def test_a_state_that_cant_be_read_is_told() -> None:
    store = ObjectStore.at("memory:///")
    store.put("experiments/models/genres/00000001.json", b'{"number": 1}')
    with pytest.raises(ExperimentUnreadable, match="00000001"):
        Experiments(store).current("models", "genres")
