"""What a person should know before trusting a model: its card, in Markdown. Pure.

After Mitchell et al., "Model cards for model reporting", FAT* 2019.
"""

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass

from trending_shared.datasets import DatasetManifest
from trending_shared.evaluation import MIN_SLICE, Evaluation, Interval, SliceScore
from trending_trainer.words import MIN_EXAMPLES

_WEAKEST = 8  # slices that are listed


@dataclass(frozen=True, slots=True)
class Parity:
    """How far an export is from the model it was made of."""

    max_difference: float
    """Of any probability, within 0 and 1."""
    rows: int
    """Texts compared."""
    label_changes: int
    """Answers, genre by genre, that differ at the thresholds."""


def write_card(
    *,
    algorithm: str,
    dataset: DatasetManifest,
    recipe: str,
    trained_on: int,
    leaks: int,
    left_out: Mapping[str, int],
    untrained: tuple[str, ...],
    unrecorded: Mapping[str, tuple[str, ...]],
    thresholds: Mapping[str, float],
    evaluation: Evaluation,
    baselines: Mapping[str, float],
    parity: Parity,
    latency: float,
    code_version: str,
    training_id: str,
) -> str:
    """A model's card.

    Args:
        trained_on: titles that the model learned from.
        leaks: titles that it might have, and that nearly repeat one it is measured on.
        left_out: titles of the dataset that it may not learn from, by licence.
        untrained: genres that it can't tell.
        unrecorded: by source and kind, genres whose labels are unknown there.
        evaluation: on titles that it didn't learn from, as are `baselines`: macro-F1 by name.
        latency: seconds of one processor a text, in the middle.
    """
    used = Counter(dataset.licenses)
    used.subtract(left_out)
    lines = [
        f"# Genres by {algorithm}",
        "",
        "## Intended use",
        "",
        "Gives each of sixteen genres a probability from a title's name and plot, and what its "
        "recipe takes besides, in English: to sort and watch catalogues of films and shows.",
        "",
        "## Limits",
        "",
        "- Not for judging persons, nor for texts that are no plots; it answers those too.",
        "- It reads letters without their accents, and no other alphabet than the Latin.",
        "- A genre is given by what catalogues call it, with the habits of those it learned from.",
        f"- It can't tell {', '.join(untrained)}: fewer than {MIN_EXAMPLES} titles had, or lacked, "
        "each."
        if untrained
        else "- It was trained for all sixteen genres.",
        *(
            f"- Unknown of {group}, as the source doesn't record it there: {', '.join(genres)}."
            for group, genres in unrecorded.items()
            if genres
        ),
        "",
        "## How good it is",
        "",
        f"On {evaluation.rows} titles that it didn't learn from: macro-F1 "
        f"{_shown(evaluation.macro_f1, evaluation.macro_f1_interval)}, micro-F1 "
        f"{_shown(evaluation.micro_f1, evaluation.micro_f1_interval)}, mean average precision "
        f"{_shown(evaluation.mean_average_precision, evaluation.mean_average_precision_interval)} "
        "(with 95 % intervals). Without learning: "
        f"{', '.join(f'{name} {score:.4f}' for name, score in baselines.items())}.",
        "",
        "| genre | threshold | precision | recall | F1 | 95 % | titles |",
        "|---|---|---|---|---|---|---|",
        *(
            f"| {genre} | {thresholds[genre]:.3f} | {score.precision:.3f} | {score.recall:.3f} "
            f"| {score.f1:.3f} | {score.f1_interval.low:.3f}–{score.f1_interval.high:.3f} "
            f"| {score.support} |"
            for genre, score in evaluation.genres.items()
        ),
        "",
        f"Probabilities are off by {evaluation.calibration.ece:.4f} on average (ECE; Brier score "
        f"{evaluation.calibration.brier:.4f}). A text takes {latency * 1000:.2f} ms of one "
        f"processor. The exported graph differs from the trained model by at most "
        f"{parity.max_difference:.1e} in any probability, and in {parity.label_changes} answers, "
        f"over {parity.rows} titles.",
        "",
        "## Where it is weak",
        "",
        *_weak(evaluation),
        "",
        "## Ethics",
        "",
        "Plots name real people, and catalogues show some countries and languages more than "
        "others; scores by country and language are above where there are titles enough. Nothing "
        "is learned from the authors of reviews. A wrong genre hides a title from those who would "
        "look for it: no genre at all is better than a guess, and a person can correct either.",
        "",
        "## Where it comes from",
        "",
        f"Learned from {trained_on} titles of dataset {dataset.dataset_id} ({dataset.rows} titles, "
        f"texts by recipe {recipe}), code {code_version}, training {training_id}. "
        f"{leaks} more were left out because they nearly repeat a title that it is measured on.",
        "",
        "## Licences",
        "",
        f"Of the texts: {_counted(+used) or 'none given'}.",
        *(
            ["", f"Left out, because the terms don't permit training: {_counted(left_out)}."]
            if left_out
            else []
        ),
    ]
    return "\n".join(lines) + "\n"


def _weak(evaluation: Evaluation) -> list[str]:
    found: list[tuple[float, str, str, SliceScore]] = [
        (score.macro_f1, dimension, value, score)
        for dimension, slices in evaluation.slices.items()
        for value, score in slices.items()
    ]
    if not found:
        return [f"No slice of the titles has the {MIN_SLICE} that it takes to tell."]
    return [
        "| of | titles | genres | macro-F1 | 95 % |",
        "|---|---|---|---|---|",
        *(
            f"| {dimension}: {value} | {score.rows} | {score.genres} | {f1:.4f} "
            f"| {score.interval.low:.3f}–{score.interval.high:.3f} |"
            for f1, dimension, value, score in sorted(found, key=lambda one: one[:3])[:_WEAKEST]
        ),
    ]


def _shown(value: float, interval: Interval) -> str:
    return f"{value:.4f} [{interval.low:.4f}, {interval.high:.4f}]"


def _counted(counts: Mapping[str, int]) -> str:
    return ", ".join(f"{name} ({count})" for name, count in sorted(counts.items()))
