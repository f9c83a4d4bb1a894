"""What the featurizer erases, and that what other pages tell is entered again."""

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
import sqlalchemy as sa

from trending_cleaner.schemas import REVIEWS, TITLES, row_of
from trending_featurizer.datasets import Datasets
from trending_featurizer.entries import Entries, kept_reviews
from trending_featurizer.erasing import Eraser
from trending_featurizer.feature_table import FeatureTable
from trending_featurizer.handlers import Featurizer
from trending_featurizer.metrics import FeaturizerMetrics
from trending_featurizer.trend_keeping import TrendKeeper
from trending_shared.catalog import Catalog, reviews, titles
from trending_shared.clock import FrozenClock
from trending_shared.datasets import read_dataset, read_manifest
from trending_shared.embeddings import VECTORS, Embedder
from trending_shared.erasing import any_value, erase_rows
from trending_shared.erasures import Erasure, Erasures, names_of, write_erasure
from trending_shared.events import DatasetRequested, RecordsErased, ReviewCleaned, TitleCleaned
from trending_shared.messages import Message
from trending_shared.retention import Retention
from trending_shared.storage import ObjectStore
from trending_shared.tables import OffsetTable, table_uri
from trending_shared.testing import (
    CollectingPublisher,
    a_page,
    a_review_cleaned,
    a_title_cleaned,
    delivered,
)
from trending_shared.testing.encoding import HashEncoder

NOW = datetime(2026, 11, 20, 12, tzinfo=UTC)
MOTH = "ab" * 32
OLD = a_page(url="http://films.example/old", hash="01" * 32)
NEW = a_page(url="http://films.example/new", hash="02" * 32, fetched_at=NOW - timedelta(days=1))


class House:
    """A featurizer beside tables that the cleaner would have filled, and has cleared."""

    def __init__(self, folder: Path, catalog: Catalog, metrics: FeaturizerMetrics) -> None:
        self.url, self.catalog = (folder / "store").as_uri(), catalog
        self.store, clock = ObjectStore.at(self.url), FrozenClock(NOW)
        keeper = TrendKeeper(catalog, publisher=CollectingPublisher(), clock=clock, metrics=metrics)
        datasets = Datasets(
            self.store,
            titles=table_uri(self.url, "titles"),
            reviews=table_uri(self.url, "reviews"),
            code_version="1",
            clock=clock,
            metrics=metrics,
        )
        parts: dict[str, Any] = {
            "embedder": Embedder(HashEncoder, file=folder / VECTORS),
            "entries": Entries(catalog, metrics),
            "trends": keeper,
            "datasets": datasets,
        }
        self.featurizer = Featurizer(
            **parts,
            features=FeatureTable(self.url),
            snapshot_titles=10**9,
            erasures=Erasures(self.store),
            metrics=metrics,
        )
        self.eraser = Eraser(self.url, **parts, catalog=catalog, clock=clock)

    async def takes(self, *events: TitleCleaned | ReviewCleaned) -> None:
        for n, event in enumerate(events):
            message = delivered(event, offset=n)
            kind, schema = (
                ("titles", TITLES) if isinstance(event, TitleCleaned) else ("reviews", REVIEWS)
            )
            table = OffsetTable(self.url, kind, schema=schema, owner="cleaner")
            table.append([(message.position, row_of(message, event, code_version="1"))])
            if isinstance(event, TitleCleaned):
                await self.featurizer.on_titles_cleaned([delivered(event, offset=n)])
            else:
                await self.featurizer.on_reviews_cleaned([delivered(event, offset=n)])

    async def erases(self, kind: Any, **names: Sequence[str]) -> RecordsErased:
        told = {name: names_of(values) for name, values in names.items()}
        asked = Erasure(
            erasure_id="e", kind=kind, asked_at=NOW, asked_by="test", reason="a test", **told
        )
        write_erasure(self.store, asked)
        for name, column in (("titles", "page_url"), ("reviews", "author_hash")):
            goes = any_value({column: asked.names})
            erase_rows(self.url, name, [column], goes, now=NOW)
        before = RecordsErased(erasure_id="e", service="cleaner", counts={})
        [answer] = await self.eraser.on_records_erased(delivered(before))
        return answer.event

    async def column(self, column: sa.Column[Any]) -> list[Any]:
        async with self.catalog.reading() as connection:
            return sorted((await connection.scalars(sa.select(column))).all())

    def dataset(self) -> str:
        request: Message[DatasetRequested] = delivered(DatasetRequested(reason="a test"))
        return self.featurizer._datasets.answer(request).event.dataset_id


@pytest.fixture
def house(tmp_path: Path, catalog: Catalog, metrics: FeaturizerMetrics) -> House:
    return House(tmp_path, catalog, metrics)


async def test_an_authors_reviews_leave_catalog_and_datasets(house: House) -> None:
    mine = a_review_cleaned(review_id="r_1", author_hash=MOTH, text="Mine, and long enough.")
    others = a_review_cleaned(review_id="r_2", text="Another's.")
    await house.takes(a_title_cleaned(), mine, others)
    id = house.dataset()
    answer = await house.erases("author", subjects=[MOTH], records=["r_1"])
    assert answer.counts == {"catalog/reviews": 1, "datasets": 1}
    assert answer.datasets == (id,)
    assert await house.column(reviews.c.review_id) == ["r_2"]
    manifest = read_manifest(house.store, id)
    assert (manifest.dataset_id, manifest.reviews, manifest.rows) == (id, 1, 1)
    assert read_dataset(house.store, manifest)["review_ids"].to_pylist() == [["r_2"]]
    assert len(house.store.keys(f"datasets/{id}")) == 2  # its rows and its manifest
    again = await house.erases("author", subjects=[MOTH], records=["r_1"])
    assert again.datasets == (id,)  # as it says after a kill, too
    await house.takes(mine)
    assert await house.column(reviews.c.review_id) == ["r_2"]


async def test_a_title_falls_back_to_what_another_page_told(house: House) -> None:
    older = a_title_cleaned(page=OLD, plot="What the old page said.", content_hash="01" * 8)
    newer = a_title_cleaned(page=NEW, plot="What the new page says.", content_hash="02" * 8)
    other = a_title_cleaned(title_id="t_2", page=a_page(hash="03" * 32))
    await house.takes(older, newer, other)
    answer = await house.erases(
        "page", subjects=[NEW.url], titles=[newer.title_id], pages=[NEW.hash]
    )
    assert answer.counts["tables/features"] == answer.counts["vectors"] == 1
    assert await house.column(titles.c.plot) == sorted([older.plot, other.plot])
    assert await house.column(titles.c.url) == sorted([OLD.url, other.page.url])


async def test_a_title_that_no_other_page_tells_of_is_gone(house: House) -> None:
    await house.takes(a_title_cleaned(page=NEW), a_title_cleaned(title_id="t_2", page=OLD))
    id = house.dataset()
    await house.erases("page", subjects=[NEW.url], titles=["t_0123456789abcdef"], pages=[NEW.hash])
    assert await house.column(titles.c.title_id) == ["t_2"]
    rows: pa.Table = read_dataset(house.store, read_manifest(house.store, id))
    assert rows["title_id"].to_pylist() == ["t_2"]


async def test_reviews_leave_the_catalog_after_the_time_they_are_kept(house: House) -> None:
    await house.takes(
        a_review_cleaned(review_id="r_1", page=OLD), a_review_cleaned(review_id="r_2", page=NEW)
    )
    publisher = CollectingPublisher()
    kept = kept_reviews(house.catalog, timedelta(days=5))
    await Retention([kept], publisher=publisher, clock=FrozenClock(NOW)).look()
    assert await house.column(reviews.c.review_id) == ["r_2"]
    assert [one.event.what for one in publisher.messages] == ["catalog/reviews"]
