"""The cleaner as it runs: on a real broker, with everything that `create_app` builds."""

import asyncio
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from aiokafka.partitioner import DefaultPartitioner
from prometheus_client import CollectorRegistry

from trending_cleaner.app import create_app
from trending_cleaner.schemas import FACTS, MERGED, REJECTS, TITLES
from trending_cleaner.settings import CleanerSettings
from trending_cli.embedded_kafka import EmbeddedKafka
from trending_cli.testing import read_messages
from trending_shared.events import (
    RecordRejected,
    ReviewCleaned,
    SignalCleaned,
    TitleCleaned,
    TitleMerged,
    TitleScraped,
)
from trending_shared.messages import Message, first_message
from trending_shared.publishing import KafkaPublisher
from trending_shared.settings import KafkaSettings
from trending_shared.tables import OffsetTable
from trending_shared.testing import (
    a_facts_scraped,
    a_review_scraped,
    a_signal_scraped,
    a_title_scraped,
)
from trending_shared.topics import ensure_topics, topic_spec

pytestmark = [pytest.mark.connected, pytest.mark.timeout(120)]


async def test_every_record_becomes_one_row_and_one_event_over_a_restart(
    fresh_kafka: EmbeddedKafka, tmp_path: Path
) -> None:
    kafka = KafkaSettings(bootstrap_servers=fresh_kafka.address)
    settings = CleanerSettings(trending_home=tmp_path / "home", kafka=kafka)
    good = [first_message(a_title_scraped(source_id=f"film-{n}")) for n in range(30)]
    bad = first_message(a_title_scraped(source_id="nameless", name=None))
    review = first_message(a_review_scraped(text="Ask jane@mail.example."))
    told = [first_message(a_facts_scraped()), first_message(a_signal_scraped())]
    publisher = KafkaPublisher(
        kafka, service="test", code_version="1", registry=CollectorRegistry()
    )
    async with publisher:
        async with create_app(settings).start_lifespan_context():
            await publisher.publish([*good[:20], bad])
            await read_messages(kafka, TitleCleaned.topic, 20)
            await read_messages(kafka, RecordRejected.topic, 1)
        async with create_app(settings).start_lifespan_context():
            await publisher.publish([*good, bad, review, *told])  # most of them for the second time
            cleaned = await read_messages(kafka, TitleCleaned.topic, 50)
            rejected = await read_messages(kafka, RecordRejected.topic, 2)
            (reviewed,) = await read_messages(kafka, ReviewCleaned.topic, 1)
            (counted,) = await read_messages(kafka, SignalCleaned.topic, 1)
    assert {message.causation_id for message in cleaned} == {message.id for message in good}
    assert len({message.id for message in cleaned}) == 30
    assert {message.event.reason for message in rejected} == {"NameMissing"}
    assert reviewed.event.text == "Ask [email]."
    assert counted.event.external_ids == {"wikipedia": "en:Alien_(film)"}
    facts = OffsetTable(settings.store, "facts", schema=FACTS, owner="cleaner")
    assert facts.read(["event_id"])["event_id"].to_pylist() == [str(told[0].id)]
    titles = OffsetTable(settings.store, "titles", schema=TITLES, owner="cleaner")
    rejects = OffsetTable(settings.store, "rejects", schema=REJECTS, owner="cleaner")
    assert sorted(titles.read(["event_id"])["event_id"].to_pylist()) == sorted(
        str(message.id) for message in good
    )
    assert rejects.read(["event_id"])["event_id"].to_pylist() == [str(bad.id)]


async def test_two_sources_tell_of_one_title_over_a_restart(
    fresh_kafka: EmbeddedKafka, tmp_path: Path
) -> None:
    kafka = KafkaSettings(bootstrap_servers=fresh_kafka.address)
    settings = CleanerSettings(trending_home=tmp_path / "home", kafka=kafka)
    one = a_title_scraped(external_ids={"imdb": "tt0078748"})
    other = one.model_copy(update={"source": "tvmaze", "source_id": "7"})
    publisher = KafkaPublisher(
        kafka, service="test", code_version="1", registry=CollectorRegistry()
    )
    async with publisher:
        async with create_app(settings).start_lifespan_context():
            await publisher.publish([first_message(one)])
            (alone,) = await read_messages(kafka, TitleMerged.topic, 1)
        async with create_app(settings).start_lifespan_context():
            await publisher.publish([first_message(other), first_message(a_facts_scraped())])
            said = await read_messages(kafka, TitleMerged.topic, 3)
    last = max((message.event for message in said), key=lambda event: event.resolution)
    assert [member.source for member in alone.event.members] == ["demo"]
    assert {member.source for member in last.members} == {"demo", "tvmaze", "wikidata"}
    assert last.title_id == alone.event.title_id
    merged = OffsetTable(settings.store, "merged", schema=MERGED, owner="cleaner")
    assert set(merged.read(["title_id"])["title_id"].to_pylist()) == {last.title_id}


async def until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(60):
        while not condition():  # noqa: ASYNC110 (nobody tells)
            await asyncio.sleep(0.1)


async def test_a_partition_full_of_bad_records_is_held_until_someone_says_otherwise(
    fresh_kafka: EmbeddedKafka, tmp_path: Path
) -> None:
    kafka = KafkaSettings(bootstrap_servers=fresh_kafka.address, partitions=2)
    settings = CleanerSettings(
        trending_home=tmp_path / "home", kafka=kafka, bad_records=20, bad_share=0.5
    )
    publisher = KafkaPublisher(
        kafka, service="test", code_version="1", registry=CollectorRegistry()
    )

    def rows(name: str) -> list[str]:
        schema = {"titles": TITLES, "rejects": REJECTS}[name]
        table = OffsetTable(settings.store, name, schema=schema, owner="test")
        ids: list[str] = table.read(["source_id"])["source_id"].to_pylist()
        return sorted(ids)

    # The key decides the partition: one title's records are bad, another's good.
    def bad(number: int) -> Message[Any]:
        return first_message(a_title_scraped(source_id="broken", name=None, plot=f"{number}"))

    def good(number: int) -> Message[Any]:
        plot = f"The crew of freighter {number} answers a call from a silent moon."
        return first_message(a_title_scraped(source_id=fine, plot=plot))

    partition_of = DefaultPartitioner()
    broken = partition_of(b"demo:broken", [0, 1], [0, 1])
    fine = next(
        name
        for name in map(str, range(100))
        if partition_of(f"demo:{name}".encode(), [0, 1], [0, 1]) != broken
    )
    async with publisher:
        # The topic is there before the cleaner, so that the records wait for it together.
        await ensure_topics([topic_spec(TitleScraped, partitions=2)], kafka.connection, 1)
        await publisher.publish([message for n in range(30) for message in (bad(n), good(n))])
        app = create_app(settings)
        async with app.start_lifespan_context():
            await until(lambda: bool(app.consumer.held))
            assert list(app.consumer.held) == [(TitleScraped.topic, broken)]
            await publisher.publish([bad(99), good(99)])
            await until(lambda: rows("titles").count(fine) >= 1 and len(rows("titles")) >= 31)
            assert rows("rejects") == []
        again = create_app(settings)
        async with again.start_lifespan_context():  # nothing of it was committed
            await until(lambda: bool(again.consumer.held))
            assert rows("rejects") == []
        told = settings.model_copy(update={"bad_share": 1.0})
        async with create_app(told).start_lifespan_context():
            await until(lambda: len(rows("rejects")) == 31)
            rejected = await read_messages(kafka, RecordRejected.topic, 31)
    assert rows("rejects") == ["broken"] * 31
    assert len({message.id for message in rejected}) == 31
    assert rows("titles") == [fine] * 31
