"""Where the trainer is built and connected."""

from prometheus_client import CollectorRegistry

from trending_shared.clock import SystemClock
from trending_shared.delivery import Consumer
from trending_shared.events import ModelPromoted, ModelRefused, ModelRegistered
from trending_shared.publishing import KafkaPublisher
from trending_shared.settings import read_settings
from trending_shared.storage import ObjectStore
from trending_shared.worker import WorkerApp, worker_app
from trending_trainer.handlers import register_handlers
from trending_trainer.metrics import TrainerMetrics
from trending_trainer.runs import Runs
from trending_trainer.settings import TrainerSettings
from trending_trainer.supervising import Supervisor


def create_app(settings: TrainerSettings | None = None) -> WorkerApp:
    """Build and connect everything; nothing is started."""
    settings = settings or read_settings(TrainerSettings)
    registry, clock = CollectorRegistry(), SystemClock()
    publisher = KafkaPublisher(
        settings.kafka,
        service="trainer",
        code_version=settings.code_version,
        registry=registry,
        clock=clock,
    )
    consumer = Consumer(
        service="trainer",
        publisher=publisher,
        registry=registry,
        batch_size=settings.batch_size,
        dead_letter_limit=settings.dead_letter_limit,
        clock=clock,
    )
    runs = Runs(ObjectStore.at(settings.store), lease=settings.lease)
    supervisor = Supervisor(
        runs=runs,
        publisher=publisher,
        metrics=TrainerMetrics(registry),
        clock=clock,
        attempts=settings.attempts,
        logs=settings.home / "trainer",
    )
    register_handlers(consumer, runs, supervisor)
    return worker_app(
        settings,
        consumer=consumer,
        publisher=publisher,
        registry=registry,
        clock=clock,
        produces=(ModelRegistered, ModelPromoted, ModelRefused),
        lifespan=supervisor.running,
    )
