"""Every bundle measured anew on its dataset: `python -m pipeline.evaluate STORE REGISTRY FOLDER`.

Takes the graphs as they were exported, has them answer the test split of the frozen dataset, and
leaves in FOLDER what `dvc metrics` and `dvc plots` show, and a page for each family. A score that
isn't the one in the bundle's manifest is an error: then bundle, dataset and code don't belong
together.
"""

import argparse
import json
import math
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from trending_cli.model_pages import write_model_page
from trending_shared.datasets import read_dataset, read_manifest
from trending_shared.errors import ModelNotFound, Rejected, TrendingError
from trending_shared.evaluation import Answers, Evaluation, evaluate
from trending_shared.onnx_models import load_bundle
from trending_shared.registry import Manifest, ModelRegistry
from trending_shared.settings import read_settings
from trending_shared.storage import ObjectStore
from trending_trainer.fitting import terms_of
from trending_trainer.settings import TrainerSettings
from trending_trainer.supervising import MODEL
from trending_trainer.training_set import Terms, TrainingSet

ROUNDING = 1e-6  # another processor adds up in another order; a title judged otherwise shows


class ScoresDiffer(Rejected):
    """A bundle doesn't reach the scores that its manifest tells."""


def measure(
    store: ObjectStore, registry: ModelRegistry, manifest: Manifest, terms: Terms
) -> Evaluation:
    """Have a bundle answer the test split of the dataset that it was trained on.

    Raises:
        ObjectMissing, DatasetDamaged, ModelNotFound, ModelUnusable: as their names say.
        ScoresDiffer: the scores aren't those of the manifest.
    """
    rows, _ = terms.permitted(read_dataset(store, read_manifest(store, manifest.dataset_id)))
    test = TrainingSet.of(rows, split=manifest.metrics["split"], recipe=manifest.recipe).unseen
    probabilities = load_bundle(registry, manifest).predict(list(test.texts))
    answers = Answers(test.labels, probabilities, manifest.thresholds)
    measured = evaluate(answers, test.slices)
    for name, value in scores(measured.model_dump(mode="json")):
        told = at(manifest.metrics, name)
        same = (
            math.isclose(value, told, rel_tol=0, abs_tol=ROUNDING)
            if isinstance(value, float) and isinstance(told, float)
            else value == told
        )
        if not same:
            where = ".".join(map(str, name))
            raise ScoresDiffer(
                f"{manifest.algorithm} {manifest.version}: {where} is {value}, its manifest "
                f"tells {told}; train anew"
            )
    return measured


def scores(document: Any, name: tuple[str | int, ...] = ()) -> Iterator[tuple[Any, Any]]:
    """Each value of a JSON document with the names that lead to it."""
    if isinstance(document, dict):
        for key, value in document.items():
            yield from scores(value, (*name, key))
    elif isinstance(document, list):
        for index, value in enumerate(document):
            yield from scores(value, (*name, index))
    else:
        yield name, document


def at(document: Any, name: Sequence[str | int]) -> Any:
    """The value that these names lead to; none if there is none."""
    for key in name:
        try:
            document = document[key]
        except (KeyError, IndexError, TypeError):
            return None
    return document


def metrics(measured: Sequence[tuple[Manifest, Evaluation]]) -> dict[str, Any]:
    """What `dvc metrics` shows and compares; the best family is chosen as the trainer does."""
    best, _ = measured[0]
    return {
        "best": best.algorithm,
        "test_titles": best.metrics["rows"],
        "families": {
            manifest.algorithm: {
                "macro_f1": evaluation.macro_f1,
                "macro_f1_low": evaluation.macro_f1_interval.low,
                "macro_f1_high": evaluation.macro_f1_interval.high,
                "micro_f1": evaluation.micro_f1,
                "mean_average_precision": evaluation.mean_average_precision,
                "ece": evaluation.calibration.ece,
                "validation_f1": manifest.metrics["validation_f1"],
            }
            for manifest, evaluation in measured
        },
        "baselines": best.metrics["baselines"],
    }


def write(measured: Sequence[tuple[Manifest, Evaluation]], folder: Path) -> None:
    """Write metrics, the data of plots, and a page for each family."""
    _, best = measured[0]
    genres = [
        {"genre": name, "f1": score.f1, "titles": score.support}
        for name, score in best.genres.items()
        if score.support
    ]
    pages = folder / "pages"
    pages.mkdir(parents=True, exist_ok=True)
    for name, content in (
        ("metrics.json", metrics(measured)),
        ("genres.json", genres),
        ("calibration.json", [bin.model_dump() for bin in best.calibration.bins]),
    ):
        text = json.dumps(content, indent=1, ensure_ascii=False)
        (folder / name).write_text(f"{text}\n", encoding="utf-8")
    for manifest, evaluation in measured:
        page = write_model_page(manifest, evaluation)
        (pages / f"{manifest.algorithm}.html").write_text(page, encoding="utf-8")


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m pipeline.evaluate", description=__doc__)
    parser.add_argument("store", type=Path, help="the folder that holds the dataset")
    parser.add_argument("registry", type=Path, help="the folder that holds the bundles")
    parser.add_argument("folder", type=Path, help="where the results go")
    asked = parser.parse_args(arguments)
    store, bundles = (
        ObjectStore.at(folder.absolute().as_uri()) for folder in (asked.store, asked.registry)
    )
    registry = ModelRegistry(bundles)
    try:
        terms = terms_of(read_settings(TrainerSettings))
        manifests = sorted(
            registry.versions(MODEL), key=lambda one: one.metrics["validation_f1"], reverse=True
        )
        if not manifests:
            raise ModelNotFound(f"{asked.registry} holds no model")
        measured = [(one, measure(store, registry, one, terms)) for one in manifests]
        write(measured, asked.folder)
    except (TrendingError, OSError) as error:
        sys.stderr.write(f"error: {error}\n")
        return 1
    for manifest, evaluation in measured:
        sys.stdout.write(
            f"{manifest.algorithm} {manifest.version}: macro-F1 {evaluation.macro_f1:.4f} on "
            f"{evaluation.rows} titles, all scores as in its manifest\n"
        )
    return 0


if __name__ == "__main__":
    sys.exit(main())
