"""A scraper and a cleaner as they run, with a list in the place of Kafka; for tests."""

import asyncio
import json
from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from uuid import uuid4

from prometheus_client import CollectorRegistry

from trending_cleaner.app import create_cleaner
from trending_cleaner.metrics import CleanerMetrics
from trending_cleaner.pages import PAGES, Pages
from trending_cleaner.validation import Limits
from trending_scraper.authors import Authors, author_keys
from trending_scraper.fetches import Fetches
from trending_scraper.metrics import ScraperMetrics
from trending_scraper.quotas import Quotas
from trending_scraper.raw_pages import RawPages
from trending_scraper.scraping import Scraper
from trending_scraper.sources.base import FetchedPage
from trending_scraper.testing import FETCHED_AT, CannedFetcher, a_source
from trending_shared.clock import FrozenClock
from trending_shared.erasures import Erasures
from trending_shared.events import (
    PageFetched,
    PageUnchanged,
    ReviewScraped,
    ScrapeJob,
    TitleScraped,
)
from trending_shared.messages import Message, Position, first_message
from trending_shared.storage import ObjectStore
from trending_shared.tables import OffsetTable

SITE = "http://127.0.0.1:8080"
PLOT = "The crew of a freighter answers a call from a silent moon, and brings something home."


def a_titles_page(
    name: str, *reviews: str, genre: str = "Horror", plot: str = PLOT, year: str = "1979"
) -> str:
    node = {
        "@type": "Movie",
        "identifier": name.lower(),
        "name": name,
        "datePublished": year,
        "genre": [genre],
        "description": plot,
        "review": [
            {"@type": "Review", "reviewBody": text, "author": {"name": "Ann"}} for text in reviews
        ],
    }
    return f'<script type="application/ld+json">{json.dumps(node)}</script>'


class Fetcher(CannedFetcher):
    """Has pages at hand as they were at a time."""

    def __init__(self, pages: Mapping[str, str | bytes], at: datetime) -> None:
        super().__init__(pages)
        self._at = at

    async def fetch(self, *arguments: Any, **named: Any) -> FetchedPage:
        return replace(await super().fetch(*arguments, **named), fetched_at=self._at)


class Walk:
    """Visits pages, one after another, and keeps what services keep below `home`."""

    def __init__(self, home: Path) -> None:
        self.url = (home / "store").as_uri()
        self._key = Authors(*author_keys(home))
        clock = FrozenClock(datetime(2026, 11, 2, tzinfo=UTC))
        metrics = CleanerMetrics(CollectorRegistry())
        cleaner = create_cleaner(
            self.url, metrics=metrics, limits=Limits(), clock=clock, code_version="1"
        )
        table = OffsetTable(self.url, "pages", schema=PAGES, owner="cleaner")
        pages = Pages(table, erasures=Erasures(ObjectStore.at(self.url)), metrics=metrics)
        self._handlers: dict[Any, Any] = {
            TitleScraped: cleaner.on_titles_scraped,
            ReviewScraped: cleaner.on_reviews_scraped,
            PageFetched: pages.on_pages_fetched,
            PageUnchanged: pages.on_pages_unchanged,
        }
        self._offset = 0

    def visit(
        self, pages: Mapping[str, str], *, source: str = "demo", at: datetime = FETCHED_AT
    ) -> None:
        """Scrape pages of a source, by name, and clean what they say."""
        for message in self._scrape(pages, source, at):
            self.deliver([message])

    def _scrape(self, pages: Mapping[str, str], source: str, at: datetime) -> list[Message[Any]]:
        store = ObjectStore.at(self.url)
        scraper = Scraper(
            sources=[a_source(source, SITE)],
            fetcher=Fetcher({f"{SITE}/titles/{name}": page for name, page in pages.items()}, at),
            raw_pages=RawPages(store),
            fetches=Fetches(store),
            erasures=Erasures(store),
            quotas=Quotas(store, clock=FrozenClock(at)),
            authors=self._key,
            metrics=ScraperMetrics(CollectorRegistry()),
        )
        told: list[Message[Any]] = []
        for name in pages:
            job = ScrapeJob(source=source, url=f"{SITE}/titles/{name}", page="detail")
            told += asyncio.run(scraper.on_scrape_job(first_message(job, id=uuid4())))
        return told

    def deliver(self, messages: Sequence[Message[Any]]) -> None:
        """Hand messages of one kind to their handler."""
        placed = []
        for message in messages:
            self._offset += 1
            position = Position(message.event.topic, 0, self._offset)
            placed.append(replace(message, position=position))
        self._handlers[type(messages[0].event)](placed)
