"""`trending models`: what the registry holds, how good it is, what is in force, and a new one."""

import asyncio
from datetime import UTC, datetime
from getpass import getuser
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from trending_cli import clients
from trending_cli.output import (
    Exit,
    JsonOption,
    console,
    errors,
    fail,
    print_facts,
    print_json,
    print_table,
    shown,
)
from trending_shared.errors import ObjectMissing
from trending_shared.events import (
    ModelApproved,
    ModelPromoted,
    ModelRefused,
    ModelRegistered,
    TrainingRequested,
)
from trending_shared.messages import Message, first_message
from trending_shared.registry import CHAMPION, Manifest, ModelRegistry
from trending_shared.settings import CommonSettings
from trending_shared.storage import ObjectStore
from trending_shared.topics import all_event_topics, ensure_topics
from trending_shared.walk import Walk, watching

if TYPE_CHECKING:
    from trending_cli.leaderboard import Leaderboard
    from trending_cli.model_comparison import ModelsComparison
    from trending_shared.evaluation import Difference

app = typer.Typer(no_args_is_help=True, help="See, train, promote and roll back models.")

NameOption = Annotated[str, typer.Option("--model", help="The registry's name of the task.")]
OutputOption = Annotated[
    Path | None,
    typer.Option(
        "--output",
        help="The page's file; default below TRENDING_HOME/models, or none if a document is "
        "printed.",
        dir_okay=False,
    ),
]


def _registry(common: CommonSettings) -> ModelRegistry:
    return ModelRegistry(ObjectStore.at(common.store))


@app.command("list")
def list_(model: NameOption = "genres", as_json: JsonOption = False) -> None:
    """List all models of a task, oldest first."""
    registry = _registry(clients.settings())
    pointer = registry.pointer(model)
    champion = pointer.version if pointer else None
    manifests = registry.versions(model)
    if as_json:
        print_json({"champion": champion, "versions": manifests})
        return
    rows = [
        [
            m.version,
            "champion" if m.version == champion else "",
            m.algorithm,
            f"{m.metrics.get('macro_f1', float('nan')):.4f}",
            m.dataset_id,
            f"{m.created_at:%Y-%m-%d %H:%M}",
        ]
        for m in manifests
    ]
    print_table(model, ["version", "alias", "algorithm", "macro-F1", "dataset", "created"], rows)


@app.command()
def show(
    version: Annotated[str, typer.Argument(help="A version, or champion.")] = CHAMPION,
    model: NameOption = "genres",
    as_json: JsonOption = False,
) -> None:
    """Show one model: scores, thresholds, ancestry."""
    manifest = _manifest(_registry(clients.settings()), model, version)
    if as_json:
        print_json(manifest)
        return
    facts = manifest.model_dump(exclude={"metrics", "reference", "thresholds", "labels", "card"})
    print_facts(facts)
    metrics = manifest.metrics
    columns = ["genre", "threshold", "F1", "precision", "recall", "titles", "given"]
    rows = [
        [
            genre,
            f"{manifest.thresholds[genre]:.2f}" if genre in manifest.thresholds else None,
            *(f"{of[name]:.3f}" for name in ("f1", "precision", "recall")),
            of["support"],
            of["given"],
        ]
        for genre, of in metrics.get("genres", {}).items()
    ]
    print_table(f"macro-F1 {metrics['macro_f1']:.4f}", columns, rows)
    slices = [
        [
            dimension,
            value,
            f"{of['macro_f1']:.4f}",
            f"{of['interval']['low']:.3f} to {of['interval']['high']:.3f}",
            of["rows"],
        ]
        for dimension, found in metrics.get("slices", {}).items()
        for value, of in found.items()
    ]
    print_table("by slice", ["of", "value", "macro-F1", "95 %", "titles"], slices)


@app.command()
def card(
    version: Annotated[str, typer.Argument(help="A version, or champion.")] = CHAMPION,
    model: NameOption = "genres",
    as_json: JsonOption = False,
) -> None:
    """Print a model's card, as Markdown: what it is for, how good it is, where it is weak."""
    manifest = _manifest(_registry(clients.settings()), model, version)
    if as_json:
        print_json({"version": manifest.version, "card": manifest.card})
    else:
        typer.echo(manifest.card.rstrip())


@app.command()
def report(
    version: Annotated[str, typer.Argument(help="A version, or champion.")] = CHAMPION,
    model: NameOption = "genres",
    output: OutputOption = None,
    as_json: JsonOption = False,
) -> None:
    """Write a page with plots of how good a model is; with --json, print its evaluation."""
    from trending_cli.model_comparison import read_evaluation  # NumPy
    from trending_cli.model_pages import write_model_page  # Jinja2

    common = clients.settings()
    manifest = _manifest(_registry(common), model, version)
    evaluation = read_evaluation(manifest)
    file = output or (None if as_json else common.home / "models" / f"{manifest.version}.html")
    if file:
        _write(file, write_model_page(manifest, evaluation))
    if as_json:
        print_json(evaluation)
    else:
        console.print(shown(f"the page: {file}"), soft_wrap=True)


@app.command()
def leaderboard(
    dataset: Annotated[
        str | None, typer.Option(help="Its id; that of the newest model if left out.")
    ] = None,
    split: Annotated[
        str | None,
        typer.Option(
            help="What decided who was a test title: title, source-id or time; as the newest "
            "model's if left out."
        ),
    ] = None,
    model: NameOption = "genres",
    output: OutputOption = None,
    as_json: JsonOption = False,
) -> None:
    """Show all models of a dataset side by side, best first, and draw them on a page."""
    from trending_cli.leaderboard import rank  # NumPy
    from trending_cli.model_pages import write_leaderboard_page  # Jinja2

    common = clients.settings()
    with errors.status("comparing"):
        board = rank(_registry(common), model, dataset_id=dataset, split=split)
    name = f"{board.dataset_id}-{board.split}.html"
    file = output or (None if as_json else common.home / "models" / name)
    if file:
        _write(file, write_leaderboard_page(board))
    if as_json:
        print_json(board)
    else:
        _print_leaderboard(board)
        console.print(shown(f"the page: {file}"), soft_wrap=True)


def _print_leaderboard(board: "Leaderboard") -> None:
    scores = [
        [
            each.algorithm,
            each.version,
            "champion" if each.champion else "",
            f"{each.evaluation.macro_f1:.4f}",
            f"{each.evaluation.macro_f1_interval.low:.3f} to "
            f"{each.evaluation.macro_f1_interval.high:.3f}",
        ]
        for each in board.standings
    ]
    scores += [[name, "", "", f"{score:.4f}", ""] for name, score in board.baselines.items()]
    print_table(
        f"models of dataset {board.dataset_id}, split by {board.split}",
        ["family", "version", "alias", "macro-F1", "95 %"],
        scores,
    )
    differences = [
        [
            each.label,
            f"{each.to_first.value:+.4f}",
            f"{each.to_first.interval.low:+.3f} to {each.to_first.interval.high:+.3f}",
            each.against_first,
        ]
        for each in board.standings
        if each.to_first
    ]
    if differences:
        print_table(
            f"macro-F1 minus that of {board.standings[0].label}, on the same titles",
            ["family", "difference", "95 %", ""],
            differences,
        )
    others = [
        [
            each.label,
            f"{each.evaluation.micro_f1:.3f}",
            f"{each.evaluation.mean_average_precision:.3f}",
            f"{each.evaluation.calibration.ece:.4f}",
            _number(each.cost.latency_seconds, 1e3, "{:.2f}"),
            _number(each.cost.onnx_bytes, 1e-6, "{:.1f}"),
            _number(each.cost.fit_seconds, 1, "{:,.0f}"),
            _number(each.cost.peak_bytes, 1e-6, "{:,.0f}"),
        ]
        for each in board.standings
    ]
    print_table(
        "other scores, and what a text, the graph and the fit take",
        ["family", "micro-F1", "mAP", "ECE", "ms", "MB", "fit, s", "peak, MB"],
        others,
    )
    for each in board.standings:
        if each.untold:
            console.print(shown(f"{each.label} is not compared: {each.untold}"), soft_wrap=True)
    for version, why in board.left_out.items():
        console.print(shown(f"{version} is left out: {why}"), soft_wrap=True)
    console.print(shown(board.verdict), style="bold", soft_wrap=True)


def _number(value: float | None, factor: float, form: str) -> str | None:
    return None if value is None else form.format(value * factor)


@app.command()
def compare(
    one: Annotated[str, typer.Argument(metavar="A", help="A version, or champion.")],
    other: Annotated[str, typer.Argument(metavar="B", help="Another, or champion.")],
    dataset: Annotated[
        str | None,
        typer.Option(
            help="Have both answer the test split of this dataset; if left out, what they "
            "answered of their own is compared."
        ),
    ] = None,
    model: NameOption = "genres",
    output: OutputOption = None,
    as_json: JsonOption = False,
) -> None:
    """Say which of two models is surely better, at what, and draw it on a page."""
    from trending_cli.model_comparison import compare_anew, compare_kept
    from trending_cli.model_pages import write_comparison_page

    common = clients.settings()
    store = ObjectStore.at(common.store)
    registry = ModelRegistry(store)
    ours, theirs = _manifest(registry, model, one), _manifest(registry, model, other)
    if ours.version == theirs.version:
        raise fail(f"both are {ours.version}; name two models", Exit.USAGE)
    with errors.status("comparing"):
        try:
            found = (
                compare_anew(store, registry, ours, theirs, dataset)
                if dataset
                else compare_kept(registry, ours, theirs)
            )
        except ObjectMissing as error:
            raise fail(f"there is no dataset {dataset}", Exit.NOT_FOUND) from error
    name = f"{ours.version}-{theirs.version}.html"
    file = output or (None if as_json else common.home / "models" / name)
    if file:
        _write(file, write_comparison_page(found, ours, theirs))
    if as_json:
        print_json(found)
    else:
        _print_comparison(found)
        console.print(shown(f"the page: {file}"), soft_wrap=True)


def _print_comparison(found: "ModelsComparison") -> None:
    from trending_cli.model_comparison import sign

    def row(difference: "Difference") -> list[str]:
        interval = difference.interval
        return [
            f"{difference.value:+.4f}",
            f"{interval.low:+.3f} to {interval.high:+.3f}",
            {1: "A", -1: "B"}.get(sign(difference), ""),
        ]

    console.print(shown(f"A is {found.one}, B is {found.other}; on {found.titles}"), soft_wrap=True)
    ours, theirs = found.evaluations[found.one], found.evaluations[found.other]
    columns = ["A", "B", "A − B", "95 %", "surely better"]
    overall = [
        [
            shown_as,
            *(f"{getattr(each, name):.4f}" for each in (ours, theirs)),
            *row(getattr(found.comparison, name)),
        ]
        for name, shown_as in (
            ("macro_f1", "macro-F1"),
            ("micro_f1", "micro-F1"),
            ("mean_average_precision", "mAP"),
        )
    ]
    print_table("overall", ["score", *columns], overall)
    genres = [
        [
            genre,
            ours.genres[genre].support,
            *(f"{each.genres[genre].f1:.3f}" for each in (ours, theirs)),
            *row(difference),
        ]
        for genre, difference in found.comparison.genres.items()
    ]
    print_table("F1 by genre", ["genre", "titles", *columns], genres)
    slices = [
        [dimension, value, difference.rows, *row(difference)]
        for dimension, values in found.comparison.slices.items()
        for value, difference in values.items()
        if sign(difference)
    ]
    if slices:
        print_table(
            "slices that differ surely, in macro-F1",
            ["of", "value", "titles", *columns[2:]],
            slices,
        )
    else:
        console.print("no slice differs surely")
    console.print(shown(found.verdict), style="bold", soft_wrap=True)


@app.command()
def train(
    dataset: Annotated[str | None, typer.Option(help="Its id; the newest if left out.")] = None,
    reason: Annotated[str, typer.Option(help="Why; it travels with the request.")] = "by hand",
    wait: Annotated[bool, typer.Option("--wait", help="Until the gate has decided.")] = False,
    as_json: JsonOption = False,
) -> None:
    """Have a model trained. With --wait, status 1 if it was refused."""
    request = first_message(TrainingRequested(reason=reason, dataset_id=dataset))
    walk = asyncio.run(_request(clients.settings(), request, wait=wait))
    promoted, refused = walk.first_of(ModelPromoted), walk.first_of(ModelRefused)
    approved = walk.first_of(ModelApproved)
    parked = walk.parked.get(request.id)
    if as_json:
        print_json(
            {
                "training_id": request.id,
                "promoted": promoted.model_version if promoted else None,
                "approved": approved.model_version if approved else None,
                "refused": refused.reasons if refused else None,
                "parked": parked,
            }
        )
    elif promoted:
        console.print(f"[green]champion is now {promoted.model_version}[/]", highlight=False)
        console.print(shown("; ".join(promoted.reasons)))
    elif approved:
        told = f"{approved.model_version} passed the gate and is to be tried"
        console.print(f"[green]{told}[/]: trending experiment status", highlight=False)
        console.print(shown("; ".join(approved.reasons)))
    elif refused:
        console.print("[yellow]refused, the champion stays[/]")
        console.print(shown("; ".join(refused.reasons)))
    elif parked:
        console.print(shown(f"the trainer parked the request: {parked}"))
    else:
        console.print(f"requested training [bold]{request.id}[/]")
    if refused or parked:
        raise typer.Exit(Exit.FAILED)


async def _request(
    common: CommonSettings, request: Message[TrainingRequested], *, wait: bool
) -> Walk:
    """Publish a request for a training and, if told to, see its walk to the end."""
    kafka, id = common.kafka, request.id
    async with clients.publisher(common) as sender:
        topics = all_event_topics(partitions=kafka.partitions)
        await ensure_topics(topics, kafka.connection, kafka.replication_factor)
        if not wait:
            await sender.publish([request])
            return Walk(id)
        async with watching(kafka, id) as watcher:
            walk = watcher.walks[id]
            await sender.publish([request])
            with errors.status(f"training {id}") as status:
                decided = (ModelPromoted, ModelApproved, ModelRefused)
                while not (any(walk.count(kind) for kind in decided) or id in walk.parked):
                    await watcher.poll()
                    status.update(f"training {id}, {walk.count(ModelRegistered)} models yet")
    return walk


@app.command()
def promote(
    version: Annotated[str, typer.Argument(help="The version to put in force.")],
    model: NameOption = "genres",
    reason: Annotated[str, typer.Option(help="Why; kept in the history.")] = "by hand",
    as_json: JsonOption = False,
) -> None:
    """Make a version the champion, whatever the gate said of it."""
    common = clients.settings()
    registry = _registry(common)
    manifest = _manifest(registry, model, version)
    asyncio.run(_move(common, registry, manifest, (reason,), as_json=as_json))


@app.command()
def rollback(model: NameOption = "genres", as_json: JsonOption = False) -> None:
    """Put the champion before the present one back in force."""
    common = clients.settings()
    registry = _registry(common)
    history = registry.history(model)
    before = [p for p in history if p.version != history[-1].version] if history else []
    if not before:
        raise fail(f"{model} has had no other champion", Exit.NOT_FOUND)
    manifest = registry.manifest(model, before[-1].version)
    reasons = (f"rolled back from {history[-1].version}",)
    asyncio.run(_move(common, registry, manifest, reasons, as_json=as_json))


def _write(file: Path, page: str) -> None:
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(page, encoding="utf-8")


def _manifest(registry: ModelRegistry, model: str, version: str) -> Manifest:
    if version == CHAMPION:
        return registry.champion(model)
    return registry.manifest(model, version)


async def _move(
    common: CommonSettings,
    registry: ModelRegistry,
    manifest: Manifest,
    reasons: tuple[str, ...],
    *,
    as_json: bool,
) -> None:
    seen = registry.pointer(manifest.name)
    if seen and seen.version == manifest.version:
        raise fail(f"{manifest.version} is the champion already")
    async with clients.publisher(common) as sender:  # first: nothing moves that can't be told
        pointer = registry.move(
            manifest.name,
            manifest.version,
            expected=seen,
            reasons=reasons,
            moved_by=f"{getuser()} by command",
            at=datetime.now(UTC),
        )
        event = ModelPromoted(
            model=manifest.name,
            model_version=pointer.version,
            alias=CHAMPION,
            number=pointer.number,
            previous=seen.version if seen else None,
            reasons=pointer.reasons,
        )
        await sender.publish([first_message(event)])
    if as_json:
        print_json(pointer)
    else:
        console.print(f"[green]{manifest.name} champion is now {pointer.version}[/]")
