"""`trending lineage`: from a prediction back to the page it came from, and once more forward."""

from typing import Annotated

import typer
from rich.tree import Tree

from trending_cli import clients
from trending_cli.output import Exit, JsonOption, console, fail, print_json, run_async
from trending_shared.catalog import Catalog
from trending_shared.errors import Unavailable
from trending_shared.lineage import Lineage, PredictionUnknown, trace_prediction
from trending_shared.registry import ModelRegistry
from trending_shared.settings import CommonSettings
from trending_shared.storage import ObjectStore


def lineage(
    prediction: Annotated[str, typer.Argument(help="A prediction's id, as the gateway gave it.")],
    replay: Annotated[bool, typer.Option("--replay", help="Execute it again.")] = False,
    as_json: JsonOption = False,
) -> None:
    """Tell where a prediction came from. Status 1 if a replay differs or a page was changed."""
    try:
        found = run_async(_trace(clients.settings(), prediction, replay=replay))
    except PredictionUnknown as error:
        raise fail(f"{error}; the monitor may not have recorded it yet", Exit.NOT_FOUND) from error
    except Unavailable as error:
        raise fail(str(error), Exit.UNREACHABLE) from error
    if as_json:
        print_json(found)
    else:
        console.print(_tree(found))
    if (found.replay and not found.replay.equal) or (replay and found.replay is None):
        raise typer.Exit(Exit.FAILED)
    if any(not row.page.verified for row in found.rows):
        raise typer.Exit(Exit.FAILED)


async def _trace(common: CommonSettings, prediction: str, *, replay: bool) -> Lineage:
    store = ObjectStore.at(common.store)
    catalog = Catalog(common.catalog)
    try:
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


def _tree(found: Lineage) -> Tree:
    served = found.prediction
    tree = Tree(f"[bold]prediction {served.prediction_id}[/] of {served.served_at:%Y-%m-%d %H:%M}")
    tree.add(f"genres {', '.join(served.genres) or '(abstained)'}; text hash {served.text_hash}")
    branch = tree
    if found.model:
        model = found.model
        branch = branch.add(
            f"[bold]model {model.name} {model.version}[/] {model.algorithm}, "
            f"code {model.code_version}, training {model.training_id}"
        )
    if found.dataset:
        dataset = found.dataset
        tables = ", ".join(f"{name} at version {v}" for name, v in dataset.tables.items())
        branch = branch.add(
            f"[bold]dataset {dataset.dataset_id}[/] {dataset.rows} rows, "
            f"{dataset.labelled} labelled, from {tables}"
        )
    for row in found.rows:
        why = " and ".join(
            name for name, same in (("title", row.same_title), ("text", row.same_text)) if same
        )
        place = branch.add(f"[bold]row {row.title_id}[/] in the {row.found_in}, the same {why}")
        mark = "[green]verified[/]" if row.page.verified else "[red]not verified[/]"
        place.add(f"[bold]page[/] {row.page.url}\n{row.page.key}\nsha256 {row.page.hash} {mark}")
    for gap in found.gaps:
        tree.add(f"[yellow]gap:[/] {gap}")
    if found.replay:
        verdict = "[green]the same[/]" if found.replay.equal else "[red]different[/]"
        tree.add(f"[bold]replay[/] {verdict}, largest difference {found.replay.max_difference:.1e}")
    return tree
