"""The runs that lie as W&B's files below the home folder, and whether a server is to have them.

Apart from `tracking`, so that the trainer's own process needn't load W&B.
"""

import os
from pathlib import Path

_UNSYNCED = "unsynced"  # a file beside a run's own, from its end until the server has all of it


def is_online() -> bool:
    """Whether a server is to be told: with a key, unless W&B's own variable says otherwise."""
    mode = os.environ.get("WANDB_MODE")
    return mode == "online" or (not mode and bool(os.environ.get("WANDB_API_KEY")))


def run_id(run: Path) -> str:
    """The id of a run, by its folder: `offline-run-<day>_<time>-<id>`."""
    return run.name.split("-", 3)[-1]


def mark_unsynced(run: Path) -> None:
    """Say that all of a run is in its folder."""
    (run / _UNSYNCED).touch()


def mark_synced(run: Path) -> None:
    """Say that the server has all of a run, and needs no earlier one of the same id."""
    for mark in run.parent.glob(f"*/{_UNSYNCED}"):
        if run_id(mark.parent) == run_id(run) and mark.parent.name <= run.name:
            mark.unlink(missing_ok=True)


def unsynced(home: Path) -> list[Path]:
    """The folders of runs that the server may lack; of one id only the latest."""
    marks = sorted((home / "wandb").glob(f"offline-run-*/{_UNSYNCED}"))
    return list({run_id(mark.parent): mark.parent for mark in marks}.values())
