"""The Delta table `features`: one row for each title event, whichever way it arrives."""

from collections.abc import Mapping, Sequence
from typing import Any

import pyarrow.dataset as ds
from deltalake.exceptions import DeltaError

from trending_featurizer.featurizing import FEATURES
from trending_shared.errors import StoreUnavailable
from trending_shared.messages import Position
from trending_shared.tables import OffsetTable

Row = Mapping[str, Any]


class FeatureTable:
    """Appends rows of `FEATURES`; blocking, for a thread."""

    def __init__(self, url: str) -> None:
        self._table = OffsetTable(url, "features", schema=FEATURES, owner="featurizer")

    def append(self, rows: Sequence[tuple[Position, Row]]) -> int:
        """Append the rows whose events aren't in the table yet.

        An offset tells a record that is read again. An event can come under a second offset too:
        through a retry topic, or because its sender published it twice.

        Returns:
            How many rows were appended.

        Raises:
            StoreUnavailable: the table's storage didn't answer.
        """
        known = self._find_known([row for _, row in rows])
        new: dict[str, tuple[Position, Row]] = {}
        for position, row in rows:
            if row["event_id"] not in known:
                new.setdefault(row["event_id"], (position, row))
        return self._table.append(new.values())

    def _find_known(self, rows: Sequence[Row]) -> set[str]:
        """The event ids of these rows that the table has.

        The same event has the same time of fetching: Delta's statistics leave few files to read.
        """
        if not rows:
            return set()
        times = [row["fetched_at"] for row in rows]
        fetched_at = ds.field("fetched_at")
        wanted = (
            (fetched_at >= min(times))
            & (fetched_at <= max(times))
            & ds.field("event_id").isin([row["event_id"] for row in rows])
        )
        table = self._table.open()
        try:
            found = table.to_pyarrow_dataset().to_table(columns=["event_id"], filter=wanted)
        except (DeltaError, OSError) as error:
            raise StoreUnavailable(f"table {self._table.uri}: {error}") from error
        return set(found.column("event_id").to_pylist())
