"""The population stability index: zero for the same, large for another distribution."""

import math
import random

import pytest

from trending_monitor.drift import Served, measure_drift, population_stability_index, shares
from trending_shared.registry import Histogram

REFERENCE = {
    "text_words": Histogram(edges=(0, 10, 20, 30, 1000), shares=(0.25, 0.25, 0.25, 0.25)),
    "genre:Drama": Histogram(edges=(0, 0.25, 0.5, 0.75, 1.01), shares=(0.25, 0.25, 0.25, 0.25)),
    "confidence": Histogram(edges=(0, 0.5, 1.01), shares=(0.5, 0.5)),
}


def window(*, words: range, seed: int = 7, n: int = 2000) -> list[Served]:
    random_ = random.Random(seed)
    return [Served("w " * random_.choice(words), {"Drama": random_.random()}) for _ in range(n)]


def test_equal_shares_have_no_distance() -> None:
    assert population_stability_index([0.2, 0.3, 0.5], [0.2, 0.3, 0.5]) == 0


def test_the_index_is_the_sum_it_is_defined_as() -> None:
    expected = (0.6 - 0.5) * math.log(0.6 / 0.5) + (0.4 - 0.5) * math.log(0.4 / 0.5)
    assert population_stability_index([0.5, 0.5], [0.6, 0.4]) == pytest.approx(expected)


def test_it_is_symmetric_and_finite_for_empty_bins() -> None:
    there = population_stability_index([0.0, 1.0], [1.0, 0.0])
    assert there == population_stability_index([1.0, 0.0], [0.0, 1.0])
    assert 5 < there < 100


def test_distributions_over_different_bins_are_refused() -> None:
    with pytest.raises(ValueError, match="zip"):
        population_stability_index([1.0], [0.5, 0.5])


def test_values_beyond_the_edges_count_in_the_outer_bins() -> None:
    assert shares([-5, 0, 1, 2, 99], [0, 1, 2]) == [0.4, 0.6]


def test_a_window_from_the_reference_is_steady() -> None:
    report = measure_drift(window(words=range(0, 40)), REFERENCE, threshold=0.25)
    assert report.drifted == ()
    assert max(report.scores.values()) < 0.05


def test_longer_texts_are_named_as_what_drifted_and_nothing_else() -> None:
    report = measure_drift(window(words=range(60, 90)), REFERENCE, threshold=0.25)
    assert report.drifted == ("text_words",)


def test_an_empty_window_is_refused() -> None:
    with pytest.raises(ValueError, match="without predictions"):
        measure_drift([], REFERENCE, threshold=0.25)
