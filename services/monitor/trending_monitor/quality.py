"""How good answers are before anybody has said what is true. Pure.

Confidence-based performance estimation (NannyML's CBPE; Kivimäki, Białek, Nurminen, Kuberski,
"Confidence-based estimators for predictive performance in model monitoring", JAIR 82, 2025): if
probabilities mean what they say, the labels of a window are draws whose chances are known, and the
hits and misses of each genre are sums of such draws.

Two things are added, without which intervals don't cover:

- Probabilities are first corrected by a line in log-odds (Cox, "Two further applications of a model
  for binary regression", Biometrika 45, 1958), which is learned from the model's answers to titles
  that it hasn't seen. How surely the line is known is part of the interval.
- A genre of few titles has few hits: counts are drawn with their skewness (Volkova, "A refinement
  of the central limit theorem for sums of independent random indicators", Theory of Probability
  and its Applications 40, 1996).

That the genres of one title aren't independent, even where their probabilities are known, is left
out: it changed neither width nor coverage of the mean's interval.

What an estimate can't see is a world in which the same words mean another genre (concept shift):
the model is as sure as before. Labels show that; see `measure`.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict

from trending_shared.evaluation import Answers, Interval

MIN_REFERENCE = 50  # titles; of fewer, nothing is learned of how a model's probabilities err
_DRAWS = 1000
_TAIL = 0.025
# Before anything was seen: how far a level may be off in log-odds, and a slope. Models come
# calibrated; a reference of a thousand titles outweighs this for all but the rarest genres.
_PRIOR = np.diag([1 / 2.0**2, 1 / 1.0**2])
_FLOOR = 1e-6
_STEPS = 25  # Newton's; five are usual


class _Frozen(BaseModel):
    model_config = ConfigDict(frozen=True)


class F1(_Frozen):
    """A value, and where it lies with 95 % confidence."""

    value: float
    interval: Interval

    def __contains__(self, value: float) -> bool:
        return self.interval.low <= value <= self.interval.high


class GenreQuality(_Frozen):
    """Of a genre: how many titles were rightly, wrongly and not said to be of it.

    Expected numbers in an estimate; `f1` is none where no title is of the genre, or surely none.
    """

    hits: float
    false_alarms: float
    misses: float
    f1: F1 | None


class Quality(_Frozen):
    """F1 over some predictions, estimated or measured."""

    predictions: int
    macro_f1: F1
    """The mean over the genres that occur among these predictions."""
    genres: dict[str, GenreQuality]


@dataclass(frozen=True, slots=True)
class Reliability:
    """How far a model's probabilities of g genres mean what they say.

    The log-odds of a genre are `line[0] + line[1] * (said - centre)`.
    """

    genres: tuple[str, ...]
    centre: NDArray[np.float64]
    """(g,)"""
    line: NDArray[np.float64]
    """(g, 2)"""
    root: NDArray[np.float64]
    """(g, 2, 2), of the line's covariance: its lower Cholesky factor."""


def learn_reliability(answers: Answers) -> Reliability:
    """What answers to titles that a model hasn't learned from tell of its probabilities.

    Raises:
        ValueError: there are fewer than `MIN_REFERENCE`.
    """
    if len(answers) < MIN_REFERENCE:
        raise ValueError(f"{len(answers)} answers are too few; {MIN_REFERENCE} are needed")
    said = _log_odds(answers.probabilities)
    # Where a label is least certain, so that level and slope tell different things.
    weights = answers.known * _variance(_expit(said)) + _FLOOR**2
    centre = (said * weights).sum(axis=0) / weights.sum(axis=0)
    fits = [
        _fit(said[known, g] - centre[g], answers.truth[known, g].astype(np.float64), centre[g])
        for g, known in enumerate(answers.known.T)
    ]
    lines, roots = zip(*fits, strict=True)
    return Reliability(answers.genres, centre, np.stack(lines), np.stack(roots))


def estimate(
    probabilities: NDArray[np.floating],
    given: NDArray[np.bool_],
    reliability: Reliability,
    known: NDArray[np.bool_] | None = None,
) -> Quality:
    """F1 of some predictions from their probabilities alone; the same every time.

    Args:
        probabilities: (n, g), columns as `reliability.genres`.
        given: (n, g), which genres the model gave.
        known: (n, g), the pairs to count; all, if not given.

    Raises:
        ValueError: there are no predictions.
    """
    if not len(probabilities):
        raise ValueError("no predictions to judge")
    counted = np.ones(given.shape, bool) if known is None else known
    said = _log_odds(probabilities) - reliability.centre
    chances = _expit(reliability.line[:, 0] + reliability.line[:, 1] * said)
    random = np.random.default_rng(0)
    off = np.einsum(
        "gij,bgj->bgi",
        reliability.root,
        random.standard_normal((_DRAWS, len(reliability.genres), 2)),
    )
    hits = _draw(chances, said, given & counted, off, random)
    misses = _draw(chances, said, ~given & counted, off, random)
    numbers = (given & counted).sum(axis=0)
    expected = (chances * (given & counted)).sum(axis=0), (chances * (~given & counted)).sum(axis=0)
    f1 = _f1(hits, misses, numbers)
    occurring = (~np.isnan(f1)).sum(axis=0)
    point = np.where(occurring, np.nansum(f1, axis=0) / np.maximum(occurring, 1), np.nan)
    macro = _mean(f1)
    return Quality(
        predictions=len(given),
        macro_f1=F1(value=float(macro.mean()), interval=_interval(macro)),
        genres=_by_genre(reliability.genres, (*expected, numbers), point, f1),
    )


def measure(answers: Answers, *, draws: int = _DRAWS) -> Quality:
    """F1 of answers whose truth is known; its interval is a bootstrap over titles.

    It covers what the F1 of many such titles would be. Efron, "Bootstrap methods: another look at
    the jackknife", Annals of Statistics 7, 1979.

    Raises:
        ValueError: there are none.
    """
    if not len(answers):
        raise ValueError("no predictions to judge")
    hits, support, given = np.split(answers.counts.sum(axis=0).astype(np.float64), 3)
    weights = np.random.default_rng(0).multinomial(
        len(answers), np.full(len(answers), 1 / len(answers)), draws
    )
    drawn = np.split(weights.astype(np.float32) @ answers.counts, 3, axis=1)
    f1 = _f1(drawn[0], drawn[1] - drawn[0], drawn[2])
    point = _f1(hits[None], (support - hits)[None], given[None])
    macro = F1(value=float(_mean(point)[0]), interval=_interval(_mean(f1)))
    counts = hits, support - hits, given
    return Quality(
        predictions=len(answers),
        macro_f1=macro,
        genres=_by_genre(answers.genres, counts, point[0], f1),
    )


_Numbers = NDArray[np.floating] | NDArray[np.integer]


def _by_genre(
    genres: Sequence[str],
    counts: tuple[_Numbers, _Numbers, _Numbers],
    point: NDArray[np.float64],
    draws: NDArray[np.float64],
) -> dict[str, GenreQuality]:
    """Args: hits, misses and given, each (g,); F1 (g,), and by draw (b, g)."""
    hits, misses, given = counts
    return {
        genre: GenreQuality(
            hits=float(hits[g]),
            false_alarms=float(given[g] - hits[g]),
            misses=float(misses[g]),
            f1=None
            if np.isnan(point[g])
            else F1(value=float(point[g]), interval=_interval(draws[:, g])),
        )
        for g, genre in enumerate(genres)
    }


def _fit(
    said: NDArray[np.float64], true: NDArray[np.float64], centre: float
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """The line that makes probabilities of log-odds, and the root of its covariance (Laplace's).

    The prior says that they are right already: the line `centre + 1 * said`.
    """
    columns = np.stack([np.ones_like(said), said], axis=1)
    expected = np.array([centre, 1.0])
    line = expected
    for _ in range(_STEPS):
        chances = _expit(columns @ line)
        precision = (columns.T * _variance(chances)) @ columns + _PRIOR
        slope = columns.T @ (true - chances) - _PRIOR @ (line - expected)
        step = np.linalg.solve(precision, slope)
        line = line + step / max(1.0, float(np.abs(step).max()))
        if np.abs(step).max() < _FLOOR:
            break
    return line, np.linalg.cholesky(np.linalg.inv(precision))


def _draw(
    chances: NDArray[np.float64],
    said: NDArray[np.float64],
    of: NDArray[np.bool_],
    off: NDArray[np.float64],
    random: np.random.Generator,
) -> NDArray[np.float64]:
    """How many of the pairs `of` are true, by draw and genre: (b, g).

    Args:
        off: (b, g, 2), how far the line is off.
    """
    chances = chances * of
    variances = _variance(chances)
    deviation = np.sqrt(variances.sum(axis=0)) + _FLOOR
    skew = (variances * (1 - 2 * chances)).sum(axis=0) / deviation**3
    normal = random.standard_normal(off.shape[:2])
    normal += (normal**2 - 1) * np.clip(skew, -1, 1) / 6  # beyond, quantiles would change order
    slopes = np.stack([variances.sum(axis=0), (variances * said).sum(axis=0)], axis=1)
    moved = chances.sum(axis=0) + (off * slopes).sum(axis=2)
    return np.asarray(np.clip(np.rint(moved + deviation * normal), 0, of.sum(axis=0)))


def _f1(hits: _Numbers, misses: _Numbers, given: _Numbers) -> NDArray[np.float64]:
    """(b, g); NaN where no title is of the genre."""
    support = hits + misses
    with np.errstate(invalid="ignore"):
        found = np.where(support > 0, 2 * hits / (given + support), np.nan)
    return np.asarray(found, np.float64)


def _mean(f1: NDArray[np.float64]) -> NDArray[np.float64]:
    there = ~np.isnan(f1)
    return np.asarray(np.nansum(f1, axis=1) / np.maximum(there.sum(axis=1), 1))


def _interval(draws: NDArray[np.float64]) -> Interval:
    there = np.sort(draws[~np.isnan(draws)])
    if not len(there):
        return Interval(low=0.0, high=1.0)
    last = len(there) - 1
    low, high = there[int(_TAIL * last)], there[last - int(_TAIL * last)]
    return Interval(low=float(low), high=float(high))


def _variance(chances: NDArray[np.float64]) -> NDArray[np.float64]:
    return np.asarray(chances * (1 - chances))


def _log_odds(probabilities: NDArray[np.floating]) -> NDArray[np.float64]:
    clipped = np.clip(probabilities.astype(np.float64), _FLOOR, 1 - _FLOOR)
    return np.asarray(np.log(clipped / (1 - clipped)))


def _expit(odds: NDArray[np.float64]) -> NDArray[np.float64]:
    return np.asarray(1 / (1 + np.exp(-odds)))
