"""The distribution that drift is later measured against: a histogram of each monitored feature."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from trending_shared.registry import Histogram


def reference_histogram(values: Sequence[float] | NDArray[np.floating]) -> Histogram:
    """Bin values at their own quantiles.

    Equal shares make the population stability index as sensitive in every bin; the fewer values,
    the fewer bins, because its noise grows with bins / values. Ties merge bins. Edges lie halfway
    between two values: on one that many texts share, the last digit of a probability, which may
    differ from machine to machine, would look like drift.

    Args:
        values: (n,) at least one.
    """
    array = np.asarray(values, dtype=np.float64)
    bins = int(np.clip(len(array) // 50, 2, 10))
    distinct = np.unique(array)
    above = np.searchsorted(distinct, np.quantile(array, np.linspace(0, 1, bins + 1)[1:-1]))
    above = np.unique(above[above > 0])
    inner = (distinct[above - 1] + distinct[above]) / 2
    high = np.nextafter(distinct[-1], np.inf)
    edges = tuple(float(edge) for edge in (distinct[0], *inner, high))
    index = np.searchsorted(inner, array, side="right")
    shares = np.bincount(index, minlength=len(edges) - 1) / len(array)
    return Histogram(edges=edges, shares=tuple(float(share) for share in shares))


def build_reference(
    texts: Sequence[str], probabilities: NDArray[np.float32], labels: Sequence[str]
) -> dict[str, Histogram]:
    """Histograms of what the monitor watches.

    Args:
        texts: n texts that the model didn't train on.
        probabilities: (n, len(labels)) what it said of them.

    Returns:
        `text_words`, `confidence` and `genre:<label>`, each with its histogram.
    """
    reference = {
        "text_words": reference_histogram([len(text.split()) for text in texts]),
        "confidence": reference_histogram(probabilities.max(axis=1)),
    }
    for column, label in enumerate(labels):
        reference[f"genre:{label}"] = reference_histogram(probabilities[:, column])
    return reference
