"""Politeness: one turn after another, and a site's own word."""

import asyncio
from datetime import timedelta

import pytest

from trending_scraper.pacing import Pacing, polite_delay, retry_after
from trending_scraper.sources.base import SourceUnavailable
from trending_scraper.testing import FETCHED_AT, Waiting
from trending_shared.clock import FrozenClock

HOST = "films.example:443"
SECOND = timedelta(seconds=1)


@pytest.mark.parametrize(
    ("least", "crawl_delay", "seconds"),
    [
        (None, None, 1.0),
        (None, 0.0, 1.0),
        (None, 0.5, 1.0),
        (None, 10.0, 10.0),
        (None, 86400.0, 60.0),
        (0.0, None, 1.0),
        (0.0, 0.0, 0.0),
        (0.0, 0.5, 0.5),
        (5.0, None, 5.0),
        (5.0, 0.0, 5.0),
        (5.0, 7.5, 7.5),
    ],
)
def test_a_site_may_ask_for_more_patience_and_a_sources_entry_for_a_minimum(
    least: float | None, crawl_delay: float | None, seconds: float
) -> None:
    own = None if least is None else timedelta(seconds=least)
    assert polite_delay(own, crawl_delay, SECOND).total_seconds() == seconds


@pytest.mark.parametrize(
    ("value", "seconds"),
    [
        ("0", 0.0),
        (" 120 ", 120.0),
        ("Sun, 01 Nov 2026 12:00:30 GMT", 30.0),
        ("Sun, 01 Nov 2026 11:00:00 GMT", 0.0),
        ("Sun, 01 Nov 2026 12:00:30 -0000", 30.0),
        ("9" * 5000, 86400.0),
        ("Fri, 31 Dec 9999 23:59:59 GMT", 86400.0),
    ],
)
def test_retry_after_is_seconds_or_a_date(value: str, seconds: float) -> None:
    pause = retry_after(value, FETCHED_AT)
    assert pause is not None
    assert pause.total_seconds() == seconds


@pytest.mark.parametrize("value", [None, "", "soon", "-5", "1.5", "٣"])
def test_a_retry_after_that_says_nothing_is_none(value: str | None) -> None:
    assert retry_after(value, FETCHED_AT) is None


async def test_requests_to_one_host_keep_their_distance(clock: FrozenClock) -> None:
    waiting = Waiting(clock)
    pacing = Pacing(clock=clock, sleep=waiting)
    waits = []
    for _ in range(3):
        async with pacing.turn(HOST) as waited:
            waits.append(waited)
    assert waits == [0.0, 1.0, 1.0]


async def test_without_a_delay_we_go_on_at_once(clock: FrozenClock) -> None:
    waiting = Waiting(clock)
    pacing = Pacing(clock=clock, sleep=waiting)
    for _ in range(3):
        async with pacing.turn(HOST, timedelta()):
            pass
    assert waiting.waits == []


async def test_hosts_dont_wait_for_each_other(clock: FrozenClock) -> None:
    waiting = Waiting(clock)
    pacing = Pacing(clock=clock, sleep=waiting)
    for host in ("a.example:80", "b.example:80"):
        async with pacing.turn(host, 10 * SECOND):
            pass
    assert waiting.waits == []


async def test_of_many_who_come_at_once_no_two_get_the_same_turn(clock: FrozenClock) -> None:
    waits: list[float] = []

    async def stand_still(seconds: float) -> None:
        waits.append(seconds)

    pacing = Pacing(clock=clock, sleep=stand_still)

    async def visit() -> None:
        async with pacing.turn(HOST, 2 * SECOND):
            await asyncio.sleep(0)

    await asyncio.gather(*(visit() for _ in range(6)))
    assert waits == [2.0, 4.0, 6.0, 8.0, 10.0]


async def test_at_most_four_connections_are_open_to_a_host(clock: FrozenClock) -> None:
    pacing = Pacing(clock=clock, sleep=Waiting(clock))
    inside, most = 0, 0

    async def visit() -> None:
        nonlocal inside, most
        async with pacing.turn(HOST, timedelta()):
            inside += 1
            most = max(most, inside)
            await asyncio.sleep(0)
            inside -= 1

    await asyncio.gather(*(visit() for _ in range(20)))
    assert most == 4


async def test_a_host_that_asks_for_a_pause_gets_it(clock: FrozenClock) -> None:
    waiting = Waiting(clock)
    pacing = Pacing(clock=clock, sleep=waiting)
    pacing.hold(HOST, timedelta(seconds=20))
    async with pacing.turn(HOST, timedelta()) as waited:
        assert waited == 20.0


async def test_a_pause_asked_for_while_others_wait_holds_for_them_too(clock: FrozenClock) -> None:
    pacing: Pacing
    waits: list[float] = []

    async def interrupted(seconds: float) -> None:
        waits.append(seconds)
        clock.advance(timedelta(seconds=seconds))
        if len(waits) == 1:
            pacing.hold(HOST, timedelta(seconds=15))

    pacing = Pacing(clock=clock, sleep=interrupted)
    for _ in range(2):
        async with pacing.turn(HOST, SECOND):
            pass
    assert waits == [1.0, 15.0]


async def test_a_host_that_is_overloaded_is_asked_half_as_often_up_to_once_a_minute(
    clock: FrozenClock,
) -> None:
    pacing, waits = Pacing(clock=clock, sleep=Waiting(clock)), []
    for _ in range(9):
        async with pacing.turn(HOST, timedelta(seconds=0.3)) as waited:
            waits.append(waited)
        pacing.slow_down(HOST, clock.now())
    assert waits == [0.0, 1.0, 2.0, 4.0, 8.0, 16.0, 32.0, 60.0, 60.0]


async def test_each_good_answer_makes_the_wait_a_little_shorter_until_the_usual_one(
    clock: FrozenClock,
) -> None:
    pacing, waits = Pacing(clock=clock, sleep=Waiting(clock)), []
    async with pacing.turn(HOST, timedelta(seconds=0.8)):
        pacing.slow_down(HOST, clock.now())
    for _ in range(10):
        async with pacing.turn(HOST, timedelta(seconds=0.8)) as waited:
            waits.append(round(waited, 3))
        pacing.speed_up(HOST)
    assert waits == [1.6, 1.5, 1.4, 1.3, 1.2, 1.1, 1.0, 0.9, 0.8, 0.8]


async def test_of_answers_to_requests_under_way_together_only_one_slows_us_down(
    clock: FrozenClock,
) -> None:
    pacing = Pacing(clock=clock, sleep=Waiting(clock))
    began = clock.now()
    async with pacing.turn(HOST, SECOND):
        clock.advance(SECOND)
    for _ in range(4):
        pacing.slow_down(HOST, began)
    async with pacing.turn(HOST, SECOND) as waited:
        assert waited == 1.0  # two seconds after the start, one of which has gone by


async def test_a_pause_beyond_our_patience_makes_the_host_unavailable(clock: FrozenClock) -> None:
    pacing = Pacing(clock=clock, sleep=Waiting(clock))
    pacing.hold(HOST, timedelta(hours=1))
    with pytest.raises(SourceUnavailable, match="2026-11-01T13:00:00") as refused:
        async with pacing.turn(HOST, timedelta()):
            pytest.fail("the host asked to be left alone")
    assert refused.value.not_before == FETCHED_AT + timedelta(hours=1)
    clock.advance(timedelta(hours=1))
    async with pacing.turn(HOST, timedelta()) as waited:
        assert waited == 0.0
