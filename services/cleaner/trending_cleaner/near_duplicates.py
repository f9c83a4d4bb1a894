"""Reviews that repeat another one with a word changed here and there: copied, syndicated, spun.

Two reviews of one title, by whichever source, are alike if their sets of phrases (three words in a
row) overlap by `ALIKE` at least: |A & B| / |A | B|. One changed word of a hundred leaves 94 %.
Which reviews are worth comparing is found by MinHash and locality-sensitive hashing: 64 hashes in
16 bands, so that a pair that is 70 % alike is looked at with 98.8 % probability, one of 80 % with
99.98 %, one of 20 % with 3 %; what is looked at is then compared exactly. Of different titles only
the very same text, of twenty words or more and from another source, is a copy: titles that nobody
recognised as one. A few words say too little: they repeat another review only in the same words of
the same author about the same title.

The first to be taken stays; a later one names it.

Sources: Broder 1997, "On the resemblance and containment of documents"; Leskovec, Rajaraman and
Ullman, "Mining of Massive Datasets", chapter 3; Dietzfelbinger 1997 (multiply-shift hashing).
"""

import re
import sqlite3
import unicodedata
from collections.abc import Collection
from dataclasses import dataclass
from functools import cached_property, lru_cache
from typing import Any
from uuid import UUID
from zlib import crc32

import numpy as np
from numpy.typing import NDArray

from trending_shared.errors import Rejected
from trending_shared.events import ReviewCleaned
from trending_shared.messages import content_hash
from trending_shared.tables import Follower, OffsetTable

ALIKE = 0.7
PHRASE = 3  # words
FEW = 8  # words; fewer are compared as a whole
TELLING = 20  # words; as many aren't found in two reviews by chance
_BANDS, _ROWS = 16, 4
_COMPARED = 100  # candidates of a band; more share a form letter's phrase

_chance = np.random.default_rng(1)
_FACTORS = _chance.integers(2**63, size=(_BANDS * _ROWS, 1), dtype=np.uint64) * 2 + 1
_TERMS = _chance.integers(2**63, size=(_BANDS * _ROWS, 1), dtype=np.uint64)
_WORD = re.compile(r"\w+")

_SCHEMA = """
CREATE TABLE reviews (
    number INTEGER PRIMARY KEY, review_id TEXT, title_id TEXT, source TEXT, author TEXT,
    fetched_at TEXT, whole TEXT, phrases BLOB);
CREATE INDEX reviews_by_whole ON reviews (whole);
CREATE TABLE bands (band INTEGER, number INTEGER, PRIMARY KEY (band, number)) WITHOUT ROWID;
CREATE TABLE refused (event_id TEXT PRIMARY KEY, detail TEXT) WITHOUT ROWID;
"""


class NearDuplicateReview(Rejected):
    """A review repeats another one."""


@dataclass(frozen=True)
class Sketch:
    """What of a text is compared."""

    words: tuple[str, ...]

    @classmethod
    @lru_cache(maxsize=1000)  # judged in one batch, read back from the table before the next
    def of(cls, text: str) -> "Sketch":
        return cls(tuple(_WORD.findall(unicodedata.normalize("NFKC", text).casefold())))

    @cached_property
    def whole(self) -> str:
        return content_hash(" ".join(self.words))

    @cached_property
    def phrases(self) -> NDArray[np.uint32]:
        """Hashes of all phrases, each once: shape (n,), sorted."""
        words = self.words
        starts = range(len(words) - PHRASE + 1)
        hashes = {crc32(" ".join(words[start : start + PHRASE]).encode()) for start in starts}
        return np.array(sorted(hashes), np.uint32)

    @cached_property
    def bands(self) -> tuple[int, ...]:
        """One hash of each band's rows of the signature; none for a few words."""
        if len(self.words) < FEW:
            return ()
        hashed = (_FACTORS * self.phrases.astype(np.uint64) + _TERMS) >> np.uint64(32)
        rows = hashed.min(axis=1).reshape(_BANDS, _ROWS)
        return tuple(band << 32 | crc32(row.tobytes()) for band, row in enumerate(rows))


def likeness(one: NDArray[np.uint32], other: NDArray[np.uint32]) -> float:
    """The share of phrases that two sets have in common, of all that either has."""
    common = np.intersect1d(one, other, assume_unique=True).size
    return float(common / max(1, one.size + other.size - common))


class KnownReviews:
    """The reviews in the table, and those of the batch at work, by what makes them alike.

    They lie in an SQLite file of this process: a million of a hundred words take 1 GB of disk.
    """

    def __init__(self, reviews: OffsetTable, rejects: OffsetTable) -> None:
        self._db = sqlite3.connect("", check_same_thread=False)
        self._db.executescript("PRAGMA journal_mode=MEMORY; PRAGMA synchronous=OFF;" + _SCHEMA)
        self._reviews = Follower(
            reviews,
            ["review_id", "title_id", "source", "author_hash", "fetched_at", "text"],
            forget=lambda: self._forget("reviews", "bands"),
        )
        self._rejects = Follower(
            rejects,
            ["record", "reason", "event_id", "detail"],
            forget=lambda: self._forget("refused"),
        )

    def read(self) -> None:
        """Learn what was appended since, by whomever; forget what was only added.

        Raises:
            StoreUnavailable: a table's storage didn't answer.
        """
        self._db.rollback()
        for batch in self._rejects.new_batches():
            refused = [
                (row["event_id"], row["detail"])
                for row in batch.to_pylist()
                if row["reason"] == NearDuplicateReview.__name__
            ]
            self._db.executemany("INSERT OR IGNORE INTO refused VALUES (?, ?)", refused)
        for batch in self._reviews.new_batches():
            for row in batch.to_pylist():
                self._add(row, Sketch.of(row["text"]))
        self._db.commit()

    def judge(self, event_id: UUID, review: ReviewCleaned, same_title: Collection[str]) -> None:
        """Add a review that repeats none.

        Args:
            same_title: the ids of its title at all sources.

        Raises:
            NearDuplicateReview: it repeats one; of several, the one that was first fetched.
        """
        query = "SELECT detail FROM refused WHERE event_id = ?"
        for (detail,) in self._db.execute(query, (str(event_id),)):
            raise NearDuplicateReview(detail)
        sketch = Sketch.of(review.text)
        row = {**review.model_dump(), "fetched_at": review.page.fetched_at}
        for other in self._candidates(sketch):
            share = _share(sketch, row, other, same_title)
            if share >= ALIKE:
                raise NearDuplicateReview(f"{share:.0%} of its phrases are those of {other[0]}")
        self._add(row, sketch)

    def _forget(self, *tables: str) -> None:
        for table in tables:
            self._db.execute(f"DELETE FROM {table}")

    def _candidates(self, sketch: Sketch) -> list[tuple[Any, ...]]:
        columns = "review_id, title_id, source, author, fetched_at, whole, phrases"
        found = self._db.execute(
            f"SELECT {columns} FROM reviews WHERE whole = ? LIMIT {_COMPARED}", (sketch.whole,)
        ).fetchall()
        for band in sketch.bands:
            found += self._db.execute(
                f"SELECT {columns} FROM bands JOIN reviews USING (number) "
                f"WHERE band = ? LIMIT {_COMPARED}",
                (band,),
            ).fetchall()
        return sorted(set(found), key=lambda row: (row[4], row[0]))

    def _add(self, row: dict[str, Any], sketch: Sketch) -> None:
        values = (
            *(row["review_id"], row["title_id"], row["source"], row["author_hash"]),
            *(row["fetched_at"].isoformat(), sketch.whole, sketch.phrases.tobytes()),
        )
        number = self._db.execute(
            "INSERT INTO reviews (review_id, title_id, source, author, fetched_at, whole, phrases)"
            " VALUES (?, ?, ?, ?, ?, ?, ?)",
            values,
        ).lastrowid
        self._db.executemany(
            "INSERT OR IGNORE INTO bands VALUES (?, ?)", [(band, number) for band in sketch.bands]
        )


def _share(
    sketch: Sketch, row: dict[str, Any], other: tuple[Any, ...], same_title: Collection[str]
) -> float:
    """How much of another review one repeats; 0 if being alike means nothing."""
    review_id, title_id, source, author, _, whole, phrases = other
    if review_id == row["review_id"]:
        return 0.0
    same_words = whole == sketch.whole
    if title_id != row["title_id"] and title_id not in same_title:
        return float(same_words and source != row["source"] and len(sketch.words) >= TELLING)
    if len(sketch.words) < FEW:
        return float(same_words and author is not None and author == row["author_hash"])
    return 1.0 if same_words else likeness(sketch.phrases, np.frombuffer(phrases, np.uint32))
