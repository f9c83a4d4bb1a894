"""An author is erased from a house that runs, and a search of every byte finds nothing of them."""

import asyncio
import gzip
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa
from aiokafka import AIOKafkaConsumer, TopicPartition
from prometheus_client import CollectorRegistry

from trending_cleaner.app import create_app as create_cleaner
from trending_cleaner.schemas import REVIEWS
from trending_cleaner.settings import CleanerSettings
from trending_cli.embedded_kafka import EmbeddedKafka
from trending_cli.privacy.collecting import collect
from trending_cli.privacy.commands import prove_erasure
from trending_cli.privacy.scanning import scan_everything
from trending_cli.testing import read_messages
from trending_featurizer.app import create_app as create_featurizer
from trending_featurizer.settings import FeaturizerSettings
from trending_monitor.app import create_app as create_monitor
from trending_monitor.settings import MonitorSettings
from trending_scraper.app import create_app as create_scraper
from trending_scraper.settings import ScraperSettings
from trending_scraper.testing import MisbehavingSite, answer
from trending_shared.catalog import Catalog, reviews
from trending_shared.datasets import read_dataset, read_manifest
from trending_shared.events import (
    DatasetPublished,
    DatasetRequested,
    RetrainingRequested,
    ReviewCleaned,
    ReviewScraped,
    ScrapeJob,
)
from trending_shared.messages import first_message
from trending_shared.publishing import KafkaPublisher
from trending_shared.registry import ModelRegistry
from trending_shared.settings import CommonSettings, KafkaSettings
from trending_shared.storage import ObjectStore
from trending_shared.tables import OffsetTable
from trending_shared.testing.encoding import HashEncoder
from trending_shared.testing.models import a_graph, promote
from trending_shared.topics import dead_letter_topic, read_to_end
from trending_trainer.app import create_app as create_trainer
from trending_trainer.settings import TrainerSettings

pytestmark = [pytest.mark.connected, pytest.mark.timeout(300)]

MOTH = "The airlock scene was filmed in one take and it shows in every frame"
OWL = "I kept thinking of the cat and of nothing else for the whole second half"
PLOT = "The crew of a freighter answers a call from a silent moon and brings something home."
PATIENCE = timedelta(seconds=300)


def a_film(name: str, *said: tuple[str, str]) -> str:
    told = ", ".join(
        f'{{"@type": "Review", "author": "{author}", "reviewBody": "{text}"}}'
        for author, text in said
    )
    return (
        f'<script type="application/ld+json">{{"@type": "Movie", "name": "{name}", '
        f'"description": "{PLOT}", "datePublished": "1979", "genre": ["Horror"], '
        f'"review": [{told}]}}</script>'
    )


@dataclass
class House:
    common: CommonSettings
    site: MisbehavingSite
    publisher: KafkaPublisher
    settings: dict[str, Any]

    async def scrape(self, name: str) -> None:
        job = ScrapeJob(source="demo", url=self.site.url(f"/titles/{name}"), page="detail")
        await self.publisher.publish([first_message(job)])

    def reviews(self) -> list[dict[str, Any]]:
        table = OffsetTable(self.common.store, "reviews", schema=REVIEWS, owner="test")
        return sorted(table.read().to_pylist(), key=lambda row: row["review_id"])

    async def in_catalog(self) -> list[str]:
        catalog = Catalog(self.common.catalog)
        async with catalog.reading() as connection:
            texts = (await connection.scalars(sa.select(reviews.c.text))).all()
        await catalog.close()
        return sorted(texts)


@asynccontextmanager
async def a_house(kafka: KafkaSettings, home: Path) -> AsyncIterator[House]:
    """All services that erase, in this process, and a site to scrape."""
    settings: dict[str, Any] = {"trending_home": home, "kafka": kafka}
    async with AsyncExitStack() as stack:
        site = await stack.enter_async_context(MisbehavingSite())
        robots = "User-agent: *\nCrawl-delay: 0\n"
        site.at("/robots.txt", answer(robots, content_type="text/plain"))
        scraper = ScraperSettings(
            **settings, demo_url=site.url(""), allowed_private_hosts={site.host}
        )
        for app in (
            create_scraper(scraper),
            create_cleaner(CleanerSettings(**settings)),
            create_featurizer(FeaturizerSettings(**settings), load=HashEncoder),
            create_trainer(TrainerSettings(**settings)),
            create_monitor(MonitorSettings(**settings, reports=False)),
        ):
            await stack.enter_async_context(app.start_lifespan_context())
        publisher = KafkaPublisher(
            kafka, service="test", code_version="1", registry=CollectorRegistry()
        )
        await stack.enter_async_context(publisher)
        yield House(CommonSettings(**settings), site, publisher, settings)


async def until(condition: Callable[[], Awaitable[bool]]) -> None:
    async with asyncio.timeout(300):
        while not await condition():  # noqa: ASYNC110 (nobody tells)
            await asyncio.sleep(0.1)


async def test_an_author_is_erased_everywhere_and_stays_so(
    fresh_kafka: EmbeddedKafka, tmp_path: Path
) -> None:
    kafka = KafkaSettings(bootstrap_servers=fresh_kafka.address, partitions=1)
    async with a_house(kafka, tmp_path / "home") as house:
        house.site.at("/titles/alien", answer(a_film("Alien", ("moth", MOTH), ("owl", OWL))))
        await house.scrape("alien")
        cleaned = await read_messages(kafka, ReviewCleaned.topic, 2, within=300)
        scraped = await read_messages(kafka, ReviewScraped.topic, 2, within=300)

        async def both_are_entered() -> bool:
            return len(await house.in_catalog()) == 2

        await until(both_are_entered)
        await house.publisher.publish([first_message(DatasetRequested(reason="a test"))])
        (dataset,) = await read_messages(kafka, DatasetPublished.topic, 1, within=300)
        store = ObjectStore.at(house.common.store)
        id = dataset.event.dataset_id
        promote(ModelRegistry(store), a_graph(), dataset_id=id)
        parked = dead_letter_topic(ReviewScraped.topic, "cleaner")
        for message in scraped:
            await house.publisher.publish_raw(parked, key=b"k", value=message.body(), headers=[])
        (author,) = {each.event.author_hash for each in cleaned if MOTH in each.event.text}
        (others,) = [row for row in house.reviews() if OWL in row["text"]]

        found = await collect(house.common, "author", [author])
        document = await prove_erasure(
            house.common, found, prove=True, reason="a test", patience=PATIENCE
        )

        assert document["before"]["findings"]
        assert document["after"]["findings"] == []
        assert document["proven"]
        (done,) = document["rounds"]
        assert done["services"]["cleaner"]["tables/reviews"] == 1
        assert done["services"]["featurizer"] == {"catalog/reviews": 1, "datasets": 1}
        assert [model.split(":")[0] for model in done["models"]] == ["genres"]
        asked = await read_messages(kafka, RetrainingRequested.topic, 1, within=300)
        assert str(asked[0].id) == done["retraining_requested"]
        assert house.reviews() == [others]
        assert await house.in_catalog() == [others["text"]]
        manifest = read_manifest(store, id)
        assert read_dataset(store, manifest)["reviews"].to_pylist() == [[others["text"]]]
        assert [(one.titles, one.reviews) for one in manifest.erased] == [(0, 1)]
        (left,) = await read_messages_raw(kafka, parked)
        assert OWL.encode() in left

        # What told of it comes again, and so does the page, on which it still stands.
        await house.publisher.publish([*scraped, *cleaned])
        await house.scrape("alien")
        house.site.at("/titles/dark", answer(a_film("Dark", ("owl", "I would see it again."))))
        await house.scrape("dark")

        async def the_last_is_entered() -> bool:
            return len(await house.in_catalog()) == 2

        await until(the_last_is_entered)
        found_again = await scan_everything(house.common, found.matcher())
        # Only the test itself has put it into topics again.
        assert {one.store for one in found_again.findings} == {"topic"}
        assert not any(MOTH in row["text"] for row in house.reviews())
        raw = [gzip.decompress(store.get(key)).decode() for key in store.keys("raw")]
        assert not any("moth" in page for page in raw)


async def read_messages_raw(kafka: KafkaSettings, topic: str) -> list[bytes]:
    """What a topic holds by now."""
    consumer = AIOKafkaConsumer(**kafka.connection)
    await consumer.start()
    try:
        partition = TopicPartition(topic, 0)
        starts = await consumer.beginning_offsets([partition])
        return [record.value async for record in read_to_end(consumer, starts)]
    finally:
        await consumer.stop()
