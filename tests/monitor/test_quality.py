"""F1 without labels: what it is worth is known where the truth is."""

import json
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from trending_monitor.backtest import SCENARIOS, TooFewAnswers, backtest, main
from trending_monitor.quality import Reliability, estimate, learn_reliability, measure
from trending_shared.evaluation import UNKNOWN, Answers, decide, macro_f1
from trending_shared.registry import ModelRegistry
from trending_shared.storage import ObjectStore
from trending_shared.testing.models import with_answers

GENRES = ("Drama", "Comedy", "Horror", "Sports")
THRESHOLDS = {"Drama": 0.45, "Comedy": 0.4, "Horror": 0.35, "Sports": 0.3}
LEVELS = np.array([0.0, -1.0, -2.0, -4.0])  # log-odds; one title in thirty is Sports


def drawn(n: int, *, seed: int = 0, level: float = 0.0, slope: float = 1.0) -> Answers:
    """Answers whose truth is drawn: with these, a model's log-odds are off by a line."""
    random = np.random.default_rng(seed)
    odds = LEVELS + random.normal(0, 2, (n, len(GENRES)))
    labels = (random.random(odds.shape) < 1 / (1 + np.exp(-odds))).astype(np.int8)
    said = 1 / (1 + np.exp(-(odds - level) / slope))
    return Answers(labels, said.astype(np.float32), THRESHOLDS, GENRES)


def given(answers: Answers) -> NDArray[np.bool_]:
    return decide(answers.probabilities, THRESHOLDS, GENRES)


@pytest.mark.parametrize(("level", "slope"), [(0.0, 1.0), (-0.5, 1.4)])
def test_intervals_hold_the_truth_as_often_as_they_say(level: float, slope: float) -> None:
    """Of 250 windows 95 % are 237; 228 and 247 are more than two standard errors away."""
    answers = drawn(2000, level=level, slope=slope)
    found = backtest(answers, "like the reference", windows=250, size=200)
    assert 0.91 <= found.covered <= 0.99
    assert 0.92 <= found.covered_genres <= 0.98
    assert abs(found.estimated - found.true) < 0.01
    assert found.width < 0.25


@pytest.mark.parametrize("scenario", ["harder texts", "other genres asked for"])
def test_an_estimate_follows_other_texts(scenario: str) -> None:
    found = backtest(drawn(2000), scenario, windows=60, size=200)
    assert abs(found.estimated - found.true) < 0.03
    assert found.covered > 0.85


def test_harder_texts_have_a_lower_estimate_and_other_meanings_have_the_same() -> None:
    alike, harder, blind = (
        backtest(drawn(2000), scenario, windows=30, size=200)
        for scenario in ("like the reference", "harder texts", "words mean other genres")
    )
    assert max(harder.true, blind.true) < alike.true - 0.05
    assert harder.estimated < alike.estimated - 0.05
    assert abs(blind.estimated - alike.estimated) < 0.02
    assert blind.covered < 0.2


def test_without_the_correction_a_model_that_exaggerates_would_be_believed() -> None:
    reference, window = (drawn(3000, seed=seed, slope=0.5) for seed in range(2))  # says the double
    believed = Reliability(GENRES, np.zeros(4), np.tile([0.0, 1.0], (4, 1)), np.zeros((4, 2, 2)))
    naive = estimate(window.probabilities, given(window), believed)
    corrected = estimate(window.probabilities, given(window), learn_reliability(reference))
    true = macro_f1(window)
    assert naive.macro_f1.value > true + 0.1
    assert corrected.macro_f1.value == pytest.approx(true, abs=0.02)


def test_expected_counts_are_sums_of_probabilities() -> None:
    window = drawn(200, seed=3)
    believed = Reliability(GENRES, np.zeros(4), np.tile([0.0, 1.0], (4, 1)), np.zeros((4, 2, 2)))
    found = estimate(window.probabilities, given(window), believed)
    inside = given(window)[:, 0]
    said = window.probabilities[:, 0].astype(float)
    assert found.genres["Drama"].hits == pytest.approx(said[inside].sum())
    assert found.genres["Drama"].misses == pytest.approx(said[~inside].sum())
    assert found.genres["Drama"].false_alarms == pytest.approx((1 - said[inside]).sum())


def test_the_same_window_has_the_same_estimate() -> None:
    reliability, window = learn_reliability(drawn(1000)), drawn(100, seed=5)
    one, other = (estimate(window.probabilities, given(window), reliability) for _ in range(2))
    assert one == other


def test_a_genre_that_surely_does_not_occur_counts_nowhere() -> None:
    reliability = learn_reliability(drawn(1000))
    probabilities = np.full((50, 4), 1e-6, np.float32)
    probabilities[:, 0] = 0.9
    found = estimate(probabilities, probabilities > 0.5, reliability)
    assert found.genres["Sports"].f1 is None
    assert found.genres["Drama"].f1 is not None
    assert found.macro_f1.value == pytest.approx(found.genres["Drama"].f1.value, abs=0.01)


def test_what_is_measured_is_what_an_evaluation_measures() -> None:
    answers = drawn(500)
    labels = answers.labels.copy()
    labels[::3, 1] = UNKNOWN
    partly = Answers(labels, answers.probabilities, THRESHOLDS, GENRES)
    found = measure(partly)
    assert found.macro_f1.value == pytest.approx(macro_f1(partly))
    assert found.macro_f1.value in found.macro_f1
    counted = found.genres["Comedy"]
    assert counted.hits + counted.misses == (labels[:, 1] == 1).sum()


def test_nothing_is_learned_of_a_few_answers_and_nothing_said_of_none() -> None:
    with pytest.raises(ValueError, match="too few"):
        learn_reliability(drawn(49))
    empty = np.zeros((0, 4), np.float32)
    with pytest.raises(ValueError, match="no predictions"):
        estimate(empty, empty > 0.5, learn_reliability(drawn(100)))
    with pytest.raises(ValueError, match="no predictions"):
        measure(drawn(0))


def test_a_model_with_few_answers_is_not_played_with() -> None:
    with pytest.raises(TooFewAnswers, match="1200 are needed"):
        backtest(drawn(1000), "harder texts", size=300)


def test_the_command_has_a_line_a_scenario(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("STORE_URL", tmp_path.as_uri())
    registry = ModelRegistry(ObjectStore.at(tmp_path.as_uri()))
    version = with_answers(registry, drawn(400)).version
    assert main([version, "--windows", "2", "--size", "100", "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert [one["scenario"] for one in told["results"]] == list(SCENARIOS)
    assert main([version, "--windows", "2", "--size", "200"]) == 1
    assert "800 are needed" in capsys.readouterr().err
    assert main([]) == 1
    assert "no champion" in capsys.readouterr().err
