"""What is erased and stays erased, named by hashes alone.

    erasures/<erasure id>/request.json    what is to go; written once, before anybody is asked
    erasures/<erasure id>/lifted          from then on what it names may come again

Each service erases what it owns (`RecordsErased`), and scraper, cleaner and featurizer leave out
whatever comes later by an erased author or from an erased page: a replay, a retry, the page itself.
A name is the SHA-256 of an author's keyed hash, an address or an id, so that the list of what was
erased doesn't hold it.
"""

import hashlib
from collections.abc import Iterable, Sequence
from functools import cached_property
from typing import Literal

from pydantic import AwareDatetime, BaseModel, ConfigDict, Field, ValidationError

from trending_shared.errors import ObjectMissing, Rejected, StoreUnavailable
from trending_shared.storage import ObjectStore

FOLDER = "erasures"
Kind = Literal["author", "page"]


class ErasureUnknown(Rejected):
    """An erasure was announced that the store doesn't hold, or not in a form that can be read."""


def name_of(value: str) -> str:
    """By which a value is named without being told: its SHA-256 in hex."""
    return hashlib.sha256(value.encode()).hexdigest()


def names_of(values: Iterable[str | None]) -> tuple[str, ...]:
    """The same of several, each once, sorted; what is missing has no name."""
    return tuple(sorted({name_of(value) for value in values if value}))


class Erasure(BaseModel):
    """What goes. All names are those of `name_of`."""

    model_config = ConfigDict(frozen=True, extra="ignore")

    erasure_id: str
    kind: Kind
    subjects: tuple[str, ...] = Field(
        description="the author's hashes, or the page's addresses; stay erased"
    )
    records: tuple[str, ...] = Field(
        default=(), description="ids of reviews and of scraped events, and hashes of texts"
    )
    titles: tuple[str, ...] = Field(
        default=(), description="ids of titles and signals that an erased page told of"
    )
    pages: tuple[str, ...] = Field(
        default=(), description="content hashes of pages whose bytes show what is erased"
    )
    asked_at: AwareDatetime
    asked_by: str
    reason: str

    @cached_property
    def _names(self) -> frozenset[str]:
        return frozenset((*self.subjects, *self.records))

    @cached_property
    def _titles(self) -> frozenset[str]:
        return frozenset(self.titles)

    @cached_property
    def _pages(self) -> frozenset[str]:
        return frozenset(self.pages)

    def names(self, *values: str | None) -> bool:
        """Whether any of these is the author, the page or a record."""
        return any(value is not None and name_of(value) in self._names for value in values)

    def names_title(self, title_id: str | None) -> bool:
        return title_id is not None and name_of(title_id) in self._titles

    def names_page(self, content_hash: str | None) -> bool:
        return content_hash is not None and name_of(content_hash) in self._pages


class Erasures:
    """All erasures of a store; blocks, and raises `StoreUnavailable` when it doesn't answer."""

    def __init__(self, store: ObjectStore) -> None:
        self._store = store
        self._known: dict[str, Erasure] = {}
        self._subjects: frozenset[str] = frozenset()
        self.authors = False
        """Whether any author is erased."""

    def read(self) -> None:
        """Learn what was asked for, or lifted, since."""
        keys = self._store.keys(FOLDER)
        ids = {key.split("/")[1] for key in keys if key.endswith("/request.json")}
        lifted = {key.split("/")[1] for key in keys if key.endswith("/lifted")}
        for erasure_id in ids - lifted - self._known.keys():
            try:
                self._known[erasure_id] = read_erasure(self._store, erasure_id)
            except ErasureUnknown as error:  # who doesn't know what is erased takes nothing
                raise StoreUnavailable(str(error)) from error
        for erasure_id in self._known.keys() & lifted:
            del self._known[erasure_id]
        in_force = self._known.values()
        self._subjects = frozenset(name for one in in_force for name in one.subjects)
        self.authors = any(one.kind == "author" for one in in_force)

    def erased(self, *values: str | None) -> bool:
        """Whether any of these, an author's hash or an address, is erased as far as was read."""
        if not self._subjects:
            return False
        return any(value is not None and name_of(value) in self._subjects for value in values)


def read_erasure(store: ObjectStore, erasure_id: str) -> Erasure:
    """What was asked for.

    Raises:
        ErasureUnknown: nothing of this id was.
        StoreUnavailable: the store didn't answer.
    """
    try:
        return Erasure.model_validate_json(store.get(f"{FOLDER}/{erasure_id}/request.json"))
    except (ObjectMissing, ValidationError) as error:
        raise ErasureUnknown(f"erasure {erasure_id}: {error}") from error


def list_erasures(store: ObjectStore) -> Sequence[Erasure]:
    """All that were ever asked for, oldest first."""
    keys = [key for key in store.keys(FOLDER) if key.endswith("/request.json")]
    found = (read_erasure(store, key.split("/")[1]) for key in keys)
    return sorted(found, key=lambda one: (one.asked_at, one.erasure_id))


def write_erasure(store: ObjectStore, erasure: Erasure) -> None:
    """Ask for it, and from now on leave out what comes again; once more is fine."""
    key = f"{FOLDER}/{erasure.erasure_id}/request.json"
    store.put_new(key, erasure.model_dump_json().encode())


def lift_erasure(store: ObjectStore, erasure_id: str) -> None:
    """Let what it names come again; what was erased stays erased."""
    store.put_new(f"{FOLDER}/{erasure_id}/lifted", b"")
