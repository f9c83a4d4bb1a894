"""Every model of one dataset, side by side, best first.

Only what bundles keep is read, and no model runs: scores are those that each was registered with,
and each is compared with the first on the titles that both have answered.
"""

from collections import Counter
from collections.abc import Sequence
from datetime import datetime

from pydantic import BaseModel, ConfigDict

from trending_cli.model_comparison import (
    EvaluationIncomplete,
    compare_kept_macro_f1,
    read_evaluation,
    sign,
)
from trending_shared.errors import ModelNotFound, Rejected
from trending_shared.evaluation import Difference, Evaluation
from trending_shared.registry import Manifest, ModelRegistry


class _Frozen(BaseModel):
    model_config = ConfigDict(frozen=True)


class Cost(_Frozen):
    """What a model takes, as far as its training has measured it."""

    latency_seconds: float | None = None
    """Of one processor for a text, in the middle of many."""
    onnx_bytes: int
    fit_seconds: float | None = None
    peak_bytes: int | None = None
    """The most memory that a fit has held."""


class Standing(_Frozen):
    """A model on the leaderboard."""

    label: str
    """Its algorithm, and the start of its version if there are several of this algorithm."""
    version: str
    algorithm: str
    champion: bool
    to_first: Difference | None
    """Its macro-F1 minus that of the first, on the same titles; none for the first itself."""
    untold: str | None
    """Why it can't be compared with the first."""
    evaluation: Evaluation
    cost: Cost
    created_at: datetime
    recipe: str
    code_version: str
    training_id: str
    trained_on: int | None
    tuned: tuple[str, ...]
    """The families in it that were fitted with the best parameters of a study."""

    @property
    def against_first(self) -> str:
        """How it stands to the first, in words; nothing for the first itself."""
        if self.to_first is None:
            return "not compared" if self.untold else ""
        return ("can't be told", "surely better", "surely worse")[sign(self.to_first)]


class Leaderboard(_Frozen):
    """All that is known of the models of a dataset; the document of `--json`."""

    model: str
    dataset_id: str
    dataset_manifest: str
    split: str
    """What decides who is a test title."""
    verdict: str
    surely_best: bool
    """Whether the first is surely better than each of the others."""
    standings: tuple[Standing, ...]
    """Highest macro-F1 first."""
    baselines: dict[str, float]
    """Macro-F1 of what needs no learning, highest first."""
    left_out: dict[str, str]
    """By version, why a model of this dataset isn't shown."""


def rank(
    registry: ModelRegistry, name: str, *, dataset_id: str | None = None, split: str | None = None
) -> Leaderboard:
    """The models of a dataset and a split; of what isn't named, those of the newest model.

    Raises:
        ModelNotFound: there is none.
        EvaluationIncomplete: all were measured by another version of the trainer.
    """
    known = [
        each
        for each in registry.versions(name)
        if dataset_id in (None, each.dataset_id) and split in (None, _split(each))
    ]
    if not known:
        of = f" of dataset {dataset_id}" if dataset_id else ""
        by = f", split by {split}" if split else ""
        raise ModelNotFound(f"the registry holds no model of {name}{of}{by}")
    newest = known[-1]
    asked = newest.dataset_id, _split(newest)
    evaluations, left_out = {}, {}
    baselines: dict[str, float] = {}
    for manifest in (each for each in known if (each.dataset_id, _split(each)) == asked):
        try:
            evaluations[manifest.version] = read_evaluation(manifest)
        except EvaluationIncomplete as error:
            left_out[manifest.version] = str(error)
        else:
            baselines |= manifest.metrics.get("baselines", {})
    if not evaluations:
        raise EvaluationIncomplete("; ".join(left_out.values()))
    manifests = sorted(
        (each for each in known if each.version in evaluations),
        key=lambda each: evaluations[each.version].macro_f1,
        reverse=True,
    )
    pointer = registry.pointer(name)
    several = Counter(each.algorithm for each in manifests)
    standings = []
    for manifest in manifests:
        alone = several[manifest.algorithm] == 1
        difference, untold = _to_first(registry, manifests[0], manifest)
        standings.append(
            Standing(
                label=manifest.algorithm
                if alone
                else f"{manifest.algorithm} {manifest.version[:6]}",
                version=manifest.version,
                algorithm=manifest.algorithm,
                champion=pointer is not None and pointer.version == manifest.version,
                to_first=difference,
                untold=untold,
                evaluation=evaluations[manifest.version],
                cost=Cost.model_validate({**manifest.metrics, "onnx_bytes": manifest.onnx_bytes}),
                created_at=manifest.created_at,
                recipe=manifest.recipe,
                code_version=manifest.code_version,
                training_id=manifest.training_id,
                trained_on=manifest.metrics.get("trained_on"),
                tuned=tuple(manifest.metrics.get("tuned", {})),
            )
        )
    return Leaderboard(
        model=name,
        dataset_id=newest.dataset_id,
        dataset_manifest=newest.dataset_manifest,
        split=_split(newest),
        verdict=_verdict(standings),
        surely_best=all(_surely_worse(each) for each in standings[1:]),
        standings=tuple(standings),
        baselines=dict(sorted(baselines.items(), key=lambda each: each[1], reverse=True)),
        left_out=left_out,
    )


def _split(manifest: Manifest) -> str:
    return str(manifest.metrics.get("split", "title"))  # before it was told there was no other


def _to_first(
    registry: ModelRegistry, first: Manifest, other: Manifest
) -> tuple[Difference | None, str | None]:
    if other is first:
        return None, None
    try:
        return compare_kept_macro_f1(registry, other, first), None
    except (ModelNotFound, Rejected) as error:
        return None, str(error)


def _surely_worse(standing: Standing) -> bool:
    return standing.to_first is not None and sign(standing.to_first) < 0


def _verdict(standings: Sequence[Standing]) -> str:
    first, others = standings[0], standings[1:]
    score = first.evaluation.macro_f1
    unsure = [each.label for each in others if not _surely_worse(each)]
    beaten = len(others) - len(unsure)
    if not others:
        return f"{first.label} is the only model, with a macro-F1 of {score:.3f}"
    if not unsure:
        than = f"all {beaten} others" if beaten > 1 else others[0].label
        return f"{first.label} is surely better than {than}, with a macro-F1 of {score:.3f}"
    than = f"{', '.join(unsure[:-1])} and {unsure[-1]}" if unsure[1:] else unsure[0]
    rest = {0: "", 1: "; it is surely better than the other one"}.get(
        beaten, f"; it is surely better than the other {beaten}"
    )
    return (
        f"{first.label} is first, with a macro-F1 of {score:.3f}, but whether it is better than "
        f"{than} can't be told{rest}"
    )
