"""`trending experiments`: which versions are compared, and who gets which."""

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from getpass import getuser
from typing import Annotated, Any, Literal

import typer
from pydantic import ValidationError

from trending_cli import clients
from trending_cli.output import Exit, JsonOption, console, fail, print_json, print_table, shown
from trending_shared.errors import ExperimentNotFound
from trending_shared.experiments import Arm, Experiment, Experiments, Subject
from trending_shared.registry import CHAMPION
from trending_shared.storage import ObjectStore

app = typer.Typer(
    no_args_is_help=True, help="Compare versions of a model or a prompt: start, weigh, stop."
)

SubjectOption = Annotated[Subject, typer.Option("--subject", help="What is compared.")]
TargetOption = Annotated[
    str, typer.Option("--target", help="Its name in the registry: genres, insights.")
]
ReasonOption = Annotated[str, typer.Option(help="Why; kept in the history.")]
TARGET = "genres"


def _experiments() -> Experiments:
    return Experiments(ObjectStore.at(clients.settings().store))


@app.command("list")
def list_(as_json: JsonOption = False) -> None:
    """List the last experiment with each target."""
    found = _experiments().all()
    if as_json:
        print_json(found)
        return
    rows = [
        [
            *(f"{each.subject} {each.target}", each.name, each.state, arm.name, arm.version),
            *(f"{arm.weight:g}", f"{arm.shadow:g}"),
        ]
        for each in found
        for arm in each.arms
    ]
    columns = ["target", "experiment", "state", "arm", "version", "weight", "shadow"]
    print_table("experiments", columns, rows)


@app.command()
def start(
    name: Annotated[str, typer.Argument(help="A new name; it decides who gets which arm.")],
    arm: Annotated[
        list[str],
        typer.Option(help="NAME=VERSION:WEIGHT, with champion as a version; may be repeated."),
    ],
    shadow: Annotated[
        list[str] | None,
        typer.Option(help="NAME=VERSION:SHARE of the other arms' units it is asked for, unseen."),
    ] = None,
    subject: SubjectOption = "models",
    target: TargetOption = TARGET,
    reason: ReasonOption = "by hand",
    as_json: JsonOption = False,
) -> None:
    """Start an experiment; gateways follow within a second or so of being asked."""
    arms: dict[str, dict[str, Any]] = {}
    for part, texts in (("weight", arm), ("shadow", shadow or [])):
        for text in texts:
            of, version, value = _parse(text)
            fields = arms.setdefault(of, {"name": of, "version": version})
            if fields["version"] != version or part in fields:
                raise fail(f"{of} is told twice", Exit.USAGE)
            fields[part] = _number(part, value)
    experiments = _experiments()
    _change(
        experiments,
        experiments.current(subject, target),
        (subject, target),
        name=name,
        state="running",
        arms=_arms(arms),
        reason=reason,
        as_json=as_json,
    )


@app.command()
def weights(
    arm: Annotated[list[str], typer.Argument(help="NAME=WEIGHT of arms that change.")],
    shadow: Annotated[
        list[str] | None, typer.Option(help="NAME=SHARE of arms whose share changes.")
    ] = None,
    subject: SubjectOption = "models",
    target: TargetOption = TARGET,
    reason: ReasonOption = "by hand",
    as_json: JsonOption = False,
) -> None:
    """Change the weights of a running experiment; no more units move than that asks for."""
    experiments = _experiments()
    running = _running(experiments, subject, target)
    arms = {each.name: each.model_dump() for each in running.arms}
    for part, texts in (("weight", arm), ("shadow", shadow or [])):
        for text in texts:
            of, _, value = text.partition("=")
            if of not in arms:
                raise fail(f"{running.name} has no arm {of}", Exit.USAGE)
            arms[of][part] = _number(part, value)
    _change(
        experiments,
        running,
        (subject, target),
        name=running.name,
        state="running",
        arms=_arms(arms),
        reason=reason,
        as_json=as_json,
    )


@app.command()
def stop(
    subject: SubjectOption = "models",
    target: TargetOption = TARGET,
    reason: ReasonOption = "by hand",
    as_json: JsonOption = False,
) -> None:
    """Stop the running experiment: the champion alone answers again."""
    experiments = _experiments()
    running = _running(experiments, subject, target)
    _change(
        experiments,
        running,
        (subject, target),
        name=running.name,
        state="stopped",
        arms=running.arms,
        reason=reason,
        as_json=as_json,
    )


def _running(experiments: Experiments, subject: Subject, target: str) -> Experiment:
    found = experiments.current(subject, target)
    if found is None or not found.running:
        raise ExperimentNotFound(f"no experiment with {subject} {target} is running")
    return found


def _change(
    experiments: Experiments,
    expected: Experiment | None,
    of: tuple[Subject, str],
    *,
    name: str,
    state: Literal["running", "stopped"],
    arms: Sequence[Arm],
    reason: str,
    as_json: bool,
) -> None:
    new = experiments.change(
        *of,
        name=name,
        state=state,
        arms=arms,
        expected=expected,
        reasons=(reason,),
        changed_by=getuser(),
        at=datetime.now(UTC),
    )
    if as_json:
        print_json(new)
        return
    told = ", ".join(f"{each.name} {each.weight:g}" for each in new.arms)
    console.print(shown(f"{new.subject} {new.target}: {new.name} is {new.state}, {told}"))


def _parse(text: str) -> tuple[str, str, str]:
    """`NAME=VERSION:NUMBER` in its parts."""
    name, equals, rest = text.partition("=")
    version, colon, value = rest.partition(":")
    if not (equals and colon):
        raise fail(f"{text}: write NAME=VERSION:NUMBER, as in control={CHAMPION}:1", Exit.USAGE)
    return name, version, value


def _number(part: str, text: str) -> float:
    try:
        return float(text)
    except ValueError:
        raise fail(f"{part}: {text!r} isn't a number", Exit.USAGE) from None


def _arms(fields: Mapping[str, Mapping[str, Any]]) -> list[Arm]:
    try:
        return [Arm.model_validate(each) for each in fields.values()]
    except ValidationError as error:
        first = error.errors()[0]
        raise fail(f"{first['loc'][0]}: {first['msg']}", Exit.USAGE) from error
