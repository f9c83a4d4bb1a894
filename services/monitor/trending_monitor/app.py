"""Where the monitor is built and connected."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from trending_monitor.handlers import register_handlers
from trending_monitor.metrics import MonitorMetrics
from trending_monitor.monitoring import Monitor
from trending_monitor.schedule import ReportSchedule
from trending_monitor.settings import MonitorSettings
from trending_monitor.windows import PredictionWindows
from trending_shared.catalog import Catalog
from trending_shared.events import DriftDetected, DriftReported, QualityEstimated
from trending_shared.registry import ModelRegistry
from trending_shared.settings import read_settings
from trending_shared.storage import ObjectStore
from trending_shared.worker import Base, WorkerApp, worker_app


def create_app(settings: MonitorSettings | None = None) -> WorkerApp:
    """Build and connect everything; nothing is started."""
    settings = settings or read_settings(MonitorSettings)
    base = Base.of("monitor", settings)
    catalog = Catalog(settings.catalog)
    store = ObjectStore.at(settings.store)
    monitor = Monitor(
        windows=PredictionWindows(catalog, size=settings.window_size),
        registry=ModelRegistry(store),
        metrics=MonitorMetrics(base.registry),
        clock=base.clock,
        false_alarms=settings.false_alarms,
    )
    schedule = ReportSchedule(
        catalog=catalog,
        store=store,
        clock=base.clock,
        every=settings.reports_every,
        keep=settings.reports_kept,
    )
    register_handlers(base.consumer, monitor)

    @asynccontextmanager
    async def lifespan() -> AsyncIterator[None]:
        await catalog.create()
        reports = asyncio.create_task(schedule.run()) if settings.reports else None
        try:
            yield
        finally:
            if reports:
                reports.cancel()
                await asyncio.gather(reports, return_exceptions=True)
            await catalog.close()

    return worker_app(
        base,
        produces=(DriftDetected, QualityEstimated, DriftReported),
        ready={"catalog": catalog.ping},
        lifespan=lifespan,
    )
