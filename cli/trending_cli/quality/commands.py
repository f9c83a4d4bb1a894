"""`trending quality`: how good the records are, and the cards that say what is known of them."""

from pathlib import Path
from typing import Annotated, Literal

import typer

from trending_cli import clients
from trending_cli.output import (
    Exit,
    JsonOption,
    console,
    fail,
    print_json,
    print_table,
    shown,
    tell,
)
from trending_shared.storage import ObjectStore

app = typer.Typer(no_args_is_help=True, help="Measure the records, and keep their data cards.")

DatasetOption = Annotated[
    str | None,
    typer.Option("--dataset", help="A snapshot's id, or `newest`; the tables if left out."),
]


@app.command()
def report(
    dataset: DatasetOption = None,
    source: Annotated[str | None, typer.Option(help="Only what came from this source.")] = None,
    against: Annotated[
        str | None,
        typer.Option(help="The snapshot that drift is measured against; the last if left out."),
    ] = None,
    out: Annotated[
        Path | None,
        typer.Option(
            help="Folder for report.html and report.json; default TRENDING_HOME/quality, or "
            "none if a document is printed.",
            file_okay=False,
        ),
    ] = None,
    fail_on: Annotated[
        Literal["error", "warning"] | None,
        typer.Option(help="End with status 1 if a check is as bad as this."),
    ] = None,
    as_json: JsonOption = False,
) -> None:
    """Say what is missing, odd, doubled, unlabelled, rejected, old, or not as it was."""
    # pandas and the language model take seconds, and no other command needs them.
    from trending_cli.quality import material as rows
    from trending_cli.quality.languages import detect_language
    from trending_cli.quality.page import write_page
    from trending_cli.quality.reporting import make_report
    from trending_shared.clock import SystemClock
    from trending_shared.sources import read_catalogue

    common = clients.settings()
    catalogue = read_catalogue(common.sources_file)
    store = ObjectStore.at(common.store)
    try:
        if dataset:
            material = rows.read_snapshot(store, rows.snapshot_named(store, dataset), tell)
        else:
            material = rows.read_tables(common.store, tell)
        manifest = (
            rows.snapshot_named(store, against) if against else rows.last_snapshot(store, material)
        )
        reference = rows.read_snapshot(store, manifest, tell) if manifest else None
        if source:
            if source not in material.sources:
                known = ", ".join(material.sources)
                raise rows.NothingToReport(f"no record of {source}; there are those of {known}")
            material = material.only(source)
            reference = reference.only(source) if reference else None
    except rows.NothingToReport as error:
        raise fail(str(error), Exit.NOT_FOUND) from error
    made = make_report(
        material,
        reference,
        catalogue=catalogue,
        detect=detect_language,
        now=SystemClock().now(),
        code_version=common.code_version,
        tell=tell,
    )
    folder = out or (None if as_json else common.home / "quality")
    if folder:
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "report.json").write_text(made.model_dump_json(indent=1))
        (folder / "report.html").write_text(write_page(made))
    if as_json:
        print_json(made)
    else:
        findings = [check for check in made.checks if check.severity != "passed"]
        if findings:
            print_table(
                f"{len(findings)} of {len(made.checks)} checks have something to say",
                ["severity", "check", "source", "what"],
                [[c.severity, c.name, c.source or "all", c.said] for c in findings],
            )
        else:
            console.print(f"all {len(made.checks)} checks pass")
        console.print(shown(f"the page: {folder}/report.html"), soft_wrap=True)
    if fail_on and made.fails(fail_on):
        raise typer.Exit(Exit.FAILED)


@app.command()
def cards(
    folder: Annotated[
        Path, typer.Option(help="Where the cards are, and the folder notes.", file_okay=False)
    ] = Path("docs/data-cards"),
    dataset: Annotated[
        str, typer.Option(help="The snapshot that numbers are of: its id, or `newest`.")
    ] = "newest",
    check: Annotated[
        bool, typer.Option("--check", help="Write nothing; status 1 if a card is stale.")
    ] = False,
    as_json: JsonOption = False,
) -> None:
    """Write a data card of every source and of a dataset; what people know is in the notes."""
    from trending_cli.quality import material as rows
    from trending_cli.quality.cards import stale_lines, write_cards
    from trending_cli.quality.languages import detect_language
    from trending_cli.quality.reporting import make_report
    from trending_shared.sources import read_catalogue

    common = clients.settings()
    catalogue = read_catalogue(common.sources_file)
    store = ObjectStore.at(common.store)
    try:
        manifest = rows.snapshot_named(store, dataset)
    except rows.NothingToReport as error:
        raise fail(str(error), Exit.NOT_FOUND) from error
    made = make_report(
        rows.read_snapshot(store, manifest, tell),
        None,
        catalogue=catalogue,
        detect=detect_language,
        now=manifest.created_at,
        code_version=common.code_version,
        tell=tell,
    )
    notes = {file.stem: file.read_text() for file in sorted((folder / "notes").glob("*.md"))}
    stale: list[str] = []
    for name, text in write_cards(manifest, made, catalogue, notes).items():
        file = folder / name
        if file.exists():
            stale += stale_lines(str(file), file.read_text(), text)
        else:
            stale.append(f"{file}: there was no such card")
        if not check:
            file.write_text(text)
    if as_json:
        print_json({"dataset_id": manifest.dataset_id, "stale": stale})
    else:
        for line in stale:
            console.print(shown(line), soft_wrap=True)
        if not stale:
            console.print("every card says what it would say now")
    if check and stale:
        raise typer.Exit(Exit.FAILED)
