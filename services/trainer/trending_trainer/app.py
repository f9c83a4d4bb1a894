"""Where the trainer is built and connected."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from trending_shared.events import (
    ModelApproved,
    ModelPromoted,
    ModelRefused,
    ModelRegistered,
    RecordsErased,
)
from trending_shared.registry import ModelRegistry
from trending_shared.settings import read_settings
from trending_shared.storage import ObjectStore
from trending_shared.worker import Base, WorkerApp, worker_app
from trending_trainer.erasing import Eraser
from trending_trainer.following import Follower
from trending_trainer.handlers import register_handlers
from trending_trainer.metrics import TrainerMetrics
from trending_trainer.runs import Runs
from trending_trainer.settings import TrainerSettings
from trending_trainer.supervising import Supervisor


def create_app(settings: TrainerSettings | None = None) -> WorkerApp:
    """Build and connect everything; nothing is started."""
    settings = settings or read_settings(TrainerSettings)
    base = Base.of("trainer", settings)
    store, metrics = ObjectStore.at(settings.store), TrainerMetrics(base.registry)
    runs = Runs(store, lease=settings.lease)
    supervisor = Supervisor(
        runs=runs,
        publisher=base.publisher,
        metrics=metrics,
        clock=base.clock,
        attempts=settings.attempts,
        logs=settings.home / "trainer",
        tracing=base.tracing,
    )
    follower = Follower(
        registry=ModelRegistry(store),
        metrics=metrics,
        clock=base.clock,
        home=settings.home,
    )
    register_handlers(base.consumer, runs, supervisor, Eraser(store))

    @asynccontextmanager
    async def working() -> AsyncIterator[None]:
        async with supervisor.running(), follower.running():
            yield

    return worker_app(
        base,
        produces=(ModelRegistered, ModelPromoted, ModelApproved, ModelRefused, RecordsErased),
        lifespan=working,
    )
