"""How an experiment stands, as the monitor last saw it, for people.

reports/experiments/<subject>/<target>/<name>/standing.json      written anew at each look
reports/experiments/<subject>/<target>/<name>/report.html        once it has ended
"""

from pydantic import AwareDatetime, BaseModel, ConfigDict, ValidationError

from trending_shared.errors import ExperimentNotFound, ExperimentUnreadable, ObjectMissing
from trending_shared.experiments import Experiment, Phase, Subject
from trending_shared.storage import ObjectStore


class _Frozen(BaseModel):
    model_config = ConfigDict(frozen=True)


class Moment(_Frozen):
    """What was known of the difference after some outcomes."""

    outcomes: int
    difference: float
    low: float
    high: float


class ArmStanding(_Frozen):
    """An arm, and what is known of it."""

    name: str
    version: str
    answers: int
    """To people, since the split; one of a unit."""
    outcomes: int
    score: float | None
    """The mean since the split."""


class GuardStanding(_Frozen):
    """A guardrail."""

    name: str
    said: str
    verdict: str
    """`kept`, `unsure`, `watched` or `broken`."""
    evidence: float
    """How near it is to breaking: 1 is broken."""


class Standing(_Frozen):
    """All that there is to say of an experiment."""

    subject: Subject
    target: str
    name: str
    phase: Phase
    cause: str
    reasons: tuple[str, ...]
    missing: tuple[str, ...]
    started_at: AwareDatetime
    looked_at: AwareDatetime
    alpha: float
    """Chance of promoting what isn't better, and of each bound not to hold, at any time."""
    outcomes: int
    texts: int
    """Of them those in shadow, with both versions' answers."""
    pairs: int
    """Units since the split that were held against each other, two by two."""
    arms: tuple[ArmStanding, ...]
    path: tuple[Moment, ...]
    """How the difference came to be known; the last is the present."""
    capital: float
    """Against the hypothesis that it isn't better; `1 / alpha` is enough."""
    guards: tuple[GuardStanding, ...]


def folder_of(subject: str, target: str, name: str) -> str:
    return f"reports/experiments/{subject}/{target}/{name}"


def keep_standing(store: ObjectStore, standing: Standing) -> None:
    key = f"{folder_of(standing.subject, standing.target, standing.name)}/standing.json"
    store.put(key, standing.model_dump_json().encode())


def read_standing(store: ObjectStore, experiment: Experiment) -> Standing:
    """How an experiment stood when the monitor last looked.

    Raises:
        ExperimentNotFound: it hasn't looked at it.
        ExperimentUnreadable: what it wrote can't be read.
        StoreUnavailable: the store didn't answer.
    """
    return _read(store, folder_of(experiment.subject, experiment.target, experiment.name))


def find_standing(store: ObjectStore, name: str) -> Standing:
    """The same by an experiment's name, running or long ended; raises as `read_standing` does."""
    for key in store.keys("reports/experiments"):
        folder, _, document = key.rpartition("/")
        if document == "standing.json" and folder.endswith(f"/{name}"):
            return _read(store, folder)
    raise ExperimentNotFound(f"the monitor has looked at no experiment {name}")


def _read(store: ObjectStore, folder: str) -> Standing:
    try:
        return Standing.model_validate_json(store.get(f"{folder}/standing.json"))
    except ObjectMissing as error:
        raise ExperimentNotFound(f"the monitor hasn't looked at {folder} yet") from error
    except ValidationError as error:
        raise ExperimentUnreadable(f"{folder}/standing.json can't be read") from error
