"""The scraper as it runs: on a real broker, over real HTTP, with everything `create_app` builds."""

import asyncio
import gzip
from pathlib import Path

import pytest
from aiokafka import AIOKafkaConsumer, ConsumerRecord
from prometheus_client import CollectorRegistry

from trending_cli.embedded_kafka import EmbeddedKafka
from trending_scraper.app import create_app
from trending_scraper.settings import ScraperSettings
from trending_scraper.testing import MisbehavingSite, answer
from trending_shared.events import ReviewScraped, ScrapeJob, TitleScraped
from trending_shared.messages import Position, decode, first_message
from trending_shared.publishing import KafkaPublisher
from trending_shared.settings import KafkaSettings
from trending_shared.storage import ObjectStore
from trending_shared.testing import a_catalogue
from trending_shared.topics import dead_letter_topic
from trending_shared.unhandled import REASON

pytestmark = [pytest.mark.connected, pytest.mark.timeout(120)]

LIST = '<a href="/titles/alien">Alien</a> <a href="/titles/dark">Dark</a> <a href="/titles/x">X</a>'
ALIEN = """<script type="application/ld+json">{"@type": "Movie", "name": "Alien",
"review": {"author": "tidal_moth", "reviewBody": "Terrifying."}}</script>"""


async def read(kafka: KafkaSettings, topic: str, count: int) -> list[ConsumerRecord]:
    """The first records of a topic; waits for them."""
    consumer = AIOKafkaConsumer(topic, **kafka.connection, auto_offset_reset="earliest")
    await consumer.start()
    try:
        async with asyncio.timeout(60):
            return [await consumer.getone() for _ in range(count)]
    finally:
        await consumer.stop()


async def test_one_job_leads_to_everything_that_a_list_leads_to(
    fresh_kafka: EmbeddedKafka, tmp_path: Path
) -> None:
    kafka = KafkaSettings(bootstrap_servers=fresh_kafka.address)
    publisher = KafkaPublisher(
        kafka, service="test", code_version="1", registry=CollectorRegistry()
    )
    async with MisbehavingSite() as site:
        robots = "User-agent: *\nCrawl-delay: 0\n"
        site.at("/robots.txt", answer(robots, content_type="text/plain"))
        site.at("/titles?page=1", answer(LIST))
        site.at("/titles/alien", answer(ALIEN))
        site.at("/titles/dark", answer("<h1>Dark</h1><p class=plot>A child disappears.</p>"))
        settings = ScraperSettings(
            trending_home=tmp_path,
            kafka=kafka,
            demo_url=site.url(""),
            allowed_private_hosts={site.host},
        )
        job = first_message(ScrapeJob(source="demo", url=site.url("/titles?page=1")))
        async with create_app(settings).start_lifespan_context(), publisher:
            await publisher.publish([job])
            titles = await read(kafka, TitleScraped.topic, 2)
            (review,) = await read(kafka, ReviewScraped.topic, 1)
            (dead,) = await read(kafka, dead_letter_topic(ScrapeJob.topic, "scraper"), 1)
    store = ObjectStore.at(settings.store)
    for record in titles:
        position = Position(record.topic, record.partition, record.offset)
        message = decode(headers=record.headers, body=record.value, position=position)
        assert message.correlation_id == job.id
        assert message.event.title.name.encode() in gzip.decompress(
            store.get(message.event.page.key)
        )
    assert {record.key for record in titles} == {b"demo:alien", b"demo:dark"}
    assert b"Terrifying." in review.value
    assert b"moth" not in review.value
    assert dict(dead.headers)[REASON] == b"PageGone"
    assert b"/titles/x" in dead.value


async def test_what_a_schedule_asks_for_is_scraped_once_by_two_scrapers(
    fresh_kafka: EmbeddedKafka, tmp_path: Path
) -> None:
    kafka = KafkaSettings(bootstrap_servers=fresh_kafka.address)
    async with MisbehavingSite() as site:
        site.at("/robots.txt", answer("User-agent: *\n", content_type="text/plain"))
        site.at("/titles/alien", answer(ALIEN))
        charts = {"every": "P1D", "page": "detail", "url": site.url("/titles/alien")}
        films = a_catalogue(base=site.url(""), delay="PT0S", schedule={"charts": charts})
        (tmp_path / "sources.yaml").write_text(films)
        settings = ScraperSettings(
            trending_home=tmp_path,
            kafka=kafka,
            sources={"films"},
            sources_file=tmp_path / "sources.yaml",
            allowed_private_hosts={site.host},
        )
        apps = [create_app(settings).start_lifespan_context() for _ in range(2)]
        async with apps[0], apps[1]:
            (job,) = await read(kafka, ScrapeJob.topic, 1)
            (title,) = await read(kafka, TitleScraped.topic, 1)
    for record in (job, title):
        assert dict(record.headers)["ce_correlationid"] == dict(job.headers)["ce_id"]
    assert title.key == b"films:alien"
