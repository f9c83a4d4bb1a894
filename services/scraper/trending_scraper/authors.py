"""Authors of reviews without their names: the same person gives the same hash, nobody gives a name.

HMAC-SHA256 (RFC 2104) with a key that only the scraper has; a plain hash could be undone by trying
names. A hash names its key, as in `k3fa91c:` and 48 hex digits, so that a key can be replaced. From
then on the same person gives another hash, and its key's id tells that it can't be compared with
earlier ones. Under the keys that are kept `Authors.hashes` finds what somebody wrote, to have it
erased. Hashes from before keys had ids are 64 hex digits.
"""

import hmac
import os
import secrets
import unicodedata
from pathlib import Path

from trending_shared.errors import SettingInvalid

KEY_FILE = "author-hash.key"  # below TRENDING_HOME
MIN_KEY = 16  # bytes


class Authors:
    """Turns names into hashes.

    Args:
        key: hashes from now on.
        old_keys: hashed before; those that aren't kept can't be searched for any more.
    """

    def __init__(self, key: bytes, *old_keys: bytes) -> None:
        self._keys = tuple(Key(secret) for secret in (key, *old_keys))

    def hash(self, source: str, name: str) -> str:
        """At most 64 characters; who has one name on two sites needn't be one person."""
        return self.hashes(source, name)[0]

    def hashes(self, source: str, name: str) -> tuple[str, ...]:
        """Every hash that this author may have in our data, the one of today first."""
        text = f"author\x1f{source}\x1f{_plain(name)}"
        digests = [key.digest(text) for key in self._keys]
        named = [f"{key.id}:{digest[:48]}" for key, digest in zip(self._keys, digests, strict=True)]
        return (*named, *digests)

    def without_name(self, identifier: str, name: str | None) -> str:
        """A review's identifier, replaced by a hash if it gives its author away."""
        if not name or _plain(name) not in _plain(identifier):
            return identifier
        return self._keys[0].digest(f"review\x1f{identifier}")[:32]


class Key:
    """A key, taken in once; `id` follows from it and tells nothing of it."""

    def __init__(self, secret: bytes) -> None:
        self._keyed = hmac.new(secret, digestmod="sha256")
        self.id = f"k{self.digest('key id')[:6]}"

    def digest(self, text: str) -> str:
        # Not `hmac.digest`: it gives up the interpreter's lock for a microsecond's work, and with
        # several pages read at once waits for it longer than for all else.
        keyed = self._keyed.copy()
        keyed.update(text.encode())
        return keyed.hexdigest()


def _plain(name: str) -> str:
    return " ".join(unicodedata.normalize("NFKC", name).casefold().split())


def author_keys(home: Path) -> tuple[bytes, ...]:
    """The keys of this installation, made when first asked for; readable by its owner only.

    The file has a line for each, the key of today first. Of several processes that make it at once,
    all get the one that was first.

    Raises:
        SettingInvalid: what lies in its place aren't keys.
    """
    path = home / KEY_FILE
    if not path.exists():
        home.mkdir(parents=True, exist_ok=True)
        draft = home / f".{KEY_FILE}.{secrets.token_hex(8)}"
        handle = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        try:
            with os.fdopen(handle, "w") as file:
                file.write(secrets.token_hex(32))
                file.flush()
                os.fsync(file.fileno())
            path.hardlink_to(draft)
        except FileExistsError:
            pass  # another process was first
        finally:
            draft.unlink()
    try:
        keys = tuple(bytes.fromhex(line) for line in path.read_text().split())
    except ValueError:
        keys = ()
    if not keys or min(map(len, keys)) < MIN_KEY:
        raise SettingInvalid(f"{path} holds no key; SCRAPER_AUTHOR_HASH_KEY may replace it")
    return keys
