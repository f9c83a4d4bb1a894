"""Distances of two samples, and what chance alone makes of them."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from trending_cli.quality.drift import (
    compare_categories,
    compare_numbers,
    jensen_shannon,
    stability_index,
)

NUMBERS = st.lists(st.integers(0, 50).map(float), min_size=5, max_size=60)
WORDS = st.lists(st.sampled_from("abcdefg"), min_size=1, max_size=60)


def test_the_index_is_that_of_its_formula() -> None:
    expected, actual = np.array([0.5, 0.5]), np.array([0.25, 0.75])
    by_hand = (0.25 - 0.5) * math.log(0.25 / 0.5) + (0.75 - 0.5) * math.log(0.75 / 0.5)
    assert stability_index(expected, actual) == pytest.approx(by_hand)


def test_two_distributions_without_a_common_value_are_one_bit_apart() -> None:
    one, other = np.array([1 - 1e-12, 1e-12]), np.array([1e-12, 1 - 1e-12])
    assert jensen_shannon(one, other) == pytest.approx(1, abs=1e-9)


@given(NUMBERS)
def test_a_sample_does_not_differ_from_itself(numbers: list[float]) -> None:
    assert compare_numbers(numbers, numbers).score == pytest.approx(0)


@given(WORDS, WORDS)
def test_categories_differ_the_same_in_both_directions(one: list[str], other: list[str]) -> None:
    there, back = compare_categories(one, other), compare_categories(other, one)
    assert there.score == pytest.approx(back.score)
    assert 0 <= there.score <= 1


def test_values_that_went_missing_are_a_shift_of_their_own() -> None:
    years = [float(1950 + n % 70) for n in range(500)]
    gone = [math.nan if n % 2 else year for n, year in enumerate(years)]
    assert compare_numbers(years, gone).score > 0.25
    assert compare_numbers([math.nan] * 200, [math.nan] * 200).score == 0


def test_chance_is_what_one_in_a_hundred_samples_exceeds() -> None:
    random = np.random.default_rng(7)
    apart = []
    for _ in range(400):
        one, other = random.normal(size=500), random.normal(size=300)
        distance = compare_numbers(one.tolist(), other.tolist())
        apart.append(distance.score > distance.chance)
    assert sum(apart) <= 16  # four are expected
    moved = compare_numbers(
        random.normal(size=500).tolist(), (random.normal(size=300) + 1).tolist()
    )
    assert moved.score > max(moved.chance, 0.25)


def test_chance_shrinks_with_the_samples() -> None:
    few, many = list("ab" * 50), list("ab" * 5000)
    assert compare_categories(few, few).chance > 10 * compare_categories(many, many).chance
