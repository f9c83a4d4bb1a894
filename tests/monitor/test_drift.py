"""The population stability index: zero for the same, large for another distribution."""

import math

import numpy as np
import pytest
from numpy.typing import NDArray

from trending_monitor.drift import (
    DriftReport,
    Served,
    calibrate_thresholds,
    measure_drift,
    population_stability_index,
    shares,
    values_of,
)
from trending_shared.registry import Histogram

EDGES = (0.0, *np.quantile(np.random.default_rng(0).normal(size=2000), np.linspace(0.1, 0.9, 9)))
REFERENCE = {f"genre:{n}": Histogram(edges=(*EDGES, 9.0), shares=(0.1,) * 10) for n in range(8)} | {
    "confidence": Histogram(edges=(0, 0.5, 1.01), shares=(0.5, 0.5))
}


def index(expected: list[float], actual: list[float]) -> float:
    return float(population_stability_index(np.array(expected), np.array(actual)))


def window(n: int, *, seed: int, moved: float = 0.0) -> dict[str, NDArray[np.float64]]:
    """Values as those that the reference was made of; the first feature moved."""
    random = np.random.default_rng([1, seed])
    values = {feature: random.normal(size=n) for feature in REFERENCE}
    return values | {
        "genre:0": values["genre:0"] + moved,
        "confidence": random.random(n),
    }


def judged(values: dict[str, NDArray[np.float64]], *, false_alarms: float = 0.01) -> DriftReport:
    size = len(values["confidence"])
    thresholds = calibrate_thresholds(REFERENCE, rows=2000, size=size, false_alarms=false_alarms)
    return measure_drift(values, REFERENCE, thresholds)


def test_equal_shares_have_no_distance() -> None:
    assert index([0.2, 0.3, 0.5], [0.2, 0.3, 0.5]) == 0


def test_the_index_is_the_sum_it_is_defined_as() -> None:
    expected = (0.6 - 0.5) * math.log(0.6 / 0.5) + (0.4 - 0.5) * math.log(0.4 / 0.5)
    assert index([0.5, 0.5], [0.6, 0.4]) == pytest.approx(expected)


def test_it_is_symmetric_and_finite_for_empty_bins() -> None:
    there = index([0.0, 1.0], [1.0, 0.0])
    assert there == index([1.0, 0.0], [0.0, 1.0])
    assert 5 < there < 100


def test_distributions_over_different_bins_are_refused() -> None:
    with pytest.raises(ValueError, match="1 bins and 2"):
        index([1.0], [0.5, 0.5])


def test_values_beyond_the_edges_count_in_the_outer_bins() -> None:
    assert list(shares(np.array([-5.0, 0, 1, 2, 99]), [0, 1, 2])) == [0.4, 0.6]


@pytest.mark.parametrize("size", [50, 500])
def test_windows_without_drift_raise_no_more_false_alarms_than_they_may(size: int) -> None:
    """Of 400 windows 5 % are 20; 33 would be three standard errors more."""
    thresholds = calibrate_thresholds(REFERENCE, rows=2000, size=size, false_alarms=0.05)
    alarms = sum(
        bool(measure_drift(window(size, seed=seed), REFERENCE, thresholds).drifted)
        for seed in range(400)
    )
    assert 4 <= alarms <= 33


def test_what_a_small_window_may_show_by_chance_is_drift_in_a_large_one() -> None:
    small, large = (
        calibrate_thresholds(REFERENCE, rows=2000, size=size, false_alarms=0.01)
        for size in (50, 2000)
    )
    assert small["genre:0"] > 0.5 > 0.1 > large["genre:0"]
    assert small["confidence"] < small["genre:0"]  # of fewer bins
    shifted = judged(window(2000, seed=3, moved=0.3))
    assert shifted.drifted == ("genre:0",)
    assert shifted.scores["genre:0"] < 0.25  # the usual convention would have called it steady


def test_thresholds_are_the_same_every_time() -> None:
    assert judged(window(100, seed=0)) == judged(window(100, seed=0))


def test_a_reference_of_few_rows_is_trusted_less() -> None:
    few, many = (
        calibrate_thresholds(REFERENCE, rows=rows, size=500, false_alarms=0.01)
        for rows in (200, 20_000)
    )
    assert few["genre:0"] > 2 * many["genre:0"]


def test_a_feature_of_one_value_does_not_drift_from_itself() -> None:
    reference = {"confidence": Histogram(edges=(0, 1), shares=(1.0,))}
    thresholds = calibrate_thresholds(reference, rows=100, size=50, false_alarms=0.01)
    found = measure_drift({"confidence": np.ones(50)}, reference, thresholds)
    assert found.drifted == ()


def test_words_confidence_and_genres_are_what_is_monitored() -> None:
    served = [Served("two words", {"Drama": 0.2, "Comedy": 0.7})]
    values = values_of(served, np.array([[0.2, 0.7]]), ("Drama", "Comedy"))
    assert {feature: list(found) for feature, found in values.items()} == {
        "text_words": [2.0],
        "confidence": [0.7],
        "genre:Drama": [0.2],
        "genre:Comedy": [0.7],
    }


def test_an_empty_window_is_refused() -> None:
    empty = values_of([], np.zeros((0, 1)), ("0",))
    with pytest.raises(ValueError, match="without predictions"):
        measure_drift(empty, {"genre:0": REFERENCE["genre:0"]}, {"genre:0": 0.1})
