"""What the featurizer does when something happens."""

import asyncio
from collections.abc import Sequence
from typing import Any, TypeVar

from trending_featurizer.datasets import Datasets
from trending_featurizer.entries import Entries
from trending_featurizer.erasing import Eraser
from trending_featurizer.feature_table import FeatureTable, Row
from trending_featurizer.featurizing import featurize, titles_table
from trending_featurizer.metrics import FeaturizerMetrics
from trending_featurizer.trend_keeping import TrendKeeper
from trending_shared.delivery import Consumer
from trending_shared.embeddings import Embedder
from trending_shared.erasures import Erasures
from trending_shared.events import (
    DatasetPublished,
    DatasetRequested,
    FeaturesComputed,
    Lack,
    RecordsErased,
    ReviewCleaned,
    SignalCleaned,
    TitleCleaned,
    TitleMerged,
    Trend,
)
from trending_shared.messages import Message, Position

C = TypeVar("C", TitleCleaned, ReviewCleaned, SignalCleaned)


def register_handlers(consumer: Consumer, featurizer: "Featurizer", eraser: Eraser) -> None:
    consumer.on(TitleCleaned, featurizer.on_titles_cleaned)
    consumer.on(ReviewCleaned, featurizer.on_reviews_cleaned)
    consumer.on(SignalCleaned, featurizer.on_signals_cleaned)
    consumer.on(TitleMerged, featurizer.on_titles_merged)
    consumer.on_each(DatasetRequested, featurizer.on_dataset_requested)
    consumer.on_each(RecordsErased, eraser.on_records_erased)


class Featurizer:
    """Connects features, catalog, trends and datasets; CPU and tables work in threads."""

    def __init__(
        self,
        *,
        embedder: Embedder,
        features: FeatureTable,
        entries: Entries,
        trends: TrendKeeper,
        datasets: Datasets,
        snapshot_titles: int,
        erasures: Erasures,
        metrics: FeaturizerMetrics,
    ) -> None:
        self._embedder = embedder
        self._features = features
        self._entries = entries
        self._trends = trends
        self._datasets = datasets
        self._snapshot_titles = snapshot_titles
        self._erasures = erasures
        self._metrics = metrics

    async def on_titles_cleaned(
        self, messages: Sequence[Message[TitleCleaned]]
    ) -> list[Message[Any]]:
        messages = await asyncio.to_thread(self._not_erased, messages)
        if not messages:
            return []
        titles = [message.event for message in messages]
        rows = await asyncio.to_thread(self._featurize, messages)
        await self._entries.write_titles(titles, [row["text_hash"] for row in rows])
        trends = await self._trends.measure(
            [title.title_id for title in titles], self._trends.today()
        )
        await asyncio.to_thread(self._features.append, _positioned(messages, rows))
        self._metrics.titles.inc(len(titles))
        computed = [
            message.leads_to(features_computed(row, trends.get(row["title_id"])))
            for message, row in zip(messages, rows, strict=True)
        ]
        return [*computed, *await self._cut_if_due(messages)]

    async def on_reviews_cleaned(self, messages: Sequence[Message[ReviewCleaned]]) -> None:
        messages = await asyncio.to_thread(self._not_erased, messages)
        reviews = [message.event for message in messages]
        await self._entries.write_reviews(reviews)
        await self._trends.measure([review.title_id for review in reviews], self._trends.today())
        self._metrics.reviews.inc(len(reviews))

    async def on_signals_cleaned(self, messages: Sequence[Message[SignalCleaned]]) -> None:
        messages = await asyncio.to_thread(self._not_erased, messages)
        titles = await self._entries.write_signals([message.event for message in messages])
        await self._trends.measure(titles, self._trends.today())
        self._metrics.signals.inc(len(messages))

    async def on_titles_merged(self, messages: Sequence[Message[TitleMerged]]) -> None:
        titles = await self._entries.write_identities([message.event for message in messages])
        await self._trends.measure(titles, self._trends.today())

    async def on_dataset_requested(
        self, message: Message[DatasetRequested]
    ) -> list[Message[DatasetPublished]]:
        return [await asyncio.to_thread(self._datasets.answer, message)]

    def _not_erased(self, messages: Sequence[Message[C]]) -> list[Message[C]]:
        """What is neither by an erased author nor from an erased page."""
        self._erasures.read()
        return [
            message
            for message in messages
            if not self._erasures.erased(
                message.event.page.url, getattr(message.event, "author_hash", None)
            )
        ]

    def _featurize(self, messages: Sequence[Message[TitleCleaned]]) -> list[Row]:
        with self._metrics.seconds.time():
            table = featurize(titles_table(messages), self._embedder.embed, self._embedder.version)
        rows: list[Row] = table.to_pylist()
        return rows

    async def _cut_if_due(
        self, messages: Sequence[Message[TitleCleaned]]
    ) -> list[Message[DatasetPublished]]:
        titles = await self._entries.count_titles()
        return await asyncio.to_thread(
            self._datasets.cut_if_due, messages, titles=titles, every=self._snapshot_titles
        )


def features_computed(row: Row, trend: Trend | Lack | None) -> FeaturesComputed:
    return FeaturesComputed(
        title_id=row["title_id"],
        content_hash=row["content_hash"],
        text_hash=row["text_hash"],
        recipe=row["recipe"],
        encoder=row["encoder"],
        trend=trend if isinstance(trend, Trend) else None,
        lack=None if isinstance(trend, Trend) else trend,
    )


def _positioned(
    messages: Sequence[Message[TitleCleaned]], rows: Sequence[Row]
) -> list[tuple[Position, Row]]:
    return [
        (message.position, row)
        for message, row in zip(messages, rows, strict=True)
        if message.position  # every delivered message has one
    ]
