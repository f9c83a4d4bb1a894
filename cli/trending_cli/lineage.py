"""`trending lineage`: from a prediction back to the page it came from, and once more forward."""

import asyncio
from typing import TYPE_CHECKING, Annotated

import typer
from rich.text import Text
from rich.tree import Tree

from trending_cli import clients
from trending_cli.output import Exit, JsonOption, console, print_json, shown
from trending_shared.errors import StoreUnavailable
from trending_shared.registry import ModelRegistry
from trending_shared.settings import CommonSettings
from trending_shared.storage import ObjectStore

if TYPE_CHECKING:
    from trending_shared.lineage import Lineage

_MOST_TEXT = 200  # characters of the text that a model read


def lineage(
    prediction: Annotated[str, typer.Argument(help="A prediction's id, as the gateway gave it.")],
    replay: Annotated[bool, typer.Option("--replay", help="Execute it again.")] = False,
    as_json: JsonOption = False,
) -> None:
    """Tell where a prediction came from. Status 1 if a replay differs or a page was changed."""
    found = asyncio.run(_trace(clients.settings(), prediction, replay=replay))
    if as_json:
        print_json(found)
    else:
        console.print(_tree(found))
    if (found.replay and not found.replay.equal) or (replay and found.replay is None):
        raise typer.Exit(Exit.FAILED)
    if any(not row.page.verified for row in found.rows):
        raise typer.Exit(Exit.FAILED)


async def _trace(common: CommonSettings, prediction: str, *, replay: bool) -> "Lineage":
    from trending_shared.catalog import Catalog  # takes a second, and only two commands need it
    from trending_shared.lineage import trace_prediction

    store = ObjectStore.at(common.store)
    catalog = Catalog(common.catalog)
    try:
        if not await catalog.ping():
            raise StoreUnavailable("the catalog doesn't answer; see `trending doctor`")
        await catalog.create()
        return await trace_prediction(
            prediction,
            catalog=catalog,
            store=store,
            registry=ModelRegistry(store),
            replay=replay,
        )
    finally:
        await catalog.close()


def _tree(found: "Lineage") -> Tree:
    served = found.prediction
    tree = Tree(_node("prediction", served.prediction_id, f"of {served.served_at:%Y-%m-%d %H:%M}"))
    tree.add(shown(f"genres {', '.join(served.genres) or '(abstained)'}"))
    tree.add(shown(f"text {served.text[:_MOST_TEXT]}, hash {served.text_hash}"))
    if served.experiment:
        told = "unseen, beside " + served.shadow_of if served.shadow_of else ""
        told = "couldn't be served; the champion answered" if served.fallback else told
        tree.add(_node("experiment", f"{served.experiment}, arm {served.arm}", told))
    branch = tree
    if model := found.model:
        told = f"{model.algorithm}, code {model.code_version}, training {model.training_id}"
        branch = branch.add(_node("model", f"{model.name} {model.version}", told))
    if dataset := found.dataset:
        tables = ", ".join(f"{name} at version {v}" for name, v in dataset.tables.items())
        told = f"{dataset.rows} rows, {dataset.labelled} labelled, from {tables}"
        branch = branch.add(_node("dataset", dataset.dataset_id, told))
    for row in found.rows:
        why = " and ".join(
            name for name, same in (("title", row.same_title), ("text", row.same_text)) if same
        )
        place = branch.add(_node("row", row.title_id, f"in the {row.found_in}, the same {why}"))
        page = place.add(_node("page", row.page.url, "" if row.page.verified else "not verified"))
        page.add(shown(f"{row.page.key}, sha256 {row.page.hash}"))
    for correction in found.corrections:
        told = f"{', '.join(correction.genres)}, on {correction.corrected_at:%Y-%m-%d %H:%M}"
        tree.add(_node("corrected by", correction.said_by, told))
    for gap in found.gaps:
        tree.add(_node("gap", "", gap))
    if found.replay:
        verdict = "the same" if found.replay.equal else "different"
        largest = f"largest difference {found.replay.max_difference:.1e}"
        tree.add(_node("replay", verdict, largest))
    return tree


def _node(kind: str, name: str, told: str) -> Text:
    return Text(f"{kind} ", "bold") + shown(" ".join(filter(None, (name, told))))
