"""`trending retrain`: why a model was trained anew or wasn't, and asking for it."""

import asyncio
import json
import subprocess
import sys
from collections.abc import Mapping, Sequence
from typing import Annotated, Any
from uuid import UUID

import typer

from trending_cli import clients
from trending_cli.asking import ask
from trending_cli.output import Exit, JsonOption, console, errors, print_json, print_table, shown
from trending_shared.events import RetrainingDecided, RetrainingRequested
from trending_shared.messages import first_message

app = typer.Typer(
    no_args_is_help=True, help="Why a model is trained anew or isn't, and asking for it."
)


@app.command()
def why(
    limit: Annotated[int, typer.Option(min=0, help="Decisions to show.")] = 20,
    as_json: JsonOption = False,
) -> None:
    """Show the last decisions, newest first, and what would be decided now."""
    found = _foresee("--limit", str(limit))
    if as_json:
        print_json(found)
        return
    rows = [
        [
            _time(one["decided_at"]),
            one["trigger"],
            "yes" if one["retrain"] else "no",
            "; ".join(one["reasons"]),
            _time(one["possible_at"]),
            one["outcome"] or ("under way" if one["retrain"] else ""),
        ]
        for one in found["decided"]
    ]
    columns = ["decided at (UTC)", "trigger", "retrain", "because", "possible at", "came to"]
    print_table("decisions", columns, rows)
    print_table("now", *_table(found["now"]))


@app.command()
def now(
    reason: Annotated[str, typer.Option(help="Why; it is in the decision and the model.")],
    force: Annotated[
        bool, typer.Option("--force", help="Train, whatever speaks against it.")
    ] = False,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Only tell what would be decided.")
    ] = False,
    id: Annotated[
        UUID | None,
        typer.Option(help="Id of the request; one that was made already is only followed."),
    ] = None,
    as_json: JsonOption = False,
) -> None:
    """Ask for a model to be trained anew, and wait for the decision; status 1 if it is a no."""
    if dry_run:
        arguments = ["--limit", "0", "--reason", reason, *(["--force"] if force else [])]
        decision = _foresee(*arguments)["now"]["person"]
    else:
        request = first_message(RetrainingRequested(reason=reason, force=force), id=id)
        with errors.status(f"request {request.id}, waiting for the monitor"):
            walk, _ = asyncio.run(
                ask(
                    clients.settings(),
                    request,
                    until=lambda walk: (
                        walk.count(RetrainingDecided) > 0 or request.id in walk.parked
                    ),
                )
            )
        decided = walk.first_of(RetrainingDecided)
        decision = {
            "request_id": str(request.id),
            "parked": walk.parked.get(request.id),
            **(decided.model_dump(mode="json") if decided else {"retrain": False, "reasons": []}),
        }
    if as_json:
        print_json(decision)
    else:
        _tell(decision, dry_run=dry_run)
    if not decision["retrain"]:
        raise typer.Exit(Exit.FAILED)


def _foresee(*arguments: str) -> Any:
    """What the monitor's own program says: its policy is nobody else's business."""
    command = [sys.executable, "-m", "trending_monitor.foreseeing", *arguments]
    done = subprocess.run(command, check=False, stdout=subprocess.PIPE)
    if done.returncode:
        raise typer.Exit(done.returncode)
    return json.loads(done.stdout)


def _tell(decision: Mapping[str, Any], *, dry_run: bool) -> None:
    would = "would be " if dry_run else ""
    if decision["retrain"]:
        console.print(f"[green]{would}trained anew[/]")
    elif decision.get("parked"):
        console.print(shown(f"the monitor parked the request: {decision['parked']}"))
    else:
        console.print(f"[yellow]{would}not trained anew[/]")
    for each in decision["reasons"]:
        console.print(shown(each), soft_wrap=True)
    if decision.get("possible_at"):
        console.print(f"possible at {_time(decision['possible_at'])} UTC", highlight=False)


def _table(now: Mapping[str, Any]) -> tuple[Sequence[str], Sequence[Sequence[object]]]:
    rows = [
        [
            trigger,
            "yes" if one["retrain"] else "no",
            "; ".join(one["reasons"]),
            _time(one["possible_at"]),
        ]
        for trigger, one in now.items()
    ]
    return ["if it were", "retrain", "because", "possible at"], rows


def _time(moment: str | None) -> str:
    return moment.replace("T", " ")[:19] if moment else ""
