"""From titles to a model whose probabilities can be trusted: fit, judge out of fold, calibrate.

Each title outside the test split is judged by a model that didn't see it, nor any title of its
name. From these out-of-fold answers come the calibration, the thresholds, the choice among models
and their weights in a blend, so no title has to be set aside for them, which decides for catalogues
of a few hundred titles; and nothing is ever chosen by the test split.
"""

import io
import json
import resource
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import minimize
from scipy.special import expit, log_expit, logit

from trending_shared.errors import Rejected
from trending_shared.evaluation import UNKNOWN, Answers
from trending_shared.genres import GENRES
from trending_trainer.exporting import Calibration
from trending_trainer.training_set import FOLDS, TrainingSet
from trending_trainer.words import UNTRAINED_PROBABILITY, Params, learnable

UNTRAINED_THRESHOLD = 0.5
_HIGHEST = 12.0  # log-odds beyond which nobody's probability means anything


class TooFewTitles(Rejected):
    """A dataset holds too few labelled titles to fit anything."""


class Model(Protocol):
    """A fitted model."""

    def log_odds(self, texts: Sequence[str] | NDArray[np.object_]) -> NDArray[np.float32]: ...


class Workspace(Protocol):
    """Where a run keeps what it needn't do again if it is killed; names are paths."""

    def load(self, name: str) -> bytes | None: ...

    def save(self, name: str, content: bytes) -> None: ...


Fit = Callable[[TrainingSet, Params, TrainingSet | None, str], Model]
"""Titles, parameters, titles to stop early by if any, and where in the workspace to go on from."""


@dataclass(frozen=True, slots=True)
class Family:
    """A way to make a model.

    Args:
        defaults: its parameters where nobody has tuned them.
        export: a fitted model as a part (see `exporting`), and its `tokenizer.json` if it reads
            tokens; none for a baseline, which is measured and never registered.
        folds: parts that take turns at being judged; a divisor of `FOLDS`.
        settle: parameters for the last fit, from those of the folds' models.
    """

    name: str
    fit: Fit
    defaults: Params
    export: Callable[[Any], tuple[bytes, bytes | None]] | None
    folds: int = FOLDS
    settle: Callable[[Params, Sequence[Any]], Params] = lambda params, models: params


@dataclass(frozen=True, slots=True)
class Fitted:
    """What came of fitting a family: all that is needed to register, blend and judge it.

    `judged` and `native` are log-odds of the trained model itself, (n, 16): of the titles it may
    learn from, each by a model that didn't see it, and of the test split's.
    """

    family: str
    params: dict[str, Any]
    judged: NDArray[np.float32]
    native: NDArray[np.float32]
    part: bytes
    tokenizer: bytes | None
    seconds: float
    peak_bytes: int
    """Of the process so far; of this family's own if it was the hungriest yet."""

    def to_bytes(self) -> bytes:
        """All of it as one file; NumPy's own format, without pickles."""
        buffer = io.BytesIO()
        told = {name: getattr(self, name) for name in ("family", "params", "seconds", "peak_bytes")}
        np.savez(
            buffer,
            allow_pickle=False,
            judged=self.judged,
            native=self.native,
            part=np.frombuffer(self.part, np.uint8),
            tokenizer=np.frombuffer(self.tokenizer or b"", np.uint8),
            told=np.frombuffer(json.dumps(told).encode(), np.uint8),
        )
        return buffer.getvalue()

    @classmethod
    def from_bytes(cls, content: bytes) -> "Fitted":
        with np.load(io.BytesIO(content), allow_pickle=False) as held:
            return cls(
                **json.loads(held["told"].tobytes()),
                judged=held["judged"],
                native=held["native"],
                part=held["part"].tobytes(),
                tokenizer=held["tokenizer"].tobytes() or None,
            )


def fit_family(
    family: Family,
    titles: TrainingSet,
    workspace: Workspace,
    params: Params | None = None,
    *,
    tell: Callable[[int, int], None] = lambda fold, of: None,
) -> Fitted:
    """Fit a family, out of fold and on everything; what a killed run had done isn't done again.

    Args:
        params: those that differ from the family's own.
        tell: called with each fold that was judged, from 1 on, and how many there are.

    Raises:
        TooFewTitles: no genre can be learned, or a fold would be empty.
    """
    if done := workspace.load(f"{family.name}/fitted.npz"):
        return Fitted.from_bytes(done)
    started = time.monotonic()
    params = {**family.defaults, **(params or {})}
    seen, unseen = titles.seen, titles.unseen
    judged = np.empty(seen.labels.shape, np.float32)
    models = []
    for rows, said, model in judge_folds(family, seen, params, workspace):
        judged[rows] = said
        models.append(model)
        tell(len(models), family.folds)
    settled = dict(family.settle(params, models))
    del models
    model = family.fit(seen, settled, None, f"{family.name}/all")
    part, tokenizer = family.export(model) if family.export else (b"", None)
    fitted = Fitted(
        family=family.name,
        params=settled,
        judged=judged,
        native=model.log_odds(unseen.texts),
        part=part,
        tokenizer=tokenizer,
        seconds=time.monotonic() - started,
        peak_bytes=resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024,
    )
    workspace.save(f"{family.name}/fitted.npz", fitted.to_bytes())
    return fitted


def judge_folds(
    family: Family, seen: TrainingSet, params: Params, workspace: Workspace
) -> Iterator[tuple[NDArray[np.bool_], NDArray[np.float32], Model]]:
    """Fold by fold, which titles are of it, what a model that didn't see them says, and that model.

    Args:
        seen: n titles that may be learned from.
        params: all that the family takes.

    Yields:
        Rows (n,), the log-odds of those, (rows, 16), and the model.

    Raises:
        TooFewTitles: no genre can be learned, or a fold would be empty.
    """
    folds = seen.folds % family.folds
    if not learnable(seen.labels).any() or len(set(folds)) < family.folds:
        raise TooFewTitles(
            f"{len(seen)} titles, of {family.folds} folds {len(set(folds))} with any, hold no "
            "genre that can be learned"
        )
    for fold in range(family.folds):
        rows = folds == fold
        model = family.fit(
            seen.where(~rows), params, seen.where(rows), f"{family.name}/fold-{fold}"
        )
        yield rows, model.log_odds(seen.texts[rows]), model


def calibrate(labels: NDArray[np.int8], judged: NDArray[np.float32]) -> Calibration:
    """Platt's scaling: a slope and an offset a genre that make its log-odds probabilities.

    Platt, "Probabilistic outputs for support vector machines", 1999, with his targets, which keep
    genres of few titles from certainty. A genre that can't be learned has its constant.

    Args:
        labels: (n, 16) of 1, 0 and `UNKNOWN`.
        judged: (n, 16) log-odds by models that didn't see the titles.
    """
    slopes = np.zeros(len(GENRES), np.float32)
    offsets = np.full(len(GENRES), logit(UNTRAINED_PROBABILITY), np.float32)
    for index in np.flatnonzero(learnable(labels)):
        known = labels[:, index] != UNKNOWN
        said, true = judged[known, index].astype(np.float64), labels[known, index]
        positives = int(true.sum())
        low, high = 1 / (len(true) - positives + 2), (positives + 1) / (positives + 2)
        target = np.where(true == 1, high, low)

        def loss(
            line: NDArray[np.float64],
            said: NDArray[np.float64] = said,
            target: NDArray[np.float64] = target,
        ) -> tuple[float, NDArray[np.float64]]:
            odds = line[0] * said + line[1]
            value = -(target * log_expit(odds) + (1 - target) * log_expit(-odds)).mean()
            residual = expit(odds) - target
            return value, np.array([(residual * said).mean(), residual.mean()])

        base = float(logit(positives / len(true)))
        # A negative slope would say the opposite of what was learned; a flat line says the rate.
        line = minimize(
            loss, np.array([1.0, base - said.mean()]), jac=True, bounds=[(0.0, None), (None, None)]
        ).x
        slopes[index], offsets[index] = line
    return Calibration(slopes, offsets)


def choose_thresholds(
    labels: NDArray[np.int8], probabilities: NDArray[np.float32]
) -> dict[str, float]:
    """The threshold of each genre, by answers to titles that the models hadn't seen.

    Shapes: (n, 16) both; labels of 1, 0 and `UNKNOWN`.
    """
    wanted = learnable(labels)
    thresholds = {}
    for index, genre in enumerate(GENRES):
        known = labels[:, index] != UNKNOWN
        thresholds[genre] = (
            choose_threshold(labels[known, index], probabilities[known, index])
            if wanted[index]
            else UNTRAINED_THRESHOLD
        )
    return thresholds


def choose_threshold(
    labels: NDArray[np.integer], scores: NDArray[np.floating], *, width: float = 0.25
) -> float:
    """The probability from which on a genre is given: where F1 is high and stays high nearby.

    The best threshold for F1 depends on the genre and is rarely 0.5 (Lipton, Elkan, Naryanaswamy,
    "Optimal thresholding of classifiers to maximize F1 measure", ECML PKDD 2014). For rare genres
    F1 over the threshold is a jagged line whose highest point is luck, so a Gaussian window over
    the log-odds smooths it first.

    Args:
        labels: (n,) of 0 and 1.
        scores: (n,) probabilities.
        width: standard deviation of the window, in log-odds.

    Returns:
        Within 0.0025 and 0.9975.
    """
    odds = np.linspace(-6.0, 6.0, 481)
    above = logit(np.clip(scores.astype(np.float64), 1e-6, 1 - 1e-6))[:, None] >= odds
    hits = (above & (labels[:, None] == 1)).sum(axis=0)
    f1 = 2 * hits / np.maximum(above.sum(axis=0) + labels.sum(), 1)
    window = np.exp(-0.5 * ((odds[:, None] - odds) / width) ** 2)
    smooth = window @ f1 / window.sum(axis=1)
    return float(1 / (1 + np.exp(-odds[smooth.argmax()])))


def blend_weights(
    labels: NDArray[np.int8], judged: Sequence[NDArray[np.float32]]
) -> NDArray[np.float64]:
    """How much each of several models counts: (m,), at least 0, adding up to 1.

    The weights of calibrated log-odds with the least logarithmic loss over all known answers: the
    logarithmic opinion pool (Genest, Zidek, "Combining probability distributions", 1986).

    Args:
        judged: each (n, 16), calibrated log-odds by models that didn't see the titles.
    """
    usable = (labels != UNKNOWN) & learnable(labels)
    true = labels[usable].astype(np.float64)
    said = np.clip(np.stack([one[usable] for one in judged], axis=1), -_HIGHEST, _HIGHEST)
    said = said.astype(np.float64)

    def loss(weights: NDArray[np.float64]) -> tuple[float, NDArray[np.float64]]:
        odds = said @ weights
        value = -(true * log_expit(odds) + (1 - true) * log_expit(-odds)).mean()
        return value, said.T @ (expit(odds) - true) / len(true)

    found = minimize(
        loss, np.full(len(judged), 1 / len(judged)), jac=True, bounds=[(0.0, None)] * len(judged)
    ).x
    total = found.sum()
    return np.asarray(found / total if total else np.full(len(judged), 1 / len(judged)))


@dataclass(frozen=True, slots=True)
class Ready:
    """A family's model with its calibration, its thresholds, and what it answers."""

    family: str
    parts: tuple[tuple[Fitted, NDArray[np.float32]], ...]
    """What is added up, each with its weight by genre, (16,)."""
    weights: Mapping[str, float]
    """How much each family counts, before its calibration is taken into the weights by genre."""
    calibration: Calibration
    thresholds: dict[str, float]
    judged: NDArray[np.float32]
    """Log-odds before calibration, (n, 16), of the titles that may be learned from; `native`
    likewise of the test split's, by the trained models themselves."""
    native: NDArray[np.float32]

    def validation(self, titles: TrainingSet) -> Answers:
        """What models that hadn't seen them said of the titles outside the test split."""
        return Answers(titles.seen.labels, self.calibration(self.judged), self.thresholds)

    def probabilities(self) -> NDArray[np.float32]:
        """What the trained model says of the test split, (n, 16)."""
        return self.calibration(self.native)


def make_ready(
    name: str,
    parts: Sequence[tuple[Fitted, NDArray[np.float32]]],
    titles: TrainingSet,
    *,
    weights: Mapping[str, float],
) -> Ready:
    """Calibrate the weighed sum of what models say, and choose its thresholds."""
    labels = titles.seen.labels
    judged = np.sum([fitted.judged * by_genre for fitted, by_genre in parts], axis=0)
    native = np.sum([fitted.native * by_genre for fitted, by_genre in parts], axis=0)
    calibration = calibrate(labels, judged)
    thresholds = choose_thresholds(labels, calibration(judged))
    return Ready(name, tuple(parts), weights, calibration, thresholds, judged, native)


def ready_alone(fitted: Fitted, titles: TrainingSet) -> Ready:
    """A family's own model."""
    ones = np.ones(len(GENRES), np.float32)
    return make_ready(fitted.family, [(fitted, ones)], titles, weights={fitted.family: 1.0})


def blend(members: Sequence[Ready], titles: TrainingSet, *, name: str = "blend") -> Ready:
    """Several models' calibrated log-odds, weighed by what each adds."""
    lines = [one.calibration for one in members]
    weights = blend_weights(
        titles.seen.labels,
        [one.judged * line.slopes + line.offsets for one, line in zip(members, lines, strict=True)],
    )
    parts = [
        (fitted, np.asarray(inner * line.slopes * weight, np.float32))
        for one, line, weight in zip(members, lines, weights, strict=True)
        for fitted, inner in one.parts
        if weight > 0
    ]
    told = {one.family: float(weight) for one, weight in zip(members, weights, strict=True)}
    return make_ready(name, parts, titles, weights=told)


def most_frequent(titles: TrainingSet) -> Answers:
    """What always answering the most frequent genre says of the test split."""
    rates = (titles.seen.labels == 1).sum(axis=0) / np.maximum(
        (titles.seen.labels != UNKNOWN).sum(axis=0), 1
    )
    unseen = titles.unseen
    probabilities = np.tile(rates.astype(np.float32), (len(unseen), 1))
    most = GENRES[int(rates.argmax())]
    thresholds: Mapping[str, float] = {genre: 0.0 if genre == most else 1.1 for genre in GENRES}
    return Answers(unseen.labels, probabilities, thresholds)
