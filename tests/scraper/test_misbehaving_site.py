"""What a site that misbehaves is asked, and when, from its own log; and what we refuse of it.

With `-s` (`make crawl-report`) the table is printed. Waiting takes no time: the clock is a frozen
one that waiting moves, and seconds are counted from the first request on.
"""

import gzip
import json
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta

import pytest
from prometheus_client import CollectorRegistry

from trending_scraper.addresses import Guard
from trending_scraper.authors import Authors
from trending_scraper.fetches import Fetches
from trending_scraper.fetching import HttpFetcher
from trending_scraper.metrics import ScraperMetrics
from trending_scraper.pacing import Pacing
from trending_scraper.quotas import Quotas
from trending_scraper.raw_pages import RawPages
from trending_scraper.scraping import Scraper
from trending_scraper.testing import (
    Behaviour,
    MisbehavingSite,
    Waiting,
    a_source,
    answer,
    endless,
    redirect,
    stay_silent,
)
from trending_shared.clock import FrozenClock
from trending_shared.erasures import Erasures
from trending_shared.errors import TrendingError, Unavailable
from trending_shared.events import PageUnchanged, ScrapeJob
from trending_shared.storage import ObjectStore
from trending_shared.testing import delivered

METADATA = "169.254.169.254:80"
FILM = json.dumps({"@type": "Movie", "identifier": "amelie", "name": "Amélie"}, ensure_ascii=False)
PAGE = f'<script type="application/ld+json">{FILM}</script>'
NAMED = {"ETag": '"v1"'}


def busy(status: int, retry_after: str | None = None) -> Behaviour:
    headers = {"Retry-After": retry_after} if retry_after else {}
    return answer(status=status, headers=headers)


def robots(text: str) -> Behaviour:
    return answer(f"User-agent: *\n{text}\n", content_type="text/plain")


@dataclass(frozen=True)
class Case:
    """A way to misbehave.

    Args:
        name: what the site does.
        page: how it answers for the page, one after another, the last for ever.
        asked: what it must have been asked, and at which second.
        outcomes: what became of the jobs; `+30` is a job that waits until then.
        robots: how it answers for its robots.txt, if it has one.
    """

    name: str
    page: Sequence[Behaviour]
    asked: str
    outcomes: str
    robots: Behaviour | None = None


CASES = [
    Case("429, Retry-After in seconds", [busy(429, "7"), answer(PAGE)], "1 8", "scraped"),
    Case(
        "503, Retry-After as a date",
        [busy(503, "Sun, 01 Nov 2026 12:00:21 GMT"), answer(PAGE)],
        "1 21",
        "scraped",
    ),
    Case(
        "429, come again in an hour",
        [busy(429, "3600"), answer(PAGE)],
        "1 3601",
        "SourceUnavailable+3601 scraped",
    ),
    Case(
        "429 without a time: slower",
        [busy(429), busy(429), answer(PAGE)],
        "1 3 7 10.9",
        "SourceUnavailable SourceUnavailable scraped scraped",
    ),
    Case(
        "503 for ever: left alone",
        [busy(503)],
        "1 3 7 15 31 63",
        "SourceUnavailable SourceUnavailable SourceUnavailable SourceUnavailable "
        "SourceUnavailable SourceUnavailable+61 SourceUnavailable",
    ),
    Case("it says nothing", [stay_silent], "1", "SourceUnavailable"),
    Case("a body without an end", [endless(b"x" * 65536)], "1", "BodyTooLarge"),
    Case(
        "a gzip bomb",
        [answer(gzip.compress(bytes(50_000_000)), headers={"Content-Encoding": "gzip"})],
        "1",
        "BodyTooLarge",
    ),
    Case("a redirect loop", [redirect("/page")], "1 2 3 4 5 6", "TooManyRedirects"),
    Case("a redirect to another host", [redirect("http://10.0.0.1/")], "1", "HostNotAllowed"),
    Case(
        "a redirect to the metadata service, as a host of the source",
        [redirect(f"http://{METADATA}/latest/meta-data/")],
        "1",
        "AddressForbidden",
    ),
    Case(
        "a charset that isn't, and bytes that aren't UTF-8",
        [answer(PAGE.encode("latin-1"), content_type="text/html; charset=utf-99")],
        "1",
        "scraped",
    ),
    Case("an image", [answer(b"PNG", content_type="image/png")], "1", "ContentTypeRefused"),
    Case("an empty page", [answer(b"")], "1", "PageUnparsable"),
    Case(
        "it hasn't changed",
        [answer(PAGE, headers=NAMED), answer(status=304, content_type=None)],
        "1 2",
        "scraped unchanged",
    ),
    Case("robots.txt denies it", [answer(PAGE)], "", "RobotsDenied", robots("Disallow: /")),
    Case("robots.txt is forbidden", [answer(PAGE)], "1", "scraped", answer(status=403)),
    Case("robots.txt is broken", [answer(PAGE)], "", "SourceUnavailable+60", answer(status=500)),
    Case(
        "robots.txt asks for 2.5 seconds",
        [answer(PAGE)],
        "2.5 5 7.5",
        "scraped scraped scraped",
        robots("Crawl-delay: 2.5"),
    ),
    Case("robots.txt is a page of HTML", [answer(PAGE)], "1", "scraped", answer("<h1>Hello</h1>")),
]


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
async def test_a_site_that_misbehaves_is_asked_no_more_than_it_should_be(
    clock: FrozenClock, case: Case
) -> None:
    began = clock.now()

    def second() -> str:
        return f"{(clock.now() - began).total_seconds():g}"

    async with MisbehavingSite() as site:
        log: list[tuple[str, str]] = []
        site.on_request = lambda path: log.append((second(), path))
        if case.robots:
            site.at("/robots.txt", case.robots)
        site.at("/page", *case.page)
        fetcher = HttpFetcher(
            guard=Guard(allowed=[site.host]),
            pacing=Pacing(clock=clock, sleep=Waiting(clock)),
            user_agent="trending-now/1 (local demo)",
            clock=clock,
            page_timeout=timedelta(seconds=0.1 if stay_silent in case.page else 30),
        )
        store = ObjectStore.at("memory:///")
        source = a_source("demo", site.url(""), hosts=frozenset({METADATA}))
        scraper = Scraper(
            sources=[source],
            fetcher=fetcher,
            raw_pages=RawPages(store),
            fetches=Fetches(store),
            erasures=Erasures(store),
            quotas=Quotas(store, clock=clock),
            authors=Authors(b"a key of this test"),
            metrics=ScraperMetrics(CollectorRegistry()),
        )
        outcomes = []
        async with fetcher:
            for _ in case.outcomes.split():
                job = ScrapeJob(source="demo", url=site.url("/page"), page="detail")
                try:
                    first, *_ = await scraper.on_scrape_job(delivered(job))
                    unchanged = isinstance(first.event, PageUnchanged)
                    outcomes.append("unchanged" if unchanged else "scraped")
                except TrendingError as error:
                    until = error.not_before if isinstance(error, Unavailable) else None
                    if until:
                        clock.at = max(clock.at, until)
                    outcomes.append(error.reason + (f"+{second()}" if until else ""))
    sys.stdout.write(
        f"\n{case.name}\n  asked:   {', '.join(f'{path} at {at} s' for at, path in log)}\n"
        f"  outcome: {', '.join(outcomes)}\n"
    )
    assert " ".join(outcomes) == case.outcomes
    assert [at for at, path in log if path == "/page"] == case.asked.split()
    assert [path for _, path in log].count("/robots.txt") == 1
    assert {path for _, path in log} <= {"/robots.txt", "/page"}
