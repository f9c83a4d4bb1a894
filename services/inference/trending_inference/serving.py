"""The versions in service, and how others take their place while requests go on.

The alias and the experiment are looked up when a request asks for what is in service and the last
look is older than a second, in the background: a process without requests does nothing. What can't
be served changes nothing but counters, the log, and what is told of it. The same code serves models
and prompts.
"""

import asyncio
from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Generic, Protocol, TypeVar

import structlog
from pydantic import ValidationError

from trending_inference.metrics import InferenceMetrics
from trending_shared.clock import Clock
from trending_shared.errors import ExperimentUnreadable, ModelNotFound, TrendingError
from trending_shared.events import Trial
from trending_shared.experiments import Arm, Experiment, Experiments, Subject, assign
from trending_shared.registry import CHAMPION, Pointer

log = structlog.get_logger()

TRY_AGAIN = timedelta(seconds=30)  # a bundle that failed is large; its alias is still watched
EXPERIMENT = "experiment"  # how a version was chosen, where it wasn't by an alias
PINNED = "pinned"


class Versioned(Protocol):
    """What can be in service."""

    @property
    def version(self) -> str: ...


T = TypeVar("T", bound=Versioned)


@dataclass(frozen=True, slots=True)
class Broken:
    """A version that was to be in service and can't be."""

    version: str | None
    """None: the document that names it can't be read."""
    reason: str
    detail: str


@dataclass(frozen=True, slots=True)
class InService(Generic[T]):
    """What can be answered with at one moment."""

    champion: T | None = None
    versions: Mapping[str, T] = field(default_factory=dict)
    """All that were loaded, the champion among them."""
    experiment: Experiment | None = None
    """The one that is running."""
    broken: Mapping[str, Broken] = field(default_factory=dict)
    """By role: the alias, `experiment/arm`, or `experiments` for their document."""

    def of(self, arm: Arm) -> T | None:
        """What an arm stands for; none if it can't be served."""
        return self.champion if arm.version == CHAMPION else self.versions.get(arm.version)

    def roles(self, version: str) -> list[str]:
        """What a version is in service for."""
        served = {CHAMPION: self.champion}
        if self.experiment:
            served |= {role_of(self.experiment, arm): self.of(arm) for arm in self.experiment.arms}
        return [role for role, found in served.items() if found and found.version == version]


@dataclass(frozen=True, slots=True)
class Chosen(Generic[T]):
    """What answers one request, to its end."""

    served: T
    alias: str
    """By which it was chosen, or `experiment`, or `pinned`."""
    trial: Trial | None = None
    shadows: tuple[tuple[T, Trial], ...] = ()
    """What is asked as well, for whom `shadow_of` is still to be said."""


class Serving(ABC, Generic[T]):
    """Hands out what is in service for one target and keeps it up to date."""

    subject: Subject

    def __init__(
        self,
        target: str,
        *,
        alias: str,
        experiments: Experiments,
        ttl: timedelta,
        metrics: InferenceMetrics,
        clock: Clock,
    ) -> None:
        self.target = target
        self.alias = alias
        self._experiments = experiments
        self._ttl = ttl
        self._metrics = metrics
        self._clock = clock
        self._now: InService[T] = InService()
        self._looked_at: datetime | None = None
        self._refused: dict[str, tuple[Broken, datetime, tuple[int, int]]] = {}
        self._refresh: asyncio.Task[None] | None = None

    @abstractmethod
    def _point(self) -> Pointer | None:
        """Where the alias points; raises `ValidationError` if its document can't be read."""

    @abstractmethod
    def _load(self, version: str) -> T:
        """A version that has proved that it can serve; raises `TrendingError`."""

    def _version(self, pointer: Pointer | None) -> str | None:
        """The champion's version; none if there is none."""
        return pointer.version if pointer else None

    # ------------------------------------------------------------ choosing

    def look(self) -> InService[T]:
        """What is in service; looks in the background if it is time to."""
        self._look_if_old()
        return self._now

    def version(self) -> str | None:
        """That of the champion, if any."""
        champion = self.look().champion
        return champion.version if champion else None

    async def fresh(self) -> InService[T]:
        """What is in service; whoever finds the last look old waits for the next one."""
        if looking := self._look_if_old():
            await asyncio.shield(looking)
        return self._now

    def choose(self, unit_id: str) -> Chosen[T]:
        """What answers a unit, the same to it each time; the caller keeps it to its end.

        Raises:
            ModelNotFound: nothing is in service yet.
        """
        now = self.look()
        if now.champion is None:
            raise ModelNotFound(f"{self.target} has no usable {self.alias} yet")
        if now.experiment is None:
            return Chosen(now.champion, self.alias)
        drawn = assign(now.experiment, unit_id)
        self._metrics.arms.labels(self.subject, drawn.experiment, drawn.arm.name).inc()
        served = now.of(drawn.arm)
        if served is None:
            self._metrics.fallbacks.labels(self.subject, drawn.experiment).inc()
        return Chosen(
            served or now.champion,
            EXPERIMENT if served and served is not now.champion else self.alias,
            Trial(
                experiment=drawn.experiment,
                arm=drawn.arm.name,
                unit=drawn.unit,
                fallback=served is None,
            ),
            tuple(
                (shadow, Trial(experiment=drawn.experiment, arm=arm.name, unit=drawn.unit))
                for arm in drawn.shadows
                if (shadow := now.of(arm)) is not None
            ),
        )

    def pinned(self, version: str) -> Chosen[T] | None:
        """The version that a caller names, outside of experiments; none if it isn't in service."""
        now = self.look()
        found = now.versions.get(version)
        if found is None:
            return None
        return Chosen(found, self.alias if found is now.champion else PINNED)

    # ------------------------------------------------------------ looking

    def _look_if_old(self) -> "asyncio.Task[None] | None":
        now = self._clock.now()
        fresh = self._looked_at is not None and abs(now - self._looked_at) < self._ttl
        if fresh or (self._refresh and not self._refresh.done()):
            return None
        self._refresh = asyncio.create_task(self.refresh())
        return self._refresh

    async def refresh(self) -> None:
        """Look now; load what is missing, and put it in service all at once."""
        self._looked_at = self._clock.now()
        try:
            now = await asyncio.to_thread(self._find)
        except TrendingError as error:
            self._metrics.load_failures.labels(error.reason).inc()
            log.error(
                "versions_not_looked_up",
                subject=self.subject,
                reason=error.reason,
                detail=str(error),
            )
            return
        was, self._now = self._now, now
        self._show(was, now)

    def _find(self) -> InService[T]:
        """What is to be in service by the documents; raises `StoreUnavailable`."""
        was = self._now
        broken: dict[str, Broken] = {}
        pointer, version, experiment = None, None, was.experiment
        try:
            pointer = self._point()
            version = self._version(pointer)
        except ValidationError:
            detail = f"the alias {self.alias} has no readable document"
            broken[self.alias] = Broken(None, "AliasUnreadable", detail)
        try:
            experiment = self._experiments.current(self.subject, self.target)
        except ExperimentUnreadable as error:
            broken["experiments"] = Broken(None, error.reason, str(error))
        mark = pointer.number if pointer else 0, experiment.number if experiment else 0
        if experiment and not experiment.running:
            experiment = None

        versions: dict[str, T] = {}
        wanted = {self.alias: version} if version else {}
        if experiment:
            wanted |= {
                role_of(experiment, arm): arm.version
                for arm in experiment.arms
                if arm.version != CHAMPION and (arm.weight or arm.shadow)
            }
        for role, each in wanted.items():
            found = was.versions.get(each) or versions.get(each) or self._try(each, mark)
            if isinstance(found, Broken):
                broken[role] = found
            else:
                versions[each] = found
        champion = versions.get(version or "", was.champion)
        if champion:
            versions[champion.version] = champion
        self._refused = {v: told for v, told in self._refused.items() if told[0] in broken.values()}
        return InService(champion, versions, experiment, broken)

    def _try(self, version: str, mark: tuple[int, int]) -> T | Broken:
        """Load a version, unless that failed just now and nobody has moved anything since."""
        now = self._clock.now()
        if version in self._refused:
            broken, at, marked = self._refused[version]
            if marked == mark and now - at < TRY_AGAIN:
                return broken
        try:
            return self._load(version)
        except TrendingError as error:
            self._metrics.load_failures.labels(error.reason).inc()
            broken = Broken(version, error.reason, str(error))
            self._refused[version] = broken, now, mark
            return broken

    def _show(self, was: InService[T], now: InService[T]) -> None:
        for role in {*was.broken, *now.broken}:
            found = now.broken.get(role)
            gauge = self._metrics.version_broken.labels(self.subject, self.target, role)
            gauge.set(1 if found else 0)
            if found and found != was.broken.get(role):
                log.error(
                    "version_not_loaded",
                    subject=self.subject,
                    role=role,
                    version=found.version,
                    reason=found.reason,
                    detail=found.detail,
                )
        for version in now.versions.keys() - was.versions.keys():
            log.info(
                "version_in_service",
                subject=self.subject,
                target=self.target,
                version=version,
                roles=now.roles(version),
            )

    async def close(self) -> None:
        """Wait for a look that is under way."""
        if self._refresh:
            await self._refresh


def role_of(experiment: Experiment, arm: Arm) -> str:
    """What a version is called that is in service as an arm."""
    return f"{experiment.name}/{arm.name}"
