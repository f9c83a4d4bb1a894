"""A job is followed in a real event log, from where it began and past what can't be read."""

import pytest
from aiokafka import AIOKafkaProducer
from prometheus_client import CollectorRegistry

from trending_cli.embedded_kafka import EmbeddedKafka
from trending_cli.testing import send_unreadable
from trending_shared.events import ScrapeJob, TitleScraped
from trending_shared.messages import Message, first_message
from trending_shared.publishing import KafkaPublisher
from trending_shared.settings import KafkaSettings
from trending_shared.testing import a_title_scraped
from trending_shared.topics import all_event_topics, ensure_topics
from trending_shared.walk import Walk, WalkWatcher, watching

pytestmark = [pytest.mark.connected, pytest.mark.timeout(120)]


def a_job() -> Message[ScrapeJob]:
    return first_message(ScrapeJob(source="demo", url="http://films.example/titles"))


async def caught_up(watcher: WalkWatcher) -> None:
    while not await watcher.caught_up():
        await watcher.poll(0.2)


async def test_a_job_is_read_past_what_no_client_can_read(fresh_kafka: EmbeddedKafka) -> None:
    settings = KafkaSettings(bootstrap_servers=fresh_kafka.address)
    await ensure_topics(all_event_topics(partitions=3), settings.connection, 1)
    job, later = a_job(), a_job()
    title = job.leads_to(a_title_scraped())
    publisher = KafkaPublisher(
        settings, service="test", code_version="1", registry=CollectorRegistry()
    )
    producer = AIOKafkaProducer(**settings.connection)
    async with producer, publisher:
        await send_unreadable(producer, a_job())
        await publisher.publish([job])
        await send_unreadable(producer, first_message(a_title_scraped()))
        await publisher.publish([title, first_message(a_title_scraped())])
        async with watching(settings, job.id) as watcher:
            walk: Walk = watcher.walks[job.id]
            await caught_up(watcher)
            assert (walk.count(ScrapeJob), walk.count(TitleScraped)) == (1, 1)
            await publisher.publish([title, job.leads_to(a_title_scraped(source_id="another"))])
            await caught_up(watcher)
            assert walk.count(TitleScraped) == 2
        async with watching(settings, later.id) as watcher:
            await caught_up(watcher)
            assert watcher.walks[later.id].count(ScrapeJob) == 0
            await publisher.publish([later])
            await caught_up(watcher)
            assert watcher.walks[later.id].count(ScrapeJob) == 1, "published after it was watched"
