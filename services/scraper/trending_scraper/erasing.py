"""Erases pages: their bytes, and what is remembered of their fetches."""

import asyncio
from concurrent.futures import ThreadPoolExecutor

import structlog
from pydantic import ValidationError

from trending_scraper.fetches import Fetch
from trending_shared.erasures import Erasure, read_erasure
from trending_shared.errors import ObjectMissing
from trending_shared.events import ErasureRequested, RecordsErased
from trending_shared.messages import Message
from trending_shared.storage import ObjectStore

log = structlog.get_logger()

_BYTES = ("raw", "imports")
_AT_ONCE = 16  # requests; a store far away answers one in some ten milliseconds


class Eraser:
    """What an author is erased from are all pages that show something of theirs, whole."""

    def __init__(self, store: ObjectStore) -> None:
        self._store = store

    async def on_erasure_requested(
        self, message: Message[ErasureRequested]
    ) -> list[Message[RecordsErased]]:
        erasure_id = message.event.erasure_id
        counts = await asyncio.to_thread(self._erase, erasure_id)
        log.info("records_erased", erasure=erasure_id, **counts)
        return [
            message.leads_to(RecordsErased(erasure_id=erasure_id, service="scraper", counts=counts))
        ]

    def _erase(self, erasure_id: str) -> dict[str, int]:
        erasure = read_erasure(self._store, erasure_id)
        counts = {}
        for folder in _BYTES:
            keys = [
                key
                for key in self._store.keys(folder)
                if erasure.names_page(key.rsplit("/")[-1].split(".")[0])
                or erasure.names(f"store:{key}")
            ]
            counts[folder] = self._delete(keys)
        keys = self._store.keys("fetches")
        with ThreadPoolExecutor(_AT_ONCE) as pool:
            named = pool.map(lambda key: self._is_named(erasure, key), keys)
            counts["fetches"] = self._delete(
                [key for key, goes in zip(keys, named, strict=True) if goes]
            )
        return counts

    def _is_named(self, erasure: Erasure, key: str) -> bool:
        try:
            fetch = Fetch.model_validate_json(self._store.get(key))
        except (ObjectMissing, ValidationError):
            return False
        return erasure.names(fetch.url, fetch.page.url) or erasure.names_page(fetch.page.hash)

    def _delete(self, keys: list[str]) -> int:
        for key in keys:
            self._store.delete(key)
        return len(keys)
