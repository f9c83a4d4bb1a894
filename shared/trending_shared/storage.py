"""The object store: one class over a folder, S3 or memory, all through obstore.

Keys are relative paths with `/`. What is written under a content hash never changes, so `put` may
repeat itself; `put_new` is the one primitive that decides races: of many writers exactly one
creates an object, on a folder and on S3 alike.
"""

import asyncio
import re
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path
from urllib.parse import unquote, urlsplit

import structlog
from obstore.exceptions import AlreadyExistsError, BaseError, NotFoundError
from obstore.store import LocalStore, MemoryStore, S3Store, from_url

from trending_shared.errors import ObjectMissing, SettingInvalid, StoreUnavailable

log = structlog.get_logger()


# What S3 says that it will say again, and which variable is to be changed.
_VARIABLES = {
    "AccessDenied": "STORE_URL, AWS_ACCESS_KEY_ID",
    "AuthorizationHeaderMalformed": "AWS_REGION",
    "ExpiredToken": "AWS_SESSION_TOKEN",
    "InvalidAccessKeyId": "AWS_ACCESS_KEY_ID",
    "InvalidToken": "AWS_SESSION_TOKEN",
    "NoSuchBucket": "STORE_URL",
    "PermanentRedirect": "AWS_REGION",
    "SignatureDoesNotMatch": "AWS_SECRET_ACCESS_KEY",
    "XAdminUserNotFound": "AWS_ACCESS_KEY_ID",  # versitygw's word for it
}
_NO_HTTP = ("BadScheme", "URL scheme is not allowed")


def _code(error: Exception) -> str:
    found = re.search("<Code>(.+?)</Code>", str(error))
    return found[1] if found else ""


def in_short(error: Exception) -> str:
    """One line of what an S3 client says in fifty: the server's own words, if there are any."""
    if code := _code(error):
        said = re.search("<Message>(.+?)</Message>", str(error), re.DOTALL)
        return f"{code}: {said[1]}" if said else code
    lines = str(error).strip().splitlines() or [type(error).__name__]
    return lines[0]


def _variable(error: Exception) -> str | None:
    """The variable that is to be changed if trying again won't help."""
    if any(words in str(error) for words in _NO_HTTP):
        return "AWS_ALLOW_HTTP"
    return _VARIABLES.get(_code(error))


@contextmanager
def _translated(key: str) -> Iterator[None]:
    try:
        yield
    except (NotFoundError, FileNotFoundError) as error:
        if _code(error) in _VARIABLES:  # not the object is missing, but all of them
            raise StoreUnavailable(f"{key}: {in_short(error)}") from error
        raise ObjectMissing(f"the store holds no {key}") from error
    except (BaseError, OSError) as error:
        if isinstance(error, AlreadyExistsError | FileExistsError):
            raise
        raise StoreUnavailable(f"{key}: {in_short(error)}") from error


class ObjectStore:
    """Bytes under keys.

    Raises:
        ObjectMissing: there is nothing under the key.
        StoreUnavailable: the store didn't answer.
    """

    def __init__(self, store: LocalStore | MemoryStore | S3Store) -> None:
        self._store = store

    @classmethod
    def at(cls, url: str) -> "ObjectStore":
        """Open the store at `file:///folder` (made if missing), `s3://bucket/prefix` or `memory:///`.

        Credentials and endpoint of S3 come from the `AWS_…` variables, as every S3 client reads
        them.

        Raises:
            SettingInvalid: `STORE_URL` isn't such a URL.
        """
        scheme = urlsplit(url).scheme
        if scheme == "file":
            folder = Path(unquote(urlsplit(url).path))
            folder.mkdir(parents=True, exist_ok=True)
            return cls(LocalStore(folder))
        if scheme == "s3":
            return cls(from_url(url))  # type: ignore[arg-type]
        if scheme == "memory":
            return cls(MemoryStore())
        raise SettingInvalid(f"STORE_URL: {url!r} must start with file://, s3:// or memory://")

    def check(self) -> None:
        """Ask for something, whatever it is.

        Raises:
            SettingInvalid: the store answers, and will go on refusing what we were told to say.
        """
        try:
            self.keys("aliases")
        except StoreUnavailable as unavailable:
            cause = unavailable.__cause__
            if isinstance(cause, Exception) and (variable := _variable(cause)):
                raise SettingInvalid(f"{variable}: the object store: {in_short(cause)}") from cause
            raise

    def get(self, key: str) -> bytes:
        with _translated(key):
            return bytes(self._store.get(key).bytes())

    def put(self, key: str, data: bytes) -> None:
        """Write or replace an object, whole or not at all."""
        with _translated(key):
            self._store.put(key, data)

    def put_new(self, key: str, data: bytes) -> bool:
        """Create an object; false if there was one already."""
        try:
            with _translated(key):
                self._store.put(key, data, mode="create")
        except (AlreadyExistsError, FileExistsError):
            return False
        return True

    def exists(self, key: str) -> bool:
        try:
            with _translated(key):
                self._store.head(key)
        except ObjectMissing:
            return False
        return True

    def keys(self, prefix: str) -> list[str]:
        """All keys below a prefix (a whole path segment), sorted."""
        with _translated(prefix):
            return sorted(item["path"] for page in self._store.list(prefix) for item in page)

    def written_before(self, prefix: str, moment: datetime) -> list[str]:
        """Keys below a prefix of what was last written before a moment, sorted."""
        with _translated(prefix):
            return sorted(
                item["path"]
                for page in self._store.list(prefix)
                for item in page
                if item["last_modified"] < moment
            )

    def delete(self, key: str) -> None:
        """Remove an object; a missing one is fine."""
        try:
            with _translated(key):
                self._store.delete(key)
        except ObjectMissing:
            return


async def check_store(url: str) -> None:
    """Stop at the start if S3 at `url` refuses us; one that doesn't answer may do so later.

    Raises:
        SettingInvalid: it answers, and will go on refusing what we were told to say.
    """
    if not url.startswith("s3://"):
        return
    try:
        await asyncio.to_thread(lambda: ObjectStore.at(url).check())
    except StoreUnavailable as error:
        log.warning("store_not_there_yet", detail=str(error))
