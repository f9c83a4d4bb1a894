"""Where the monitor is built and connected."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import timedelta

from trending_monitor.auditing import Auditor
from trending_monitor.conductor import Conductor
from trending_monitor.deciding import Decider
from trending_monitor.erasing import Eraser
from trending_monitor.handlers import register_handlers
from trending_monitor.metrics import MonitorMetrics
from trending_monitor.monitoring import Monitor
from trending_monitor.reminding import Reminder
from trending_monitor.retention import Retention
from trending_monitor.schedule import ReportSchedule
from trending_monitor.settings import MonitorSettings
from trending_monitor.trials import Trials
from trending_monitor.windows import PredictionWindows
from trending_shared.catalog import Catalog
from trending_shared.events import (
    DatasetRequested,
    DriftDetected,
    DriftReported,
    ExperimentChanged,
    ModelPromoted,
    QualityEstimated,
    RecordsDeleted,
    RecordsErased,
    RetrainingDecided,
    RetrainingRequested,
    TrainingRequested,
)
from trending_shared.registry import ModelRegistry
from trending_shared.settings import read_settings
from trending_shared.storage import ObjectStore
from trending_shared.worker import Base, WorkerApp, worker_app

RETENTION_LOOKED_AT = timedelta(hours=1)


def create_app(settings: MonitorSettings | None = None) -> WorkerApp:
    """Build and connect everything; nothing is started."""
    settings = settings or read_settings(MonitorSettings)
    base = Base.of("monitor", settings)
    catalog = Catalog(settings.catalog)
    store = ObjectStore.at(settings.store)
    metrics = MonitorMetrics(base.registry)
    trials = Trials(catalog, settle=settings.experiment_settle, labellers=settings.labellers)
    monitor = Monitor(
        windows=PredictionWindows(catalog, size=settings.window_size),
        registry=ModelRegistry(store),
        metrics=metrics,
        clock=base.clock,
        false_alarms=settings.false_alarms,
        trials=trials,
    )
    conductor = Conductor(
        trials=trials,
        store=store,
        publisher=base.publisher,
        metrics=metrics,
        clock=base.clock,
        policy=settings.experiment_policy,
        every=settings.experiments_every,
    )
    decider = Decider(
        catalog=catalog,
        store=store,
        metrics=metrics,
        clock=base.clock,
        policy=settings.retrain_policy,
    )
    reminder = Reminder(decider=decider, publisher=base.publisher, every=settings.retrain_look)
    schedule = ReportSchedule(
        catalog=catalog,
        store=store,
        clock=base.clock,
        every=settings.reports_every,
    )
    retention = Retention(
        catalog=catalog,
        store=store,
        publisher=base.publisher,
        clock=base.clock,
        every=RETENTION_LOOKED_AT,
        reports=settings.reports_kept,
        records=settings.records_kept,
    )
    auditor = Auditor(store, metrics=metrics, clock=base.clock, every=settings.audit_every)
    eraser = Eraser(catalog, store)
    register_handlers(base.consumer, monitor, decider, conductor, auditor, eraser)

    @asynccontextmanager
    async def lifespan() -> AsyncIterator[None]:
        await catalog.create()
        loops = [auditor.run(), retention.run(), reminder.run(), conductor.run()]
        if settings.reports:
            loops.append(schedule.run())
        tasks = [asyncio.create_task(loop) for loop in loops]
        try:
            yield
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
            await catalog.close()

    return worker_app(
        base,
        produces=(
            *(DriftDetected, QualityEstimated, DriftReported, RecordsDeleted),
            *(RetrainingRequested, RetrainingDecided, DatasetRequested, TrainingRequested),
            *(ExperimentChanged, ModelPromoted, RecordsErased),
        ),
        ready={"catalog": catalog.ping},
        lifespan=lifespan,
    )
