"""Authors of reviews without their names: the same person gives the same hash, nobody gives a name.

HMAC-SHA256 (RFC 2104) with a key that only the scraper has; a plain hash could be undone by trying
names. The key may not change: all hashes would.
"""

import hmac
import os
import secrets
import unicodedata
from pathlib import Path

from trending_shared.errors import SettingInvalid

KEY_FILE = "author-hash.key"  # below TRENDING_HOME


class Authors:
    """Turns names into hashes."""

    def __init__(self, key: bytes) -> None:
        self._key = key

    def hash(self, source: str, name: str) -> str:
        """64 hex digits; who has one name on two sites needn't be one person."""
        return self._digest(f"author\x1f{source}\x1f{_plain(name)}")

    def without_name(self, identifier: str, name: str | None) -> str:
        """A review's identifier, replaced by a hash if it gives its author away."""
        if not name or _plain(name) not in _plain(identifier):
            return identifier
        return self._digest(f"review\x1f{identifier}")[:32]

    def _digest(self, text: str) -> str:
        return hmac.digest(self._key, text.encode(), "sha256").hex()


def _plain(name: str) -> str:
    return " ".join(unicodedata.normalize("NFKC", name).casefold().split())


def author_key(home: Path) -> bytes:
    """The key of this installation, made when first asked for; readable by its owner only.

    Of several processes that make it at once, all get the one that was first.

    Raises:
        SettingInvalid: what lies in its place isn't a key.
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
        return bytes.fromhex(path.read_text())
    except ValueError as error:
        raise SettingInvalid(
            f"{path} holds no key; SCRAPER_AUTHOR_HASH_KEY may replace it"
        ) from error
