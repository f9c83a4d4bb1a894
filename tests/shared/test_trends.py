"""A title rises against its own past: simulated series with a known answer."""

import math
from collections.abc import Callable, Mapping
from datetime import date, timedelta

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from trending_shared.events import Lack, Trend
from trending_shared.trends import (
    LEAST_EFFECT,
    LEVEL,
    PRIOR,
    Series,
    cut_board,
    measure_tides,
    measure_trend,
    measure_trends,
)

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
    assert both.score == pytest.approx((trend_of(views).score + alone.score) / 2, abs=0.03)
    assert both.recent == pytest.approx(trend_of(views).recent + alone.recent)


def test_a_series_with_too_little_data_leaves_its_weight_to_the_other() -> None:
    views = simulate(5000, change=surging)
    two_reviews = {TODAY - timedelta(days=ago): int(ago in (2, 30)) for ago in range(1, 57)}
    assert measure_trend({"popularity": views, "reviews": two_reviews}, TODAY) == trend_of(views)


def test_absurd_counts_give_a_finite_score() -> None:
    counts = simulate(10) | {TODAY - timedelta(days=1): 10**400}
    assert np.isfinite(trend_of(counts).score)


# ---------------------------------------------------------------- how sure that is

days_of_counts = st.dictionaries(
    st.integers(1, 60).map(lambda ago: TODAY - timedelta(days=ago)),
    st.one_of(st.integers(0, 5), st.integers(0, 10**6), st.integers(0, 10**400)),
    max_size=60,
)
channels = st.sampled_from(
    ["pageviews of s_1", "pageviews of s_2", "watchers of s_3", "reviews of t_1 at tmdb"]
)
all_series = st.dictionaries(channels, days_of_counts, max_size=4)


@given(all_series)
@settings(max_examples=200, deadline=None)
def test_whatever_is_counted_the_figures_agree_with_each_other(
    series: dict[str, dict[date, int]],
) -> None:
    found = measure_trends({"t": series}, TODAY)["t"]
    if not isinstance(found, Trend):
        return
    assert all(
        value is not None and math.isfinite(value)
        for value in (found.score, found.low, found.high, found.chance, found.recent)
    )
    assert found.low is not None
    assert found.high is not None
    assert found.chance is not None
    assert found.low < found.score < found.high
    assert 0 <= found.chance <= 1
    assert sum(part.score for part in found.parts) == pytest.approx(found.score, abs=1e-9)
    assert sum(part.recent for part in found.parts) == pytest.approx(found.recent)
    assert len({(part.metric, part.source) for part in found.parts}) == len(found.parts)
    if found.verdict == "rising":
        assert found.score > 0
        assert found.cause is not None
        assert found.chance <= (1 - LEVEL) / 2 + 1e-9
    if found.verdict == "falling":
        assert found.high < 0


@given(all_series, st.integers(1, 5))
@settings(max_examples=50, deadline=None)
def test_a_title_is_measured_alike_whoever_is_measured_with_it(
    series: dict[str, dict[date, int]], others: int
) -> None:
    alone = measure_trends({"t": series}, TODAY)
    shuffled = dict(reversed(series.items()))
    crowd = {f"u_{n}": {"pageviews of s_9": simulate(50, seed=n)} for n in range(others)}
    assert measure_trends({**crowd, "t": shuffled}, TODAY)["t"] == alone["t"]


def test_counts_that_are_restless_by_themselves_must_rise_more() -> None:
    def trend(spread: float) -> Trend:
        random = np.random.default_rng(3)
        rates = {day: 1000 * random.gamma(1 / spread, spread) for day in simulate(1)}
        return trend_of(
            {
                day: int(rate) * (2 if day >= TODAY - timedelta(days=5) else 1)
                for day, rate in rates.items()
            }
        )

    calm, restless = trend(0.005), trend(0.4)
    assert calm.verdict == "rising"
    assert restless.verdict == "steady"
    assert restless.score > 0.4, "it has as much more, and nobody can tell"


def test_a_past_that_grew_all_the_time_is_no_reason_to_call_it_rising() -> None:
    grown = {
        TODAY - timedelta(days=ago): int(2000 * math.exp(-0.015 * ago)) for ago in range(1, 57)
    }
    trend = trend_of(grown)
    assert trend.score > LEAST_EFFECT
    assert trend.verdict == "steady"


def test_one_wild_day_of_the_past_hardly_moves_what_is_expected() -> None:
    counts = simulate(100)
    wild = counts | {TODAY - timedelta(days=20): 10_000}
    assert trend_of(wild).expected < 1.15 * trend_of(counts).expected
    weekly = {day: 40 * count if day.weekday() == 4 else count for day, count in counts.items()}
    assert abs(trend_of(weekly).score) < 0.1, "a weekday of its own is no wild day"


def test_a_little_more_is_not_rising_however_sure_it_is() -> None:
    counts = {TODAY - timedelta(days=ago): 120_000 if ago <= 7 else 100_000 for ago in range(1, 57)}
    trend = trend_of(counts)
    assert trend.score == pytest.approx(math.log2(1.2), abs=0.001)
    assert trend.verdict == "steady"


def test_one_channel_that_surely_rises_is_enough() -> None:
    still = {f"pageviews of s_{n}": simulate(500, seed=n) for n in range(3)}
    burst = {"reviews of t_1 at tmdb": simulate(20, change=surging)}
    found = measure_trends({"t": still | {"watchers of s_4": simulate(500)} | burst}, TODAY)["t"]
    assert isinstance(found, Trend)
    assert found.verdict == "rising"
    assert found.parts[0].metric == "reviews"


@pytest.mark.parametrize(
    ("counts", "lack"),
    [
        ({}, "nothing-counted"),
        (simulate(1000, days=13), "too-few-days"),
        ({TODAY - timedelta(days=ago): int(ago == 20) for ago in range(1, 57)}, "too-few-signals"),
        (
            {day: n for day, n in simulate(1000).items() if day < TODAY - timedelta(days=3)},
            "not-watched-of-late",
        ),
        ({TODAY + timedelta(days=n): 100 for n in range(60)}, "nothing-counted"),
    ],
)
def test_what_is_lacking_has_a_name(counts: dict[date, int], lack: Lack) -> None:
    assert measure_trends({"t": {"popularity of t": counts}}, TODAY)["t"] == lack


def test_what_a_title_lacks_is_what_its_best_known_series_does() -> None:
    young = {"pageviews of s": simulate(100, days=10), "watchers of s": {}}
    assert measure_trends({"t": young, "u": {}}, TODAY) == {
        "t": "too-few-days",
        "u": "nothing-counted",
    }


# ---------------------------------------------------------------- tides


def a_catalogue(titles: int, change: Callable[[int], float], seed: int = 0) -> list[Series]:
    return [
        {
            "pageviews of it": simulate(100, change=change, week=WEEK, seed=seed + n),
            "reviews of t at tmdb": simulate(10, seed=seed + n),
        }
        for n in range(titles)
    ]


def doubled(ago: int) -> float:
    return 2.0 if ago <= 2 else 1.0


def test_what_all_of_a_channel_does_is_a_tide_on_its_days() -> None:
    found = measure_tides(a_catalogue(60, doubled), TODAY, {})
    assert set(found) == {"pageviews"}
    assert found["pageviews"] == {
        TODAY - timedelta(days=ago): pytest.approx(2, rel=0.1) for ago in (1, 2)
    }
    assert measure_tides(a_catalogue(60, lambda ago: 1.0), TODAY, {}) == {}


def test_a_few_titles_make_no_tide_and_neither_do_many_that_surge_alone() -> None:
    assert measure_tides(a_catalogue(20, doubled), TODAY, {}) == {}
    some = a_catalogue(50, lambda ago: 1.0) + a_catalogue(10, surging, seed=500)
    assert measure_tides(some, TODAY, {}) == {}


def test_a_tide_lifts_no_title_and_one_that_rises_above_it_still_does() -> None:
    catalogue = a_catalogue(60, doubled)
    tides = measure_tides(catalogue, TODAY, {})
    lifted = measure_trend(catalogue[0], TODAY, tides=tides)
    assert lifted is not None
    assert lifted.verdict == "steady"
    assert lifted.cause is not None
    assert (lifted.cause.kind, lifted.cause.evidence["channel"]) == ("source-wide", "pageviews")
    alone = measure_trend(catalogue[0], TODAY)
    assert alone is not None
    assert alone.verdict == "rising"
    higher = {
        "pageviews of it": simulate(100, change=lambda ago: doubled(ago) * surging(ago), week=WEEK)
    }
    above = measure_trend(higher, TODAY, tides=tides)
    assert above is not None
    assert above.verdict == "rising"


def test_a_source_that_counts_twice_as_much_from_a_day_on_stays_in_its_old_unit() -> None:
    tides: dict[str, dict[date, float]] = {}
    began = TODAY - timedelta(days=12)
    for ahead in range(13):
        today = began + timedelta(days=ahead)
        catalogue: list[Series] = []
        for n in range(40):
            counts = simulate(100, today=today, seed=n)
            late = {day: count * 2 for day, count in counts.items() if day >= began}
            catalogue.append({"pageviews of it": counts | late})
        found = measure_tides(catalogue, today, tides).get("pageviews", {})
        tides = {"pageviews": {**tides.get("pageviews", {}), **found}}
    assert sorted(tides["pageviews"]) == [began + timedelta(days=n) for n in range(12)]
    trend = measure_trend(catalogue[0], TODAY, tides=tides)
    assert trend is not None
    assert trend.verdict == "steady"
    assert abs(trend.score) < 0.25


def test_days_on_which_a_source_was_out_of_order_make_nothing_fall() -> None:
    catalogue = a_catalogue(40, lambda ago: 0.0 if ago <= 2 else 1.0)
    tides = measure_tides(catalogue, TODAY, {})
    assert len(tides["pageviews"]) == 2
    trend = measure_trends({"t": {"pageviews of it": catalogue[0]["pageviews of it"]}}, TODAY)["t"]
    assert isinstance(trend, Trend)
    assert trend.verdict == "falling"
    known = measure_trends({"t": catalogue[0]}, TODAY, tides=tides)["t"]
    assert isinstance(known, Trend)
    assert known.verdict == "steady"
    (views,) = (part for part in known.parts if part.metric == "pageviews")
    assert views.recent == pytest.approx(views.expected, rel=0.2), "of the days before"


# ---------------------------------------------------------------- boards


def test_a_board_is_cut_where_the_expected_share_of_wrong_ones_is_reached() -> None:
    assert cut_board([0.001, 0.01, 0.02, 0.5], 0.05) == 0.02
    assert cut_board([0.02, 0.5, 0.9, 0.9], 0.05) == 0.0
    assert cut_board([], 0.05) == 0.0
