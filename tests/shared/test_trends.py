"""A title rises against its own past: simulated series with a known answer."""

from collections.abc import Callable, Mapping
from datetime import date, timedelta

import numpy as np
import pytest

from trending_shared.events import Trend
from trending_shared.trends import PRIOR, measure_trend

TODAY = date(2026, 11, 2)  # a Monday: the weekend lies in the heaviest days
WEEK = (0.8, 0.75, 0.8, 0.9, 1.2, 1.5, 1.35)


def simulate(
    rate: float,
    *,
    change: Callable[[int], float] = lambda ago: 1.0,
    week: tuple[float, ...] = (1.0,) * 7,
    days: int = 56,
    seed: int = 1,
    today: date = TODAY,
) -> dict[date, int]:
    """Poisson counts of the last complete days; `change` is a factor by days ago, from 1 on."""
    random = np.random.default_rng(seed)
    series = {}
    for ago in range(days, 0, -1):
        day = today - timedelta(days=ago)
        series[day] = int(random.poisson(rate * change(ago) * week[day.weekday()]))
    return series


def surging(ago: int) -> float:
    return 4.0 if ago <= 4 else 1.0


def falling(ago: int) -> float:
    return 0.25 if ago <= 4 else 1.0


def trend_of(counts: Mapping[date, int], today: date = TODAY) -> Trend:
    trend = measure_trend({"popularity": counts}, today)
    assert trend is not None
    return trend


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize("rate", [20.0, 400.0, 10_000.0])
def test_a_surge_ranks_above_steady_above_falling(rate: float, seed: int) -> None:
    surge = trend_of(simulate(rate, change=surging, week=WEEK, seed=seed))
    steady = trend_of(simulate(rate, week=WEEK, seed=seed + 100))
    fall = trend_of(simulate(rate, change=falling, week=WEEK, seed=seed + 200))
    assert surge.score > 0.8 > 0.35 > abs(steady.score)
    assert fall.score < -0.4


def test_the_titles_that_surge_are_found_among_many_that_do_not() -> None:
    random = np.random.default_rng(7)
    rates = 10 ** random.uniform(1.5, 4, 300)
    scores = [
        trend_of(simulate(rate, change=surging if n < 20 else lambda ago: 1.0, week=WEEK, seed=n))
        for n, rate in enumerate(rates)
    ]
    ranked = sorted(range(300), key=lambda n: -scores[n].score)
    assert set(ranked[:20]) == set(range(20))


def test_small_counts_are_shrunk_towards_steady() -> None:
    one_a_week = {TODAY - timedelta(days=ago): int(ago % 7 == 0) for ago in range(1, 57)}
    few = one_a_week | {TODAY - timedelta(days=ago): 1 for ago in range(1, 5)}
    many = {day: 1000 * count for day, count in few.items()}
    assert 0 < trend_of(few).score < 0.5
    assert trend_of(many).score > 1.5


def test_the_score_is_the_documented_ratio_of_recent_to_expected() -> None:
    counts = {TODAY - timedelta(days=ago): 40 if ago <= 7 else 10 for ago in range(1, 57)}
    trend = trend_of(counts)
    weight = sum(2 ** (-age / 3) for age in range(7))
    assert trend.recent == pytest.approx(40)
    assert trend.expected == pytest.approx(10)
    assert trend.score == pytest.approx(np.log2((40 + PRIOR / weight) / (10 + PRIOR / weight)))
    assert trend.signals == 7 * 40 + 49 * 10


@pytest.mark.parametrize("shift", range(7))
def test_a_weekly_rhythm_is_no_surge_on_any_day_of_the_week(shift: int) -> None:
    today = TODAY + timedelta(days=shift)
    rhythm = (1.0, 1.0, 1.0, 1.0, 1.0, 6.0, 6.0)
    assert abs(trend_of(simulate(500, week=rhythm, today=today), today).score) < 0.1
    assert abs(trend_of(simulate(500, week=rhythm, today=today, days=28), today).score) < 0.1


def test_a_past_of_two_weeks_is_taken_as_flat() -> None:
    rhythm = (1.0, 1.0, 1.0, 1.0, 1.0, 6.0, 6.0)
    assert trend_of(simulate(500, week=rhythm, days=21)).score > 0.3


def test_a_surge_fades_with_its_age() -> None:
    def burst(at: int) -> Callable[[int], float]:
        return lambda ago: 10.0 if ago == at else 1.0

    scores = [trend_of(simulate(1000, change=burst(at))).score for at in (1, 3, 5, 7)]
    assert scores == sorted(scores, reverse=True)


@pytest.mark.parametrize(
    ("what", "counts"),
    [
        ("nothing at all", {}),
        ("no past", simulate(1000, days=13)),
        ("hardly a signal", {TODAY - timedelta(days=ago): int(ago == 20) for ago in range(1, 57)}),
        (
            "not watched of late",
            {day: n for day, n in simulate(1000).items() if day < TODAY - timedelta(days=3)},
        ),
        ("only the future", {TODAY + timedelta(days=n): 100 for n in range(60)}),
    ],
)
def test_too_little_data_gives_no_trend(what: str, counts: dict[date, int]) -> None:
    assert measure_trend({"popularity": counts, "reviews": {}}, TODAY) is None


def test_the_day_that_is_not_over_does_not_count() -> None:
    counts = simulate(1000)
    assert trend_of(counts | {TODAY: 10**9}) == trend_of(counts)


def test_series_of_different_units_are_each_compared_with_themselves() -> None:
    views, reviews = simulate(50_000), simulate(20, change=surging)
    both = measure_trend({"popularity": views, "reviews": reviews}, TODAY)
    alone = measure_trend({"reviews": reviews}, TODAY)
    assert both is not None
    assert alone is not None
    assert both.score == pytest.approx((trend_of(views).score + alone.score) / 2)
    assert both.recent == pytest.approx(trend_of(views).recent + alone.recent)


def test_a_series_with_too_little_data_leaves_its_weight_to_the_other() -> None:
    views = simulate(5000, change=surging)
    two_reviews = {TODAY - timedelta(days=ago): int(ago in (2, 30)) for ago in range(1, 57)}
    assert measure_trend({"popularity": views, "reviews": two_reviews}, TODAY) == trend_of(views)


def test_absurd_counts_give_a_finite_score() -> None:
    counts = simulate(10) | {TODAY - timedelta(days=1): 10**400}
    assert np.isfinite(trend_of(counts).score)
