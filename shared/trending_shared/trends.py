"""Whether a title rises: what was counted of late against what its own past lets expect.

Several series may be known of a title: its popularity (views or mentions that its own source
counts), its reviews by day, and what other sources count of it: readers of an article, watchers.
Their units differ, so each is compared with itself alone:

    age        whole days before the last complete day; the day `as_of` isn't over and never counts
    recent     ages 0 to 6, a day of age a weighs w = 2^(-a / 3): a half-life of three days
    past       ages 7 to 55: seven whole weeks, so that every weekday is in it equally often
    m          signals expected on a day: the mean of its weekday in the past if each weekday was
               watched three times, the mean of all of the past otherwise
    score      log2((sum w n + PRIOR) / (sum w m + PRIOR)), sums over the recent days, n counted

The score is the log2 of a posterior mean: counts are Poisson with rate theta m, theta has a
Gamma(PRIOR, PRIOR) prior with mean 1, and a day's evidence is discounted by w. In rates a day it
reads log2((recent + k) / (expected + k)) with k = PRIOR / sum w, some 2.6 signals a day for a whole
week. PRIOR is how many expected signals the belief "nothing has changed" weighs: a title with two
reviews instead of none hardly moves, one with two hundred instead of a hundred moves by nearly 1.

A title's score is the mean of the scores of those series that are known well enough: none has
shown itself the better witness.

Sources: DuMouchel 1999, "Bayesian data mining in large frequency tables" (observed over expected,
gamma-Poisson shrinkage, log2); West and Harrison 1997, "Bayesian Forecasting and Dynamic Models"
(discounting evidence by age).
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date, timedelta

from trending_shared.events import Trend

HALF_LIFE = 3.0  # days
RECENT_AGES = range(7)
PAST_AGES = range(7, 56)
OLDEST = timedelta(days=PAST_AGES.stop)  # before `as_of`; what is older doesn't count
PRIOR = 10.0  # signals
LEAST_PAST = 7  # observed days; fewer say nothing of what is usual
LEAST_OF_A_WEEKDAY = 3  # observed days; a mean of fewer is noise
LEAST_SIGNALS = 5
LEAST_EVIDENCE = 0.5  # of the recent days' weight; a page fetched three days ago knows too little
MOST_A_DAY = 10**12  # a page may claim anything
KEPT = timedelta(days=90)  # counts and trends; what is older is forgotten

Counts = Mapping[date, int]
"""Signals by day, for the days that were watched to their end; any other day is unknown."""
Series = Mapping[str, Counts]
"""All that was counted of a title, by what was counted where: `pageviews of s_0123`."""


@dataclass(frozen=True, slots=True)
class Movement:
    """What one series says: rates in signals a day, weighted alike."""

    score: float
    recent: float
    expected: float
    signals: int


def measure_trend(series: Series, as_of: date) -> Trend | None:
    """A title's trend on a day; none if no series is known well enough.

    Args:
        series: by its name, which says what was counted where.
        as_of: a day in UTC; the same series and day give the same trend.

    Returns:
        Its rates and `signals` are sums over the series, its score the mean of theirs.
    """
    last = as_of - timedelta(days=1)
    found = (measure_movement(series[name], last) for name in sorted(series))
    known = [movement for movement in found if movement]
    if not known:
        return None
    return Trend(
        day=as_of,
        score=sum(movement.score for movement in known) / len(known),
        recent=sum(movement.recent for movement in known),
        expected=sum(movement.expected for movement in known),
        signals=sum(movement.signals for movement in known),
    )


def measure_movement(counts: Counts, last: date) -> Movement | None:
    """How a series moved by the end of the day `last`; none if too little of it is known."""
    recent = _of_ages(RECENT_AGES, counts, last)
    past = _of_ages(PAST_AGES, counts, last)
    signals = sum(recent.values()) + sum(past.values())
    weights = {day: _weight((last - day).days) for day in recent}
    weight = sum(weights.values())
    if (
        len(past) < LEAST_PAST
        or signals < LEAST_SIGNALS
        or weight < LEAST_EVIDENCE * sum(map(_weight, RECENT_AGES))
    ):
        return None
    usual = _usual_by_weekday(past)
    counted = sum(weights[day] * count for day, count in recent.items())
    expected = sum(weights[day] * usual[day.weekday()] for day in recent)
    return Movement(
        score=math.log2((counted + PRIOR) / (expected + PRIOR)),
        recent=counted / weight,
        expected=expected / weight,
        signals=signals,
    )


def _weight(age: int) -> float:
    return 2 ** (-age / HALF_LIFE)


def _of_ages(ages: range, counts: Counts, last: date) -> dict[date, int]:
    days = (last - timedelta(days=age) for age in ages)
    return {day: min(counts[day], MOST_A_DAY) for day in days if day in counts}


def _usual_by_weekday(past: Counts) -> list[float]:
    """Signals expected on each weekday, from Monday on: shape (7,)."""
    by_weekday: list[list[int]] = [[] for _ in range(7)]
    for day, count in past.items():
        by_weekday[day.weekday()].append(count)
    if min(map(len, by_weekday)) < LEAST_OF_A_WEEKDAY:
        return [sum(past.values()) / len(past)] * 7
    return [sum(counts) / len(counts) for counts in by_weekday]
