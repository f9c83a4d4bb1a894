"""Whether a title rises: what was counted of late against what its own past lets expect.

Several series may be known of a title: its popularity (views or mentions that its own source
counts), its reviews by day, and what other sources count of it: readers of an article, watchers.
Their units differ, so each is compared with itself alone:

    age        whole days before the last complete day; the day `as_of` isn't over and never counts
    recent     ages 0 to 6, a day of age a weighs w = 2^(-a / 3): a half-life of three days
    past       ages 7 to 55: seven whole weeks, so that every weekday is in it equally often; what
               is beyond 4 times the median of its weekday, or the mean of the other days, and 10
               more, is cut off
    m          signals expected on a day: the mean of the past times a factor of the weekday, if
               each weekday was watched three times; (sum + PRIOR) / (expected sum + PRIOR)
    score      log2((R + PRIOR) / (E + PRIOR)), R = sum w n and E = sum w m over the recent days

The score is the log2 of a posterior mean: counts are Poisson with rate theta m, theta has a
Gamma(PRIOR, PRIOR) prior with mean 1, and a day's evidence is discounted by w. In rates a day it
reads log2((recent + k) / (expected + k)) with k = PRIOR / sum w, some 2.6 signals a day for a whole
week. PRIOR is how many expected signals the belief "nothing has changed" weighs: a title with two
reviews instead of none hardly moves, one with two hundred instead of a hundred moves by nearly 1.

Real counts vary more than Poisson's, and a popular title's would seem certain of everything. So
the interval is as wide as the series' own past was restless, in three respects:

    alpha      of days: Var n = m + alpha m^2 (negative binomial), by moments, shrunk to ALPHA
    f          of weeks: how many times the variance that days let expect the weekly sums have,
               shrunk to WEEKS; neighbouring days resemble each other
    drift      of the seven weeks' level: where a line through them would be by now

With k(x) = x / (x + PRIOR), how far data outweigh the prior, the natural log of theta varies by

    f / (R + PRIOR)  +  k(R)^2 f alpha sum (w m / E)^2  +  k(E)^2 (f Var(mean) / mean^2 + drift^2)

which is counting, restlessness of late, and what isn't known of the usual. The interval is that of
a log-gamma variable with the score's mean and this variance.

A title's score is the mean of its series' scores, each weighed by k of the larger of R and E: two
that are well known weigh alike, and one that has next to no signals can't halve what the other
says. So the parts k score / sum k add up to the score. Series count as independent.

    rising     the whole interval is above 0, and the score at least LEAST_EFFECT: a quarter more;
               or the score is above 0, and so it is with a channel (what is counted, and who
               counts) that by itself has half more at least, at LEVEL shared by all channels
    falling    the interval is below 0, and the score at most -LEAST_EFFECT
    steady     all else that is known well enough

What moves everything that a source counts is no title's rise: counts are first divided by the tide
of their channel on their day, see `measure_tides`. A day on which a channel had next to nothing of
anything wasn't counted, whatever it says.

Sources: DuMouchel 1999, "Bayesian data mining in large frequency tables" (observed over expected,
gamma-Poisson shrinkage, log2); West and Harrison 1997, "Bayesian Forecasting and Dynamic Models"
(discounting evidence by age); Hilbe 2011, "Negative Binomial Regression" (alpha by moments);
Wilson and Hilferty 1931, "The distribution of chi-square" (quantiles of gamma variables).
"""

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from statistics import NormalDist

import numpy as np
from numpy.typing import NDArray

from trending_shared.causes import Facts, Witness, name_cause, source_wide, standing_of
from trending_shared.events import Lack, Trend, TrendPart, Verdict

HALF_LIFE = 3.0  # days
RECENT_AGES = range(7)
PAST_AGES = range(7, 56)
OF_LATE = timedelta(days=RECENT_AGES.stop)  # before `as_of`
OLDEST = timedelta(days=PAST_AGES.stop)  # likewise; what is older doesn't count
PRIOR = 10.0  # signals
LEVEL = 0.99  # of the interval
LEAST_EFFECT, LEAST_OF_ONE = math.log2(1.25), math.log2(1.5)
LEAST_PAST = 7  # observed days; fewer say nothing of what is usual
LEAST_OF_A_WEEKDAY = 3  # observed days; a mean of fewer is noise
LEAST_SIGNALS = 5
LEAST_EVIDENCE = 0.5  # of the recent days' weight; a page fetched three days ago knows too little
MOST_A_DAY = 10**12  # a page may claim anything
KEPT = timedelta(days=90)  # counts and trends; what is older is forgotten

ALPHA, ALPHA_DAYS = 0.05, 10.0  # what days vary by until they have told, and how many days that is
WEEKS, WEEKS_WEIGHT = 2.0, 4.0  # likewise of weeks
_CUT, _CUT_SIGNALS = 4.0, 10.0
_LEAST_OF_A_WEEK = 4  # days
_LITTLE = 1e-9

LEAST_OF_A_TIDE = 30  # series
_LEAST_EXPECTED = 3.0  # signals a day; the ratio of smaller ones says little
_LEAST_TIDE = math.log2(1.1)
_SURELY = 4.0  # standard errors
_SILENT = 0.01  # a tide as low is none: the source was out of order

_NORMAL = NormalDist()
_ERRORS = _NORMAL.inv_cdf((1 + LEVEL) / 2)
_AGES = PAST_AGES.stop
_RECENT = len(RECENT_AGES)
_WEIGHTS = 2.0 ** (-np.arange(_RECENT) / HALF_LIFE)
_WEEKS = len(PAST_AGES) // 7
_MIDDLES = np.arange(_WEEKS) * 7.0 + PAST_AGES.start + 3  # ages
_NOW = float((_WEIGHTS * np.arange(_RECENT)).sum() / _WEIGHTS.sum())  # the age that "of late" has

Counts = Mapping[date, int]
"""Signals by day, for the days that were watched to their end; any other day is unknown."""
Series = Mapping[str, Counts]
"""All that was counted of a title, by what was counted of what: `pageviews of s_0123`.

Where several sources count the same, the name ends with which did: `reviews of t_0123 at tmdb`.
"""
Tides = Mapping[str, Mapping[date, float]]
"""By how much all that is counted in a channel rose on a day; what isn't there didn't."""
Floats = NDArray[np.float64]
Bools = NDArray[np.bool_]


@dataclass(frozen=True, slots=True)
class Channel:
    """What a series counts, and who counts it where several may."""

    metric: str
    source: str | None

    @classmethod
    def of(cls, name: str) -> "Channel":
        """Of the name of a series."""
        metric, _, subject = name.partition(" of ")
        return cls(metric, subject.partition(" at ")[2] or None)

    def __str__(self) -> str:
        return f"{self.metric} at {self.source}" if self.source else self.metric


@dataclass(frozen=True, slots=True)
class _Fit:
    """What a series says."""

    channel: Channel
    score: float
    variance: float
    """Of the natural logarithm of the true rate over the expected one."""
    known: float
    """How far its data outweigh the prior, 0 to 1: what it weighs in the title's score."""
    recent: float
    expected: float
    signals: float
    tide: float
    """The factor that its recent counts were divided by, in the weighted mean."""


@dataclass(frozen=True, slots=True)
class _Said:
    """What several series say together."""

    score: float
    shape: float
    """Of the log-gamma variable that the score is believed to be."""

    def end(self, errors: float) -> float:
        """So many standard errors away: an end of an interval."""
        return self.score + math.log2(_quantile(self.shape, errors))

    @property
    def chance(self) -> float:
        """Probability that it is 0 or less."""
        root = 2 ** (-self.score / 3)
        return _NORMAL.cdf(3 * math.sqrt(self.shape) * (root - 1 + 1 / (9 * self.shape)))


def measure_trend(
    series: Series, as_of: date, *, facts: Facts | None = None, tides: Tides | None = None
) -> Trend | None:
    """A title's trend on a day; none if no series is known well enough. See `measure_trends`."""
    found = measure_trends({"": series}, as_of, facts={"": facts or Facts()}, tides=tides)[""]
    return found if isinstance(found, Trend) else None


def measure_trends(
    series: Mapping[str, Series],
    as_of: date,
    *,
    facts: Mapping[str, Facts] | None = None,
    tides: Tides | None = None,
) -> dict[str, Trend | Lack]:
    """The trends of many titles on a day, or what each lacks.

    Args:
        series: of each title, by the names of its series.
        as_of: a day in UTC; the same series, facts, tides and day give the same trends.
        facts: what is known of the titles besides, for the causes.
        tides: what moved in whole channels.

    Returns:
        A title's rates and `signals` are sums over its series, freed of tides. What a title lacks
        is what its best known series does.
    """
    flat = [(title_id, name) for title_id in series for name in sorted(series[title_id])]
    fits = _fit_all(
        [name for _, name in flat],
        [series[title_id][name] for title_id, name in flat],
        as_of - timedelta(days=1),
        tides or {},
    )
    said: dict[str, list[_Fit | Lack]] = {title_id: [] for title_id in series}
    for (title_id, _), fit in zip(flat, fits, strict=True):
        said[title_id].append(fit)
    found: dict[str, Trend | Lack] = {}
    for title_id, its in said.items():
        known = [fit for fit in its if isinstance(fit, _Fit)]
        if known:
            first = min(min(counts) for counts in series[title_id].values() if counts)
            found[title_id] = _trend(known, as_of, (facts or {}).get(title_id, Facts()), first)
        else:
            found[title_id] = _lack([fit for fit in its if not isinstance(fit, _Fit)])
    return found


def _trend(fits: Sequence[_Fit], as_of: date, facts: Facts, first: date) -> Trend:
    whole, parts = _together(fits)
    channels: dict[Channel, list[int]] = {}
    for place, fit in enumerate(fits):
        channels.setdefault(fit.channel, []).append(place)
    alone = {channel: _together([fits[n] for n in mine])[0] for channel, mine in channels.items()}
    low, high = whole.end(-_ERRORS), whole.end(_ERRORS)
    verdict: Verdict = "steady"
    if low > 0 and whole.score >= LEAST_EFFECT:
        verdict = "rising"
    elif high < 0 and whole.score <= -LEAST_EFFECT:
        verdict = "falling"
    chance = whole.chance
    if len(alone) > 1:
        most = max(alone.values(), key=lambda said: said.score)
        if whole.score > 0 and most.score >= LEAST_OF_ONE:
            by_chance = len(alone) * most.chance
            chance = min(chance, by_chance)
            verdict = "rising" if by_chance < (1 - LEVEL) / 2 else verdict
    cause = None
    tide = max(fits, key=lambda fit: fit.tide)
    if verdict == "rising":
        cause = name_cause([_witness(alone[each], each, fits) for each in alone], facts, as_of)
    elif math.log2(tide.tide) >= LEAST_EFFECT:
        cause = source_wide(str(tide.channel), tide.tide)
    told = [
        TrendPart(
            metric=channel.metric,
            source=channel.source,
            score=sum(parts[n] for n in mine),
            recent=sum(fits[n].recent for n in mine),
            expected=sum(fits[n].expected for n in mine),
        )
        for channel, mine in channels.items()
    ]
    return Trend(
        day=as_of,
        score=whole.score,
        recent=sum(fit.recent for fit in fits),
        expected=sum(fit.expected for fit in fits),
        signals=int(sum(fit.signals for fit in fits)),
        low=low,
        high=high,
        chance=chance,
        verdict=verdict,
        standing=standing_of(facts, as_of, first),
        parts=tuple(sorted(told, key=lambda part: -abs(part.score))),
        cause=cause,
    )


def cut_board(chances: Sequence[float], level: float) -> float:
    """The largest chance to be kept of a board, if a share `level` of what is kept may be wrong.

    Args:
        chances: of all titles of a day, that nothing has risen.

    Returns:
        0 if none can be kept. Benjamini and Hochberg 1995, "Controlling the false discovery rate".
    """
    ordered = np.sort(np.asarray(chances, float))
    fits = np.flatnonzero(ordered <= level * np.arange(1, len(ordered) + 1) / len(ordered))
    return float(ordered[fits[-1]]) if len(fits) else 0.0


def measure_tides(
    series: Iterable[Series], as_of: date, tides: Tides
) -> dict[str, dict[date, float]]:
    """By how much whole channels rose or fell on each of the recent days.

    The median over many titles' series of counted over expected, if it differs from 1 by a tenth
    and by 4 of its standard errors (1.2533 standard deviations by the median absolute deviation,
    over the root of how many there are). One title's surge doesn't move it.

    Args:
        series: of a sample of titles; at least `LEAST_OF_A_TIDE` series of a channel that expect
            three signals a day are needed to say anything of it.
        tides: of the days before, which the past is freed of.

    Returns:
        Channels and days that differ; all others of the last seven whole days don't.
    """
    last = as_of - timedelta(days=1)
    before = {
        channel: {day: factor for day, factor in days.items() if day < as_of - OF_LATE}
        for channel, days in tides.items()
    }
    flat = [(name, counts) for each in series for name, counts in each.items()]
    factors = _factors([name for name, _ in flat], last, before)
    counts = _freed([counts for _, counts in flat], last, factors)
    usual = _usual(counts)
    m = np.where(usual.days[:, None] >= LEAST_PAST, usual.by_day, 0.0)
    telling = (m >= _LEAST_EXPECTED) & ~np.isnan(counts[:, :_RECENT])
    logs = np.log2(np.maximum(counts[:, :_RECENT], 0.1) / np.maximum(m, _LITTLE))
    channels: dict[str, list[int]] = {}
    for row, (name, _) in enumerate(flat):
        channels.setdefault(str(Channel.of(name)), []).append(row)
    found: dict[str, dict[date, float]] = {}
    for channel, rows in sorted(channels.items()):
        for age in RECENT_AGES:
            told = logs[rows, age][telling[rows, age]]
            if len(told) >= LEAST_OF_A_TIDE and (moved := _moved(told)):
                factor = max(round(2**moved, 3), 0.001)
                found.setdefault(channel, {})[last - timedelta(days=age)] = factor
    return found


def _moved(logs: Floats) -> float:
    """The median of some logarithms, or 0 if it can't be told from that."""
    middle = float(np.median(logs))
    spread = 1.4826 * float(np.median(np.abs(logs - middle)))
    error = 1.2533 * spread / math.sqrt(len(logs))
    return middle if abs(middle) > max(_LEAST_TIDE, _SURELY * error) else 0.0


# ---------------------------------------------------------------- series


def _freed(counts: Sequence[Counts], last: date, factors: Floats) -> Floats:
    """Counts by series and age, freed of tides; NaN where a day is unknown."""
    days = [last - timedelta(days=age) for age in range(_AGES)]
    rows = [[series.get(day, math.nan) for day in days] for series in counts]
    try:
        matrix = np.array(rows, float)
    except OverflowError:  # no float is as large as what a page may claim
        matrix = np.array([[min(count, MOST_A_DAY) for count in row] for row in rows], float)
    matrix = np.minimum(matrix.reshape(-1, _AGES), MOST_A_DAY)
    return np.where(factors > _SILENT, matrix / factors, np.nan)


def _factors(names: Sequence[str], last: date, tides: Tides) -> Floats:
    """The tides by series and age."""
    matrix = np.ones((len(names), _AGES))
    if tides:
        for row, name in zip(matrix, names, strict=True):
            for day, factor in tides.get(str(Channel.of(name)), {}).items():
                if 0 <= (age := (last - day).days) < _AGES:
                    row[age] = factor
    return matrix


@dataclass(frozen=True, slots=True)
class _Usual:
    """What the past lets expect."""

    by_day: Floats
    """Of the recent days, by age: shape (series, 7)."""
    past: Floats
    """The past by week and day of the week, newest first, cut: shape (series, 7, 7)."""
    days: Floats
    """How many of its days are known."""
    weekly: Bools
    """Whether weekdays are told apart."""


def _usual(counts: Floats) -> _Usual:
    # A week of ages has its weekdays in the same places as the recent days.
    past = counts[:, _RECENT:].reshape(-1, _WEEKS, 7)
    known = ~np.isnan(past)
    days = known.sum((1, 2)).astype(float)
    counted = np.where(known, past, 0.0)
    others = np.maximum(days - 1, 1)[:, None, None]
    rest = (counted.sum((1, 2), keepdims=True) - counted) / others
    of_weekday = known.sum(1)
    ordered = np.sort(past, axis=1)  # NaN come last
    middle = np.take_along_axis(ordered, np.maximum(of_weekday - 1, 0)[:, None, :] // 2, axis=1)
    limit = _CUT * np.fmax(middle, rest) + _CUT_SIGNALS
    past = np.minimum(past, limit)  # NaN stay
    counted = np.where(known, past, 0.0)
    mean = counted.sum((1, 2)) / np.maximum(days, 1)
    weekly = of_weekday.min(1) >= LEAST_OF_A_WEEKDAY
    factor = (counted.sum(1) + PRIOR) / (mean[:, None] * of_weekday + PRIOR)
    by_day = mean[:, None] * np.where(weekly[:, None], factor, 1.0)
    return _Usual(by_day, past, days, weekly)


def _fit_all(
    names: Sequence[str], counts: Sequence[Counts], last: date, tides: Tides
) -> list[_Fit | Lack]:
    """What each series says, or lacks; see the module's docstring."""
    factors = _factors(names, last, tides)
    freed = _freed(counts, last, factors)
    late = freed[:, :_RECENT]
    seen = ~np.isnan(late)
    weights = np.where(seen, _WEIGHTS, 0.0)
    weight = np.maximum(weights.sum(1), _LITTLE)
    usual = _usual(freed)
    counted = np.where(seen, late, 0.0)
    observed, expected = (weights * counted).sum(1), (weights * usual.by_day).sum(1)
    signals = counted.sum(1) + np.nansum(freed[:, _RECENT:], axis=1)
    most = np.maximum(observed, expected)
    values = np.column_stack(
        [
            np.log2((observed + PRIOR) / (expected + PRIOR)),
            _variance(usual, weights, observed, expected),
            most / (most + PRIOR),
            observed / weight,
            expected / weight,
            signals,
            (weights * factors[:, :_RECENT]).sum(1) / weight,
        ]
    ).tolist()
    lacks = _lacks(seen, weights.sum(1), usual.days, signals)
    return [
        lack or _Fit(Channel.of(name), *row)
        for lack, name, row in zip(lacks, names, values, strict=True)
    ]


def _variance(usual: _Usual, weights: Floats, observed: Floats, expected: Floats) -> Floats:
    """Of the natural log of the true rate over the expected one; see the module's docstring."""
    past, m = usual.past, np.maximum(usual.by_day, _LITTLE)
    known = ~np.isnan(past)
    counted = np.where(known, past, 0.0)
    lines = np.where(known, m[:, None, :], 0.0)
    days = np.maximum(usual.days, 1.0)
    mean = np.maximum(lines.sum((1, 2)) / days, _LITTLE)
    # Days: negative binomial, by moments.
    lost = np.where(usual.weekly, 7.0, 1.0)  # degrees of freedom that the usual has taken
    squares = ((counted - lines) ** 2).sum((1, 2)) * days / np.maximum(days - lost, 1.0)
    by_moments = np.maximum(squares - lines.sum((1, 2)), 0.0) / np.maximum(
        (lines**2).sum((1, 2)), _LITTLE
    )
    telling = days * (mean / (1 + mean)) ** 2
    alpha = (ALPHA_DAYS * ALPHA + telling * by_moments) / (ALPHA_DAYS + telling)
    # Weeks, of which at least four days are known.
    told = known.sum(2) >= _LEAST_OF_A_WEEK
    weeks = told.sum(1)
    sums = np.maximum(lines.sum(2), _LITTLE)
    ratio = np.where(told, counted.sum(2) / sums, 0.0)
    scatter = (lines.sum(2) + alpha[:, None] * (lines**2).sum(2)) / sums**2
    scatter = np.where(told, scatter, 1.0)
    level = ratio.sum(1) / np.maximum(weeks, 1)
    # A chi-square variable of weeks - 1 degrees of freedom, if weeks are but sums of days.
    squares = np.where(told, (ratio - level[:, None]) ** 2 / scatter, 0.0).sum(1)
    factor = (WEEKS_WEIGHT * WEEKS + squares) / (WEEKS_WEIGHT + np.maximum(weeks - 1, 0))
    factor = np.maximum(factor, 1.0)
    # The line through the weeks.
    middle = (told * _MIDDLES).sum(1) / np.maximum(weeks, 1)
    away = np.where(told, _MIDDLES - middle[:, None], 0.0)
    leverage = np.maximum((away**2).sum(1), 1.0)
    slope = (away * ratio).sum(1) / leverage
    noise = (away**2 * scatter).sum(1) / leverage**2
    drift = np.maximum(slope**2 - noise, 0.0) * (middle - _NOW) ** 2
    share = weights * m / np.maximum((weights * m).sum(1, keepdims=True), _LITTLE)
    of_days = alpha * (share**2).sum(1)
    of_usual = (1 / mean + alpha) / days
    late, usually = observed / (observed + PRIOR), expected / (expected + PRIOR)
    variance: Floats = (
        factor / (observed + PRIOR)
        + late**2 * factor * of_days
        + usually**2 * (factor * of_usual + drift)
    )
    return variance


def _lacks(seen: Bools, weight: Floats, past: Floats, signals: Floats) -> list[Lack | None]:
    nothing = (past == 0) & ~seen.any(1)
    unwatched = weight < LEAST_EVIDENCE * _WEIGHTS.sum()
    found: list[Lack | None] = [None] * len(weight)
    rules: Sequence[tuple[Lack, Bools]] = (
        ("too-few-signals", signals < LEAST_SIGNALS),
        ("too-few-days", past < LEAST_PAST),
        ("not-watched-of-late", unwatched),
        ("nothing-counted", nothing),
    )
    for lack, applies in rules:  # the last one that applies is told
        for row in np.flatnonzero(applies):
            found[row] = lack
    return found


_FROM_WORST: Sequence[Lack] = (
    "nothing-counted",
    "not-watched-of-late",
    "too-few-days",
    "too-few-signals",
)


def _lack(lacks: Sequence[Lack | None]) -> Lack:
    return max((lack for lack in lacks if lack), key=_FROM_WORST.index, default="nothing-counted")


# ---------------------------------------------------------------- titles


def _together(fits: Sequence[_Fit]) -> tuple[_Said, list[float]]:
    """What some series say, and what each of them adds to its score."""
    total = sum(fit.known for fit in fits)
    parts = [fit.known * fit.score / total for fit in fits]
    variance = sum(fit.known**2 * fit.variance for fit in fits) / total**2
    # The log of a gamma variable with shape a varies by about 1 / (a - 1/2).
    return _Said(sum(parts), 1 / variance + 0.5), parts


def _quantile(shape: float, errors: float) -> float:
    """Of a gamma variable with this shape and mean 1, by Wilson and Hilferty."""
    root = 1 - 1 / (9 * shape) + errors / (3 * math.sqrt(shape))
    return max(root, 0.1) ** 3


def _witness(said: _Said, channel: Channel, fits: Sequence[_Fit]) -> Witness:
    return Witness(
        metric=channel.metric,
        source=channel.source,
        score=said.score,
        variance=1 / (said.shape - 0.5) / math.log(2) ** 2,
        known=max(fit.known for fit in fits if fit.channel == channel),
    )
