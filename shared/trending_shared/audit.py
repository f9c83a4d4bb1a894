"""The audit log: what was decided and changed, in a chain that can't be altered unseen.

    audit/00000042.json       the entry as one line of JSON, and on the next line its SHA-256

Each entry tells the SHA-256 of the one before it, so whoever alters one has to write all later ones
anew: Schneier and Kelsey, "Secure Audit Logs to Support Computer Forensics", 1999. Against somebody
who does, and against a log that is cut short, no chain helps by itself; keep the number and hash of
its last entry where that somebody can't write, and have them compared.

Who creates the next number has appended, as with aliases (see `registry`), so several writers make
one chain. An entry has the id of what it tells of, and that id is entered once.
"""

import hashlib
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

from pydantic import AwareDatetime, BaseModel, ConfigDict, Field, ValidationError

from trending_shared.errors import ObjectMissing
from trending_shared.storage import ObjectStore

FOLDER = "audit"
ORIGIN = "0" * 64
"""What the first entry tells as the hash of the one before."""
_AT_ONCE = 16  # requests; a store far away answers one in some ten milliseconds


class Fact(BaseModel):
    """What is to be entered."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    id: str = Field(description="of what it tells of; entered once")
    kind: str = Field(description="what happened: a topic, or `documents-written`")
    subject: str = Field(description="to what")
    at: AwareDatetime
    by: str
    reasons: tuple[str, ...] = ()
    details: dict[str, Any] = {}
    document: str | None = Field(
        default=None, description="the key of the document that was written, which never changes"
    )
    document_sha256: str | None = None


class Entry(Fact):
    """One line of the log."""

    number: int = Field(ge=1)
    previous: str = Field(pattern="^[0-9a-f]{64}$", description="SHA-256 of the entry before")


@dataclass(frozen=True, slots=True)
class Problem:
    """What is wrong with the log, and at which entry."""

    number: int
    what: str


@dataclass(frozen=True, slots=True)
class Verdict:
    """What came of looking at the whole log; `head` is the hash of its last entry."""

    entries: int
    head: str
    problems: tuple[Problem, ...]

    @property
    def intact(self) -> bool:
        return not self.problems


class AuditLog:
    """The log in an object store. Not for several threads at once.

    Every method raises `StoreUnavailable` when the store doesn't answer.
    """

    def __init__(self, store: ObjectStore) -> None:
        self._store = store
        self._ids: set[str] = set()
        self._number = 0
        self.head = ORIGIN
        """The hash of the last entry that was read."""
        self.last: dict[tuple[str, str], Entry] = {}
        """By kind and subject, of what has been read."""

    def append(self, fact: Fact) -> Entry | None:
        """Enter a fact at the end; none if it is in the log already, whoever entered it."""
        while True:
            self.read_on()
            if fact.id in self._ids:
                return None
            entry = Entry(**dict(fact), number=self._number + 1, previous=self.head)
            line = entry.model_dump_json().encode()
            content = line + b"\n" + _hash(line).encode() + b"\n"
            if self._store.put_new(_key(entry.number), content):
                return self._take(entry.number, content)

    def read_on(self) -> None:
        """Learn what others have entered; an entry that can't be read is passed over."""
        if not self._number:
            for number, content in _read_all(self._store, _numbers(self._store)):
                self._take(number, content or b"")
        while True:
            try:
                content = self._store.get(_key(self._number + 1))
            except ObjectMissing:
                return
            self._take(self._number + 1, content)

    def __contains__(self, id: str) -> bool:
        return id in self._ids

    def __len__(self) -> int:
        return self._number

    def _take(self, number: int, content: bytes) -> Entry | None:
        line = content.split(b"\n")[0]
        self._number, self.head = number, _hash(line)
        entry = _parse(line)
        if entry:
            self._ids.add(entry.id)
            self.last[entry.kind, entry.subject] = entry
        return entry


def read_entries(store: ObjectStore) -> Iterator[Entry]:
    """All entries that can be read, oldest first."""
    for _, content in _read_all(store, _numbers(store)):
        if entry := _parse((content or b"").split(b"\n")[0]):
            yield entry


def verify(store: ObjectStore, *, anchor: tuple[int, str] | None = None) -> Verdict:
    """Look at every entry, its place in the chain, and the document it tells of.

    Args:
        anchor: number and hash of an entry, kept elsewhere since an earlier look.

    Raises:
        StoreUnavailable: the store didn't answer.
    """
    problems: list[Problem] = []
    head, last, expected = ORIGIN, 0, 1
    told: dict[str, tuple[int, str | None]] = {}
    for number, content in _read_all(store, _numbers(store)):
        if number > expected:
            missing = f"{expected}" if number == expected + 1 else f"{expected} to {number - 1}"
            problems.append(Problem(expected, f"{missing} of the log is missing"))
        line, _, rest = (content or b"").partition(b"\n")
        digest, entry = _hash(line), _parse(line)
        if rest != f"{digest}\n".encode():
            problems.append(Problem(number, "its text doesn't have the hash below it"))
        elif entry is None or entry.number != number:
            problems.append(Problem(number, "it isn't an entry of this number"))
        elif number == expected and entry.previous != head and not _named(problems, last):
            problems.append(Problem(last, f"it isn't the one that {number} was written after"))
        if anchor and anchor[0] == number and anchor[1] != digest:
            problems.append(Problem(number, f"its hash is {digest}, and was {anchor[1]}"))
        if entry and entry.document:
            told[entry.document] = (number, entry.document_sha256)
        head, last, expected = digest, number, number + 1
    if anchor and anchor[0] > last:
        problems.append(Problem(last, f"the log ends here, and had {anchor[0]} entries once"))
    problems += _check_documents(store, told)
    return Verdict(last, head, tuple(sorted(problems, key=lambda each: each.number)))


def _check_documents(
    store: ObjectStore, told: Mapping[str, tuple[int, str | None]]
) -> Iterator[Problem]:
    for (key, (number, digest)), content in zip(told.items(), _fetch(store, [*told]), strict=True):
        if content is None:
            yield Problem(number, f"{key} is gone, which it tells of")
        elif _hash(content) != digest:
            yield Problem(number, f"{key} isn't what it was when this was entered")


def _read_all(store: ObjectStore, numbers: Sequence[int]) -> Iterator[tuple[int, bytes | None]]:
    yield from zip(numbers, _fetch(store, [_key(number) for number in numbers]), strict=True)


def _fetch(store: ObjectStore, keys: Sequence[str]) -> Iterator[bytes | None]:
    """What lies under each key, none if nothing does; some at once, and never all in memory."""

    def get(key: str) -> bytes | None:
        try:
            return store.get(key)
        except ObjectMissing:
            return None

    with ThreadPoolExecutor(_AT_ONCE) as pool:
        for start in range(0, len(keys), _AT_ONCE * 8):
            yield from pool.map(get, keys[start : start + _AT_ONCE * 8])


def _numbers(store: ObjectStore) -> list[int]:
    names = (key.removeprefix(f"{FOLDER}/").removesuffix(".json") for key in store.keys(FOLDER))
    return sorted(int(name) for name in names if name.isdecimal())


def _named(problems: Sequence[Problem], number: int) -> bool:
    return any(problem.number == number for problem in problems)


def _parse(line: bytes) -> Entry | None:
    try:
        return Entry.model_validate_json(line)
    except ValidationError:
        return None


def _key(number: int) -> str:
    return f"{FOLDER}/{number:08d}.json"


def _hash(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()
