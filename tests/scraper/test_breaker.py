"""The circuit breaker: left alone after failures, tried by one, and longer each time."""

from datetime import timedelta

import pytest

from trending_scraper.breaker import FAILURES, Breaker
from trending_scraper.sources.base import SourceUnavailable
from trending_shared.clock import FrozenClock

HOST, OTHER = "films.example:443", "other.example:443"


@pytest.fixture
def breaker(clock: FrozenClock) -> Breaker:
    return Breaker(clock=clock)


def fail(breaker: Breaker, times: int) -> None:
    for _ in range(times):
        breaker.failed(HOST)


def pause(breaker: Breaker, clock: FrozenClock) -> timedelta:
    """How long the host is left alone from now on."""
    with pytest.raises(SourceUnavailable) as refused:
        breaker.check(HOST)
    assert refused.value.not_before is not None
    return refused.value.not_before - clock.now()


def test_a_host_may_fail_some_times(breaker: Breaker) -> None:
    fail(breaker, FAILURES - 1)
    breaker.check(HOST)


def test_an_answer_in_between_forgives_all_failures(breaker: Breaker) -> None:
    for _ in range(3):
        fail(breaker, FAILURES - 1)
        breaker.answered(HOST)
    breaker.check(HOST)


def test_a_host_that_fails_again_and_again_is_left_alone_and_others_are_not(
    breaker: Breaker, clock: FrozenClock
) -> None:
    fail(breaker, FAILURES)
    assert pause(breaker, clock) == timedelta(seconds=30)
    breaker.check(OTHER)


def test_after_the_pause_one_request_is_let_through(breaker: Breaker, clock: FrozenClock) -> None:
    fail(breaker, FAILURES)
    clock.advance(timedelta(seconds=30))
    breaker.check(HOST)
    assert pause(breaker, clock) == timedelta(seconds=30)


def test_a_probe_that_is_answered_lets_everyone_through(
    breaker: Breaker, clock: FrozenClock
) -> None:
    fail(breaker, FAILURES)
    clock.advance(timedelta(seconds=30))
    breaker.check(HOST)
    breaker.answered(HOST)
    for _ in range(3):
        breaker.check(HOST)


def test_probes_that_fail_make_pauses_longer_up_to_an_hour(
    breaker: Breaker, clock: FrozenClock
) -> None:
    fail(breaker, FAILURES)
    pauses = []
    for _ in range(9):
        pauses.append(pause(breaker, clock).total_seconds())
        clock.advance(timedelta(seconds=pauses[-1]))
        breaker.check(HOST)
        fail(breaker, 1)
    assert pauses == [30, 60, 120, 240, 480, 960, 1920, 3600, 3600]


def test_a_probe_that_nobody_hears_of_is_followed_by_another(
    breaker: Breaker, clock: FrozenClock
) -> None:
    fail(breaker, FAILURES)
    for _ in range(3):
        clock.advance(timedelta(seconds=30))
        breaker.check(HOST)


def test_a_host_that_never_answers_has_no_pause_beyond_measure(
    breaker: Breaker, clock: FrozenClock
) -> None:
    fail(breaker, 10_000)
    assert pause(breaker, clock) == timedelta(hours=1)
