"""Capitals: what they are worth by chance alone, and what bounds follow from them."""

from itertools import product
from math import exp, log

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from trending_monitor.betting import Capitals, Null, both, bounds, log_capital

ALPHA = 0.05
values = st.lists(st.floats(-1, 1, allow_subnormal=False), min_size=1, max_size=40)
means = st.floats(-0.9, 0.9)


@given(means, st.floats(-1, 0.95), st.sampled_from(["at most", "at least"]))
def test_a_fair_game_is_worth_what_was_put_in(mean: float, low: float, side: str) -> None:
    """All sequences of five draws of two values with just this mean, each with its chance."""
    low = low if low < mean else -1.0
    high = 1.0
    chance = (mean - low) / (high - low)
    null = Null(side, mean)  # type: ignore[arg-type]
    expected = sum(
        exp(log_capital(np.array(drawn), null))
        * chance ** drawn.count(high)
        * (1 - chance) ** drawn.count(low)
        for drawn in product((low, high), repeat=5)
    )
    assert expected == pytest.approx(1, rel=1e-9)


@given(values, means, st.floats(0.01, 0.05))
def test_whoever_believes_in_more_loses_less(drawn: list[float], mean: float, step: float) -> None:
    less = log_capital(np.array(drawn), Null("at most", mean))
    more = log_capital(np.array(drawn), Null("at most", mean + step))
    assert more <= less + 1e-9


@given(values, st.randoms(use_true_random=False), st.integers(0, 40))
def test_neither_order_nor_batches_matter(drawn: list[float], random: object, cut: int) -> None:
    whole, parts = Capitals([Null("at most", 0)]), Capitals([Null("at most", 0)])
    whole.add(np.array(drawn))
    random.shuffle(drawn)  # type: ignore[attr-defined]
    parts.add(np.array(drawn[:cut]))
    parts.add(np.array(drawn[cut:]))
    assert parts.logs() == pytest.approx(whole.logs())


@given(values, values)
@settings(max_examples=50)
def test_a_bound_lies_above_zero_where_the_capital_is_large(
    shadow: list[float], split: list[float]
) -> None:
    parts = [np.array(shadow), np.array(split)]
    low, high = bounds(parts, alpha=ALPHA)
    assert -1 <= low <= high <= 1
    logs = [log_capital(part, Null("at most", 0)) for part in parts]
    assert (low >= 0) == (both(*logs) >= log(1 / ALPHA)) or abs(low) < 1e-4


WORLDS = {
    "rarely none": ([1.0, -1.0], [0.55, 0.45]),
    "mostly nothing": ([1.0, 0.0, -1.0], [0.12, 0.86, 0.02]),
    "small": ([0.3, -0.1], [0.5, 0.5]),
}
"""Values and their chances; the mean is 0.1 in each."""


@pytest.mark.parametrize("world", WORLDS)
def test_looking_after_each_value_finds_nothing_where_nothing_is(world: str) -> None:
    runs, looks = 500, 300
    found, chances = WORLDS[world]
    drawn = np.random.default_rng(1).choice(found, (runs, looks), p=chances)
    crossed = 0
    for row in drawn:
        capitals = Capitals([Null("at most", 0.1)])
        for batch in np.split(row, 60):
            capitals.add(batch)
            if capitals.logs()[0] >= log(1 / ALPHA):
                crossed += 1
                break
    assert crossed <= ALPHA * runs


@pytest.mark.parametrize("world", WORLDS)
def test_bounds_hold_the_mean_wherever_one_stops(world: str) -> None:
    """Stopped where it looks best: at the highest mean of what was seen so far."""
    runs, missed = 120, 0
    random = np.random.default_rng(2)
    found, chances = WORLDS[world]
    for _ in range(runs):
        drawn = random.choice(found, 300, p=chances)
        running = np.cumsum(drawn) / np.arange(1, 301)
        stop = 20 + int(np.argmax(running[20:]))
        low, high = bounds([drawn[: stop // 2], drawn[stop // 2 : stop]], alpha=ALPHA)
        missed += low > 0.1
        missed += high < 0.1
    assert missed <= ALPHA * runs


def test_what_is_there_is_found() -> None:
    random = np.random.default_rng(3)
    drawn = random.choice([0.4, -0.3], 1000, p=[0.5, 0.5])  # on the mean 0.05
    assert bounds([drawn, np.empty(0)], alpha=ALPHA)[0] > 0


def test_half_of_the_capital_sits_out_the_first_part() -> None:
    assert exp(both(0, log(3))) == pytest.approx(3)
    assert exp(both(log(9), log(4))) == pytest.approx(20)
    assert exp(both(-100, log(40))) == pytest.approx(20)


@pytest.mark.parametrize(
    ("null", "low"), [(Null("at most", 1), -1), (Null("at least", -1), -1), (Null("at most", 0), 0)]
)
def test_what_no_value_contradicts_cannot_be_bet_against(null: Null, low: float) -> None:
    with pytest.raises(ValueError, match="inside of the range"):
        Capitals([null], low=low)
