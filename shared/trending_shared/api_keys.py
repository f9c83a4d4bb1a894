"""Keys of the gateway's callers: how one is made, and what an operator keeps of it.

A key is 256 random bits. Nobody finds it by trying, whatever hash it is kept as, so one SHA-256 is
enough; the slow hashes that passwords need would only make every request slow. Its first letters
let scanners for secrets recognise one that was published by mistake.
"""

import hashlib
import re
import secrets
from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, time, timedelta
from enum import StrEnum
from typing import Self

PREFIX = "tn_"
LENGTH = len(PREFIX) + 43
ANONYMOUS = "anonymous"  # who has no key
NAME = r"[a-z0-9][a-z0-9_-]{0,63}"
_FORM = "name:scope+scope:hash, perhaps with :last-day"


class Scope(StrEnum):
    """What a key is good for; none includes another."""

    READ = "read"
    PREDICT = "predict"
    OPERATE = "operate"


@dataclass(frozen=True, slots=True)
class ApiKey:
    """What is known of a key: enough to recognise it, and not enough to use it."""

    name: str
    scopes: frozenset[Scope]
    digest: bytes = field(repr=False)
    last_day: date | None = None
    """In UTC; none: it never expires."""

    @classmethod
    def create(
        cls, name: str, scopes: Iterable[Scope], last_day: date | None = None
    ) -> tuple[str, Self]:
        """A new key, which nobody can tell again, and what is to be kept of it.

        Raises:
            ValueError: it can't have this name, or is good for nothing.
        """
        key = PREFIX + secrets.token_urlsafe(32)
        kept = cls(name, frozenset(scopes), hash_key(key.encode()), last_day)
        return key, cls.parse(kept.line)

    @classmethod
    def parse(cls, line: str) -> Self:
        """Read a key's line; the error repeats nothing of it.

        Raises:
            ValueError: it isn't one.
        """
        name, _, rest = line.strip().partition(":")
        if name.startswith(PREFIX):
            raise ValueError("that is a key; what is set is the line of `trending keys create`")
        scopes, _, rest = rest.partition(":")
        digest, _, last_day = rest.partition(":")
        if not re.fullmatch(NAME, name) or name == ANONYMOUS:
            raise ValueError(f"a name looks like {NAME}, and isn't {ANONYMOUS}; write {_FORM}")
        if not scopes or set(scopes.split("+")) - set(Scope):
            raise ValueError(f"scopes are {', '.join(Scope)}, joined by +; write {_FORM}")
        if not re.fullmatch(r"[0-9a-f]{64}", digest):
            raise ValueError(f"a hash is SHA-256 as 64 hex digits; write {_FORM}")
        if last_day and not re.fullmatch(r"\d{4}-\d\d-\d\d", last_day, re.ASCII):
            raise ValueError(f"a last day looks like 2027-01-31; write {_FORM}")
        return cls(
            name,
            frozenset(Scope(scope) for scope in scopes.split("+")),
            bytes.fromhex(digest),
            date.fromisoformat(last_day) if last_day else None,
        )

    @property
    def line(self) -> str:
        """As it is set."""
        scopes = "+".join(scope for scope in Scope if scope in self.scopes)
        end = f":{self.last_day}" if self.last_day else ""
        return f"{self.name}:{scopes}:{self.digest.hex()}{end}"

    def expired(self, now: datetime) -> bool:
        if self.last_day is None:
            return False
        return now >= datetime.combine(self.last_day, time(), UTC) + timedelta(days=1)


def hash_key(key: bytes) -> bytes:
    return hashlib.sha256(key).digest()


def parse_keys(lines: str) -> tuple[ApiKey, ...]:
    """Lines with commas between them. A name may come twice, for as long as one replaces another.

    Raises:
        ValueError: one isn't a key's line, or comes twice; says which, and repeats nothing of it.
    """
    keys: list[ApiKey] = []
    for number, line in enumerate((each for each in lines.split(",") if each.strip()), start=1):
        try:
            key = ApiKey.parse(line)
        except ValueError as error:
            raise ValueError(f"key {number}: {error}") from error
        if key.digest in {other.digest for other in keys}:
            raise ValueError(f"key {number}: its hash is there already")
        keys.append(key)
    return tuple(keys)
