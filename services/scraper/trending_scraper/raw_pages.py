"""The bytes of pages as they came, kept so that any record leads back to its page."""

import asyncio
import gzip
import hashlib
import zlib
from datetime import datetime, timedelta

from trending_shared.errors import ObjectMissing
from trending_shared.events import Page
from trending_shared.retention import Kept
from trending_shared.storage import ObjectStore


class RawPages:
    """Pages under the hash of their bytes: written once, the same for ever."""

    def __init__(self, store: ObjectStore) -> None:
        self._store = store

    def keep(self, body: bytes) -> tuple[str, str]:
        """Store a page; blocks.

        Returns:
            Its sha256 in hex, and its key.

        Raises:
            StoreUnavailable: the store didn't answer.
        """
        digest, key = place(body)
        # Without a time in it the object depends on the page alone.
        self._store.put_new(key, gzip.compress(body, compresslevel=6, mtime=0))
        return digest, key

    def read(self, page: Page) -> bytes:
        """The bytes of a page that was kept; blocks.

        Raises:
            ObjectMissing: they are gone, or no longer what they were.
            StoreUnavailable: the store didn't answer.
        """
        try:
            body = gzip.decompress(self._store.get(page.key))
        except (OSError, EOFError, zlib.error) as error:
            raise ObjectMissing(f"{page.key} is damaged: {error}") from error
        if hashlib.sha256(body).hexdigest() != page.hash:
            raise ObjectMissing(f"{page.key} isn't what was kept there")
        return body


def kept_pages(store: ObjectStore, long: timedelta | None) -> Kept:
    """For how long pages are kept, imported parts and what is known of fetches included."""

    def older(moment: datetime) -> list[str]:
        folders = ("raw", "imports", "fetches")
        return [key for folder in folders for key in store.written_before(folder, moment)]

    async def count(moment: datetime) -> int:
        return len(await asyncio.to_thread(older, moment))

    async def delete(moment: datetime) -> None:
        for key in await asyncio.to_thread(older, moment):
            await asyncio.to_thread(store.delete, key)

    return Kept("pages", long, count, delete)


def place(body: bytes) -> tuple[str, str]:
    """The sha256 of a page in hex, and the key under which it is kept."""
    digest = hashlib.sha256(body).hexdigest()
    return digest, f"raw/{digest[:2]}/{digest}.gz"
