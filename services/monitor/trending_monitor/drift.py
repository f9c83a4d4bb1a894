"""How far a window of predictions lies from the distribution a model was tested on. Pure.

Two samples of one distribution differ too, the more the smaller they are, so how far is too far
depends on their sizes: see `calibrate_thresholds`.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from trending_shared.registry import Histogram

_FLOOR = 1e-4  # share given to an empty bin, so that its logarithm stays finite
_DRAWS = 20_000  # of these, some ten lie above a threshold that one in two thousand may pass


@dataclass(frozen=True, slots=True)
class Served:
    """What drift is measured on: one prediction's text and probabilities."""

    text: str
    probabilities: Mapping[str, float]


@dataclass(frozen=True, slots=True)
class DriftReport:
    """Scores by feature, from which score on one drifted, and which did."""

    scores: dict[str, float]
    thresholds: dict[str, float]
    drifted: tuple[str, ...]


def population_stability_index(
    expected: NDArray[np.float64], actual: NDArray[np.float64]
) -> NDArray[np.float64]:
    """PSI of two distributions over the same bins: the sum of (a - e) ln(a / e), >= 0.

    It is the symmetrised Kullback-Leibler divergence (Jeffreys, "An invariant form for the prior
    probability in estimation problems", 1946).

    Args:
        expected: shares of the reference, one a bin, summing to 1: (k,), or any number of such.
        actual: shares of the window, likewise.

    Raises:
        ValueError: the two have different numbers of bins.
    """
    if expected.shape[-1] != actual.shape[-1]:
        raise ValueError(f"{expected.shape[-1]} bins and {actual.shape[-1]}")
    low, high = np.maximum(expected, _FLOOR), np.maximum(actual, _FLOOR)
    return np.asarray(((high - low) * np.log(high / low)).sum(axis=-1))


def shares(values: NDArray[np.float64], edges: Sequence[float]) -> NDArray[np.float64]:
    """The share of values in each bin [edges[i], edges[i+1]); outer bins take what lies beyond."""
    index = np.searchsorted(np.asarray(edges[1:-1]), values, side="right")
    return np.bincount(index, minlength=len(edges) - 1) / len(values)


def calibrate_thresholds(
    reference: Mapping[str, Histogram], *, rows: int, size: int, false_alarms: float
) -> dict[str, float]:
    """By feature, the score that windows of the reference's own distribution hardly ever reach.

    Reference and window are drawn anew from the reference's shares, each at its size, and their
    distance is noted: the parametric bootstrap (Efron, Tibshirani, "An introduction to the
    bootstrap", 1993). For large samples it is (1 / rows + 1 / size) times a chi-square variable
    (Yurdakul, Naranjo, "Statistical properties of the population stability index", Journal of Risk
    Model Validation 14, 2020). The features share the chance of a false alarm evenly (Bonferroni),
    which holds whatever they have to do with each other. The same every time.

    Args:
        rows: of the reference.
        size: of a window.
        false_alarms: of windows without drift, the share in which any feature may seem to drift.
    """
    random = np.random.default_rng(0)
    level = 1 - false_alarms / max(len(reference), 1)
    thresholds = {}
    for feature, histogram in sorted(reference.items()):
        drawn = (
            random.multinomial(count, _whole(histogram.shares), _DRAWS) / count
            for count in (rows, size)
        )
        thresholds[feature] = float(np.quantile(population_stability_index(*drawn), level))
    return thresholds


def values_of(
    served: Sequence[Served], probabilities: NDArray[np.floating], labels: Sequence[str]
) -> dict[str, NDArray[np.float64]]:
    """What is monitored of n predictions, by feature, each (n,).

    `text_words` is the number of words; `confidence` the highest probability; `genre:<name>` the
    probability of that genre.

    Args:
        probabilities: (n, len(labels)), those of `served`.
    """
    columns = probabilities.astype(np.float64)
    return {
        "text_words": np.array([len(one.text.split()) for one in served], np.float64),
        "confidence": columns.max(axis=1, initial=0.0),
        **{f"genre:{label}": columns[:, g] for g, label in enumerate(labels)},
    }


def measure_drift(
    values: Mapping[str, NDArray[np.float64]],
    reference: Mapping[str, Histogram],
    thresholds: Mapping[str, float],
) -> DriftReport:
    """PSI of every feature of the reference over a window of predictions.

    Args:
        values: by feature, as from `values_of`.
        thresholds: likewise, as from `calibrate_thresholds`.

    Raises:
        KeyError: the reference has a feature that isn't monitored.
        ValueError: the window is empty.
    """
    if any(not len(values[feature]) for feature in reference):
        raise ValueError("a window without predictions has no distribution")
    scores = {
        feature: float(
            population_stability_index(
                np.asarray(histogram.shares), shares(values[feature], histogram.edges)
            )
        )
        for feature, histogram in sorted(reference.items())
    }
    # A feature of one value only has the threshold 0, and its like has the score 0.
    drifted = tuple(feature for feature, score in scores.items() if score > thresholds[feature])
    return DriftReport(scores, dict(thresholds), drifted)


def _whole(parts: Sequence[float]) -> NDArray[np.float64]:
    """Shares that sum to one but for the last digit, as NumPy wants them."""
    array = np.asarray(parts, np.float64)
    return np.asarray(array / array.sum())
