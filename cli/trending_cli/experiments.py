"""`trending experiment`: which versions are compared, who gets which, and what came of it."""

import subprocess
import sys
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from getpass import getuser
from typing import Annotated, Any, Literal

import typer
from pydantic import ValidationError

from trending_cli import clients
from trending_cli.output import Exit, JsonOption, console, fail, print_json, print_table, shown
from trending_cli.standings import show_standing
from trending_shared.errors import ExperimentNotFound, ModelNotFound
from trending_shared.experiments import (
    Arm,
    Experiment,
    Experiments,
    Judgement,
    Subject,
    shadow_arms,
)
from trending_shared.prompts import PromptRegistry
from trending_shared.registry import CHAMPION, ModelRegistry
from trending_shared.standings import find_standing
from trending_shared.storage import ObjectStore

app = typer.Typer(
    no_args_is_help=True,
    help="Compare versions of a model or a prompt, by rule or by hand.",
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
    candidate: Annotated[
        str | None,
        typer.Option(help="A version that the monitor is to try against the champion, by itself."),
    ] = None,
    arm: Annotated[
        list[str] | None,
        typer.Option(help="By hand: NAME=VERSION:WEIGHT, or champion as version; repeatable."),
    ] = None,
    shadow: Annotated[
        list[str] | None,
        typer.Option(help="NAME=VERSION:SHARE of the other arms' units it is asked for, unseen."),
    ] = None,
    subject: SubjectOption = "models",
    target: TargetOption = TARGET,
    reason: ReasonOption = "by hand",
    as_json: JsonOption = False,
) -> None:
    """Start an experiment; gateways follow within a second or so of being asked.

    With --candidate the monitor conducts it: shadow, split, and a promotion or a refusal. With
    --arm nothing happens but by hand.
    """
    if (candidate is None) == (not arm and not shadow):
        raise fail("say --candidate VERSION, or the arms by hand with --arm", Exit.USAGE)
    experiments = _experiments()
    if candidate is not None:
        control = _champion(subject, target)
        _change(
            experiments,
            experiments.current(subject, target),
            (subject, target),
            name=name,
            state="running",
            arms=_trial(control, candidate),
            reason=reason,
            as_json=as_json,
            judged=Judgement(phase="shadow", cause="by hand"),
        )
        return
    arms: dict[str, dict[str, Any]] = {}
    for part, texts in (("weight", arm or []), ("shadow", shadow or [])):
        for text in texts:
            of, version, value = _parse(text)
            fields = arms.setdefault(of, {"name": of, "version": version})
            if fields["version"] != version or part in fields:
                raise fail(f"{of} is told twice", Exit.USAGE)
            fields[part] = _number(part, value)
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
def status(
    name: Annotated[
        str | None, typer.Argument(help="An experiment; without one the last with the target.")
    ] = None,
    subject: SubjectOption = "models",
    target: TargetOption = TARGET,
    as_json: JsonOption = False,
) -> None:
    """How an experiment stands that the monitor conducts, and what a decision still needs."""
    store = ObjectStore.at(clients.settings().store)
    if name is None:
        last = Experiments(store).current(subject, target)
        if last is None:
            raise ExperimentNotFound(f"there was no experiment with {subject} {target}")
        name = last.name
    standing = find_standing(store, name)
    if as_json:
        print_json(standing)
    else:
        show_standing(standing)


@app.command()
def simulate(
    effect: Annotated[
        float, typer.Option(help="How much better or worse, of a score from 0 to 1.")
    ] = 0.05,
    runs: Annotated[int, typer.Option(help="Experiments in each scenario.")] = 1000,
    outcomes: Annotated[
        int, typer.Option(help="After which an experiment that isn't decided ends.")
    ] = 5000,
    alpha: Annotated[float, typer.Option(help="Chance of a false promotion.")] = 0.05,
    seed: Annotated[int | None, typer.Option(help="Of chance; each call draws anew.")] = None,
    as_json: JsonOption = False,
) -> None:
    """Play whole experiments of which it is known what they should decide.

    Through the code that conducts the real ones: equal versions, a better and a worse one, one that
    is worse on a part, and a slow one.
    """
    # The monitor's own program, as for `trending drift`.
    command = [sys.executable, "-m", "trending_monitor.simulating", "--effect", str(effect)]
    command += ["--runs", str(runs), "--outcomes", str(outcomes), "--alpha", str(alpha)]
    command += [] if seed is None else ["--seed", str(seed)]
    done = subprocess.run([*command, *(["--json"] if as_json else [])], check=False)
    raise typer.Exit(done.returncode)


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


def _champion(subject: Subject, target: str) -> str:
    store = ObjectStore.at(clients.settings().store)
    aliases = ModelRegistry(store) if subject == "models" else PromptRegistry(store).aliases
    pointer = aliases.pointer(target)
    if pointer is None and subject == "models":
        raise ModelNotFound(f"{target} has no champion to try against")
    return pointer.version if pointer else CHAMPION  # prompts: the one the gateway comes with


def _trial(control: str, candidate: str) -> Sequence[Arm]:
    try:
        return shadow_arms(control, candidate)
    except ValidationError as error:
        raise fail(f"{candidate} isn't a version", Exit.USAGE) from error


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
    judged: Judgement | None = None,
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
        judged=judged,
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
