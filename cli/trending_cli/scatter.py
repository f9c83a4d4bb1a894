"""A plot of quality against time, in which every dot has its name beside it. Pure.

Places are those of an SVG of 480 by 400; `templates/plots.html` draws it.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

LEFT, RIGHT, TOP, BOTTOM = 52, 472, 10, 350  # what the axes enclose
LINE, LETTER = 18, 8  # a line's height and a letter's width, as a phone shows them
GAP = 13  # from a dot's middle to its name
_STEPS = (0.02, 0.05, 0.1, 0.2)


@dataclass(frozen=True, slots=True)
class Point:
    """What is plotted: a score with its interval, and the milliseconds that it costs."""

    name: str
    time: float
    score: float
    low: float
    high: float


@dataclass(frozen=True, slots=True)
class Dot:
    """A point where it is drawn; y grows downwards."""

    point: Point
    x: float
    y: float
    low: float
    high: float
    name_x: float
    """Where the name begins or, if it stands left of the dot, ends."""
    name_y: float
    leftwards: bool
    beaten: bool
    """Whether another is both as fast and better."""


@dataclass(frozen=True, slots=True)
class Scatter:
    dots: tuple[Dot, ...]
    times: tuple[tuple[float, str], ...]
    """Ticks: places and words; so are `scores`."""
    scores: tuple[tuple[float, str], ...]


def scatter(points: Sequence[Point]) -> Scatter:
    """Lay out at least one point; time grows by its logarithm."""
    times = _around([point.time for point in points])
    low, high = min(point.low for point in points), max(point.high for point in points)
    step = next(step for step in _STEPS if high - low <= 6 * step)
    first, last = math.floor(low / step), math.floor(high / step) + 1

    def x(time: float) -> float:
        share = math.log(time / times[0]) / math.log(times[-1] / times[0])
        return LEFT + (RIGHT - LEFT) * share

    def y(score: float) -> float:
        return BOTTOM - (BOTTOM - TOP) * (score / step - first) / (last - first)

    places = [(x(point.time), y(point.score)) for point in points]
    names = _beside(places, [point.name for point in points])
    return Scatter(
        dots=tuple(
            Dot(
                point=point,
                x=place[0],
                y=place[1],
                low=y(point.low),
                high=y(point.high),
                name_x=place[0] - GAP if leftwards else place[0] + GAP,
                name_y=place[1] + away,
                leftwards=leftwards,
                beaten=any(
                    other.time <= point.time and other.score > point.score for other in points
                ),
            )
            for point, place, (leftwards, away) in zip(points, places, names, strict=True)
        ),
        times=tuple((x(time), f"{time:g}") for time in times),
        scores=tuple((y(n * step), f"{n * step:.2f}") for n in range(first, last + 1)),
    )


def _around(times: Sequence[float]) -> Sequence[float]:
    """Ones, twos and fives, from the last below all times to the first above them."""
    low, high = math.floor(math.log10(min(times))), math.floor(math.log10(max(times)))
    ticks = [digit * 10.0**power for power in range(low - 1, high + 2) for digit in (1, 2, 5)]
    first = max(n for n, tick in enumerate(ticks) if tick < min(times))
    last = min(n for n, tick in enumerate(ticks) if tick > max(times))
    return ticks[first : last + 1]


def _beside(
    places: Sequence[tuple[float, float]], names: Sequence[str]
) -> list[tuple[bool, float]]:
    """Left of its dot or right, and how far below, each name stands.

    As near as it can without hiding a dot or another name; where there is no such place, beside it.
    """
    taken = [(x - GAP / 2, x + GAP / 2, y) for x, y in places]
    chosen = []
    for (x, y), name in zip(places, names, strict=True):
        width = LETTER * len(name)
        tried = [
            (leftwards, away, (left, left + width, y + away))
            for away in sorted(range(-8 * LINE, 8 * LINE + 1, LINE // 2), key=abs)
            for leftwards, left in ((False, x + GAP), (True, x - GAP - width))
        ]
        free = (each for each in tried if _fits(each[2], taken))
        leftwards, away, box = next(free, tried[0])
        taken.append(box)
        chosen.append((leftwards, float(away)))
    return chosen


def _fits(box: tuple[float, float, float], taken: Sequence[tuple[float, float, float]]) -> bool:
    """Whether a line of text, from left to right at a height, is inside and hides nothing."""
    left, right, y = box
    return (
        left > LEFT
        and right < RIGHT
        and TOP < y < BOTTOM
        and not any(
            left < other_right and other_left < right and abs(y - other_y) < LINE
            for other_left, other_right, other_y in taken
        )
    )
