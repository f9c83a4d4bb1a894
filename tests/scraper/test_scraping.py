"""Jobs in, facts out: whole pages through the scraper."""

import gzip
import json
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from typing import Any, Literal

import pytest
from obstore.store import MemoryStore
from prometheus_client import CollectorRegistry

from trending_demo.catalogue import demo_catalogue
from trending_demo.pages import Pages
from trending_scraper.addresses import AddressForbidden, Guard
from trending_scraper.authors import Authors
from trending_scraper.erasing import Eraser
from trending_scraper.fetches import Fetch, Fetches
from trending_scraper.fetching import Fetcher, HttpFetcher, PageRefused
from trending_scraper.handlers import register_handlers
from trending_scraper.metrics import ScraperMetrics
from trending_scraper.pacing import Pacing
from trending_scraper.quotas import Quotas
from trending_scraper.raw_pages import RawPages, kept_pages, place
from trending_scraper.scraping import (
    RecordTooLarge,
    Scraper,
    TooManyRecords,
    UnknownSource,
)
from trending_scraper.sources.base import PageUnparsable, Source, SourceUnavailable
from trending_scraper.testing import (
    FETCHED_AT,
    Behaviour,
    CannedFetcher,
    MisbehavingSite,
    Waiting,
    a_source,
    answer,
    endless,
    redirect,
)
from trending_shared.clock import FrozenClock
from trending_shared.delivery import Consumer
from trending_shared.erasures import Erasure, Erasures, names_of, write_erasure
from trending_shared.errors import (
    Declined,
    Rejected,
    StoreUnavailable,
    TrendingError,
    Unavailable,
)
from trending_shared.events import (
    ErasureRequested,
    Event,
    Page,
    PageFetched,
    PageUnchanged,
    ReviewScraped,
    ScrapeJob,
    TitleScraped,
)
from trending_shared.messages import Message
from trending_shared.retention import Retention
from trending_shared.storage import ObjectStore
from trending_shared.testing import CollectingPublisher, delivered

BASE = "http://films.example:80"
ALIEN = {
    "@type": "Movie",
    "identifier": "alien-1979",
    "name": "Alien",
    "review": [
        {"identifier": "r1", "author": {"name": "Tidal Moth"}, "reviewBody": "Terrifying."},
        {"author": "net_cord", "reviewBody": "Slow.", "identifier": "alien-net_cord"},
        {"reviewBody": "Nobody's."},
    ],
}


class House:
    """A scraper with everything around it at hand."""

    def __init__(
        self,
        fetcher: Fetcher,
        source: Source,
        store: ObjectStore | None = None,
        clock: FrozenClock | None = None,
    ) -> None:
        self.registry = CollectorRegistry()
        self.fetcher = fetcher
        self.store = store or ObjectStore.at("memory:///")
        self.scraper = Scraper(
            sources=[source],
            fetcher=fetcher,
            raw_pages=RawPages(self.store),
            fetches=Fetches(self.store),
            erasures=Erasures(self.store),
            quotas=Quotas(self.store, clock=clock or FrozenClock(FETCHED_AT)),
            authors=Authors(b"a key of this test"),
            metrics=ScraperMetrics(self.registry),
        )

    async def does(self, job: ScrapeJob) -> list[Message[Any]]:
        return await self.scraper.on_scrape_job(delivered(job))

    def pages(self, outcome: str, *, source: str = "demo") -> float:
        labels = {"source": source, "outcome": outcome}
        return self.registry.get_sample_value("trending_scraper_pages_total", labels) or 0.0


def a_house(pages: Mapping[str, str | bytes]) -> House:
    return House(
        CannedFetcher({BASE + path: page for path, page in pages.items()}), a_source("demo", BASE)
    )


def a_job(path: str, **changes: Any) -> ScrapeJob:
    return ScrapeJob(**({"source": "demo", "url": BASE + path} | changes))


def a_detail_page(**changes: Any) -> str:
    data = json.dumps(ALIEN | changes)
    return f'<script type="application/ld+json">{data}</script>'


def events(messages: list[Message[Any]], kind: type[Event]) -> list[Any]:
    return [message.event for message in messages if isinstance(message.event, kind)]


# ---------------------------------------------------------------- detail pages


async def test_a_detail_page_leads_to_its_title_and_its_reviews() -> None:
    page = a_detail_page()
    house = a_house({"/titles/alien-1979": page})
    messages = await house.does(a_job("/titles/alien-1979", page="detail"))
    fetched, title, *reviews = [message.event for message in messages]
    assert isinstance(fetched, PageFetched)
    assert isinstance(title, TitleScraped)
    assert (title.source, title.source_id) == ("demo", "alien-1979")
    assert title.license == "LicenseRef-trending-demo"
    assert title.title.name == "Alien"
    assert title.page.url == f"{BASE}/titles/alien-1979"
    assert title.page.fetched_at == FETCHED_AT
    assert gzip.decompress(house.store.get(title.page.key)).decode() == page
    assert [(one.position, one.review.text) for one in reviews] == [
        (0, "Terrifying."),
        (1, "Slow."),
        (2, "Nobody's."),
    ]
    assert {one.page for one in reviews} == {title.page}
    assert fetched == PageFetched(
        source="demo",
        url=f"{BASE}/titles/alien-1979",
        kind="detail",
        page=title.page,
        charset="utf-8",
        events=4,
    )


async def test_no_authors_name_leaves_the_scraper() -> None:
    house = a_house({"/titles/alien-1979": a_detail_page()})
    messages = await house.does(a_job("/titles/alien-1979", page="detail"))
    told = b"".join(message.body() for message in messages).lower()
    assert b"moth" not in told
    assert b"net_cord" not in told
    first, second, third = events(messages, ReviewScraped)
    assert first.review.author_hash == Authors(b"a key of this test").hash("demo", "tidal moth")
    assert first.review.review_source_id == "r1"
    assert second.review.review_source_id is not None
    assert third.review.author_hash is None


async def test_the_same_job_again_leads_to_the_same_ids() -> None:
    house = a_house({"/titles/alien-1979": a_detail_page()})
    message = delivered(a_job("/titles/alien-1979", page="detail"))
    first = await house.scraper.on_scrape_job(message)
    again = await house.scraper.on_scrape_job(message)
    assert first == again
    assert len({one.id for one in first}) == len(first) == 5
    assert {one.causation_id for one in first} == {message.id}
    assert {one.correlation_id for one in first} == {message.correlation_id}


async def test_what_a_page_gave_is_counted() -> None:
    house = a_house({"/titles/alien-1979": a_detail_page()})
    await house.does(a_job("/titles/alien-1979", page="detail"))

    def value(name: str, **labels: str) -> float | None:
        return house.registry.get_sample_value(name, {"source": "demo", **labels})

    assert house.pages("scraped") == 1
    assert value("trending_scraper_records_total", kind="title") == 1
    assert value("trending_scraper_records_total", kind="review") == 3
    assert value("trending_scraper_bytes_total") == len(a_detail_page())
    assert value("trending_scraper_fetch_seconds_count") == 1
    assert value("trending_scraper_wait_seconds_count") == 1


# ---------------------------------------------------------------- list pages

LIST = """<a href="/titles/alien-1979">Alien</a> <a href="/titles/alien-1979#cast">Cast</a>
<a href="/titles/dark-2017">Dark</a> <a href="/about">About us</a> <a href="/titles?genre=x">X</a>
<a href="http://elsewhere.example/titles/1">Elsewhere</a> <a rel="next" href="?page=2">Next</a>"""


async def test_a_list_page_leads_to_its_titles_and_the_next_page() -> None:
    house = a_house({"/titles?page=1": LIST})
    messages = await house.does(a_job("/titles?page=1", max_pages=3))
    assert [message.event for message in messages[1:]] == [
        a_job("/titles/alien-1979", page="detail", depth=1, max_pages=3),
        a_job("/titles/dark-2017", page="detail", depth=1, max_pages=3),
        a_job("/titles?page=2", page="list", depth=1, max_pages=3),
    ]


async def test_lists_are_followed_to_max_pages_and_no_further() -> None:
    house = a_house({"/titles?page=1": LIST})
    messages = await house.does(a_job("/titles?page=1", depth=2, max_pages=3))
    assert [job.page for job in events(messages, ScrapeJob)] == ["detail", "detail"]


async def test_a_list_that_calls_itself_the_next_page_ends() -> None:
    page = '<a href="/titles/alien-1979">Alien</a><a rel=next href="/titles?page=1">Next</a>'
    house = a_house({"/titles?page=1": page})
    assert len(events(await house.does(a_job("/titles?page=1")), ScrapeJob)) == 1


async def test_a_next_page_on_another_host_isnt_followed() -> None:
    page = '<a href="/titles/1">Alien</a><a rel=next href="http://elsewhere.example/">Next</a>'
    house = a_house({"/titles?page=1": page})
    assert len(events(await house.does(a_job("/titles?page=1")), ScrapeJob)) == 1


async def test_a_job_leads_through_the_whole_demo_site() -> None:
    catalogue = demo_catalogue()
    pages = Pages(catalogue, base=BASE, day=date(2026, 11, 1), page_size=100, crawl_delay=0)
    lists = {f"/titles?page={n}": pages.titles(n).body for n in range(1, 5)}
    details = {f"/titles/{id}": pages.title(id).body for id in catalogue.by_id}
    house = a_house(lists | details)
    waiting: list[Message[Any]] = [delivered(a_job("/titles?page=1"))]
    found: list[Message[Any]] = []
    while waiting:
        messages = await house.scraper.on_scrape_job(waiting.pop())
        found += messages
        waiting += [message for message in messages if isinstance(message.event, ScrapeJob)]
    titles = {title.source_id: title.title for title in events(found, TitleScraped)}
    assert titles.keys() == catalogue.by_id.keys()
    for id, title in catalogue.by_id.items():
        assert titles[id].name == title.name
        assert titles[id].kind == {"film": "Movie", "show": "TVSeries"}[title.kind]
        assert titles[id].genres == title.genres
        assert titles[id].countries == title.countries
        assert titles[id].plot == title.plot
        assert len(titles[id].popularity) == 28
    reviews = events(found, ReviewScraped)
    assert len(reviews) == sum(len(title.reviews) for title in catalogue.titles)
    authors = {review.author for title in catalogue.titles for review in title.reviews}
    assert len({review.review.author_hash for review in reviews}) == len(authors)
    assert len({message.id for message in found}) == len(found)


# ---------------------------------------------------------------- what can't be scraped


@pytest.mark.parametrize(
    ("job", "page"),
    [
        (a_job("/titles/1", page="detail"), "<h1>Please log in</h1>"),
        (a_job("/titles/1", page="detail"), b""),
        (a_job("/titles/1", page="detail"), b"\x89PNG\r\n\x1a\n" + bytes(range(256)) * 20),
        (a_job("/titles?page=1"), '<a href="/about">About us</a>'),
        (a_job("/titles?page=1"), a_detail_page()),
    ],
)
async def test_a_page_without_what_was_looked_for_is_unparsable_but_kept(
    job: ScrapeJob, page: str | bytes
) -> None:
    house = a_house({job.url.removeprefix(BASE): page})
    with pytest.raises(PageUnparsable):
        await house.does(job)
    assert house.pages("PageUnparsable") == 1
    assert len(house.store.keys("raw")) == 1


async def test_a_source_nobody_has_is_rejected_under_one_label() -> None:
    house = a_house({})
    with pytest.raises(UnknownSource, match="'imdb' is none of the sources: demo"):
        await house.does(a_job("/titles/1", source="imdb"))
    assert house.pages("UnknownSource", source="unknown") == 1


async def test_a_record_that_no_event_can_carry_rejects_the_whole_page() -> None:
    house = a_house({"/titles/alien-1979": a_detail_page(description="x" * 1_200_000)})
    with pytest.raises(RecordTooLarge, match="TitleScraped"):
        await house.does(a_job("/titles/alien-1979", page="detail"))
    assert house.pages("RecordTooLarge") == 1


async def test_a_record_is_measured_as_the_json_it_becomes() -> None:
    script = json.dumps(ALIEN | {"description": "HERE"}).replace("HERE", f"x{chr(1) * 200_000}x")
    page = f'<script type="application/ld+json">{script}</script>'
    assert len(page) < 250_000
    house = a_house({"/titles/alien-1979": page})
    with pytest.raises(RecordTooLarge):
        await house.does(a_job("/titles/alien-1979", page="detail"))


@pytest.mark.parametrize(
    ("job", "page"),
    [
        (
            a_job("/titles/1", page="detail"),
            a_detail_page(review=[{"reviewBody": str(n)} for n in range(1000)]),
        ),
        (
            a_job("/titles?page=1"),
            "".join(f"<a href=/titles/{n}>x</a>" for n in range(1001)),
        ),
    ],
)
async def test_a_page_that_leads_to_a_flood_is_rejected(job: ScrapeJob, page: str) -> None:
    house = a_house({job.url.removeprefix(BASE): page})
    with pytest.raises(TooManyRecords):
        await house.does(job)
    assert house.pages("TooManyRecords") == 1


async def test_a_source_of_large_pages_may_be_allowed_more() -> None:
    page = "".join(f"<a href=/titles/{n}>x</a>" for n in range(1001))
    source = a_source("demo", BASE, max_records=1001)
    house = House(CannedFetcher({f"{BASE}/titles?page=1": page}), source)
    assert len(await house.does(a_job("/titles?page=1"))) == 1002


async def test_text_that_is_hostile_to_json_travels_all_the_same() -> None:
    page = a_detail_page(description="half \ud83d a character, \x00 and </script".replace("</", ""))
    house = a_house({"/titles/alien-1979": page})
    (_, title, *_) = await house.does(a_job("/titles/alien-1979", page="detail"))
    assert TitleScraped.model_validate_json(title.body()) == title.event


async def test_a_store_that_doesnt_answer_is_tried_again_later() -> None:
    class StoreIsDown(ObjectStore):
        def put_new(self, key: str, data: bytes) -> bool:
            raise StoreUnavailable("no answer")

    fetcher = CannedFetcher({f"{BASE}/titles/1": a_detail_page()})
    house = House(fetcher, a_source("demo", BASE), StoreIsDown(MemoryStore()))
    with pytest.raises(StoreUnavailable):
        await house.does(a_job("/titles/1", page="detail"))
    assert house.pages("StoreUnavailable") == 1


# ---------------------------------------------------------------- over HTTP


@pytest.fixture
async def house_at(
    site: MisbehavingSite, clock: FrozenClock
) -> AsyncIterator[Callable[..., House]]:
    fetchers: list[HttpFetcher] = []

    def make(*, allowed: bool = True, **changes: Any) -> House:
        fetcher = HttpFetcher(
            guard=Guard(allowed=[site.host] if allowed else []),
            pacing=Pacing(clock=clock, sleep=Waiting(clock)),
            user_agent="trending-now/1 (local demo)",
            clock=clock,
            page_timeout=timedelta(seconds=30),
        )
        fetchers.append(fetcher)
        return House(fetcher, a_source("demo", site.url(""), **changes), clock=clock)

    yield make
    for fetcher in fetchers:
        await fetcher.__aexit__()


DENY_ALL = answer("User-agent: *\nDisallow: /\n", content_type="text/plain")
GZIPPED = {"Content-Encoding": "gzip"}
BOMB = gzip.compress(bytes(50_000_000))


@pytest.mark.parametrize(
    ("path", "behaviour", "outcome", "kind"),
    [
        ("/titles/1", answer(a_detail_page()), "scraped", None),
        ("/titles/1", answer("<h1>Nothing</h1>"), "PageUnparsable", Rejected),
        ("/titles/1", answer(b"x" * 10_000_000), "BodyTooLarge", Rejected),
        ("/titles/1", endless(b"x" * 65536), "BodyTooLarge", Rejected),
        ("/titles/1", answer(BOMB, headers=GZIPPED), "BodyTooLarge", Rejected),
        ("/titles/1", answer(BOMB[:-100], headers=GZIPPED), "BodyTooLarge", Rejected),
        ("/titles/1", answer(b"no gzip", headers=GZIPPED), "PageUnparsable", Rejected),
        ("/titles/1", redirect("/titles/1"), "TooManyRedirects", Rejected),
        ("/titles/1", redirect("http://10.0.0.1/"), "HostNotAllowed", Rejected),
        ("/titles/1", answer("PNG", content_type="image/png"), "ContentTypeRefused", Rejected),
        ("/titles/1", answer(status=404), "PageGone", Declined),
        ("/titles/1", answer(status=410), "PageGone", Declined),
        ("/titles/1", answer(status=403), "PageRefused", Rejected),
        ("/titles/1", answer(status=502), "SourceUnavailable", Unavailable),
        ("/titles/1", answer(status=429), "SourceUnavailable", Unavailable),
        ("/robots.txt", DENY_ALL, "RobotsDenied", Declined),
        ("/robots.txt", answer(status=500), "SourceUnavailable", Unavailable),
    ],
)
async def test_every_outcome_has_a_name_and_a_count(
    site: MisbehavingSite,
    house_at: Callable[..., House],
    path: str,
    behaviour: Behaviour,
    outcome: str,
    kind: type[TrendingError] | None,
) -> None:
    site.at(path, behaviour)
    house = house_at()
    job = ScrapeJob(source="demo", url=site.url("/titles/1"), page="detail")
    if kind is None:
        await house.does(job)
    else:
        with pytest.raises(kind) as raised:
            await house.does(job)
        assert raised.value.reason == outcome
        assert isinstance(raised.value, Declined) == (kind is Declined)
    assert house.pages(outcome) == 1


@dataclass
class Record:
    """The attributes of a consumer record that delivery reads."""

    offset: int
    value: bytes
    headers: list[tuple[str, bytes]]
    topic: str = ScrapeJob.topic
    partition: int = 0
    key: bytes | None = None


@pytest.mark.parametrize("reason", ["RobotsDenied", "PageGone"])
async def test_a_list_full_of_links_we_may_not_follow_or_that_lead_nowhere_halts_nobody(
    site: MisbehavingSite, house_at: Callable[..., House], reason: str
) -> None:
    rules = "User-agent: *\nCrawl-delay: 0\n" + "Disallow: /titles/\n" * (reason != "PageGone")
    site.at("/robots.txt", answer(rules, content_type="text/plain"))
    site.at("/titles?page=1", answer("".join(f"<a href=/titles/{n}>x</a>" for n in range(200))))
    house = house_at()
    publisher, registry = CollectingPublisher(), CollectorRegistry()
    consumer = Consumer(service="scraper", publisher=publisher, registry=registry)
    register_handlers(consumer, house.scraper, Eraser(house.store), at_once=8)
    links = await house.does(ScrapeJob(source="demo", url=site.url("/titles?page=1")))
    jobs = [
        Record(n, link.body(), link.headers(source="scraper", code_version="1", now=FETCHED_AT))
        for n, link in enumerate(links[1:])
    ]
    await consumer.deliver(jobs)
    assert consumer.progress.halted is None
    assert len(publisher.raw) == 200
    assert {headers["trending-reason"] for *_, headers in publisher.raw} == {reason.encode()}
    assert house.pages(reason) == 200
    counted = {"topic": ScrapeJob.topic, "outcome": "declined"}
    assert registry.get_sample_value("trending_events_consumed_total", counted) == 200


async def test_a_private_address_is_forbidden_unless_it_is_allowed_by_name(
    site: MisbehavingSite, house_at: Callable[..., House]
) -> None:
    house = house_at(allowed=False)
    with pytest.raises(AddressForbidden):
        await house.does(ScrapeJob(source="demo", url=site.url("/titles/1"), page="detail"))
    assert house.pages("AddressForbidden") == 1
    assert site.connections == 0


async def test_a_job_for_another_host_is_refused_before_anything_is_asked(
    site: MisbehavingSite, house_at: Callable[..., House]
) -> None:
    house = house_at()
    with pytest.raises(Rejected):
        await house.does(ScrapeJob(source="demo", url="http://127.0.0.1:9/", page="detail"))
    assert house.pages("HostNotAllowed") == 1
    assert site.asked == []


async def test_records_name_the_page_that_redirects_ended_at(
    site: MisbehavingSite, house_at: Callable[..., House]
) -> None:
    site.at("/titles/old", redirect("/titles/alien-1979"))
    site.at("/titles/alien-1979", answer(a_detail_page(identifier=None)))
    messages = await house_at().does(
        ScrapeJob(source="demo", url=site.url("/titles/old"), page="detail")
    )
    (title,) = events(messages, TitleScraped)
    assert (title.source_id, title.page.url) == ("alien-1979", site.url("/titles/alien-1979"))


# ---------------------------------------------------------------- pages we have had before

TAGGED = {"ETag": '"v1"'}
UNMODIFIED = answer(status=304, content_type=None)


async def test_a_job_that_comes_again_reads_what_was_kept_and_leads_to_the_same(
    site: MisbehavingSite, house_at: Callable[..., House], clock: FrozenClock
) -> None:
    site.at("/titles/1", answer(a_detail_page()), answer("<h1>Changed</h1>"))
    house = house_at()
    message = delivered(a_job_at(site))
    first = await house.scraper.on_scrape_job(message)
    clock.advance(timedelta(hours=1))
    assert await house.scraper.on_scrape_job(message) == first
    assert site.asked == ["/robots.txt", "/titles/1"]


async def test_a_list_that_comes_again_isnt_asked_for_again(
    site: MisbehavingSite, house_at: Callable[..., House]
) -> None:
    site.at("/titles", answer(LIST))
    house = house_at()
    message = delivered(a_job_at(site, url=site.url("/titles"), page="list"))
    first = await house.scraper.on_scrape_job(message)
    assert await house.scraper.on_scrape_job(message) == first
    assert site.asked.count("/titles") == 1


async def test_a_page_that_hasnt_changed_leads_to_that_alone(
    site: MisbehavingSite, house_at: Callable[..., House], clock: FrozenClock
) -> None:
    site.at("/titles/1", answer(a_detail_page(), headers=TAGGED), UNMODIFIED)
    house = house_at()
    fetched, *_ = events(await house.does(a_job_at(site)), PageFetched)
    clock.advance(timedelta(days=1))
    (message,) = await house.does(a_job_at(site))
    assert message.event == PageUnchanged(
        source="demo",
        url=site.url("/titles/1"),
        kind="detail",
        page=fetched.page,
        seen_at=clock.now(),
    )
    assert house.pages("unchanged") == 1
    assert house.pages("scraped") == 1


async def test_a_job_that_was_killed_gets_its_events_although_another_saw_no_change(
    site: MisbehavingSite, house_at: Callable[..., House]
) -> None:
    site.at("/titles/1", answer(a_detail_page(), headers=TAGGED), UNMODIFIED)
    house = house_at()
    killed = delivered(a_job_at(site))
    lost = await house.scraper.on_scrape_job(killed)  # and never published
    await house.does(a_job_at(site))
    assert await house.scraper.on_scrape_job(killed) == lost
    assert site.asked.count("/titles/1") == 2


async def test_a_job_that_was_killed_sees_no_change_where_another_has_told_the_page_since(
    site: MisbehavingSite, house_at: Callable[..., House]
) -> None:
    site.at(
        "/titles/1",
        answer(a_detail_page(), headers=TAGGED),
        answer(a_detail_page(name="Aliens"), headers={"ETag": '"v2"'}),
        UNMODIFIED,
    )
    house = house_at()
    killed = delivered(a_job_at(site))
    await house.scraper.on_scrape_job(killed)
    told = await house.does(a_job_at(site))
    (message,) = await house.scraper.on_scrape_job(killed)
    assert message.event.page == events(told, PageFetched)[0].page
    assert site.headers[-1]["if-none-match"] == '"v2"'


async def test_a_page_that_couldnt_be_read_counts_as_unknown(
    site: MisbehavingSite, house_at: Callable[..., House]
) -> None:
    site.at("/titles/1", answer("<h1>Nothing</h1>", headers=TAGGED))
    house = house_at()
    for _ in range(2):
        with pytest.raises(PageUnparsable):
            await house.does(a_job_at(site))
    assert not any("if-none-match" in headers for headers in site.headers)


async def test_a_list_is_asked_for_whole_because_what_it_leads_to_may_have_changed(
    site: MisbehavingSite, house_at: Callable[..., House]
) -> None:
    site.at("/titles", answer(LIST, headers=TAGGED))
    house = house_at()
    for _ in range(2):
        assert await house.does(a_job_at(site, url=site.url("/titles"), page="list"))
    assert site.asked.count("/titles") == 2
    assert "if-none-match" not in site.headers[-1]


@pytest.mark.parametrize("folder", ["raw", "fetches"])
async def test_what_is_damaged_in_the_store_is_fetched_again(
    site: MisbehavingSite, house_at: Callable[..., House], folder: str
) -> None:
    site.at("/titles/1", answer(a_detail_page(), headers=TAGGED))
    house = house_at()
    message = delivered(a_job_at(site))
    first = await house.scraper.on_scrape_job(message)
    (key,) = house.store.keys(folder)
    house.store.put(key, b"{")
    again = await house.scraper.on_scrape_job(message)
    assert [one.id for one in again] == [one.id for one in first]
    assert site.asked.count("/titles/1") == 2


async def test_a_source_with_a_daily_limit_is_asked_no_more_often_than_that(
    site: MisbehavingSite, clock: FrozenClock, house_at: Callable[..., House]
) -> None:
    site.at("/titles/1", answer(a_detail_page()))
    house = house_at(daily_limit=2)
    job = delivered(a_job_at(site))
    for _ in range(3):
        await house.scraper.on_scrape_job(job)  # asks once
    await house.does(a_job_at(site))
    with pytest.raises(SourceUnavailable, match="2 requests a day") as refused:
        await house.does(a_job_at(site))
    assert refused.value.not_before == FETCHED_AT.replace(hour=0) + timedelta(days=1)
    assert site.asked.count("/titles/1") == 2


async def test_only_what_was_sent_counts_towards_a_daily_limit(
    site: MisbehavingSite, clock: FrozenClock, house_at: Callable[..., House]
) -> None:
    site.at("/titles/old", redirect("/titles/1"))
    site.at("/titles/1", answer(status=429, headers={"Retry-After": "3600"}))
    house = house_at(daily_limit=5)
    for _ in range(4):
        with pytest.raises(SourceUnavailable):
            await house.does(a_job_at(site, url=site.url("/titles/old")))
    assert site.asked == ["/robots.txt", "/titles/old", "/titles/1"]
    assert len(house.store.keys("quotas/demo")) == 2


async def test_a_redirect_that_repeats_a_key_of_ours_is_refused(
    site: MisbehavingSite, clock: FrozenClock, house_at: Callable[..., House]
) -> None:
    wire = "/?i=tt0078748&apikey=k3y-0f-m1ne"
    site.at(wire, redirect("/blocked/k3y-0f-m1ne"))
    source = a_source("omdb", site.url(""), key="k3y-0f-m1ne")
    house = House(house_at().fetcher, source, clock=clock)
    with pytest.raises(PageRefused) as refused:
        await house.does(ScrapeJob(source="omdb", url=site.url("/?i=tt0078748"), page="detail"))
    assert "k3y" not in str(refused.value)
    assert site.asked == [wire]
    assert house.pages("PageRefused", source="omdb") == 1


async def test_two_sources_and_two_kinds_of_a_page_are_known_apart() -> None:
    fetches = Fetches(ObjectStore.at("memory:///"))
    job = a_job("/titles/1", page="detail")
    page = Page(url=job.url, hash="0" * 64, key="raw/00/0.gz", fetched_at=FETCHED_AT)
    fetches.keep(job, Fetch(job=delivered(job).id, url=job.url, page=page))
    assert fetches.find(job) is not None
    assert fetches.find(a_job("/titles/1", page="list")) is None
    assert fetches.find(a_job("/titles/1", page="detail", source="other")) is None


def a_job_at(site: MisbehavingSite, **changes: Any) -> ScrapeJob:
    fields = {"source": "demo", "url": site.url("/titles/1"), "page": "detail"}
    return ScrapeJob(**(fields | changes))


# ---------------------------------------------------------------- what was erased


def erase(
    house: House, kind: Literal["author", "page"], **names: Sequence[str]
) -> ErasureRequested:
    told = {name: names_of(values) for name, values in names.items()}
    asked = Erasure(
        erasure_id=f"e{len(house.store.keys('erasures'))}",
        kind=kind,
        asked_at=FETCHED_AT,
        asked_by="test",
        reason="a test",
        **told,
    )
    write_erasure(house.store, asked)
    return ErasureRequested(erasure_id=asked.erasure_id, kind=kind, reason="a test")


async def test_a_page_that_was_erased_is_neither_fetched_nor_asked_for() -> None:
    house = a_house(
        {
            "/titles?page=1": '<a href="/titles/alien">Alien</a> <a href="/titles/dark">Dark</a>',
            "/titles/alien": a_detail_page(),
        }
    )
    erase(house, "page", subjects=[BASE + "/titles/alien"])
    assert await house.does(a_job("/titles/alien", page="detail")) == []
    assert house.pages("erased") == 1
    followed = events(await house.does(a_job("/titles?page=1")), ScrapeJob)
    assert [job.url for job in followed] == [BASE + "/titles/dark"]


async def test_an_erased_author_is_left_out_and_the_bytes_of_their_page_are_not_kept() -> None:
    house = a_house({"/titles/alien-1979": a_detail_page()})
    erase(house, "author", subjects=[Authors(b"a key of this test").hash("demo", "tidal moth")])
    job = delivered(a_job("/titles/alien-1979", page="detail"))
    first = await house.scraper.on_scrape_job(job)
    assert [review.position for review in events(first, ReviewScraped)] == [1, 2]
    assert house.store.keys("raw") == house.store.keys("fetches") == []
    again = await house.scraper.on_scrape_job(job)  # nothing was kept of it
    assert [message.id for message in again] == [message.id for message in first]


async def test_bytes_and_records_of_fetches_are_erased_and_no_others() -> None:
    house = a_house({"/titles/alien": a_detail_page(), "/titles/dark": a_detail_page(name="Dark")})
    for path in ("/titles/alien", "/titles/dark"):
        await house.does(a_job(path, page="detail"))
    shown, _ = place(a_detail_page().encode())
    asked = erase(house, "author", subjects=["somebody"], pages=[shown])
    for counts in ({"raw": 1, "imports": 0, "fetches": 1}, dict.fromkeys(("raw", "fetches"), 0)):
        [answer] = await Eraser(house.store).on_erasure_requested(delivered(asked))
        assert answer.event.counts | counts == answer.event.counts
    assert [shown in key for key in house.store.keys("raw")] == [False]
    assert len(house.store.keys("fetches")) == 1


async def test_pages_are_deleted_after_the_time_they_are_kept() -> None:
    house = a_house({"/titles/alien": a_detail_page()})
    await house.does(a_job("/titles/alien", page="detail"))
    publisher, clock = CollectingPublisher(), FrozenClock(datetime.now(UTC))
    kept = kept_pages(house.store, timedelta(days=30))
    retention = Retention([kept], publisher=publisher, clock=clock)
    clock.advance(timedelta(days=30))
    await retention.look()
    assert len(house.store.keys("raw")) == 1
    clock.advance(timedelta(days=1))
    await retention.look()
    assert house.store.keys("raw") == house.store.keys("fetches") == []
    assert [(one.event.what, one.event.count) for one in publisher.messages] == [("pages", 2)]
