"""Where the cleaner is built and connected."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from trending_cleaner.cleaner import Cleaner
from trending_cleaner.erasing import Eraser, kept_rows
from trending_cleaner.handlers import register_handlers
from trending_cleaner.metrics import CleanerMetrics
from trending_cleaner.pages import PAGES, Pages
from trending_cleaner.schemas import TABLES, TITLES
from trending_cleaner.settings import CleanerSettings
from trending_cleaner.validation import Limits
from trending_shared.clock import Clock
from trending_shared.erasures import Erasures
from trending_shared.errors import StoreUnavailable
from trending_shared.events import (
    RecordRejected,
    RecordsDeleted,
    RecordsErased,
    ReviewCleaned,
    SignalCleaned,
    TitleCleaned,
    TitleMerged,
)
from trending_shared.retention import Retention
from trending_shared.settings import read_settings
from trending_shared.storage import ObjectStore
from trending_shared.tables import OffsetTable
from trending_shared.worker import Base, WorkerApp, worker_app


def create_app(settings: CleanerSettings | None = None) -> WorkerApp:
    """Build and connect everything; nothing is started."""
    settings = settings or read_settings(CleanerSettings)
    base = Base.of("cleaner", settings)
    metrics = CleanerMetrics(base.registry)
    cleaner = create_cleaner(
        settings.store,
        metrics=metrics,
        limits=Limits(share=settings.bad_share, records=settings.bad_records),
        clock=base.clock,
        code_version=settings.code_version,
    )
    pages = Pages(
        OffsetTable(settings.store, "pages", schema=PAGES, owner="cleaner"),
        erasures=Erasures(ObjectStore.at(settings.store)),
        metrics=metrics,
    )
    eraser = Eraser(settings.store, cleaner=cleaner, clock=base.clock)
    register_handlers(base.consumer, cleaner, pages, eraser)
    retention = Retention(
        [
            kept_rows(settings.store, "reviews", "fetched_at", settings.reviews_kept),
            kept_rows(settings.store, "rejects", "rejected_at", settings.rejects_kept),
        ],
        publisher=base.publisher,
        clock=base.clock,
    )
    # Opened once more: the cleaner uses its own in another thread.
    titles = OffsetTable(settings.store, "titles", schema=TITLES, owner="cleaner")

    async def tables_answer() -> bool:
        try:
            await asyncio.to_thread(titles.open)
        except StoreUnavailable:
            return False
        return True

    @asynccontextmanager
    async def lifespan() -> AsyncIterator[None]:
        deleting = asyncio.create_task(retention.run())
        try:
            yield
        finally:
            deleting.cancel()
            await asyncio.gather(deleting, return_exceptions=True)

    return worker_app(
        base,
        produces=(
            *(TitleCleaned, ReviewCleaned, SignalCleaned, TitleMerged, RecordRejected),
            *(RecordsDeleted, RecordsErased),
        ),
        ready={"tables": tables_answer},
        lifespan=lifespan,
    )


def create_cleaner(
    store: str, *, metrics: CleanerMetrics, limits: Limits, clock: Clock, code_version: str
) -> Cleaner:
    """A cleaner with its tables at a store's URL."""
    tables = {
        name: OffsetTable(store, name, schema=schema, owner="cleaner")
        for name, schema in TABLES.items()
    }
    return Cleaner(
        **tables,
        erasures=Erasures(ObjectStore.at(store)),
        metrics=metrics,
        limits=limits,
        clock=clock,
        code_version=code_version,
    )
