"""Why a title rises: each sentence by figures, and all parts of the score."""

from datetime import date, timedelta

import pytest

from trending_inference.reasons import Reason, reasons_for
from trending_shared.trends import KEPT, measure_trend

DAY = date(2026, 11, 2)


def counts(late: int, before: int, *, days: int = 56) -> dict[date, int]:
    """So many a day in the last seven whole days, and so many on those before."""
    return {DAY - timedelta(days=ago): late if ago <= 7 else before for ago in range(1, days + 1)}


def reasons(series: dict[str, dict[date, int]], year: int | None = None) -> list[Reason]:
    return reasons_for(series, DAY, year=year, newest=DAY)


def texts(series: dict[str, dict[date, int]], year: int | None = None) -> list[str]:
    return [reason.text for reason in reasons(series, year)]


def test_what_moved_the_score_most_comes_first_and_all_parts_are_the_score() -> None:
    series = {
        "popularity of t_1": counts(10, 40),
        "pageviews of s_1": counts(1240, 310),
        "pageviews of s_2": counts(100, 90),
        "weight of s_3": counts(11, 10),
        "votes of s_4": counts(9, 9, days=10),
    }
    told = reasons(series)
    assert [reason.text for reason in told] == [
        "page views: 1,340 a day of late, 400 expected",
        "weight: 11 a day of late, 10 expected",
        "popularity at its source: 10 a day of late, 40 expected",
    ]
    assert told[0].figures == {"metric": "pageviews", "recent": 1340.0, "expected": 400.0}
    trend = measure_trend(series, DAY)
    assert trend is not None
    parts = [reason.contribution for reason in told]
    assert sum(part for part in parts if part is not None) == pytest.approx(trend.score, abs=1e-5)


def test_of_a_falling_title_what_fell_most_comes_first() -> None:
    told = texts({"pageviews of s_1": counts(100, 110), "votes of s_2": counts(10, 80)})
    assert told == [
        "votes: 10 a day of late, 80 expected",
        "page views: 100 a day of late, 110 expected",
    ]


def test_reviews_are_counted_by_the_week() -> None:
    series = {
        "reviews of t_1": counts(2, 0) | {DAY - timedelta(days=9): 3, DAY: 50},
        "reviews of t_2": {DAY - timedelta(days=7): 1, DAY - timedelta(days=14): 1},
    }
    (told,) = reasons(series)
    assert told.text == "15 reviews in the last 7 days, 4 in the 7 before"
    assert told.figures == {"last_7_days": 15, "7_days_before": 4}
    assert told.contribution is not None
    assert told.contribution > 0.5


def test_too_little_is_said_to_be_too_little() -> None:
    few = {"reviews of t_1": {DAY - timedelta(days=ago): int(ago == 3) for ago in range(1, 41)}}
    told = reasons(few)
    assert [reason.kind for reason in told] == ["not-enough-data", "reviews"]
    assert told[1].text == "1 review in the last 7 days, 0 in the 7 before"
    assert [reason.contribution for reason in told] == [None, None]
    assert [reason.kind for reason in reasons({})] == ["not-enough-data"]


@pytest.mark.parametrize(
    ("year", "said"),
    [
        (2026, "new this year"),
        (2016, "10 years old this year"),
        (2001, "25 years old this year"),
        (1926, "100 years old this year"),
        (2025, None),
        (2027, None),
        (2005, None),
        (None, None),
    ],
)
def test_a_years_first_and_round_ones_are_told(year: int | None, said: str | None) -> None:
    assert texts({"pageviews of s_1": counts(9, 9)}, year)[1:] == ([said] if said else [])


def test_the_first_day_is_told_as_long_as_it_can_be_known() -> None:
    young = {"pageviews of s_1": counts(40, 10, days=20)}
    assert texts(young)[-1] == "counted for the first time on 13 October 2026"
    assert len(texts({"pageviews of s_1": counts(40, 10, days=40)})) == 1
    later = DAY + KEPT - timedelta(days=20)  # all that was counted before is forgotten by then
    assert len(reasons_for(young, DAY, year=None, newest=later)) == 1
