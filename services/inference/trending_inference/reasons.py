"""Why a title rises or falls: sentences that are true by figures which stand beside them. Pure.

What moved the score is the trend's own parts, which add up to it; its cause is the likeliest one.
What else is told is counted here, of what is known now.
"""

from collections.abc import Sequence
from datetime import date, timedelta
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field

from trending_shared.causes import REVIEWS, Facts
from trending_shared.events import Lack, Trend, TrendCause, TrendPart
from trending_shared.trends import KEPT, Channel, Series

_NAMES = {"pageviews": "page views"}
_WEEK = timedelta(days=7)
_YOUNG = timedelta(days=28)  # a past of fewer days is too short to hide a season in
_ROUND_YEARS = (10, 25)
_LACKS = {
    None: "not enough was counted to say whether it rises",
    "nothing-counted": "nothing is counted of it",
    "too-few-days": "counted on too few days to say what is usual",
    "not-watched-of-late": "not watched of late",
    "too-few-signals": "too few signals to say anything",
}


class Reason(BaseModel):
    """One reason, and the figures that its text is made of."""

    model_config = ConfigDict(frozen=True)

    kind: Literal[
        "cause", "signals", "reviews", "new", "anniversary", "first-counted", "not-enough-data"
    ]
    text: str = Field(examples=["page views: 1,240 a day of late, 310 expected"])
    contribution: float | None = Field(
        default=None,
        description="its part of the score; these add up to it. Null for what isn't counted",
        examples=[1.98],
    )
    figures: dict[str, float | int | str] = Field(
        default={}, examples=[{"metric": "pageviews", "recent": 1240.0, "expected": 310.0}]
    )


def reasons_for(
    trend: Trend | Lack | None, series: Series, day: date, *, facts: Facts, newest: date
) -> list[Reason]:
    """Why a title's score of a day is what it is.

    Args:
        trend: of that day, or what it lacks.
        series: as `trending_shared.series.read_series` gives it.
        day: that the score is of; itself it doesn't count.
        newest: day of which there are trends; what was counted long before isn't known any more.

    Returns:
        First the cause, if there is one, then what moved the score, most first; what pulled the
        other way comes behind.
    """
    told: list[Reason] = []
    cause = None
    if isinstance(trend, Trend):
        cause = trend.cause
        direction = -1 if trend.score >= 0 else 1
        parts = sorted(trend.parts, key=lambda part: part.score * direction)
        told = [_counted(part, series, day) for part in parts]
    if not told:
        lack = trend if isinstance(trend, str) else None
        told.append(Reason(kind="not-enough-data", text=_LACKS[lack]))
    if all(reason.kind != "reviews" for reason in told) and (said := _reviews(series, day)):
        told.append(said)
    if cause:
        told.insert(0, _cause(cause))
    known_by_date = cause is not None and cause.kind in ("release", "anniversary")
    return [*told, *_of_its_age(series, day, facts, newest - KEPT, dated=not known_by_date)]


def _cause(cause: TrendCause) -> Reason:
    figures: dict[str, float | int | str] = {"cause": cause.kind, **cause.evidence}
    if cause.probability is not None:
        figures["probability"] = round(cause.probability, 4)
    return Reason(kind="cause", text=_words(cause), figures=figures)


def _words(cause: TrendCause) -> str:
    told = cause.evidence
    match cause.kind:
        case "release" if "days_since" in told:
            return f"likely its release, {_ago(int(told['days_since']))}"
        case "release":
            return "likely its release this year"
        case "anniversary" if "days_since" in told:
            age = f"{told['years']} years after its release"
            return f"likely an anniversary: {age}, {_ago(int(told['days_since']))}"
        case "anniversary":
            return f"likely an anniversary: {told['years']} years old this year"
        case "reviews":
            return "a burst of reviews; nothing else rises like that"
        case "one-source":
            metric = _name(str(told["metric"]))
            return f"only {metric} went up; nothing else that is counted of it did"
        case "attention":
            return "a rise in attention; no date that is known says why"
        case "source-wide":
            channel, factor = str(told["channel"]), float(told["factor"])
            told_of_all = f"{_name(channel)} of all titles went up {factor:.1f} times"
            return f"{told_of_all}; that is no rise of its own"
        case _:
            return "why it rises isn’t clear"


def _ago(days: int) -> str:
    if days == 0:
        return "today"
    number = f"{abs(days)} day{'' if abs(days) == 1 else 's'}"
    return f"{number} ago" if days > 0 else f"in {number}"


def _name(metric: str, source: str | None = None) -> str:
    first, _, rest = metric.partition(" ")
    name = f"{_NAMES.get(first, first)} {rest}".strip().replace("_", " ")
    return f"{name} at {source}" if source else name


def _counted(part: TrendPart, series: Series, day: date) -> Reason:
    contribution = round(part.score, 6)
    channel = Channel(part.metric, part.source)
    if part.metric == REVIEWS and (said := _reviews(series, day, channel, contribution)):
        return said
    rates = f"{_number(part.recent)} a day of late, {_number(part.expected)} expected"
    figures: dict[str, float | int | str] = {
        "metric": part.metric,
        "recent": round(part.recent, 3),
        "expected": round(part.expected, 3),
    }
    if part.source:
        figures["source"] = part.source
    return Reason(
        kind="signals",
        text=f"{_name(part.metric, part.source)}: {rates}",
        contribution=contribution,
        figures=figures,
    )


def _reviews(
    series: Series, day: date, only: Channel | None = None, contribution: float | None = None
) -> Reason | None:
    """How many came in the last seven whole days and in those before; none if none came."""
    known = [
        counts
        for name, counts in series.items()
        if (channel := Channel.of(name)).metric == REVIEWS and only in (None, channel)
    ]

    def between(first: date, end: date) -> int:
        return sum(n for counts in known for each, n in counts.items() if first <= each < end)

    late, before = between(day - _WEEK, day), between(day - 2 * _WEEK, day - _WEEK)
    if not late and not before:
        return None
    figures: dict[str, float | int | str] = {"last_7_days": late, "7_days_before": before}
    if only and only.source:
        figures["source"] = only.source
    at = f" at {only.source}" if only and only.source else ""
    reviews = "review" if late == 1 else "reviews"
    return Reason(
        kind="reviews",
        text=f"{late:,} {reviews}{at} in the last 7 days, {before:,} in the 7 before",
        contribution=contribution,
        figures=figures,
    )


def _of_its_age(
    series: Series, day: date, facts: Facts, forgotten: date, *, dated: bool
) -> Sequence[Reason]:
    told = []
    age = day.year - facts.year if facts.year is not None else None
    if dated and age == 0:
        told.append(Reason(kind="new", text="new this year", figures={"year": day.year}))
    elif dated and age and age > 0 and any(age % years == 0 for years in _ROUND_YEARS):
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
