"""Every family on one dataset, side by side: `python -m trending_trainer.comparing FOLDER`.

Reads a dataset from the store and leaves bundles of all families in a registry of its own below
FOLDER, where `trending models` finds them (`STORE_URL=file://FOLDER`); nothing is promoted, and the
champion isn't asked. What a family came to is kept there too: a comparison that was killed goes on.
"""

import argparse
import json
import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any, get_args
from uuid import NAMESPACE_URL, uuid5

from trending_shared.clock import SystemClock
from trending_shared.errors import TrendingError
from trending_shared.logs import configure_logs
from trending_shared.registry import Manifest
from trending_shared.settings import read_settings
from trending_shared.storage import ObjectStore
from trending_trainer.fitting import Fitting, encoder_of, find_dataset, terms_of
from trending_trainer.promotion import Limits
from trending_trainer.runs import Request, StoredWorkspace
from trending_trainer.settings import FAMILIES, TrainerSettings, can_fine_tune
from trending_trainer.studies import Studies
from trending_trainer.tracking import Tracker
from trending_trainer.training_set import Split

COLUMNS = ("family", "macro-F1", "95 %", "micro-F1", "mAP", "ECE", "ms", "MB", "s", "peak MB")


def compare_families(
    settings: TrainerSettings, folder: Path, *, dataset: str, families: Sequence[str], split: Split
) -> list[Manifest]:
    """Fit, evaluate and keep each family and the blend; the manifests, best macro-F1 first.

    Raises:
        Rejected: there is no such dataset, or nothing can be learned from it.
        StoreUnavailable: a store didn't answer.
    """
    source, target = ObjectStore.at(settings.store), ObjectStore.at(folder.absolute().as_uri())
    found = find_dataset(source, None if dataset == "newest" else dataset)
    for file in found.files:
        target.put(file.key, source.get(file.key))
    target.put(found.key, source.get(found.key))
    studies = Studies(source) if settings.tuned else None
    name = f"{found.dataset_id}-{split}-{settings.recipe}"
    if studies:
        best = (studies.newest(family, settings.recipe) for family in families)
        name = "-".join([name, *(f"{one.study_id}.{one.trial}" for one in best if one)])
    fitting = Fitting(
        target,
        families=families,
        encode=encoder_of(settings),
        tracker=Tracker(folder),
        clock=SystemClock(),
        limits=Limits(),
        terms=terms_of(settings),
        code_version=settings.code_version,
        split=split,
        recipe=settings.recipe,
        studies=studies,
    )
    request = Request(
        run_id=uuid5(NAMESPACE_URL, f"{name} {settings.code_version}"),
        correlation_id=found.correlation_id,
        dataset_id=found.dataset_id,
        reason=f"a comparison, split by {split}",
    )
    made = fitting.make(request, StoredWorkspace(target, f"work/{name}-{settings.code_version}"))
    for one in made:
        fitting.register(one)
    return sorted(
        (one.manifest for one in made), key=lambda one: one.metrics["macro_f1"], reverse=True
    )


def table(manifests: Sequence[Manifest]) -> str:
    """What was found, as lines of equal columns."""
    rows: list[Sequence[str]] = [COLUMNS]
    for manifest in manifests:
        of: dict[str, Any] = manifest.metrics
        interval = of["macro_f1_interval"]
        rows.append(
            (
                manifest.algorithm,
                f"{of['macro_f1']:.4f}",
                f"{interval['low']:.4f}-{interval['high']:.4f}",
                f"{of['micro_f1']:.4f}",
                f"{of['mean_average_precision']:.4f}",
                f"{of['calibration']['ece']:.4f}",
                f"{of['latency_seconds'] * 1000:.2f}",
                f"{manifest.onnx_bytes / 1e6:.1f}",
                f"{of['fit_seconds']:.0f}",
                f"{of['peak_bytes'] / 1e6:.0f}",
            )
        )
    for name, score in manifests[0].metrics["baselines"].items():
        rows.append((name, f"{score:.4f}", *[""] * (len(COLUMNS) - 2)))
    widths = [max(len(row[column]) for row in rows) for column in range(len(COLUMNS))]
    return "\n".join(
        "  ".join(
            cell.ljust(width) if index == 0 else cell.rjust(width)
            for index, (cell, width) in enumerate(zip(row, widths, strict=True))
        ).rstrip()
        for row in rows
    )


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(
        prog="python -m trending_trainer.comparing",
        description="Fit every family on one dataset and show them side by side.",
    )
    parser.add_argument("folder", type=Path, help="where bundles and unfinished work are kept")
    parser.add_argument("--dataset", default="newest", help="its id (default: the newest)")
    parser.add_argument(
        "--families",
        default=",".join(name for name in FAMILIES if name != "bert" or can_fine_tune()),
        help="with commas (default: %(default)s)",
    )
    parser.add_argument(
        "--split", choices=get_args(Split), default="title", help="what decides who is a test title"
    )
    parser.add_argument("--json", action="store_true", help="the manifests instead of a table")
    asked = parser.parse_args(arguments)
    os.environ["TRAINER_FAMILIES"] = asked.families
    try:
        settings = read_settings(TrainerSettings)
        found = compare_families(
            settings,
            asked.folder,
            dataset=asked.dataset,
            families=settings.families,
            split=asked.split,
        )
    except TrendingError as error:
        sys.stderr.write(f"error: {error}\n")
        return 1
    except KeyboardInterrupt:
        sys.stderr.write("stopped; the same command goes on from here\n")
        return 130
    if asked.json:
        sys.stdout.write(json.dumps([one.model_dump(mode="json") for one in found]) + "\n")
    else:
        sys.stdout.write(f"{table(found)}\n")
    return 0


if __name__ == "__main__":
    configure_logs(service="comparing")
    sys.exit(main())
