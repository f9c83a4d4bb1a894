"""How commands speak: tables and progress for people, one JSON document for programs."""

import asyncio
import json
from collections.abc import Coroutine, Iterable, Mapping, Sequence
from datetime import date, datetime
from enum import IntEnum
from typing import Annotated, Any, TypeVar
from uuid import UUID

import typer
from pydantic import BaseModel
from rich.console import Console
from rich.table import Table

T = TypeVar("T")

console = Console()
errors = Console(stderr=True)

JsonOption = Annotated[bool, typer.Option("--json", help="Print one JSON document instead.")]


class Exit(IntEnum):
    """Exit statuses; documented in `trending --help`."""

    OK = 0
    FAILED = 1
    USAGE = 2
    NOT_FOUND = 3
    UNREACHABLE = 4
    INTERRUPTED = 130


def _plain(value: Any) -> Any:
    if isinstance(value, BaseModel):
        return value.model_dump(mode="json")
    if isinstance(value, datetime | date):
        return value.isoformat()
    if isinstance(value, UUID):
        return str(value)
    raise TypeError(f"{type(value).__name__} has no JSON form")


def print_json(value: Any) -> None:
    """One document on one line, so that the last line of any output can be parsed."""
    typer.echo(json.dumps(value, default=_plain, ensure_ascii=False))


def print_table(title: str, columns: Sequence[str], rows: Iterable[Sequence[object]]) -> None:
    table = Table(title=title, title_justify="left", header_style="bold")
    for column in columns:
        numeric = column in {"partition", "offset", "lag", "end", "records", "number", "titles"}
        table.add_column(column, justify="right" if numeric else "left", overflow="fold")
    for row in rows:
        table.add_row(*("" if cell is None else str(cell) for cell in row))
    console.print(table)


def print_facts(facts: Mapping[str, object]) -> None:
    """Names and values, one a line."""
    table = Table(show_header=False, box=None, padding=(0, 2, 0, 0))
    for name, value in facts.items():
        table.add_row(f"[bold]{name}", "" if value is None else str(value))
    console.print(table)


def fail(message: str, status: Exit = Exit.FAILED) -> typer.Exit:
    """Say what went wrong on stderr; raise what is returned."""
    errors.print(f"[red]error:[/] {message}", highlight=False)
    return typer.Exit(status)


def run_async(work: Coroutine[Any, Any, T]) -> T:
    return asyncio.run(work)
