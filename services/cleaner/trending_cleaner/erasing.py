"""Erases rows from the cleaner's tables, once the scraper has erased what they came from."""

import asyncio
import re
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any

import pyarrow as pa
import structlog

from trending_cleaner.cleaner import Cleaner
from trending_shared.clock import Clock
from trending_shared.erasing import Goes, any_value, erase_rows
from trending_shared.erasures import Erasure, read_erasure
from trending_shared.events import RecordsErased
from trending_shared.messages import Message
from trending_shared.retention import Kept
from trending_shared.storage import ObjectStore
from trending_shared.tables import read_table

log = structlog.get_logger()

AFTER = "scraper"
_PAGE, _EVENT = ("page_url",), ("event_id",)
_NAMED: Mapping[str, Sequence[str]] = {
    "reviews": ("author_hash", "review_id", *_PAGE, *_EVENT),
    "rejects": ("review_id", *_PAGE, *_EVENT),
    "titles": (*_PAGE, *_EVENT),
    "facts": (*_PAGE, *_EVENT),
    "signals": (*_PAGE, *_EVENT),
    "pages": ("url", *_PAGE),
}
"""By which columns a row is named. What is merged follows from titles and facts."""
_ID = re.compile(r"\br_[0-9a-f]{16}\b")  # of the review that another one repeats
_MERGED = ["title_id", "members", "event_id"]


class Eraser:
    """Blocking, for a thread; raises `StoreUnavailable` when a table's storage doesn't answer."""

    def __init__(self, url: str, *, cleaner: Cleaner, clock: Clock) -> None:
        self._url = url
        self._store = ObjectStore.at(url)
        self._cleaner = cleaner
        self._clock = clock

    def on_records_erased(self, message: Message[RecordsErased]) -> list[Message[Any]]:
        """Erase, and say anew of which records a title is that has lost one."""
        if message.event.service != AFTER:
            return []
        erasure = read_erasure(self._store, message.event.erasure_id)

        def quotes(detail: str) -> bool:
            return erasure.names(*_ID.findall(detail))

        counts = {
            f"tables/{name}": self._erase(name, columns, dict.fromkeys(columns, erasure.names))
            for name, columns in _NAMED.items()
        }
        # What repeated an erased review is the first to say it now.
        counts["tables/rejects"] += self._erase("rejects", ["detail"], {"detail": quotes})
        said: list[Message[Any]] = []
        if erasure.titles:
            said, counts["tables/merged"] = self._merge_anew(erasure, message)
        log.info("records_erased", erasure=erasure.erasure_id, **counts)
        done = RecordsErased(erasure_id=erasure.erasure_id, service="cleaner", counts=counts)
        return [*said, message.leads_to(done)]

    def _erase(
        self, name: str, columns: Sequence[str], goes: Goes | Mapping[str, Callable[[str], bool]]
    ) -> int:
        goes = any_value(goes) if isinstance(goes, Mapping) else goes
        return erase_rows(self._url, name, columns, goes, now=self._clock.now())

    def _merge_anew(
        self, erasure: Erasure, message: Message[RecordsErased]
    ) -> tuple[list[Message[Any]], int]:
        """Say what is left of merged titles, and then erase what was said of them before.

        In this order a kill loses nothing: what was said by this message is found by its id.
        """
        mine = str(message.id)
        found = read_table(self._url, "merged", _MERGED)
        goes = _speaks_of(erasure.names_title, but=mine)
        rows = found[0].to_pylist() if found else []
        touched = found[0] if found else None
        wanted = goes(touched) if touched is not None else []
        ids = {
            title_id
            for row, named in zip(rows, wanted, strict=True)
            if named or row["event_id"] == mine
            for title_id in (row["title_id"], *(one["title_id"] for one in row["members"]))
        }
        said = self._cleaner.say_merged([(message, title_id) for title_id in sorted(ids)])
        return list(said), self._erase("merged", _MERGED, goes)


def kept_rows(url: str, name: str, column: str, long: timedelta | None) -> Kept:
    """For how long a table's rows are kept, by a column of times; then no version has them."""

    def older(moment: datetime) -> Goes:
        def goes(rows: pa.Table) -> Sequence[bool]:
            times: list[datetime | None] = rows[column].to_pylist()
            return [time is not None and time < moment for time in times]

        return goes

    async def count(moment: datetime) -> int:
        found = await asyncio.to_thread(read_table, url, name, [column])
        return sum(older(moment)(found[0])) if found else 0

    async def delete(moment: datetime) -> None:
        await asyncio.to_thread(erase_rows, url, name, [column], older(moment), now=moment)

    return Kept(f"tables/{name}", long, count, delete)


def _speaks_of(named: Callable[[str], bool], *, but: str) -> Goes:
    """Rows of `merged` about a title that has lost something, but for those said since."""

    def goes(rows: pa.Table) -> Sequence[bool]:
        return [
            row["event_id"] != but
            and (named(row["title_id"]) or any(named(one["title_id"]) for one in row["members"]))
            for row in rows.to_pylist()
        ]

    return goes
