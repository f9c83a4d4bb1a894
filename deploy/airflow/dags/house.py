"""How a task speaks to the house: one `trending` command, one JSON document.

The command runs in its own environment, which the variable `trending_command` names; nothing of
Airflow's is told to it, and nothing of the house is imported here.
"""

import json
import logging
import os
import shlex
import subprocess
from collections.abc import Collection
from datetime import timedelta
from typing import Any
from uuid import NAMESPACE_URL, uuid5

from airflow.sdk import Variable
from airflow.sdk.exceptions import AirflowException, AirflowFailException

log = logging.getLogger(__name__)

DEFAULTS: dict[str, Any] = {
    "owner": "trending",
    "retries": 3,
    "retry_delay": timedelta(seconds=30),
    "retry_exponential_backoff": True,
    "max_retry_delay": timedelta(minutes=10),
    "execution_timeout": timedelta(minutes=15),
}
WAITING: dict[str, Any] = {
    "mode": "reschedule",  # between two looks no worker is held
    "poke_interval": float(os.environ.get("TRENDING_LOOK_SECONDS", "30")),
    "timeout": timedelta(hours=6),
}
_SHOWN = 2000  # characters of what a command says, in a task's log
_WRONG_USAGE, _NOT_FOUND = 2, 3  # as `trending --help` says; trying again changes neither


def trending(*arguments: object, answers: Collection[int] = (0,)) -> Any:
    """What a command says to `--json`.

    Args:
        answers: exit statuses that are an answer; 1 often means no.

    Raises:
        AirflowFailException: the command was used wrongly, or what it is about isn't there.
        AirflowException: something didn't work, and may work later.
    """
    given = Variable.get("trending_command", default="trending")
    command = [*shlex.split(given), *map(str, arguments), "--json"]
    log.info("asking: %s", shlex.join(command))
    environ = {
        name: value
        for name, value in os.environ.items()
        if not name.startswith(("AIRFLOW", "_AIRFLOW", "PYTHON"))
    }
    try:
        done = subprocess.run(command, env=environ, capture_output=True, text=True, check=False)
    except OSError as error:
        raise AirflowFailException(
            f"{command[0]} can't be run; set the variable trending_command: {error}"
        ) from error
    if done.returncode in answers and done.stdout:
        told = done.stdout.splitlines()[-1]
        log.info("told: %s", told[:_SHOWN])
        return json.loads(told)
    said = f"{shlex.join(command)} ended with {done.returncode}: {done.stderr.strip()[-_SHOWN:]}"
    if done.returncode in (_WRONG_USAGE, _NOT_FOUND):
        raise AirflowFailException(said)
    raise AirflowException(said)


def request_id(context: dict[str, Any]) -> str:
    """The id of what this run asks for: the same, whenever and however often it is asked."""
    return str(uuid5(NAMESPACE_URL, f"airflow:{context['dag'].dag_id}:{moment(context)}"))


def moment(context: dict[str, Any]) -> str:
    """The logical date of this run, in UTC; a run that was begun by hand may have none."""
    run = context["dag_run"]
    return f"{run.logical_date or run.run_after:%Y-%m-%dT%H:%M:%S}"


def tell_failure(context: dict[str, Any]) -> None:
    """Say which run failed in one line, for whatever watches the logs."""
    log.error("run %s of %s failed", context["run_id"], context["dag"].dag_id)
