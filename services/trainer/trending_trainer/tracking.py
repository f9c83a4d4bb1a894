"""Experiment runs in Weights & Biases: for people to look at, never on the way of a model.

Runs are written as files below the home folder and reach no network from here. With a key,
`mirroring` brings them to the server; without one, `wandb sync` finds them once there is a key, and
`wandb leet inspect` shows them at once.
"""

import hashlib
import os
import platform
import subprocess
from collections.abc import Mapping, Sequence
from importlib.metadata import distributions
from pathlib import Path
from typing import Any

import structlog
import wandb
from wandb.errors import Error as WandbError

from trending_trainer.kept_runs import mark_unsynced

log = structlog.get_logger()

PROJECT = "trending-now"


class Tracker:
    """Writes runs.

    Args:
        folder: runs are kept in `<folder>/wandb`.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def record(
        self,
        run_id: str,
        *,
        group: str,
        config: Mapping[str, Any],
        metrics: Mapping[str, float],
        tables: Mapping[str, Sequence[Mapping[str, Any]]],
    ) -> str | None:
        """Write one finished fit; of two with the same id the later one counts.

        Args:
            group: what belongs together: the training run.
            tables: rows by table; those of one table have the same columns.

        Returns:
            The run's id; none if W&B is switched off, or if it couldn't write the run, which is
            logged and holds nothing up.
        """
        if os.environ.get("WANDB_MODE") == "disabled":
            return None
        try:
            self._folder.mkdir(parents=True, exist_ok=True)
            settle(self._folder)
            run = wandb.init(
                project=project(),
                id=run_id,
                name=run_id,
                group=group,
                mode="offline",
                dir=self._folder,
                config=dict(config),
                settings=wandb.Settings(console="off", silent=True, x_disable_stats=True),
            )
            run.log({**metrics, **{name: _table(rows) for name, rows in tables.items() if rows}})
            run.finish()
            mark_unsynced(Path(run.settings.sync_dir))
        except (WandbError, OSError) as error:
            log.warning("run_not_tracked", run=run_id, detail=str(error))
            return None
        return run_id


def _table(rows: Sequence[Mapping[str, Any]]) -> wandb.Table:
    columns: list[str | int] = [*rows[0]]
    return wandb.Table(columns=columns, data=[list(row.values()) for row in rows])


def project() -> str:
    """The project of all runs and models."""
    return os.environ.get("WANDB_PROJECT") or PROJECT


def settle(folder: Path) -> None:
    """Have W&B write below a folder what it would write into the user's, and report no errors.

    It would report its own errors and durations to its makers, offline as well, and wait for their
    answer at the end of the process. Whoever sets one of these variables decides.
    """
    os.environ.setdefault("WANDB_ERROR_REPORTING", "false")
    for kind in ("cache", "config", "data"):
        os.environ.setdefault(f"WANDB_{kind.upper()}_DIR", str(folder / "wandb" / kind))


def describe_code() -> dict[str, Any]:
    """Which code runs in which environment, as far as it can be told.

    Returns:
        `commit` and `dirty` (whether files differ from it), if the code lies in a Git checkout;
        `environment`, 16 hex digits of the SHA-256 over Python and every installed package.
    """
    packages = sorted(f"{one.name}=={one.version}" for one in distributions())
    text = "\n".join([f"python=={platform.python_version()}", *packages])
    known: dict[str, Any] = {"environment": hashlib.sha256(text.encode()).hexdigest()[:16]}
    commit = _git("rev-parse", "HEAD")
    if commit:
        known |= {"commit": commit, "dirty": bool(_git("status", "--porcelain"))}
    return known


def _git(*arguments: str) -> str | None:
    try:
        done = subprocess.run(
            ["git", "-C", str(Path(__file__).parent), *arguments],
            capture_output=True,
            text=True,
            check=True,
            timeout=10,
        )
    except (OSError, subprocess.SubprocessError):
        return None
    return done.stdout.strip()
