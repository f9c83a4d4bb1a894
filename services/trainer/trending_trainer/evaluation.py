"""How good answers are: precision, recall and F1 by genre, averaged, and by kind of title. Pure."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict

from trending_shared.genres import GENRES


class _Frozen(BaseModel):
    model_config = ConfigDict(frozen=True)


class GenreScore(_Frozen):
    """A genre's answers on some titles; a quotient without a denominator is 0."""

    precision: float
    recall: float
    f1: float
    support: int
    """Titles that are of the genre."""
    given: int
    """Titles that were said to be."""


class Score(_Frozen):
    """The answers on some titles.

    `macro_f1` is the plain mean over the genres that occur among these titles: of any other there
    is nothing to find. `micro_f1` counts all answers alike, those of absent genres too.
    """

    rows: int
    macro_f1: float
    micro_f1: float
    genres: dict[str, GenreScore]


class Evaluation(Score):
    """The answers on all titles, and on those of each kind."""

    kinds: dict[str, Score]


def evaluate(
    labels: NDArray[np.integer],
    given: NDArray[np.bool_],
    kinds: Sequence[str] | NDArray[np.object_],
) -> Evaluation:
    """Compare answers with the truth.

    Args:
        labels: (n, 16) of 0 and 1, columns as `GENRES`.
        given: (n, 16) the genres that a model gave.
        kinds: (n,) the titles' kinds.

    Raises:
        ValueError: the shapes don't fit.
    """
    truth = labels.astype(bool)
    groups = np.asarray(kinds, dtype=object)
    if truth.shape != given.shape or truth.shape != (len(groups), len(GENRES)):
        raise ValueError(f"{truth.shape} labels, {given.shape} answers, {len(groups)} kinds")
    slices = {
        str(kind): _score(truth[groups == kind], given[groups == kind])
        for kind in sorted(set(groups))
    }
    return Evaluation(**dict(_score(truth, given)), kinds=slices)


def frequent_genre_baseline(
    train_labels: NDArray[np.integer], test_labels: NDArray[np.integer]
) -> float:
    """Macro-F1 on test of always answering the genre that is most frequent in train.

    Shapes: (n, 16) and (m, 16), columns as `GENRES`.
    """
    given = np.zeros(test_labels.shape, bool)
    given[:, int(train_labels.sum(axis=0).argmax())] = True
    return _score(test_labels.astype(bool), given).macro_f1


def _score(truth: NDArray[np.bool_], given: NDArray[np.bool_]) -> Score:
    hits = (truth & given).sum(axis=0)
    support, answers = truth.sum(axis=0), given.sum(axis=0)
    genres = {
        genre: GenreScore(
            precision=_ratio(hits[index], answers[index]),
            recall=_ratio(hits[index], support[index]),
            f1=_ratio(2 * hits[index], support[index] + answers[index]),
            support=int(support[index]),
            given=int(answers[index]),
        )
        for index, genre in enumerate(GENRES)
    }
    found = [score.f1 for score in genres.values() if score.support]
    return Score(
        rows=len(truth),
        macro_f1=_ratio(sum(found), len(found)),
        micro_f1=_ratio(2 * hits.sum(), support.sum() + answers.sum()),
        genres=genres,
    )


def _ratio(part: float, whole: float) -> float:
    return float(part / whole) if whole else 0.0
