"""What a person should know before trusting a model: its card, in Markdown. Pure.

After Mitchell et al., "Model cards for model reporting", FAT* 2019, as far as a title catalogue has
something to say to it.
"""

from collections import Counter
from collections.abc import Mapping, Sequence

from trending_shared.datasets import DatasetManifest
from trending_trainer.evaluation import Evaluation, Score
from trending_trainer.exporting import Parity
from trending_trainer.training import MIN_EXAMPLES


def write_card(
    *,
    algorithm: str,
    dataset: DatasetManifest,
    trained_on: int,
    left_out: Mapping[str, int],
    untrained: Sequence[str],
    thresholds: dict[str, float],
    evaluation: Evaluation,
    baseline_f1: float,
    parity: Parity,
) -> str:
    """A model's card.

    Args:
        trained_on: titles that the model learned from.
        left_out: titles of the dataset that it may not learn from, by licence.
        untrained: genres that it can't tell.
        evaluation: on titles that it didn't learn from, as is `baseline_f1`.
    """
    genres = [
        f"| {genre} | {thresholds[genre]:.3f} | {score.precision:.3f} | {score.recall:.3f} "
        f"| {score.f1:.3f} | {score.support} |"
        for genre, score in evaluation.genres.items()
    ]
    used = Counter(dataset.licenses)
    used.subtract(left_out)
    missing = (
        f"It can't tell {', '.join(untrained)}: fewer than {MIN_EXAMPLES} titles had, or lacked, "
        "each."
        if untrained
        else "It was trained for all sixteen genres."
    )
    lines = [
        f"# Genres by {algorithm}",
        "",
        "Gives each of sixteen genres a probability from a title's name, plot, kind and countries, "
        "in English. Meant for catalogues of films and shows; not for judging persons, nor for "
        "texts that are no plots.",
        "",
        f"Learned from {trained_on} titles of dataset {dataset.dataset_id} "
        f"({dataset.rows} titles, texts by recipe {dataset.recipe}). {missing}",
        "",
        f"Licences of the texts: {_counted(+used) or 'none given'}.",
        "",
        *(
            [f"Left out, because the terms don't permit training: {_counted(left_out)}.", ""]
            if left_out
            else []
        ),
        f"Measured on {evaluation.rows} titles that it didn't learn from: macro-F1 "
        f"{evaluation.macro_f1:.4f}, micro-F1 {evaluation.micro_f1:.4f}; always answering the most "
        f"frequent genre would reach {baseline_f1:.4f}.",
        "",
        "| genre | threshold | precision | recall | F1 | titles |",
        "|---|---|---|---|---|---|",
        *genres,
        "",
        *(_kind_line(kind, score) for kind, score in evaluation.kinds.items()),
        "",
        f"The exported graph differs from the trained model by at most {parity.max_difference:.1e} "
        f"in any probability, and in {parity.label_changes} answers, over {parity.rows} titles.",
    ]
    return "\n".join(lines) + "\n"


def _counted(counts: Mapping[str, int]) -> str:
    return ", ".join(f"{name} ({count})" for name, count in sorted(counts.items()))


def _kind_line(kind: str, score: Score) -> str:
    return f"- {kind}: macro-F1 {score.macro_f1:.4f} on {score.rows} titles"
