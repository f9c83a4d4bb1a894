"""Pages about models: the report of one, and two beside each other. Pure; see `trending_cli.pages`.

All that a report shows is in the model's manifest.
"""

import math
from collections.abc import Iterable
from functools import cache
from typing import Any

from jinja2 import Template
from pydantic import ValidationError

from trending_cli.model_comparison import ModelsComparison, sign
from trending_cli.pages import template
from trending_shared.errors import Rejected
from trending_shared.evaluation import MIN_SLICE, MIN_SUPPORT, Difference, Evaluation, Interval
from trending_shared.registry import Manifest

_UNTOLD: dict[str, Any] = {
    "baselines": {},
    "untrained": [],
    "unrecorded": {},
    "left_out": {},
    "weights": {},
}
"""What a manifest's metrics may lack."""


class EvaluationIncomplete(Rejected):
    """A manifest's metrics aren't a whole evaluation."""


def read_evaluation(manifest: Manifest) -> Evaluation:
    """What a model's training measured; raises `EvaluationIncomplete`."""
    try:
        return Evaluation.model_validate(manifest.metrics)
    except ValidationError as error:
        lacking = sorted({".".join(map(str, each["loc"])) for each in error.errors()})
        raise EvaluationIncomplete(
            f"the evaluation of {manifest.name} {manifest.version} lacks {', '.join(lacking)}: it "
            "was measured by another version of the trainer; train anew, `trending models train`"
        ) from error


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
    )


def _interval(interval: Interval) -> str:
    return f"{interval.low:.3f}–{interval.high:.3f}"


def _widest(differences: Iterable[Difference]) -> float:
    """How far from zero an axis must go for all of these: the next twentieth."""
    ends = [end for each in differences for end in (each.interval.low, each.interval.high)]
    return max(math.ceil(max(map(abs, ends), default=0.0) * 20), 1) / 20


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
