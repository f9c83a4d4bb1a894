"""One job's way through the house as a collector sees it: on a real broker, over real HTTP."""

import asyncio
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

import pytest
from aiokafka import AIOKafkaConsumer, ConsumerRecord
from prometheus_client import CollectorRegistry

from trending_cleaner.app import create_app as create_cleaner
from trending_cleaner.settings import CleanerSettings
from trending_cli.embedded_kafka import EmbeddedKafka
from trending_featurizer.app import create_app as create_featurizer
from trending_featurizer.settings import FeaturizerSettings
from trending_monitor.app import create_app as create_monitor
from trending_monitor.settings import MonitorSettings
from trending_scraper.app import create_app as create_scraper
from trending_scraper.settings import ScraperSettings
from trending_scraper.testing import MisbehavingSite, answer
from trending_shared.events import FeaturesComputed, ScrapeJob, ServiceConfigured, TitleScraped
from trending_shared.messages import first_message
from trending_shared.publishing import KafkaPublisher
from trending_shared.settings import KafkaSettings
from trending_shared.testing.collecting import Collector, ReceivedSpan
from trending_shared.testing.encoding import HashEncoder

pytestmark = [pytest.mark.connected, pytest.mark.timeout(180)]

ALIEN = """<script type="application/ld+json">{"@type": "Movie", "name": "Alien",
"description": "A freighter answers a call from a silent moon.", "datePublished": "1979",
"genre": ["Horror"]}</script>"""


async def read(kafka: KafkaSettings, topic: str, count: int) -> list[ConsumerRecord]:
    """The first records of a topic; waits for them."""
    consumer = AIOKafkaConsumer(topic, **kafka.connection, auto_offset_reset="earliest")
    await consumer.start()
    try:
        async with asyncio.timeout(90):
            return [await consumer.getone() for _ in range(count)]
    finally:
        await consumer.stop()


def ancestry(traces: Collector, span: ReceivedSpan) -> list[tuple[str, str]]:
    """From a span up to its root: services and names."""
    found = [(span.service.removeprefix("trending-"), span.name)]
    while span.parent_id:
        span = traces.parent_of(span)
        found.append((span.service.removeprefix("trending-"), span.name))
    return found


async def test_a_job_is_one_trace_through_four_services_also_if_an_event_comes_twice(
    fresh_kafka: EmbeddedKafka, tmp_path: Path, traces: Collector
) -> None:
    kafka = KafkaSettings(bootstrap_servers=fresh_kafka.address)
    common: dict[str, Any] = {"trending_home": tmp_path, "kafka": kafka}
    publisher = KafkaPublisher(
        kafka, service="test", code_version="1", registry=CollectorRegistry()
    )
    async with MisbehavingSite() as site, AsyncExitStack() as stack:
        site.at("/robots.txt", answer("User-agent: *\nCrawl-delay: 0\n", content_type="text/plain"))
        site.at("/titles/alien", answer(ALIEN))
        for app in (
            create_scraper(
                ScraperSettings(**common, demo_url=site.url(""), allowed_private_hosts={site.host})
            ),
            create_cleaner(CleanerSettings(**common)),
            create_featurizer(FeaturizerSettings(**common), load=HashEncoder),
            create_monitor(MonitorSettings(**common, reports=False)),
        ):
            await stack.enter_async_context(app.start_lifespan_context())
        await stack.enter_async_context(publisher)
        job = first_message(ScrapeJob(source="demo", url=site.url("/titles/alien"), page="detail"))
        await publisher.publish([job])
        (scraped,) = await read(kafka, TitleScraped.topic, 1)
        await read(kafka, FeaturesComputed.topic, 1)
        await publisher.publish_raw(  # as after a kill: the same record once more
            scraped.topic, key=scraped.key, value=scraped.value, headers=scraped.headers
        )
        await read(kafka, FeaturesComputed.topic, 2)
        await asyncio.to_thread(traces.wait_for, "process features-computed")  # by the monitor

    # What services tell of themselves when they begin are stories of their own.
    of_job = {s.trace_id for s in traces.spans if not s.name.endswith(ServiceConfigured.topic)}
    assert of_job == {job.correlation_id.hex}
    featurized = traces.named("send features-computed")[0]
    assert ancestry(traces, featurized) == [
        ("featurizer", "send features-computed"),
        ("featurizer", "process titles-cleaned"),
        ("cleaner", "send titles-cleaned"),
        ("cleaner", "process titles-scraped"),
        ("scraper", "send titles-scraped"),
        ("scraper", "process scrape-jobs"),
    ]
    assert ("monitor", "process features-computed") in {
        (span.service.removeprefix("trending-"), span.name) for span in traces.spans
    }
    first, again = traces.named("process titles-scraped")
    assert first.parent_id == again.parent_id == traces.named("send titles-scraped")[0].span_id
    fetches = [
        span for span in traces.named("GET") if "titles/alien" in span.attributes["url.full"]
    ]
    assert [traces.parent_of(span).name for span in fetches] == ["process scrape-jobs"]
    assert fetches[0].attributes["http.response.status_code"] == 200
