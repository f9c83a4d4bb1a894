"""How far a window of predictions lies from the distribution a model was tested on. Pure."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from trending_shared.registry import Histogram

_FLOOR = 1e-4  # share given to an empty bin, so that its logarithm stays finite


@dataclass(frozen=True, slots=True)
class Served:
    """What drift is measured on: one prediction's text and probabilities."""

    text: str
    probabilities: Mapping[str, float]


@dataclass(frozen=True, slots=True)
class DriftReport:
    """Scores by feature, and which of them are at or above the threshold."""

    scores: dict[str, float]
    drifted: tuple[str, ...]


def population_stability_index(expected: Sequence[float], actual: Sequence[float]) -> float:
    """PSI of two distributions over the same bins: the sum of (a - e) ln(a / e), >= 0.

    It is the symmetrised Kullback-Leibler divergence (Jeffreys, "An invariant form for the prior
    probability in estimation problems", 1946). By convention 0.1 is notable and 0.25 a shift.

    Args:
        expected: shares of the reference, one a bin, summing to 1.
        actual: shares of the window, likewise.

    Raises:
        ValueError: the two have different numbers of bins.
    """
    total = 0.0
    for e, a in zip(expected, actual, strict=True):
        low, high = max(e, _FLOOR), max(a, _FLOOR)
        total += (high - low) * math.log(high / low)
    return total


def shares(values: Sequence[float], edges: Sequence[float]) -> list[float]:
    """The share of values in each bin [edges[i], edges[i+1]); outer bins take what lies beyond."""
    counts = [0] * (len(edges) - 1)
    for value in values:
        index = sum(1 for edge in edges[1:-1] if value >= edge)
        counts[index] += 1
    return [count / len(values) for count in counts]


def feature_values(predictions: Sequence[Served], feature: str) -> list[float]:
    """The values of one monitored feature.

    `text_words` is the number of words; `confidence` the highest probability; `genre:<name>` the
    probability of that genre.

    Raises:
        KeyError: the feature is none of these.
    """
    if feature == "text_words":
        return [float(len(prediction.text.split())) for prediction in predictions]
    if feature == "confidence":
        return [max(prediction.probabilities.values()) for prediction in predictions]
    kind, _, genre = feature.partition(":")
    if kind != "genre":
        raise KeyError(feature)
    return [prediction.probabilities[genre] for prediction in predictions]


def measure_drift(
    predictions: Sequence[Served], reference: Mapping[str, Histogram], *, threshold: float
) -> DriftReport:
    """PSI of every feature of the reference over a window of predictions.

    Raises:
        ValueError: the window is empty.
    """
    if not predictions:
        raise ValueError("a window without predictions has no distribution")
    scores = {
        feature: population_stability_index(
            histogram.shares, shares(feature_values(predictions, feature), histogram.edges)
        )
        for feature, histogram in sorted(reference.items())
    }
    drifted = tuple(feature for feature, score in scores.items() if score >= threshold)
    return DriftReport(scores=scores, drifted=drifted)
