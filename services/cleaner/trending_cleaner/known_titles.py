"""What is known of all titles when one more is told of: who else may be it, and what was said last.

The tables `titles`, `facts` and `merged` are the memory. What a batch needs of them lies in an
SQLite file of this process: written as rows are appended, by whomever, and gone with the process.
So memory doesn't grow with the tables, and any replica that has read them knows the same.
"""

import json
import sqlite3
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from trending_cleaner.merging import Row
from trending_cleaner.resolving import NAMESAKES, Told, name_key
from trending_shared.tables import Follower, OffsetTable

_MERGED_FROM = (
    *("title_id", "source", "source_id", "license", "name", "kind", "year", "genres", "countries"),
    *("language", "runtime_minutes", "rating", "rating_count", "external_ids"),
)
_TELLING = [*_MERGED_FROM, "content_hash", "fetched_at"]
_SAID = ["title_id", "resolution", "absorbed_ids", "members", "content_hash", "event_id"]
_NEIGHBOURS = 2 * NAMESAKES  # also those that a fact shared by too many has just parted

_SCHEMA = """
CREATE TABLE tellings (
    title_id TEXT, described INTEGER, first_at INTEGER, at INTEGER, content_hash TEXT, name TEXT,
    body TEXT, PRIMARY KEY (title_id, described)) WITHOUT ROWID;
CREATE INDEX tellings_by_name ON tellings (name) WHERE name IS NOT NULL;
CREATE TABLE ids (
    title_id TEXT, described INTEGER, id TEXT, PRIMARY KEY (title_id, described, id)) WITHOUT ROWID;
CREATE INDEX ids_by_id ON ids (id);
CREATE TABLE said (
    title_id TEXT PRIMARY KEY, resolution INTEGER, content_hash TEXT, cause TEXT) WITHOUT ROWID;
CREATE INDEX said_by_cause ON said (cause);
CREATE TABLE members (
    title_id TEXT, merged_id TEXT, PRIMARY KEY (title_id, merged_id)) WITHOUT ROWID;
CREATE INDEX members_by_merged ON members (merged_id);
"""


@dataclass(frozen=True, slots=True)
class Said:
    """The last that was said of a merged title, and the event that led to it."""

    title_id: str
    resolution: int
    content_hash: str
    cause: str


class KnownTitles:
    """The newest of what each source tells of each title, and of what was said of them merged.

    Every method may be called from any thread, one at a time. A million titles take 1 GB of disk.
    """

    def __init__(self, *, titles: OffsetTable, facts: OffsetTable, merged: OffsetTable) -> None:
        # An empty name is a file in the folder for temporary ones, deleted when it is closed.
        self._db = sqlite3.connect("", check_same_thread=False)
        self._db.executescript("PRAGMA journal_mode=MEMORY; PRAGMA synchronous=OFF;" + _SCHEMA)
        self._titles = Follower(
            titles, [*_TELLING, "plot"], forget=lambda: self._forget_tellings(described=1)
        )
        self._facts = Follower(facts, _TELLING, forget=lambda: self._forget_tellings(described=0))
        self._merged = Follower(merged, _SAID, forget=self._forget_said)
        self._looked_up: dict[str, list[Row]] = {}
        self.resolution = 0

    def close(self) -> None:
        self._db.close()

    def read(self) -> None:
        """Learn what was appended since, by whomever.

        Raises:
            StoreUnavailable: a table's storage didn't answer.
        """
        self._looked_up.clear()
        for described, follower in ((1, self._titles), (0, self._facts)):
            for batch in follower.new_batches():
                self._learn_tellings(batch.to_pylist(), described)
        self.resolution = self._titles.version + self._facts.version
        for batch in self._merged.new_batches():
            self._learn_said(batch.to_pylist())

    # ------------------------------------------------------------ what is asked

    def neighbours(self, title_ids: Iterable[str]) -> set[str]:
        """These titles, all that share ids or names with them or with one of these, and so on.

        What was said to be one title counts too, so that it is corrected when it isn't any more.
        """
        found: set[str] = set()
        waiting = set(title_ids)
        while waiting:
            one = waiting.pop()
            if one not in found:
                found.add(one)
                waiting.update(self._beside(one) - found)
        return found

    def told(self, title_ids: Iterable[str]) -> list[Told]:
        """What these titles can be recognised by."""
        found = []
        for title_id in title_ids:
            if rows := self._tellings(title_id):
                found.append(
                    Told(
                        title_id=title_id,
                        source=rows[0]["source"],
                        first_at=rows[0]["first_at"],
                        described=rows[0]["described"],
                        name=rows[0]["name_key"],
                        ids=frozenset(id for row in rows for id in row["external_ids"]),
                    )
                )
        return found

    def tellings(self, title_ids: Iterable[str]) -> list[Row]:
        """The newest row of each of these titles in each table, as `merging.merge` takes them."""
        return [row for title_id in title_ids for row in self._tellings(title_id)]

    def same_title(self, title_id: str) -> set[str]:
        """What was last said to be one title with this one, which is among it."""
        query = (
            "SELECT theirs.title_id FROM members AS its JOIN members AS theirs USING (merged_id) "
            "WHERE its.title_id = ?"
        )
        return {title_id, *(one for (one,) in self._rows(query, title_id))}

    def said(self, title_id: str) -> Said | None:
        """What was said last of a merged title."""
        query = "SELECT title_id, resolution, content_hash, cause FROM said WHERE title_id = ?"
        rows = self._rows(query, title_id)
        return Said(*rows[0]) if rows else None

    def said_because_of(self, event_id: str) -> list[str]:
        """The merged titles of which the last that was said followed from this event."""
        return [id for (id,) in self._rows("SELECT title_id FROM said WHERE cause = ?", event_id)]

    def _beside(self, title_id: str) -> set[str]:
        beside: set[str] = set()
        for row in self._tellings(title_id):
            for id in row["external_ids"]:
                beside.update(self._few("SELECT DISTINCT title_id FROM ids WHERE id = ?", id))
            if row["name_key"]:
                query = "SELECT DISTINCT title_id FROM tellings WHERE name = ?"
                beside.update(self._few(query, row["name_key"]))
        return beside | self.same_title(title_id)

    def _tellings(self, title_id: str) -> list[Row]:
        """The description, then the facts."""
        if title_id not in self._looked_up:
            self._looked_up[title_id] = [
                {**json.loads(body), "described": bool(described), "first_at": at, "name_key": name}
                for described, at, name, body in self._rows(
                    "SELECT described, first_at, name, body FROM tellings WHERE title_id = ? "
                    "ORDER BY described DESC",
                    title_id,
                )
            ]
        return self._looked_up[title_id]

    def _few(self, query: str, what: str) -> Sequence[str]:
        rows = self._rows(f"{query} LIMIT {_NEIGHBOURS + 1}", what)
        return [one for (one,) in rows] if len(rows) <= _NEIGHBOURS else []

    def _rows(self, query: str, *values: str) -> list[Any]:
        return self._db.execute(query, values).fetchall()

    # ------------------------------------------------------------ what is learned

    def _forget_tellings(self, *, described: int) -> None:
        with self._db:
            for table in ("tellings", "ids"):
                self._db.execute(f"DELETE FROM {table} WHERE described = ?", (described,))

    def _forget_said(self) -> None:
        with self._db:
            self._db.executescript("DELETE FROM said; DELETE FROM members;")

    def _learn_tellings(self, rows: Sequence[Row], described: int) -> None:
        with self._db:
            for row in rows:
                self._learn_telling(row, described)

    def _learn_telling(self, row: Row, described: int) -> None:
        title_id, at = row["title_id"], int(row["fetched_at"].timestamp() * 1_000_000)
        version = (at, row["content_hash"])
        known = self._db.execute(
            "SELECT first_at, at, content_hash FROM tellings WHERE title_id = ? AND described = ?",
            (title_id, described),
        ).fetchone()
        first_at = min(at, known[0]) if known else at
        if known and version <= known[1:]:
            self._db.execute(
                "UPDATE tellings SET first_at = ? WHERE title_id = ? AND described = ?",
                (first_at, title_id, described),
            )
            return
        ids = row["external_ids"] or []
        body = {name: row[name] for name in _MERGED_FROM} | {"external_ids": ids}
        if described:
            body["plot"] = row["plot"]
        self._db.execute(
            "INSERT OR REPLACE INTO tellings VALUES (?, ?, ?, ?, ?, ?, ?)",
            (
                *(title_id, described, first_at, *version),
                name_key(row["name"], row["kind"], row["year"]),
                json.dumps(body),
            ),
        )
        if known:
            self._db.execute(
                "DELETE FROM ids WHERE title_id = ? AND described = ?", (title_id, described)
            )
        if ids:
            self._db.executemany(
                "INSERT INTO ids VALUES (?, ?, ?)", [(title_id, described, id) for id in ids]
            )

    def _learn_said(self, rows: Sequence[Row]) -> None:
        """Of two sayings that speak of one title, the one that was made knowing more holds."""
        with self._db:
            for row in rows:
                ids = [row["title_id"], *row["absorbed_ids"]]
                known = [said for id in ids if (said := self.said(id))]
                if any(said.resolution > row["resolution"] for said in known):
                    continue
                now = (row["resolution"], row["content_hash"], row["event_id"])
                for id in ids:  # of one that is absorbed, that there is nothing more to say
                    self._db.execute("DELETE FROM members WHERE merged_id = ?", (id,))
                    values = (id, *(now if id == row["title_id"] else (now[0], "", "")))
                    self._db.execute("INSERT OR REPLACE INTO said VALUES (?, ?, ?, ?)", values)
                self._db.executemany(
                    "INSERT INTO members VALUES (?, ?)",
                    [(member["title_id"], row["title_id"]) for member in row["members"]],
                )
