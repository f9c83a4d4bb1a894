"""Why a title rises: what speaks for each cause, and that none is named without."""

from datetime import date, timedelta

import pytest

from trending_shared.causes import Facts, Witness, name_cause, nearest_anniversary, standing_of
from trending_shared.events import TrendCause

DAY = date(2026, 11, 2)
OLD = Facts(date(2003, 4, 9), 2003)


def says(metric: str, score: float, source: str | None = None) -> Witness:
    return Witness(metric, source, score, variance=0.02, known=0.95)


def cause(*witnesses: Witness, facts: Facts = OLD) -> TrendCause:
    found = name_cause(witnesses, facts, DAY)
    assert sum(found.chances.values()) == pytest.approx(1, abs=1e-3)
    assert found.probability == pytest.approx(max(found.chances.values()), abs=1e-3)
    return found


ALL = (says("pageviews", 1.4), says("watchers", 1.1), says("reviews", 0.6, "tmdb"))


@pytest.mark.parametrize(
    ("ago", "kind"),
    [(-30, "attention"), (-3, "release"), (0, "release"), (20, "release"), (60, "attention")],
)
def test_a_rise_around_the_release_is_the_releases(ago: int, kind: str) -> None:
    released = DAY - timedelta(days=ago)
    found = cause(*ALL, facts=Facts(released, released.year))
    assert found.kind == kind
    if kind == "release":
        assert found.evidence == {"released": released.isoformat(), "days_since": ago}


@pytest.mark.parametrize(
    ("released", "kind", "years"),
    [
        (date(2001, 11, 1), "anniversary", 25),
        (date(1979, 11, 4), "anniversary", 47),
        (date(1979, 10, 28), "anniversary", 47),
        (date(1979, 5, 25), "attention", None),
        (date(2001, 11, 25), "attention", None),
    ],
)
def test_a_rise_around_an_anniversary_is_its(released: date, kind: str, years: int | None) -> None:
    found = cause(*ALL, facts=Facts(released, released.year))
    assert (found.kind, found.evidence.get("years")) == (kind, years)


def test_round_anniversaries_are_likelier() -> None:
    odd, round = (
        cause(*ALL, facts=Facts(date(year, 11, 1), year)).chances["anniversary"]
        for year in (2004, 2006)
    )
    assert round > odd


def test_a_burst_of_reviews_needs_the_others_to_be_still() -> None:
    found = cause(says("reviews", 1.5, "tmdb"), says("pageviews", 0.05), says("watchers", -0.1))
    assert found.kind == "reviews"
    assert found.evidence["metric"] == "reviews"
    assert cause(says("reviews", 1.5, "tmdb"), says("pageviews", 1.3)).kind != "reviews"
    assert cause(says("reviews", 1.5, "tmdb")).kind == "reviews", "nothing else is counted"


def test_one_source_alone_is_named_and_needs_others_to_differ_from() -> None:
    found = cause(says("pageviews", 1.5), says("watchers", 0.0), says("reviews", 0.1, "tmdb"))
    assert (found.kind, found.evidence["metric"]) == ("one-source", "pageviews")
    assert found.evidence["still"] == "reviews, watchers"
    assert "one-source" not in cause(says("pageviews", 1.5)).chances


def test_a_day_outweighs_a_pattern_that_fits_half() -> None:
    released = DAY - timedelta(days=4)
    seen = (says("pageviews", 1.6), says("watchers", 0.5), says("reviews", 0.9, "tmdb"))
    assert cause(*seen, facts=Facts(released, released.year)).kind == "release"


def test_without_a_date_the_cause_may_stay_unknown() -> None:
    found = cause(says("pageviews", 1.5), facts=Facts())
    assert found.kind == "unknown"
    assert found.evidence == {}
    assert found.chances["attention"] > found.chances["release"] > 0


@pytest.mark.parametrize(
    ("year", "kind"), [(2026, "release"), (1979, "attention"), (2001, "attention")]
)
def test_a_year_says_less_than_a_day(year: int, kind: str) -> None:
    found = cause(*ALL, facts=Facts(year=year))
    assert found.kind in (kind, "unknown")
    if kind == "release":
        assert found.evidence == {"year": 2026}


def test_the_29th_of_february_is_kept_in_other_years_too() -> None:
    assert nearest_anniversary(date(2004, 2, 29), date(2025, 3, 2)) == (21, 1)
    assert nearest_anniversary(date(2004, 12, 30), date(2026, 1, 2)) == (21, 3)
    assert nearest_anniversary(date(2004, 1, 2), date(2025, 12, 30)) == (22, -3)


@pytest.mark.parametrize(
    ("facts", "first", "new"),
    [
        (Facts(DAY - timedelta(days=89)), None, True),
        (Facts(DAY - timedelta(days=90)), DAY, False),
        (Facts(DAY + timedelta(days=30)), None, True),
        (Facts(year=2026), None, True),
        (Facts(year=2025), DAY - timedelta(days=2), False),
        (Facts(), DAY - timedelta(days=27), True),
        (Facts(), DAY - timedelta(days=28), False),
        (Facts(), None, False),
    ],
)
def test_new_is_what_was_released_or_else_first_counted_lately(
    facts: Facts, first: date | None, new: bool
) -> None:
    assert standing_of(facts, DAY, first) == ("new" if new else "catalogue")
