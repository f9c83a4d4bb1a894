"""`trending import`: files become scrape jobs, part by part."""

import asyncio
import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Annotated
from uuid import UUID

import typer
from pydantic import TypeAdapter, ValidationError
from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn, TimeElapsedColumn

from trending_cli import clients
from trending_cli.import_files import Lines, Report, csv_parts, imdb_parts
from trending_cli.output import (
    Exit,
    JsonOption,
    console,
    errors,
    fail,
    print_facts,
    print_json,
    warn,
)
from trending_shared.imports import keep_part, part_job
from trending_shared.messages import first_message
from trending_shared.settings import CommonSettings
from trending_shared.sources import read_catalogue
from trending_shared.storage import ObjectStore
from trending_shared.topics import all_event_topics, ensure_topics

app = typer.Typer(
    no_args_is_help=True,
    help="Import files. Rows that can't be used are named and passed over: status 1. "
    "Importing a file again does nothing twice.",
)

FileArgument = Annotated[Path, typer.Argument(exists=True, dir_okay=False, readable=True)]
Parts = Callable[[Sequence[Lines], Report], Iterator[bytes]]


@app.command(name="csv")
def import_csv(
    file: FileArgument,
    source: Annotated[
        str, typer.Option(help="Its entry in the source catalogue, which says its licence.")
    ] = "csv",
    as_json: JsonOption = False,
) -> None:
    """Import a CSV (UTF-8, gzip'd or not) in the columns of Kaggle's netflix_titles.csv."""
    common = _may_import(source, adapter="csv_file")

    def parts(lines: Sequence[Lines], report: Report) -> Iterator[bytes]:
        return csv_parts(lines[0], report)

    _import(common, source, [file], parts, as_json)


@app.command(name="imdb")
def import_imdb(
    basics: Annotated[
        Path, typer.Option(exists=True, dir_okay=False, help="title.basics.tsv, gzip'd or not.")
    ],
    ratings: Annotated[
        Path, typer.Option(exists=True, dir_okay=False, help="title.ratings.tsv, likewise.")
    ],
    min_votes: Annotated[int, typer.Option(min=0, help="Pass over titles with fewer votes.")] = 0,
    as_json: JsonOption = False,
) -> None:
    """Import the films and shows of IMDb's datasets, once you have accepted their terms."""
    common = _may_import("imdb", adapter="imdb")

    def parts(lines: Sequence[Lines], report: Report) -> Iterator[bytes]:
        return imdb_parts(lines[0], lines[1], report, min_votes=min_votes)

    _import(common, "imdb", [basics, ratings], parts, as_json)


def _may_import(source: str, *, adapter: str) -> CommonSettings:
    common = clients.settings()
    entry = read_catalogue(common.sources_file).get(source)
    if entry is None or entry.adapter != adapter:
        raise fail(f"the catalogue has no source {source} with the adapter {adapter}", Exit.USAGE)
    if entry.consent and not _is_true(os.environ.get(entry.consent, "")):
        raise fail(f"read {entry.terms} and set {entry.consent}=true", Exit.USAGE)
    asked = {name.strip() for name in os.environ.get("SCRAPER_SOURCES", "").split(",")}
    if source not in asked:
        warn(
            f"SCRAPER_SOURCES has no {source} here; a scraper that runs without it parks these "
            "jobs, and `trending dlq replay` brings them back"
        )
    return common


def _is_true(text: str) -> bool:
    try:
        return TypeAdapter(bool).validate_python(text)
    except ValidationError:
        return False


def _import(
    common: CommonSettings, source: str, files: Sequence[Path], parts: Parts, as_json: bool
) -> None:
    report, story = Report(), None
    with ExitStack() as opened:
        lines = [Lines(opened.enter_context(path.open("rb")), str(path)) for path in files]
        progress = opened.enter_context(_progress(hidden=as_json))
        bar = progress.add_task("reading", total=sum(path.stat().st_size for path in files), rows=0)

        def watched() -> Iterator[bytes]:
            for part in parts(lines, report):
                yield part
                progress.update(bar, completed=sum(each.read for each in lines), rows=report.rows)

        story = asyncio.run(_publish(common, source, watched()))
    told = {
        "job_id": story,
        "rows": report.rows,
        "parts": report.parts,
        "passed_over": dict(report.passed_over),
        "broken": dict(report.broken),
    }
    if as_json:
        examples = [str(row) for row in report.examples]
        print_json({**told, "broken_rows": examples})
    else:
        _tell(report)
        if story:
            console.print(f"see `trending jobs status {story} --follow`")
    if not report.rows:
        raise fail("no row could be imported")
    if report.broken:
        raise typer.Exit(Exit.FAILED)


async def _publish(common: CommonSettings, source: str, parts: Iterator[bytes]) -> UUID | None:
    """Keep each part and publish its job; all belong to the story that the first one begins."""
    store, story = ObjectStore.at(common.store), None
    topics = all_event_topics(partitions=common.kafka.partitions)
    async with clients.publisher(common) as sender:
        await ensure_topics(topics, common.kafka.connection, common.kafka.replication_factor)
        for part in parts:
            id, job = part_job(source, keep_part(store, part))
            story = story or id
            await sender.publish([first_message(job, id=id, correlation_id=story)])
    return story


def _progress(*, hidden: bool) -> Progress:
    return Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        TaskProgressColumn(),
        TextColumn("{task.fields[rows]} rows"),
        TimeElapsedColumn(),
        console=errors,
        transient=True,
        disable=hidden or not errors.is_terminal,
    )


def _tell(report: Report) -> None:
    for row in report.examples:
        warn(str(row))
    unnamed = report.broken.total() - len(report.examples)
    if unnamed:
        warn(f"and {unnamed} more such rows")
    print_facts(
        {
            "rows": report.rows,
            "parts": report.parts,
            **{f"passed over, {why}": count for why, count in report.passed_over.items()},
            **{f"broken, {why}": count for why, count in report.broken.items()},
        }
    )
