"""Tables and a dataset from records that nobody has to scrape: `python -m pipeline.snapshots`.

    clean CATALOGUE FOLDER     a CSV file as `trending import csv` takes it, to the table `titles`
    features FOLDER            the tables to a dataset

Both use what the services use. A run on the same file gives the same dataset.
"""

import argparse
import csv
import json
import sys
from collections import Counter
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from uuid import NAMESPACE_URL, uuid5

import pyarrow as pa
from prometheus_client import CollectorRegistry

from trending_cleaner.cleaning import clean_title
from trending_cleaner.schemas import REVIEWS, TITLES, Cleaned, row_of
from trending_featurizer.datasets import Datasets
from trending_featurizer.metrics import FeaturizerMetrics
from trending_scraper.sources.csv_file import raw_title
from trending_shared.clock import Clock, FrozenClock
from trending_shared.datasets import DatasetManifest, read_manifest
from trending_shared.errors import Rejected, TrendingError
from trending_shared.events import DatasetRequested, Page, TitleScraped
from trending_shared.logs import configure_logs
from trending_shared.messages import Message, Position, first_message
from trending_shared.sources import read_catalogue
from trending_shared.storage import ObjectStore
from trending_shared.tables import OffsetTable, table_uri

SOURCE = "csv"
CODE = "snapshot"


def clean(catalogue: Path, folder: Path, *, read_at: datetime) -> dict[str, int]:
    """Fill the table `titles` in a folder; how many rows were taken, and how many weren't, by why.

    Raises:
        FileExistsError: there are tables in the folder.
        KeyError: the file has no column `show_id`.
    """
    if (folder / "tables").exists():
        raise FileExistsError(f"{folder} holds tables; name an empty folder")
    counts: Counter[str] = Counter()
    cleaned = []
    for message in scraped(catalogue, read_at):
        try:
            cleaned.append((message, clean_title(message.event, read_at)))
        except Rejected as error:
            counts[error.reason] += 1
    url = folder.absolute().as_uri()
    append(url, "titles", TITLES, cleaned)
    append(url, "reviews", REVIEWS, [])
    return {"titles": len(cleaned), **counts}


def scraped(catalogue: Path, read_at: datetime) -> Iterator[Message[TitleScraped]]:
    """The rows of a CSV file as the scraper publishes them."""
    license = read_catalogue()[SOURCE].license
    with catalogue.open(encoding="utf-8-sig", newline="") as file:
        for row in csv.DictReader(file):
            address = f"store:{catalogue.name}#{row['show_id']}"
            page = Page(url=address, hash="0" * 64, key="imports/none", fetched_at=read_at)
            event = TitleScraped(
                source=SOURCE,
                source_id=row["show_id"],
                page=page,
                license=license,
                title=raw_title({key: value or "" for key, value in row.items() if key}),
            )
            yield first_message(event, id=uuid5(NAMESPACE_URL, address))


def append(
    url: str, name: str, schema: pa.Schema, cleaned: Sequence[tuple[Message[Any], Cleaned]]
) -> None:
    """Append cleaned records to a table, as if they had come in this order from one partition."""
    table = OffsetTable(url, name, schema=schema, owner="cleaner")
    table.append(
        (Position(name, 0, offset), row_of(cause, event, code_version=CODE))
        for offset, (cause, event) in enumerate(cleaned)
    )


def cut(folder: Path, *, reason: str, clock: Clock) -> DatasetManifest:
    """Cut a dataset from the tables in a folder, into that folder.

    Raises:
        NoTitlesYet: there are none.
    """
    url = folder.absolute().as_uri()
    store = ObjectStore.at(url)
    datasets = Datasets(
        store,
        titles=table_uri(url, "titles"),
        reviews=table_uri(url, "reviews"),
        code_version=CODE,
        clock=clock,
        metrics=FeaturizerMetrics(CollectorRegistry()),
    )
    request = DatasetRequested(reason=reason)
    published = datasets.answer(first_message(request, id=uuid5(NAMESPACE_URL, reason)))
    return read_manifest(store, published.event.dataset_id)


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m pipeline.snapshots", description=__doc__)
    parser.add_argument("--read-at", type=datetime.fromisoformat, help="ISO 8601 (default: 2026)")
    stages = parser.add_subparsers(dest="stage", required=True)
    cleaning = stages.add_parser("clean", help="a CSV file to tables")
    cleaning.add_argument("catalogue", type=Path)
    cleaning.add_argument("folder", type=Path)
    features = stages.add_parser("features", help="tables to a dataset")
    features.add_argument("folder", type=Path)
    asked = parser.parse_args(arguments)
    read_at = asked.read_at or datetime(2026, 1, 1, tzinfo=UTC)
    try:
        if asked.stage == "clean":
            told: Any = clean(asked.catalogue, asked.folder, read_at=read_at)
        else:
            manifest = cut(asked.folder, reason="a snapshot", clock=FrozenClock(read_at))
            told = {"dataset_id": manifest.dataset_id, "titles": manifest.rows}
    except (TrendingError, OSError, KeyError) as error:
        sys.stderr.write(f"error: {error}\n")
        return 1
    sys.stdout.write(f"{json.dumps(told)}\n")
    return 0


if __name__ == "__main__":
    configure_logs(service="snapshots")
    sys.exit(main())
