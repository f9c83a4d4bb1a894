"""Every error the house raises on purpose, in kinds that decide what happens to a message.

    TrendingError
    ├── Rejected       can never work: the message is parked with this reason
    │   └── Declined   likewise, and nothing is broken: it doesn't count towards halting
    ├── Unavailable    can't work now: the message is tried again later
    └── BatchUnfit     so much of a partition is bad that none of it is taken: it is held

Services add their own leaves beside the subject that raises them.
"""

from collections.abc import Mapping
from datetime import datetime
from typing import Self


class TrendingError(Exception):
    """The root of all errors of this project."""

    @property
    def reason(self) -> str:
        """The error's stable name in headers, rows, metrics and problem documents."""
        return type(self).__name__


class Rejected(TrendingError):
    """Can never work, however often it is tried."""


class Declined(Rejected):
    """Can never work, as happens every day: no sign that anything is broken, however many come."""


class Unavailable(TrendingError):
    """Can't work now, and may work later: not before `not_before`, if that is known."""

    def __init__(self, *args: object, not_before: datetime | None = None) -> None:
        super().__init__(*args)
        self.not_before = not_before


class BatchUnfit(TrendingError):
    """Too many records of a partition are bad at once for each to be bad by itself.

    Args:
        partitions: topic and partition of those that a person must look at, and what is wrong.
    """

    def __init__(self, partitions: Mapping[tuple[str, int], str]) -> None:
        super().__init__("; ".join(partitions.values()))
        self.partitions = partitions


class Undecodable(Rejected):
    """A record's headers or body aren't what CloudEvents and our schemas ask for."""


class UnknownEventType(Rejected):
    """A record announces a type or version that this consumer doesn't know."""


class EventTooLarge(Rejected):
    """An event's body doesn't fit into one Kafka record."""


class ObjectMissing(Rejected):
    """An object was asked for under a key that the store doesn't hold."""


class RowUnfit(Rejected):
    """The catalog can't keep a row: a value is too long, out of its range, or no text."""


class StoreUnavailable(Unavailable):
    """The object store, a table or the catalog didn't answer."""


class BrokerUnavailable(Unavailable):
    """Kafka doesn't answer, or didn't take an event in time."""

    @classmethod
    def at(cls, address: str, error: Exception) -> Self:
        """What went wrong with the broker at an address, in one line."""
        return cls(f"no Kafka answers at {address} ({type(error).__name__})")


class ModelNotFound(Unavailable):
    """No such model is in the registry, or an alias points at none yet."""


class PromptNotFound(Unavailable):
    """No such prompt is in the registry, or what lies there isn't what was registered."""


class PredictionUnknown(Rejected):
    """No prediction with this id is on record."""


class AliasMoved(TrendingError):
    """Someone else moved the alias first; read it again and decide anew."""


class ExperimentMoved(TrendingError):
    """Someone else changed the experiment first; read it again and decide anew."""


class ExperimentInvalid(Rejected):
    """An experiment can't be what it was to be; the message says why."""


class ExperimentUnreadable(Unavailable):
    """A state of an experiment can't be read; whatever is in force stays so."""


class ExperimentNotFound(Rejected):
    """No experiment is running where one was expected."""


class SettingInvalid(TrendingError):
    """A setting can't be used; the message names the variable and what would do."""
