"""Tickets: as many a day as a source allows, whoever takes them."""

from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from datetime import UTC, datetime, timedelta

import pytest

from trending_scraper.quotas import Quotas
from trending_scraper.sources.base import SourceUnavailable
from trending_shared.clock import FrozenClock
from trending_shared.storage import ObjectStore

MIDNIGHT = datetime(2026, 11, 2, tzinfo=UTC)


@pytest.fixture
def store() -> ObjectStore:
    return ObjectStore.at("memory:///")


def take_all(quotas: Quotas, limit: int) -> int:
    taken = 0
    with suppress(SourceUnavailable):
        while True:
            quotas.take("omdb", limit)
            taken += 1
    return taken


def test_a_days_tickets_end_and_it_is_said_until_when(
    store: ObjectStore, clock: FrozenClock
) -> None:
    quotas = Quotas(store, clock=clock)
    assert take_all(quotas, 3) == 3
    with pytest.raises(SourceUnavailable, match="3 requests a day") as refused:
        quotas.take("omdb", 3)
    assert refused.value.not_before == MIDNIGHT


def test_a_new_day_brings_new_tickets_and_the_old_ones_go(
    store: ObjectStore, clock: FrozenClock
) -> None:
    quotas = Quotas(store, clock=clock)
    take_all(quotas, 3)
    clock.at = MIDNIGHT
    quotas.take("omdb", 3)
    assert store.keys("quotas") == ["quotas/omdb/2026-11-02/00000001"]


def test_the_day_is_the_utc_one(store: ObjectStore) -> None:
    clock = FrozenClock(datetime.fromisoformat("2026-11-02T00:30:00+02:00"))
    Quotas(store, clock=clock).take("omdb", 3)
    assert store.keys("quotas") == ["quotas/omdb/2026-11-01/00000001"]


def test_a_restart_forgets_no_ticket(store: ObjectStore, clock: FrozenClock) -> None:
    Quotas(store, clock=clock).take("omdb", 3)
    assert take_all(Quotas(store, clock=clock), 3) == 2


def test_a_replica_whose_clock_is_behind_takes_no_ticket_of_tomorrow_away(
    store: ObjectStore, clock: FrozenClock
) -> None:
    Quotas(store, clock=FrozenClock(MIDNIGHT)).take("omdb", 3)
    Quotas(store, clock=FrozenClock(MIDNIGHT - timedelta(seconds=1))).take("omdb", 3)
    assert len(store.keys("quotas/omdb/2026-11-02")) == 1


def test_sources_have_tickets_of_their_own(store: ObjectStore, clock: FrozenClock) -> None:
    quotas = Quotas(store, clock=clock)
    take_all(quotas, 3)
    quotas.take("trakt", 3)


def test_many_replicas_together_take_no_more_than_there_are(
    store: ObjectStore, clock: FrozenClock
) -> None:
    replicas = [Quotas(store, clock=clock) for _ in range(4)]
    with ThreadPoolExecutor(4) as pool:
        taken = list(pool.map(lambda quotas: take_all(quotas, 50), replicas))
    assert sum(taken) == 50
