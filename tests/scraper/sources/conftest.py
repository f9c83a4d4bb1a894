"""What the sources' tests share: crawls of a site on loopback, with all that is between real."""

from collections.abc import AsyncIterator, Callable
from datetime import timedelta
from typing import Any

import pytest

from trending_scraper.addresses import Guard
from trending_scraper.fetching import HttpFetcher
from trending_scraper.pacing import Pacing
from trending_scraper.testing import Crawl, MisbehavingSite, Waiting, a_source
from trending_shared.clock import FrozenClock


@pytest.fixture
async def crawl(site: MisbehavingSite, clock: FrozenClock) -> AsyncIterator[Callable[..., Crawl]]:
    """Makes crawls of sources of the catalogue, which stand on the test's site instead."""

    def of(name: str, **changes: Any) -> Crawl:
        return Crawl(a_source(name, site.url(""), **changes), fetcher, waiting.waits)

    waiting = Waiting(clock)
    async with HttpFetcher(
        guard=Guard(allowed=[site.host]),
        pacing=Pacing(clock=clock, sleep=waiting),
        user_agent="trending-now/1 (a test)",
        clock=clock,
        page_timeout=timedelta(seconds=30),
    ) as fetcher:
        yield of
