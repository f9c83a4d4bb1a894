"""All bad input at once, among good things, on a real broker: see `docs/bad-input.md`."""

import asyncio
import gzip
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, ConsumerRecord
from httpx import ASGITransport, AsyncClient
from prometheus_client import CollectorRegistry

from trending_cleaner.app import create_app as create_cleaner
from trending_cleaner.settings import CleanerSettings
from trending_cli.embedded_kafka import EmbeddedKafka
from trending_cli.testing import send_unreadable
from trending_scraper.app import create_app as create_scraper
from trending_scraper.settings import ScraperSettings
from trending_scraper.testing import MisbehavingSite, answer, redirect
from trending_shared.events import RecordRejected, ScrapeJob, TitleCleaned, TitleScraped
from trending_shared.messages import Message, first_message
from trending_shared.publishing import KafkaPublisher
from trending_shared.settings import KafkaSettings
from trending_shared.testing import a_title_scraped
from trending_shared.topics import dead_letter_topic
from trending_shared.unhandled import ORIGIN, REASON

pytestmark = [pytest.mark.connected, pytest.mark.timeout(180)]

NOW = datetime(2026, 11, 1, 12, tzinfo=UTC)
ROBOTS = "User-agent: *\nCrawl-delay: 0\nDisallow: /titles/denied\n"
PAGE = """<script type="application/ld+json">{"@type": "Movie", "name": "Film NUMBER",
"description": "A freighter answers a call from a silent moon."}</script>"""
BOMB = gzip.compress(bytes(50_000_000))
BAD_PAGES = {
    "/titles/unparsable": (answer("<h1>Please log in</h1>"), "PageUnparsable"),
    "/titles/binary": (answer(bytes(range(256)) * 99), "PageUnparsable"),
    "/titles/large": (answer(b"x" * 10_000_000), "BodyTooLarge"),
    "/titles/bomb": (answer(BOMB, headers={"Content-Encoding": "gzip"}), "BodyTooLarge"),
    "/titles/loop": (redirect("/titles/loop"), "TooManyRedirects"),
    "/titles/inward": (redirect("http://169.254.169.254/latest"), "HostNotAllowed"),
    "/titles/image": (answer(b"GIF89a", content_type="image/gif"), "ContentTypeRefused"),
    "/titles/secret": (answer(status=403), "PageRefused"),
    "/titles/gone": (answer(status=410), "PageGone"),
    "/titles/denied": (answer(PAGE), "RobotsDenied"),
}
BAD_TITLES: dict[str, dict[str, Any]] = {
    "NameMissing": {"name": None},
    "TextMissing": {"plot": " "},
    "TextTooLong": {"plot": "x" * 100_000},
    "KindUnknown": {"kind": "Book"},
    "YearImplausible": {"year": "1066"},
}


def bad_records(good: Message[Any]) -> list[tuple[bytes, dict[str, bytes], str]]:
    """A body, headers and what must become of them, for each way to spoil a good record."""
    body = good.body()
    headers = dict(good.headers(source="test", code_version="1", now=NOW))
    kind = good.event.type_name().removesuffix("1").encode()
    return [
        (body, headers | {"ce_id": b"\xff\xfe"}, "Undecodable"),
        (body, headers | {"x-note": b"\xc3\x28"}, "Undecodable"),
        (body, headers | {"ce_time": b"2026-11-01T00:00:00"}, "Undecodable"),
        (body, {}, "Undecodable"),
        (body[:-20], headers, "Undecodable"),
        (b"", headers, "Undecodable"),
        (b"[" * 100_000, headers, "Undecodable"),
        (body, headers | {"ce_type": kind + b"9"}, "UnknownEventType"),
        (b"x" * 1_030_000, headers, "Undecodable"),
    ]


class House:
    """Kafka with a producer that takes anything, and a look at what came of it."""

    def __init__(self, kafka: KafkaSettings, producer: AIOKafkaProducer) -> None:
        self.kafka = kafka
        self.producer = producer
        self.publisher = KafkaPublisher(
            kafka, service="test", code_version="1", registry=CollectorRegistry()
        )

    async def spoil(self, good: Message[Any]) -> list[str]:
        """Send every bad form of a record, and tell the reasons for which they must be parked."""
        reasons = []
        for body, headers, reason in bad_records(good):
            await self.producer.send_and_wait(
                good.event.topic, value=body, key=b"bad", headers=list(headers.items())
            )
            reasons.append(reason)
        return reasons

    async def send_as_no_client_would(self, good: Message[Any]) -> list[str]:
        """Send a record of nothing at all, and one with a header whose name isn't UTF-8."""
        nothing = self.producer.create_batch()
        nothing.append(key=None, value=None, timestamp=None)
        await (await self.producer.send_batch(nothing, good.event.topic, partition=0))
        await send_unreadable(self.producer, good)
        return ["Undecodable", "Undecodable"]

    async def read(self, topic: str, count: int) -> list[ConsumerRecord]:
        """The first records of a topic; waits for them."""
        consumer = AIOKafkaConsumer(topic, **self.kafka.connection, auto_offset_reset="earliest")
        await consumer.start()
        try:
            async with asyncio.timeout(60):
                return [await consumer.getone() for _ in range(count)]
        finally:
            await consumer.stop()


@pytest.fixture
async def house(fresh_kafka: EmbeddedKafka) -> AsyncIterator[House]:
    kafka = KafkaSettings(bootstrap_servers=fresh_kafka.address)
    producer = AIOKafkaProducer(**kafka.connection, max_request_size=1_040_000)
    house = House(kafka, producer)
    async with producer, house.publisher:
        yield house


@asynccontextmanager
async def running(app: Any) -> AsyncIterator[AsyncClient]:
    """A started service, and a client for its probes."""
    async with (
        app.start_lifespan_context(),
        AsyncClient(transport=ASGITransport(app), base_url="http://service") as client,
    ):
        yield client


async def counted(client: AsyncClient, name: str, label: str, wanted: Counter[str]) -> None:
    """Wait until a counter has these samples by the values of one label, and see no others.

    What is published shows in Kafka a moment before it is counted.
    """
    found: Counter[str] = Counter()
    while found.total() < wanted.total():
        found.clear()
        lines = (await client.get("/metrics")).text.splitlines()
        for line in lines:
            if line.startswith(f"{name}{{"):
                found[line.split(f'{label}="')[1].split('"')[0]] += int(float(line.split()[-1]))
    assert found == wanted


def reasons(dead: list[ConsumerRecord]) -> Counter[str]:
    return Counter(dict(record.headers)[REASON].decode() for record in dead)


async def test_bad_jobs_and_pages_are_parked_by_name_and_good_ones_scraped(
    house: House, tmp_path: Path
) -> None:
    dlq = dead_letter_topic(ScrapeJob.topic, "scraper")
    async with MisbehavingSite() as site:
        site.at("/robots.txt", answer(ROBOTS, content_type="text/plain"))
        jobs: dict[str, str | None] = {
            "http://10.0.0.1/titles/1": "HostNotAllowed",
            "http://[::1]/titles/1": "HostNotAllowed",
            "file:///etc/passwd": "HostNotAllowed",
            "": "HostNotAllowed",
        }
        for number, (path, (behaviour, reason)) in enumerate(BAD_PAGES.items()):
            site.at(path, behaviour)
            site.at(f"/titles/{number}", answer(PAGE.replace("NUMBER", str(number))))
            jobs[site.url(path)] = reason
            jobs[site.url(f"/titles/{number}")] = None
        settings: dict[str, Any] = {
            "trending_home": tmp_path,
            "kafka": house.kafka,
            "demo_url": site.url(""),
        }
        async with running(
            create_scraper(ScraperSettings(allowed_private_hosts={site.host}, **settings))
        ) as scraper:
            spoilt = first_message(ScrapeJob(source="demo", url="x"))
            undecodable = await house.spoil(spoilt)
            undecodable += await house.send_as_no_client_would(spoilt)
            await house.publisher.publish(
                first_message(ScrapeJob(source="demo", url=url, page="detail")) for url in jobs
            )
            await house.publisher.publish([first_message(ScrapeJob(source="imdb", url="x"))])
            wanted = Counter([*undecodable, "UnknownSource", *filter(None, jobs.values())])
            titles = await house.read(TitleScraped.topic, len(BAD_PAGES))
            dead = await house.read(dlq, wanted.total())
            outcomes = Counter({"scraped": len(titles)}) + wanted - Counter(undecodable)
            await counted(scraper, "trending_scraper_pages_total", "outcome", outcomes)
            declined = wanted["PageGone"] + wanted["RobotsDenied"]
            events = Counter(
                handled=len(titles), declined=declined, parked=wanted.total() - declined
            )
            await counted(scraper, "trending_events_consumed_total", "outcome", events)
            assert (await scraper.get("/progressz")).status_code == 200
        assert reasons(dead) == wanted
        assert {record.key for record in titles} == {b"demo:%d" % n for n in range(len(BAD_PAGES))}
        by_url = {
            ScrapeJob.model_validate_json(record.value).url: dict(record.headers)[REASON].decode()
            for record in dead
            if record.key not in (b"bad", None)
        }
        assert by_url == {url: reason for url, reason in jobs.items() if reason} | {
            "x": "UnknownSource"
        }
        assert len({dict(record.headers)[ORIGIN] for record in dead}) == wanted.total()
        async with running(create_scraper(ScraperSettings(contact="us@films.example", **settings))):
            job = ScrapeJob(source="demo", url=site.url("/titles/0"), page="detail")
            await house.publisher.publish([first_message(job)])
            *_, last = await house.read(dlq, wanted.total() + 1)
        assert dict(last.headers)[REASON] == b"AddressForbidden"


async def test_bad_records_are_rejected_or_parked_by_name_and_good_ones_cleaned(
    house: House, tmp_path: Path
) -> None:
    good = [a_title_scraped(source_id=f"film-{n}") for n in range(20)]
    strange = a_title_scraped(source_id="strange", genres=("Gothic space opera",))
    bad = [a_title_scraped(source_id=reason, **raw) for reason, raw in BAD_TITLES.items()]
    mixed = [first_message(title) for title in [*good[:10], *bad, strange, *good[10:]]]
    async with running(
        create_cleaner(CleanerSettings(trending_home=tmp_path, kafka=house.kafka))
    ) as cleaner:
        await house.publisher.publish(mixed[:5])
        undecodable = await house.spoil(first_message(a_title_scraped(source_id="spoiled")))
        undecodable += await house.send_as_no_client_would(first_message(good[0]))
        await house.publisher.publish(mixed[5:])
        cleaned = await house.read(TitleCleaned.topic, len(good) + 1)
        rejected = await house.read(RecordRejected.topic, len(bad))
        dead = await house.read(dead_letter_topic(TitleScraped.topic, "cleaner"), len(undecodable))
        events = Counter(handled=len(mixed), parked=len(undecodable))
        await counted(cleaner, "trending_events_consumed_total", "outcome", events)
        await counted(
            cleaner, "trending_cleaner_rejected_total", "reason", Counter(list(BAD_TITLES))
        )
        assert "trending_cleaner_unknown_genres_total 1.0" in (await cleaner.get("/metrics")).text
        assert (await cleaner.get("/progressz")).status_code == 200
    told = [TitleCleaned.model_validate_json(record.value) for record in cleaned]
    assert {one.source_id for one in told} == {one.source_id for one in [*good, strange]}
    refused = [RecordRejected.model_validate_json(record.value) for record in rejected]
    assert {(one.source_id, one.reason) for one in refused} == {(name, name) for name in BAD_TITLES}
    assert reasons(dead) == Counter(undecodable)
