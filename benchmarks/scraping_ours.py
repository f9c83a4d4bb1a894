"""Our scraper over the same pages: `python -m benchmarks.scraping_ours WAY BASE PAGES RECORDS`.

Every guard is on: robots.txt, the pace (which the site sets to no delay), allowed hosts, the check
of addresses, media types, the limit of bytes, redirects. `linked-data` fetches and extracts, and
`visible` does so with pages that have no JSON-LD; `service` takes jobs as the service does: it
keeps each page in a store, and makes events of what it says.
"""

import asyncio
import sys
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from prometheus_client import CollectorRegistry

from benchmarks.scraping_meter import Meter
from trending_scraper.adapters import create_source
from trending_scraper.addresses import Guard, authority
from trending_scraper.authors import Authors
from trending_scraper.fetches import Fetches
from trending_scraper.fetching import HttpFetcher
from trending_scraper.metrics import ScraperMetrics
from trending_scraper.pacing import Pacing
from trending_scraper.quotas import Quotas
from trending_scraper.raw_pages import RawPages
from trending_scraper.scraping import Scraper
from trending_scraper.settings import ScraperSettings
from trending_scraper.sources.base import FoundTitle, Source
from trending_shared.clock import SystemClock
from trending_shared.erasures import Erasures
from trending_shared.events import RawReview, RawTitle, ReviewScraped, ScrapeJob, TitleScraped
from trending_shared.logs import configure_logs
from trending_shared.messages import first_message
from trending_shared.settings import read_settings
from trending_shared.sources import read_catalogue
from trending_shared.storage import ObjectStore

AT_ONCE = 8  # the service's default
FOLDERS = {"linked-data": "titles", "service": "titles", "visible": "plain"}

Crawl = Callable[[ScrapeJob], Awaitable[Mapping[str, Any]]]


@asynccontextmanager
async def fetching(base: str) -> AsyncIterator[tuple[Source, HttpFetcher]]:
    """The site as a source, and a fetcher set up as the service's."""
    own = authority(base)
    assert own is not None
    settings = read_settings(ScraperSettings).model_copy(update={"demo_url": base})
    source = create_source("demo", read_catalogue()["demo"], settings)
    clock = SystemClock()
    async with HttpFetcher(
        guard=Guard(allowed={own}),
        pacing=Pacing(clock=clock),
        user_agent="trending-now/benchmark",
        clock=clock,
        connect_timeout=settings.connect_timeout,
        read_timeout=settings.read_timeout,
        page_timeout=settings.page_timeout,
    ) as fetcher:
        yield source, fetcher


async def extracted(source: Source, fetcher: HttpFetcher, job: ScrapeJob) -> Mapping[str, Any]:
    """What a page says, without keeping or telling it."""
    page = await fetcher.fetch(source.plan(job), hosts=source.hosts)
    (found,) = source.extract(job, page).titles
    return as_record(found)


async def told(scraper: Scraper, job: ScrapeJob) -> Mapping[str, Any]:
    """What the events of a page say; they go out as bytes."""
    messages = await scraper.on_scrape_job(first_message(job))
    bodies = [message.body() for message in messages]
    assert all(bodies)
    (title,) = (m.event for m in messages if isinstance(m.event, TitleScraped))
    reviews = [m.event.review for m in messages if isinstance(m.event, ReviewScraped)]
    record = _record(title.source_id, title.title, [(review, None) for review in reviews])
    for review in record["reviews"]:
        del review["author"]  # stays in the scraper
    return record


def as_record(found: FoundTitle) -> Mapping[str, Any]:
    reviews = [(one.review, one.author) for one in found.reviews]
    return _record(found.source_id, found.title, reviews)


def _record(
    source_id: str, title: RawTitle, reviews: list[tuple[RawReview, str | None]]
) -> Mapping[str, Any]:
    return {
        "id": source_id,
        "name": title.name,
        "year": title.year,
        "genres": title.genres,
        "plot": title.plot,
        "reviews": [
            {
                "id": review.review_source_id,
                "author": author,
                "day": review.day,
                "rating": review.rating,
                "text": review.text,
            }
            for review, author in reviews
        ],
    }


async def crawl(way: str, base: str, pages: int, meter: Meter) -> None:
    urls = iter(f"{base}/{FOLDERS[way]}/film-{number}" for number in range(pages))
    async with fetching(base) as (source, fetcher):
        with TemporaryDirectory(prefix="trending-bench-") as folder, meter:
            scrape: Crawl = partial(extracted, source, fetcher)
            if way == "service":
                store = ObjectStore.at(Path(folder).as_uri())
                scraper = Scraper(
                    sources=[source],
                    fetcher=fetcher,
                    raw_pages=RawPages(store),
                    fetches=Fetches(store),
                    erasures=Erasures(store),
                    quotas=Quotas(store, clock=SystemClock()),
                    authors=Authors(b"of a benchmark: "),
                    metrics=ScraperMetrics(CollectorRegistry()),
                )
                scrape = partial(told, scraper)

            async def work() -> None:
                for url in urls:
                    meter.keep(await scrape(ScrapeJob(source="demo", url=url, page="detail")))

            await asyncio.gather(*(work() for _ in range(AT_ONCE)))


if __name__ == "__main__":
    configure_logs(service="benchmarks", level="WARNING")
    _, the_way, the_base, number_of_pages, records = sys.argv
    asyncio.run(crawl(the_way, the_base, int(number_of_pages), Meter(Path(records))))
