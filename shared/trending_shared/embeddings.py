"""From texts to vectors, each distinct text once: the sentence encoder and what it said before.

Vectors are kept on disk by encoder and text hash, in a SQLite file that any number of processes of
one machine share: a title comes again when only its counters moved, a model is trained again on
titles that were featurized, and a process that was killed starts with what it knew.
"""

import sqlite3
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Protocol

import numpy as np
import structlog
from numpy.typing import NDArray

from trending_shared.errors import StoreUnavailable
from trending_shared.features import text_hash

log = structlog.get_logger()

VECTORS = "vectors.sqlite"
"""The file below the home folder."""
_AT_ONCE = 500  # SQLite takes at least 999 parameters a statement
_SCHEMA = """
CREATE TABLE IF NOT EXISTS vectors (
    number INTEGER PRIMARY KEY, encoder TEXT, text_hash TEXT, vector BLOB,
    UNIQUE (encoder, text_hash)
)
"""


class Encoder(Protocol):
    """What `trending_shared.encoder.SentenceEncoder` offers."""

    version: str

    def encode(self, texts: Sequence[str]) -> NDArray[np.float32]: ...


class Embedder:
    """An encoder that keeps its answers; threads may share it.

    A file that can't be used costs time and no answer: everything is encoded then.

    Args:
        load: makes the encoder, which takes seconds; called once, in `load` or on first use.
        file: where vectors are kept, 1.5 KB each.
        most: vectors that are kept, those computed last.
        tell: called with how many texts were encoded, and how many weren't.
    """

    def __init__(
        self,
        load: Callable[[], Encoder],
        *,
        file: Path,
        most: int = 1_000_000,
        tell: Callable[[int, int], None] = lambda computed, reused: None,
    ) -> None:
        self._make = load
        self._encoder: Encoder | None = None
        self._file = file
        self._most = most
        self._tell = tell

    def load(self) -> Encoder:
        if self._encoder is None:
            self._encoder = self._make()
        return self._encoder

    @property
    def version(self) -> str:
        """Which encoder makes the vectors."""
        return self.load().version

    def embed(self, texts: Sequence[str]) -> NDArray[np.float32]:
        """Vectors of one or more texts, in their order: shape (len(texts), dimension)."""
        by_hash = {text_hash(text): text for text in texts}
        vectors = self._known(list(by_hash))
        new = [hash for hash in by_hash if hash not in vectors]
        if new:
            rows = self.load().encode([by_hash[hash] for hash in new])
            vectors.update(zip(new, rows, strict=True))
            self._keep({hash: vectors[hash] for hash in new})
        self._tell(len(new), len(texts) - len(new))
        return np.stack([vectors[text_hash(text)] for text in texts])

    def _known(self, hashes: Sequence[str]) -> dict[str, NDArray[np.float32]]:
        found: dict[str, NDArray[np.float32]] = {}
        with self._forgiving(), closing(self._connect()) as kept:
            for start in range(0, len(hashes), _AT_ONCE):
                some = hashes[start : start + _AT_ONCE]
                marks = ",".join("?" * len(some))
                query = (
                    "SELECT text_hash, vector FROM vectors "
                    f"WHERE encoder = ? AND text_hash IN ({marks})"
                )
                for hash, vector in kept.execute(query, (self.version, *some)):
                    found[hash] = np.frombuffer(vector, np.float32)
        return found

    def _keep(self, vectors: Mapping[str, NDArray[np.float32]]) -> None:
        rows = [
            (self.version, hash, np.asarray(vector, np.float32).tobytes())
            for hash, vector in vectors.items()
        ]
        with self._forgiving(), closing(self._connect()) as kept, kept:
            kept.executemany(
                "INSERT OR IGNORE INTO vectors (encoder, text_hash, vector) VALUES (?, ?, ?)", rows
            )
            kept.execute(
                "DELETE FROM vectors WHERE number <= (SELECT max(number) FROM vectors) - ?",
                (self._most,),
            )

    def forget(self, hashes: Sequence[str]) -> int:
        """Keep nothing of these texts on this machine's disk; how many vectors went.

        Raises:
            StoreUnavailable: the file is in use by others, or damaged.
        """
        if not self._file.exists():
            return 0
        try:
            with closing(self._connect()) as kept:
                with kept:
                    cursor = kept.executemany(
                        "DELETE FROM vectors WHERE text_hash = ?", [(hash,) for hash in hashes]
                    )
                kept.execute("PRAGMA wal_checkpoint(TRUNCATE)")
                return max(0, cursor.rowcount)
        except (sqlite3.Error, OSError) as error:
            raise StoreUnavailable(f"{self._file.name}: {error}") from error

    def _connect(self) -> sqlite3.Connection:
        self._file.parent.mkdir(parents=True, exist_ok=True)
        kept = sqlite3.connect(self._file, timeout=30)
        try:
            kept.execute("PRAGMA journal_mode = WAL")
            kept.execute("PRAGMA secure_delete = ON")
            kept.execute(_SCHEMA)
        except sqlite3.Error:
            kept.close()
            raise
        return kept

    @contextmanager
    def _forgiving(self) -> Iterator[None]:
        try:
            yield
        except (sqlite3.Error, OSError) as error:
            log.warning("vectors_not_kept", file=self._file.name, detail=str(error))
