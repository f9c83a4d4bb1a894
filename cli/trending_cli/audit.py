"""`trending audit`: what was decided and changed, and whether the log is as it was written."""

from typing import Annotated

import typer

from trending_cli import clients
from trending_cli.output import Exit, JsonOption, console, fail, print_json, print_table, warn
from trending_shared.audit import read_entries
from trending_shared.audit import verify as verify_log
from trending_shared.storage import ObjectStore

app = typer.Typer(
    no_args_is_help=True, help="What was decided, changed and deleted; written by the monitor."
)


def _store() -> ObjectStore:
    return ObjectStore.at(clients.settings().store)


@app.command("list")
def list_(
    kind: Annotated[
        str | None, typer.Option(help="Only of this kind: models-refused, documents-written.")
    ] = None,
    subject: Annotated[str | None, typer.Option(help="Only about this.")] = None,
    limit: Annotated[int, typer.Option(min=1, help="So many of the newest.")] = 50,
    as_json: JsonOption = False,
) -> None:
    """List entries, oldest first."""
    found = [
        entry
        for entry in read_entries(_store())
        if kind in (None, entry.kind) and subject in (None, entry.subject)
    ][-limit:]
    if as_json:
        print_json(found)
        return
    rows = [
        [
            *(f"{entry.number}", f"{entry.at:%Y-%m-%d %H:%M:%S}", entry.kind, entry.subject),
            *(entry.by, "; ".join(entry.reasons)),
        ]
        for entry in found
    ]
    print_table("audit log", ["number", "at", "kind", "subject", "by", "reasons"], rows)


@app.command()
def show(number: Annotated[int, typer.Argument(min=1, help="An entry's number.")]) -> None:
    """Print an entry, whole, as one JSON document."""
    for entry in read_entries(_store()):
        if entry.number == number:
            print_json(entry)
            return
    raise fail(f"the audit log has no entry {number} that can be read", Exit.NOT_FOUND)


@app.command()
def verify(
    anchor: Annotated[
        str | None,
        typer.Option(help="NUMBER:HASH, as an earlier look told it and you kept it elsewhere."),
    ] = None,
    as_json: JsonOption = False,
) -> None:
    """Verify the whole log; name each entry, and each document, that isn't as it was written.

    Ends with 1 if anything is wrong. Keep the head that is told: with it as the anchor, a log that
    was written anew or cut short is found out as well.
    """
    verdict = verify_log(_store(), anchor=_anchor(anchor) if anchor else None)
    if as_json:
        print_json(
            {
                "intact": verdict.intact,
                "entries": verdict.entries,
                "head": verdict.head,
                "problems": [
                    {"number": problem.number, "what": problem.what} for problem in verdict.problems
                ],
            }
        )
    else:
        for problem in verdict.problems:
            warn(f"entry {problem.number}: {problem.what}")
        state = "intact" if verdict.intact else f"{len(verdict.problems)} problems"
        console.print(f"{verdict.entries} entries, {state}")
        console.print(f"head {verdict.entries}:{verdict.head}", soft_wrap=True)
    if not verdict.intact:
        raise typer.Exit(Exit.FAILED)


def _anchor(text: str) -> tuple[int, str]:
    number, _, digest = text.partition(":")
    if not number.isdecimal() or len(digest) != 64:
        raise fail(f"{text!r} isn't NUMBER:HASH with a SHA-256 of 64 hex digits", Exit.USAGE)
    return int(number), digest.lower()
