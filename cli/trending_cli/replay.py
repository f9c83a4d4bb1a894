"""`trending replay`: what today's code makes of the pages of some days, beside what was made then.

The command knows no service: it gives the kept pages to the scraper's and the cleaner's own entry
points, as processes joined by pipes, and compares tables.
"""

import subprocess
import sys
from collections.abc import Iterable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from os import environ
from pathlib import Path
from tempfile import TemporaryDirectory
from threading import Thread
from typing import IO, TYPE_CHECKING, Annotated, Any
from uuid import uuid4

import typer
from rich.progress import Progress

from trending_cli import clients
from trending_cli.differences import LEFT_OUT, Differences, differences
from trending_cli.house import end_on_sigterm
from trending_cli.output import Exit, JsonOption, console, errors, print_json, print_table, shown
from trending_cli.processes import tail
from trending_shared.errors import StoreUnavailable, TrendingError
from trending_shared.replays import KeptPage, Problem, read_lines
from trending_shared.settings import CommonSettings
from trending_shared.storage import ObjectStore, in_short
from trending_shared.tables import storage_options, table_uri

if TYPE_CHECKING:
    import pyarrow as pa

READERS = ("trending_scraper.replaying", "trending_cleaner.replaying")
PAGES = "pages"
COMPARED = ("titles", "reviews", "facts", "signals", "rejects")
NOT_COMPARED = ("merged",)  # follows from the others, and from how they were cut into batches
DAY = "%Y-%m-%d"
END_WITHIN = 60.0  # seconds


class ReplayFailed(TrendingError):
    """A process of the replay ended before all was done; the message shows the end of its log."""


@dataclass(frozen=True)
class Span:
    """Whole UTC days, the first and the last included, of one source or of all."""

    first: date
    last: date
    source: str | None = None

    @property
    def start(self) -> datetime:
        return datetime(self.first.year, self.first.month, self.first.day, tzinfo=UTC)

    @property
    def end(self) -> datetime:
        return datetime(self.last.year, self.last.month, self.last.day, tzinfo=UTC) + timedelta(1)

    def select(self, rows: "pa.Table") -> "pa.Table":
        """The rows of pages that were fetched in these days."""
        import pyarrow as pa
        import pyarrow.compute as pc

        at = rows["fetched_at"]
        first, end = (pa.scalar(when, at.type) for when in (self.start, self.end))
        wanted = pc.and_(pc.greater_equal(at, first), pc.less(at, end))
        if self.source:
            wanted = pc.and_(wanted, pc.equal(rows["source"], self.source))
        return rows.filter(wanted)


@dataclass
class Compared:
    """Rows of then and of today, by table; and rows of then that there is nothing to compare to."""

    tables: dict[str, Differences] = field(default_factory=dict)
    rows_of_problems: int = 0
    rows_without_page: int = 0

    @property
    def equal(self) -> bool:
        nothing_missing = not self.rows_of_problems and not self.rows_without_page
        return nothing_missing and all(found.none for found in self.tables.values())


@dataclass
class Report:
    """What came of a replay."""

    replay: str
    span: Span
    pages: int = 0
    problems: list[Problem] = field(default_factory=list)
    compared: Compared = field(default_factory=Compared)

    @property
    def equal(self) -> bool:
        return not self.problems and self.compared.equal


def replay(
    first: Annotated[datetime, typer.Option("--from", formats=[DAY], help="The first UTC day.")],
    last: Annotated[
        datetime, typer.Option("--to", formats=[DAY], help="The last UTC day, included.")
    ],
    source: Annotated[str | None, typer.Option(help="Only pages of this source.")] = None,
    keep: Annotated[
        bool, typer.Option("--keep", help="Leave the tables in the store, and say where.")
    ] = False,
    as_json: JsonOption = False,
) -> None:
    """Read kept pages with today's code, and compare with the tables. Status 1: they differ.

    Pages count by when they were fetched. The tables stay as they are; today's records go into a
    place of their own, which is removed again.
    """
    span = Span(first.date(), last.date(), source)
    if span.last < span.first:
        raise typer.BadParameter("it lies before --from", param_hint="--to")
    end_on_sigterm()
    common = clients.settings()
    report = Report(f"{span.first:%Y%m%d}-{span.last:%Y%m%d}-{uuid4().hex[:8]}", span)
    with _place(common, report.replay, keep=keep) as there:
        _replay(common, report, there)
        unread = [problem.page for problem in report.problems]
        report.compared = compare(common.store, there, report.span, unread, COMPARED)
    if as_json:
        print_json(as_document(report))
    else:
        _print(report, there if keep else None)
    if not report.equal:
        raise typer.Exit(Exit.FAILED)


@contextmanager
def _place(common: CommonSettings, name: str, *, keep: bool) -> Iterator[str]:
    """A store's URL for the tables of the replay."""
    prefix = f"replays/{name}"
    store = ObjectStore.at(common.store)
    try:
        yield f"{common.store.rstrip('/')}/{prefix}"
    finally:
        if not keep:
            for key in store.keys(prefix):
                store.delete(key)


# ---------------------------------------------------------------- reading anew


def _replay(common: CommonSettings, report: Report, there: str) -> None:
    pages = kept_pages(read_table(common.store, PAGES), report.span)
    if not pages:
        return
    with _bar(len(pages)) as step, _reading(there, report.span) as (asked, told):
        # In a thread, for what is told would fill its pipe while all is still being asked.
        Thread(target=_ask, args=(pages, asked), daemon=True).start()
        for line in read_lines(told):
            report.problems += [line.problem] if line.problem else []
            report.pages += line.done is not None
            step()
    if report.pages + len(report.problems) < len(pages):
        raise ReplayFailed(f"of {len(pages)} pages {report.pages} were read")


def kept_pages(rows: "pa.Table | None", span: Span) -> list[KeptPage]:
    """The pages that were fetched in these days, each once, in the order they were told in.

    That is Kafka's for each host. Between hosts, and so between partitions, it is that of fetching.
    """
    if rows is None:
        return []
    listed = _in_order(span.select(rows).to_pylist())
    fetched = {
        (row["event_id"], row["fetched_at"]): row
        for row in reversed(listed)
        if row["outcome"] == "fetched"
    }
    return [KeptPage.model_validate(row) for row in reversed(fetched.values())]


def _in_order(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    rows.sort(key=lambda row: (row["partition"], row["offset"]))
    latest: dict[int, datetime] = {}
    at = []
    for row in rows:
        partition = row["partition"]
        latest[partition] = max(row["fetched_at"], latest.get(partition, row["fetched_at"]))
        at.append(latest[partition])
    return [rows[number] for number in sorted(range(len(rows)), key=at.__getitem__)]


def _ask(pages: Sequence[KeptPage], asked: IO[str]) -> None:
    try:
        with asked:
            asked.writelines(f"{page.model_dump_json()}\n" for page in pages)
    except BrokenPipeError:
        return  # the reader has ended, which is told by its status


@contextmanager
def _reading(there: str, span: Span) -> Iterator[tuple[IO[str], IO[str]]]:
    """Today's scraper and cleaner: where to write pages, and where to read what became of them."""
    with ExitStack() as stack:
        folder = Path(stack.enter_context(TemporaryDirectory(prefix="trending-replay-")))
        scraper = _start(stack, folder, READERS[0], stdin=subprocess.PIPE)
        where = (there, span.start.isoformat())
        cleaner = _start(stack, folder, READERS[1], *where, stdin=scraper.stdout)
        assert scraper.stdin is not None
        assert scraper.stdout is not None
        assert cleaner.stdout is not None
        scraper.stdout.close()  # it is the cleaner's now
        yield scraper.stdin, cleaner.stdout
        for name, process in zip(READERS, (scraper, cleaner), strict=True):
            if status := process.wait(END_WITHIN):
                log = tail(folder / f"{name}.log")
                raise ReplayFailed(f"{name} ended with status {status}:\n{log}")


def _start(
    stack: ExitStack, folder: Path, module: str, *arguments: str, stdin: Any
) -> "subprocess.Popen[str]":
    log = stack.enter_context((folder / f"{module}.log").open("w"))
    process = subprocess.Popen(
        [sys.executable, "-m", module, *arguments],
        stdin=stdin,
        stdout=subprocess.PIPE,
        stderr=log,
        text=True,
        env=dict(environ),
        process_group=0,  # so that Ctrl-C leaves it for us to stop
    )
    stack.callback(_stop, process)
    return process


def _stop(process: "subprocess.Popen[str]") -> None:
    if process.stdout:
        process.stdout.close()
    if process.poll() is None:
        process.kill()  # it keeps nothing but what is thrown away
        process.wait()


@contextmanager
def _bar(pages: int) -> Iterator[Any]:
    """Calls that each move a bar on stderr by a page."""
    with Progress(console=errors, transient=True, disable=not errors.is_terminal) as progress:
        task = progress.add_task("pages", total=pages)
        yield lambda: progress.advance(task)


# ---------------------------------------------------------------- comparing


def compare(
    here: str, there: str, span: Span, unread: Iterable[KeptPage], names: Iterable[str]
) -> Compared:
    """Look for rows of the pages that were read, in the tables of then and of today.

    Args:
        here: the store of the tables of then, and of the table of pages.
        there: the store of those of today.
        unread: pages that can't be read any more.
    """
    gone = {_of(page) for page in unread}
    known = {_of(page) for page in kept_pages(read_table(here, PAGES), span)}
    found = Compared()
    for name in names:
        before = _rows(here, name, span)
        found.rows_of_problems += sum(_of_row(row) in gone for row in before)
        found.rows_without_page += sum(_of_row(row) not in known for row in before)
        found.tables[name] = differences(
            [row for row in before if _of_row(row) in known - gone],
            [row for row in _rows(there, name, span) if _of_row(row) not in gone],
        )
    return found


def _of(page: KeptPage) -> tuple[str, datetime]:
    return page.page_hash, page.fetched_at


def _of_row(row: dict[str, Any]) -> tuple[str, datetime]:
    return row["page_hash"], row["fetched_at"]


def _rows(store: str, name: str, span: Span) -> list[dict[str, Any]]:
    table = read_table(store, name)
    return [] if table is None else span.select(table).to_pylist()


def read_table(store: str, name: str) -> "pa.Table | None":
    """A table; none if it isn't there."""
    from deltalake import DeltaTable  # takes half a second, and few commands need it
    from deltalake.exceptions import DeltaError, TableNotFoundError

    try:
        table = DeltaTable(table_uri(store, name), storage_options=storage_options())
        return table.to_pyarrow_table()
    except TableNotFoundError:
        return None
    except (DeltaError, OSError) as error:
        raise StoreUnavailable(f"table {name}: {in_short(error)}") from error


# ---------------------------------------------------------------- telling


def as_document(report: Report) -> dict[str, Any]:
    return {
        "replay": report.replay,
        "from": report.span.first,
        "to": report.span.last,
        "source": report.span.source,
        "equal": report.equal,
        "pages": report.pages,
        "problems": [problem_document(problem) for problem in report.problems],
        "rows_of_problems": report.compared.rows_of_problems,
        "rows_without_page": report.compared.rows_without_page,
        "tables": {name: vars(found) for name, found in report.compared.tables.items()},
        "not_compared": (*NOT_COMPARED, *LEFT_OUT),
    }


def problem_document(problem: Problem) -> dict[str, Any]:
    return {
        "source": problem.page.source,
        "url": problem.page.url,
        "event_id": problem.page.event_id,
        "reason": problem.reason,
        "detail": problem.detail,
    }


def _print(report: Report, there: str | None) -> None:
    title = (
        f"{report.pages} pages of {report.span.first} to {report.span.last}, read by today's code"
    )
    print_problems(report.problems)
    print_compared(title, report.compared)
    if there:
        console.print(shown(f"kept at {there}"))
    console.print("[green]no differences[/]" if report.equal else "[yellow]differences[/]")


def print_problems(problems: Iterable[Problem]) -> None:
    for problem in problems:
        page = problem.page
        why = f"{problem.reason}: {problem.detail}"
        console.print(shown(f"not read: {page.source} {page.url}: {why}"))


def print_compared(title: str, compared: Compared) -> None:
    print_table(
        title,
        ("table", "then", "today", "same", "only then", "only today", "changed", "in columns"),
        [
            (
                *(name, found.before, found.after, found.same),
                *(found.only_before, found.only_after, found.changed),
                ", ".join(f"{column} {count}" for column, count in found.columns.most_common()),
            )
            for name, found in compared.tables.items()
        ],
    )
    for name, found in compared.tables.items():
        for example in found.examples:
            told = " ".join(f"{key}={value}" for key, value in example.items() if key != "what")
            console.print(shown(f"{name}: {example['what']}: {told}"))
    if compared.rows_of_problems:
        console.print(f"{compared.rows_of_problems} rows come from pages that can't be read")
    if compared.rows_without_page:
        console.print(f"{compared.rows_without_page} rows come from pages that aren't listed")
    console.print(f"not compared: table {', '.join(NOT_COMPARED)}; columns {', '.join(LEFT_OUT)}")
