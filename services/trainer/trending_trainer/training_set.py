"""From the rows of a dataset to what a model is fitted and measured on. Pure."""

import hashlib
from collections import Counter
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Literal, Self

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from trending_shared.genres import GENRES
from trending_shared.sources import SourceEntry

Split = Literal["train", "validation", "test"]

# Of a hundred buckets. They are part of what a metric means: models are comparable only while the
# same titles stay unseen.
_TEST_BELOW, _VALIDATION_BELOW = 20, 30


def split_of(source_id: str) -> Split:
    """Where a title belongs, by the SHA-1 of its id at its source; for good, in every dataset."""
    digest = hashlib.sha1(source_id.encode(), usedforsecurity=False).hexdigest()
    bucket = int(digest, 16) % 100
    if bucket < _TEST_BELOW:
        return "test"
    return "validation" if bucket < _VALIDATION_BELOW else "train"


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


@dataclass(frozen=True, slots=True)
class TrainingSet:
    """n labelled titles; every array has n rows, in the same order."""

    title_ids: NDArray[np.object_]
    texts: NDArray[np.object_]
    """Composed by the recipe."""
    labels: NDArray[np.int8]
    """Shape (n, 16): 1 where a title is of that one of `GENRES`."""
    kinds: NDArray[np.object_]
    splits: NDArray[np.object_]

    @classmethod
    def of(cls, rows: pa.Table | pd.DataFrame) -> Self:
        """Take a dataset's labelled rows.

        A title without any genre is unlabelled rather than of no genre, and is left out.

        Args:
            rows: with the columns `title_id`, `source_id`, `kind`, `text` and `genres` (lists).

        Raises:
            KeyError: a column is missing.
        """
        columns = ["title_id", "source_id", "kind", "text", "genres"]
        table = rows.select(columns) if isinstance(rows, pa.Table) else rows[columns]
        records: list[dict[str, Any]] = (
            table.to_pylist() if isinstance(table, pa.Table) else table.to_dict("records")
        )
        records = [row for row in records if not set(GENRES).isdisjoint(row["genres"])]
        return cls(
            title_ids=_objects(row["title_id"] for row in records),
            texts=_objects(row["text"] for row in records),
            labels=np.array(
                [[genre in set(row["genres"]) for genre in GENRES] for row in records], np.int8
            ).reshape(-1, len(GENRES)),
            kinds=_objects(row["kind"] for row in records),
            splits=_objects(split_of(row["source_id"]) for row in records),
        )

    def __len__(self) -> int:
        return len(self.texts)

    def only(self, *splits: Split) -> Self:
        """The rows of these splits, in their order."""
        chosen = np.isin(self.splits.astype(str), splits)
        return type(self)(
            self.title_ids[chosen],
            self.texts[chosen],
            self.labels[chosen],
            self.kinds[chosen],
            self.splits[chosen],
        )


def _objects(values: Iterable[str]) -> NDArray[np.object_]:
    return np.array(list(values), dtype=object)
