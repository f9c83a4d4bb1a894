"""`trending backfill`: tables made anew by today's code, beside those in force.

What is kept of pages goes through the services' own functions: the scraper's over pages, the
cleaner's over records, the featurizer's over titles. They are found by name and run by an engine
(`trending_shared.engines`): in this process, or on Ray.
"""

import os
import sys
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from enum import StrEnum
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any
from uuid import uuid4

import typer

from trending_cli import clients
from trending_cli.differences import LEFT_OUT
from trending_cli.house import end_on_sigterm
from trending_cli.output import Exit, JsonOption, console, errors, print_json, print_table, shown
from trending_cli.replay import (
    DAY,
    NOT_COMPARED,
    PAGES,
    Compared,
    Span,
    compare,
    kept_pages,
    print_compared,
    print_problems,
    problem_document,
    read_table,
)
from trending_shared.errors import StoreUnavailable, TrendingError
from trending_shared.replays import KeptPage, Problem, read_lines
from trending_shared.tables import storage_options, table_uri

if TYPE_CHECKING:
    import pyarrow as pa

    from trending_shared.engines import Engine, Rows

RAY_PYTHON = Path("deploy/ray/.venv/bin/python")  # from where `make` is called
AT_ONCE = {"pages": 32, "records": 500, "titles": 64}  # of one call of a function
PARTS = 16  # that records are divided into; a part is taken by one process, in order


class Table(StrEnum):
    titles = "titles"
    reviews = "reviews"
    facts = "facts"
    signals = "signals"
    rejects = "rejects"
    features = "features"


class EngineName(StrEnum):
    local = "local"
    ray = "ray"


class RayMissing(TrendingError):
    """Ray was asked for, and there is no environment that has it."""


class AlreadyThere(TrendingError):
    """The place to write to has tables."""


@dataclass
class Report:
    """What came of a backfill."""

    engine: str
    there: str
    span: Span | None = None
    pages: int = 0
    problems: list[Problem] = field(default_factory=list)
    rows: Counter[str] = field(default_factory=Counter)
    seconds: dict[str, float] = field(default_factory=dict)
    compared: Compared | None = None

    @property
    def equal(self) -> bool | None:
        """Whether it is what the tables in force have; none if nobody has looked."""
        if self.compared is None:
            return None
        return not self.problems and self.compared.equal


def backfill(
    engine: Annotated[
        EngineName, typer.Option(help="What the functions run on: this process, or Ray Data.")
    ] = EngineName.local,
    first: Annotated[
        datetime | None, typer.Option("--from", formats=[DAY], help="Rows of pages since this day.")
    ] = None,
    last: Annotated[
        datetime | None, typer.Option("--to", formats=[DAY], help="The last day, included.")
    ] = None,
    table: Annotated[
        list[Table] | None, typer.Option(help="Only this table; may be repeated.")
    ] = None,
    into: Annotated[
        str | None, typer.Option(help="A store's URL; default: backfills/ID in this one.")
    ] = None,
    check: Annotated[
        bool, typer.Option("--check", help="Compare with the tables in force; status 1: differ.")
    ] = False,
    parts: Annotated[
        int, typer.Option(min=1, max=10_000, help="How many parts records are divided into.")
    ] = PARTS,
    as_json: JsonOption = False,
) -> None:
    """Make tables anew from kept pages, by today's code, in a place of their own.

    Days are UTC and count when a page was fetched. What is earlier is read too, as rows depend on
    what came before. `--table features` alone starts from the table of titles as it stands. The
    tables in force stay as they are.
    """
    if engine is EngineName.ray:
        _have_ray()
    end_on_sigterm()
    here = clients.settings().store
    chosen = set(table or Table)
    there = into or f"{here.rstrip('/')}/backfills/{datetime.now(UTC):%Y%m%d}-{uuid4().hex[:8]}"
    for name in chosen:
        if read_table(there, name) is not None:
            raise AlreadyThere(f"{there} has a table {name}; name an empty place with --into")
    report = Report(engine.value, there)
    from trending_shared.engines import ENGINES

    with ExitStack() as stack:
        with _told("start", report):
            running = stack.enter_context(ENGINES[engine]())
        _backfill(here, report, running, chosen, (first, last), parts)
    if check and report.span:
        unread = [problem.page for problem in report.problems]
        with _told("compare", report):
            report.compared = compare(here, there, report.span, unread, sorted(chosen))
    if as_json:
        print_json(as_document(report))
    else:
        _print(report)
    if report.problems or report.equal is False:
        raise typer.Exit(Exit.FAILED)


def _have_ray() -> None:
    """Go on in the environment that has Ray, if this one hasn't.

    Raises:
        RayMissing: there is none.
    """
    spec = find_spec("ray")
    if spec is not None and spec.origin:
        return
    if not RAY_PYTHON.is_file():
        raise RayMissing("Ray isn't installed here; `make install-ray` makes an environment for it")
    python = str(RAY_PYTHON.absolute())
    os.execv(python, [python, "-m", "trending_cli.main", *sys.argv[1:]])


# ---------------------------------------------------------------- from pages to tables


def _backfill(
    here: str,
    report: Report,
    engine: "Engine",
    chosen: set[Table],
    days: tuple[datetime | None, datetime | None],
    parts: int,
) -> None:
    listed = read_table(here, PAGES)
    report.span = span = _span(listed, *days)
    if span is None:
        return
    pages = _pages(listed, span)
    if pages and chosen != {Table.features}:
        _take(report, engine, pages, span, chosen, parts)
    if Table.features in chosen:
        store = report.there if Table.titles in chosen else here
        titles = read_table(store, Table.titles)
        if titles is not None and titles.num_rows:
            _featurize(report, engine, span.select(titles))


def _span(listed: "pa.Table | None", first: datetime | None, last: datetime | None) -> Span | None:
    if listed is None or not listed.num_rows:
        return None
    import pyarrow.compute as pc

    known = pc.min_max(listed["fetched_at"]).as_py()
    span = Span((first or known["min"]).date(), (last or known["max"]).date())
    if span.last < span.first:
        raise typer.BadParameter("it lies before --from", param_hint="--to")
    return span


def _pages(listed: "pa.Table", span: Span) -> list[KeptPage]:
    """All pages until the last day: what is earlier decides what is a duplicate."""
    import pyarrow.compute as pc

    since = pc.min(listed["fetched_at"]).as_py().date()
    return kept_pages(listed, Span(min(since, span.first), span.last))


def _take(
    report: Report,
    engine: "Engine",
    pages: list[KeptPage],
    span: Span,
    chosen: set[Table],
    parts: int,
) -> None:
    """Tables of what the scraper tells of these pages, as the cleaner takes it."""
    import pyarrow as pa

    from trending_shared import backfills

    asked = [{"place": place, "page": page.model_dump_json()} for place, page in enumerate(pages)]
    with _told("pages", report):
        rows = engine.rows(pa.Table.from_pylist(asked, schema=backfills.PAGES))
        lines = rows.map("trending_shared.backfills:read_pages", size=AT_ONCE["pages"])
    with _told("links", report):
        linked = lines.map("trending_cleaner.backfilling:link", size=AT_ONCE["records"])
        _learn_pages(report, linked)
        together = _together(linked)
    with _told("records", report):
        divided = linked.map(
            "trending_cleaner.backfilling:assign",
            size=AT_ONCE["records"],
            together=together,
            parts=parts,
        )
        taken = divided.map_groups("part", parts, "trending_cleaner.backfilling:take")
        for batch in taken.read():
            for row in batch.to_pylist():
                if row["table"] in chosen:
                    told = span.select(backfills.unpack(row["rows"]))
                    _append(report, row["table"], told)


def _learn_pages(report: Report, linked: "Rows") -> None:
    left = linked.map("trending_shared.backfills:leave_pages", size=AT_ONCE["records"])
    for batch in left.read():
        for line in read_lines(batch["line"].to_pylist()):
            report.pages += line.done is not None
            report.problems += [line.problem] if line.problem else []


def _together(linked: "Rows") -> dict[str, str]:
    import pyarrow as pa

    from trending_shared.engines import named

    told = pa.concat_tables(linked.read(["title_id", "links"]))
    found: Any = named("trending_cleaner.backfilling:divide")(told)
    return dict(found)


def _featurize(report: Report, engine: "Engine", titles: "pa.Table") -> None:
    with _told("features", report):
        rows = engine.rows(titles)
        computed = rows.map("trending_featurizer.backfilling:compute", size=AT_ONCE["titles"])
        for batch in computed.read():
            _append(report, Table.features, batch)


def _append(report: Report, name: str, rows: "pa.Table") -> None:
    from deltalake import write_deltalake
    from deltalake.exceptions import DeltaError

    report.rows[name] += rows.num_rows
    try:
        write_deltalake(
            table_uri(report.there, name), rows, mode="append", storage_options=storage_options()
        )
    except (DeltaError, OSError) as error:
        raise StoreUnavailable(f"table {name}: {error}") from error


# ---------------------------------------------------------------- telling


@contextmanager
def _told(step: str, report: Report) -> Iterator[None]:
    """A step that is timed, and shown on a terminal while it lasts."""
    began = time.monotonic()
    with errors.status(step):
        yield
    report.seconds[step] = round(time.monotonic() - began, 2)


def as_document(report: Report) -> dict[str, Any]:
    compared = report.compared
    return {
        "engine": report.engine,
        "into": report.there,
        "from": report.span and report.span.first,
        "to": report.span and report.span.last,
        "pages": report.pages,
        "problems": [problem_document(problem) for problem in report.problems],
        "rows": dict(report.rows),
        "seconds": report.seconds,
        "equal": report.equal,
        "compared": compared
        and {
            "tables": {name: vars(found) for name, found in compared.tables.items()},
            "rows_of_problems": compared.rows_of_problems,
            "rows_without_page": compared.rows_without_page,
            "not_compared": (*NOT_COMPARED, *LEFT_OUT),
        },
    }


def _print(report: Report) -> None:
    title = f"{report.pages} pages, by {report.engine}"
    print_table(title, ("table", "rows"), sorted(report.rows.items()))
    print_problems(report.problems)
    if report.compared:
        print_compared("beside the tables in force", report.compared)
        console.print("[green]no differences[/]" if report.equal else "[yellow]differences[/]")
    console.print(shown(f"written to {report.there}"))
    told = " · ".join(f"{step} {seconds:.1f} s" for step, seconds in report.seconds.items())
    console.print(told)
