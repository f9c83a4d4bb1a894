"""The table `pages`: every page that was fetched, or said to be unchanged, and where it is kept.

It is what a replay reads. A page that was told twice has two rows with one `event_id`.
"""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import pyarrow as pa

from trending_cleaner.metrics import CleanerMetrics
from trending_shared.erasures import Erasures
from trending_shared.events import PageFetched, PageUnchanged
from trending_shared.messages import Message
from trending_shared.tables import OffsetTable

_TIME = pa.timestamp("us", tz="UTC")

PAGES = pa.schema(
    [
        ("outcome", pa.string()),  # fetched or unchanged
        ("source", pa.string()),
        ("url", pa.string()),  # what was asked for
        ("kind", pa.string()),
        ("charset", pa.string()),
        ("page_url", pa.string()),  # where redirects ended
        ("page_hash", pa.string()),
        ("page_key", pa.string()),
        ("fetched_at", _TIME),
        ("seen_at", _TIME),  # when a page was said to be unchanged
        ("event_id", pa.string()),
        ("causation_id", pa.string()),  # the job
        ("correlation_id", pa.string()),
        ("code_version", pa.string()),  # of the scraper that read it
        ("partition", pa.int32()),  # the order in which pages were told, for each host
        ("offset", pa.int64()),
    ]
)


class Pages:
    """Keeps a row for each page; both handlers raise `StoreUnavailable`, and lead to nothing."""

    def __init__(self, table: OffsetTable, *, erasures: Erasures, metrics: CleanerMetrics) -> None:
        self._table = table
        self._erasures = erasures
        self._metrics = metrics

    def on_pages_fetched(self, messages: Sequence[Message[PageFetched]]) -> list[Message[Any]]:
        return self._append(
            (one, {"outcome": "fetched", "charset": one.event.charset}) for one in messages
        )

    def on_pages_unchanged(self, messages: Sequence[Message[PageUnchanged]]) -> list[Message[Any]]:
        return self._append(
            (one, {"outcome": "unchanged", "seen_at": one.event.seen_at}) for one in messages
        )

    def _append(
        self, told: Iterable[tuple[Message[PageFetched | PageUnchanged], Mapping[str, Any]]]
    ) -> list[Message[Any]]:
        self._erasures.read()
        rows = []
        for message, own in told:
            if self._erasures.erased(message.event.url, message.event.page.url):
                continue
            position, event = message.position, message.event
            assert position is not None, "a delivered message has a position"
            row = {
                "source": event.source,
                "url": event.url,
                "kind": event.kind,
                "page_url": event.page.url,
                "page_hash": event.page.hash,
                "page_key": event.page.key,
                "fetched_at": event.page.fetched_at,
                "event_id": str(message.id),
                "causation_id": str(message.causation_id) if message.causation_id else None,
                "correlation_id": str(message.correlation_id),
                "code_version": message.code_version,
                "partition": position.partition,
                "offset": position.offset,
                **own,
            }
            rows.append((position, row))
        with self._metrics.append_seconds.labels("pages").time():
            appended = self._table.append(rows)
        self._metrics.rows.labels("pages").inc(appended)
        return []
