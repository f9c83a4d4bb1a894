"""Experiments: which of several versions answers whom, as data, for models and prompts alike.

    experiments/<subject>/<target>/00000003.json          created once; the highest number counts
    experiments-told/<subject>/<target>/00000003          written once events tell of it

An experiment is an append-only sequence of states, as an alias is (see `registry`): whoever creates
the next number has changed it. Who gets which arm follows from names alone, so all workers and
instances say the same, before and after a restart.
"""

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from math import log
from typing import Annotated, Literal, Self

from pydantic import (
    AwareDatetime,
    BaseModel,
    ConfigDict,
    Field,
    StringConstraints,
    ValidationError,
    model_validator,
)

from trending_shared.errors import (
    ExperimentInvalid,
    ExperimentMoved,
    ExperimentUnreadable,
    ModelNotFound,
    PromptNotFound,
)
from trending_shared.prompts import Name, PromptRegistry
from trending_shared.registry import CHAMPION, ModelRegistry
from trending_shared.storage import ObjectStore

Subject = Literal["models", "prompts"]
Phase = Literal["shadow", "split", "promoted", "refused"]
ArmName = Literal["control", "candidate"]
CONTROL: ArmName = "control"
CANDIDATE: ArmName = "candidate"
"""The arms of an experiment that the monitor judges."""
Version = Annotated[str, StringConstraints(pattern=rf"^({CHAMPION}|[0-9a-f]{{16}})$")]
MOST_ARMS = 8  # each is a model in memory


class Arm(BaseModel):
    """One of the versions that are compared."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: Name = Field(examples=["candidate"])
    version: Version = Field(
        description="of the registry, or `champion`: whatever the alias points at",
        examples=["9f2c4e6a8b0d1f37"],
    )
    weight: float = Field(
        default=0,
        strict=True,
        ge=0,
        le=1_000_000,
        description="its part of the units, against the other arms' weights",
        examples=[0.1],
    )
    shadow: float = Field(
        default=0,
        strict=True,
        ge=0,
        le=1,
        description="share of the units of other arms for which it is asked as well, unseen",
    )


class Judgement(BaseModel):
    """Why the monitor, which judges an experiment, has put it into this state."""

    model_config = ConfigDict(frozen=True)

    phase: Phase
    cause: str
    """In a word or two: `better`, `guardrail`."""
    outcomes: int = Field(default=0, ge=0)
    """How many were known."""
    difference: float | None = None
    """Of the candidate's and the control's mean score; none while nothing is known."""
    low: float | None = None
    """With `high` where it lies; each bound holds by itself, at all times."""
    high: float | None = None


class Experiment(BaseModel):
    """One state of an experiment."""

    model_config = ConfigDict(frozen=True)

    number: int = Field(ge=1)
    subject: Subject
    target: Name
    name: Name
    """Also its salt: experiments of other names draw anew."""
    state: Literal["running", "stopped"]
    arms: Annotated[tuple[Arm, ...], Field(min_length=1, max_length=MOST_ARMS)]
    reasons: tuple[str, ...] = ()
    changed_by: str
    changed_at: AwareDatetime
    judged: Judgement | None = None
    """None in one that people conduct; the monitor leaves it alone."""

    @model_validator(mode="after")
    def _has_arms_to_serve(self) -> Self:
        if len({arm.name for arm in self.arms}) < len(self.arms):
            raise ValueError("two arms have one name")
        if not any(arm.weight for arm in self.arms):
            raise ValueError("no arm has a weight, so none would answer")
        return self

    @property
    def running(self) -> bool:
        return self.state == "running"

    def version(self, arm: str) -> str:
        """That of an arm; raises `KeyError` if there is none of this name."""
        return {each.name: each.version for each in self.arms}[arm]


@dataclass(frozen=True, slots=True)
class Assignment:
    """What an experiment has to do with one unit."""

    experiment: str
    unit: str
    """By its hash, 32 hex digits."""
    arm: Arm
    """The one that answers."""
    shadows: tuple[Arm, ...]
    """Those that are asked as well."""


def shadow_arms(control: str, candidate: str) -> tuple[Arm, Arm]:
    """How a trial begins: the candidate is asked for everybody's texts, and answers nobody."""
    return (
        Arm(name=CONTROL, version=control, weight=1),
        Arm(name=CANDIDATE, version=candidate, shadow=1),
    )


def hash_unit(experiment: str, unit_id: str) -> str:
    """What is kept of a unit: its hash, another one in every experiment; 32 hex digits."""
    return hashlib.sha256(f"{experiment}\n{unit_id}".encode()).hexdigest()[:32]


def assign(experiment: Experiment, unit_id: str) -> Assignment:
    """Draw a unit's arm; the same one each time, as long as weights stay.

    Weighted rendezvous hashing (Schindelhauer and Schomaker, "Weighted Distributed Hash Tables",
    SPAA 2005): each arm has an exponential clock of its weight as rate, and the first that rings
    answers. A change of one arm's weight moves units to or from this arm only, and as few as can
    be; the order of arms doesn't matter. Whoever knows the unit's hash can draw again.
    """
    return draw(experiment, hash_unit(experiment.name, unit_id))


def draw(experiment: Experiment, unit: str) -> Assignment:
    """The arm of a unit that is known by its hash; see `assign`."""
    chosen = min(
        (arm for arm in experiment.arms if arm.weight),
        key=lambda arm: (-log(_point(unit, arm.name)) / arm.weight, arm.name),
    )
    shadows = tuple(
        arm
        for arm in experiment.arms
        if arm.shadow and arm is not chosen and _point(unit, f"{arm.name}\nshadow") <= arm.shadow
    )
    return Assignment(experiment.name, unit, chosen, shadows)


def _point(unit: str, name: str) -> float:
    """A point in (0, 1]: the first 53 bits of SHA-256."""
    digest = hashlib.sha256(f"{unit}\n{name}".encode()).digest()
    return ((int.from_bytes(digest[:8]) >> 11) + 1) / 2**53


class Experiments:
    """Experiments in an object store, one at a time for each target.

    Raises:
        StoreUnavailable: the store didn't answer.
        ExperimentUnreadable: a state can't be read.
    """

    def __init__(self, store: ObjectStore) -> None:
        self._store = store
        self._models = ModelRegistry(store)
        self._prompts = PromptRegistry(store)

    def current(self, subject: Subject, target: str) -> Experiment | None:
        """The last state, running or stopped; none if there never was one."""
        keys = self._store.keys(_folder(subject, target))
        return self._read(keys[-1]) if keys else None

    def history(self, subject: Subject, target: str) -> list[Experiment]:
        """All states of all experiments with a target, oldest first."""
        return [self._read(key) for key in self._store.keys(_folder(subject, target))]

    def states(self, last: Experiment) -> list[Experiment]:
        """The states of one experiment up to its last, oldest first."""
        found = [last]
        folder = _folder(last.subject, last.target)
        for number in range(last.number - 1, 0, -1):
            state = self._read(f"{folder}/{number:08d}.json")
            if state.name != last.name:
                break
            found.append(state)
        return found[::-1]

    def all(self) -> list[Experiment]:
        """The last state of each target, by subject and target."""
        last = {key.rpartition("/")[0]: key for key in self._store.keys("experiments")}
        return [self._read(key) for _, key in sorted(last.items())]

    def change(
        self,
        subject: Subject,
        target: str,
        *,
        name: str,
        state: Literal["running", "stopped"],
        arms: Sequence[Arm],
        expected: Experiment | None,
        reasons: tuple[str, ...],
        changed_by: str,
        at: datetime,
        judged: Judgement | None = None,
    ) -> Experiment:
        """Start, change or stop an experiment, if it still is what the caller saw.

        Args:
            expected: what `current` returned when the caller decided.
            judged: given, the monitor goes on with it by itself.

        Raises:
            ExperimentMoved: someone else changed it in between.
            ExperimentInvalid: it can't follow on what there is, or names an unknown version.
        """
        try:
            new = Experiment(
                number=expected.number + 1 if expected else 1,
                subject=subject,
                target=target,
                name=name,
                state=state,
                arms=tuple(arms),
                reasons=reasons,
                changed_by=changed_by,
                changed_at=at,
                judged=judged,
            )
        except ValidationError as error:
            raise ExperimentInvalid(_first(error)) from error
        history = self.history(subject, target)
        if len(history) != new.number - 1:
            raise ExperimentMoved(f"{subject} {target} isn't at number {new.number - 1}")
        check_follows(new, history)
        for arm in new.arms if new.running else ():
            self._check_version(new, arm)
        key = f"{_folder(subject, target)}/{new.number:08d}.json"
        if not self._store.put_new(key, new.model_dump_json().encode()):
            raise ExperimentMoved(f"{subject} {target} isn't at number {new.number - 1} any more")
        return new

    def untold(self) -> list[Experiment]:
        """The states of which `mark_told` wasn't called, by target and number."""
        told = set(self._store.keys("experiments-told"))
        states = sorted(self._store.keys("experiments"))
        return [self._read(key) for key in states if _told(key) not in told]

    def mark_told(self, state: Experiment) -> None:
        """Keep that all has been done and said that follows from a state."""
        key = f"{_folder(state.subject, state.target)}/{state.number:08d}.json"
        self._store.put(_told(key), b"")

    def _check_version(self, new: Experiment, arm: Arm) -> None:
        if arm.version == CHAMPION:
            return
        try:
            if new.subject == "models":
                self._models.manifest(new.target, arm.version)
            else:
                self._prompts.get(new.target, arm.version)
        except (ModelNotFound, PromptNotFound, ValidationError) as error:
            detail = f"{arm.name}: the registry has no usable {new.target} {arm.version}"
            raise ExperimentInvalid(detail) from error

    def _read(self, key: str) -> Experiment:
        try:
            return Experiment.model_validate_json(self._store.get(key))
        except ValidationError as error:
            raise ExperimentUnreadable(f"{key} can't be read: {_first(error)}") from error


def check_follows(new: Experiment, history: Sequence[Experiment]) -> None:
    """Whether a state may follow on those before it.

    A name is one experiment, so that its records can be told apart: it isn't used again once
    another one ran, and its arms keep their versions.

    Raises:
        ExperimentInvalid: it may not.
    """
    last = history[-1] if history else None
    if last is None or last.name != new.name:
        if last and last.running:
            raise ExperimentInvalid(f"{last.name} is running; stop it first")
        if not new.running:
            raise ExperimentInvalid(f"{new.name} isn't running")
        if any(state.name == new.name for state in history):
            raise ExperimentInvalid(f"there was an experiment {new.name} already; take a new name")
        return
    versions: Mapping[str, str] = {
        arm.name: arm.version for state in history if state.name == new.name for arm in state.arms
    }
    for arm in new.arms:
        if versions.get(arm.name, arm.version) != arm.version:
            raise ExperimentInvalid(
                f"{arm.name} is {versions[arm.name]} in {new.name}; name a new arm"
            )


def _folder(subject: str, target: str) -> str:
    return f"experiments/{subject}/{target}"


def _told(key: str) -> str:
    return key.replace("experiments/", "experiments-told/", 1).removesuffix(".json")


def _first(error: ValidationError) -> str:
    first = error.errors()[0]
    where = ".".join(str(part) for part in first["loc"])
    message = first["msg"].removeprefix("Value error, ")
    return f"{where}: {message}" if where else message
