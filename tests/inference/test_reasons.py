"""Why a title rises: each sentence by figures, and all parts of the score."""

from datetime import date, timedelta

import pytest

from trending_inference.reasons import Reason, reasons_for
from trending_shared.causes import Facts
from trending_shared.events import Lack, Trend, TrendCause
from trending_shared.trends import KEPT, Series, measure_trends

DAY = date(2026, 11, 2)


def counts(late: int, before: int, *, days: int = 56) -> dict[date, int]:
    """So many a day in the last seven whole days, and so many on those before."""
    return {DAY - timedelta(days=ago): late if ago <= 7 else before for ago in range(1, days + 1)}


def measured(series: Series, year: int | None = None) -> Trend | Lack:
    return measure_trends({"t": series}, DAY, facts={"t": Facts(year=year)})["t"]


def reasons(series: Series, year: int | None = None) -> list[Reason]:
    facts = Facts(year=year)
    return reasons_for(measured(series, year), series, DAY, facts=facts, newest=DAY)


def texts(series: Series, year: int | None = None) -> list[str]:
    return [reason.text for reason in reasons(series, year)]


def test_what_moved_the_score_most_comes_first_and_all_parts_are_the_score() -> None:
    series = {
        "popularity of t_1 at demo": counts(10, 40),
        "pageviews of s_1": counts(1240, 310),
        "pageviews of s_2": counts(100, 90),
        "weight of s_3": counts(11, 10),
        "votes of s_4": counts(9, 9, days=10),
    }
    told = reasons(series)
    assert [reason.text for reason in told] == [
        "only page views went up; nothing else that is counted of it did",
        "page views: 1,340 a day of late, 400 expected",
        "weight: 11 a day of late, 10 expected",
        "popularity at demo: 10 a day of late, 40 expected",
    ]
    assert told[1].figures == {"metric": "pageviews", "recent": 1340.0, "expected": 400.0}
    assert told[3].figures["source"] == "demo"
    trend = measured(series)
    assert isinstance(trend, Trend)
    parts = [reason.contribution for reason in told]
    assert sum(part for part in parts if part is not None) == pytest.approx(trend.score, abs=1e-5)


def test_of_a_falling_title_what_fell_most_comes_first() -> None:
    told = texts({"pageviews of s_1": counts(100, 110), "votes of s_2": counts(10, 80)})
    assert told == [
        "votes: 10 a day of late, 80 expected",
        "page views: 100 a day of late, 110 expected",
    ]


def test_reviews_are_counted_by_the_week_and_by_who_has_them() -> None:
    series = {
        "reviews of t_1 at tmdb": counts(2, 0) | {DAY - timedelta(days=9): 3, DAY: 50},
        "reviews of t_2 at feeds": {DAY - timedelta(days=7): 1, DAY - timedelta(days=14): 1},
    }
    (told,) = [reason for reason in reasons(series) if reason.kind == "reviews"]
    assert told.text == "14 reviews at tmdb in the last 7 days, 3 in the 7 before"
    assert told.figures == {"last_7_days": 14, "7_days_before": 3, "source": "tmdb"}
    assert told.contribution is not None
    assert told.contribution > 0.5


def test_too_little_is_said_to_be_too_little() -> None:
    few = {"reviews of t_1": {DAY - timedelta(days=ago): int(ago == 3) for ago in range(1, 41)}}
    told = reasons(few)
    assert [reason.kind for reason in told] == ["not-enough-data", "reviews"]
    assert told[0].text == "too few signals to say anything"
    assert told[1].text == "1 review in the last 7 days, 0 in the 7 before"
    assert [reason.contribution for reason in told] == [None, None]
    assert texts({}) == ["nothing is counted of it"]
    assert texts({"pageviews of s": counts(9, 9, days=12)})[0] == (
        "counted on too few days to say what is usual"
    )


@pytest.mark.parametrize(
    ("cause", "text"),
    [
        (
            TrendCause(kind="release", evidence={"released": "2026-10-30", "days_since": 3}),
            "likely its release, 3 days ago",
        ),
        (
            TrendCause(kind="release", evidence={"released": "2026-11-03", "days_since": -1}),
            "likely its release, in 1 day",
        ),
        (TrendCause(kind="release", evidence={"year": 2026}), "likely its release this year"),
        (
            TrendCause(kind="anniversary", evidence={"years": 25, "days_since": 0}),
            "likely an anniversary: 25 years after its release, today",
        ),
        (
            TrendCause(kind="anniversary", evidence={"years": 25}),
            "likely an anniversary: 25 years old this year",
        ),
        (
            TrendCause(kind="reviews", evidence={"metric": "reviews"}),
            "a burst of reviews; nothing else rises like that",
        ),
        (
            TrendCause(kind="one-source", evidence={"metric": "trending_appearances"}),
            "only trending appearances went up; nothing else that is counted of it did",
        ),
        (TrendCause(kind="attention"), "a rise in attention; no date that is known says why"),
        (
            TrendCause(
                kind="source-wide", evidence={"channel": "popularity at demo", "factor": 2.04}
            ),
            "popularity at demo of all titles went up 2.0 times; that is no rise of its own",
        ),
        (TrendCause(kind="unknown", probability=0.4), "why it rises isn’t clear"),
    ],
)
def test_the_cause_comes_first_in_words(cause: TrendCause, text: str) -> None:
    trend = Trend(day=DAY, score=1, recent=2, expected=1, signals=9, cause=cause)
    first = reasons_for(trend, {}, DAY, facts=Facts(year=2026), newest=DAY)[0]
    assert (first.kind, first.text) == ("cause", text)
    assert first.figures["cause"] == cause.kind


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
    assert len(texts({"pageviews of s_1": counts(10, 10, days=40)})) == 1
    later = DAY + KEPT - timedelta(days=20)  # all that was counted before is forgotten by then
    told = reasons_for(measured(young), young, DAY, facts=Facts(), newest=later)
    assert all(reason.kind != "first-counted" for reason in told)
