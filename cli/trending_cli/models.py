"""`trending models`: what the registry holds and which model is in force."""

from datetime import UTC, datetime
from getpass import getuser
from typing import Annotated

import typer

from trending_cli import clients
from trending_cli.output import (
    Exit,
    JsonOption,
    console,
    fail,
    print_facts,
    print_json,
    print_table,
    run_async,
)
from trending_shared.errors import AliasMoved, ModelNotFound
from trending_shared.events import ModelPromoted
from trending_shared.messages import first_message
from trending_shared.registry import CHAMPION, Manifest, ModelRegistry, Pointer
from trending_shared.settings import CommonSettings
from trending_shared.storage import ObjectStore

app = typer.Typer(no_args_is_help=True, help="See, promote and roll back models.")

NameOption = Annotated[str, typer.Option("--model", help="The registry's name of the task.")]


def _registry(common: CommonSettings) -> ModelRegistry:
    return ModelRegistry(ObjectStore.at(common.store))


@app.command("list")
def list_(model: NameOption = "genres", as_json: JsonOption = False) -> None:
    """List all models of a task, oldest first."""
    registry = _registry(clients.settings())
    pointer = registry.pointer(model)
    champion = pointer.version if pointer else None
    manifests = registry.versions(model)
    if as_json:
        print_json({"champion": champion, "versions": manifests})
        return
    rows = [
        [
            m.version,
            "champion" if m.version == champion else "",
            m.algorithm,
            f"{m.metrics.get('macro_f1', float('nan')):.4f}",
            m.dataset_id,
            f"{m.created_at:%Y-%m-%d %H:%M}",
        ]
        for m in manifests
    ]
    print_table(model, ["version", "alias", "algorithm", "macro-F1", "dataset", "created"], rows)


@app.command()
def show(
    version: Annotated[str, typer.Argument(help="A version, or champion.")] = CHAMPION,
    model: NameOption = "genres",
    as_json: JsonOption = False,
) -> None:
    """Show one model: scores, thresholds, ancestry."""
    manifest = _manifest(_registry(clients.settings()), model, version)
    if as_json:
        print_json(manifest)
        return
    facts = manifest.model_dump(exclude={"metrics", "reference", "thresholds", "labels", "card"})
    print_facts(facts)
    per_genre = manifest.metrics.get("per_genre", {})
    rows = [
        [genre, *(f"{scores[k]:.3f}" for k in ("f1", "precision", "recall")), scores["support"]]
        for genre, scores in per_genre.items()
    ]
    print_table(
        f"macro-F1 {manifest.metrics['macro_f1']:.4f}",
        ["genre", "F1", "precision", "recall", "support"],
        rows,
    )


@app.command()
def promote(
    version: Annotated[str, typer.Argument(help="The version to put in force.")],
    model: NameOption = "genres",
    reason: Annotated[str, typer.Option(help="Why; kept in the history.")] = "by hand",
    as_json: JsonOption = False,
) -> None:
    """Make a version the champion, whatever the gate said of it."""
    common = clients.settings()
    registry = _registry(common)
    manifest = _manifest(registry, model, version)
    _move(common, registry, manifest, (reason,), as_json=as_json)


@app.command()
def rollback(model: NameOption = "genres", as_json: JsonOption = False) -> None:
    """Put the champion before the present one back in force."""
    common = clients.settings()
    registry = _registry(common)
    history = registry.history(model)
    before = [p for p in history if p.version != history[-1].version] if history else []
    if not before:
        raise fail(f"{model} has had no other champion", Exit.NOT_FOUND)
    manifest = registry.manifest(model, before[-1].version)
    reasons = (f"rolled back from {history[-1].version}",)
    _move(common, registry, manifest, reasons, as_json=as_json)


def _manifest(registry: ModelRegistry, model: str, version: str) -> Manifest:
    try:
        if version == CHAMPION:
            return registry.champion(model)
        return registry.manifest(model, version)
    except ModelNotFound as error:
        raise fail(str(error), Exit.NOT_FOUND) from error


def _move(
    common: CommonSettings,
    registry: ModelRegistry,
    manifest: Manifest,
    reasons: tuple[str, ...],
    *,
    as_json: bool,
) -> None:
    seen = registry.pointer(manifest.name)
    if seen and seen.version == manifest.version:
        raise fail(f"{manifest.version} is the champion already")
    try:
        pointer = registry.move(
            manifest.name,
            manifest.version,
            expected=seen,
            reasons=reasons,
            moved_by=f"{getuser()} by command",
            at=datetime.now(UTC),
        )
    except AliasMoved as error:
        raise fail(f"{error}; look again before you decide") from error
    run_async(_announce(common, manifest.name, pointer, seen))
    if as_json:
        print_json(pointer)
    else:
        console.print(f"[green]{manifest.name} champion is now {pointer.version}[/]")


async def _announce(
    common: CommonSettings, model: str, pointer: Pointer, previous: Pointer | None
) -> None:
    event = ModelPromoted(
        model=model,
        model_version=pointer.version,
        alias=CHAMPION,
        number=pointer.number,
        previous=previous.version if previous else None,
        reasons=pointer.reasons,
    )
    async with clients.publisher(common) as sender:
        await sender.publish([first_message(event)])
