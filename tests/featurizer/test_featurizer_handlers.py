"""Events in, events out; and what lies in table, catalog and store afterwards."""

from collections.abc import Callable, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
import sqlalchemy as sa
from prometheus_client import CollectorRegistry

from trending_cleaner.schemas import TITLES, row_of
from trending_featurizer.app import create_app
from trending_featurizer.datasets import Datasets
from trending_featurizer.entries import Entries
from trending_featurizer.feature_table import FeatureTable
from trending_featurizer.featurizing import FEATURES, TITLE
from trending_featurizer.handlers import Featurizer
from trending_featurizer.metrics import FeaturizerMetrics
from trending_featurizer.settings import FeaturizerSettings
from trending_featurizer.trend_keeping import TrendKeeper
from trending_shared.catalog import Catalog, reviews, titles, trends
from trending_shared.clock import FrozenClock
from trending_shared.embeddings import VECTORS, Embedder
from trending_shared.erasures import Erasures
from trending_shared.errors import StoreUnavailable
from trending_shared.events import (
    DatasetPublished,
    DatasetRequested,
    DayCount,
    FeaturesComputed,
    RecordsDeleted,
    RecordsErased,
    ReviewCleaned,
    ServiceConfigured,
    SignalCleaned,
    TitleCleaned,
    TitleMerged,
)
from trending_shared.messages import Message, Position
from trending_shared.storage import ObjectStore
from trending_shared.tables import OffsetTable, table_uri
from trending_shared.testing import (
    CollectingPublisher,
    a_page,
    a_review_cleaned,
    a_title_cleaned,
    a_title_scraped,
    delivered,
)
from trending_shared.testing.encoding import HashEncoder

EVENTS = (TitleCleaned, ReviewCleaned, SignalCleaned, TitleMerged, DatasetRequested, RecordsErased)
NOW = datetime(2026, 11, 2, 12, tzinfo=UTC)


@pytest.fixture
def url(tmp_path: Path) -> str:
    return (tmp_path / "store").as_uri()


@pytest.fixture
def encoder() -> HashEncoder:
    return HashEncoder()


@pytest.fixture
def started(
    url: str, catalog: Catalog, encoder: HashEncoder, tmp_path: Path
) -> Callable[..., Featurizer]:
    """Starts a featurizer that remembers nothing of those before it but what lies on disk."""

    def start(
        registry: CollectorRegistry | None = None, features: FeatureTable | None = None
    ) -> Featurizer:
        metrics, clock = FeaturizerMetrics(registry or CollectorRegistry()), FrozenClock(NOW)
        return Featurizer(
            embedder=Embedder(
                lambda: encoder, file=tmp_path / VECTORS, tell=metrics.count_embeddings
            ),
            features=features or FeatureTable(url),
            entries=Entries(catalog, metrics),
            trends=TrendKeeper(
                catalog, publisher=CollectingPublisher(), clock=clock, metrics=metrics
            ),
            datasets=Datasets(
                ObjectStore.at(url),
                titles=table_uri(url, "titles"),
                reviews=table_uri(url, "reviews"),
                code_version="1",
                clock=clock,
                metrics=metrics,
            ),
            snapshot_titles=5,
            erasures=Erasures(ObjectStore.at(url)),
            metrics=metrics,
        )

    return start


@pytest.fixture
def featurizer(started: Callable[..., Featurizer], registry: CollectorRegistry) -> Featurizer:
    return started(registry)


def a_title(number: int, **changes: Any) -> TitleCleaned:
    return a_title_cleaned(
        title_id=f"t_{number}", plot=f"The plot of number {number}, at length.", **changes
    )


def cleaned(*titles: TitleCleaned, url: str | None = None) -> list[Message[TitleCleaned]]:
    """The messages of titles; with `url`, the titles lie in the cleaner's table too."""
    messages = [delivered(title, offset=n) for n, title in enumerate(titles)]
    if url:
        table = OffsetTable(url, "titles", schema=TITLES, owner="cleaner")
        cause = delivered(a_title_scraped())
        table.append(
            [
                (Position("titles-scraped", 0, n), row_of(cause, title, code_version="1"))
                for n, title in enumerate(titles)
            ]
        )
    return messages


def features_in(url: str) -> list[dict[str, Any]]:
    table = OffsetTable(url, "features", schema=FEATURES, owner="featurizer").read()
    rows: list[dict[str, Any]] = table.to_pylist()
    return rows


async def count(catalog: Catalog, table: sa.Table) -> int:
    async with catalog.reading() as connection:
        return int(await connection.scalar(sa.select(sa.func.count()).select_from(table)) or 0)


# ---------------------------------------------------------------- titles


async def test_each_title_leads_to_its_features(
    featurizer: Featurizer, url: str, catalog: Catalog, registry: CollectorRegistry
) -> None:
    messages = cleaned(a_title(1), a_title(2))
    answers = await featurizer.on_titles_cleaned(messages)
    assert [answer.causation_id for answer in answers] == [message.id for message in messages]
    rows = {row["title_id"]: row for row in features_in(url)}
    for answer in answers:
        event = answer.event
        assert isinstance(event, FeaturesComputed)
        row = rows[event.title_id]
        assert (event.text_hash, event.recipe, event.encoder) == (
            row["text_hash"],
            row["recipe"],
            row["encoder"],
        )
        assert row["event_id"] == str(answer.causation_id)
        assert len(row["embedding"]) == 384
    assert await count(catalog, titles) == 2
    assert registry.get_sample_value("trending_featurizer_titles_total") == 2


async def test_features_carry_the_trend_of_a_title_that_has_one(featurizer: Featurizer) -> None:
    days = [NOW.date() - timedelta(n) for n in range(1, 29)]
    counts = tuple(DayCount(day=day, count=100 if n > 4 else 500) for n, day in enumerate(days))
    page = a_page(fetched_at=NOW)
    answers = await featurizer.on_titles_cleaned(
        cleaned(a_title(1, popularity=counts, page=page), a_title(2, page=page))
    )
    surging, unknown = (answer.event for answer in answers)
    assert surging.trend.score > 1
    assert surging.trend.day == NOW.date()
    assert surging.trend.verdict == "rising"
    assert surging.lack is None
    assert (unknown.trend, unknown.lack) == (None, "nothing-counted")


async def test_a_second_delivery_repeats_the_answer_and_writes_nothing(
    started: Callable[..., Featurizer], url: str, catalog: Catalog
) -> None:
    messages = cleaned(*(a_title(n) for n in range(4)), url=url)
    first = await started().on_titles_cleaned(messages)
    again = started()
    assert [
        answer
        for batch in (messages[:1], messages[1:])
        for answer in await again.on_titles_cleaned(batch)
    ] == first
    assert len(features_in(url)) == 4
    assert await count(catalog, titles) == 4


async def test_an_event_under_a_new_offset_is_one_row(featurizer: Featurizer, url: str) -> None:
    (message,) = cleaned(a_title(1))
    retried = Message(
        message.event,
        id=message.id,
        correlation_id=message.correlation_id,
        position=Position("titles-cleaned-featurizer-retry-10s", 0, 3),
    )
    sent_twice = Message(
        message.event,
        id=message.id,
        correlation_id=message.correlation_id,
        position=Position("titles-cleaned", 0, 9),
    )
    first = await featurizer.on_titles_cleaned([message, sent_twice])
    assert [answer.id for answer in first] == [first[0].id] * 2
    await featurizer.on_titles_cleaned([retried])
    assert len(features_in(url)) == 1


async def test_an_event_whose_page_was_fetched_twice_is_one_row(
    started: Callable[..., Featurizer], url: str
) -> None:
    """As when the scraper is killed between its publishing and its commit."""
    (first,) = cleaned(a_title(1))
    later = a_title(1, page=a_page(fetched_at=NOW + timedelta(minutes=1)))
    again = Message(
        later,
        id=first.id,
        correlation_id=first.correlation_id,
        position=Position("titles-cleaned", 0, 9),
    )
    await started().on_titles_cleaned([first])
    await started().on_titles_cleaned([again])
    assert len(features_in(url)) == 1


async def test_a_new_version_of_a_title_is_another_row(featurizer: Featurizer, url: str) -> None:
    old, new = a_title(1), a_title(1, page=a_page(fetched_at=NOW), content_hash="1" * 16)
    await featurizer.on_titles_cleaned(cleaned(old))
    await featurizer.on_titles_cleaned(cleaned(a_title(2), new)[1:])
    assert sorted(row["content_hash"] for row in features_in(url)) == sorted(
        [old.content_hash, new.content_hash]
    )


async def test_a_text_that_did_not_change_is_not_encoded_again(
    featurizer: Featurizer, encoder: HashEncoder, registry: CollectorRegistry
) -> None:
    await featurizer.on_titles_cleaned(cleaned(a_title(1)))
    await featurizer.on_titles_cleaned(cleaned(a_title(1, rating=0.5, content_hash="1" * 16)))
    assert len(encoder.asked) == 1
    name = "trending_featurizer_embeddings_total"
    assert registry.get_sample_value(name, {"origin": "reused"}) == 1


# ---------------------------------------------------------------- reviews and datasets


async def test_reviews_reach_the_catalog_and_move_the_trend(
    featurizer: Featurizer, catalog: Catalog
) -> None:
    await featurizer.on_titles_cleaned(cleaned(a_title(1, page=a_page(fetched_at=NOW))))
    ages = [50, 40, 30, 20, *range(1, 6)]
    messages = [
        delivered(
            a_review_cleaned(
                review_id=f"r_{n}", title_id="t_1", day=NOW.date() - timedelta(days_ago)
            )
        )
        for n, days_ago in enumerate(ages)
    ]
    for _ in range(2):
        await featurizer.on_reviews_cleaned(messages)
    assert await count(catalog, reviews) == len(ages)
    assert await count(catalog, trends) == 1


async def test_enough_new_titles_lead_to_a_dataset(featurizer: Featurizer, url: str) -> None:
    messages = cleaned(*(a_title(n) for n in range(6)), url=url)
    answers = await featurizer.on_titles_cleaned(messages[:4])
    assert not [answer for answer in answers if isinstance(answer.event, DatasetPublished)]
    answers = await featurizer.on_titles_cleaned(messages[4:])
    (dataset,) = [answer for answer in answers if isinstance(answer.event, DatasetPublished)]
    assert dataset.event.titles == 6
    assert dataset.causation_id == messages[-1].id


async def test_a_request_leads_to_a_dataset(featurizer: Featurizer, url: str) -> None:
    cleaned(a_title(1), url=url)
    request = delivered(DatasetRequested(reason="a test"))
    (answer,) = await featurizer.on_dataset_requested(request)
    assert answer.event.titles == 1
    assert await featurizer.on_dataset_requested(request) == [answer]


# ---------------------------------------------------------------- delivery and app


class Unplugged(FeatureTable):
    """A table whose storage is away."""

    def append(self, rows: Sequence[Any]) -> int:
        raise StoreUnavailable("away")


async def test_what_was_written_before_the_table_failed_is_not_doubled_by_the_retry(
    started: Callable[..., Featurizer], url: str, catalog: Catalog
) -> None:
    messages = cleaned(a_title(1))
    failing = started(features=Unplugged(url))
    with pytest.raises(StoreUnavailable):
        await failing.on_titles_cleaned(messages)
    await started().on_titles_cleaned(messages)
    assert (len(features_in(url)), await count(catalog, titles)) == (1, 1)


async def test_the_app_is_built_without_loading_or_connecting(tmp_path: Path) -> None:
    def load() -> HashEncoder:
        raise AssertionError("too early")

    app = create_app(FeaturizerSettings(trending_home=tmp_path), load=load)
    assert app.consumer.consumes == EVENTS
    assert app.produces == (
        *(FeaturesComputed, DatasetPublished, RecordsDeleted, RecordsErased),
        ServiceConfigured,
    )
    assert app.consumer.batch_size == 256


def test_featurizing_asks_only_for_columns_that_the_cleaner_keeps() -> None:
    assert {(field.name, field.type) for field in TITLE} <= {
        (field.name, field.type) for field in TITLES
    }
    assert pa.types.is_fixed_size_list(FEATURES.field("embedding").type)
