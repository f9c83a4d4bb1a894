"""Two scrapers crawl a site of three hosts, and each is killed with SIGKILL in the middle of it.

What the site was asked stands in its own log; what the scrapers have told is held against a crawl
in peace, which is a walk through the same pages without Kafka, network or kills. `make test-crawl`
has 2,000 pages and says how often each was asked for.
"""

import asyncio
import json
import os
import signal
import sys
from collections import Counter
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest
import yaml
from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.partitioner import murmur2
from prometheus_client import CollectorRegistry

from trending_cli.embedded_kafka import EmbeddedKafka
from trending_scraper.adapters import create_source
from trending_scraper.authors import Authors
from trending_scraper.fetches import Fetches
from trending_scraper.metrics import ScraperMetrics
from trending_scraper.quotas import Quotas
from trending_scraper.raw_pages import RawPages
from trending_scraper.scraping import Scraper
from trending_scraper.settings import ScraperSettings
from trending_scraper.testing import CannedFetcher, MisbehavingSite, answer
from trending_shared.clock import SystemClock
from trending_shared.erasures import Erasures
from trending_shared.events import PageFetched, ReviewScraped, ScrapeJob, TitleScraped
from trending_shared.messages import Message, Position, decode, first_message
from trending_shared.publishing import KafkaPublisher
from trending_shared.settings import KafkaSettings
from trending_shared.sources import SourceEntry, read_catalogue
from trending_shared.storage import ObjectStore
from trending_shared.topics import dead_letter_topic

pytestmark = [pytest.mark.connected]

PARTITIONS = 3
LINKS = 25  # on a list page
FOLLOWED = (PageFetched, TitleScraped, ReviewScraped, ScrapeJob)
ROBOTS = "User-agent: *\nCrawl-delay: 0\n"


def pages_of(host: str, titles: int) -> dict[str, str]:
    """The pages of one host by path: lists that lead to one another, and a page a title."""
    pages = {}
    for first in range(0, titles, LINKS):
        numbers = range(first, min(first + LINKS, titles))
        links = "".join(f"<a href=/titles/{n}>x</a>" for n in numbers)
        if numbers.stop < titles:
            links += f"<a rel=next href=/lists/{numbers.stop}>Next</a>"
        pages[f"/lists/{first}"] = links
    for n in range(titles):
        title = {
            "@type": "Movie",
            "identifier": f"{host}-{n}",
            "name": f"Film {n}",
            "review": [{"author": "net_cord", "reviewBody": f"Review {r}."} for r in range(2)],
        }
        pages[f"/titles/{n}"] = f'<script type="application/ld+json">{json.dumps(title)}</script>'
    return pages


@asynccontextmanager
async def three_hosts(titles: int) -> AsyncIterator[list[MisbehavingSite]]:
    """A host for each partition of the jobs' topic, so that both scrapers have work."""
    async with AsyncExitStack() as stack:
        by_partition: dict[int, MisbehavingSite] = {}
        while len(by_partition) < PARTITIONS:
            site = await stack.enter_async_context(MisbehavingSite())
            partition = (murmur2(site.host.encode()) & 0x7FFFFFFF) % PARTITIONS
            by_partition.setdefault(partition, site)
        for site in by_partition.values():
            site.at("/robots.txt", answer(ROBOTS, content_type="text/plain"))
            for path, page in pages_of(site.host, titles).items():
                site.at(path, answer(page))
        yield list(by_partition.values())


def entry_of(sites: Sequence[MisbehavingSite]) -> SourceEntry:
    changes = {
        "base": sites[0].url(""),
        "hosts": frozenset(site.host for site in sites),
        "delay": "PT0S",
    }
    entry = read_catalogue()["schema_org"].model_dump(mode="json")
    return SourceEntry.model_validate(entry | changes)


async def crawl_in_peace(
    sites: Sequence[MisbehavingSite], titles: int, jobs: Sequence[Message[ScrapeJob]]
) -> dict[str, set[UUID]]:
    """The ids of all events that the jobs lead to, by topic."""
    pages = {
        site.url(path): page for site in sites for path, page in pages_of(site.host, titles).items()
    }
    store = ObjectStore.at("memory:///")
    scraper = Scraper(
        sources=[create_source("films", entry_of(sites), ScraperSettings())],
        fetcher=CannedFetcher(pages),
        raw_pages=RawPages(store),
        fetches=Fetches(store),
        erasures=Erasures(store),
        quotas=Quotas(store, clock=SystemClock()),
        authors=Authors(b"a key of this test"),
        metrics=ScraperMetrics(CollectorRegistry()),
    )
    ids: dict[str, set[UUID]] = {kind.topic: set() for kind in FOLLOWED}
    waiting: list[Message[Any]] = list(jobs)
    while waiting:
        message = waiting.pop()
        ids[ScrapeJob.topic].add(message.id)
        for other in await scraper.on_scrape_job(message):
            ids[other.event.topic].add(other.id)
            if isinstance(other.event, ScrapeJob):
                waiting.append(other)
    return ids


class Replicas:
    """Scrapers as processes of their own."""

    def __init__(self, env: Mapping[str, str], log: Path) -> None:
        self._env = {**os.environ, **env}
        self._log = log
        self._running: dict[str, asyncio.subprocess.Process] = {}

    async def start(self, name: str) -> None:
        with self._log.open("ab") as log:
            self._running[name] = await asyncio.create_subprocess_exec(
                sys.executable, "-m", "trending_scraper", env=self._env, stdout=log, stderr=log
            )

    async def kill(self, name: str) -> None:
        process = self._running.pop(name)
        assert process.returncode is None, f"{name} ended by itself"
        process.send_signal(signal.SIGKILL)
        await process.wait()

    async def stop(self) -> None:
        for name in list(self._running):
            await self.kill(name)


async def crawl_with_kills(
    kafka: KafkaSettings, home: Path, sites: Sequence[MisbehavingSite], titles: int
) -> tuple[dict[str, set[UUID]], dict[str, set[UUID]]]:
    """What was expected, and what came, by topic."""
    jobs = [first_message(ScrapeJob(source="films", url=site.url("/lists/0"))) for site in sites]
    expected = await crawl_in_peace(sites, titles, jobs)
    catalogue = home / "sources.yaml"
    catalogue.write_text(yaml.safe_dump({"films": entry_of(sites).model_dump(mode="json")}))
    replicas = Replicas(
        {
            "KAFKA_BOOTSTRAP_SERVERS": kafka.bootstrap_servers,
            "KAFKA_PARTITIONS": str(PARTITIONS),
            "TRENDING_HOME": str(home),
            "SOURCES_FILE": str(catalogue),
            "SCRAPER_SOURCES": "films",
            "SCRAPER_ALLOWED_PRIVATE_HOSTS": ",".join(site.host for site in sites),
            "SCRAPER_AUTHOR_HASH_KEY": "0123456789abcdef",
            "SCRAPER_PORT": "0",
        },
        home / "scrapers.log",
    )
    found: dict[str, set[UUID]] = {kind.topic: set() for kind in FOLLOWED}
    total = len(sites) * titles
    kills = [(total // 4, "first"), (total // 2, "second")]
    publisher = KafkaPublisher(
        kafka, service="test", code_version="1", registry=CollectorRegistry()
    )
    await replicas.start("first")
    await replicas.start("second")
    try:
        async with events_of(kafka) as consumer, publisher:
            await publisher.publish(jobs)
            while found != expected:
                for records in (await consumer.getmany(timeout_ms=100)).values():
                    for record in records:
                        position = Position(record.topic, record.partition, record.offset)
                        message = decode(
                            headers=record.headers, body=record.value, position=position
                        )
                        found[record.topic].add(message.id)
                if kills and len(found[TitleScraped.topic]) >= kills[0][0]:
                    _, name = kills.pop(0)
                    await replicas.kill(name)
                    await replicas.start(name)
            parked = TopicPartition(dead_letter_topic(ScrapeJob.topic, "scraper"), 0)
            assert (await consumer.end_offsets([parked])) == {parked: 0}
    finally:
        await replicas.stop()
    assert not kills
    return expected, found


@asynccontextmanager
async def events_of(kafka: KafkaSettings) -> AsyncIterator[AIOKafkaConsumer]:
    """Reads what scrapers tell, from the beginning; waits until the topics are there."""
    consumer = AIOKafkaConsumer(**kafka.connection, auto_offset_reset="earliest")
    await consumer.start()
    try:
        wanted = {kind.topic for kind in FOLLOWED}
        wanted.add(dead_letter_topic(ScrapeJob.topic, "scraper"))
        for _ in range(600):
            if wanted <= await consumer.topics():
                break
            await asyncio.sleep(0.1)
        consumer.assign(
            [
                TopicPartition(kind.topic, number)
                for kind in FOLLOWED
                for number in range(PARTITIONS)
            ]
        )
        yield consumer
    finally:
        await consumer.stop()


@pytest.mark.parametrize(
    "titles",
    [
        pytest.param(100, marks=pytest.mark.timeout(240)),
        pytest.param(641, marks=[pytest.mark.slow, pytest.mark.timeout(900)], id="2000-pages"),
    ],
)
async def test_a_crawl_in_which_each_scraper_is_killed_asks_for_no_page_three_times(
    fresh_kafka: EmbeddedKafka, tmp_path: Path, titles: int, capsys: pytest.CaptureFixture[str]
) -> None:
    kafka = KafkaSettings(bootstrap_servers=fresh_kafka.address, partitions=PARTITIONS)
    async with three_hosts(titles) as sites:
        expected, found = await crawl_with_kills(kafka, tmp_path, sites, titles)
        asked = Counter(
            site.url(path) for site in sites for path in site.asked if path != "/robots.txt"
        )
    assert found == expected
    assert asked.keys() == {
        site.url(path) for site in sites for path in pages_of(site.host, titles)
    }
    times = Counter(asked.values())
    assert max(times) <= 2
    with capsys.disabled():
        sys.stdout.write(
            f"\n{len(asked)} pages, asked for once: {times[1]}, twice: {times[2]}; "
            f"{sum(map(len, found.values()))} events, each present\n"
        )
