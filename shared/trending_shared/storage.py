"""The object store: one class over a folder, S3 or memory, all through obstore.

Keys are relative paths with `/`. What is written under a content hash never changes, so `put` may
repeat itself; `put_new` is the one primitive that decides races: of many writers exactly one
creates an object, on a folder and on S3 alike.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import unquote, urlsplit

from obstore.exceptions import AlreadyExistsError, BaseError, NotFoundError
from obstore.store import LocalStore, MemoryStore, S3Store, from_url

from trending_shared.errors import ObjectMissing, SettingInvalid, StoreUnavailable


@contextmanager
def _translated(key: str) -> Iterator[None]:
    try:
        yield
    except (NotFoundError, FileNotFoundError) as error:
        raise ObjectMissing(f"the store holds no {key}") from error
    except (BaseError, OSError) as error:
        if isinstance(error, AlreadyExistsError | FileExistsError):
            raise
        raise StoreUnavailable(f"{key}: {error}") from error


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

    def delete(self, key: str) -> None:
        """Remove an object; a missing one is fine."""
        try:
            with _translated(key):
                self._store.delete(key)
        except ObjectMissing:
            return
