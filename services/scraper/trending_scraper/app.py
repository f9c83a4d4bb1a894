"""Where the scraper is built and connected."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager

from trending_scraper.adapters import configured_sources
from trending_scraper.addresses import Guard
from trending_scraper.authors import Authors, author_keys
from trending_scraper.erasing import Eraser
from trending_scraper.fetches import Fetches
from trending_scraper.fetching import HttpFetcher
from trending_scraper.handlers import register_handlers
from trending_scraper.imported import ImportedFirst
from trending_scraper.metrics import ScheduleMetrics, ScraperMetrics
from trending_scraper.pacing import Pacing
from trending_scraper.quotas import Quotas
from trending_scraper.raw_pages import RawPages, kept_pages
from trending_scraper.robots import AGENT
from trending_scraper.scheduling import KafkaLedger, Scheduler, recurring_jobs
from trending_scraper.scraping import Scraper
from trending_scraper.settings import ScraperSettings
from trending_scraper.sources.base import Source
from trending_shared.erasures import Erasures
from trending_shared.errors import SettingInvalid
from trending_shared.events import (
    FactsScraped,
    PageFetched,
    PageUnchanged,
    RecordsDeleted,
    RecordsErased,
    ReviewScraped,
    ScrapeJob,
    SignalScraped,
    TitleScraped,
)
from trending_shared.imports import HOST as IMPORTS
from trending_shared.retention import Retention
from trending_shared.settings import read_settings
from trending_shared.storage import ObjectStore
from trending_shared.topics import SCHEDULES
from trending_shared.worker import Base, WorkerApp, worker_app


def create_app(settings: ScraperSettings | None = None) -> WorkerApp:
    """Build and connect everything; nothing is started."""
    settings = settings or read_settings(ScraperSettings)
    base = Base.of("scraper", settings)
    sources = configured_sources(settings)
    fetcher = HttpFetcher(
        guard=Guard(allowed=settings.allowed_private_hosts),
        pacing=Pacing(clock=base.clock, default_delay=settings.default_delay),
        user_agent=user_agent(settings, sources),
        clock=base.clock,
        connect_timeout=settings.connect_timeout,
        read_timeout=settings.read_timeout,
        page_timeout=settings.page_timeout,
        tracing=base.tracing,
    )
    store = ObjectStore.at(settings.store)
    scraper = Scraper(
        sources=sources,
        fetcher=ImportedFirst(fetcher, store=store, clock=base.clock),
        raw_pages=RawPages(store),
        fetches=Fetches(store),
        quotas=Quotas(store, clock=base.clock),
        authors=Authors(*hash_keys(settings)),
        erasures=Erasures(store),
        metrics=ScraperMetrics(base.registry),
    )
    register_handlers(base.consumer, scraper, Eraser(store), at_once=settings.at_once)

    retention = Retention(
        [kept_pages(store, settings.pages_kept)], publisher=base.publisher, clock=base.clock
    )
    recurring = recurring_jobs(sources) if settings.schedules else []
    scheduler = Scheduler(
        recurring,
        ledger=KafkaLedger(settings.kafka, code_version=settings.code_version, clock=base.clock),
        metrics=ScheduleMetrics(base.registry),
        clock=base.clock,
    )

    @asynccontextmanager
    async def lifespan() -> AsyncIterator[None]:
        deleting = asyncio.create_task(retention.run())
        try:
            async with fetcher, scheduler.running():
                yield
        finally:
            deleting.cancel()
            await asyncio.gather(deleting, return_exceptions=True)

    return worker_app(
        base,
        produces=(
            *(TitleScraped, ReviewScraped, FactsScraped, SignalScraped),
            *(PageFetched, PageUnchanged, ScrapeJob, RecordsDeleted, RecordsErased),
        ),
        topics=(SCHEDULES,) if recurring else (),
        lifespan=lifespan,
    )


def user_agent(settings: ScraperSettings, sources: Sequence[Source]) -> str:
    """How we present ourselves: a site's owner must be able to reach us.

    Raises:
        SettingInvalid: a site that isn't ours would be visited without a contact.
    """
    foreign = {host for source in sources for host in source.hosts}
    foreign -= settings.allowed_private_hosts | {IMPORTS}
    if foreign and not settings.contact:
        raise SettingInvalid(
            "SCRAPER_CONTACT: a URL or mail address is needed before visiting "
            f"{', '.join(sorted(foreign))}; the demo's own site goes into "
            "SCRAPER_ALLOWED_PRIVATE_HOSTS instead"
        )
    contact = f"+{settings.contact}" if settings.contact else "local demo"
    return f"{AGENT}/{settings.code_version} ({contact})"


def hash_keys(settings: ScraperSettings) -> tuple[bytes, ...]:
    """The key that hashes authors, then those that did before."""
    if settings.author_hash_key is None:
        return author_keys(settings.home)
    keys = (settings.author_hash_key, *settings.author_hash_old_keys)
    return tuple(key.get_secret_value().encode() for key in keys)
