"""Pages about models: of one, of two, and of all of a dataset. Pure; see `trending_cli.pages`.

All that a report shows is in the model's manifest.
"""

import math
from collections.abc import Iterable
from functools import cache
from typing import Any

from jinja2 import Template

from trending_cli.leaderboard import Leaderboard, Standing
from trending_cli.model_comparison import ModelsComparison, sign
from trending_cli.pages import template
from trending_cli.scatter import Point, scatter
from trending_shared.evaluation import (
    MIN_SLICE,
    MIN_SUPPORT,
    Difference,
    Evaluation,
    Interval,
    SliceScore,
)
from trending_shared.registry import Manifest

_UNTOLD: dict[str, Any] = {
    "baselines": {},
    "untrained": [],
    "unrecorded": {},
    "left_out": {},
    "weights": {},
}
"""What a manifest's metrics may lack."""

_WORST = 3  # slices of each


def write_model_page(manifest: Manifest, evaluation: Evaluation) -> str:
    """The report of a model; `evaluation` is `read_evaluation(manifest)`."""
    return _template("model.html").render(
        evaluation=evaluation,
        manifest=manifest.model_copy(update={"metrics": _UNTOLD | manifest.metrics}),
        use=_section(manifest.card, "Intended use"),
        limits=_section(manifest.card, "Limits"),
        min_slice=MIN_SLICE,
        min_support=MIN_SUPPORT,
    )


def write_comparison_page(found: ModelsComparison, one: Manifest, other: Manifest) -> str:
    """Two models beside each other; `found` is of `one` and `other`, in this order."""
    comparison = found.comparison
    scores = [comparison.macro_f1, comparison.micro_f1, comparison.mean_average_precision]
    slices = [each for values in comparison.slices.values() for each in values.values()]
    return _template("comparison.html").render(
        found=found,
        one=one,
        other=other,
        widest=_widest([*scores, *slices]),
        widest_genre=_widest(comparison.genres.values()),
        min_slice=MIN_SLICE,
        min_support=MIN_SUPPORT,
    )


def write_leaderboard_page(board: Leaderboard) -> str:
    standings = board.standings
    evaluations = [each.evaluation for each in standings]
    differences = [each.to_first for each in standings if each.to_first]
    ends = [end for each in differences for end in (each.interval.low, each.interval.high)]
    points = [point for point in map(_point, standings) if point]
    return _template("leaderboard.html").render(
        board=board,
        first=standings[0],
        scatter=scatter(points) if points else None,
        top=_step_up(max(each.macro_f1_interval.high for each in evaluations), 0.1),
        behind=-_step_up(-min(ends, default=0.0), 0.05),
        ahead=_step_up(max(ends, default=0.0), 0.05),
        worst={each.version: _worst_slices(each.evaluation) for each in standings},
        min_slice=MIN_SLICE,
        min_support=MIN_SUPPORT,
    )


@cache
def _template(name: str) -> Template:
    return template(
        name,
        score="{:.3f}".format,
        share="{:.1%}".format,
        interval=_interval,
        signed="{:+.3f}".format,
        signed_interval=lambda interval: f"{interval.low:+.3f} to {interval.high:+.3f}",
        sign=sign,
        milliseconds=lambda seconds: f"{1000 * seconds:.3g} ms",
        size=_size,
        at=_at,
        curly=lambda text: text.replace("'", "’"),
    )


def _interval(interval: Interval) -> str:
    return f"{interval.low:.3f}–{interval.high:.3f}"


def _widest(differences: Iterable[Difference]) -> float:
    """How far from zero an axis must go for all of these: the next twentieth."""
    ends = [end for each in differences for end in (each.interval.low, each.interval.high)]
    return _step_up(max(map(abs, ends), default=0.0), 0.05)


def _step_up(value: float, step: float) -> float:
    """The next multiple of a step, at least one."""
    return round(max(math.ceil(value / step), 1) * step, 9)


def _worst_slices(evaluation: Evaluation) -> list[tuple[str, str, SliceScore]]:
    found = [
        (dimension, value, score)
        for dimension, values in evaluation.slices.items()
        for value, score in values.items()
    ]
    return sorted(found, key=lambda each: each[2].macro_f1)[:_WORST]


def _point(standing: Standing) -> Point | None:
    """None if its time wasn't measured."""
    evaluation, seconds = standing.evaluation, standing.cost.latency_seconds
    interval = evaluation.macro_f1_interval
    if not seconds:
        return None
    return Point(standing.label, 1000 * seconds, evaluation.macro_f1, interval.low, interval.high)


def _size(count: float) -> str:
    """Bytes in the largest unit that they are one of."""
    for unit in ("bytes", "kB", "MB"):
        if count < 1000:
            return f"{count:.3g} {unit}"
        count /= 1000
    return f"{count:.3g} GB"


def _at(value: float, low: float, high: float) -> str:
    """Where on an axis a value is; what is beyond its ends is at them."""
    return f"{100 * min(max((value - low) / (high - low), 0.0), 1.0):.2f}%"


def _section(card: str, heading: str) -> list[str]:
    """The paragraphs and items under a heading of a card."""
    _, _, after = card.partition(f"\n## {heading}\n")
    lines = after.partition("\n## ")[0].splitlines()
    return [line.removeprefix("- ") for line in lines if line.strip()]
