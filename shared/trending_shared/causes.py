"""Why a title rises: causes weighed against each other by what speaks for each. Pure.

The chances are Bayes' rule over five causes, each with a prior, a pattern that it makes among the
channels (what is counted, and who counts) and days on which it is to be expected:

    cause        prior   pattern                               days
    release      0.15    everything that is counted            14 before to 28 after it
    anniversary  0.10    everything                            around its day, round years rather
    reviews      0.20    reviews, and nothing else             any
    one-source   0.20    one channel that isn't reviews        any
    attention    0.35    everything                            any

A channel's score is normal around what the pattern expects of it, shrunk as the score is: around
RISE +- RISE, the same in all channels up to SPREAD of each, where it takes part; around 0 where it
doesn't, and what falls there isn't held against the cause. A cause that can't be told from another
with what is known isn't in the comparison: one source of one, attention where nothing but reviews
is counted, reviews where none are.

How probable a day is under a cause is divided by how probable it is for any title: of those
that are known, one in 50 was released within six weeks, and 15 of 365 have an anniversary within a
week. Of a title whose day isn't known but its year is, the year counts for less. The likeliest
cause is told if it has `LEAST_CHANCE`; otherwise the cause is unknown, and that is an answer.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date, timedelta

from trending_shared.events import CauseKind, Standing, TrendCause

LEAST_CHANCE = 0.6
PRIORS: Mapping[CauseKind, float] = {
    "release": 0.15,
    "anniversary": 0.10,
    "reviews": 0.20,
    "one-source": 0.20,
    "attention": 0.35,
}
REVIEWS = "reviews"
RISE, SPREAD, STILL = 1.0, 0.4, 0.2  # log2
BEFORE, AFTER = 14, 28  # days around a release
AROUND = 7  # days between an anniversary and what it led to; it is felt for another week
YOUNG = timedelta(days=28)  # since it was counted first
NEW = timedelta(days=90)  # since its release

_HITS, _MISSES = 0.95, 0.05  # of titles that a date moved, within its days and outside of them
_RELEASED_LATELY = 0.02  # of all titles whose day is known
_RELEASED_THIS_YEAR = 0.1
_ROUND, _ROUND_MOVED = 0.2, 0.5  # every fifth year is; half of the anniversaries that are kept are


@dataclass(frozen=True, slots=True)
class Facts:
    """What is known of a title besides its counts."""

    released: date | None = None
    year: int | None = None


@dataclass(frozen=True, slots=True)
class Witness:
    """What a channel says: its score, in log2, that score's variance, and how well it is known."""

    metric: str
    source: str | None
    score: float
    variance: float
    known: float


def name_cause(witnesses: Sequence[Witness], facts: Facts, day: date) -> TrendCause:
    """The likeliest cause of a rise.

    Args:
        witnesses: one of each channel of the title.
        day: as of which it rises.
    """
    reviews = [one for one in witnesses if one.metric == REVIEWS]
    others = [one for one in witnesses if one.metric != REVIEWS]
    everything = _everything(reviews, others)
    patterns: dict[CauseKind, float] = {}
    patterns["release"] = everything + _log(_odds_of_release(facts, day))
    patterns["anniversary"] = everything + _log(_odds_of_anniversary(facts, day))
    if reviews:
        patterns["reviews"] = _alone(reviews, others)
    if others:
        patterns["attention"] = everything
    if len(witnesses) > 1 and others:
        alone = [_alone([one], [each for each in witnesses if each is not one]) for one in others]
        patterns["one-source"] = _log_mean(alone)
    weights = {cause: _log(PRIORS[cause]) + patterns[cause] for cause in patterns}
    largest = max(weights.values())
    odds = {cause: math.exp(weight - largest) for cause, weight in weights.items()}
    total = sum(odds.values())
    chances = {cause: weight / total for cause, weight in odds.items()}
    kind = max(chances, key=lambda cause: chances[cause])
    if chances[kind] < LEAST_CHANCE:
        kind = "unknown"
    return TrendCause(
        kind=kind,
        probability=max(chances.values()),
        chances={cause: round(chance, 4) for cause, chance in chances.items()},
        evidence=_evidence(kind, witnesses, facts, day),
    )


def source_wide(channel: str, factor: float) -> TrendCause:
    """What would look like a rise is one of all that is counted in a channel."""
    return TrendCause(kind="source-wide", evidence={"channel": channel, "factor": round(factor, 3)})


def standing_of(facts: Facts, day: date, first: date | None) -> Standing:
    """Whether a title is new; without a date of release, by the first day that it was counted."""
    if facts.released:
        new = day - NEW < facts.released
    elif facts.year is not None:
        new = facts.year >= day.year
    else:
        new = first is not None and first > day - YOUNG
    return "new" if new else "catalogue"


def nearest_anniversary(released: date, day: date) -> tuple[int, int]:
    """The years since a release on its nearest anniversary, and how many days ago that was.

    Negative days lie ahead. The 29th of February is kept on the 1st of March in other years.
    """
    found = []
    for year in (day.year - 1, day.year, day.year + 1):
        try:
            on = released.replace(year=year)
        except ValueError:
            on = date(year, 3, 1)
        found.append((abs((day - on).days), year - released.year, (day - on).days))
    _, years, ago = min(found)
    return years, ago


# ---------------------------------------------------------------- patterns


def _everything(reviews: Sequence[Witness], others: Sequence[Witness]) -> float:
    """The log likelihood of a rise that all channels share; reviews may follow or not."""
    if not others:
        return _share(reviews)
    return _share(others) + sum(
        _normal(one.score, one.known * RISE / 2, one.variance + RISE**2) for one in reviews
    )


def _share(witnesses: Sequence[Witness]) -> float:
    """Scores k_i mu + noise with one mu for all: Sherman and Morrison's inverse."""
    own = [one.variance + (SPREAD * one.known) ** 2 for one in witnesses]
    off = [one.score - one.known * RISE for one in witnesses]
    slopes = [one.known * RISE for one in witnesses]
    inner = 1 + sum(k * k / v for k, v in zip(slopes, own, strict=True))
    cross = sum(k * x / v for k, x, v in zip(slopes, off, own, strict=True))
    squares = sum(x * x / v for x, v in zip(off, own, strict=True)) - cross**2 / inner
    return -0.5 * (squares + math.log(inner) + sum(math.log(2 * math.pi * v) for v in own))


def _alone(risen: Sequence[Witness], still: Sequence[Witness]) -> float:
    return _share(risen) + sum(
        _normal(max(one.score, 0.0), 0.0, one.variance + (STILL * one.known) ** 2) for one in still
    )


def _normal(value: float, mean: float, variance: float) -> float:
    return -0.5 * ((value - mean) ** 2 / variance + math.log(2 * math.pi * variance))


def _log(value: float) -> float:
    return math.log(max(value, 1e-12))


def _log_mean(logs: Sequence[float]) -> float:
    largest = max(logs)
    return largest + math.log(sum(math.exp(each - largest) for each in logs) / len(logs))


# ---------------------------------------------------------------- days


def _odds_of_release(facts: Facts, day: date) -> float:
    """How much more probable what is known of the release is if that moved the title."""
    if facts.released:
        near = -BEFORE <= (day - facts.released).days <= AFTER
        return _HITS / _RELEASED_LATELY if near else _MISSES / (1 - _RELEASED_LATELY)
    if facts.year is not None:
        near = facts.year == day.year
        return _HITS / _RELEASED_THIS_YEAR if near else _MISSES / (1 - _RELEASED_THIS_YEAR)
    return 1.0


def _odds_of_anniversary(facts: Facts, day: date) -> float:
    if facts.released:
        years, ago = nearest_anniversary(facts.released, day)
        if years < 1:
            return _MISSES
        near = _is_near(ago)
        usual = (2 * AROUND + 8) / 365
        odds = _HITS / usual if near else _MISSES / (1 - usual)
    elif facts.year is not None:
        years = day.year - facts.year
        if years < 1:
            return _MISSES
        odds = 1.0
    else:
        return 1.0
    is_round = years % 5 == 0
    return odds * (_ROUND_MOVED / _ROUND if is_round else (1 - _ROUND_MOVED) / (1 - _ROUND))


def _is_near(ago: int) -> bool:
    return -AROUND <= ago <= AROUND + 7


def _evidence(
    kind: CauseKind, witnesses: Sequence[Witness], facts: Facts, day: date
) -> dict[str, float | int | str]:
    found: dict[str, float | int | str] = {}
    if kind == "release" and facts.released:
        found |= {
            "released": facts.released.isoformat(),
            "days_since": (day - facts.released).days,
        }
    elif kind == "release" and facts.year is not None:
        found["year"] = facts.year
    elif kind == "anniversary" and facts.released:
        years, ago = nearest_anniversary(facts.released, day)
        found |= {"released": facts.released.isoformat(), "years": years, "days_since": ago}
    elif kind == "anniversary" and facts.year is not None:
        found["years"] = day.year - facts.year
    if kind in ("one-source", "reviews"):
        most = max(witnesses, key=lambda one: one.score)
        found |= {"metric": most.metric, "score": round(most.score, 3)}
        found["still"] = ", ".join(
            sorted({one.metric for one in witnesses if one is not most and one.score < most.score})
        )
    return found
