"""Why a title rises or falls: sentences that are true by figures which stand beside them. Pure.

The score is the mean of what each series says (see `trending_shared.trends`), so it falls apart
into a part for each metric. What was counted later than the score was made is counted here, and
what isn't kept any more isn't: of days past the parts may add up to another score.
"""

from collections.abc import Mapping, Sequence
from datetime import date, timedelta
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field

from trending_shared.trends import KEPT, Movement, Series, measure_movement

_NAMES = {"pageviews": "page views", "popularity": "popularity at its source"}
_REVIEWS = "reviews"
_WEEK = timedelta(days=7)
_YOUNG = timedelta(days=28)  # a past of fewer days is too short to hide a season in
_ROUND_YEARS = (10, 25)


class Reason(BaseModel):
    """One reason, and the figures that its text is made of."""

    model_config = ConfigDict(frozen=True)

    kind: Literal["signals", "reviews", "new", "anniversary", "first-counted", "not-enough-data"]
    text: str = Field(examples=["page views: 1,240 a day of late, 310 expected"])
    contribution: float | None = Field(
        default=None,
        description="its part of the score; these add up to it. Null for what isn't counted",
        examples=[1.98],
    )
    figures: dict[str, float | int | str] = Field(
        default={}, examples=[{"metric": "pageviews", "recent": 1240.0, "expected": 310.0}]
    )


def reasons_for(series: Series, day: date, *, year: int | None, newest: date) -> list[Reason]:
    """Why a title's score of a day is what it is.

    Args:
        series: as `trending_shared.series.read_series` gives it.
        day: that the score is of; itself it doesn't count.
        year: of the title's release.
        newest: day of which there are trends; what was counted long before isn't known any more.

    Returns:
        First what moved the score, most first; what pulled the other way comes behind.
    """
    movements = _movements(series, day)
    count = sum(map(len, movements.values()))
    told = [
        _counted(metric, moved, sum(one.score for one in moved) / count, series, day)
        for metric, moved in movements.items()
    ]
    score = sum(reason.contribution or 0.0 for reason in told)
    told.sort(key=lambda reason: (reason.contribution or 0.0) * (-1 if score >= 0 else 1))
    if not told:
        text = "not enough was counted to say whether it rises"
        told.append(Reason(kind="not-enough-data", text=text))
    if _REVIEWS not in movements and (said := _reviews(series, day, None)):
        told.append(said)
    return [*told, *_of_its_age(series, day, year, newest - KEPT)]


def _movements(series: Series, day: date) -> Mapping[str, Sequence[Movement]]:
    """What each metric's series say, those that are known well enough."""
    found: dict[str, list[Movement]] = {}
    for name in sorted(series):
        if movement := measure_movement(series[name], day - timedelta(days=1)):
            found.setdefault(_metric(name), []).append(movement)
    return found


def _metric(name: str) -> str:
    return name.partition(" of ")[0]


def _counted(
    metric: str, moved: Sequence[Movement], contribution: float, series: Series, day: date
) -> Reason:
    contribution = round(contribution, 6)
    if metric == _REVIEWS and (reviews := _reviews(series, day, contribution)):
        return reviews
    recent, expected = sum(one.recent for one in moved), sum(one.expected for one in moved)
    name = _NAMES.get(metric, metric)
    return Reason(
        kind="signals",
        text=f"{name}: {_number(recent)} a day of late, {_number(expected)} expected",
        contribution=contribution,
        figures={"metric": metric, "recent": round(recent, 3), "expected": round(expected, 3)},
    )


def _reviews(series: Series, day: date, contribution: float | None) -> Reason | None:
    """How many came in the last seven whole days and in those before; none if none came."""
    known = [counts for name, counts in series.items() if _metric(name) == _REVIEWS]

    def between(first: date, end: date) -> int:
        return sum(n for counts in known for each, n in counts.items() if first <= each < end)

    late, before = between(day - _WEEK, day), between(day - 2 * _WEEK, day - _WEEK)
    if not late and not before:
        return None
    reviews = "review" if late == 1 else "reviews"
    return Reason(
        kind="reviews",
        text=f"{late:,} {reviews} in the last 7 days, {before:,} in the 7 before",
        contribution=contribution,
        figures={"last_7_days": late, "7_days_before": before},
    )


def _of_its_age(series: Series, day: date, year: int | None, forgotten: date) -> list[Reason]:
    told = []
    age = day.year - year if year is not None else None
    if age == 0:
        told.append(Reason(kind="new", text="new this year", figures={"year": day.year}))
    elif age and age > 0 and any(age % years == 0 for years in _ROUND_YEARS):
        figures = {"year": day.year - age, "years": age}
        told.append(Reason(kind="anniversary", text=f"{age} years old this year", figures=figures))
    first = min((each for counts in series.values() for each in counts), default=None)
    if first and max(day - _YOUNG, forgotten + timedelta(days=1)) < first < day:
        told.append(
            Reason(
                kind="first-counted",
                text=f"counted for the first time on {first.day} {first:%B %Y}",
                figures={"day": first.isoformat()},
            )
        )
    return told


def _number(rate: float) -> str:
    return f"{rate:,.0f}" if rate >= 10 else f"{rate:.1f}"
