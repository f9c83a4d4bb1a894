"""What tuning has tried: studies and their trials in the object store.

    tuning/<family>/<study>/study.json           what is searched, and by which titles; created once
    tuning/<family>/<study>/trials/00042.json    a trial that has ended; created once
    tuning/<family>/<study>/best.json            the best of them; replaced by a better one
    tuning/<family>/<study>/work/00042/…         what the running trial needn't do again

All that tuning knows lies in these documents, so it goes on from them wherever it was killed; at
most the running trial is done again.
"""

import hashlib
import json
from typing import Any, Literal, TypeVar

from pydantic import AwareDatetime, ValidationError

from trending_shared.errors import ObjectMissing, Rejected
from trending_shared.storage import ObjectStore
from trending_trainer.runs import Frozen, StoredWorkspace
from trending_trainer.training_set import Split

FOLDER = "tuning"


class StudyDamaged(Rejected):
    """A study's documents aren't what was written; a person has to repair or remove them."""


class Study(Frozen):
    """What decides every trial, and when that was first tried."""

    family: str
    dataset_id: str
    recipe: str
    split: Split
    rows: int
    """Titles that may be learned from; `titles` is the SHA-256 of them and of their folds."""
    titles: str
    defaults: dict[str, Any]
    """The family's parameters where the search says nothing."""
    space: dict[str, Any]
    """By parameter, its distribution as Optuna writes it."""
    seed: int
    code: str
    """The SHA-256 of what fits and scores, libraries included."""
    created_at: AwareDatetime

    @property
    def study_id(self) -> str:
        """16 hex digits of the SHA-256 over all but the time."""
        told = self.model_dump(mode="json", exclude={"created_at"})
        return hashlib.sha256(json.dumps(told, sort_keys=True).encode()).hexdigest()[:16]

    @property
    def folder(self) -> str:
        return f"{FOLDER}/{self.family}/{self.study_id}"


class Trial(Frozen):
    """One choice of parameters, and how good it is out of fold."""

    number: int
    params: dict[str, Any]
    """Those that were searched, and what follows from them."""
    scores: tuple[float, ...]
    """After each fold, of all titles judged so far."""
    state: Literal["complete", "pruned"]
    seconds: float

    @property
    def score(self) -> float:
        return self.scores[-1]


class Best(Frozen):
    """The best trial of a study."""

    family: str
    study_id: str
    trial: int
    score: float
    params: dict[str, Any]

    @property
    def told(self) -> dict[str, Any]:
        """What a model that was fitted with it says of it besides its parameters."""
        return {"study": self.study_id, "trial": self.trial, "score": self.score}


D = TypeVar("D", bound=Frozen)


class Studies:
    """The studies in an object store.

    Raises:
        StudyDamaged: a document can't be read, or one is missing.
        StoreUnavailable: the store didn't answer.
    """

    def __init__(self, store: ObjectStore) -> None:
        self._store = store

    def begin(self, study: Study) -> Study:
        """Make a study durable; if there is one already, that one holds."""
        key = f"{study.folder}/study.json"
        self._store.put_new(key, study.model_dump_json(indent=1).encode())
        return self._read(Study, key)

    def trials(self, study: Study) -> list[Trial]:
        """The trials that have ended, by number."""
        keys = self._store.keys(f"{study.folder}/trials")
        trials = [self._read(Trial, key) for key in keys]
        if [trial.number for trial in trials] != list(range(len(trials))):
            raise StudyDamaged(f"{study.folder} lacks one of its first {len(trials)} trials")
        return trials

    def keep(self, study: Study, trial: Trial) -> Trial:
        """Store a trial that has ended; if another process was faster, its one holds."""
        key = f"{study.folder}/trials/{trial.number:05d}.json"
        self._store.put_new(key, trial.model_dump_json(indent=1).encode())
        self.workspace(study, trial.number).clear()
        return self._read(Trial, key)

    def name_best(self, study: Study, trials: list[Trial]) -> Best:
        """Name the best of a study's trials; the first of equals."""
        complete = [trial for trial in trials if trial.state == "complete"]
        trial = max(complete, key=lambda one: (one.score, -one.number))
        best = Best(
            family=study.family,
            study_id=study.study_id,
            trial=trial.number,
            score=trial.score,
            params=trial.params,
        )
        self._store.put(f"{study.folder}/best.json", best.model_dump_json(indent=1).encode())
        return best

    def newest(self, family: str, recipe: str) -> Best | None:
        """The best of a family's study that began last on texts of a recipe; none without one."""
        keys = self._store.keys(f"{FOLDER}/{family}")
        ended = {key.rsplit("/", 1)[0] for key in keys if key.endswith("/best.json")}
        found = {folder: self._read(Study, f"{folder}/study.json") for folder in ended}
        fitting = [folder for folder, study in found.items() if study.recipe == recipe]
        if not fitting:
            return None
        newest = max(fitting, key=lambda folder: (found[folder].created_at, folder))
        return self._read(Best, f"{newest}/best.json")

    def table(self, best: Best) -> list[dict[str, Any]]:
        """All trials of the study that a best one is of, a row each."""
        study = self._read(Study, f"{FOLDER}/{best.family}/{best.study_id}/study.json")
        return [
            {
                "family": study.family,
                "study": study.study_id,
                "trial": trial.number,
                "state": trial.state,
                "score": trial.score,
                "folds": len(trial.scores),
                "seconds": trial.seconds,
                "params": json.dumps(trial.params),
            }
            for trial in self.trials(study)
        ]

    def workspace(self, study: Study, number: int) -> StoredWorkspace:
        """Where a trial leaves how far it is; empty once the trial has ended."""
        return StoredWorkspace(self._store, f"{study.folder}/work/{number:05d}")

    def _read(self, kind: type[D], key: str) -> D:
        try:
            return kind.model_validate_json(self._store.get(key))
        except (ValidationError, ObjectMissing) as error:
            raise StudyDamaged(f"{key}: {error}") from error
