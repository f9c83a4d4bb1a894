"""Parts of imported files: pages that come out of the object store instead of the network."""

import asyncio
from collections.abc import Set as AbstractSet

from trending_scraper.addresses import HostNotAllowed
from trending_scraper.fetching import Fetcher, Known
from trending_scraper.sources.base import FetchedPage, PageRequest
from trending_shared.clock import Clock
from trending_shared.imports import HOST, read_part
from trending_shared.storage import ObjectStore

SCHEME = "store:"


class ImportedFirst:
    """Gets parts from the store, and all other pages from the fetcher behind it."""

    def __init__(self, fetcher: Fetcher, *, store: ObjectStore, clock: Clock) -> None:
        self._fetcher = fetcher
        self._store = store
        self._clock = clock

    async def fetch(
        self, request: PageRequest, *, hosts: AbstractSet[str], known: Known | None = None
    ) -> FetchedPage:
        """Get a page.

        Raises:
            HostNotAllowed: a part is wanted of a source that has no imports.
            PartDamaged, ObjectMissing, StoreUnavailable: see `imports.read_part`.
        """
        if not request.url.startswith(SCHEME):
            return await self._fetcher.fetch(request, hosts=hosts, known=known)
        if HOST not in hosts:
            raise HostNotAllowed(f"{request.url} isn't on {', '.join(sorted(hosts))}")
        rows = await asyncio.to_thread(read_part, self._store, request.url)
        return FetchedPage(request.url, rows, "utf-8", self._clock.now())
