"""From a part in the store to titles, through the real scraper."""

from typing import Any

import pytest
from prometheus_client import CollectorRegistry

from trending_scraper.addresses import HostNotAllowed
from trending_scraper.app import user_agent
from trending_scraper.authors import Authors
from trending_scraper.fetches import Fetches
from trending_scraper.imported import ImportedFirst
from trending_scraper.metrics import ScraperMetrics
from trending_scraper.quotas import Quotas
from trending_scraper.raw_pages import RawPages
from trending_scraper.scraping import Scraper
from trending_scraper.settings import ScraperSettings
from trending_scraper.sources.base import PageRequest, Source
from trending_scraper.testing import FETCHED_AT, CannedFetcher, a_source
from trending_shared.clock import FrozenClock
from trending_shared.erasures import Erasures
from trending_shared.errors import ObjectMissing
from trending_shared.events import TitleScraped
from trending_shared.imports import HOST, PartDamaged, keep_part, part_job
from trending_shared.messages import first_message
from trending_shared.storage import ObjectStore

ROWS = b"""show_id,type,title,release_year,listed_in,description\r
x1,Movie,Salt Roads,1931,Documentaries,A caravan crosses a desert.\r
x2,Movie,Harbour Watch,2025,Dramas,Night shifts in a port.\r
"""
HTTP = "http://films.example/titles/1"


@pytest.fixture
def store() -> ObjectStore:
    return ObjectStore.at("memory:///")


def csv_source() -> Source:
    return a_source("csv", "", hosts=frozenset({HOST}))


def a_fetcher(store: ObjectStore, pages: dict[str, Any] | None = None) -> ImportedFirst:
    return ImportedFirst(CannedFetcher(pages or {}), store=store, clock=FrozenClock(FETCHED_AT))


async def test_a_part_becomes_titles_that_lead_back_to_its_rows(store: ObjectStore) -> None:
    scraper = Scraper(
        sources=[csv_source()],
        fetcher=a_fetcher(store),
        raw_pages=RawPages(store),
        fetches=Fetches(store),
        erasures=Erasures(store),
        quotas=Quotas(store, clock=FrozenClock(FETCHED_AT)),
        authors=Authors(b"a key of this test"),
        metrics=ScraperMetrics(CollectorRegistry()),
    )
    id, job = part_job("csv", keep_part(store, ROWS))
    messages = await scraper.on_scrape_job(first_message(job, id=id))
    titles = [one.event for one in messages if isinstance(one.event, TitleScraped)]
    assert [title.title.name for title in titles] == ["Salt Roads", "Harbour Watch"]
    assert titles[0].license == "LicenseRef-own-file"
    assert titles[0].page.url == job.url
    again = await scraper.on_scrape_job(first_message(job, id=id))
    assert [message.id for message in again] == [message.id for message in messages]


async def test_all_other_pages_come_from_the_fetcher_behind(store: ObjectStore) -> None:
    page = await a_fetcher(store, {HTTP: "a page"}).fetch(
        PageRequest(HTTP), hosts={"films.example:80"}
    )
    assert page.body == b"a page"


async def test_a_source_without_imports_reads_no_part(store: ObjectStore) -> None:
    url = keep_part(store, ROWS)
    with pytest.raises(HostNotAllowed):
        await a_fetcher(store).fetch(PageRequest(url), hosts={"films.example:80"})


async def test_no_address_leads_to_anything_else_in_the_store(store: ObjectStore) -> None:
    store.put("aliases/genres/champion/00000001.json", b"{}")
    fetcher = a_fetcher(store)
    with pytest.raises(PartDamaged):
        await fetcher.fetch(
            PageRequest("store:aliases/genres/champion/00000001.json"), hosts={HOST}
        )
    with pytest.raises(ObjectMissing):
        await fetcher.fetch(PageRequest(f"store:imports/bb/{'b' * 64}.csv.gz"), hosts={HOST})


def test_who_only_imports_needs_no_contact() -> None:
    assert "local demo" in user_agent(ScraperSettings(), [csv_source()])
