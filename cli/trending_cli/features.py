"""`trending features`: what is computed of a title, at what cost, and as plain Parquet."""

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Annotated, Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import typer

from trending_cli import clients
from trending_cli.datasets import find_manifest
from trending_cli.output import (
    Exit,
    JsonOption,
    console,
    fail,
    print_json,
    print_table,
    shown,
    tell,
    warn,
)
from trending_shared.datasets import newest_manifest, read_dataset
from trending_shared.errors import ModelNotFound, StoreUnavailable
from trending_shared.features import LIBRARY, STATISTICS, measure_cost
from trending_shared.storage import ObjectStore
from trending_shared.tables import read_table

if TYPE_CHECKING:
    from trending_shared.encoder import SentenceEncoder

app = typer.Typer(no_args_is_help=True, help="See features, and hand them to other tools.")

_KEYS = [("title_id", pa.string()), ("event_timestamp", pa.timestamp("us", "UTC"))]
TITLE_FEATURES = pa.schema(
    [
        *_KEYS,
        ("text_hash", pa.string()),
        ("recipe", pa.string()),
        ("encoder", pa.string()),
        ("embedding", pa.list_(pa.float32())),
        ("statistics", pa.string()),
        ("plot_characters", pa.int32()),
        ("plot_words", pa.int32()),
        ("plot_mean_word_length", pa.float64()),
        ("plot_distinct_words", pa.float64()),
        ("plot_non_ascii_letters", pa.float64()),
    ]
)
TITLE_TRENDS = pa.schema(
    [
        *_KEYS,
        ("score", pa.float64()),
        ("recent", pa.float64()),
        ("expected", pa.float64()),
        ("signals", pa.int32()),
    ]
)
_COUNTED = tuple(name for name in TITLE_FEATURES.names if name.startswith("plot_"))
_ENCODED = 50  # titles whose embedding is timed, at some ten milliseconds each
_AT_ONCE = 10_000  # rows of the catalog that are held as Python objects


@app.command("list")
def list_(
    sample: Annotated[
        int, typer.Option(min=1, help="Titles of the newest dataset to measure the cost by.")
    ] = 500,
    as_json: JsonOption = False,
) -> None:
    """List the feature library, and what each costs here: processor time of a title."""
    common = clients.settings()
    store = ObjectStore.at(common.store)
    dataset = newest_manifest(store)
    titles = read_dataset(store, dataset).slice(0, sample).to_pylist() if dataset else []
    if not titles:
        warn("no dataset yet, so nothing is measured")
    found: list[dict[str, Any]] = [
        {
            "name": name,
            "reads": feature.reads,
            "gives": feature.gives,
            "microseconds": 1e6 * measure_cost(feature.of, titles) if titles else None,
        }
        for name, feature in LIBRARY.items()
    ]
    if (encoder := _encoder(common.home)) is not None:
        texts = [[title["text"]] for title in titles[:_ENCODED]]
        found.append(
            {
                "name": f"embedding {encoder.version}",
                "reads": ("text",),
                "gives": f"{encoder.dimension} numbers that say what a text means",
                "microseconds": 1e6 * measure_cost(encoder.encode, texts) if texts else None,
            }
        )
    if as_json:
        print_json({"titles": len(titles), "features": found})
        return
    table = [
        [
            each["name"],
            ", ".join(each["reads"]),
            each["gives"],
            f"{each['microseconds']:,.0f}" if each["microseconds"] else None,
        ]
        for each in found
    ]
    print_table("the feature library", ["name", "reads", "gives", "µs"], table)


def _encoder(home: Path) -> "SentenceEncoder | None":
    """The sentence encoder, where it is installed."""
    try:
        from trending_shared.encoder import SentenceEncoder  # an extra, and seconds

        return SentenceEncoder.load(home / "encoder")
    except (ImportError, ModelNotFound):
        return None


@app.command()
def check(
    dataset: Annotated[str, typer.Argument(help="A snapshot's id, or `newest`.")] = "newest",
    as_json: JsonOption = False,
) -> None:
    """Compare a snapshot with the features: is each title there, and were both made of one text?

    Status 1 if a title has no features, or other ones than its row would have today.
    """
    common = clients.settings()
    store = ObjectStore.at(common.store)
    manifest = find_manifest(store, dataset)
    columns = ["title_id", "content_hash", "text_hash", "plot"]
    titles = read_dataset(store, manifest, columns).to_pylist()
    wanted = pc.field("content_hash").isin([title["content_hash"] for title in titles])
    names = ["title_id", "content_hash", "text_hash", "recipe", "statistics", *_COUNTED]
    found = read_table(common.store, "features", names, where=wanted)
    features = {
        (row["title_id"], row["content_hash"]): row
        for row in (found[0].to_pylist() if found else ())
    }
    compared = compare(titles, features, recipe=manifest.recipe)
    sound = not any(compared.values())
    told = {"dataset_id": manifest.dataset_id, "titles": len(titles), "sound": sound, **compared}
    if as_json:
        print_json(told)
    else:
        for what, ids in compared.items():
            console.print(shown(f"{what.replace('_', ' ')}: {len(ids)} {' '.join(ids[:5])}"))
        state = "[green]sound[/]" if sound else "[red]not sound[/]"
        console.print(f"{len(titles)} titles of dataset {manifest.dataset_id}: {state}")
    if not sound:
        raise typer.Exit(Exit.FAILED)


def compare(
    titles: Sequence[Mapping[str, Any]],
    features: Mapping[tuple[str, str], Mapping[str, Any]],
    *,
    recipe: str,
) -> dict[str, list[str]]:
    """The ids of titles whose features are missing, or aren't what their rows would have.

    Args:
        titles: rows of a dataset: title_id, content_hash, text_hash, plot.
        features: rows of the table `features`, by title and content.
        recipe: by which the dataset's texts were made; those of another can't be compared.
    """
    missing, of_other_text, miscounted = [], [], []
    for title in titles:
        id = title["title_id"]
        row = features.get((id, title["content_hash"]))
        if row is None:
            missing.append(id)
            continue
        if row.get("recipe") == recipe and row["text_hash"] != title["text_hash"]:
            of_other_text.append(id)
        if row.get("statistics") == STATISTICS:
            counted = asdict(LIBRARY[STATISTICS].of(title))
            if any(row[f"plot_{name}"] != value for name, value in counted.items()):
                miscounted.append(id)
    return {"missing": missing, "of_other_text": of_other_text, "miscounted": miscounted}


@app.command()
def export(
    to: Annotated[
        Path | None,
        typer.Option(help="Folder for the files; default TRENDING_HOME/features.", file_okay=False),
    ] = None,
    as_json: JsonOption = False,
) -> None:
    """Write title_features.parquet and title_trends.parquet. Status 3 if there are no features yet.

    Rows are sorted, and the same rows make the same bytes.
    """
    common = clients.settings()
    found = read_table(common.store, "features")
    if found is None or not found[0].num_rows:
        raise fail(
            f"no features yet in {common.store}; the featurizer computes them, and "
            "`trending demo` shows how",
            Exit.NOT_FOUND,
        )
    rows, version = found
    tell(f"read {rows.num_rows:,} rows of features at version {version}")
    trends = asyncio.run(_read_trends(common.catalog))
    tell(f"read {trends.num_rows:,} trends")
    if not trends.num_rows:
        warn("no trends yet; title_trends.parquet is without rows")
    folder = to or common.home / "features"
    tables = {
        "title_features.parquet": title_features(rows),
        "title_trends.parquet": title_trends(trends),
    }
    try:
        _write(folder, tables)
    except OSError as error:
        raise fail(f"{folder} can't be written: {error}") from error
    files = {name: _describe(folder / name, table) for name, table in tables.items()}
    if as_json:
        print_json({"folder": str(folder), "features_version": version, "files": files})
    else:
        counts = [[name, *(f"{n:,}" for n in each.values())] for name, each in files.items()]
        print_table(f"exported to {folder}", ["file", "titles", "records", "bytes"], counts)


def title_features(rows: pa.Table) -> pa.Table:
    """All versions of all titles' features; a version begins when its page was fetched.

    Several events may tell of one fetch. The one that counts is the one that a dataset would take:
    the last by content hash and event id.

    Args:
        rows: of the table `features`, in any order; columns that it doesn't have yet are empty.

    Returns:
        `TITLE_FEATURES`, sorted by title and time, no two rows of one title with the same time.
    """
    order = ("title_id", "fetched_at", "content_hash", "event_id")
    ordered = rows.sort_by([(name, "ascending") for name in order])
    keys = zip(*(ordered.column(name).to_pylist() for name in order[:2]), strict=True)
    last = {key: row for row, key in enumerate(keys)}
    return _as(TITLE_FEATURES, ordered.take(list(last.values())), timestamp="fetched_at")


def title_trends(rows: pa.Table) -> pa.Table:
    """The trends of all titles; a trend begins with its day, in UTC.

    Args:
        rows: of the catalog's `trends`, in any order.

    Returns:
        `TITLE_TRENDS`, sorted by title and time.
    """
    ordered = rows.sort_by([("title_id", "ascending"), ("day", "ascending")])
    return _as(TITLE_TRENDS, ordered, timestamp="day")


def _as(schema: pa.Schema, rows: pa.Table, *, timestamp: str) -> pa.Table:
    names = ["event_timestamp" if name == timestamp else name for name in rows.column_names]
    named = rows.rename_columns(names)
    columns = [
        named.column(field.name).cast(field.type)
        if field.name in names
        else pa.nulls(rows.num_rows, field.type)
        for field in schema
    ]
    return pa.table(columns, schema=schema)


async def _read_trends(url: str) -> pa.Table:
    import sqlalchemy as sa

    from trending_shared.catalog import Catalog, trends  # takes a second, and few commands need it

    schema = pa.schema([("day", pa.date32()), *(f for f in TITLE_TRENDS if f.name != _KEYS[1][0])])
    catalog = Catalog(url)
    try:
        if not await catalog.ping():
            raise StoreUnavailable("the catalog doesn't answer; see `trending doctor`")
        await catalog.create()
        async with catalog.reading() as connection:
            found = await connection.stream(sa.select(trends))
            batches = [
                pa.RecordBatch.from_pylist([dict(row) for row in part], schema=schema)
                async for part in found.mappings().partitions(_AT_ONCE)
            ]
    finally:
        await catalog.close()
    return pa.Table.from_batches(batches, schema)


def _write(folder: Path, tables: Mapping[str, pa.Table]) -> None:
    """Put each file in its place at once, when all of them are written."""
    folder.mkdir(parents=True, exist_ok=True)
    with TemporaryDirectory(prefix=".exporting-", dir=folder) as draft:
        for name, table in tables.items():
            pq.write_table(table, Path(draft, name), compression="zstd")
        for name in tables:
            Path(draft, name).replace(folder / name)


def _describe(file: Path, table: pa.Table) -> dict[str, Any]:
    titles = len(table.column("title_id").unique())
    return {"titles": titles, "rows": table.num_rows, "bytes": file.stat().st_size}
