"""`trending story`: what happened to one title, in all services, in the order of time."""

import asyncio
from typing import TYPE_CHECKING, Annotated

import typer
from rich.table import Table
from rich.text import Text

from trending_cli import clients
from trending_cli.output import Exit, JsonOption, console, errors, fail, print_json, shown
from trending_shared.errors import StoreUnavailable
from trending_shared.settings import CommonSettings
from trending_shared.storage import ObjectStore

if TYPE_CHECKING:
    from trending_cli.stories import Story

_COLOURS = {
    "scraper": "cyan",
    "cleaner": "green",
    "featurizer": "yellow",
    "trainer": "magenta",
    "inference": "blue",
    "monitor": "red",
}
_BAD = ("refused", "parked")


def story(
    title: Annotated[
        str,
        typer.Argument(
            help="A title's id, its name or a part of it, its address, `source:id`, or the id of a "
            "prediction."
        ),
    ],
    as_json: JsonOption = False,
) -> None:
    """Tell one title's story: who did what with it, when, and in which trace."""
    from trending_cli.stories import TitleAmbiguous, TitleUnknown

    try:
        found = asyncio.run(_tell(clients.settings(), title))
    except TitleUnknown as error:
        raise fail(str(error), Exit.NOT_FOUND) from error
    except TitleAmbiguous as error:
        for id, name, url in error.candidates:
            errors.print(shown(f"{id}  {name}  {url}"), soft_wrap=True)
        if error.more:
            errors.print(shown(f"and {error.more} more"))
        raise fail(str(error), Exit.USAGE) from error
    if as_json:
        print_json(found)
    else:
        _show(found)


async def _tell(common: CommonSettings, title: str) -> "Story":
    from trending_cli.stories import tell_story
    from trending_shared.catalog import Catalog

    catalog = Catalog(common.catalog)
    try:
        if not await catalog.ping():
            raise StoreUnavailable("the catalog doesn't answer; see `trending doctor`")
        await catalog.create()
        return await tell_story(
            title,
            catalog=catalog,
            store=ObjectStore.at(common.store),
            store_url=common.store,
            kafka=common.kafka,
        )
    finally:
        await catalog.close()


def _show(found: "Story") -> None:
    name = found.name or f"{found.source}:{found.source_id}"
    about = " ".join(filter(None, (found.title_id, f"{found.source}:{found.source_id}", found.url)))
    console.print(Text(f"{shown(name)} ", "bold") + shown(about))
    table = Table(box=None, show_header=False, padding=(0, 1, 0, 0))
    table.add_column(no_wrap=True)
    table.add_column(justify="right", no_wrap=True, style="dim")
    table.add_column(no_wrap=True)
    table.add_column(no_wrap=True)
    table.add_column(no_wrap=True)
    table.add_column(overflow="fold")
    day = ""
    for step in found.steps:
        if day != (day := f"{step.at:%Y-%m-%d}"):
            table.add_row(Text(day, "bold"), "", "│")
        colour = _COLOURS.get(step.service, "white")
        bad = any(word in step.what for word in _BAD)
        table.add_row(
            f"{step.at:%H:%M:%S}.{step.at.microsecond // 1000:03}" if step.exact else "~",
            "" if step.seconds is None else f"+{told_duration(step.seconds)}",
            Text("✗" if bad else "●", "red" if bad else colour),
            Text(step.service, colour),
            shown(step.what),
            shown(step.told),
        )
    console.print(table)
    for trace, count in found.traces.items():
        console.print(shown(f"trace {trace}: {count} of {len(found.steps)} steps"))
    for gap in found.gaps:
        console.print(Text("gap ", "bold") + shown(gap))
    console.print(shown(f"{told_duration(found.seconds)} from the first step to the last"))


def told_duration(seconds: float) -> str:
    """Seconds as a person reads them: 120 ms, 3.4 s, 5 min, 2 h, 3 d."""
    for unit, size in (("d", 86_400), ("h", 3600), ("min", 60)):
        if seconds >= 2 * size:
            return f"{seconds / size:.0f} {unit}"
    return f"{seconds:.1f} s" if seconds >= 1 else f"{seconds * 1000:.0f} ms"
