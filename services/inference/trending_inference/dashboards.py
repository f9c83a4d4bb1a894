"""The dashboards without Grafana: their panels, as a Prometheus answers them.

What is read is Grafana's own JSON (`deploy/grafana/dashboards`), so that a panel is written once.
"""

import asyncio
import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from itertools import pairwise
from pathlib import Path
from typing import Any, Literal

import httpx
import structlog
from pydantic import BaseModel, Field, ValidationError

from trending_shared.errors import SettingInvalid

log = structlog.get_logger()

SPANS = {
    "1h": timedelta(hours=1),
    "6h": timedelta(hours=6),
    "1d": timedelta(days=1),
    "7d": timedelta(days=7),
}
MOST_LINES = 8  # of a panel; more can't be told apart
_POINTS = 180  # of a line
_SHORTEST = 60.0  # seconds of a rate: four scrapes, or nothing is in it
_PATIENCE = 5.0  # seconds for Prometheus to answer; somebody waits for a page
_AT_ONCE = 6  # queries; Prometheus has other things to do

Point = tuple[float, float]
"""Seconds since 1970, and a value."""


class _Target(BaseModel):
    expr: str
    legend: str = Field(default="", validation_alias="legendFormat")


class _Step(BaseModel):
    value: float | None = None
    color: str


class _Thresholds(BaseModel):
    steps: tuple[_Step, ...] = ()


class _Defaults(BaseModel):
    unit: str = "none"
    thresholds: _Thresholds = _Thresholds()


class _Fields(BaseModel):
    defaults: _Defaults = _Defaults()


class Panel(BaseModel):
    """As Grafana's JSON has it, without what only Grafana needs."""

    type: Literal["stat", "timeseries"]
    title: str
    description: str
    targets: tuple[_Target, ...]
    fields: _Fields = Field(default=_Fields(), validation_alias="fieldConfig")

    @property
    def unit(self) -> str:
        return self.fields.defaults.unit

    @property
    def bad(self) -> tuple[float, float] | None:
        """From where to where a value is bad, if that is told."""
        steps = self.fields.defaults.thresholds.steps
        for step, following in zip(steps, [*steps[1:], None], strict=False):
            if step.color == "red":
                low = -math.inf if step.value is None else step.value
                high = following.value if following else None
                return low, math.inf if high is None else high
        return None


class Dashboard(BaseModel):
    title: str
    description: str
    panels: tuple[Panel, ...]

    @property
    def name(self) -> str:
        return self.title.removeprefix("Trending Now: ")


@dataclass(frozen=True, slots=True)
class Line:
    """One series; y grows downwards, both from 0 to 100."""

    name: str
    segments: tuple[str, ...]
    """Points of SVG polylines; where nothing was measured a new one begins."""
    last: float | None
    """None if it is no more."""
    most: float | None
    bad: bool


@dataclass(frozen=True, slots=True)
class Answered:
    """A panel with what there is to see of it."""

    panel: Panel
    lines: tuple[Line, ...]
    more: int
    """Series that there are besides."""
    top: float
    """The value at the upper edge."""
    limit: float | None
    """The y from which on it is bad, if that is in sight."""
    problem: str | None = None


class Dashboards:
    """Asks a Prometheus for the panels of a folder's dashboards.

    Args:
        url: where it answers: `http://127.0.0.1:9090`.
        folder: of Grafana's JSON.

    Raises:
        SettingInvalid: the folder holds no dashboards, or one that can't be read.
    """

    def __init__(self, url: str, folder: Path) -> None:
        self._client = httpx.AsyncClient(base_url=url, timeout=_PATIENCE, trust_env=False)
        self._slots = asyncio.Semaphore(_AT_ONCE)
        self.all = read_dashboards(folder)

    async def close(self) -> None:
        await self._client.aclose()

    async def look(self, board: Dashboard, span: timedelta, now: datetime) -> Sequence[Answered]:
        """All panels of a dashboard; one that can't be had says so, and the others stand."""
        return await asyncio.gather(*(self._look(panel, span, now) for panel in board.panels))

    async def _look(self, panel: Panel, span: timedelta, now: datetime) -> Answered:
        found: list[tuple[str, list[Point]]] = []
        try:
            for target in panel.targets:
                for series in await self._ask(target.expr, span, now):
                    points = [(float(at), float(value)) for at, value in series["values"]]
                    found.append((name_of(target.legend, series["metric"]), points))
        except (httpx.HTTPError, ValueError, KeyError, TypeError) as error:
            log.warning("panel_not_answered", panel=panel.title, detail=repr(error))
            return Answered(panel, (), 0, 1.0, None, problem="Prometheus doesn’t answer this")
        return draw(panel, found, start=now.timestamp() - span.total_seconds(), end=now.timestamp())

    async def _ask(self, expr: str, span: timedelta, now: datetime) -> Sequence[Any]:
        seconds = span.total_seconds()
        step = max(15.0, seconds / _POINTS)
        asked = {
            "query": with_intervals(expr, rate=max(_SHORTEST, 2 * step), step=step, span=seconds),
            "start": f"{now.timestamp() - seconds:.3f}",
            "end": f"{now.timestamp():.3f}",
            "step": f"{step:.3f}",
        }
        async with self._slots:
            answer = await self._client.post("/api/v1/query_range", data=asked)
        answer.raise_for_status()
        result: Sequence[Any] = answer.json()["data"]["result"]
        return result


def read_dashboards(folder: Path) -> Mapping[str, Dashboard]:
    """The dashboards of a folder, by name.

    Raises:
        SettingInvalid: there is none, or one can't be read.
    """
    files = sorted(folder.glob("*.json"))
    if not files:
        raise SettingInvalid(f"INFERENCE_DASHBOARDS: {folder} holds no dashboards")
    try:
        found = [Dashboard.model_validate_json(file.read_bytes()) for file in files]
    except (ValidationError, OSError) as error:
        raise SettingInvalid(f"INFERENCE_DASHBOARDS: {folder}: {error}") from error
    return {board.name.replace(" ", "-"): board for board in found}


def with_intervals(expr: str, *, rate: float, step: float, span: float) -> str:
    """A query with seconds in place of Grafana's variables."""
    seconds = {"rate_interval": rate, "interval": step, "range": span}
    return re.sub(
        r"\$__(rate_interval|interval|range)", lambda found: f"{seconds[found[1]]:.0f}s", expr
    )


def name_of(legend: str, labels: Mapping[str, str]) -> str:
    """A series' name, by Grafana's pattern of labels in double braces."""
    if not legend:
        return ", ".join(value for name, value in labels.items() if name != "__name__")
    return re.sub(r"\{\{\s*(\w+)\s*\}\}", lambda found: labels.get(found[1], ""), legend).strip()


def draw(
    panel: Panel, found: Sequence[tuple[str, Sequence[Point]]], *, start: float, end: float
) -> Answered:
    """A panel's series as lines, those with the highest last values first. Pure.

    Args:
        found: names and points, oldest first; values that are no numbers are gaps.
        start: the left edge, and `end` the right one, in seconds since 1970.
    """
    kept = [
        (name, [(at, value) for at, value in points if math.isfinite(value)], points)
        for name, points in found
    ]
    kept = [each for each in kept if each[1]]
    kept.sort(key=lambda each: (-each[1][-1][1], each[0]))
    shown = kept[:MOST_LINES]
    highest = max((value for _, points, _ in shown for _, value in points), default=0.0)
    low, high = panel.bad or (math.inf, math.inf)
    top = highest * 1.05 if highest > 0 else 1.0
    if math.isfinite(low) and low <= 1.5 * top:
        top = max(top, 1.05 * low)

    def place(point: Point) -> str:
        x = 100 * (point[0] - start) / (end - start)
        return f"{x:.2f},{100 - 100 * max(0.0, point[1]) / top:.2f}"

    lines = []
    for name, finite, points in shown:
        last = finite[-1][1] if points[-1] == finite[-1] else None
        lines.append(
            Line(
                name=name,
                # One point alone would be a line without length, which no browser draws.
                segments=tuple(
                    " ".join(map(place, part if len(part) > 1 else part * 2))
                    for part in _parts(points)
                ),
                last=last,
                most=max(value for _, value in finite),
                bad=last is not None and low <= last < high,
            )
        )
    in_sight = math.isfinite(low) and 0 < low <= top
    return Answered(
        panel=panel,
        lines=tuple(lines),
        more=len(kept) - len(shown),
        top=top,
        limit=round(100 - 100 * low / top, 2) if in_sight else None,
    )


def _parts(points: Sequence[Point]) -> list[list[Point]]:
    """The stretches without a gap: neither a value that is no number nor a step left out."""
    steps = [later[0] - earlier[0] for earlier, later in pairwise(points)]
    usual = min(steps, default=0.0)
    parts: list[list[Point]] = [[]]
    for point in points:
        if not math.isfinite(point[1]):
            parts.append([])
            continue
        if parts[-1] and point[0] - parts[-1][-1][0] > 1.5 * usual:
            parts.append([])
        parts[-1].append(point)
    return [part for part in parts if part]


def in_unit(value: float, unit: str) -> str:
    """A value as people read it, by Grafana's name of its unit."""
    match unit:
        case "s":
            return _seconds(value)
        case "percentunit":
            return f"{100 * value:.3g} %"
        case "bytes":
            return _scaled(value, 1024, ("B", "KiB", "MiB", "GiB", "TiB"))
        case "currencyUSD":
            return f"${value:,.2f}" if abs(value) >= 0.01 or value == 0 else f"${value:.2g}"
        case "cps" | "reqps":
            return f"{_scaled(value, 1000, ('', 'k', 'M', 'G'))}/s"
        case _:
            return _scaled(value, 1000, ("", "k", "M", "G"))


def _scaled(value: float, by: int, units: Sequence[str]) -> str:
    power = 0
    while abs(value) >= by and power < len(units) - 1:
        value, power = value / by, power + 1
    return f"{value:.3g} {units[power]}".rstrip()


def _seconds(value: float) -> str:
    for length, unit in ((86_400, "d"), (3_600, "h"), (60, "min"), (1, "s")):
        if abs(value) >= length:
            return f"{value / length:.3g} {unit}"
    return f"{value * 1000:.3g} ms" if value else "0 s"
