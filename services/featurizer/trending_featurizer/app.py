"""Builds and connects the featurizer."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from typing import Never

import structlog

from trending_featurizer.datasets import Datasets
from trending_featurizer.entries import Entries, kept_reviews
from trending_featurizer.erasing import Eraser
from trending_featurizer.feature_table import FeatureTable
from trending_featurizer.handlers import Featurizer, register_handlers
from trending_featurizer.metrics import FeaturizerMetrics
from trending_featurizer.settings import FeaturizerSettings
from trending_featurizer.trend_keeping import TrendKeeper
from trending_shared.catalog import Catalog
from trending_shared.embeddings import VECTORS, Embedder, Encoder
from trending_shared.encoder import SentenceEncoder
from trending_shared.erasures import Erasures
from trending_shared.events import (
    DatasetPublished,
    FeaturesComputed,
    RecordsDeleted,
    RecordsErased,
)
from trending_shared.retention import Retention
from trending_shared.settings import read_settings
from trending_shared.storage import ObjectStore
from trending_shared.tables import table_uri
from trending_shared.worker import Base, WorkerApp, worker_app

log = structlog.get_logger()


def create_app(
    settings: FeaturizerSettings | None = None, *, load: Callable[[], Encoder] | None = None
) -> WorkerApp:
    """Build and connect everything; nothing is started.

    Args:
        load: makes the encoder; the sentence encoder if not given.
    """
    settings = settings or read_settings(FeaturizerSettings)
    cache, threads = settings.encoder_cache, settings.threads
    base = Base.of("featurizer", settings)
    metrics = FeaturizerMetrics(base.registry)
    catalog = Catalog(settings.catalog)
    trends = TrendKeeper(catalog, publisher=base.publisher, clock=base.clock, metrics=metrics)
    embedder = Embedder(
        load or (lambda: SentenceEncoder.load(cache, threads=threads)),
        file=settings.home / VECTORS,
        most=settings.remembered_texts,
        tell=metrics.count_embeddings,
    )
    entries = Entries(catalog, metrics)
    store = ObjectStore.at(settings.store)
    datasets = Datasets(
        store,
        titles=table_uri(settings.store, "titles"),
        reviews=table_uri(settings.store, "reviews"),
        code_version=settings.code_version,
        clock=base.clock,
        metrics=metrics,
    )
    featurizer = Featurizer(
        embedder=embedder,
        features=FeatureTable(settings.store),
        entries=entries,
        trends=trends,
        datasets=datasets,
        snapshot_titles=settings.snapshot_titles,
        erasures=Erasures(store),
        metrics=metrics,
    )
    eraser = Eraser(
        settings.store,
        entries=entries,
        trends=trends,
        datasets=datasets,
        embedder=embedder,
        catalog=catalog,
        clock=base.clock,
    )
    retention = Retention(
        [kept_reviews(catalog, settings.reviews_kept)], publisher=base.publisher, clock=base.clock
    )
    register_handlers(base.consumer, featurizer, eraser)

    @asynccontextmanager
    async def lifespan() -> AsyncIterator[None]:
        await catalog.create()
        await asyncio.to_thread(embedder.load)
        keeping = asyncio.create_task(trends.keep_fresh())
        keeping.add_done_callback(_report)
        deleting = asyncio.create_task(retention.run())
        try:
            yield
        finally:
            deleting.cancel()
            keeping.cancel()
            with suppress(asyncio.CancelledError):
                await asyncio.gather(deleting, keeping)
            await catalog.close()

    return worker_app(
        base,
        produces=(FeaturesComputed, DatasetPublished, RecordsDeleted, RecordsErased),
        ready={"catalog": catalog.ping},
        lifespan=lifespan,
    )


def _report(keeping: "asyncio.Task[Never]") -> None:
    if not keeping.cancelled() and (error := keeping.exception()):
        log.critical("trends_no_longer_kept", exc_info=error)
