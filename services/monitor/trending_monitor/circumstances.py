"""What a retraining decision rests on, read from the catalog and the registry."""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import sqlalchemy as sa
import structlog

from trending_monitor.retraining import Policy, State, Streak, Trigger
from trending_shared.catalog import Catalog, retrainings, titles, windows
from trending_shared.clock import Clock
from trending_shared.datasets import DatasetDamaged, DatasetManifest, read_manifest
from trending_shared.errors import ModelNotFound, ObjectMissing
from trending_shared.events import DatasetPublished, RetrainingRequested, RetrainingTrigger
from trending_shared.experiments import CANDIDATE, Experiments
from trending_shared.registry import Manifest, ModelRegistry
from trending_shared.storage import ObjectStore

log = structlog.get_logger()

MODEL = "genres"
OF_WINDOWS: tuple[RetrainingTrigger, ...] = ("drift", "estimated-fall", "measured-fall")
# What became of a training that made a model; of one that made none a second try may be worth it.
JUDGED = ("registered", "promoted", "refused")
_REMEMBERED = 100  # trainings that are looked back on; no budget is larger

# Answers to one request are told at one time, so windows may end at the same.
_ORDER = (windows.c.last_at, windows.c.first_at, windows.c.window_id)

Row = sa.Row[Any]


@dataclass(frozen=True, slots=True)
class Circumstances:
    """What is the case when a decision is due.

    Args:
        champion: none if there is none.
        learned: the dataset that was learned from last; none if nothing is known of one.
        titles: how many the catalog holds.
        number: of the decision that comes next.
    """

    state: State
    champion: Manifest | None
    learned: DatasetManifest | None
    titles: int
    number: int


class Looking:
    """Reads circumstances and triggers.

    Every method raises `StoreUnavailable` when the store or the catalog doesn't answer.
    """

    def __init__(
        self, *, catalog: Catalog, store: ObjectStore, clock: Clock, policy: Policy
    ) -> None:
        self._catalog = catalog
        self._store = store
        self._registry = ModelRegistry(store)
        self._experiments = Experiments(store)
        self._clock = clock
        self._policy = policy

    async def look(self) -> Circumstances:
        number = await self._scalar(sa.select(sa.func.max(retrainings.c.number)))
        yes = await self.trainings()  # whatever is read after the number may only be newer
        champion = await self.champion()
        judged = [row for row in yes if row.outcome in JUDGED and row.dataset_id]
        learned = await self._last_learned(judged, champion)
        count = await self._scalar(sa.select(sa.func.count()).select_from(titles))
        now = self._clock.now()
        state = State(
            now=now,
            champion=champion.version if champion else None,
            decided=tuple(row.decided_at for row in yes),
            pending=self._pending(yes),
            learned=frozenset(
                [*(row.dataset_id for row in judged), *([champion.dataset_id] if champion else [])]
            ),
            fresh_titles=await self._fresh(learned, count),
            trial=await asyncio.to_thread(self._on_trial),
        )
        return Circumstances(state, champion, learned, count, (number or 0) + 1)

    async def trainings(self) -> Sequence[Row]:
        """The last decisions that said yes, newest first."""
        newest = retrainings.select().where(retrainings.c.retrain)
        return await self._rows(newest.order_by(retrainings.c.number.desc()).limit(_REMEMBERED))

    async def champion(self) -> Manifest | None:
        try:
            return await asyncio.to_thread(self._registry.champion, MODEL)
        except ModelNotFound:
            return None

    def _on_trial(self) -> str | None:
        experiment = self._experiments.current("models", MODEL)
        if experiment is None or not (experiment.running and experiment.judged):
            return None
        return next((arm.version for arm in experiment.arms if arm.name == CANDIDATE), None)

    def floor(self, champion: Manifest) -> float:
        """The macro-F1 below which a window has fallen."""
        return float(champion.metrics["macro_f1"]) - self._policy.fall

    def of_dataset(self, dataset: DatasetPublished, found: Circumstances) -> Trigger:
        return self._new_data(found, dataset.titles, dataset.dataset_id)

    async def of_request(self, asked: RetrainingRequested, found: Circumstances) -> Trigger:
        """A kind of cause as it stands now, or stood at a window."""
        kind = asked.trigger
        if kind == "new-data":
            return self._new_data(found, found.titles, None)
        if kind not in OF_WINDOWS:
            return Trigger(kind, said=asked.reason, force=asked.force)
        version = found.champion.version if found.champion else None
        return await self.of_windows(kind, version, found, window_id=asked.window_id)

    async def of_windows(
        self,
        kind: RetrainingTrigger,
        version: str | None,
        found: Circumstances,
        *,
        window_id: str | None = None,
    ) -> Trigger:
        """The windows in a row, up to one or to the newest, that say what a trigger is about.

        By labels only those count that have any, and only what pages say: people correct what is
        wrong, and so make any model look worse.
        """
        floor = self.floor(found.champion) if found.champion else 0.0
        of = windows.c.model_version == version
        if kind == "drift":
            bad = sa.cast(windows.c.drifted, sa.Text) != "[]"
        else:
            where = ("macro_f1", "interval", "high")
            high = (
                windows.c.quality[where]
                if kind == "estimated-fall"
                else windows.c.checks[("pages", "measured", *where)]
            ).as_float()
            bad = sa.and_(high.is_not(None), high < floor)
            if kind == "measured-fall":
                of &= high.is_not(None)
        one = windows.c.window_id == window_id if window_id else sa.true()
        newest = sa.select(windows, bad.label("bad")).order_by(*(part.desc() for part in _ORDER))
        rows = await self._rows(newest.where(of, one).limit(1))
        if not rows or not rows[0].bad:
            return Trigger(kind, version=version)
        last = rows[0]
        upto = of & (sa.tuple_(*_ORDER) <= _place(last))
        good = await self._rows(newest.where(upto, ~bad).limit(1))
        since = sa.tuple_(*_ORDER) > _place(good[0]) if good else sa.true()
        counted = sa.select(
            sa.func.count().label("windows"),
            sa.func.min(windows.c.first_at).label("since"),
        )
        (row,) = await self._rows(counted.where(upto, since))
        streak = Streak(row.windows, row.since, last.last_at, last.window_id)
        return Trigger(kind, version=version, streak=streak)

    def _new_data(self, found: Circumstances, count: int, dataset_id: str | None) -> Trigger:
        known = found.learned.rows if found.learned else 0
        return Trigger(
            "new-data",
            dataset_id=dataset_id,
            new_titles=max(0, count - known),
            known_titles=known,
        )

    def _pending(self, yes: Sequence[Row]) -> datetime | None:
        """When the newest training was decided that hasn't ended, if it is young or the last."""
        young = self._clock.now() - self._policy.patience
        for row in yes:
            if row.outcome is None and (row is yes[0] or row.decided_at > young):
                at: datetime = row.decided_at
                return at
        return None

    async def _last_learned(
        self, judged: Sequence[Row], champion: Manifest | None
    ) -> DatasetManifest | None:
        dataset_id = judged[0].dataset_id if judged else None
        if champion and (not judged or champion.created_at > judged[0].ended_at):
            dataset_id = champion.dataset_id
        if dataset_id is None:
            return None
        try:
            return await asyncio.to_thread(read_manifest, self._store, dataset_id)
        except (ObjectMissing, DatasetDamaged) as error:
            log.warning("dataset_unknown", dataset_id=dataset_id, detail=str(error))
            return None

    async def _fresh(self, learned: DatasetManifest | None, count: int) -> int:
        """Titles that are new, or were told of anew, since a dataset was cut."""
        if learned is None:
            return count
        since = titles.c.fetched_at > learned.created_at
        told = sa.select(sa.func.count()).select_from(titles).where(since)
        return max(int(await self._scalar(told)), count - learned.rows)

    async def _scalar(self, query: sa.Executable) -> Any:
        async with self._catalog.reading() as connection:
            return (await connection.execute(query)).scalar_one()

    async def _rows(self, query: sa.Executable) -> Sequence[Row]:
        async with self._catalog.reading() as connection:
            return list((await connection.execute(query)).all())


def _place(window: Row) -> sa.Tuple:
    """Where a window stands among others."""
    return sa.tuple_(*(sa.literal(getattr(window, column.name), column.type) for column in _ORDER))
