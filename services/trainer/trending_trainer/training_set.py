"""From the rows of a dataset to what a model is fitted and measured on. Pure."""

import re
from collections import Counter
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, fields
from typing import Any, Literal, Self

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray
from sklearn.feature_extraction.text import CountVectorizer

from trending_shared.evaluation import UNKNOWN
from trending_shared.features import LIBRARY, RECIPE, normalise_text, without_facts
from trending_shared.genres import GENRES
from trending_shared.sources import SourceEntry
from trending_shared.splits import TEST_BELOW, bucket_of, split_key

Split = Literal["title", "source-id", "time"]
"""What decides where a title belongs.

`title` is the one that models are promoted by: the SHA-1 of the normalised name, for good and in
every dataset, so that a film that several sources tell of lies on one side. `source-id` hashes the
id at the source instead, and `time` sets the newest aside; both are for looking at a model only.
"""

FOLDS = 6  # which three and two divide: a model that takes long is judged in fewer
_EXPECTED = 10.0  # titles of a genre where one finds none for it to be taken as never recorded
_ALIKE = 0.5  # share of three-word phrases, as the cosine, from which two plots tell the same
_COLUMNS = (
    *("title_id", "source", "source_id", "kind", "name", "year", "genres", "plot", "countries"),
    *("language", "reviews", "rating_count"),
)


@dataclass(frozen=True, slots=True)
class Terms:
    """What a model may not learn from: titles under these licences, and titles of these sources.

    Licences are SPDX expressions and compared as they are written, but for capitals.
    """

    licenses: frozenset[str] = frozenset()
    sources: frozenset[str] = frozenset()

    @classmethod
    def of(
        cls,
        catalogue: Mapping[str, SourceEntry],
        *,
        excluded_licenses: Collection[str] = (),
        permitted_sources: Collection[str] = (),
    ) -> Self:
        """The terms of the catalogue's sources, and those of the operator besides.

        Args:
            permitted_sources: sources that must be asked, and whose owners have said yes.
        """
        return cls(
            licenses=frozenset(license.lower() for license in excluded_licenses),
            sources=frozenset(
                name
                for name, entry in catalogue.items()
                if entry.training == "forbidden"
                or (entry.training == "ask" and name not in permitted_sources)
            ),
        )

    def permitted(self, rows: pa.Table) -> tuple[pa.Table, dict[str, int]]:
        """The rows that a model may learn from, and how many others there are by licence.

        Args:
            rows: with the columns `source` and `license`.
        """
        excluded = pa.array(sorted(self.licenses), pa.string())
        forbidden = pa.array(sorted(self.sources), pa.string())
        without = pc.or_(
            pc.is_in(pc.utf8_lower(rows.column("license")), value_set=excluded),
            pc.is_in(rows.column("source"), value_set=forbidden),
        )
        left_out = Counter(rows.filter(without).column("license").to_pylist())
        return rows.filter(pc.invert(without)), dict(sorted(left_out.items()))


@dataclass(frozen=True, slots=True, eq=False)
class TrainingSet:
    """n labelled titles; every array has n rows, in the same order."""

    title_ids: NDArray[np.object_]
    texts: NDArray[np.object_]
    """Composed by the recipe."""
    labels: NDArray[np.int8]
    """Shape (n, 16), columns as `GENRES`: 1, 0 or `UNKNOWN`."""
    test: NDArray[np.bool_]
    """Titles that models are measured on and never learn from."""
    leaks: NDArray[np.bool_]
    """Titles outside the test split that tell the plot of one inside; nobody learns from them."""
    folds: NDArray[np.int64]
    """Within 0 and `FOLDS` - 1: titles of one name share a fold, whatever else is in the set."""
    slices: dict[str, NDArray[np.object_]]
    """What a title is, by dimension, in words."""

    @classmethod
    def of(cls, rows: pa.Table, *, split: Split = "title", recipe: str = RECIPE) -> Self:
        """Take a dataset's labelled rows.

        A title without any genre is unlabelled rather than of no genre, and is left out.

        Args:
            rows: a dataset's columns, those of `_COLUMNS` at least.
            recipe: by which texts are composed; the dataset's own `text` isn't read.

        Raises:
            KeyError: a column is missing, or there is no such recipe.
        """
        if "rating_count" not in rows.column_names:  # datasets of before it was kept
            rows = rows.append_column("rating_count", pa.nulls(len(rows), pa.int64()))
        records = [
            row
            for row in rows.select(_COLUMNS).to_pylist()
            if not set(GENRES).isdisjoint(row["genres"])
        ]
        labels = np.array(
            [[genre in set(row["genres"]) for genre in GENRES] for row in records], np.int8
        ).reshape(-1, len(GENRES))
        keys = [split_key(row["name"]) for row in records]
        test = _test_rows(records, keys, split)
        groups = _objects(f"{row['source']} {row['kind']}s" for row in records)
        labels[_unrecorded(labels, groups)] = UNKNOWN
        return cls(
            title_ids=_objects(row["title_id"] for row in records),
            texts=_objects(map(LIBRARY[recipe].of, records)),
            labels=labels,
            test=test,
            leaks=_leaks([row["plot"] for row in records], test),
            folds=np.array([bucket_of(f"fold {key}") % FOLDS for key in keys], np.int64),
            slices=_slices(records),
        )

    def __len__(self) -> int:
        return len(self.texts)

    def also_without_facts(self, share: float) -> Self:
        """All titles, then this share of them again as if kind and countries weren't known.

        Most catalogues lack countries for some titles, and who asks may know neither: a model that
        has read both ways leans less on them. The same titles lead to the same choice.
        """
        chosen = np.random.default_rng(0).random(len(self)) < share
        rows = np.concatenate([np.arange(len(self)), np.flatnonzero(chosen)])
        twice = self.where(rows)
        twice.texts[len(self) :] = list(map(without_facts, twice.texts[len(self) :]))
        return twice

    def where(self, rows: NDArray[np.bool_] | NDArray[np.intp]) -> Self:
        """The titles of these rows, a mask (n,) or any number of places, in their order."""
        kept = {
            field.name: getattr(self, field.name)[rows]
            for field in fields(self)
            if field.name != "slices"
        }
        slices = {name: values[rows] for name, values in self.slices.items()}
        return type(self)(**kept, slices=slices)

    @property
    def seen(self) -> Self:
        """What a model learns from."""
        return self.where(~self.test & ~self.leaks)

    @property
    def unseen(self) -> Self:
        """What a model is measured on."""
        return self.where(self.test)

    def unrecorded(self) -> dict[str, tuple[str, ...]]:
        """Which genres' labels are unknown, by the source and kind of the titles."""
        groups = self.slices["source and kind"]
        return {
            group: tuple(
                genre
                for column, genre in enumerate(GENRES)
                if (self.labels[groups == group, column] == UNKNOWN).all()
            )
            for group in sorted(set(groups))
        }


def _test_rows(records: list[dict[str, Any]], keys: list[str], split: Split) -> NDArray[np.bool_]:
    if split != "time":
        named = keys if split == "title" else [row["source_id"] for row in records]
        return np.array([bucket_of(key) < TEST_BELOW for key in named], bool)
    # A title without a year counts as old: nobody knows that it is new.
    years = np.array([row["year"] or 0 for row in records], np.int64)
    buckets = np.array([bucket_of(key) for key in keys], np.int64)
    newest = np.lexsort((buckets, -years))[: len(records) * TEST_BELOW // 100]
    test = np.zeros(len(records), bool)
    test[newest] = True
    return test


def _unrecorded(labels: NDArray[np.int8], groups: NDArray[np.object_]) -> NDArray[np.bool_]:
    """Which labels a source can't carry: (n, 16).

    A source may have a genre for shows only. Where none of a group's titles has a genre, and as
    many as elsewhere would have made ten, the source doesn't record it there; by chance alone that
    happens once in twenty thousand.
    """
    unknown = np.zeros(labels.shape, bool)
    for group in set(groups):
        inside = np.asarray(groups == group)
        outside = ~inside
        if not outside.any():
            continue
        expected = inside.sum() * labels[outside].mean(axis=0)
        unknown[np.ix_(inside, (labels[inside].sum(axis=0) == 0) & (expected >= _EXPECTED))] = True
    return unknown


def _leaks(plots: list[str], test: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """Rows outside the test split whose plot is, but for some words, one of a test row's."""
    leaks = np.zeros(len(plots), bool)
    reader = CountVectorizer(
        ngram_range=(3, 3), token_pattern="[a-z0-9]+", binary=True, lowercase=False, dtype=np.int32
    )
    told = [normalise_text(plot) for plot in plots]
    if not test.any() or not any(len(re.findall("[a-z0-9]+", plot)) >= 3 for plot in told):
        return leaks
    phrases = reader.fit_transform(told)
    sizes = np.asarray(phrases.sum(axis=1)).ravel()
    seen, unseen = np.flatnonzero(~test), np.flatnonzero(test)
    shared = (phrases[seen] @ phrases[unseen].T).tocoo()
    alike = shared.data >= _ALIKE * np.sqrt(sizes[seen[shared.row]] * sizes[unseen[shared.col]])
    leaks[seen[shared.row[alike]]] = True
    return leaks


def _slices(records: list[dict[str, Any]]) -> dict[str, NDArray[np.object_]]:
    halves: dict[str, float] = {
        source: float(np.median(counts))
        for source in {row["source"] for row in records}
        if (
            counts := [
                r["rating_count"] for r in records if r["source"] == source and r["rating_count"]
            ]
        )
    }

    def popularity(row: dict[str, Any]) -> str:
        if not row["rating_count"]:
            return "unknown"
        return "upper half" if row["rating_count"] > halves[row["source"]] else "lower half"

    def length(row: dict[str, Any]) -> str:
        words = len(row["plot"].split())
        return "under 20 words" if words < 20 else "20 to 49 words" if words < 50 else "50 and more"

    of: dict[str, Any] = {
        "kind": lambda row: row["kind"],
        "source": lambda row: row["source"],
        "source and kind": lambda row: f"{row['source']} {row['kind']}s",
        "decade": lambda row: f"{row['year'] // 10 * 10}s" if row["year"] else "unknown",
        "language": lambda row: row["language"] or "unknown",
        "country": lambda row: row["countries"][0] if row["countries"] else "unknown",
        "plot": length,
        "popularity": popularity,
        "reviews": lambda row: "some" if row["reviews"] else "none",
    }
    return {name: _objects(map(value, records)) for name, value in of.items()}


def _objects(values: Iterable[str]) -> NDArray[np.object_]:
    return np.array(list(values), dtype=object)
