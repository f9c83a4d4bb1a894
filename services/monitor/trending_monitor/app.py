"""Where the monitor is built and connected."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from prometheus_client import CollectorRegistry

from trending_monitor.handlers import register_handlers
from trending_monitor.metrics import MonitorMetrics
from trending_monitor.monitoring import Monitor
from trending_monitor.settings import MonitorSettings
from trending_monitor.windows import PredictionWindows
from trending_shared.catalog import Catalog
from trending_shared.clock import SystemClock
from trending_shared.delivery import Consumer
from trending_shared.events import DriftDetected
from trending_shared.publishing import KafkaPublisher
from trending_shared.registry import ModelRegistry
from trending_shared.settings import read_settings
from trending_shared.storage import ObjectStore
from trending_shared.worker import WorkerApp, worker_app


def create_app(settings: MonitorSettings | None = None) -> WorkerApp:
    """Build and connect everything; nothing is started."""
    settings = settings or read_settings(MonitorSettings)
    registry, clock = CollectorRegistry(), SystemClock()
    publisher = KafkaPublisher(
        settings.kafka,
        service="monitor",
        code_version=settings.code_version,
        registry=registry,
        clock=clock,
    )
    consumer = Consumer(
        service="monitor",
        publisher=publisher,
        registry=registry,
        batch_size=settings.batch_size,
        dead_letter_limit=settings.dead_letter_limit,
        clock=clock,
    )
    catalog = Catalog(settings.catalog)
    monitor = Monitor(
        windows=PredictionWindows(catalog, size=settings.window_size),
        registry=ModelRegistry(ObjectStore.at(settings.store)),
        metrics=MonitorMetrics(registry),
        clock=clock,
        threshold=settings.drift_threshold,
    )
    register_handlers(consumer, monitor)

    @asynccontextmanager
    async def lifespan() -> AsyncIterator[None]:
        await catalog.create()
        try:
            yield
        finally:
            await catalog.close()

    return worker_app(
        settings,
        consumer=consumer,
        publisher=publisher,
        registry=registry,
        clock=clock,
        produces=(DriftDetected,),
        ready={"catalog": catalog.ping},
        lifespan=lifespan,
    )
