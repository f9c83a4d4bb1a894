"""The conductor: starts, moves on and ends experiments by what `conducting` says of the evidence.

It keeps nothing that isn't on record. An experiment's state in the object store is changed by who
creates its next number, and only then follows what others see: first the alias, under the
experiment's name, then the events, under ids that follow from the state, then a mark that the state
was told. Whatever is killed in between, the next look goes on from there, whoever looks.
"""

import asyncio
import contextlib
from collections.abc import Callable
from datetime import timedelta
from functools import lru_cache
from typing import Any
from uuid import UUID, uuid5

import structlog

from trending_monitor.conducting import Evidence, Policy, Step, conduct
from trending_monitor.metrics import MonitorMetrics
from trending_monitor.standing import judgement_of, standing_of
from trending_monitor.trial_page import page_of
from trending_monitor.trials import Approval, Followed, Trials, Truth, name_of
from trending_shared.clock import Clock
from trending_shared.errors import (
    AliasMoved,
    ExperimentInvalid,
    ExperimentMoved,
    ExperimentNotFound,
    Rejected,
    Unavailable,
)
from trending_shared.events import ExperimentChanged, ModelApproved, ModelPromoted
from trending_shared.experiments import (
    CANDIDATE,
    CONTROL,
    Arm,
    Experiment,
    Experiments,
    Judgement,
    shadow_arms,
)
from trending_shared.messages import NAMESPACE, Message
from trending_shared.prompts import PromptRegistry
from trending_shared.publishing import Publisher
from trending_shared.registry import CHAMPION, Aliases, ModelRegistry, Pointer
from trending_shared.standings import folder_of, keep_standing, read_standing
from trending_shared.storage import ObjectStore

log = structlog.get_logger()

MONITOR = "monitor"


class Conductor:
    """Looks at experiments every now and then.

    Args:
        every: how often; it also looks when a model was approved.
    """

    def __init__(
        self,
        *,
        trials: Trials,
        store: ObjectStore,
        publisher: Publisher,
        metrics: MonitorMetrics,
        clock: Clock,
        policy: Policy,
        every: timedelta,
    ) -> None:
        self._trials = trials
        self._store = store
        self._experiments = Experiments(store)
        self._models = ModelRegistry(store)
        self._prompts = PromptRegistry(store)
        self._publisher = publisher
        self._metrics = metrics
        self._clock = clock
        self._policy = policy
        self._every = every
        self._wake = asyncio.Event()
        self._followed: dict[str, Followed] = {}
        self._truth: Callable[[str, frozenset[str]], Truth] = lru_cache(maxsize=4)(
            lambda model, versions: Truth.of(self._models, model, versions)  # bundles never change
        )

    async def on_model_approved(self, message: Message[ModelApproved]) -> None:
        """Have the model wait for its trial, which begins at once if its place is free."""
        await self._trials.approve(message, self._clock.now())
        self._wake.set()

    async def run(self) -> None:
        """Until it is cancelled."""
        self._metrics.last_look.set(self._clock.now().timestamp())  # that none comes is seen, too
        while True:
            self._wake.clear()
            try:
                await self.look()
            except (Unavailable, Rejected) as error:
                log.warning("experiments_not_looked_at", reason=error.reason, detail=str(error))
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._wake.wait(), self._every.total_seconds())

    async def look(self) -> None:
        """Take each experiment as far as its evidence goes, and begin those that wait.

        Raises:
            Unavailable, Rejected: one couldn't be; the others were, and the next look tries again.
        """
        failures: list[Exception] = []
        await self._tell(failures)
        running = await asyncio.to_thread(self._experiments.all)
        running = [each for each in running if each.running and each.judged]
        self._followed = {
            name: followed
            for name, followed in self._followed.items()
            if name in {name_of(each) for each in running}
        }
        for experiment in running:
            try:
                await self._advance(experiment)
            except (Unavailable, Rejected) as error:
                failures.append(error)
        await self._tell(failures)
        if failures:  # perhaps an alias couldn't be moved yet, and nothing is tried against it
            raise failures[0]
        for approval in await self._trials.waiting():
            await self._start(approval)
        await self._tell(failures)
        if failures:
            raise failures[0]
        self._metrics.last_look.set(self._clock.now().timestamp())

    # ------------------------------------------------------------ deciding

    async def _advance(self, experiment: Experiment) -> None:
        now = self._clock.now()
        states = await asyncio.to_thread(self._experiments.states, experiment)
        split = next((each for each in states if _is_split(each)), None)
        followed = self._followed.setdefault(name_of(experiment), Followed(Evidence(self._policy)))
        await self._trials.count(experiment, split, await self._truth_of(experiment), now)
        while not await self._trials.follow(followed, experiment, split, now):
            pass
        assert experiment.judged, "only what the monitor judges is advanced"
        age = now - states[0].changed_at
        step = await asyncio.to_thread(self._champion_changed, experiment) or conduct(
            experiment.judged.phase, followed.evidence, self._policy, age=age
        )
        standing = await asyncio.to_thread(
            standing_of,
            experiment,
            states[0].changed_at,
            step,
            followed.evidence,
            self._policy,
            now,
        )
        await asyncio.to_thread(keep_standing, self._store, standing)
        self._metrics.show_experiment(standing)
        if step.to != experiment.judged.phase:
            await self._change(experiment, step, judgement_of(step, standing))

    async def _truth_of(self, experiment: Experiment) -> Truth | None:
        if experiment.subject == "prompts":
            return None
        versions = frozenset(experiment.version(arm) for arm in (CONTROL, CANDIDATE))
        return await asyncio.to_thread(self._truth, experiment.target, versions)

    def _champion_changed(self, experiment: Experiment) -> Step | None:
        pointer = self._aliases(experiment).pointer(experiment.target)
        version = pointer.version if pointer else CHAMPION
        if version == experiment.version(CONTROL):
            return None
        reason = f"the champion is {version} now, and the candidate wasn't compared with it"
        return Step("refused", "champion changed", (reason,))

    async def _change(self, experiment: Experiment, step: Step, judged: Judgement) -> None:
        ended = step.to in ("promoted", "refused")
        arms = experiment.arms if ended else split_arms(experiment)
        try:
            await asyncio.to_thread(
                self._experiments.change,
                experiment.subject,
                experiment.target,
                name=experiment.name,
                state="stopped" if ended else "running",
                arms=arms,
                expected=experiment,
                reasons=step.reasons,
                changed_by=MONITOR,
                at=self._clock.now(),
                judged=judged,
            )
        except ExperimentMoved:  # by a person, or another monitor; the next look sees
            log.info("experiment_changed_by_others", experiment=experiment.name)

    async def _start(self, approval: Approval) -> None:
        """Begin a trial, unless there is another one with this model."""
        model, version = approval.model, approval.version
        current = await asyncio.to_thread(self._experiments.current, "models", model)
        if current and current.running:
            return
        champion = await asyncio.to_thread(self._models.pointer, model)
        if champion is None:
            return
        try:
            if champion.version != version:
                await asyncio.to_thread(
                    self._experiments.change,
                    "models",
                    model,
                    name=approval.experiment,
                    state="running",
                    arms=shadow_arms(champion.version, version),
                    expected=current,
                    reasons=approval.reasons,
                    changed_by=MONITOR,
                    at=self._clock.now(),
                    judged=Judgement(phase="shadow", cause="approved"),
                )
        except ExperimentMoved:
            return
        except ExperimentInvalid as error:  # it was tried already, or can't be
            log.warning("trial_not_begun", experiment=approval.experiment, detail=str(error))
        await self._trials.tried(approval.experiment)

    # ------------------------------------------------------------ what follows from a state

    async def _tell(self, failures: list[Exception]) -> None:
        """Do and say what follows from the states of which that wasn't done to its end."""
        for state in await asyncio.to_thread(self._experiments.untold):
            try:
                if state.judged:
                    await self._publisher.publish(await self._follow_from(state, state.judged))
                await asyncio.to_thread(self._experiments.mark_told, state)
            except (Unavailable, Rejected) as error:
                failures.append(error)

    async def _follow_from(self, state: Experiment, judged: Judgement) -> list[Message[Any]]:
        reasons, promoted = state.reasons, None
        if judged.phase == "promoted":
            promoted = await asyncio.to_thread(self._promote, state)
            if promoted is None:
                reasons = (*reasons, "but the champion was changed meanwhile")
                judged = judged.model_copy(update={"phase": "refused", "cause": "champion changed"})
        changed = ExperimentChanged(
            subject=state.subject,
            target=state.target,
            experiment=state.name,
            number=state.number,
            control=state.version(CONTROL),
            candidate=state.version(CANDIDATE),
            reasons=reasons,
            **judged.model_dump(),
        )
        if not state.running:
            await asyncio.to_thread(self._write_page, state)
        self._metrics.steps.labels(state.subject, judged.phase, judged.cause).inc()
        log.info(
            "experiment_changed",
            experiment=state.name,
            phase=judged.phase,
            cause=judged.cause,
            reasons=reasons,
        )
        facts: list[ExperimentChanged | ModelPromoted] = [changed]
        if state.subject == "models" and promoted:
            facts.append(_promoted(state, *promoted))
        cause = await self._cause(state, changed)
        return [cause.leads_to(fact) for fact in facts]

    async def _cause(
        self, state: Experiment, changed: ExperimentChanged
    ) -> Message[ExperimentChanged]:
        """What all events of an experiment follow from: the approval, or a story of its own."""
        found = await self._trials.cause(state.name)
        own = uuid5(NAMESPACE, f"experiment:{name_of(state)}")
        id, correlation_id = map(UUID, found) if found else (own, own)
        return Message(event=changed, id=id, correlation_id=correlation_id)

    def _promote(self, state: Experiment) -> tuple[Pointer, Pointer | None] | None:
        """Point the alias at the candidate, once; its state, and the one before.

        None if it doesn't point at the control any more: the candidate wasn't compared with that.
        """
        mover = f"experiment {state.name}"
        aliases = self._aliases(state)
        while True:
            history = aliases.history(state.target)
            for index, pointer in enumerate(history):
                if pointer.moved_by == mover:  # by a look that was killed before it could say so
                    return pointer, history[index - 1] if index else None
            current = history[-1] if history else None
            if (current.version if current else CHAMPION) != state.version(CONTROL):
                return None
            try:
                moved = aliases.move(
                    state.target,
                    state.version(CANDIDATE),
                    expected=current,
                    reasons=state.reasons,
                    moved_by=mover,
                    at=self._clock.now(),
                )
            except AliasMoved:
                continue
            return moved, current

    def _aliases(self, experiment: Experiment) -> ModelRegistry | Aliases:
        return self._models if experiment.subject == "models" else self._prompts.aliases

    def _write_page(self, state: Experiment) -> None:
        try:
            standing = read_standing(self._store, state)
        except ExperimentNotFound:  # it was ended before it was looked at
            return
        folder = folder_of(state.subject, state.target, state.name)
        self._store.put(f"{folder}/report.html", page_of(standing).encode())


def split_arms(experiment: Experiment) -> tuple[Arm, Arm]:
    """Each gets half of the units, and nothing is asked in shadow."""
    return (
        Arm(name=CONTROL, version=experiment.version(CONTROL), weight=1),
        Arm(name=CANDIDATE, version=experiment.version(CANDIDATE), weight=1),
    )


def _is_split(state: Experiment) -> bool:
    return all(arm.weight for arm in state.arms)


def _promoted(state: Experiment, pointer: Pointer, previous: Pointer | None) -> ModelPromoted:
    return ModelPromoted(
        model=state.target,
        model_version=pointer.version,
        alias=CHAMPION,
        number=pointer.number,
        previous=previous.version if previous else None,
        reasons=pointer.reasons,
    )
