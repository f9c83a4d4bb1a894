"""What came before, and what one more record is in the light of it.

The *versions* of a title or review are the contents it had, each with the time at which its page
was fetched and the event that told of it. The tables hold them, so they are the memory: it survives
restarts and rebalances, and it doesn't matter who wrote. A record is

    NEW        another content than the page showed before: it becomes a row
    AGAIN      the very event that led to a row, delivered once more: it gets the same answer
    DUPLICATE  another event that tells what the version in force at its time tells
    OUTDATED   late, and none of these: the page has been seen since

Versions are therefore only ever added at the end of time. From this follows that the newest row is
what the page said when it was last seen, also when a content comes back (1, 2, 1 are three
versions) or records overtake each other; and that whatever a record once was it is again when its
delivery is repeated, however the batches are cut, for no later record can change the past.

Counts by day have no versions: each delivery counts other days, and of a day that was counted twice
the later delivery holds. Of signals only the events are remembered.
"""

import struct
from collections import ChainMap, deque
from collections.abc import Callable, Container, Iterator, Mapping, MutableMapping
from datetime import UTC, datetime, timedelta
from enum import Enum
from typing import Any, Literal, NamedTuple, Protocol
from uuid import UUID

import pyarrow as pa

from trending_shared.errors import Rejected
from trending_shared.tables import Follower, OffsetTable

Record = Literal["title", "review", "facts", "signal"]

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_TIME = struct.Struct("<q")
_VERSION = struct.Struct("<qQQ")
REDELIVERABLE = timedelta(days=90)  # as long as the topics keep their records; see `topics`
RECENT = 100_000  # events; what a failed publish or a restarted scraper sends again is younger


class DuplicateTitle(Rejected):
    """The table has this title with this content already, from another event."""


class DuplicateReview(Rejected):
    """The table has this review with this content already, from another event."""


class OutdatedTitle(Rejected):
    """A late record: its title has been seen since."""


class OutdatedReview(Rejected):
    """A late record: its review has been seen since."""


class DuplicateFacts(Rejected):
    """The table has these facts already, from another event."""


class OutdatedFacts(Rejected):
    """Late facts: their source has been asked since."""


class Verdict(Enum):
    NEW = "new"
    AGAIN = "again"
    DUPLICATE = "duplicate"
    OUTDATED = "outdated"


_REFUSALS: Mapping[tuple[Record, Verdict], type[Rejected]] = {
    ("title", Verdict.DUPLICATE): DuplicateTitle,
    ("title", Verdict.OUTDATED): OutdatedTitle,
    ("review", Verdict.DUPLICATE): DuplicateReview,
    ("review", Verdict.OUTDATED): OutdatedReview,
    ("facts", Verdict.DUPLICATE): DuplicateFacts,
    ("facts", Verdict.OUTDATED): OutdatedFacts,
}


def refusal(record: Record, verdict: Verdict) -> Rejected | None:
    """Why a record with this verdict can't be published; None if it can."""
    error = _REFUSALS.get((record, verdict))
    if error is None:
        return None
    if verdict is Verdict.DUPLICATE:
        return error(f"the table has this content of the {record} already")
    return error(f"a later page told of the {record} before this one came")


class Version(NamedTuple):
    """When a page was fetched (microseconds since 1970), what it said, and which event told so.

    Hash and event id are cut to 64 bits: they are compared within one title or review only.
    """

    at: int
    content: int
    event: int

    @classmethod
    def of(cls, *, fetched_at: datetime, content_hash: str, event_id: UUID) -> "Version":
        at = (fetched_at - _EPOCH) // timedelta(microseconds=1)
        return cls(at, int(content_hash, 16), _short(event_id))


class History:
    """The versions of all titles, or of all reviews, in memory.

    A million records of one version take 170 MB, and 24 MB more for a further version of each.
    Forgotten is what was replaced before anything that may still be delivered.
    """

    def __init__(self, packed: MutableMapping[int, bytes] | None = None) -> None:
        # One bytes object a record, not a list of tuples: that would be four times as much.
        self._packed: MutableMapping[int, bytes] = {} if packed is None else packed

    def __len__(self) -> int:
        return len(self._packed)

    def draft(self) -> "History":
        """A history that goes on from this one, and leaves this one as it is."""
        return History(ChainMap({}, self._packed))

    def judge(self, record_id: str, version: Version) -> Verdict:
        """Say what a record is, and remember it."""
        verdict = self.verdict(record_id, version)
        if verdict is Verdict.NEW:
            self.learn(record_id, version)
        elif verdict is Verdict.DUPLICATE:
            self.saw(record_id, version.at)
        return verdict

    def verdict(self, record_id: str, version: Version) -> Verdict:
        """Say what a record would be."""
        last_seen, versions = self._get(record_id)
        if any(
            known.event == version.event and known.content == version.content for known in versions
        ):
            return Verdict.AGAIN
        if version.content in _in_force(versions, version.at):
            return Verdict.DUPLICATE
        if versions and version.at < last_seen:
            return Verdict.OUTDATED
        return Verdict.NEW

    def learn(self, record_id: str, version: Version) -> None:
        """Remember a version that is in the table; once more is fine."""
        last_seen, versions = self._get(record_id)
        if version not in versions:
            versions = sorted([*versions, version], key=lambda known: known.at)
            oldest = versions[-1].at - REDELIVERABLE // timedelta(microseconds=1)
            while len(versions) > 1 and versions[1].at < oldest:
                del versions[0]
        self._put(record_id, max(last_seen, version.at), versions)

    def saw(self, record_id: str, at: int) -> None:
        """Remember that a page was seen to say what the table has already."""
        last_seen, versions = self._get(record_id)
        self._put(record_id, max(last_seen, at), versions)

    def _get(self, record_id: str) -> tuple[int, list[Version]]:
        packed = self._packed.get(_key(record_id))
        if packed is None:
            return -(2**63), []
        (last_seen,) = _TIME.unpack_from(packed)
        return last_seen, [Version(*item) for item in _VERSION.iter_unpack(packed[_TIME.size :])]

    def _put(self, record_id: str, last_seen: int, versions: list[Version]) -> None:
        self._packed[_key(record_id)] = b"".join(
            [_TIME.pack(last_seen), *(_VERSION.pack(*version) for version in versions)]
        )


class Recent:
    """The latest events that did something; 100,000 take 12 MB."""

    def __init__(self) -> None:
        self._latest: deque[int] = deque()
        self._events: set[int] = set()

    def __contains__(self, event: object) -> bool:
        return event in self._events

    def __len__(self) -> int:
        return len(self._events)

    def add(self, event: int) -> None:
        if event in self._events:
            return
        self._events.add(event)
        self._latest.append(event)
        if len(self._latest) > RECENT:
            self._events.discard(self._latest.popleft())


class Draft:
    """What is known while a batch is judged; it becomes known for good when the tables have it."""

    def __init__(
        self,
        judge: Callable[[str, Version], Verdict],
        rejected: Container[int],
        *,
        verdict: Callable[[str, Version], Verdict] | None = None,
    ) -> None:
        self.judge = judge
        self.verdict = verdict or judge  # the latter without remembering, where that differs
        self._rejected = rejected
        self._rejected_now: set[int] = set()

    def is_new_reject(self, event_id: UUID) -> bool:
        """Whether this event has no row among the latest rejects; asked again, it has."""
        event = _short(event_id)
        if event in self._rejected or event in self._rejected_now:
            return False
        self._rejected_now.add(event)
        return True


class Known(Protocol):
    """What the tables tell of one kind of record."""

    def __len__(self) -> int: ...

    def draft(self) -> Draft:
        """Read what was appended since, by whomever, and judge the next batch by it.

        Raises:
            StoreUnavailable: a table's storage didn't answer.
        """


class KnownVersions:
    """The versions in a table, kept up to date by reading each of its files once."""

    def __init__(
        self, table: OffsetTable, rejects: OffsetTable, *, record: Record, id: str
    ) -> None:
        self._record = record
        self._rows = Follower(
            table, [id, "content_hash", "event_id", "fetched_at"], forget=self._forget
        )
        self._rejects = Follower(
            rejects,
            ["record", id, "reason", "event_id", "fetched_at", "rejected_at"],
            forget=self._forget,
        )
        self._forget()

    def __len__(self) -> int:
        return len(self.history)

    def _forget(self) -> None:
        """Rows were erased; what is left is learned anew, of both tables."""
        self.history = History()
        self._rejected = Recent()
        self._rows.start_over()
        self._rejects.start_over()
        self._forgetful = True

    def draft(self) -> Draft:
        self._forgetful = False
        self._read()
        if self._forgetful:  # in between, and so perhaps out of order
            self._forget()
            self._read()
        draft = self.history.draft()
        return Draft(draft.judge, self._rejected, verdict=draft.verdict)

    def _read(self) -> None:
        # A duplicate is rejected after its content is in the table. Read in this order, no
        # duplicate is known without it.
        for record, record_id, reason, event_id, at, _ in _rows(self._rejects, by="rejected_at"):
            if record == self._record:
                self._rejected.add(_short(event_id))
                if reason.startswith("Duplicate"):
                    self.history.saw(record_id, at)
        for record_id, content_hash, event_id, at in _rows(self._rows):
            version = Version(at, int(content_hash, 16), _short(event_id))
            self.history.learn(record_id, version)


class KnownEvents:
    """The latest events that led to a row; for records that have no versions."""

    def __init__(self, table: OffsetTable, rejects: OffsetTable, *, record: Record) -> None:
        self._record = record
        # Events that have lost their rows may stay here: none of them comes again.
        self._rows = Follower(table, ["event_id", "fetched_at"])
        self._rejects = Follower(rejects, ["record", "event_id", "rejected_at"])
        self._taken = Recent()
        self._rejected = Recent()

    def __len__(self) -> int:
        return len(self._taken)

    def draft(self) -> Draft:
        for record, event_id, _ in _rows(self._rejects, by="rejected_at"):
            if record == self._record:
                self._rejected.add(_short(event_id))
        for event_id, _ in _rows(self._rows, by="fetched_at"):
            self._taken.add(_short(event_id))
        now: set[int] = set()

        def judge(_: str, version: Version) -> Verdict:
            if version.event in self._taken or version.event in now:
                return Verdict.AGAIN
            now.add(version.event)
            return Verdict.NEW

        return Draft(judge, self._rejected)


def _rows(follower: Follower, *, by: str | None = None) -> Iterator[tuple[Any, ...]]:
    """New rows, sorted if told so, with times in microseconds since 1970."""
    table = follower.new_rows()
    if by:
        table = table.sort_by(by)
    for batch in table.to_batches(max_chunksize=10_000):  # a whole table in objects is too large
        columns = [
            column.cast(pa.int64()) if pa.types.is_timestamp(column.type) else column
            for column in batch.columns
        ]
        yield from zip(*(column.to_pylist() for column in columns), strict=True)


def _in_force(versions: list[Version], at: int) -> set[int]:
    """The contents of a moment and of the one before; each may have several."""
    before = max((version.at for version in versions if version.at < at), default=None)
    return {version.content for version in versions if version.at in (before, at)}


def _key(record_id: str) -> int:
    return int(record_id[2:], 16)


def _short(event_id: UUID | str) -> int:
    return int(str(event_id).replace("-", "")[:16], 16)
