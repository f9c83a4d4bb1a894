"""Where the trainer is built and connected."""

from trending_shared.events import ModelPromoted, ModelRefused, ModelRegistered
from trending_shared.settings import read_settings
from trending_shared.storage import ObjectStore
from trending_shared.worker import Base, WorkerApp, worker_app
from trending_trainer.handlers import register_handlers
from trending_trainer.metrics import TrainerMetrics
from trending_trainer.runs import Runs
from trending_trainer.settings import TrainerSettings
from trending_trainer.supervising import Supervisor


def create_app(settings: TrainerSettings | None = None) -> WorkerApp:
    """Build and connect everything; nothing is started."""
    settings = settings or read_settings(TrainerSettings)
    base = Base.of("trainer", settings)
    runs = Runs(ObjectStore.at(settings.store), lease=settings.lease)
    supervisor = Supervisor(
        runs=runs,
        publisher=base.publisher,
        metrics=TrainerMetrics(base.registry),
        clock=base.clock,
        attempts=settings.attempts,
        logs=settings.home / "trainer",
    )
    register_handlers(base.consumer, runs, supervisor)
    return worker_app(
        base,
        produces=(ModelRegistered, ModelPromoted, ModelRefused),
        lifespan=supervisor.running,
    )
