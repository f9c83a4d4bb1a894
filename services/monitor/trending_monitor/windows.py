"""Windows of predictions, kept in the catalog so that a restart loses and repeats nothing.

A prediction belongs to no window at first. As soon as a model has enough of those, the oldest are
given a window's id in one transaction; the same transaction stores the window's scores. What was
predicted in shadow stays outside: it was told to nobody.
"""

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from uuid import uuid5

import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncConnection

from trending_monitor.drift import DriftReport, Served
from trending_monitor.quality import Quality
from trending_monitor.watching import Check, Findings, Labelled
from trending_shared.catalog import Catalog, corrections, insights, predictions, titles, windows
from trending_shared.events import GenresCorrected, InsightServed, PredictionServed, Trial
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
    quality: Quality | None


Measure = Callable[[str, str, Sequence[Served]], Findings]


class PredictionWindows:
    """Records predictions and cuts windows of `size`."""

    def __init__(self, catalog: Catalog, *, size: int) -> None:
        self._catalog = catalog
        self.size = size

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

    async def record_insights(self, messages: Sequence[Message[InsightServed]]) -> None:
        """Store what was told of titles, once each; what was told in shadow isn't."""
        columns = {column.name for column in insights.columns}
        rows = [
            message.event.model_dump(include=columns)
            for message in messages
            if not (message.event.trial and message.event.trial.shadow_of)
        ]
        async with self._catalog.transaction() as connection:
            await self._catalog.insert_new(connection, insights, rows)

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
            .limit(self.size)
            .with_for_update(skip_locked=True)  # of several monitors one cuts (SQLite ignores it)
        )
        rows = (await connection.execute(open_ones)).all()
        if len(rows) < self.size:
            return None
        ids = [row.prediction_id for row in rows]
        window_id = str(uuid5(NAMESPACE, f"{model}:{version}:{':'.join(ids)}"))
        found = measure(model, version, [Served(row.text, row.probabilities) for row in rows])
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
                scores=found.drift.scores,
                thresholds=found.drift.thresholds,
                drifted=list(found.drift.drifted),
                quality=found.quality.model_dump() if found.quality else None,
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

    async def labelled(self, window: Window) -> dict[str, list[Labelled]]:
        """The predictions of a window whose genres are known by now, by who says so.

        `pages` are what sources say of titles, `feedback` is what people say of predictions; what
        was said last comes last.
        """
        inside = (predictions.c.model_version == window.model_version) & (
            predictions.c.window_id == window.window_id
        )
        of_pages = (
            sa.select(predictions.c.probabilities, titles)
            .join(titles, titles.c.title_id == predictions.c.title_id)
            .where(inside)
            .order_by(predictions.c.served_at)
        )
        of_people = (
            sa.select(predictions.c.probabilities, predictions.c.text_hash, corrections.c.genres)
            .join(
                corrections,
                (corrections.c.prediction_id == predictions.c.prediction_id)
                | (corrections.c.title_id == predictions.c.title_id),
            )
            .where(inside)
            .order_by(corrections.c.corrected_at)
        )
        async with self._catalog.reading() as connection:
            pages = (await connection.execute(of_pages)).all()
            people = (await connection.execute(of_people)).all()
        return {
            "pages": [
                Labelled(
                    title=row.title_id,
                    probabilities=row.probabilities,
                    genres=frozenset(row.genres),
                    name=row.name,
                    group=f"{row.source} {row.kind}s",
                )
                for row in pages
            ],
            "feedback": [
                Labelled(row.text_hash, row.probabilities, frozenset(row.genres)) for row in people
            ],
        }

    async def about(
        self, *, titles: Collection[str] = (), predicted: Collection[str] = (), since: datetime
    ) -> set[str]:
        """The windows that hold predictions of these titles, or these predictions.

        Args:
            since: those whose last prediction is older are left out.
        """
        wanted = {predictions.c.title_id: titles, predictions.c.prediction_id: predicted}
        if not any(wanted.values()):
            return set()
        async with self._catalog.reading() as connection:
            rows = await connection.execute(
                sa.select(windows.c.window_id)
                .distinct()
                .join(predictions, predictions.c.window_id == windows.c.window_id)
                .where(sa.or_(*(column.in_(ids) for column, ids in wanted.items() if ids)))
                .where(windows.c.last_at >= since)
            )
            return set(rows.scalars())

    async def keep_checks(self, window_id: str, checks: Mapping[str, Check]) -> None:
        """Write what labels say beside a window's estimate, instead of what they said before."""
        told = {source: check.model_dump() for source, check in checks.items()}
        async with self._catalog.transaction() as connection:
            await connection.execute(
                windows.update().where(windows.c.window_id == window_id).values(checks=told)
            )

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
                    report=DriftReport(row.scores, row.thresholds or {}, tuple(row.drifted)),
                    quality=Quality.model_validate(row.quality) if row.quality else None,
                )
                for row in rows
            ]


def _utc(moment: datetime) -> datetime:
    """SQLite forgets the zone; what we store is UTC."""
    return moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment.astimezone(UTC)
