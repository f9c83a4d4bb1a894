"""How good a genre model's answers are, how sure that is, and whether another's are better. Pure.

Every function takes labels of 1 (is of the genre), 0 (isn't) and `UNKNOWN`: where the source can't
say. What is unknown counts nowhere, neither for nor against an answer.

Intervals are percentile bootstrap intervals over titles (Efron, Tibshirani, "An introduction to the
bootstrap", 1993). Two models are compared on the same resamples (the paired bootstrap; Koehn,
"Statistical significance tests for machine translation evaluation", EMNLP 2004): what makes a
resample hard makes it hard for both, so the difference is far surer than either score.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict

from trending_shared.genres import GENRES

UNKNOWN = -1
MIN_SLICE = 50  # titles; of fewer, one says nothing of a slice
MIN_SUPPORT = 5  # titles of a genre for it to count in a slice's mean
RESAMPLES = 1000
_CHUNK = 100  # resamples at a time, so that memory is bounded: 100 x n float32
_LEVEL = 0.95
_BINS = 10
_CONFUSIONS = 20

Slices = Mapping[str, NDArray[np.object_]]
"""By dimension (`kind`, `decade`), the value of each title: (n,) strings."""


class _Frozen(BaseModel):
    model_config = ConfigDict(frozen=True)


class Interval(_Frozen):
    """Where a value lies with 95 % confidence."""

    low: float
    high: float


class GenreScore(_Frozen):
    """A genre's answers on some titles; a quotient without a denominator is 0."""

    precision: float
    recall: float
    f1: float
    average_precision: float
    """Over all thresholds: the mean precision at each title that is of the genre."""
    support: int
    """Titles that are of the genre."""
    given: int
    """Titles that were said to be, of those where the truth is known."""
    known: int
    """Titles of which it is known whether they are."""
    f1_interval: Interval


class SliceScore(_Frozen):
    """Macro-F1 on the titles of a slice, over the genres with `MIN_SUPPORT` titles in it."""

    rows: int
    genres: int
    macro_f1: float
    interval: Interval


class Bin(_Frozen):
    """Answers of similar probability: what was said, and what was true, on average."""

    said: float
    true: float
    count: int


class Calibration(_Frozen):
    """Do probabilities mean what they say? Over all pairs of a title and a genre that are known.

    `ece` is the expected calibration error over ten bins of equal size (Naeini, Cooper,
    Hauskrecht, "Obtaining well calibrated probabilities using Bayesian binning", AAAI 2015);
    `brier` the mean squared error (Brier, "Verification of forecasts expressed in terms of
    probability", 1950).
    """

    ece: float
    brier: float
    bins: tuple[Bin, ...]


class Confusion(_Frozen):
    """How many titles were of `missed` without being told so, and were told to be of `given`."""

    missed: str
    given: str
    count: int


class Evaluation(_Frozen):
    """The answers on some titles.

    `macro_f1` and `mean_average_precision` are plain means over the genres that occur among these
    titles: of any other there is nothing to find. `micro_f1` counts all answers alike.
    """

    rows: int
    macro_f1: float
    macro_f1_interval: Interval
    micro_f1: float
    micro_f1_interval: Interval
    mean_average_precision: float
    mean_average_precision_interval: Interval
    calibration: Calibration
    genres: dict[str, GenreScore]
    confusions: tuple[Confusion, ...]
    """The most frequent, at most twenty."""
    slices: dict[str, dict[str, SliceScore]]
    """By dimension and value, those of at least `MIN_SLICE` titles."""


class Difference(_Frozen):
    """By how much one is better than another, on the same titles."""

    value: float
    interval: Interval
    better: float
    """The share of resamples in which it is."""


class SliceDifference(Difference):
    rows: int


class Comparison(_Frozen):
    """A model against another on the same titles; positive is better."""

    macro_f1: Difference
    micro_f1: Difference
    mean_average_precision: Difference
    genres: dict[str, Difference]
    """In F1."""
    slices: dict[str, dict[str, SliceDifference]]
    """In macro-F1; see `SliceScore`."""


@dataclass(frozen=True)
class Answers:
    """A model's answers beside the truth, for n titles and g genres.

    Args:
        labels: (n, g) of 1, 0 and `UNKNOWN`.
        probabilities: (n, g).
        thresholds: by genre; a genre is given from its threshold on.
        genres: the columns' names.

    Raises:
        ValueError: the shapes don't fit.
    """

    labels: NDArray[np.integer]
    probabilities: NDArray[np.floating]
    thresholds: Mapping[str, float]
    genres: tuple[str, ...] = GENRES

    def __post_init__(self) -> None:
        shapes = self.labels.shape, self.probabilities.shape
        if shapes[0] != shapes[1] or shapes[0][1:] != (len(self.genres),):
            raise ValueError(
                f"{shapes[0]} labels, {shapes[1]} probabilities, {len(self.genres)} genres"
            )

    def __len__(self) -> int:
        return len(self.labels)

    @cached_property
    def known(self) -> NDArray[np.bool_]:
        return np.asarray(self.labels != UNKNOWN)

    @cached_property
    def truth(self) -> NDArray[np.bool_]:
        return np.asarray(self.labels == 1)

    @cached_property
    def given(self) -> NDArray[np.bool_]:
        """The genres that are given, where the truth is known."""
        return decide(self.probabilities, self.thresholds, self.genres) & self.known

    @cached_property
    def counts(self) -> NDArray[np.float32]:
        """By title: hits, support and given of each genre, (n, 3 g)."""
        return np.hstack([self.truth & self.given, self.truth, self.given]).astype(np.float32)


def decide(
    probabilities: NDArray[np.floating],
    thresholds: Mapping[str, float],
    genres: Sequence[str] = GENRES,
) -> NDArray[np.bool_]:
    """Which genres are given: those at or above their thresholds, compared as the gateway does.

    Shapes: (n, g) to (n, g), columns as `genres`.
    """
    limits = np.array([thresholds[genre] for genre in genres], np.float32)
    return np.asarray(probabilities.astype(np.float32, copy=False) >= limits)


def evaluate(answers: Answers, slices: Slices, *, resamples: int = RESAMPLES) -> Evaluation:
    """Score answers, with intervals, calibration, confusions and slices; the same every time."""
    if not len(answers):
        raise ValueError("no titles to evaluate on")
    f1, macro, micro, precision = _bootstrap(answers, resamples)
    by_genre, point_macro, point_micro = _f1(answers.counts.sum(axis=0)[None])
    hits, support, given = np.split(answers.counts.sum(axis=0), 3)
    average = average_precisions(answers)
    return Evaluation(
        rows=len(answers),
        macro_f1=float(point_macro[0]),
        macro_f1_interval=_interval(macro),
        micro_f1=float(point_micro[0]),
        micro_f1_interval=_interval(micro),
        mean_average_precision=_mean(average),
        mean_average_precision_interval=_interval(precision),
        calibration=calibrate(answers),
        genres={
            genre: GenreScore(
                precision=_ratio(hits[column], given[column]),
                recall=_ratio(hits[column], support[column]),
                f1=float(np.nan_to_num(by_genre[0, column])),
                average_precision=float(np.nan_to_num(average[column])),
                support=int(support[column]),
                given=int(given[column]),
                known=int(answers.known[:, column].sum()),
                f1_interval=_interval(f1[:, column]),
            )
            for column, genre in enumerate(answers.genres)
        },
        confusions=_confusions(answers),
        slices={
            dimension: {
                value: SliceScore(
                    rows=int(rows.sum()),
                    genres=int(columns.sum()),
                    macro_f1=float(_slice_f1(answers.counts[rows].sum(axis=0)[None], columns)[0]),
                    interval=_interval(
                        np.concatenate(
                            [
                                _slice_f1(weights[:, rows] @ answers.counts[rows], columns)
                                for weights in _resample(len(answers), resamples)
                            ]
                        )
                    ),
                )
                for value, rows, columns in found
            }
            for dimension, found in _cut(answers, slices)
        },
    )


def macro_f1(answers: Answers) -> float:
    """The `macro_f1` of `evaluate`, and nothing else."""
    return float(_f1(answers.counts.sum(axis=0)[None])[1][0])


def compare(
    one: Answers, other: Answers, slices: Slices, *, resamples: int = RESAMPLES
) -> Comparison:
    """How much better `one` is than `other`.

    Raises:
        ValueError: they don't answer the same titles' genres.
    """
    _check_same_titles(one, other)
    ours, theirs = _bootstrap(one, resamples), _bootstrap(other, resamples)
    point, their_point = (_f1(answers.counts.sum(axis=0)[None]) for answers in (one, other))
    average, their_average = average_precisions(one), average_precisions(other)
    return Comparison(
        macro_f1=_difference(point[1][0] - their_point[1][0], ours[1] - theirs[1]),
        micro_f1=_difference(point[2][0] - their_point[2][0], ours[2] - theirs[2]),
        mean_average_precision=_difference(
            _mean(average) - _mean(their_average), ours[3] - theirs[3]
        ),
        genres={
            genre: _difference(
                point[0][0, column] - their_point[0][0, column],
                ours[0][:, column] - theirs[0][:, column],
            )
            for column, genre in enumerate(one.genres)
            if one.truth[:, column].any()
        },
        slices={
            dimension: {
                value: _slice_difference(one, other, rows, columns, resamples)
                for value, rows, columns in found
            }
            for dimension, found in _cut(one, slices)
        },
    )


def compare_macro_f1(one: Answers, other: Answers, *, resamples: int = RESAMPLES) -> Difference:
    """The `macro_f1` of `compare`, and nothing else; it raises as that does."""
    _check_same_titles(one, other)
    resampled = [
        _f1(weights @ one.counts)[1] - _f1(weights @ other.counts)[1]
        for weights in _resample(len(one), resamples)
    ]
    return _difference(macro_f1(one) - macro_f1(other), np.concatenate(resampled))


def average_precisions(answers: Answers) -> NDArray[np.float64]:
    """Each genre's average precision, (g,); NaN for a genre without a title."""
    return np.array(
        [
            _average_precision(ranking, np.ones((1, len(answers)), np.float32))[0]
            for ranking in _rankings(answers)
        ]
    )


def calibrate(answers: Answers) -> Calibration:
    """Compare what was said with what was true, in bins that hold equally many answers."""
    said = answers.probabilities[answers.known].astype(np.float64)
    true = answers.truth[answers.known].astype(np.float64)
    parts = np.array_split(np.argsort(said, kind="stable"), _BINS)
    bins = [
        Bin(said=float(said[part].mean()), true=float(true[part].mean()), count=len(part))
        for part in parts
        if len(part)
    ]
    return Calibration(
        ece=sum(bin.count * abs(bin.said - bin.true) for bin in bins) / max(len(said), 1),
        brier=float(np.square(said - true).mean()) if len(said) else 0.0,
        bins=tuple(bins),
    )


def _check_same_titles(one: Answers, other: Answers) -> None:
    if one.genres != other.genres or not np.array_equal(one.labels, other.labels):
        raise ValueError("the two don't answer the same titles")


# ---------------------------------------------------------------- resamples


def _resample(rows: int, count: int) -> Iterator[NDArray[np.float32]]:
    """How often each title is drawn: (at most `_CHUNK`, rows) at a time, the same every time."""
    chance = np.random.default_rng(0)
    for start in range(0, count, _CHUNK):
        size = min(_CHUNK, count - start)
        drawn = chance.integers(0, rows, (size, rows))
        yield np.stack([np.bincount(row, minlength=rows) for row in drawn]).astype(np.float32)


_Bootstrapped = tuple[NDArray[np.float64], ...]


def _bootstrap(answers: Answers, count: int) -> _Bootstrapped:
    """By resample: F1 of each genre (count, g), macro-F1, micro-F1 and mAP (count,)."""
    rankings = _rankings(answers)
    parts = []
    for weights in _resample(len(answers), count):
        average = [_average_precision(ranking, weights) for ranking in rankings]
        parts.append((*_f1(weights @ answers.counts), _row_means(np.stack(average, axis=1))))
    return tuple(np.concatenate(column) for column in zip(*parts, strict=True))


def _f1(
    counts: NDArray[np.floating],
) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.float64]]:
    """F1 by genre (b, g), NaN where no title is of the genre; macro-F1 and micro-F1 (b,)."""
    hits, support, given = np.split(counts.astype(np.float64), 3, axis=1)
    with np.errstate(invalid="ignore", divide="ignore"):
        f1 = np.where(support > 0, 2 * hits / (support + given), np.nan)
    total = support.sum(axis=1) + given.sum(axis=1)
    micro = 2 * hits.sum(axis=1) / np.maximum(total, 1)
    return f1, _row_means(f1), micro


def _slice_f1(counts: NDArray[np.floating], columns: NDArray[np.bool_]) -> NDArray[np.float64]:
    return _row_means(_f1(counts)[0][:, columns])


def _row_means(values: NDArray[np.float64]) -> NDArray[np.float64]:
    """The mean of each row's numbers; 0 where there is none."""
    there = ~np.isnan(values)
    return np.asarray(np.nansum(values, axis=1) / np.maximum(there.sum(axis=1), 1))


def _mean(values: NDArray[np.float64]) -> float:
    return float(_row_means(values[None])[0])


@dataclass(frozen=True, slots=True)
class _Ranking:
    """A genre's known titles, most probable first; ties end where `last` says."""

    order: NDArray[np.intp]
    true: NDArray[np.float32]
    last: NDArray[np.intp]


def _rankings(answers: Answers) -> list[_Ranking]:
    rankings = []
    for column in range(len(answers.genres)):
        known = np.flatnonzero(answers.known[:, column])
        scores = answers.probabilities[known, column]
        ranked = np.argsort(-scores, kind="stable")
        # Among equals none comes first: precision is taken behind the last of them.
        last = np.searchsorted(-scores[ranked], -scores[ranked], side="right") - 1
        true = answers.truth[known, column][ranked].astype(np.float32)
        rankings.append(_Ranking(known[ranked], true, last))
    return rankings


def _average_precision(ranking: _Ranking, weights: NDArray[np.float32]) -> NDArray[np.float64]:
    """Of one genre in each resample: (b, n) weights to (b,); NaN without a title of the genre."""
    drawn = weights[:, ranking.order]
    found = drawn * ranking.true
    with np.errstate(invalid="ignore", divide="ignore"):
        precision = np.cumsum(found, axis=1) / np.cumsum(drawn, axis=1)
        precision = np.nan_to_num(precision)[:, ranking.last]
        return np.asarray((found * precision).sum(axis=1) / found.sum(axis=1), np.float64)


def _interval(values: NDArray[np.float64]) -> Interval:
    there = values[~np.isnan(values)]
    if not len(there):
        return Interval(low=0.0, high=0.0)
    tail = (1 - _LEVEL) / 2
    low, high = np.quantile(there, [tail, 1 - tail])
    return Interval(low=float(low), high=float(high))


def _difference(value: float, resampled: NDArray[np.float64]) -> Difference:
    return Difference(
        value=float(np.nan_to_num(value)),
        interval=_interval(resampled),
        better=float((resampled > 0).mean()),
    )


# ---------------------------------------------------------------- slices and confusions

_Slice = tuple[str, NDArray[np.bool_], NDArray[np.bool_]]


def _cut(answers: Answers, slices: Slices) -> Iterator[tuple[str, list[_Slice]]]:
    """By dimension: the values of enough titles, their rows, and the genres that count there."""
    for dimension, values in slices.items():
        if len(values) != len(answers):
            raise ValueError(f"{len(values)} values of {dimension} for {len(answers)} titles")
        found = []
        for value in sorted(set(values)):
            rows = np.asarray(values == value)
            columns = answers.truth[rows].sum(axis=0) >= MIN_SUPPORT
            if rows.sum() >= MIN_SLICE and columns.any():
                found.append((str(value), rows, columns))
        yield dimension, found


def _slice_difference(
    one: Answers,
    other: Answers,
    rows: NDArray[np.bool_],
    columns: NDArray[np.bool_],
    resamples: int,
) -> SliceDifference:
    def f1(answers: Answers, weights: NDArray[np.float32]) -> NDArray[np.float64]:
        return _slice_f1(weights @ answers.counts[rows], columns)

    everyone = np.ones((1, int(rows.sum())), np.float32)
    resampled = [
        f1(one, weights[:, rows]) - f1(other, weights[:, rows])
        for weights in _resample(len(one), resamples)
    ]
    difference = _difference(
        float(f1(one, everyone)[0] - f1(other, everyone)[0]), np.concatenate(resampled)
    )
    return SliceDifference(**dict(difference), rows=int(rows.sum()))


def _confusions(answers: Answers) -> tuple[Confusion, ...]:
    missed = answers.truth & ~answers.given
    wrong = answers.given & ~answers.truth
    counts = missed.T.astype(np.int64) @ wrong.astype(np.int64)
    order = np.argsort(-counts, axis=None, kind="stable")[:_CONFUSIONS]
    pairs = zip(*np.unravel_index(order, counts.shape), strict=True)
    return tuple(
        Confusion(
            missed=answers.genres[row], given=answers.genres[column], count=int(counts[row, column])
        )
        for row, column in pairs
        if counts[row, column]
    )


def _ratio(part: float, whole: float) -> float:
    return float(part / whole) if whole else 0.0
