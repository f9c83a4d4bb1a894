"""Would trends have been right? `python -m trending_shared.surges`.

Simulates titles of which it is known whether and why they rise, and measures them as the featurizer
does. Their counts don't come from the model that trends are measured with: a day's rate varies by
log-normal noise that lasts for days (an autoregression), weeks have shapes of their own, levels
drift, and pages are missed. Nothing is read or written; a seed gives the same titles everywhere.
"""

import argparse
import json
import math
import sys
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from datetime import date, timedelta
from functools import lru_cache
from statistics import NormalDist

import numpy as np

from trending_shared.causes import Facts
from trending_shared.events import Trend
from trending_shared.trends import (
    OLDEST,
    Channel,
    Counts,
    Floats,
    Series,
    Tides,
    cut_board,
    measure_tides,
    measure_trends,
)

AS_OF = date(2026, 11, 2)
STRENGTHS = (1.5, 2.0, 3.0, 5.0, 10.0)
_DAYS = OLDEST.days
_AT_ONCE = 1000  # titles
_OTHERS, _RISEN = 400, 40  # of a catalogue's sample: titles that nothing happens to, and others
_WEEKEND = (0.9, 0.85, 0.9, 0.95, 1.05, 1.2, 1.15)

Random = np.random.Generator


@dataclass(frozen=True, slots=True)
class Rate:
    """A series of which nothing happens by itself: signals a day, and how they vary."""

    usual: float
    noise: float = 0.0
    """Standard deviation of the log of a day's rate."""
    lasting: float = 0.0
    """Correlation of that noise with the day's before."""
    alpha: float = 0.0
    """Of the negative binomial: variance is rate + alpha rate^2."""
    week: Sequence[float] = (1.0,) * 7
    drift: float = 0.0
    """Growth of the log of the rate a day."""
    missed: float = 0.0
    """Share of days that are unknown."""
    bursts: int = 0
    """Days of the past with 5 to 50 times as much."""
    clump: int = 1
    """Signals that come at once."""
    days: int = _DAYS
    """How long it has been counted."""


def draw(rate: Rate, random: Random, lift: Floats | None = None) -> dict[date, int]:
    """Counts by day of the last `rate.days` whole days before `AS_OF`.

    Args:
        lift: factors by age, the last whole day first; 1 for all others.
    """
    ages = np.arange(rate.days)
    weekdays = np.array([(AS_OF - timedelta(days=int(age) + 1)).weekday() for age in ages])
    rates = rate.usual * np.asarray(rate.week)[weekdays] * np.exp(-rate.drift * ages)
    if rate.noise:
        rates = rates * np.exp(_lasting_noise(rate, random))
    if rate.alpha:
        rates = rates * random.gamma(1 / rate.alpha, rate.alpha, rate.days)
    if rate.bursts:
        hit = random.integers(8, rate.days, rate.bursts)
        rates[hit] *= random.uniform(5, 50, rate.bursts)
    if lift is not None:
        rates[: len(lift)] *= lift[: rate.days]
    counted = random.poisson(rates / rate.clump) * rate.clump
    seen = random.random(rate.days) >= rate.missed
    return {AS_OF - timedelta(days=int(age) + 1): int(counted[age]) for age in ages if seen[age]}


def _lasting_noise(rate: Rate, random: Random) -> Floats:
    fresh = random.normal(0.0, rate.noise, rate.days)
    noise = np.empty(rate.days)
    noise[0] = fresh[0]
    for age in range(1, rate.days):
        kept = rate.lasting * noise[age - 1]
        noise[age] = kept + math.sqrt(1 - rate.lasting**2) * fresh[age]
    return noise - rate.noise**2 / 2


def _between(random: Random, least: float, most: float) -> float:
    """Log-uniform."""
    return float(math.exp(random.uniform(math.log(least), math.log(most))))


# ---------------------------------------------------------------- flat series

RATES: Mapping[str, Callable[[Random], Rate]] = {
    "poisson": lambda random: Rate(_between(random, 2, 5000), week=_WEEKEND),
    "overdispersed": lambda random: Rate(
        _between(random, 2, 5000), alpha=_between(random, 0.02, 0.5), week=_WEEKEND
    ),
    "restless for days": lambda random: Rate(
        _between(random, 5, 5000), noise=random.uniform(0.05, 0.35), lasting=0.7, week=_WEEKEND
    ),
    "of the weekend": lambda random: Rate(
        _between(random, 2, 5000), noise=0.1, week=(1.0,) * 5 + (random.uniform(2, 8),) * 2
    ),
    "tiny counts": lambda random: Rate(_between(random, 0.05, 2)),
    "tiny, in clumps": lambda random: Rate(
        _between(random, 0.1, 4), clump=int(random.integers(2, 6))
    ),
    "drifting": lambda random: Rate(
        _between(random, 5, 5000), noise=0.1, drift=random.uniform(-0.015, 0.015), week=_WEEKEND
    ),
    "with gaps": lambda random: Rate(
        _between(random, 2, 5000), noise=0.15, lasting=0.3, missed=0.35, week=_WEEKEND
    ),
    "past outliers": lambda random: Rate(
        _between(random, 2, 5000), noise=0.1, bursts=int(random.integers(1, 4)), week=_WEEKEND
    ),
    "a short past": lambda random: Rate(
        _between(random, 2, 5000), noise=0.15, days=int(random.integers(14, 29)), week=_WEEKEND
    ),
}
SEVERAL = "several sources"
FLAT = (*RATES, SEVERAL)


@dataclass(frozen=True, slots=True)
class FlatResult:
    """Title-days of one kind on which nothing happened."""

    kind: str
    titles: int
    measured: int
    """Those of which enough is known."""
    rising: int
    share: float
    """Of the measured ones that are called rising, with its 95 % interval (Wilson 1927)."""
    low: float
    high: float
    falling: int
    covered: float
    """Share of intervals that hold 0."""


def play_flat(kind: str, titles: int, seed: int) -> FlatResult:
    """Measure titles of one kind."""
    random = np.random.default_rng([seed, FLAT.index(kind)])
    trends = [
        trend
        for batch in _batches(titles)
        for trend in _measured({str(n): _flat(kind, random) for n in batch})
        if trend
    ]
    verdicts = Counter(trend.verdict for trend in trends)
    low, high = wilson(verdicts["rising"], len(trends))
    return FlatResult(
        kind=kind,
        titles=titles,
        measured=len(trends),
        rising=verdicts["rising"],
        share=_share(verdicts["rising"], len(trends)),
        low=low,
        high=high,
        falling=verdicts["falling"],
        covered=_share(sum(_holds(trend, 0.0) for trend in trends), len(trends)),
    )


def _flat(kind: str, random: Random, lift: Floats | None = None) -> Series:
    if kind == SEVERAL:
        return _title(random, {} if lift is None else {"*": lift}, _old_day(random)).series
    return {"pageviews of it": draw(RATES[kind](random), random, lift)}


# ---------------------------------------------------------------- surges


@dataclass(frozen=True, slots=True)
class Title:
    """A title that something is known of."""

    series: Series
    facts: Facts


def _usual_rates(random: Random) -> dict[str, Rate]:
    """What four sources count of a title, at least two of them readers or watchers."""
    noise = random.uniform(0.05, 0.25)
    views = Rate(_between(random, 50, 5000), noise=noise, lasting=0.5, week=_WEEKEND)
    rates = {
        "pageviews of s_1": views,
        "popularity of t_1 at demo": replace(views, usual=_between(random, 30, 2000)),
    }
    if random.random() < 0.5:
        rates["watchers of s_2"] = replace(views, usual=_between(random, 20, 500))
    if random.random() < 0.8:
        rates["reviews of t_1 at demo"] = Rate(_between(random, 4, 40), alpha=0.1)
    return rates


def _lift(strength: float, random: Random) -> Floats:
    """A rise that began two to six days ago, and fades a little by now."""
    began = int(random.integers(2, 7))
    ages = np.arange(_DAYS)
    return np.where(ages < began, 1 + (strength - 1) * np.exp((ages - began) / 14), 1.0)


def _old_day(random: Random) -> date:
    """A release of a year and more ago, with no anniversary near."""
    while True:
        day = AS_OF - timedelta(days=int(random.integers(400, 15_000)))
        ahead = (AS_OF.replace(year=day.year) - day).days if (day.month, day.day) != (2, 29) else 99
        if min(abs(ahead), 365 - abs(ahead)) > 25:
            return day


def _title(random: Random, lifted: Mapping[str, Floats], released: date) -> Title:
    """A title whose channels rise by metric; `*` is for all others."""
    series: dict[str, Counts] = {}
    for name, rate in _usual_rates(random).items():
        metric = Channel.of(name).metric
        series[name] = draw(rate, random, lifted.get(metric, lifted.get("*")))
    return Title(series, Facts(released, released.year))


def _release(strength: float, random: Random) -> Title:
    released = AS_OF - timedelta(days=int(random.integers(-2, 9)))
    return _title(random, {"*": _lift(strength, random)}, released)


def _anniversary(strength: float, random: Random) -> Title:
    years = int(
        random.choice([5, 10, 20, 25, 30, 40, 50])
        if random.random() < 0.5
        else random.integers(1, 60)
    )
    on = AS_OF - timedelta(days=int(random.integers(-2, 7)))
    lift = _lift(strength, random)
    half = 1 + (lift - 1) / 2
    return _title(random, {"*": lift, "reviews": half}, on.replace(year=on.year - years))


def _reviews(strength: float, random: Random) -> Title:
    while True:
        title = _title(random, {"reviews": _lift(strength, random)}, _old_day(random))
        if any(name.startswith("reviews") for name in title.series):
            return title


def _one_source(strength: float, random: Random) -> Title:
    metric = str(random.choice(["pageviews", "popularity"]))
    return _title(random, {metric: _lift(strength, random)}, _old_day(random))


def _attention(strength: float, random: Random) -> Title:
    lift = _lift(strength, random)
    share = float(random.uniform(0, 1))
    return _title(random, {"*": lift, "reviews": 1 + share * (lift - 1)}, _old_day(random))


def _new(strength: float, random: Random) -> Title:
    days = int(random.integers(2, 13))
    rates = {name: replace(rate, days=days) for name, rate in _usual_rates(random).items()}
    series = {name: draw(rate, random, _lift(strength, random)) for name, rate in rates.items()}
    return Title(series, Facts(AS_OF - timedelta(days=days), AS_OF.year))


def _nothing(strength: float, random: Random) -> Title:
    return _title(random, {}, _old_day(random))


PLANTED: Mapping[str, Callable[[float, Random], Title]] = {
    "release": _release,
    "anniversary": _anniversary,
    "reviews": _reviews,
    "one-source": _one_source,
    "attention": _attention,
    "source-wide": _nothing,  # in a catalogue all of whose page views rise
    "new": _new,
}
"""What is planted, and so what should be named: `new` is an answer of those that lack a past."""


@dataclass(frozen=True, slots=True)
class SurgeResult:
    """Titles in which one cause was planted, at one strength."""

    planted: str
    strength: float
    titles: int
    rising: int
    named: dict[str, int]
    """How many were told to have which cause; without one, how many had which verdict."""
    right: float
    """Share of all titles whose cause was named right."""
    right_of_rising: float
    """Likewise of those that are called rising; none for causes that are no rise."""
    largest_gap: float
    """The largest difference of a score and the sum of its parts."""


def play_surges(
    planted: str, strength: float, titles: int, seed: int, *, dated: bool = True
) -> SurgeResult:
    """Measure titles in which a cause was planted.

    Args:
        strength: how many times its usual a title, or a channel of it, has at first.
        dated: whether the day of release is known, or the year alone.
    """
    known = list(PLANTED).index(planted)
    random = np.random.default_rng([seed, 1000 + known, int(10 * strength)])
    swell = _swell(strength, random) if planted == "source-wide" else _as_it_is
    others = [swell(title).series for title in _others(seed)]
    made = [swell(PLANTED[planted](strength, random)) for _ in range(titles)]
    if not dated:
        made = [replace(title, facts=Facts(year=title.facts.year)) for title in made]
    tides = measure_tides([*others, *(title.series for title in made[:_RISEN])], AS_OF, {})
    named: Counter[str] = Counter()
    rising = 0
    gap = 0.0
    for batch in _batches(titles):
        series = {str(n): made[n].series for n in batch}
        facts = {str(n): made[n].facts for n in batch}
        for trend in _measured(series, facts, tides):
            named[_told(trend)] += 1
            if trend:
                rising += trend.verdict == "rising"
                gap = max(gap, abs(trend.score - sum(part.score for part in trend.parts)))
    right = named[planted]
    return SurgeResult(
        planted=planted,
        strength=strength,
        titles=titles,
        rising=rising,
        named=dict(named.most_common()),
        right=_share(right, titles),
        right_of_rising=_share(right, rising) if planted not in ("source-wide", "new") else 0.0,
        largest_gap=gap,
    )


@lru_cache(maxsize=1)  # most of what a report takes
def _others(seed: int) -> tuple[Title, ...]:
    random = np.random.default_rng([seed, 4000])
    return tuple(_nothing(1.0, random) for _ in range(_OTHERS))


def _as_it_is(title: Title) -> Title:
    return title


def _swell(strength: float, random: Random) -> Callable[[Title], Title]:
    """All page views of a catalogue rose some days ago."""
    since = AS_OF - timedelta(days=int(random.integers(2, 7)))

    def swell(title: Title) -> Title:
        name = next(name for name in title.series if name.startswith("pageviews"))
        counts = {
            day: round(count * strength) if day >= since else count
            for day, count in title.series[name].items()
        }
        return replace(title, series={**title.series, name: counts})

    return swell


def _told(trend: Trend | None) -> str:
    if trend is None:
        return "new"
    if trend.cause is not None:
        return trend.cause.kind
    return trend.verdict or "steady"


# ---------------------------------------------------------------- the interval


@dataclass(frozen=True, slots=True)
class CoverageResult:
    """Titles that rose or fell by a factor: how often that is in the interval."""

    strength: float
    titles: int
    covered: float
    width: float
    """Mean width of the interval, in log2."""
    error: float
    """Mean of score less truth, in log2: shrinkage pulls it towards 0."""


def play_coverage(strength: float, titles: int, seed: int) -> CoverageResult:
    """Measure titles all of whose recent days have `strength` times the usual rate."""
    random = np.random.default_rng([seed, 2000, int(100 * strength)])
    lift = np.where(np.arange(_DAYS) < 7, strength, 1.0)
    kinds = ("poisson", "overdispersed", "restless for days", "with gaps", SEVERAL)
    trends = [
        trend
        for batch in _batches(titles)
        for trend in _measured({str(n): _flat(kinds[n % len(kinds)], random, lift) for n in batch})
        if trend
    ]
    truth = math.log2(strength)
    return CoverageResult(
        strength=strength,
        titles=len(trends),
        covered=_share(sum(_holds(trend, truth) for trend in trends), len(trends)),
        width=float(np.mean([(trend.high or 0) - (trend.low or 0) for trend in trends])),
        error=float(np.mean([trend.score - truth for trend in trends])),
    )


# ---------------------------------------------------------------- a whole board


@dataclass(frozen=True, slots=True)
class BoardResult:
    """A day's board: many titles of all flat kinds, and a few that rise."""

    titles: int
    planted: int
    rising: int
    wrong: int
    """Called rising, and nothing was planted."""
    found: int
    kept: int
    """Of the rising ones, those that pass `cut_board`."""
    kept_wrong: int
    kept_found: int
    level: float


def play_board(titles: int, seed: int, *, level: float = 0.05) -> BoardResult:
    """Of a board's titles one in a hundred rises three times."""
    random = np.random.default_rng([seed, 3000])
    lift = _lift(3.0, random)
    planted = {n for n in range(titles) if n % 100 == 0}
    trends: dict[int, Trend] = {}
    for batch in _batches(titles):
        series = {
            str(n): _flat(SEVERAL, random, lift)
            if n in planted
            else _flat(FLAT[n % len(FLAT)], random)
            for n in batch
        }
        for n, trend in zip(batch, _measured(series), strict=True):
            if trend:
                trends[n] = trend
    rising = {n for n, trend in trends.items() if trend.verdict == "rising"}
    chances = [trend.chance or 0.0 for trend in trends.values()]
    bar = cut_board(chances, level)
    kept = {n for n in rising if (trends[n].chance or 0.0) <= bar}
    return BoardResult(
        titles=titles,
        planted=len(planted),
        rising=len(rising),
        wrong=len(rising - planted),
        found=len(rising & planted),
        kept=len(kept),
        kept_wrong=len(kept - planted),
        kept_found=len(kept & planted),
        level=level,
    )


# ---------------------------------------------------------------- shares


def wilson(hits: int, of: int, level: float = 0.95) -> tuple[float, float]:
    """An interval of a share (Wilson 1927, "Probable inference"); all of it for none of none."""
    if not of:
        return 0.0, 1.0
    z = NormalDist().inv_cdf((1 + level) / 2)
    share = hits / of
    middle = (share + z * z / (2 * of)) / (1 + z * z / of)
    half = z / (1 + z * z / of) * math.sqrt(share * (1 - share) / of + z * z / (4 * of * of))
    return max(0.0, middle - half), min(1.0, middle + half)


def _share(hits: int, of: int) -> float:
    return hits / of if of else 0.0


def _holds(trend: Trend, truth: float) -> bool:
    return trend.low is not None and trend.high is not None and trend.low <= truth <= trend.high


def _batches(titles: int) -> Iterator[range]:
    for first in range(0, titles, _AT_ONCE):
        yield range(first, min(first + _AT_ONCE, titles))


def _measured(
    series: Mapping[str, Series],
    facts: Mapping[str, Facts] | None = None,
    tides: Tides | None = None,
) -> list[Trend | None]:
    """The trends of titles; none where there is too little."""
    found = measure_trends(series, AS_OF, facts=facts, tides=tides)
    return [trend if isinstance(trend, Trend) else None for trend in found.values()]


# ---------------------------------------------------------------- the command


@dataclass(frozen=True, slots=True)
class Report:
    """All that was played."""

    seed: int
    flat: list[FlatResult]
    surges: list[SurgeResult]
    undated: list[SurgeResult]
    """The same at three times the usual, where of all releases but the year is known."""
    coverage: list[CoverageResult]
    board: BoardResult


def play(titles: int, seed: int) -> Report:
    """Play everything.

    Args:
        titles: of each flat kind; a tenth of it of each cause and strength.
    """
    few = max(1, titles // 10)
    return Report(
        seed=seed,
        flat=[play_flat(kind, titles, seed) for kind in FLAT],
        surges=[
            play_surges(planted, strength, few, seed)
            for planted in PLANTED
            for strength in STRENGTHS
        ],
        undated=[play_surges(planted, 3.0, few, seed, dated=False) for planted in PLANTED],
        coverage=[play_coverage(strength, titles, seed) for strength in (0.5, 1.0, *STRENGTHS)],
        board=play_board(titles, seed),
    )


def as_table(report: Report) -> str:
    """What was played, a line each."""
    lines = ["flat series                 days   rising   (95 % interval)  falling  0 is inside"]
    lines += [
        f"  {one.kind:20}{one.measured:10,}{one.share:9.2%}  ({one.low:.2%} to {one.high:.2%})"
        f"{_share(one.falling, one.measured):9.2%}{one.covered:13.1%}"
        for one in report.flat
    ]
    for head, results in (("planted", report.surges), ("year only", report.undated)):
        lines += ["", f"{head:14}times  titles   rising    right  right of rising  named"]
        lines += [
            f"  {one.planted:12}{one.strength:5.1f}{one.titles:8,}"
            f"{_share(one.rising, one.titles):9.1%}{one.right:9.1%}"
            + (f"{one.right_of_rising:17.1%}" if one.right_of_rising else f"{'–':>17}")
            + f"  {', '.join(f'{name} {count}' for name, count in one.named.items())}"
            for one in results
        ]
    lines += ["", "interval      times  titles  holds the truth   width  score less truth"]
    lines += [
        f"  {'':12}{one.strength:5.1f}{one.titles:8,}{one.covered:17.1%}{one.width:8.2f}"
        f"{one.error:+18.3f}"
        for one in report.coverage
    ]
    board = report.board
    lines += [
        "",
        f"a board of {board.titles:,}, {board.planted} of which rise: {board.rising} are called "
        f"rising, {board.wrong} of them wrongly; {board.found} are found",
        f"cut at a false discovery rate of {board.level:.0%}: {board.kept}, {board.kept_wrong} of "
        f"them wrongly; {board.kept_found} are found",
    ]
    return "\n".join(lines)


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(
        prog="python -m trending_shared.surges",
        description="Simulate titles of which it is known whether and why they rise, and see what "
        "trends say of them.",
    )
    parser.add_argument(
        "--titles",
        type=int,
        default=5000,
        help="of each kind of flat series; a tenth of each cause and strength (default: 5000)",
    )
    parser.add_argument("--seed", type=int, default=1, help="of the simulation (default: 1)")
    parser.add_argument("--json", action="store_true", help="print one JSON document instead")
    options = parser.parse_args(arguments)
    if options.titles < 10 or options.seed < 0:
        parser.error("--titles must be 10 or more, and --seed not negative")
    report = play(options.titles, options.seed)
    if options.json:
        sys.stdout.write(f"{json.dumps(asdict(report))}\n")
    else:
        sys.stdout.write(f"{as_table(report)}\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
