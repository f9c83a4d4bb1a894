"""What the monitor knows of a model, and what it makes of that model's predictions.

Pure but for `watch`, which reads the registry.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import structlog
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict

from trending_monitor.drift import (
    DriftReport,
    Served,
    calibrate_thresholds,
    measure_drift,
    values_of,
)
from trending_monitor.quality import Quality, Reliability, estimate, learn_reliability, measure
from trending_shared.errors import ModelNotFound
from trending_shared.evaluation import UNKNOWN, Answers, decide
from trending_shared.kept_answers import AnswersDamaged, read_answers
from trending_shared.registry import Manifest, ModelRegistry
from trending_shared.splits import is_test

log = structlog.get_logger()

MIN_LABELS = 20  # predictions; of fewer, labels say nothing of F1


@dataclass(frozen=True, slots=True)
class Labelled:
    """A prediction, and the genres that its title has after all.

    `name` and `group` tell whose page says so; none if a person does.
    """

    title: str
    """What is the same for predictions of the same thing, of which one counts."""
    probabilities: Mapping[str, float]
    genres: frozenset[str]
    name: str | None = None
    group: str | None = None
    """The source and kind, `tvmaze shows`: there are genres that a source doesn't record."""


class Check(BaseModel):
    """An estimate beside the truth, for the same predictions and genres."""

    model_config = ConfigDict(frozen=True)

    estimated: Quality
    measured: Quality

    @property
    def agrees(self) -> bool:
        return self.measured.macro_f1.value in self.estimated.macro_f1


@dataclass(frozen=True, slots=True)
class Findings:
    """What is said of a window."""

    drift: DriftReport
    quality: Quality | None


@dataclass(frozen=True)
class Watched:
    """A model whose predictions are watched.

    Args:
        thresholds: from which score on a feature drifted, in windows of the size that is cut.
        reference: the titles by which `reliability` was learned; their labels are no news.
        reliability: none if the bundle tells too little, and why is in `unreliable`.
    """

    manifest: Manifest
    thresholds: Mapping[str, float]
    reference: frozenset[str]
    reliability: Reliability | None
    unreliable: str = ""

    def examine(self, served: Sequence[Served]) -> Findings:
        """Raises `ValueError` for an empty window."""
        probabilities = self._matrix([one.probabilities for one in served])
        values = values_of(served, probabilities, self.manifest.labels)
        drift = measure_drift(values, self.manifest.reference, self.thresholds)
        if self.reliability is None:
            return Findings(drift, None)
        return Findings(
            drift, estimate(probabilities, self._given(probabilities), self.reliability)
        )

    def check(self, labelled: Sequence[Labelled]) -> Check | None:
        """The estimate beside the truth; none if too few labels can tell anything.

        What a page says counts if the model can't have learned from it, and no probability was
        corrected by it: if the title is of the test split and came after the model's dataset.
        """
        counted = list({one.title: one for one in labelled if self._is_news(one)}.values())
        if self.reliability is None or len(counted) < MIN_LABELS:
            return None
        genres = self.manifest.labels
        labels = np.array([[genre in one.genres for genre in genres] for one in counted], np.int8)
        unrecorded = self.manifest.metrics.get("unrecorded") or {}
        for row, one in enumerate(counted):
            unknown = set(unrecorded.get(one.group, ()))
            labels[row, [genre in unknown for genre in genres]] = UNKNOWN
        probabilities = self._matrix([one.probabilities for one in counted])
        answers = Answers(labels, probabilities, self.manifest.thresholds, genres)
        given = self._given(probabilities)
        return Check(
            estimated=estimate(probabilities, given, self.reliability, answers.known),
            measured=measure(answers),
        )

    def _is_news(self, one: Labelled) -> bool:
        if one.name is None:
            return True
        whole = (
            self.manifest.metrics.get("split") == "title"
        )  # else the hash of a name says nothing
        return whole and bool(one.genres) and is_test(one.name) and one.title not in self.reference

    def _matrix(self, probabilities: Sequence[Mapping[str, float]]) -> NDArray[np.float32]:
        labels = self.manifest.labels
        rows = [[one[label] for label in labels] for one in probabilities]
        return np.array(rows, np.float32).reshape(-1, len(labels))

    def _given(self, probabilities: NDArray[np.float32]) -> NDArray[np.bool_]:
        return decide(probabilities, self.manifest.thresholds, self.manifest.labels)


def watch(
    registry: ModelRegistry, model: str, version: str, *, size: int, false_alarms: float
) -> Watched:
    """Read a model's bundle, and find out what is to be expected of windows of a size.

    Args:
        false_alarms: as in `calibrate_thresholds`.

    Raises:
        ModelNotFound: the registry doesn't hold it.
        StoreUnavailable: the store didn't answer.
    """
    manifest = registry.manifest(model, version)
    # Bundles of before it was kept were tested on a thousand titles and more.
    rows = int(manifest.metrics.get("rows") or 1000)
    thresholds = calibrate_thresholds(
        manifest.reference, rows=rows, size=size, false_alarms=false_alarms
    )
    try:
        kept = read_answers(registry, manifest)
        answers = Answers(kept.labels, kept.probabilities, manifest.thresholds, manifest.labels)
        reliability = learn_reliability(answers)
    except (ModelNotFound, AnswersDamaged, ValueError) as error:
        log.warning("quality_unknown", model=model, version=version, reason=str(error))
        return Watched(manifest, thresholds, frozenset(), None, str(error))
    return Watched(manifest, thresholds, frozenset(kept.title_ids.tolist()), reliability)
