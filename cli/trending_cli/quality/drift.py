"""How far two samples of a feature lie apart, and how far they would by chance. Pure.

Numbers are compared by the population stability index over the deciles of the reference, the sum of
(a - e) ln(a / e): the divergence of Jeffreys, "An invariant form for the prior probability in
estimation problems", 1946; by custom 0.1 is notable and 0.25 a shift. Categories are compared by
the Jensen-Shannon divergence in bits, 0 to 1: Lin, "Divergence measures based on the Shannon
entropy", 1991. Of samples of sizes n and m that come from one distribution over k bins, the index
is about (1/n + 1/m) times a chi-squared variable with k - 1 degrees of freedom: Yurdakul,
"Statistical properties of population stability index", 2018. For small changes Jensen-Shannon in
nats is an eighth of it.
"""

import math
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

BINS = 10
CATEGORIES = 20  # the most frequent of both samples; all others are one more
_Z99 = 2.3263  # the normal deviate that one in a hundred exceeds

Shares = NDArray[np.float64]
Measure = Callable[[Shares, Shares], float]


@dataclass(frozen=True, slots=True)
class Distance:
    """A divergence, and what 99 of 100 samples of these sizes stay below if nothing changed."""

    score: float
    chance: float


def compare_numbers(reference: Sequence[float], current: Sequence[float]) -> Distance:
    """The population stability index of two samples; NaN, which means missing, has its own bin."""
    expected, actual = np.asarray(reference, float), np.asarray(current, float)
    known = expected[~np.isnan(expected)]
    deciles = np.linspace(0, 1, BINS + 1)[1:-1]
    edges = np.unique(np.quantile(known, deciles)) if known.size else known

    def counts(values: NDArray[np.float64]) -> NDArray[np.int64]:
        there = values[~np.isnan(values)]
        # On the left of an edge lies what is below it or equal: a frequent value is one bin.
        places = np.searchsorted(edges, there, side="left")
        binned = np.bincount(places, minlength=len(edges) + 1)
        return np.append(binned, values.size - there.size)

    return _distance(counts(expected), counts(actual), stability_index, scale=1.0)


def compare_categories(reference: Iterable[str], current: Iterable[str]) -> Distance:
    """The Jensen-Shannon divergence of two samples, in bits."""
    expected, actual = Counter(reference), Counter(current)
    names = [name for name, _ in (expected + actual).most_common(CATEGORIES)]

    def counts(found: Counter[str]) -> NDArray[np.int64]:
        listed = [found[name] for name in names]
        return np.array([*listed, found.total() - sum(listed)])

    return _distance(counts(expected), counts(actual), jensen_shannon, scale=1 / (8 * math.log(2)))


def stability_index(expected: Shares, actual: Shares) -> float:
    """PSI of two distributions without empty bins."""
    return float(np.sum((actual - expected) * np.log(actual / expected)))


def jensen_shannon(expected: Shares, actual: Shares) -> float:
    """Jensen-Shannon divergence of two distributions without empty bins, in bits."""
    middle = (expected + actual) / 2
    halves = [np.sum(shares * np.log2(shares / middle)) for shares in (expected, actual)]
    return float(sum(halves) / 2)


def _distance(
    expected: NDArray[np.int64], actual: NDArray[np.int64], measure: Measure, *, scale: float
) -> Distance:
    used = (expected + actual) > 0
    expected, actual = expected[used], actual[used]
    n, m, bins = expected.sum(), actual.sum(), len(expected)
    chance = scale * (1 / n + 1 / m) * _chi_squared_99(bins - 1) if n and m else math.inf
    return Distance(measure(_smooth(expected), _smooth(actual)), chance)


def _smooth(counts: NDArray[np.int64]) -> Shares:
    """Shares with half a record added to each bin, so that an empty one has a logarithm."""
    smoothed: Shares = (counts + 0.5) / (counts.sum() + 0.5 * len(counts))
    return smoothed


def _chi_squared_99(freedom: int) -> float:
    """What one in a hundred chi-squared variables exceeds.

    Wilson and Hilferty, "The distribution of chi-square", 1931; off by at most 2 % from 2 degrees.
    """
    if freedom < 1:
        return 0.0
    part = 2 / (9 * freedom)
    return freedom * (1 - part + _Z99 * math.sqrt(part)) ** 3
