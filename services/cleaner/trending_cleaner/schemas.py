"""The tables that the cleaner keeps, column by column, and how an event becomes a row.

`event_id` is the scraped event that led to the row: the row's own event follows from it alone.
With page and correlation id it leads back to where a row came from, and finds what to erase.
"""

from collections.abc import Sequence
from datetime import datetime
from typing import Any
from uuid import UUID

import pyarrow as pa

from trending_cleaner.cleaning import CleanFacts
from trending_cleaner.external_ids import listed
from trending_shared.events import (
    DayCount,
    Page,
    RecordRejected,
    ReviewCleaned,
    SignalCleaned,
    TitleCleaned,
    TitleMerged,
)
from trending_shared.messages import Message

_TIME = pa.timestamp("us", tz="UTC")
_TEXTS = pa.list_(pa.string())
_COUNTS = pa.list_(pa.struct([("day", pa.date32()), ("count", pa.int64())]))
_ORIGIN = [
    ("page_url", pa.string()),
    ("page_hash", pa.string()),
    ("page_key", pa.string()),
    ("fetched_at", _TIME),
    ("event_id", pa.string()),
    ("correlation_id", pa.string()),
    ("code_version", pa.string()),
]

TITLES = pa.schema(
    [
        ("title_id", pa.string()),
        ("source", pa.string()),
        ("source_id", pa.string()),
        ("license", pa.string()),
        ("name", pa.string()),
        ("kind", pa.string()),
        ("year", pa.int32()),
        ("genres", _TEXTS),
        ("unknown_genres", _TEXTS),
        ("plot", pa.string()),
        ("countries", _TEXTS),
        ("language", pa.string()),
        ("runtime_minutes", pa.int32()),
        ("rating", pa.float64()),
        ("rating_count", pa.int64()),
        ("popularity", _COUNTS),
        ("content_hash", pa.string()),
        *_ORIGIN,
        ("genre_confidence", pa.list_(pa.float64())),  # of each of `genres`, in their order
        ("external_ids", _TEXTS),  # `imdb:tt0078748`, sorted
        ("warnings", _TEXTS),
        ("released", pa.date32()),
    ]
)

FACTS = pa.schema(
    [
        ("title_id", pa.string()),
        ("source", pa.string()),
        ("source_id", pa.string()),
        ("license", pa.string()),
        ("name", pa.string()),
        ("kind", pa.string()),
        ("year", pa.int32()),
        ("genres", _TEXTS),
        ("unknown_genres", _TEXTS),
        ("countries", _TEXTS),
        ("language", pa.string()),
        ("runtime_minutes", pa.int32()),
        ("rating", pa.float64()),
        ("rating_count", pa.int64()),
        ("external_ids", _TEXTS),
        ("content_hash", pa.string()),
        *_ORIGIN,
    ]
)

SIGNALS = pa.schema(
    [
        ("subject_id", pa.string()),
        ("source", pa.string()),
        ("source_id", pa.string()),
        ("license", pa.string()),
        ("metric", pa.string()),
        ("external_ids", _TEXTS),
        ("counts", _COUNTS),
        *_ORIGIN,
    ]
)

MERGED = pa.schema(
    [
        ("title_id", pa.string()),
        ("resolution", pa.int64()),
        (
            "members",
            pa.list_(
                pa.struct(
                    [
                        ("title_id", pa.string()),
                        ("source", pa.string()),
                        ("source_id", pa.string()),
                        ("described", pa.bool_()),
                        ("reason", pa.string()),
                    ]
                )
            ),
        ),
        ("absorbed_ids", _TEXTS),
        ("name", pa.string()),
        ("kind", pa.string()),
        ("year", pa.int32()),
        ("genres", _TEXTS),
        ("plot", pa.string()),
        ("countries", _TEXTS),
        ("language", pa.string()),
        ("runtime_minutes", pa.int32()),
        ("rating", pa.float64()),
        ("rating_count", pa.int64()),
        ("external_ids", _TEXTS),
        ("licenses", _TEXTS),
        ("provenance", pa.list_(pa.struct([("field", pa.string()), ("title_id", pa.string())]))),
        ("content_hash", pa.string()),
        ("event_id", pa.string()),
        ("correlation_id", pa.string()),
        ("code_version", pa.string()),
    ]
)

REVIEWS = pa.schema(
    [
        ("review_id", pa.string()),
        ("title_id", pa.string()),
        ("source", pa.string()),
        ("source_id", pa.string()),
        ("license", pa.string()),
        ("author_hash", pa.string()),
        ("text", pa.string()),
        ("rating", pa.float64()),
        ("day", pa.date32()),
        ("language", pa.string()),
        ("content_hash", pa.string()),
        *_ORIGIN,
        ("warnings", _TEXTS),
    ]
)

REJECTS = pa.schema(
    [
        ("record", pa.string()),
        ("source", pa.string()),
        ("source_id", pa.string()),
        ("title_id", pa.string()),  # of what was clean, but known already
        ("review_id", pa.string()),  # likewise, of reviews
        ("reason", pa.string()),
        ("detail", pa.string()),
        ("rejected_at", _TIME),
        *_ORIGIN,
    ]
)

TABLES = {
    "titles": TITLES,
    "reviews": REVIEWS,
    "facts": FACTS,
    "signals": SIGNALS,
    "rejects": REJECTS,
    "merged": MERGED,
}

Cleaned = TitleCleaned | ReviewCleaned | CleanFacts | SignalCleaned
Row = dict[str, Any]


def row_of(cause: Message[Any], event: Cleaned, *, code_version: str) -> Row:
    """A row of `TITLES`, `REVIEWS`, `FACTS` or `SIGNALS`."""
    return {
        **{name: getattr(event, name) for name in type(event).model_fields if name != "page"},
        **_nested(event),
        **_origin(cause.id, cause.correlation_id, event.page, code_version),
    }


def reject_row(
    cause: Message[Any],
    event: RecordRejected,
    cleaned: Cleaned | None,
    *,
    now: datetime,
    code_version: str,
) -> Row:
    """A row of `REJECTS`; `cleaned` is what the record would have been if it were new."""
    return {
        **{name: getattr(event, name) for name in type(event).model_fields if name != "page"},
        "title_id": getattr(cleaned, "title_id", None),
        "review_id": cleaned.review_id if isinstance(cleaned, ReviewCleaned) else None,
        "rejected_at": now,
        **_origin(cause.id, cause.correlation_id, event.page, code_version),
    }


def merged_row(cause: Message[Any], event: TitleMerged, *, code_version: str) -> Row:
    """A row of `MERGED`; where its fields were found is told by the rows of its members."""
    return {
        **event.model_dump(exclude={"provenance"}),
        "provenance": [
            {"field": field, "title_id": title_id} for field, title_id in event.provenance.items()
        ],
        "event_id": str(cause.id),
        "correlation_id": str(cause.correlation_id),
        "code_version": code_version,
    }


def _nested(event: Cleaned) -> Row:
    if isinstance(event, ReviewCleaned):
        return {}
    row: Row = {"external_ids": listed(event.external_ids)}
    if isinstance(event, TitleCleaned):
        row["popularity"] = _counts(event.popularity)
        row["genre_confidence"] = [event.genre_confidence.get(genre) for genre in event.genres]
    if isinstance(event, SignalCleaned):
        row["counts"] = _counts(event.counts)
    return row


def _counts(counts: Sequence[DayCount]) -> list[Row]:
    return [{"day": item.day, "count": item.count} for item in counts]


def _origin(event_id: UUID, correlation_id: UUID, page: Page, code_version: str) -> Row:
    return {
        "page_url": page.url,
        "page_hash": page.hash,
        "page_key": page.key,
        "fetched_at": page.fetched_at,
        "event_id": str(event_id),
        "correlation_id": str(correlation_id),
        "code_version": code_version,
    }
