"""`trending privacy`: have an author's reviews or a page erased, and prove that nothing is left."""

import asyncio
import getpass
import json
import subprocess
import sys
from collections.abc import Mapping, Sequence
from datetime import timedelta
from pathlib import Path
from typing import Annotated, Any
from uuid import uuid4

import typer

from trending_cli import clients
from trending_cli.output import (
    Exit,
    JsonOption,
    console,
    errors,
    fail,
    print_json,
    print_table,
    shown,
    tell,
    warn,
)
from trending_cli.privacy.collecting import Belongings, collect
from trending_cli.privacy.erasing import Erased, erase, erasure_of
from trending_cli.privacy.needles import Matcher, needles_of
from trending_cli.privacy.scanning import Scan, scan_everything
from trending_shared.erasures import Erasure, Kind, lift_erasure, list_erasures, names_of
from trending_shared.settings import CommonSettings
from trending_shared.storage import ObjectStore

app = typer.Typer(
    no_args_is_help=True,
    help="Erase an author's reviews or a page with all that came of it, and prove it.",
)

ROUNDS = 2  # a message that was on its way during the first may have left something
_LISTED = 50  # findings that are printed

AuthorOption = Annotated[
    list[str] | None,
    typer.Option("--author", help="An author's hash; all that `privacy hash` prints, one by one."),
]
UrlOption = Annotated[
    list[str] | None, typer.Option("--url", help="The address of a page; may be repeated.")
]


def _asked(authors: list[str] | None, urls: list[str] | None) -> tuple[Kind, list[str]]:
    if bool(authors) == bool(urls):
        raise fail("say either --author or --url", Exit.USAGE)
    return ("author", authors) if authors else ("page", urls or [])


@app.command("erase")
def erase_(
    author: AuthorOption = None,
    url: UrlOption = None,
    prove: Annotated[
        bool, typer.Option("--prove", help="Search every store before and afterwards.")
    ] = False,
    reason: Annotated[str, typer.Option(help="Why; it is in the audit log.")] = "asked for",
    wait: Annotated[
        float, typer.Option(min=1, help="Seconds to wait for a service, or for a consumer.")
    ] = 120,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Only show what would be erased.")
    ] = False,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Ask nothing.")] = False,
    as_json: JsonOption = False,
) -> None:
    """Erase all reviews of an author, or a page and all that came of it. It can't be undone.

    Status 1 if anything is left, or may be: a service that didn't answer, a consumer that isn't
    past what it has to handle, or, with --prove, whatever the search found. The same command goes
    on from there.
    """
    kind, subjects = _asked(author, url)
    common = clients.settings()
    with errors.status("looking for what belongs to it"):
        found = asyncio.run(collect(common, kind, subjects))
    if dry_run:
        _show(found, as_json=as_json)
        return
    if not yes:
        if not sys.stdin.isatty():
            raise fail("nothing was erased: --yes says that it is meant", Exit.USAGE)
        _show(found, as_json=False)
        typer.confirm("Erase this, for good?", abort=True, err=True)
    document = asyncio.run(
        prove_erasure(common, found, prove=prove, reason=reason, patience=timedelta(seconds=wait))
    )
    file = _keep(common, document)
    if as_json:
        print_json(document | {"report": str(file)})
    else:
        _tell(document, file)
    if not document["erased"]:
        raise typer.Exit(Exit.FAILED)


async def prove_erasure(
    common: CommonSettings, found: Belongings, *, prove: bool, reason: str, patience: timedelta
) -> dict[str, Any]:
    """Erase, and search; once more if something was on its way meanwhile."""
    matcher = found.matcher()
    before = await scan_everything(common, matcher, tell=tell) if prove else None
    rounds: list[Erased] = []
    after: Scan | None = None
    for _ in range(ROUNDS):
        erasure = erasure_of(found, id=uuid4(), reason=reason, by=getpass.getuser())
        done = await erase(common, erasure, matcher, patience=patience, tell=tell)
        rounds.append(done)
        if not prove or not done.complete:
            break
        after = await scan_everything(common, matcher, tell=tell)
        if not after.findings:
            break
    return {
        "erased": rounds[-1].complete and not (after and after.findings),
        "proven": bool(after and not after.findings and rounds[-1].complete),
        "needles": len(matcher.needles),
        "before": before.document() if before else None,
        "rounds": [done.document() for done in rounds],
        "after": after.document() if after else None,
    }


@app.command()
def verify(
    author: AuthorOption = None,
    url: UrlOption = None,
    text: Annotated[
        Path | None,
        typer.Option(exists=True, dir_okay=False, help="A file with words that must be nowhere."),
    ] = None,
    as_json: JsonOption = False,
) -> None:
    """Search every store for an author's hash, an address, or words. Status 1 if they are found."""
    if not (author or url or text):
        raise fail("say --author, --url or --text", Exit.USAGE)
    needles = [
        *needles_of("author", author or ()),
        *needles_of("address", url or ()),
        *needles_of("text", [text.read_text()] if text else ()),
    ]
    if not needles:
        raise fail("these words say too little to be looked for", Exit.USAGE)
    scan = asyncio.run(scan_everything(clients.settings(), Matcher(needles), tell=tell))
    if as_json:
        print_json(scan.document())
    else:
        _tell_scan("found", scan.document())
    if scan.findings:
        raise typer.Exit(Exit.FAILED)


@app.command("hash")
def hash_(
    source: Annotated[str, typer.Option(help="Where the reviews were written: demo, tvmaze.")],
    as_json: JsonOption = False,
) -> None:
    """Read an author's name from stdin, and print the hashes that it may have in our data.

    One for each key that authors were ever hashed with and that is kept, in both forms. The name is
    in no argument, so it stays out of the shell's history.
    """
    command = [sys.executable, "-m", "trending_scraper.hashing", source]
    name = typer.prompt("name", err=True) if sys.stdin.isatty() else sys.stdin.readline()
    done = subprocess.run(command, check=False, input=name, stdout=subprocess.PIPE, text=True)
    if done.returncode:
        raise typer.Exit(done.returncode)
    hashes = json.loads(done.stdout)
    if as_json:
        print_json(hashes)
    else:
        for one in hashes:
            console.print(one, soft_wrap=True, highlight=False)


@app.command("list")
def list_(as_json: JsonOption = False) -> None:
    """List what was ever asked to be erased: by whom and why, and how much; not what."""
    found = [_summary(one) for one in list_erasures(_store())]
    if as_json:
        print_json(found)
        return
    columns = ["erasure", "kind", "asked at (UTC)", "by", "reason", "records"]
    print_table("erasures", columns, [list(one.values()) for one in found])


@app.command()
def allow(
    author: AuthorOption = None,
    url: UrlOption = None,
) -> None:
    """Let an author's reviews or a page come again; what was erased stays erased."""
    kind, subjects = _asked(author, url)
    names, store = set(names_of(subjects)), _store()
    lifted = [
        one.erasure_id
        for one in list_erasures(store)
        if one.kind == kind and not names.isdisjoint(one.subjects)
    ]
    if not lifted:
        raise fail(f"no such {kind} was erased", Exit.NOT_FOUND)
    for erasure_id in lifted:
        lift_erasure(store, erasure_id)
    console.print(f"{len(lifted)} erasures lifted")


def _store() -> ObjectStore:
    return ObjectStore.at(clients.settings().store)


def _summary(one: Erasure) -> dict[str, Any]:
    return {
        "erasure_id": one.erasure_id,
        "kind": one.kind,
        "asked_at": f"{one.asked_at:%Y-%m-%d %H:%M:%S}",
        "asked_by": one.asked_by,
        "reason": one.reason,
        "records": len(one.records),
    }


# ---------------------------------------------------------------- what is told


def _keep(common: CommonSettings, document: Mapping[str, Any]) -> Path:
    """Write the report; it holds hashes, counts and places, and nothing of what was erased."""
    folder = common.home / "privacy"
    folder.mkdir(parents=True, exist_ok=True)
    file = folder / f"{document['rounds'][0]['erasure_id']}.json"
    file.write_text(json.dumps(document, default=str, indent=1))
    return file


def _show(found: Belongings, *, as_json: bool) -> None:
    told = {
        **found.counts,
        "pages whose bytes go": len(found.pages),
        "titles that go": len(found.titles - found.stay),
        "titles that others tell of too": len(found.stay),
    }
    if as_json:
        print_json(told)
        return
    print_table("to be erased", ["what", "count"], list(told.items()))
    if found.empty:
        warn("nothing of it was found; it would be kept out all the same")


def _tell(document: Mapping[str, Any], file: Path) -> None:
    if document["before"]:
        _tell_scan("before", document["before"])
    for done in document["rounds"]:
        for service in done["no_answer"]:
            warn(f"{service} gave no answer; start it, and give the same command again")
        for topic in done["topics"]:
            if topic["waits_for"]:
                warn(
                    f"{topic['topic']}:{topic['partition']} holds {topic['found']} records until "
                    f"{', '.join(topic['waits_for'])} has handled them, at most until "
                    f"{topic['gone_by']}"
                )
        if done["models"]:
            console.print(shown(f"models trained on it: {', '.join(done['models'])}"))
            console.print(shown(f"retraining requested: {done['retraining_requested']}"))
    if document["after"]:
        _tell_scan("after", document["after"])
    if document["proven"]:
        console.print("[green]erased, and nothing is left[/]")
    elif document["erased"]:
        console.print("[green]erased[/]; --prove would search for what is left")
    else:
        console.print("[red]not all is erased[/]")
    console.print(shown(f"report: {file}"), soft_wrap=True)


def _tell_scan(name: str, scan: Mapping[str, Any]) -> None:
    read = ", ".join(f"{count:,} {what}" for what, count in scan["read"].items())
    count = len(scan["findings"])
    console.print(shown(f"{name}: {count:,} findings in {read}; {scan['seconds']} s"))
    _table(scan["findings"])
    for what in scan["unread"]:
        warn(f"{what} can't be read")


def _table(findings: Sequence[Mapping[str, str]]) -> None:
    if findings:
        columns = ["store", "where", "kind"]
        rows = list(dict.fromkeys(tuple(one[name] for name in columns) for one in findings))
        print_table(f"where, {len(rows):,} in all", columns, rows[:_LISTED])
