"""Experiment runs in Weights & Biases: a mirror for people, never on the way of a model.

With `WANDB_API_KEY` runs go to the server; without it they are kept below the home folder, where
`wandb sync` finds them once there is a key, and `wandb leet inspect` shows them without one.
"""

import os
from collections.abc import Mapping
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
        genres: Mapping[str, Mapping[str, float]],
    ) -> str | None:
        """Write one finished fit; the same id continues the same run.

        Args:
            group: what belongs together: the training run.
            genres: a row of the genre table each.

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
            columns: list[str | int] = ["genre", *next(iter(genres.values()))]
            rows = [[genre, *scores.values()] for genre, scores in genres.items()]
            run.log({**metrics, "genres": wandb.Table(columns=columns, data=rows)})
            run.finish()
        except (WandbError, OSError) as error:
            log.warning("run_not_tracked", run=run_id, detail=str(error))
            return None
        return run_id
