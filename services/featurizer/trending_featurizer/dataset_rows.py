"""The rows of a dataset: from the cleaner's tables to what a model is trained on; no I/O.

A dataset's id is the first 16 hex digits of the SHA-256 over its recipe and its rows, each row one
line of JSON: the values of `HASHED` in that order, rows by `title_id`. `LINEAGE` says where a row
came from, `COUNTED` how it stood on that day, and neither is hashed: pages that were fetched again,
or on which only counters moved, make the same dataset.
"""

import hashlib
import io
import json
from collections import Counter
from collections.abc import Iterable
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from trending_shared.erasures import Erasure
from trending_shared.features import LIBRARY, RECIPE, text_hash

_TEXTS = pa.list_(pa.string())
HASHED = pa.schema(
    [
        ("title_id", pa.string()),
        ("source", pa.string()),
        ("source_id", pa.string()),
        ("kind", pa.string()),
        ("name", pa.string()),
        ("year", pa.int32()),
        ("genres", _TEXTS),
        ("unknown_genres", _TEXTS),
        ("plot", pa.string()),
        ("countries", _TEXTS),
        ("language", pa.string()),
        ("license", pa.string()),
        ("text", pa.string()),
        ("text_hash", pa.string()),
        ("n_reviews", pa.int32()),
        ("reviews", _TEXTS),
    ]
)
LINEAGE = pa.schema(
    [
        ("content_hash", pa.string()),
        ("page_url", pa.string()),
        ("page_hash", pa.string()),
        ("page_key", pa.string()),
        ("event_id", pa.string()),
        ("review_ids", _TEXTS),
    ]
)
COUNTED = pa.schema([("rating_count", pa.int64())])
ROWS = pa.schema([*HASHED, *LINEAGE, *COUNTED])

_MADE_HERE = {"text", "text_hash", "n_reviews", "reviews", "review_ids"}
TITLE_COLUMNS = (*(name for name in ROWS.names if name not in _MADE_HERE), "fetched_at")
REVIEW_COLUMNS = ("review_id", "title_id", "text", "content_hash", "event_id", "fetched_at")


def join_rows(titles: pa.Table, reviews: pa.Table) -> pa.Table:
    """The newest version of each title with the newest version of each of its reviews.

    Args:
        titles: any number of versions of each title, with `TITLE_COLUMNS`.
        reviews: likewise, with `REVIEW_COLUMNS`; those of unknown titles are left out.

    Returns:
        `ROWS`, one row a title, sorted by `title_id`; reviews sorted by `review_id`.
    """
    by_title: dict[str, list[dict[str, Any]]] = {}
    for review in _newest(reviews, "review_id"):
        by_title.setdefault(review["title_id"], []).append(review)
    rows = []
    for title in _newest(titles, "title_id"):
        found = by_title.get(title["title_id"], [])
        row = {
            **title,
            "n_reviews": len(found),
            "reviews": [review["text"] for review in found],
            "review_ids": [review["review_id"] for review in found],
        }
        text = LIBRARY[RECIPE].of(row)
        rows.append({**row, "text": text, "text_hash": text_hash(text)})
    return pa.Table.from_pylist(rows, schema=ROWS)


def _newest(table: pa.Table, key: str) -> Iterable[dict[str, Any]]:
    """The newest row of each key, sorted by it; what decides a tie isn't the order of arrival."""
    order = [(name, "ascending") for name in (key, "fetched_at", "content_hash", "event_id")]
    return {row[key]: row for row in table.sort_by(order).to_pylist()}.values()


def hash_rows(rows: pa.Table) -> str:
    """The id of the dataset with these rows: 16 hex digits."""
    digest = hashlib.sha256(RECIPE.encode())
    for row in rows.select(HASHED.names).to_pylist():
        line = json.dumps(list(row.values()), ensure_ascii=False, separators=(",", ":"))
        digest.update(f"\n{line}".encode())
    return digest.hexdigest()[:16]


def without_erased(rows: pa.Table, erasure: Erasure) -> tuple[pa.Table, int, int]:
    """`ROWS` without titles of an erased page, and without erased reviews.

    Returns:
        What is left, and how many titles and how many reviews of others went.
    """
    kept, reviews = [], 0
    for row in rows.to_pylist():
        if erasure.names(row["page_url"], row["event_id"]):
            continue
        pairs = zip(row["review_ids"], row["reviews"], strict=True)
        left = [(id, text) for id, text in pairs if not erasure.names(id)]
        if len(left) < len(row["reviews"]):
            reviews += len(row["reviews"]) - len(left)
            row |= {
                "n_reviews": len(left),
                "reviews": [text for _, text in left],
                "review_ids": [id for id, _ in left],
            }
        kept.append(row)
    # The columns are those that the snapshot was cut with.
    return pa.Table.from_pylist(kept, schema=rows.schema), rows.num_rows - len(kept), reviews


def describe_rows(rows: pa.Table) -> dict[str, Any]:
    """What a manifest says of the rows: its fields by name, counts sorted by what is counted."""
    genres = rows.column("genres")
    return {
        "rows": rows.num_rows,
        "labelled": pc.sum(pc.greater(pc.list_value_length(genres), 0)).as_py() or 0,
        "reviews": pc.sum(rows.column("n_reviews")).as_py() or 0,
        "columns": {field.name: str(field.type) for field in rows.schema},
        "sources": _counts(rows.column("source").to_pylist()),
        "licenses": _counts(rows.column("license").to_pylist()),
        "labels": _counts(pc.list_flatten(genres).to_pylist()),
    }


def _counts(values: Iterable[str]) -> dict[str, int]:
    return dict(sorted(Counter(values).items()))


def to_parquet(rows: pa.Table) -> bytes:
    buffer = io.BytesIO()
    pq.write_table(rows, buffer, compression="zstd")
    return buffer.getvalue()
