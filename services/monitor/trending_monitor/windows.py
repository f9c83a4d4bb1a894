"""Windows of predictions, kept in the catalog so that a restart loses and repeats nothing.

A prediction belongs to no window at first. As soon as a model has enough of those, the oldest are
given a window's id in one transaction; the same transaction stores the window's scores. What was
predicted in shadow stays outside: it was told to nobody.
"""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from uuid import uuid5

import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncConnection

from trending_monitor.drift import DriftReport, Served
from trending_shared.catalog import Catalog, corrections, predictions, windows
from trending_shared.events import GenresCorrected, PredictionServed, Trial
from trending_shared.messages import NAMESPACE, Message

_NO_TRIAL = dict.fromkeys(Trial.model_fields)


@dataclass(frozen=True, slots=True)
class Window:
    """A measured window."""

    window_id: str
    model: str
    model_version: str
    predictions: int
    first_at: datetime
    last_at: datetime
    report: DriftReport


Measure = Callable[[str, str, Sequence[Served]], DriftReport]


class PredictionWindows:
    """Records predictions and cuts windows of `size`."""

    def __init__(self, catalog: Catalog, *, size: int) -> None:
        self._catalog = catalog
        self._size = size

    async def record(self, messages: Sequence[Message[PredictionServed]]) -> None:
        """Store predictions once each, however often they come."""
        rows = [
            {
                **message.event.model_dump(exclude={"trial"}),
                **_NO_TRIAL,
                **(message.event.trial.model_dump() if message.event.trial else {}),
                "genres": list(message.event.genres),
                "correlation_id": str(message.correlation_id),
                "served_at": message.event.served_at.astimezone(UTC),
            }
            for message in messages
        ]
        async with self._catalog.transaction() as connection:
            await self._catalog.insert_new(connection, predictions, rows)

    async def record_corrections(self, messages: Sequence[Message[GenresCorrected]]) -> None:
        """Store what people said, once each, however often it comes."""
        rows = [
            {**message.event.model_dump(), "genres": list(message.event.genres)}
            for message in messages
        ]
        async with self._catalog.transaction() as connection:
            await self._catalog.insert_new(connection, corrections, rows)

    async def cut(self, model: str, version: str, measure: Measure) -> list[str]:
        """Cut and measure the full windows of a model that aren't yet; their ids, oldest first."""
        found: list[str] = []
        while True:
            async with self._catalog.transaction() as connection:
                window_id = await self._cut_one(connection, model, version, measure)
            if window_id is None:
                return found
            found.append(window_id)

    async def _cut_one(
        self, connection: AsyncConnection, model: str, version: str, measure: Measure
    ) -> str | None:
        open_ones = (
            sa.select(predictions)
            .where(predictions.c.model == model, predictions.c.model_version == version)
            .where(predictions.c.window_id.is_(None), predictions.c.shadow_of.is_(None))
            .order_by(predictions.c.served_at, predictions.c.prediction_id)
            .limit(self._size)
            .with_for_update(skip_locked=True)  # of several monitors one cuts (SQLite ignores it)
        )
        rows = (await connection.execute(open_ones)).all()
        if len(rows) < self._size:
            return None
        ids = [row.prediction_id for row in rows]
        window_id = str(uuid5(NAMESPACE, f"{model}:{version}:{':'.join(ids)}"))
        report = measure(model, version, [Served(row.text, row.probabilities) for row in rows])
        await connection.execute(
            predictions.update()
            .where(predictions.c.prediction_id.in_(ids))
            .values(window_id=window_id)
        )
        await connection.execute(
            windows.insert().values(
                window_id=window_id,
                model=model,
                model_version=version,
                predictions=len(rows),
                first_at=rows[0].served_at,
                last_at=rows[-1].served_at,
                scores=report.scores,
                drifted=list(report.drifted),
            )
        )
        return window_id

    async def touched(self, messages: Sequence[Message[PredictionServed]]) -> set[str]:
        """The windows that hold any of these predictions."""
        ids = [message.event.prediction_id for message in messages]
        async with self._catalog.reading() as connection:
            rows = await connection.execute(
                sa.select(predictions.c.window_id)
                .distinct()
                .where(predictions.c.prediction_id.in_(ids))
                .where(predictions.c.window_id.is_not(None))
            )
            return set(rows.scalars())

    async def load(self, window_ids: Iterable[str]) -> list[Window]:
        """Measured windows, in the order of their last prediction."""
        async with self._catalog.reading() as connection:
            rows = await connection.execute(
                sa.select(windows)
                .where(windows.c.window_id.in_(list(window_ids)))
                .order_by(windows.c.last_at, windows.c.window_id)
            )
            return [
                Window(
                    window_id=row.window_id,
                    model=row.model,
                    model_version=row.model_version,
                    predictions=row.predictions,
                    first_at=_utc(row.first_at),
                    last_at=_utc(row.last_at),
                    report=DriftReport(scores=row.scores, drifted=tuple(row.drifted)),
                )
                for row in rows
            ]


def _utc(moment: datetime) -> datetime:
    """SQLite forgets the zone; what we store is UTC."""
    return moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment.astimezone(UTC)
