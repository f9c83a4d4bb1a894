"""What a bundle keeps of its model's answers to titles that it didn't learn from."""

import io
import zipfile
import zlib
from dataclasses import dataclass
from typing import Self

import numpy as np
from numpy.typing import NDArray

from trending_shared.errors import Rejected
from trending_shared.evaluation import UNKNOWN
from trending_shared.registry import Manifest, ModelRegistry

ANSWERS = "answers.npz"
_UNREADABLE = (
    *(ValueError, KeyError, TypeError, AttributeError, EOFError, OSError, NotImplementedError),
    *(zipfile.BadZipFile, zlib.error),
)
"""What NumPy raises for a file that isn't one of its own."""


class AnswersDamaged(Rejected):
    """What a bundle holds as its answers can't be read."""


@dataclass(frozen=True, slots=True, eq=False)
class KeptAnswers:
    """A model's answers of n titles that it didn't learn from, sorted by title.

    Shapes: `title_ids` (n,), `labels` (n, g) of 1, 0 and `UNKNOWN`, `probabilities` (n, g), each of
    `slices` (n,).
    """

    title_ids: NDArray[np.str_]
    labels: NDArray[np.integer]
    probabilities: NDArray[np.floating]
    slices: dict[str, NDArray[np.object_]]

    def where(self, rows: NDArray[np.intp]) -> Self:
        return type(self)(
            self.title_ids[rows],
            self.labels[rows],
            self.probabilities[rows],
            {name: values[rows] for name, values in self.slices.items()},
        )


def read_answers(registry: ModelRegistry, manifest: Manifest) -> KeptAnswers:
    """What a model answered of its test split.

    Raises:
        ModelNotFound: its bundle holds no answers, or not those that were registered.
        AnswersDamaged: they can't be read, or don't fit the model.
    """
    content = registry.file(manifest, ANSWERS)
    try:
        with np.load(io.BytesIO(content), allow_pickle=False) as held:
            arrays = {name: held[name] for name in held.files}
        found = KeptAnswers(
            title_ids=arrays["title_ids"].astype(str),
            labels=arrays["labels"],
            probabilities=arrays["probabilities"],
            slices={
                name.removeprefix("slice "): values.astype(str).astype(object)
                for name, values in arrays.items()
                if name.startswith("slice ")
            },
        )
        _check(found, len(manifest.labels))
    except _UNREADABLE as error:
        raise AnswersDamaged(
            f"{manifest.name} {manifest.version}: its {ANSWERS} can't be read: {error}"
        ) from error
    return found.where(np.argsort(found.title_ids, kind="stable"))


def _check(answers: KeptAnswers, genres: int) -> None:
    """Raises `ValueError` for what no training keeps."""
    shape = (len(answers.title_ids), genres)
    rows = {name: values.shape for name, values in answers.slices.items()}
    if answers.title_ids.ndim != 1 or len(set(answers.title_ids)) != len(answers.title_ids):
        raise ValueError("titles must be there once each")
    if answers.labels.shape != shape or answers.probabilities.shape != shape:
        raise ValueError(
            f"labels of {answers.labels.shape} and probabilities of {answers.probabilities.shape} "
            f"aren't those of {shape[0]} titles and {genres} genres"
        )
    if wrong := [name for name, found in rows.items() if found != shape[:1]]:
        raise ValueError(f"slices by {', '.join(wrong)} aren't those of {shape[0]} titles")
    if not np.isin(answers.labels, (0, 1, UNKNOWN)).all():
        raise ValueError("labels must be 1, 0 or unknown")
    if not ((answers.probabilities >= 0) & (answers.probabilities <= 1)).all():
        raise ValueError("probabilities must be within 0 and 1")
