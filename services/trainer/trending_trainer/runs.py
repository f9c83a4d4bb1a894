"""Training runs: claimed durably, leased to one process at a time, ended exactly once.

    runs/open/<id>.json                    the request; it exists from the claim to the publication
    runs/<id>/attempts/0001.json           an attempt; created once, so two processes can't share it
    runs/<id>/attempts/0001.heartbeat      when its process last said that it lives, or how it ended
    runs/<id>/work/…                       what an attempt has done and another needn't do again
    runs/<id>/outcome.json                 what came of it; created once

The id is that of the event that asked. All of it lies in the object store and needs nothing but
create-only writes, so any number of trainers on any number of machines may share the runs.
"""

from datetime import datetime, timedelta
from typing import Any, Literal, TypeVar
from uuid import UUID

import structlog
from pydantic import AwareDatetime, BaseModel, ConfigDict, ValidationError

from trending_shared.errors import ObjectMissing, Rejected
from trending_shared.events import (
    ModelApproved,
    ModelPromoted,
    ModelRefused,
    ModelRegistered,
    TrainingRequested,
)
from trending_shared.messages import Message
from trending_shared.storage import ObjectStore

log = structlog.get_logger()

_RELEASED, _WITHDRAWN = b"released", b"withdrawn"  # instead of the time of a heartbeat


class RunDamaged(Rejected):
    """A document of a run isn't what was written; a person has to repair or remove it."""


class Frozen(BaseModel):
    model_config = ConfigDict(frozen=True, extra="ignore")


class Request(Frozen):
    """What was asked for, and by which event."""

    run_id: UUID
    correlation_id: UUID
    dataset_id: str | None = None
    reason: str
    traceparent: str | None = None

    @classmethod
    def of(cls, message: Message[TrainingRequested]) -> "Request":
        return cls(
            run_id=message.id,
            correlation_id=message.correlation_id,
            dataset_id=message.event.dataset_id,
            reason=message.event.reason,
            traceparent=message.traceparent,
        )


class Attempt(Frozen):
    """One process' try at a run."""

    number: int
    owner: str
    started_at: AwareDatetime


class Outcome(Frozen):
    """What a run led to: the facts to publish, in order."""

    registered: tuple[ModelRegistered, ...] = ()
    promoted: ModelPromoted | None = None
    approved: ModelApproved | None = None
    refused: ModelRefused | None = None
    failed: bool = False
    """The refusal only says that no fit came to an end; nobody judged a dataset or a model."""

    @property
    def verdict(self) -> Literal["promoted", "approved", "refused", "failed"]:
        if self.failed:
            return "failed"
        if self.approved:
            return "approved"
        return "promoted" if self.promoted else "refused"

    def messages(self, request: Request) -> list[Message[Any]]:
        """The facts as messages that follow from the event that asked; the same every time."""
        cause: Message[Any] = Message(
            event=TrainingRequested(reason=request.reason, dataset_id=request.dataset_id),
            id=request.run_id,
            correlation_id=request.correlation_id,
            traceparent=request.traceparent,
        )
        facts = [*self.registered, self.promoted, self.approved, self.refused]
        return [cause.leads_to(fact) for fact in facts if fact is not None]


D = TypeVar("D", bound=Frozen)


class Runs:
    """The runs in an object store.

    Args:
        lease: silence of an attempt after which it counts as dead.

    Raises:
        RunDamaged: a document can't be read.
        StoreUnavailable: the store didn't answer.
    """

    def __init__(self, store: ObjectStore, *, lease: timedelta) -> None:
        self._store = store
        self._lease = lease

    def claim(self, request: Request) -> None:
        """Make a request durable. Claiming again changes nothing, also after the run has ended."""
        if self.outcome(request.run_id) is None:
            self._store.put_new(_open_key(request.run_id), request.model_dump_json().encode())

    def request(self, run_id: UUID) -> Request:
        """Raises `ObjectMissing` if the run isn't open."""
        return self._read(Request, _open_key(run_id))

    def open(self) -> list[Request]:
        """Claimed runs whose outcome isn't published, in the order of their ids.

        One whose request can't be read is logged and left out, so that it holds up no other.
        """
        found = []
        for key in self._store.keys("runs/open"):
            try:
                found.append(self._read(Request, key))
            except ObjectMissing:
                continue  # ended between the two reads
            except RunDamaged as error:
                log.error("open_run_damaged", detail=str(error))
        return found

    def begin(self, run_id: UUID, *, owner: str, now: datetime) -> Attempt | None:
        """Start the next attempt, unless one is alive or another process is faster."""
        attempts = self._attempts(run_id)
        if attempts and self._alive(run_id, attempts[-1], now):
            return None
        attempt = Attempt(number=len(attempts) + 1, owner=owner, started_at=now)
        key = f"{_attempts_key(run_id)}/{attempt.number:04d}.json"
        return attempt if self._store.put_new(key, attempt.model_dump_json().encode()) else None

    def heartbeat(self, run_id: UUID, attempt: Attempt, now: datetime) -> None:
        self._store.put(_heartbeat_key(run_id, attempt), now.isoformat().encode())

    def release(self, run_id: UUID, attempt: Attempt) -> None:
        """Say that an attempt's process is gone, so that nobody waits for the lease."""
        self._store.put(_heartbeat_key(run_id, attempt), _RELEASED)

    def withdraw(self, run_id: UUID, attempt: Attempt) -> None:
        """Release an attempt that its trainer broke off: it says nothing about the run."""
        self._store.put(_heartbeat_key(run_id, attempt), _WITHDRAWN)

    def tries(self, run_id: UUID) -> int:
        """How many attempts there were, without those withdrawn."""
        return sum(
            self._heartbeat(run_id, attempt) != _WITHDRAWN for attempt in self._attempts(run_id)
        )

    def end(self, run_id: UUID, outcome: Outcome) -> Outcome:
        """Store the outcome; if there was one already, that one holds."""
        self._store.put_new(f"runs/{run_id}/outcome.json", outcome.model_dump_json().encode())
        held = self.outcome(run_id)
        assert held is not None, "an outcome was just written"
        return held

    def outcome(self, run_id: UUID) -> Outcome | None:
        try:
            return self._read(Outcome, f"runs/{run_id}/outcome.json")
        except ObjectMissing:
            return None

    def workspace(self, run_id: UUID) -> "StoredWorkspace":
        """Where attempts at a run leave what they have done."""
        return StoredWorkspace(self._store, f"runs/{run_id}/work")

    def close(self, run_id: UUID) -> None:
        """Forget an open run, and what its attempts had left, once its outcome is published."""
        self.workspace(run_id).clear()
        self._store.delete(_open_key(run_id))

    def _attempts(self, run_id: UUID) -> list[Attempt]:
        keys = self._store.keys(_attempts_key(run_id))
        return [self._read(Attempt, key) for key in keys if key.endswith(".json")]

    def _alive(self, run_id: UUID, attempt: Attempt, now: datetime) -> bool:
        heartbeat = self._heartbeat(run_id, attempt)
        last = attempt.started_at if heartbeat is None else _time(heartbeat)
        return last is not None and now - last < self._lease

    def _heartbeat(self, run_id: UUID, attempt: Attempt) -> bytes | None:
        try:
            return self._store.get(_heartbeat_key(run_id, attempt))
        except ObjectMissing:
            return None

    def _read(self, kind: type[D], key: str) -> D:
        try:
            return kind.model_validate_json(self._store.get(key))
        except ValidationError as error:
            raise RunDamaged(f"{key}: {error}") from error


class StoredWorkspace:
    """Named bytes below a key of the object store; those of one name are the same in all attempts.

    Raises:
        StoreUnavailable: the store didn't answer.
    """

    def __init__(self, store: ObjectStore, folder: str) -> None:
        self._store = store
        self._folder = folder

    def load(self, name: str) -> bytes | None:
        try:
            return self._store.get(f"{self._folder}/{name}")
        except ObjectMissing:
            return None

    def save(self, name: str, content: bytes) -> None:
        self._store.put(f"{self._folder}/{name}", content)

    def clear(self) -> None:
        for key in self._store.keys(self._folder):
            self._store.delete(key)


def _time(heartbeat: bytes) -> datetime | None:
    """When a process said that it lives; none if it took that back, or can't be understood."""
    try:
        time = datetime.fromisoformat(heartbeat.decode())
    except ValueError:
        return None
    return time if time.tzinfo else None


def _open_key(run_id: UUID) -> str:
    return f"runs/open/{run_id}.json"


def _attempts_key(run_id: UUID) -> str:
    return f"runs/{run_id}/attempts"


def _heartbeat_key(run_id: UUID, attempt: Attempt) -> str:
    return f"{_attempts_key(run_id)}/{attempt.number:04d}.heartbeat"
