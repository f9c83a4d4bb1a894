"""Pages that were fetched once, read by today's code: `python -m trending_scraper.replaying`.

Rows of the table `pages` come in as lines of JSON, what the pages say goes out (`replays`). It is
the scraper itself that reads them, as if each job had come again: nothing is fetched, and the ids
are those of the first time.
"""

import asyncio
import sys
from collections.abc import Iterable, Iterator, Mapping
from collections.abc import Set as AbstractSet
from contextlib import suppress
from functools import lru_cache

from prometheus_client import CollectorRegistry

from trending_scraper.adapters import ADAPTERS
from trending_scraper.addresses import authority
from trending_scraper.app import hash_keys
from trending_scraper.authors import Authors
from trending_scraper.fetches import Fetch, Fetches
from trending_scraper.fetching import Known
from trending_scraper.metrics import ScraperMetrics
from trending_scraper.quotas import Quotas
from trending_scraper.raw_pages import RawPages, place
from trending_scraper.scraping import Scraper, UnknownSource
from trending_scraper.settings import ScraperSettings
from trending_scraper.sources.base import FetchedPage, PageRequest, Source
from trending_shared.clock import SystemClock
from trending_shared.erasures import Erasures
from trending_shared.errors import ObjectMissing, Rejected, SettingInvalid
from trending_shared.events import ScrapeJob
from trending_shared.logs import configure_logs
from trending_shared.messages import Message
from trending_shared.replays import KeptPage, Line, Problem, Told, write_line
from trending_shared.settings import read_settings
from trending_shared.sources import SourceEntry, read_catalogue
from trending_shared.storage import ObjectStore


class KeptPages(RawPages):
    """Raw pages that are read; they lie there already, so none is kept again."""

    def keep(self, body: bytes) -> tuple[str, str]:
        return place(body)


class OneFetch(Fetches):
    """Knows of one fetch, for the job that led to it."""

    def __init__(self, store: ObjectStore, kept: KeptPage) -> None:
        super().__init__(store)
        self._kept = kept

    def find(self, job: ScrapeJob) -> Fetch | None:
        return Fetch(
            job=self._kept.causation_id,
            url=self._kept.url,
            page=self._kept.page,
            charset=self._kept.charset,
        )


class NothingFetched:
    """Is asked for a page only if its bytes are gone."""

    async def fetch(
        self, request: PageRequest, *, hosts: AbstractSet[str], known: Known | None = None
    ) -> FetchedPage:
        raise ObjectMissing("its bytes are gone, or aren't what they were")


class Replay:
    """Tells what kept pages say today."""

    def __init__(
        self,
        *,
        sources: Mapping[str, Source],
        store: ObjectStore,
        authors: Authors,
    ) -> None:
        self._sources = sources
        self._store = store
        self._authors = authors
        self._erasures = Erasures(store)
        self._quotas = Quotas(store, clock=SystemClock())  # nothing is fetched, and none is taken
        self._metrics = ScraperMetrics(CollectorRegistry())

    async def read(self, kept: KeptPage) -> list[Line]:
        """What a page says, and that it is done; or why it can't be read."""
        job = ScrapeJob(source=kept.source, url=kept.url, page=kept.kind)
        try:
            if kept.source not in self._sources:
                raise UnknownSource(f"{kept.source} isn't in the catalogue any more")
            scraper = Scraper(
                sources=[at_home(self._sources[kept.source], kept)],
                fetcher=NothingFetched(),
                raw_pages=KeptPages(self._store),
                fetches=OneFetch(self._store, kept),
                quotas=self._quotas,
                authors=self._authors,
                erasures=self._erasures,
                metrics=self._metrics,
            )
            messages = await scraper.on_scrape_job(
                Message(job, id=kept.causation_id, correlation_id=kept.correlation_id)
            )
        except Rejected as error:
            return [Line(problem=Problem(page=kept, reason=error.reason, detail=str(error)))]
        return [*(Line(told=Told.of(message)) for message in messages), Line(done=kept)]


def known_sources(catalogue: Mapping[str, SourceEntry]) -> dict[str, Source]:
    """All sources that can be read; to read what one has needs neither its key nor a consent.

    One whose entry lacks what its adapter wants to know is no source yet, and has no pages.
    """
    sources = {}
    for name, entry in catalogue.items():
        with suppress(SettingInvalid, KeyError):
            adapter = ADAPTERS[entry.adapter]
            sources[name] = adapter(name, entry, entry.hosts, "none is needed to read a page")
    return sources


def at_home(source: Source, kept: KeptPage) -> Source:
    """The source on the hosts that it had when the page was fetched."""
    own = {authority(kept.url), authority(kept.page_url)} - {None}
    hosts = source.hosts | {host for host in own if host}
    return type(source)(source.name, source.entry, hosts, source.key)


def replay(pages: Iterable[str], replaying: Replay) -> Iterator[str]:
    """Lines for lines."""
    with asyncio.Runner() as runner:
        for text in pages:
            for line in runner.run(replaying.read(KeptPage.model_validate_json(text))):
                yield write_line(line)


@lru_cache(maxsize=1)
def todays(settings: ScraperSettings) -> Replay:
    """A replay of an installation's pages."""
    return Replay(
        sources=known_sources(read_catalogue(settings.sources_file)),
        store=ObjectStore.at(settings.store),
        authors=Authors(*hash_keys(settings)),
    )


def read_pages(pages: Iterable[str]) -> Iterator[str]:
    """Lines for lines, by today's code and as the environment says."""
    return replay(pages, todays(read_settings(ScraperSettings)))


def main() -> None:
    configure_logs(service="scraper", level="ERROR")
    for line in read_pages(sys.stdin):
        sys.stdout.write(line)
        sys.stdout.flush()


if __name__ == "__main__":
    main()
