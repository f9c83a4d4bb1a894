"""`trending jobs`: publish a scrape job, and follow it through the house."""

import asyncio
import time
from dataclasses import asdict, replace
from datetime import UTC, datetime
from typing import Annotated, Literal
from urllib.parse import urlsplit
from uuid import UUID

import typer
from rich.live import Live
from rich.table import Table

from trending_cli import clients
from trending_cli.asking import ask
from trending_cli.output import (
    Exit,
    JsonOption,
    console,
    fail,
    print_facts,
    print_json,
    print_table,
    shown,
    tell,
)
from trending_shared.events import ScrapeJob
from trending_shared.messages import Message, first_message
from trending_shared.settings import CommonSettings
from trending_shared.sources import SourceEntry, job_of_period, read_catalogue
from trending_shared.topics import all_event_topics, ensure_topics
from trending_shared.walk import Walk, watching

app = typer.Typer(no_args_is_help=True, help="Publish scrape jobs and follow them.")


async def publish_job(common: CommonSettings, job: ScrapeJob, job_id: UUID) -> None:
    """Put a job on its topic; the same id twice is the same job."""
    topics = all_event_topics(partitions=common.kafka.partitions)
    async with clients.publisher(common) as sender:
        await ensure_topics(topics, common.kafka.connection, common.kafka.replication_factor)
        await sender.publish([first_message(job, id=job_id)])


@app.command()
def publish(
    source: Annotated[str, typer.Argument(help="Its name; see `trending sources list`.")],
    url: Annotated[
        str | None, typer.Argument(help="Where to begin, unless a schedule of the source says it.")
    ] = None,
    schedule: Annotated[
        str | None, typer.Option(help="Publish this schedule's job of the period now.")
    ] = None,
    page: Annotated[
        Literal["list", "detail"] | None, typer.Option(help="What the URL is; a list if left out.")
    ] = None,
    max_pages: Annotated[
        int | None, typer.Option(min=1, max=100_000, help="List pages to follow at most.")
    ] = None,
    period: Annotated[
        datetime | None,
        typer.Option(
            help="With --schedule: the job of the period that this moment (UTC) lies in, unless "
            "somebody has published it.",
        ),
    ] = None,
    id: Annotated[
        UUID | None,
        typer.Option(help="Id of the job; one that is published already isn't published again."),
    ] = None,
    follow: Annotated[bool, typer.Option("--follow", help="Wait until it is done.")] = False,
    as_json: JsonOption = False,
) -> None:
    """Publish a scrape job."""
    common = clients.settings()
    catalogue = read_catalogue(common.sources_file)
    if source not in catalogue:
        known = ", ".join(sorted(catalogue))
        raise fail(f"the catalogue has no source {source}, but {known}", Exit.USAGE)
    if period and not schedule:
        raise fail("--period is of a schedule; give it as --schedule", Exit.USAGE)
    if period and id:
        raise fail("give --period or --id, not both: a period has an id of its own", Exit.USAGE)
    job = _beginning(source, catalogue[source], url, schedule)
    message = first_message(job, id=id)
    if period and schedule:
        moment = period.replace(tzinfo=UTC)
        message = job_of_period(source, schedule, catalogue[source].schedule[schedule], moment)
    changes = {"page": page, "max_pages": max_pages}
    job = message.event.model_copy(update={key: value for key, value in changes.items() if value})
    message = replace(message, event=job)
    asyncio.run(_publish(common, message, follow=follow, as_json=as_json))


async def _publish(
    common: CommonSettings, message: Message[ScrapeJob], *, follow: bool, as_json: bool
) -> None:
    _, new = await ask(common, message)
    was = "published job" if new else "somebody has published it before: job"
    if follow:
        tell(f"{was} {message.id}")
        await _report(common, message.id, follow=True, as_json=as_json)
    elif as_json:
        print_json({"job_id": message.id, "published": new})
    else:
        console.print(f"{was} [bold]{message.id}[/]; see `trending jobs status {message.id}`")


def _beginning(source: str, entry: SourceEntry, url: str | None, schedule: str | None) -> ScrapeJob:
    """The job that begins at a URL, with a schedule, or where the source's own entry says.

    Raises:
        typer.Exit: there is no such beginning, or more than one.
    """
    names = ", ".join(entry.schedule) or "none"
    if url and schedule:
        raise fail("give a URL or --schedule, not both", Exit.USAGE)
    if schedule and schedule not in entry.schedule:
        raise fail(f"{source} has no schedule {schedule}; it has {names}", Exit.USAGE)
    if not url and not schedule:
        if len(entry.schedule) > 1:
            raise fail(
                f"{source} has several schedules; give one as --schedule: {names}", Exit.USAGE
            )
        schedule = next(iter(entry.schedule), None)
    if schedule:
        return entry.schedule[schedule].job(source, datetime.now(UTC))
    if not url and entry.robots.decision == "obey":
        url = entry.base  # a site's home leads to its pages; an API's says nothing
    if not url:
        raise fail(f"give a URL: {source} has no schedule", Exit.USAGE)
    parts = urlsplit(url)
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise fail(f"{url} isn't a http:// or https:// URL", Exit.USAGE)
    return ScrapeJob(source=source, url=url)


@app.command()
def status(
    job: Annotated[UUID, typer.Argument(help="The job's id.")],
    follow: Annotated[bool, typer.Option("--follow", help="Wait until it is done.")] = False,
    as_json: JsonOption = False,
) -> None:
    """Show how far a job has come. Status 3: no such job; 1: something of it is parked."""
    asyncio.run(_report(clients.settings(), job, follow=follow, as_json=as_json))


async def _read(common: CommonSettings, job: UUID) -> Walk:
    """A job's walk as far as the log has it by now."""
    async with watching(common.kafka, job) as watcher:
        while not await watcher.caught_up():
            await watcher.poll(0.2)
    walk = watcher.walks[job]
    if walk.count(ScrapeJob) == 0:
        raise fail(f"no job {job} in {ScrapeJob.topic}", Exit.NOT_FOUND)
    return walk


async def _report(common: CommonSettings, job: UUID, *, follow: bool, as_json: bool) -> None:
    async with watching(common.kafka, job) as watcher:
        walk = watcher.walks[job]
        quiet = as_json or not console.is_terminal
        with Live(console=console, transient=True, auto_refresh=False, screen=False) as live:
            started = time.monotonic()
            while True:
                await watcher.poll(0.2)
                if not quiet:
                    live.update(progress_table(walk, time.monotonic() - started), refresh=True)
                if await watcher.caught_up() and (walk.settled or not follow):
                    break
    if walk.count(ScrapeJob) == 0:
        raise fail(f"no job {job} in {ScrapeJob.topic}", Exit.NOT_FOUND)
    if as_json:
        print_json(walk.summary())
    else:
        print_facts({name.replace("_", " "): value for name, value in walk.counts.items()})
        for reason, number in walk.rejected.most_common():
            console.print(shown(f"{number} rejected: {reason}"))
        for id, reason in walk.parked.items():
            console.print(shown(f"parked: {id}, {reason}"))
        console.print("[green]done[/]" if walk.settled else "[yellow]under way[/]")
    if walk.parked:
        raise typer.Exit(Exit.FAILED)


@app.command()
def check(
    job: Annotated[UUID, typer.Argument(help="The job's id.")],
    as_json: JsonOption = False,
) -> None:
    """Compare what events tell of a job with what lies in the tables.

    Status 3: no such job; 1: it isn't done, or a record is no row, no reject, and isn't parked.
    """
    from trending_cli.accounting import account  # takes a second: pyarrow

    common = clients.settings()
    walk = asyncio.run(_read(common, job))
    found = account(common.store, walk)
    sound = walk.settled and all(each.sound for each in found)
    if as_json:
        tables = {each.table: asdict(each) for each in found}
        told = {"job_id": job, "done": walk.settled, "sound": sound, "parked": len(walk.parked)}
        print_json({**told, "tables": tables})
    else:
        columns = ["of events", "count", "in table", "rows", "of them rejected", "without a row"]
        rows = [
            [each.events, each.count, each.table, each.rows, each.rejected, len(each.missing)]
            for each in found
        ]
        print_table(f"job {job}", columns, rows)
        console.print("[green]every record has its row[/]" if sound else "[red]not sound[/]")
    if not sound:
        raise typer.Exit(Exit.FAILED)


def progress_table(walk: Walk, seconds: float) -> Table:
    """The walk as it stands, for a live display."""
    table = Table(box=None, show_header=False, padding=(0, 2, 0, 0))
    for name, value in walk.counts.items():
        table.add_row(name.replace("_", " "), f"[bold]{value}[/]")
    table.add_row("elapsed", f"{seconds:.0f} s")
    return table
