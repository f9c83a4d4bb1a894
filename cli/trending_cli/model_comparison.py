"""Two models beside each other, on the same titles.

A bundle keeps what its model answered of its test split. Where two were measured on the same
titles, or share enough of them, these answers are compared and no model runs; else both answer the
test split of a dataset anew.
"""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, ValidationError

from trending_shared.datasets import read_dataset, read_manifest
from trending_shared.errors import ModelNotFound, Rejected
from trending_shared.evaluation import (
    MIN_SLICE,
    Answers,
    Comparison,
    Difference,
    Evaluation,
    compare,
    compare_macro_f1,
    evaluate,
)
from trending_shared.kept_answers import ANSWERS, AnswersDamaged, KeptAnswers, read_answers
from trending_shared.onnx_models import load_bundle
from trending_shared.registry import Manifest, ModelRegistry
from trending_shared.storage import ObjectStore

MIN_TITLES = MIN_SLICE  # of fewer, any interval is too wide to tell models apart


class EvaluationIncomplete(Rejected):
    """A manifest's metrics aren't a whole evaluation."""


class TooFewTitles(Rejected):
    """There are too few titles that two models can be compared on."""


class ModelsComparison(BaseModel):
    """All that is known of one model against another; the document of `--json`."""

    model_config = ConfigDict(frozen=True)

    one: str
    """A version, as is `other`."""
    other: str
    titles: str
    """What they were compared on, in words."""
    rows: int
    better: str | None
    """The version whose macro-F1 is surely higher, if that can be said."""
    verdict: str
    comparison: Comparison
    """Positive: `one` is better."""
    evaluations: dict[str, Evaluation]
    """Of both, by version, on these titles."""


def read_evaluation(manifest: Manifest) -> Evaluation:
    """What a model's training measured; raises `EvaluationIncomplete`."""
    try:
        return Evaluation.model_validate(manifest.metrics)
    except ValidationError as error:
        lacking = sorted({".".join(map(str, each["loc"])) for each in error.errors()})
        raise EvaluationIncomplete(
            f"the evaluation of {manifest.name} {manifest.version} lacks {', '.join(lacking)}: it "
            "was measured by another version of the trainer; train anew, `trending models train`"
        ) from error


def compare_kept(registry: ModelRegistry, one: Manifest, other: Manifest) -> ModelsComparison:
    """Compare what two bundles hold, on the titles of both test splits whose labels are equal.

    Slices are those of `one`.

    Raises:
        ModelNotFound, AnswersDamaged: see `read_answers`.
        TooFewTitles: the two share fewer than `MIN_TITLES`.
    """
    try:
        ours, theirs, titles = _common(registry, one, other)
    except TooFewTitles as error:
        raise TooFewTitles(
            f"{error}. With --dataset ID both answer the test split of a dataset that a model was "
            f"trained on: {one.version} was on {one.dataset_id}, {other.version} on "
            f"{other.dataset_id}; `trending models list` shows others"
        ) from error
    return _compared(one, other, ours, theirs.probabilities, titles)


def compare_kept_macro_f1(registry: ModelRegistry, one: Manifest, other: Manifest) -> Difference:
    """The difference in macro-F1 of `compare_kept`, and nothing else; it raises as that does."""
    ours, theirs, _ = _common(registry, one, other)
    return compare_macro_f1(*_answers(one, other, ours, theirs.probabilities))


def _common(
    registry: ModelRegistry, one: Manifest, other: Manifest
) -> tuple[KeptAnswers, KeptAnswers, str]:
    """What both answered of the titles that they share, and which these are, in words."""
    _check_genres(one, other)
    ours, theirs = read_answers(registry, one), read_answers(registry, other)
    counts = len(ours.title_ids), len(theirs.title_ids)
    _, here, there = np.intersect1d(ours.title_ids, theirs.title_ids, return_indices=True)
    same = (ours.labels[here] == theirs.labels[there]).all(axis=1)
    ours, theirs = ours.where(here[same]), theirs.where(there[same])
    rows = len(ours.title_ids)
    if rows < MIN_TITLES:
        raise TooFewTitles(
            f"{rows} titles are in the test splits of both with the same labels, of {counts[0]} "
            f"and {counts[1]}; {MIN_TITLES} are needed"
        )
    if counts == (rows, rows):
        titles = f"the {rows} titles that both were measured on"
    else:
        titles = (
            f"{rows} titles that are in the test splits of both with the same labels, "
            f"of {counts[0]} and {counts[1]}"
        )
    return ours, theirs, titles


def compare_anew(
    store: ObjectStore, registry: ModelRegistry, one: Manifest, other: Manifest, dataset_id: str
) -> ModelsComparison:
    """Have two models answer the test split of a dataset, and compare that.

    Which titles these are, their labels and slices are taken from a model that was trained on it. A
    title's name decides whether it is of the test split, so neither model learned from them,
    whatever datasets it knows; near-copies of another name were kept from models of this dataset
    only.

    Raises:
        ModelNotFound: no model was trained on it, or a bundle isn't whole.
        ObjectMissing: there is no such dataset.
        AnswersDamaged, TooFewTitles, DatasetDamaged, ModelUnusable: as their names say.
    """
    _check_genres(one, other)
    trained = [
        each
        for each in registry.versions(one.name)
        if each.dataset_id == dataset_id and ANSWERS in each.files and each.labels == one.labels
    ]
    if not trained:
        raise ModelNotFound(
            f"no model of {one.name} was trained on {dataset_id}, so its test split isn't known: "
            f"`trending models train --dataset {dataset_id}`"
        )
    split = read_answers(registry, trained[-1])
    if len(split.title_ids) < MIN_TITLES:
        raise TooFewTitles(
            f"the test split of {dataset_id} has {len(split.title_ids)} titles; {MIN_TITLES} are "
            "needed: name a larger dataset"
        )
    dataset = read_manifest(store, dataset_id)
    for manifest in (one, other):
        if manifest.recipe != dataset.recipe:
            raise Rejected(
                f"{manifest.version} reads texts by recipe {manifest.recipe}, those of "
                f"{dataset_id} are by {dataset.recipe}"
            )
    rows = read_dataset(store, dataset, ["title_id", "text"])
    texts = dict(zip(*(rows.column(name).to_pylist() for name in rows.column_names), strict=True))
    wanted = [texts[title] for title in split.title_ids if title in texts]
    if len(wanted) != len(split.title_ids):
        raise AnswersDamaged(f"{dataset_id} lacks titles that {trained[-1].version} answered")
    ours, theirs = (load_bundle(registry, each).predict(wanted) for each in (one, other))
    split = KeptAnswers(split.title_ids, split.labels, ours, split.slices)
    titles = f"the {len(wanted)} titles of the test split of {dataset_id}, answered anew"
    return _compared(one, other, split, theirs, titles)


def sign(difference: Difference) -> int:
    """Which is surely better: 1 the one, -1 the other; 0 if that can't be said."""
    return int(difference.interval.low > 0) - int(difference.interval.high < 0)


def _check_genres(one: Manifest, other: Manifest) -> None:
    if one.labels != other.labels:
        raise Rejected(f"{one.version} and {other.version} tell different genres")


def _compared(
    one: Manifest,
    other: Manifest,
    ours: KeptAnswers,
    probabilities: NDArray[np.floating],
    titles: str,
) -> ModelsComparison:
    """Args: `probabilities` are the other's, (n, g), of the titles of `ours`."""
    answers = _answers(one, other, ours, probabilities)
    comparison = compare(answers[0], answers[1], ours.slices)
    better = {1: one.version, -1: other.version}.get(sign(comparison.macro_f1))
    return ModelsComparison(
        one=one.version,
        other=other.version,
        titles=titles,
        rows=len(ours.title_ids),
        better=better,
        verdict=_verdict((one, other), comparison.macro_f1),
        comparison=comparison,
        evaluations={
            manifest.version: evaluate(each, ours.slices)
            for manifest, each in zip((one, other), answers, strict=True)
        },
    )


def _answers(
    one: Manifest, other: Manifest, ours: KeptAnswers, probabilities: NDArray[np.floating]
) -> tuple[Answers, Answers]:
    return (
        Answers(ours.labels, ours.probabilities, one.thresholds, one.labels),
        Answers(ours.labels, probabilities, other.thresholds, other.labels),
    )


def _verdict(models: Sequence[Manifest], macro_f1: Difference) -> str:
    names = [f"{each.algorithm} {each.version}" for each in models]
    low, high = macro_f1.interval.low, macro_f1.interval.high
    if sign(macro_f1) < 0:
        names.reverse()
        low, high = -high, -low
    if sign(macro_f1):
        return (
            f"{names[0]} is surely better than {names[1]}: its macro-F1 is higher by "
            f"{abs(macro_f1.value):.3f}, with 95 % confidence by {low:.3f} to {high:.3f}"
        )
    return (
        f"Nothing can be said: the macro-F1 of {names[0]} minus that of {names[1]} is "
        f"{macro_f1.value:+.3f}, with 95 % confidence between {low:+.3f} and {high:+.3f}"
    )
