"""Histograms that the monitor measures against: whole, and without distance to their own sample."""

from itertools import pairwise

import numpy as np
import pytest
from numpy.typing import NDArray

from trending_monitor.drift import (
    Served,
    measure_drift,
    population_stability_index,
    shares,
    values_of,
)
from trending_shared.registry import Histogram
from trending_trainer.reference import build_reference, reference_histogram

CHANCE = np.random.default_rng(7)
CONTINUOUS = CHANCE.beta(1, 6, 2000)
FEW_WORDS = np.concatenate([np.zeros(900), np.full(60, 0.4), np.full(40, 0.9)])
WORDS_COUNTED = CHANCE.poisson(25, 700)


def distance(histogram: Histogram, values: NDArray[np.floating]) -> float:
    """What the monitor says of a window with these values."""
    found = shares(values.astype(np.float64), histogram.edges)
    return float(population_stability_index(np.array(histogram.shares), found))


@pytest.mark.parametrize(
    "values",
    [
        CONTINUOUS,
        FEW_WORDS,
        WORDS_COUNTED,
        np.full(300, 0.001, np.float32),
        np.array([3.0]),
        np.array([1.0, 2.0]),
        np.arange(7.0),
        np.array([0.0, 0.0, 0.0, 5.0]),
        np.full(10, 1e12),
    ],
    ids=["continuous", "ties", "counts", "constant", "one", "two", "seven", "few-ties", "huge"],
)
def test_the_shares_are_whole_and_the_sample_itself_has_no_distance(
    values: NDArray[np.floating],
) -> None:
    histogram = reference_histogram(values)
    assert len(histogram.shares) == len(histogram.edges) - 1
    assert sum(histogram.shares) == pytest.approx(1)
    assert all(share > 0 for share in histogram.shares)
    assert all(low < high for low, high in pairwise(histogram.edges))
    assert histogram.edges[0] == values.min()
    assert histogram.edges[-1] > float(values.max())
    assert distance(histogram, values) == pytest.approx(0)


def test_values_without_ties_are_binned_at_equal_shares() -> None:
    histogram = reference_histogram(CONTINUOUS)
    assert histogram.shares == pytest.approx([0.1] * 10)


@pytest.mark.parametrize(("rows", "bins"), [(20, 2), (200, 4), (499, 9), (5000, 10)])
def test_fewer_values_make_fewer_bins(rows: int, bins: int) -> None:
    assert len(reference_histogram(np.linspace(0, 1, rows)).shares) == bins


def test_a_constant_is_one_bin() -> None:
    assert reference_histogram([0.25] * 80).shares == (1.0,)


def test_ties_fall_into_one_bin() -> None:
    tied = np.concatenate([np.linspace(0, 0.4, 300), np.full(400, 0.5), np.linspace(0.6, 1, 300)])
    histogram = reference_histogram(tied)
    assert max(histogram.shares) == pytest.approx(0.4)
    assert len(histogram.shares) < 10


@pytest.mark.parametrize("off", [-1e-7, 1e-7])
def test_the_last_digit_of_a_probability_that_many_texts_share_is_no_drift(off: float) -> None:
    tied = np.concatenate([np.linspace(0, 0.4, 300), np.full(400, 0.5), np.linspace(0.6, 1, 300)])
    assert distance(reference_histogram(tied), tied + off) < 0.01


def test_another_distribution_has_a_distance() -> None:
    assert distance(reference_histogram(CONTINUOUS), CONTINUOUS + 0.1) > 0.25


def test_the_reference_of_a_model_holds_what_the_monitor_watches() -> None:
    labels = ("Comedy", "Crime", "Horror")
    texts = ["word " * length for length in CHANCE.integers(1, 60, 500)]
    probabilities = CHANCE.random((500, 3)).astype(np.float32)
    probabilities[:, 1] = 0.001  # a genre that the model can't tell
    reference = build_reference(texts, probabilities, labels)
    assert set(reference) == {
        "text_words",
        "confidence",
        "genre:Comedy",
        "genre:Crime",
        "genre:Horror",
    }
    served = [Served(text, {}) for text in texts]
    thresholds = dict.fromkeys(reference, 0.1)
    steady = measure_drift(values_of(served, probabilities, labels), reference, thresholds)
    assert max(steady.scores.values()) == pytest.approx(0)
    longer = [Served(one.text + " and then" * 40, {}) for one in served]
    moved = measure_drift(values_of(longer, probabilities, labels), reference, thresholds)
    assert moved.drifted == ("text_words",)


def test_a_reference_survives_its_manifest() -> None:
    histogram = reference_histogram(CONTINUOUS.astype(np.float32))
    assert Histogram.model_validate_json(histogram.model_dump_json()) == histogram
