"""The Delta table `features`: one row for each content that a title event tells of."""

from collections.abc import Mapping, Sequence
from typing import Any

from trending_featurizer.featurizing import FEATURES
from trending_shared.messages import Position
from trending_shared.tables import Follower, OffsetTable

Row = Mapping[str, Any]


class FeatureTable:
    """Appends rows of `FEATURES`; blocking, for a thread.

    It remembers which rows the table has: a million take 60 MB.
    """

    def __init__(self, url: str) -> None:
        self._table = OffsetTable(url, "features", schema=FEATURES, owner="featurizer")
        self._known: set[int] = set()
        self._follower = Follower(
            self._table, ["event_id", "content_hash"], forget=self._known.clear
        )

    def append(self, rows: Sequence[tuple[Position, Row]]) -> int:
        """Append the rows that aren't in the table yet.

        An offset tells a record that is read again. An event can come under a second offset too:
        through a retry topic, or because its sender published it twice; then its page may have
        been fetched twice as well, at another time.

        Returns:
            How many rows were appended.

        Raises:
            StoreUnavailable: the table's storage didn't answer.
        """
        if not rows:
            return 0
        self._known.update(_key(row) for row in self._follower.new_rows().to_pylist())
        new: dict[int, tuple[Position, Row]] = {}
        for position, row in rows:
            if (key := _key(row)) not in self._known:
                new.setdefault(key, (position, row))
        return self._table.append(new.values())


def _key(row: Row) -> int:
    """64 bits of event and content: objects of strings would take four times as much memory."""
    return int(row["event_id"].replace("-", "")[:16], 16) ^ int(row["content_hash"], 16)
