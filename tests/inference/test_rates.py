"""Shares of a minute, by a clock that is moved by hand."""

import pytest

from trending_inference.rates import MINUTE, Rate

SECOND = MINUTE // 60


class Hand:
    """A clock that is moved by hand, in nanoseconds."""

    def __init__(self) -> None:
        self.at = 12_345

    def __call__(self) -> int:
        return self.at


@pytest.fixture
def hand() -> Hand:
    return Hand()


def taken(rate: Rate, caller: str, tries: int) -> int:
    return sum(rate.take(caller) == 0 for _ in range(tries))


@pytest.mark.parametrize("per_minute", [1, 7, 60, 6000])
def test_a_whole_share_may_come_at_once_and_not_one_more(hand: Hand, per_minute: int) -> None:
    rate = Rate("texts", per_minute, now=hand)
    assert taken(rate, "shop", per_minute + 5) == per_minute
    assert rate.left("shop") == 0
    hand.at += MINUTE
    assert taken(rate, "shop", per_minute + 5) == per_minute


def test_a_share_grows_again_little_by_little(hand: Hand) -> None:
    rate = Rate("texts", 60, now=hand)
    assert rate.take("shop", 60) == 0
    assert rate.take("shop") == 1.0
    assert rate.take("shop", 3) == 3.0
    hand.at += SECOND - 1
    assert rate.take("shop") > 0
    hand.at += 1
    assert rate.take("shop") == 0
    assert rate.take("shop") == 1.0


def test_what_is_refused_costs_nothing(hand: Hand) -> None:
    rate = Rate("texts", 60, now=hand)
    assert rate.take("shop", 50) == 0
    for _ in range(100):
        assert rate.take("shop", 11) == 1.0
    assert rate.left("shop") == 10
    assert rate.take("shop", 10) == 0


def test_nobody_saves_up_more_than_a_share(hand: Hand) -> None:
    rate = Rate("texts", 60, now=hand)
    assert rate.take("shop") == 0
    hand.at += 1000 * MINUTE
    assert rate.left("shop") == 60
    assert rate.take("shop", 61) > 0


def test_callers_have_shares_of_their_own(hand: Hand) -> None:
    rate = Rate("texts", 60, now=hand)
    assert rate.take("shop", 60) == 0
    assert rate.take("shop") > 0
    assert rate.take("library", 60) == 0


def test_no_more_callers_are_remembered_than_there_is_room_for(hand: Hand) -> None:
    rate = Rate("texts", 1, most=100, now=hand)
    assert rate.take("shop") == 0
    for index in range(10_000):
        assert rate.take(f"203.0.113.{index}") == 0
        assert rate.take("shop") > 0, "who is refused isn't forgotten for it"
        assert len(rate) <= 100
