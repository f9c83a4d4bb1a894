"""Figures, days and filters in the words of the pages. Pure."""

from collections.abc import Callable, Mapping, Sequence
from datetime import date, datetime, timedelta
from typing import Any

from trending_inference.schemas import PredictedGenre, TrendInterval

STALE = timedelta(hours=36)  # everything is read once a day; later than this, a day was missed
_NAMED = 2  # genres of a verdict


def times(score: float) -> str:
    """A trend score in words of the street: how many times as many signals as usual."""
    return f"{2**score:.1f}×"


def span(interval: TrendInterval) -> str:
    """An interval of a score, likewise: `1.2–3.4×`."""
    return f"{2**interval.low:.1f}–{times(interval.high)}"


def count(number: float) -> str:
    return f"{number:,.0f}"


def percent(share: float) -> str:
    return f"{share * 100:.0f}\u00a0%"


def on(day: date) -> str:
    """`1 November 2026`"""
    return f"{day.day} {day:%B %Y}"


def short(day: date) -> str:
    """`1 Nov`"""
    return f"{day.day} {day:%b}"


def at(moment: datetime) -> str:
    """`1 November 2026, 12:00 UTC`"""
    return f"{on(moment)}, {moment:%H:%M} UTC"


def age(span: timedelta) -> str:
    """A span in the largest unit that it fills: `3 hours`."""
    seconds = max(0.0, span.total_seconds())
    for unit, length in (("day", 86_400), ("hour", 3_600), ("minute", 60)):
        if seconds >= (2 * length if unit == "day" else length):
            number = int(seconds // length)
            return f"{number} {unit}{'' if number == 1 else 's'}"
    return "less than a minute"


def is_stale(latest: datetime, now: datetime) -> bool:
    """Whether what was read last is older than it should be."""
    return now - latest > STALE


def shortlist(genres: Sequence[PredictedGenre]) -> Sequence[PredictedGenre]:
    """What a model is sure enough of, three at most, or else its likeliest; most probable first."""
    return [genre for genre in genres if genre.passed][:3] or genres[:1]


def verdict(genres: Sequence[PredictedGenre]) -> str:
    """What a model says of a story, in two lines at most; the script says the same."""
    passed = [each.genre for each in genres if each.passed]
    if not passed:
        best = genres[0]
        nearest = f"{best.genre} comes nearest, at {percent(best.probability)}"
        return f"No genre is likely enough; {nearest}."
    more = len(passed) - _NAMED
    return ", ".join(passed[:_NAMED]) + (f" and {more} more" if more > 0 else "")


def by_genre(genres: Sequence[PredictedGenre]) -> Mapping[str, PredictedGenre]:
    return {each.genre: each for each in genres}


def a_day(metric: str) -> str:
    """What a series counts, as the caption of its picture."""
    name = {"pageviews": "page views"}.get(metric, metric)
    return f"{name.capitalize()} a day"


FILTERS: Mapping[str, Callable[..., Any]] = {
    "times": times,
    "span": span,
    "count": count,
    "percent": percent,
    "on": on,
    "short": short,
    "at": at,
    "age": age,
    "shortlist": shortlist,
    "verdict": verdict,
    "by_genre": by_genre,
}

CHIPS: Mapping[str, Callable[[Any], str]] = {
    "kind": lambda kind: "Films" if kind == "film" else "Shows",
    "genre": str,
    "min_probability": lambda share: f"the model is {percent(share)} sure at least",
    "language": lambda language: f"in {language}",
    "country": lambda country: f"from {country}",
    "year_from": lambda year: f"since {year}",
    "year_to": lambda year: f"until {year}",
    "age": lambda age: "new" if age == "new" else "from further back",
    "day": on,
    "verdict": lambda verdict: verdict if verdict == "steady" else f"surely {verdict}",
    "min_score": lambda score: f"at least {times(score)} its usual",
    "hide": lambda hidden: f"without {len(hidden)} hidden title{'' if len(hidden) == 1 else 's'}",
}

LEFT_OUT: Mapping[str, str] = {
    "kind": "The kind was left out: there are films and shows.",
    "genre": "The genre was left out: it can’t be read.",
    "min_probability": "The confidence was left out: it goes from 0 to 1, and is that of a genre, "
    "which has to be chosen too.",
    "language": "The language was left out: it can’t be read.",
    "country": "The country was left out: it can’t be read.",
    "year_from": "The first year was left out: a year has four digits.",
    "year_to": "The last year was left out: a year has four digits.",
    "age": "The age was left out: titles are new or old.",
    "verdict": "The movement was left out: titles are rising, steady or falling.",
    "day": "The day was left out: it looks like 2026-11-01.",
    "min_score": "The least score was left out: it is a number from -100 to 100.",
    "hide": "The hidden titles are shown: their ids can’t be read.",
}
