"""Retraining decisions: each answers one event, is kept in the catalog, and leads to what follows.

A decision is kept under the id of the event that it answers, so that the same event again leads to
the same messages again. It takes the next number: of several monitors that decide at once one gets
it, and the others decide anew, knowing of it.

    cause ─▶ RetrainingDecided: no
    cause ─▶ RetrainingDecided: yes ─▶ TrainingRequested, of the dataset that was the cause
                                    ─▶ DatasetRequested ─▶ DatasetPublished ─▶ TrainingRequested

What the clock asks for it asks for by an event, as a person does: see `due`.
"""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import replace
from typing import Any, Literal
from uuid import UUID, uuid5

import sqlalchemy as sa
import structlog

from trending_monitor.circumstances import MODEL, OF_WINDOWS, Circumstances, Looking, Row
from trending_monitor.metrics import MonitorMetrics
from trending_monitor.retraining import (
    Decision,
    Policy,
    Streak,
    Trigger,
    decide,
    is_postponed,
    scheduled,
    share_of,
)
from trending_shared.catalog import Catalog, retrainings
from trending_shared.clock import Clock
from trending_shared.errors import ModelNotFound
from trending_shared.events import (
    DatasetPublished,
    DatasetRequested,
    DriftDetected,
    Event,
    ModelPromoted,
    ModelRefused,
    ModelRegistered,
    QualityEstimated,
    RetrainingDecided,
    RetrainingRequested,
    RetrainingTrigger,
    TrainingRequested,
)
from trending_shared.messages import NAMESPACE, Message, first_message
from trending_shared.registry import ModelRegistry
from trending_shared.storage import ObjectStore

log = structlog.get_logger()

Outcome = Literal["registered", "promoted", "refused", "failed"]
_NOTHING_NEW = "nothing-new"
Find = Callable[[Circumstances], Awaitable[Trigger]]


class Decider:
    """Decides, keeps what was decided, and notes what came of it.

    Every method raises `StoreUnavailable` when the store or the catalog doesn't answer.
    """

    def __init__(
        self,
        *,
        catalog: Catalog,
        store: ObjectStore,
        metrics: MonitorMetrics,
        clock: Clock,
        policy: Policy,
    ) -> None:
        self._catalog = catalog
        self._registry = ModelRegistry(store)
        self._metrics = metrics
        self._clock = clock
        self._policy = policy
        self._looking = Looking(catalog=catalog, store=store, clock=clock, policy=policy)

    # ------------------------------------------------------------ what gives cause

    async def on_drift_detected(self, message: Message[DriftDetected]) -> list[Message[Any]]:
        window = message.event

        async def find(found: Circumstances) -> Trigger:
            return await self._looking.of_windows(
                "drift", window.model_version, found, window_id=window.window_id
            )

        return await self._answer(message, find)

    async def on_quality_estimated(self, message: Message[QualityEstimated]) -> list[Message[Any]]:
        """An estimate gives cause only if it lies surely below what the champion may fall to."""
        window = message.event
        if await self._find(str(message.id)) is None:
            champion = await self._looking.champion()
            if champion is None or champion.version != window.model_version:
                return []
            if window.high >= self._looking.floor(champion):
                return []

        async def find(found: Circumstances) -> Trigger:
            return await self._looking.of_windows(
                "estimated-fall", window.model_version, found, window_id=window.window_id
            )

        return await self._answer(message, find)

    async def on_dataset_published(self, message: Message[DatasetPublished]) -> list[Message[Any]]:
        """Go on with what asked for it; a dataset that nobody here asked for gives cause itself."""
        if (asked := await self._that_asked(message.causation_id)) is not None:
            return await self._go_on(asked, message)

        async def find(found: Circumstances) -> Trigger:
            return self._looking.of_dataset(message.event, found)

        return await self._answer(message, find)

    async def on_retraining_requested(
        self, message: Message[RetrainingRequested]
    ) -> list[Message[Any]]:
        async def find(found: Circumstances) -> Trigger:
            return await self._looking.of_request(message.event, found)

        return await self._answer(message, find)

    # ------------------------------------------------------------ what came of it

    async def on_model_registered(self, message: Message[ModelRegistered]) -> None:
        await self._end(message, "registered", None)

    async def on_model_promoted(self, message: Message[ModelPromoted]) -> None:
        await self._end(message, "promoted", message.event.model_version)

    async def on_model_refused(self, message: Message[ModelRefused]) -> None:
        version = message.event.model_version
        await self._end(message, "refused" if version else "failed", version)

    async def _end(self, message: Message[Any], outcome: Outcome, version: str | None) -> None:
        """Note the end of the training that an event follows from, or that made its model.

        What an experiment or a person says of a model later follows from something else.
        """
        trainings = {str(message.causation_id)}
        if version:
            try:
                made = await asyncio.to_thread(self._registry.manifest, MODEL, version)
                trainings.add(made.training_id)
            except ModelNotFound:
                log.warning("model_unknown", version=version)
        earlier = () if outcome == "registered" else ("registered",)
        open_ones = retrainings.c.outcome.is_(None) | retrainings.c.outcome.in_(earlier)
        async with self._catalog.transaction() as connection:
            await connection.execute(
                retrainings.update()
                .where(retrainings.c.training_id.in_(trainings), open_ones)
                .values(outcome=outcome, ended_at=message.time or self._clock.now())
            )

    # ------------------------------------------------------------ deciding

    async def _answer(self, cause: Message[Any], find: Find) -> list[Message[Any]]:
        """The decision about an event, made now unless it was, and what it leads to."""
        row = await self._find(str(cause.id))
        while row is None:
            found = await self._looking.look()
            row = await self._keep(cause, await find(found), found)
        told = _told(row)
        return [told, _following(told)] if row.retrain else [told]

    async def _keep(
        self, cause: Message[Any], trigger: Trigger, found: Circumstances
    ) -> Row | None:
        """Decide and keep it; none if another monitor was faster with another decision."""
        decision = decide(trigger, found.state, self._policy)
        event = _event(str(cause.id), trigger, decision, found)
        values = {
            "number": found.number,
            "decision_id": event.decision_id,
            "correlation_id": str(cause.correlation_id),
            "trigger": trigger.kind,
            "retrain": decision.retrain,
            "decided_at": event.decided_at,
            "decision": event.model_dump(mode="json"),
        }
        if decision.retrain:
            following = _following(_message(event, cause.correlation_id))
            if isinstance(following.event, TrainingRequested):
                values |= {"training_id": str(following.id), "dataset_id": trigger.dataset_id}
            else:
                values |= {"request_id": str(following.id)}
        async with self._catalog.transaction() as connection:
            await self._catalog.insert_new(connection, retrainings, [values])
        row = await self._find(event.decision_id)
        if row is not None and row.number == found.number:
            self._metrics.decisions.labels(trigger.kind, "yes" if row.retrain else "no").inc()
            log.info("retraining_decided", **event.model_dump(exclude_none=True))
        return row

    async def _go_on(self, asked: Row, message: Message[DatasetPublished]) -> list[Message[Any]]:
        """Have the dataset learned from that a decision asked for, if it has anything new."""
        told, dataset_id = _told(asked).event, message.event.dataset_id
        training = message.leads_to(_training(told, dataset_id))
        if asked.training_id is None and asked.outcome is None:
            found = await self._looking.look()
            known = dataset_id in found.state.learned and "forced" not in told.codes
            values = (
                {"outcome": _NOTHING_NEW, "ended_at": found.state.now}
                if known
                else {"training_id": str(training.id), "dataset_id": dataset_id}
            )
            async with self._catalog.transaction() as connection:
                await connection.execute(
                    retrainings.update()
                    .where(retrainings.c.number == asked.number)
                    .where(retrainings.c.training_id.is_(None), retrainings.c.outcome.is_(None))
                    .values(**values)
                )
            kept = await self._find(told.decision_id)
            assert kept is not None, "decisions are never deleted"
            asked = kept
        if asked.outcome == _NOTHING_NEW:

            async def find(found: Circumstances) -> Trigger:
                return replace(_trigger(told), dataset_id=dataset_id)

            return await self._answer(message, find)
        # A request that is answered again, with another dataset, has led to a training already.
        return [training] if asked.training_id == str(training.id) else []

    # ------------------------------------------------------------ what is shown

    async def foresee(
        self, *, reason: str = "what if", force: bool = False
    ) -> dict[RetrainingTrigger, Decision]:
        """What would be decided now if something gave cause; nothing is kept."""
        found = await self._looking.look()
        kinds: list[RetrainingTrigger] = ["person", "new-data"]
        if found.champion:
            kinds += OF_WINDOWS
        decisions = {}
        for kind in kinds:
            asked = RetrainingRequested(trigger=kind, reason=reason, force=force)
            trigger = await self._looking.of_request(asked, found)
            decisions[kind] = decide(trigger, found.state, self._policy)
        return decisions

    async def last(self, limit: int) -> list[dict[str, Any]]:
        """The last decisions as JSON, newest first, and what came of each."""
        newest = retrainings.select().order_by(retrainings.c.number.desc()).limit(limit)
        async with self._catalog.reading() as connection:
            rows = (await connection.execute(newest)).all()
        return [
            {
                **row.decision,
                "number": row.number,
                "correlation_id": row.correlation_id,
                "dataset_id": row.dataset_id or row.decision["dataset_id"],
                "training_id": row.training_id,
                "outcome": row.outcome,
                "ended_at": row.ended_at.isoformat() if row.ended_at else None,
            }
            for row in rows
        ]

    # ------------------------------------------------------------ what is due

    async def due(self) -> list[Message[RetrainingRequested]]:
        """What is to be decided though no event asks for it; the same until it is decided.

        Windows that are surely worse by their labels, which come whenever they like; a training by
        the schedule; and what was postponed, once it would be a yes.
        """
        found = await self._looking.look()
        self._metrics.show_retraining(found.state, self._policy)
        for kind in OF_WINDOWS:
            trigger = await self._looking.of_request(_asked(kind), found)
            self._metrics.in_a_row.labels(kind).set(trigger.streak.windows if trigger.streak else 0)
        wanted = [
            *await self._measured(found),
            *await self._scheduled(found),
            *await self._postponed(found),
        ]
        ids = [str(message.id) for message in wanted]
        async with self._catalog.reading() as connection:
            known = sa.select(retrainings.c.decision_id).where(retrainings.c.decision_id.in_(ids))
            decided = set((await connection.execute(known)).scalars())
        return [message for message in wanted if str(message.id) not in decided]

    async def _measured(self, found: Circumstances) -> list[Message[RetrainingRequested]]:
        asked = _asked("measured-fall", "labels tell of a fall")
        trigger = await self._looking.of_request(asked, found)
        if trigger.streak is None:
            return []
        window_id = trigger.streak.window_id
        return [
            first_message(
                asked.model_copy(update={"window_id": window_id}),
                id=uuid5(NAMESPACE, f"measured-fall:{window_id}"),
            )
        ]

    async def _scheduled(self, found: Circumstances) -> list[Message[RetrainingRequested]]:
        last = list(found.state.decided)
        newest = sa.select(sa.func.max(retrainings.c.decided_at)).where(
            retrainings.c.trigger == "schedule"
        )
        async with self._catalog.reading() as connection:
            last += [at for at in (await connection.execute(newest)).scalars() if at]
        if found.champion:
            last.append(found.champion.created_at)
        since = scheduled(last, found.state.now, self._policy)
        if since is None:
            return []
        asked = _asked("schedule", f"a training is due since {since:%Y-%m-%d %H:%M} UTC")
        return [first_message(asked, id=uuid5(NAMESPACE, f"schedule:{since.isoformat()}"))]

    async def _postponed(self, found: Circumstances) -> list[Message[RetrainingRequested]]:
        """The newest postponed decision of each trigger that would be a yes now.

        Persons were told when it would be possible, and may ask again.
        """
        trainings = await self._looking.trainings()
        since = trainings[0].number if trainings else 0
        newest = (
            sa.select(sa.func.max(retrainings.c.number))
            .where(retrainings.c.number > since, retrainings.c.trigger != "person")
            .group_by(retrainings.c.trigger)
        )
        async with self._catalog.reading() as connection:
            kept = retrainings.select().where(retrainings.c.number.in_(newest))
            rows = (await connection.execute(kept)).all()
        wanted = []
        for row in rows:
            told = _told(row)
            if not is_postponed(told.event.codes):
                continue
            words = "; ".join(told.event.reasons)
            asked = _asked(row.trigger, f"postponed: {words}")
            now = await self._looking.of_request(asked, found)
            if decide(now, found.state, self._policy).retrain:
                id = uuid5(NAMESPACE, f"postponed:{row.decision_id}")
                wanted.append(replace(told.leads_to(asked), id=id))
        return wanted

    # ------------------------------------------------------------ what was decided

    async def _find(self, decision_id: str) -> Row | None:
        return await self._first(retrainings.c.decision_id == decision_id)

    async def _that_asked(self, request_id: UUID | None) -> Row | None:
        """The decision that led to a request for a dataset."""
        return await self._first(retrainings.c.request_id == str(request_id))

    async def _first(self, where: sa.ColumnElement[bool]) -> Row | None:
        async with self._catalog.reading() as connection:
            return (await connection.execute(retrainings.select().where(where))).first()


def _asked(kind: RetrainingTrigger, reason: str = "") -> RetrainingRequested:
    return RetrainingRequested(trigger=kind, reason=reason)


def _event(
    decision_id: str, trigger: Trigger, decision: Decision, found: Circumstances
) -> RetrainingDecided:
    streak, of_data = trigger.streak, trigger.kind == "new-data"
    return RetrainingDecided(
        decision_id=decision_id,
        model=MODEL,
        model_version=found.state.champion,
        trigger=trigger.kind,
        retrain=decision.retrain,
        codes=decision.codes,
        reasons=decision.reasons,
        decided_at=found.state.now,
        possible_at=decision.possible_at,
        window_id=streak.window_id if streak else None,
        windows=streak.windows if streak else None,
        windows_since=streak.since if streak else None,
        windows_until=streak.until if streak else None,
        dataset_id=trigger.dataset_id,
        new_titles=trigger.new_titles if of_data else None,
        new_share=round(share_of(trigger), 4) if of_data else None,
        cool_down_until=decision.cool_down_until,
        pending_since=decision.pending_since,
        budget_left=decision.budget_left,
    )


def _trigger(told: RetrainingDecided) -> Trigger:
    """What had given cause to a decision."""
    streak = None
    if told.windows and told.windows_since and told.windows_until and told.window_id:
        streak = Streak(told.windows, told.windows_since, told.windows_until, told.window_id)
    new = told.new_titles or 0
    return Trigger(
        told.trigger,
        version=told.model_version,
        streak=streak,
        new_titles=new,
        known_titles=round(new / told.new_share) if told.new_share else 0,
        said=_words(told),
    )


def _told(row: Row) -> Message[RetrainingDecided]:
    event = RetrainingDecided.model_validate(row.decision)
    return _message(event, UUID(row.correlation_id))


def _message(event: RetrainingDecided, correlation_id: UUID) -> Message[RetrainingDecided]:
    """A decision as it follows from its cause, of which no more than the ids matters."""
    cause: Message[Event] = Message(
        event=event, id=UUID(event.decision_id), correlation_id=correlation_id
    )
    return cause.leads_to(event)


def _following(told: Message[RetrainingDecided]) -> Message[TrainingRequested | DatasetRequested]:
    """What a yes leads to: a training, or first a dataset of everything known by now."""
    if told.event.dataset_id:
        return told.leads_to(_training(told.event, told.event.dataset_id))
    return told.leads_to(DatasetRequested(reason=_words(told.event)))


def _training(decided: RetrainingDecided, dataset_id: str) -> TrainingRequested:
    return TrainingRequested(reason=_words(decided), dataset_id=dataset_id)


def _words(decided: RetrainingDecided) -> str:
    return f"{decided.trigger}: {'; '.join(decided.reasons)}"
