"""What a report is made of: the rows of the tables at one version each, or those of a snapshot."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field, replace

import pandas as pd
import pyarrow as pa

from trending_shared.datasets import (
    DatasetManifest,
    list_datasets,
    read_dataset,
    read_manifest,
)
from trending_shared.errors import Rejected
from trending_shared.storage import ObjectStore
from trending_shared.tables import latest, read_table

TITLE_FIELDS = (
    *("name", "kind", "year", "genres", "plot", "countries", "language", "runtime_minutes"),
    *("rating", "rating_count", "popularity"),
)
REVIEW_FIELDS = ("text", "rating", "day", "language", "author_hash")
_KEYS = ("title_id", "review_id", "source", "source_id", "license", "content_hash", "event_id")
TITLE_COLUMNS = (*_KEYS, "fetched_at", "unknown_genres", *TITLE_FIELDS)
REVIEW_COLUMNS = (*_KEYS, "fetched_at", *REVIEW_FIELDS)
REJECT_COLUMNS = ("record", "source", "reason")

Tell = Callable[[str], None]


class NothingToReport(Rejected):
    """There are no titles yet, or none of what was asked for."""


@dataclass(frozen=True)
class Material:
    """Rows to be measured.

    Args:
        titles: the version in force of each title; `reviews` likewise.
        rows: rows of titles and reviews by source, with replaced versions.
        repeated_events: ids of events that have several rows, by source; there are to be none.
        versions: of the tables that were read.
    """

    titles: pd.DataFrame
    reviews: pd.DataFrame
    rejects: pd.DataFrame
    rows: dict[str, int] = field(default_factory=dict)
    repeated_events: dict[str, tuple[str, ...]] = field(default_factory=dict)
    versions: dict[str, int] = field(default_factory=dict)
    other_tables: dict[str, dict[str, int]] = field(default_factory=dict)
    dataset: DatasetManifest | None = None

    @property
    def sources(self) -> list[str]:
        """All that a row came from, in alphabetical order."""
        frames = (self.titles, self.reviews, self.rejects)
        return sorted({source for frame in frames for source in frame["source"].unique()})

    def only(self, source: str) -> "Material":
        """What came from one source."""
        return replace(
            self,
            titles=self.titles[self.titles["source"] == source],
            reviews=self.reviews[self.reviews["source"] == source],
            rejects=self.rejects[self.rejects["source"] == source],
            rows={source: self.rows.get(source, 0)},
            repeated_events={source: self.repeated_events.get(source, ())},
        )


def read_tables(url: str, tell: Tell) -> Material:
    """All tables of a store, each as it is now.

    Raises:
        NothingToReport: no title has been cleaned yet.
        StoreUnavailable: the store didn't answer.
    """
    versions: dict[str, int] = {}

    def read(name: str, columns: Iterable[str]) -> pa.Table:
        found = read_table(url, name, list(columns))
        if found is None:
            return pa.table({column: pa.array([], pa.string()) for column in columns})
        table, versions[name] = found
        tell(f"read {table.num_rows:,} rows of {name} at version {versions[name]}")
        return table

    titles = read("titles", TITLE_COLUMNS)
    reviews = read("reviews", REVIEW_COLUMNS)
    rejects = read("rejects", REJECT_COLUMNS)
    if not titles.num_rows and not rejects.num_rows:
        raise NothingToReport("no title has been cleaned yet; `trending demo` brings some")
    others = {name: read(name, ["source"]) for name in _tables(url) - set(versions)}
    both = pd.concat(
        [titles.select(["source"]).to_pandas(), reviews.select(["source"]).to_pandas()]
    )
    return Material(
        titles=frame(latest(titles, by="title_id", order="fetched_at")),
        reviews=frame(latest(reviews, by="review_id", order="fetched_at")),
        rejects=frame(rejects),
        rows=_counts(both["source"]),
        repeated_events=_merged(_repeated(titles, "title_id"), _repeated(reviews, "review_id")),
        versions=versions,
        other_tables={
            name: _counts(table.column("source").to_pandas())
            for name, table in sorted(others.items())
            if "source" in table.column_names
        },
    )


def _tables(url: str) -> set[str]:
    """The names of all tables of a store, whoever keeps them."""
    keys = ObjectStore.at(url).keys("tables")
    return {key.split("/")[1] for key in keys if "/_delta_log/" in key}


def read_snapshot(store: ObjectStore, manifest: DatasetManifest, tell: Tell) -> Material:
    """The rows of a snapshot.

    Raises:
        DatasetDamaged: it isn't what was published.
        StoreUnavailable: the store didn't answer.
    """
    rows = read_dataset(store, manifest)
    tell(f"read {rows.num_rows:,} titles of dataset {manifest.dataset_id}")
    titles = frame(rows)
    exploded = titles[["source", "source_id", "title_id", "license", "reviews", "review_ids"]]
    exploded = exploded.explode(["reviews", "review_ids"]).dropna(subset=["review_ids"])
    reviews = exploded.rename(columns={"reviews": "text", "review_ids": "review_id"})
    both = pd.concat([titles["source"], reviews["source"]])
    return Material(
        titles=titles,
        reviews=reviews.reset_index(drop=True),
        rejects=pd.DataFrame({name: pd.Series(dtype="str") for name in REJECT_COLUMNS}),
        rows=_counts(both),
        versions=manifest.tables,
        dataset=manifest,
    )


def manifests(store: ObjectStore) -> list[DatasetManifest]:
    """Of all snapshots, oldest first."""
    found = [read_manifest(store, dataset_id) for dataset_id in list_datasets(store)]
    return sorted(found, key=lambda one: (one.created_at, one.dataset_id))


def snapshot_named(store: ObjectStore, name: str) -> DatasetManifest:
    """A snapshot by its id, or the `newest`.

    Raises:
        NothingToReport: there is no such snapshot.
    """
    known = manifests(store)
    wanted = known[-1:] if name == "newest" else [one for one in known if one.dataset_id == name]
    if not wanted:
        raise NothingToReport(f"no dataset {name} in the store" if known else "no dataset yet")
    return wanted[0]


def last_snapshot(store: ObjectStore, material: Material) -> DatasetManifest | None:
    """The newest snapshot of something else: an older one, or of an older version of the titles."""
    subject = material.dataset
    for one in reversed(manifests(store)):
        if subject is None and one.tables.get("titles") != material.versions.get("titles"):
            return one
        if subject and (one.created_at, one.dataset_id) < (subject.created_at, subject.dataset_id):
            return one
    return None


def frame(table: pa.Table) -> pd.DataFrame:
    """Rows for pandas: lists as tuples, days as days, whole numbers that may be missing as such."""
    found = table.to_pandas(date_as_object=True)
    for column in table.schema:
        if pa.types.is_list(column.type):
            values = [tuple(value or ()) for value in table.column(column.name).to_pylist()]
            found[column.name] = pd.Series(values, index=found.index, dtype=object)
    return found


def _counts(values: pd.Series) -> dict[str, int]:
    return {str(name): int(count) for name, count in values.value_counts().sort_index().items()}


def _merged(*found: dict[str, tuple[str, ...]]) -> dict[str, tuple[str, ...]]:
    names = sorted({name for each in found for name in each})
    return {name: tuple(id for each in found for id in each.get(name, ())) for name in names}


def _repeated(table: pa.Table, key: str) -> dict[str, tuple[str, ...]]:
    if not table.num_rows:
        return {}
    rows = table.select(["source", key, "event_id"]).to_pandas()
    twice = rows[rows.duplicated([key, "event_id"])]
    return {
        str(source): tuple(map(str, found[key].unique()))
        for source, found in twice.groupby("source")
    }
