"""Every family on one dataset, side by side: `python -m trending_trainer.comparing FOLDER`.

Reads a dataset from the store and leaves bundles of all families in a registry of its own below
FOLDER, where `trending models` finds them (`STORE_URL=file://FOLDER`); nothing is promoted, and the
champion isn't asked. What a family came to is kept there too: a comparison that was killed goes on.

Prints the options with which `trending models leaderboard` shows what was compared, and nothing
else. A bundle that was there before keeps its time, so the newest may be another comparison's.
"""

import argparse
import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import get_args
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


def compare_families(
    settings: TrainerSettings, folder: Path, *, dataset: str, families: Sequence[str], split: Split
) -> list[Manifest]:
    """Fit, evaluate and keep each family and the blend; their manifests.

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
    return [one.manifest for one in made]


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(
        prog="python -m trending_trainer.comparing",
        description="Fit every family on one dataset; see `trending models leaderboard`.",
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
    sys.stdout.write(f"--dataset {found[0].dataset_id} --split {asked.split}\n")
    return 0


if __name__ == "__main__":
    configure_logs(service="comparing")
    sys.exit(main())
