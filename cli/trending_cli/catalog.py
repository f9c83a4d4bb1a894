"""`trending catalog`: the database of point lookups, and which tables it has."""

import asyncio
from typing import Annotated, Any

import typer

from trending_cli import clients
from trending_cli.output import console, print_json

app = typer.Typer(no_args_is_help=True, help="The catalog's tables, and bringing them up to date.")
JsonOption = Annotated[bool, typer.Option("--json", help="Print one JSON document.")]


@app.command()
def status(as_json: JsonOption = False) -> None:
    """Show where the catalog is, and whether its tables are what this release needs."""
    _show(asyncio.run(_look(migrate=False)), as_json)


@app.command()
def migrate(as_json: JsonOption = False) -> None:
    """Bring the tables to what this release needs; services do so themselves when they start.

    Nothing is taken away, so services of the release before work on.
    """
    _show(asyncio.run(_look(migrate=True)), as_json)


async def _look(*, migrate: bool) -> dict[str, Any]:
    from trending_shared import migrations  # these take a second
    from trending_shared.catalog import Catalog

    catalog = Catalog(clients.settings().catalog)
    try:
        if migrate:
            await catalog.create()
        return {
            "url": catalog.engine.url.render_as_string(hide_password=True),
            "revision": await catalog.revision(),
            "newest": migrations.newest(),
        }
    finally:
        await catalog.close()


def _show(found: dict[str, Any], as_json: bool) -> None:
    if as_json:
        print_json(found)
        return
    console.print(found["url"], highlight=False, markup=False)
    if found["revision"] is None:
        console.print("no tables of ours, or of before there were migrations")
    elif found["revision"] == found["newest"]:
        console.print(f"revision {found['revision']}, the newest")
    else:
        console.print(f"revision {found['revision']}; this release has {found['newest']}")
