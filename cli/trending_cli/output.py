"""How commands speak: tables and progress for people, one JSON document for programs."""

import json
import re
from collections.abc import Iterable, Mapping, Sequence
from datetime import date, datetime
from enum import IntEnum
from typing import Annotated, Any
from uuid import UUID

import typer
from pydantic import BaseModel
from rich.console import Console
from rich.table import Table
from rich.text import Text

console = Console()
errors = Console(stderr=True)

_COPIED = {"needs", "prediction", "version"}  # columns of names that are to be copied whole
_NUMBERS = frozenset(
    (
        *("partition", "partitions", "offset", "lag", "records", "titles", "given", "count"),
        *("ms", "MB", "fit, s", "peak, MB"),
    )
)

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


def _json(value: Any) -> str:
    text = json.dumps(value, default=_plain, ensure_ascii=False)
    # JSON escapes most of what a terminal would obey, but not these.
    return re.sub("[\x7f-\x9f]", lambda found: f"\\u{ord(found[0]):04x}", text)


def print_json(value: Any) -> None:
    """One document on one line, so that the last line of any output can be parsed."""
    typer.echo(_json(value))


def print_document(value: Any) -> None:
    """The same for people: indented and coloured."""
    console.print_json(_json(value))


def shown(value: object) -> Text:
    """A value as text for a terminal.

    Nothing in it is markup, and no control character of a scraped text reaches the terminal.
    """
    text = "" if value is None else str(value)
    return Text(
        "".join(c if c.isprintable() or c == "\n" else "\N{REPLACEMENT CHARACTER}" for c in text)
    )


def print_table(title: str, columns: Sequence[str], rows: Iterable[Sequence[object]]) -> None:
    table = Table(title=title, title_justify="left", header_style="bold")
    for column in columns:
        table.add_column(
            column,
            justify="right" if column in _NUMBERS else "left",
            overflow="fold",
            no_wrap=column in _COPIED,
        )
    for row in rows:
        table.add_row(*map(shown, row))
    console.print(table)


def print_facts(facts: Mapping[str, object]) -> None:
    """Names and values, one a line."""
    table = Table(show_header=False, box=None, padding=(0, 2, 0, 0))
    for name, value in facts.items():
        table.add_row(f"[bold]{name}", shown(value))
    console.print(table)


def tell(text: str) -> None:
    """What is happening, on stderr."""
    errors.print(shown(text), style="dim", soft_wrap=True)


def warn(text: str) -> None:
    errors.print(Text("warning: ", "yellow") + shown(text), soft_wrap=True)


def fail(message: str, status: Exit = Exit.FAILED) -> typer.Exit:
    """Say what went wrong on stderr; raise what is returned."""
    errors.print(Text("error: ", "red") + shown(message), soft_wrap=True)
    return typer.Exit(status)
