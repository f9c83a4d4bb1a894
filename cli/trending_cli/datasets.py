"""`trending datasets`: the snapshots that models learn from, and a new one."""

import asyncio
import hashlib
from typing import Annotated, Any
from uuid import UUID

import typer

from trending_cli import clients
from trending_cli.asking import ask
from trending_cli.output import (
    Exit,
    JsonOption,
    console,
    errors,
    fail,
    print_facts,
    print_json,
    print_table,
    shown,
)
from trending_shared.datasets import DatasetManifest, list_datasets, newest_manifest, read_manifest
from trending_shared.errors import ObjectMissing
from trending_shared.events import DatasetPublished, DatasetRequested
from trending_shared.messages import first_message
from trending_shared.storage import ObjectStore

app = typer.Typer(no_args_is_help=True, help="See dataset snapshots, and have one cut.")


@app.command("list")
def list_(as_json: JsonOption = False) -> None:
    """List all snapshots, oldest first."""
    store = ObjectStore.at(clients.settings().store)
    manifests = [read_manifest(store, dataset_id) for dataset_id in list_datasets(store)]
    manifests.sort(key=lambda one: (one.created_at, one.dataset_id))
    if as_json:
        print_json(manifests)
        return
    rows = [
        [m.dataset_id, f"{m.created_at:%Y-%m-%d %H:%M}", m.rows, m.labelled, m.reviews, m.recipe]
        for m in manifests
    ]
    print_table("datasets", ["id", "created", "titles", "labelled", "reviews", "recipe"], rows)


@app.command()
def show(
    dataset: Annotated[str, typer.Argument(help="A snapshot's id, or `newest`.")] = "newest",
    as_json: JsonOption = False,
) -> None:
    """Show one snapshot's manifest, and the hash of it. Status 3: there is no such snapshot."""
    store = ObjectStore.at(clients.settings().store)
    manifest = find_manifest(store, dataset)
    facts = {**manifest.model_dump(mode="json"), "manifest_sha256": _hash(store, manifest)}
    if as_json:
        print_json(facts)
    else:
        print_facts(facts)


@app.command()
def cut(
    reason: Annotated[str, typer.Option(help="Why; it travels with the request.")] = "by hand",
    id: Annotated[
        UUID | None,
        typer.Option(help="Id of the request; one that was made already is only followed."),
    ] = None,
    wait: Annotated[bool, typer.Option("--wait/--no-wait", help="Until it is published.")] = True,
    as_json: JsonOption = False,
) -> None:
    """Have a snapshot cut of everything known by now. Status 1: the request is parked.

    Where nothing is new that is the snapshot before: its id says what it holds.
    """
    common = clients.settings()
    request = first_message(DatasetRequested(reason=reason), id=id)
    with errors.status(f"request {request.id}, waiting for the featurizer"):
        walk, new = asyncio.run(
            ask(
                common,
                request,
                until=lambda walk: (
                    not wait or walk.count(DatasetPublished) > 0 or request.id in walk.parked
                ),
            )
        )
    found = walk.first_of(DatasetPublished)
    parked = walk.parked.get(request.id)
    if as_json:
        told: dict[str, Any] = {"request_id": request.id, "published": new, "parked": parked}
        names = ("dataset_id", "manifest_key", "titles", "labelled")
        told |= {name: getattr(found, name, None) for name in names}
        print_json(told)
    elif found:
        console.print(f"dataset [bold]{found.dataset_id}[/]: {found.titles} titles")
    elif parked:
        console.print(shown(f"the featurizer parked the request: {parked}"))
    else:
        console.print(f"requested dataset, by request [bold]{request.id}[/]")
    if parked:
        raise typer.Exit(Exit.FAILED)


def find_manifest(store: ObjectStore, dataset: str) -> DatasetManifest:
    """The manifest of a snapshot that a person named.

    Raises:
        typer.Exit: there is none of this id, or none at all.
    """
    if dataset == "newest":
        if newest := newest_manifest(store):
            return newest
        raise fail("no dataset has been cut yet; see `trending datasets cut`", Exit.NOT_FOUND)
    try:
        return read_manifest(store, dataset)
    except ObjectMissing as error:
        raise fail(f"there is no dataset {dataset}", Exit.NOT_FOUND) from error


def _hash(store: ObjectStore, manifest: DatasetManifest) -> str:
    return hashlib.sha256(store.get(manifest.key)).hexdigest()
