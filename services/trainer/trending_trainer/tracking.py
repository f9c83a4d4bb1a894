"""Experiment runs in Weights & Biases: a mirror for people, never on the way of a model.

With `WANDB_API_KEY` runs go to the server; without it they are kept below the home folder, where
`wandb sync` finds them once there is a key, and `wandb leet inspect` shows them without one.
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
        """Write one finished fit; the same id continues the same run.

        Args:
            group: what belongs together: the training run.
            tables: rows by table; those of one table have the same columns.

        Returns:
            The run's id; none if W&B couldn't take it, which is logged and holds nothing up.
        """
        mode = os.environ.get("WANDB_MODE")
        if not mode:
            mode = "online" if os.environ.get("WANDB_API_KEY") else "offline"
        self._folder.mkdir(parents=True, exist_ok=True)
        try:
            run = wandb.init(
                project=os.environ.get("WANDB_PROJECT") or PROJECT,
                id=run_id,
                name=run_id,
                group=group,
                resume="allow" if mode == "online" else None,
                mode=mode,  # type: ignore[arg-type]  # wandb itself says what it doesn't know
                dir=self._folder,
                config=dict(config),
                settings=wandb.Settings(
                    console="off", silent=True, init_timeout=30, x_disable_stats=True
                ),
            )
            run.log({**metrics, **{name: _table(rows) for name, rows in tables.items() if rows}})
            run.finish()
        except (WandbError, OSError) as error:
            log.warning("run_not_tracked", run=run_id, detail=str(error))
            return None
        return run_id


def _table(rows: Sequence[Mapping[str, Any]]) -> wandb.Table:
    columns: list[str | int] = [*rows[0]]
    return wandb.Table(columns=columns, data=[list(row.values()) for row in rows])


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
