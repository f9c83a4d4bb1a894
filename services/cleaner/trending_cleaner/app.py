"""Where the cleaner is built and connected."""

import asyncio

from trending_cleaner.cleaner import Cleaner
from trending_cleaner.handlers import register_handlers
from trending_cleaner.metrics import CleanerMetrics
from trending_cleaner.schemas import FACTS, MERGED, REJECTS, REVIEWS, SIGNALS, TITLES
from trending_cleaner.settings import CleanerSettings
from trending_cleaner.validation import Limits
from trending_shared.errors import StoreUnavailable
from trending_shared.events import (
    RecordRejected,
    ReviewCleaned,
    SignalCleaned,
    TitleCleaned,
    TitleMerged,
)
from trending_shared.settings import read_settings
from trending_shared.tables import OffsetTable
from trending_shared.worker import Base, WorkerApp, worker_app


def create_app(settings: CleanerSettings | None = None) -> WorkerApp:
    """Build and connect everything; nothing is started."""
    settings = settings or read_settings(CleanerSettings)
    base = Base.of("cleaner", settings)
    cleaner = Cleaner(
        titles=OffsetTable(settings.store, "titles", schema=TITLES, owner="cleaner"),
        reviews=OffsetTable(settings.store, "reviews", schema=REVIEWS, owner="cleaner"),
        facts=OffsetTable(settings.store, "facts", schema=FACTS, owner="cleaner"),
        signals=OffsetTable(settings.store, "signals", schema=SIGNALS, owner="cleaner"),
        rejects=OffsetTable(settings.store, "rejects", schema=REJECTS, owner="cleaner"),
        merged=OffsetTable(settings.store, "merged", schema=MERGED, owner="cleaner"),
        metrics=CleanerMetrics(base.registry),
        limits=Limits(share=settings.bad_share, records=settings.bad_records),
        clock=base.clock,
        code_version=settings.code_version,
    )
    register_handlers(base.consumer, cleaner)
    # Opened once more: the cleaner uses its own in another thread.
    titles = OffsetTable(settings.store, "titles", schema=TITLES, owner="cleaner")

    async def tables_answer() -> bool:
        try:
            await asyncio.to_thread(titles.open)
        except StoreUnavailable:
            return False
        return True

    return worker_app(
        base,
        produces=(TitleCleaned, ReviewCleaned, SignalCleaned, TitleMerged, RecordRejected),
        ready={"tables": tables_answer},
    )
