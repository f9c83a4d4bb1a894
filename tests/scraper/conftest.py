"""What the scraper's tests share: a site, and retries that don't wait."""

from collections.abc import AsyncIterator, Iterator

import pytest
import stamina

from trending_scraper.testing import FETCHED_AT, MisbehavingSite
from trending_shared.clock import FrozenClock


@pytest.fixture(autouse=True)
def _retries_without_pauses() -> Iterator[None]:
    with stamina.set_testing(True, attempts=3, cap=True):
        yield


@pytest.fixture
async def site() -> AsyncIterator[MisbehavingSite]:
    async with MisbehavingSite() as site:
        yield site


@pytest.fixture
def clock() -> FrozenClock:
    return FrozenClock(FETCHED_AT)
