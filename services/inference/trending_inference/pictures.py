"""The small drawings of the pages: what is to be drawn, as numbers from 0 to 100. Pure."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from typing import Literal

from trending_inference.operations import DriftWindow
from trending_inference.schemas import TrendDay

NOTABLE, SHIFTED = 0.1, 0.25  # of a population stability index, by convention

Counts = Sequence[tuple[date, float]]


@dataclass(frozen=True, slots=True)
class Chart:
    """Counts by day as a line; y grows downwards."""

    label: str
    line: str
    """Points of an SVG polyline; days that nobody counted are passed over."""
    usual: float | None
    """The y of what is expected on a day, if that is counted alike."""
    peak: float
    peak_x: float
    peak_y: float
    peak_day: date
    anchor: Literal["start", "middle", "end"]
    """How a word at the peak is to be set, so that it stays inside."""
    first: date
    last: date


def chart(label: str, counts: Counts, *, usual: float | None = None) -> Chart | None:
    """What was counted by day, oldest first; none if it makes no line."""
    if len(counts) < 2:
        return None
    first, last = counts[0][0], counts[-1][0]
    peak_day, peak = max(counts, key=lambda counted: counted[1])
    top = max(peak, usual or 0, 1)

    def x(day: date) -> float:
        return round(100 * (day - first).days / (last - first).days, 1)

    def y(count: float) -> float:
        return round(100 - 100 * count / top, 1)

    at = x(peak_day)
    return Chart(
        label=label,
        line=" ".join(f"{x(day)},{y(count)}" for day, count in counts),
        usual=y(usual) if usual is not None else None,
        peak=peak,
        peak_x=at,
        peak_y=y(peak),
        peak_day=peak_day,
        anchor="start" if at < 20 else "end" if at > 80 else "middle",
        first=first,
        last=last,
    )


@dataclass(frozen=True, slots=True)
class ScoreChart:
    """A title's score by day with its interval; y grows downwards."""

    lines: tuple[str, ...]
    """Points of an SVG polyline for each run of days; where there wasn't enough data is a gap."""
    bands: tuple[str, ...]
    """Points of SVG polygons between the interval's ends, likewise."""
    usual: float
    """The y of a score of 0."""
    rising: tuple[tuple[float, float], ...]
    """Where the days lie on which it was called rising."""
    first: TrendDay
    last: TrendDay
    highest: TrendDay


def score_chart(days: Sequence[TrendDay]) -> ScoreChart | None:
    """How a title moved, oldest first; none if that is no more than a day.

    The scale holds 0 and all scores, and of the intervals what isn't far from these.
    """
    if len(days) < 2:
        return None
    first, last = days[0].day, days[-1].day
    scores = [day.score for day in days]
    top, bottom = max(1.0, *scores) + 0.5, min(-1.0, *scores) - 0.5

    def point(day: TrendDay, score: float) -> tuple[float, float]:
        x = 100 * (day.day - first).days / (last - first).days
        y = 100 * (top - min(max(score, bottom), top)) / (top - bottom)
        return round(x, 1), round(y, 1)

    def points(*places: tuple[float, float]) -> str:
        return " ".join(f"{x},{y}" for x, y in places)

    runs: list[list[TrendDay]] = []
    for day in days:
        if runs and day.day - runs[-1][-1].day == timedelta(days=1):
            runs[-1].append(day)
        else:
            runs.append([day])
    banded = [[day for day in run if day.low is not None] for run in runs]
    return ScoreChart(
        # A lone day is a line too, of no length: its round ends are a dot.
        lines=tuple(points(*(point(day, day.score) for day in (*run, run[-1]))) for run in runs),
        bands=tuple(
            points(
                *(point(day, day.high or 0) for day in run),
                *(point(day, day.low or 0) for day in reversed(run)),
            )
            for run in banded
            if len(run) > 1
        ),
        usual=round(100 * top / (top - bottom), 1),
        rising=tuple(point(day, day.score) for day in days if day.verdict == "rising"),
        first=days[0],
        last=days[-1],
        highest=max(days, key=lambda day: day.score),
    )


@dataclass(frozen=True, slots=True)
class Measured:
    """A window as a point."""

    x: float
    y: float
    worst: str
    score: float
    drifted: bool


@dataclass(frozen=True, slots=True)
class DriftChart:
    """How far the worst feature of each window of a version lay off, oldest first."""

    version: str
    points: tuple[Measured, ...]
    line: str
    notable: float
    shifted: float
    latest: DriftWindow
    features: tuple[tuple[str, float, bool], ...]
    """Of the latest window, the worst first: name, score, whether it drifted."""


def drift_charts(windows: Iterable[DriftWindow]) -> list[DriftChart]:
    """A chart for each version, that with the newest window first.

    Args:
        windows: newest first.
    """
    versions: dict[str, list[DriftWindow]] = {}
    for window in windows:
        if window.scores:
            versions.setdefault(window.model_version, []).insert(0, window)
    return [_drift(version, found) for version, found in versions.items()]


def _drift(version: str, found: Sequence[DriftWindow]) -> DriftChart:
    worst = [max(window.scores.items(), key=lambda scored: scored[1]) for window in found]
    top = max(1.4 * SHIFTED, *(score for _, score in worst))
    step = 100 / max(1, len(found) - 1)
    points = tuple(
        Measured(
            x=round(index * step, 1) if len(found) > 1 else 50.0,
            y=round(100 - 100 * score / top, 1),
            worst=feature,
            score=score,
            drifted=bool(window.drifted),
        )
        for index, (window, (feature, score)) in enumerate(zip(found, worst, strict=True))
    )
    latest = found[-1]
    ranked = sorted(latest.scores.items(), key=lambda scored: -scored[1])
    return DriftChart(
        version=version,
        points=points,
        line=" ".join(f"{point.x},{point.y}" for point in points),
        notable=round(100 - 100 * NOTABLE / top, 1),
        shifted=round(100 - 100 * SHIFTED / top, 1),
        latest=latest,
        features=tuple((name, score, name in latest.drifted) for name, score in ranked[:5]),
    )
