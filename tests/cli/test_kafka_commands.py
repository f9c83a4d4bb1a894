"""Jobs, topics and dead letters, looked at on a real broker."""

import asyncio
import json
import re
import threading
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from uuid import uuid4

import pyarrow as pa
import pytest
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, TopicPartition

from trending_scraper.scheduling import Due, Recurring
from trending_shared.errors import Rejected
from trending_shared.events import (
    DatasetRequested,
    FeaturesComputed,
    PageFetched,
    RecordRejected,
    ReviewScraped,
    ScrapeJob,
    TitleScraped,
)
from trending_shared.messages import Message, first_message
from trending_shared.settings import KafkaSettings
from trending_shared.sources import read_catalogue
from trending_shared.tables import OffsetTable
from trending_shared.testing import (
    a_catalogue,
    a_page,
    a_review_scraped,
    a_title_cleaned,
    a_title_scraped,
)
from trending_shared.topics import FOREVER, TopicSpec, ensure_topics

pytestmark = [pytest.mark.connected, pytest.mark.timeout(300)]

URL = "http://films.example/titles"
CHARTS = {"every": "P1D", "page": "detail", "max_pages": 5, "url": "https://films.example/{day}"}


def a_refusal_of(message: Message[TitleScraped] | Message[ReviewScraped]) -> Message[Any]:
    record = "title" if isinstance(message.event, TitleScraped) else "review"
    return message.leads_to(
        RecordRejected(
            record=record,
            source="demo",
            source_id=message.event.source_id,
            page=a_page(),
            reason="NameMissing",
            detail="",
        )
    )


# ---------------------------------------------------------------- jobs and topics


def test_a_published_job_is_under_way_until_all_that_came_of_it_has_ended(terminal: Any) -> None:
    id = uuid4()
    told = terminal.json("jobs", "publish", "demo", URL, "--id", id, "--max-pages", 3)
    assert told == {"job_id": str(id), "published": True}
    newest = terminal.json("topics", "tail", ScrapeJob.topic, "-n", 1)
    assert newest["headers"]["ce_correlationid"] == str(id)
    assert newest["key"] == "films.example"
    assert newest["body"]["max_pages"] == 3
    waiting = terminal.json("jobs", "status", id)
    assert not waiting["done"]
    assert waiting["counts"]["pages"] == 1
    assert "under way" in terminal.run("jobs", "status", id).stdout

    job = first_message(ScrapeJob(source="demo", url=URL), id=id)
    page = PageFetched(source="demo", url=URL, kind="list", page=a_page(), events=2)
    title, review = job.leads_to(a_title_scraped(name=None)), job.leads_to(a_review_scraped())
    answers = a_refusal_of(title), a_refusal_of(review)
    terminal.publish(job.leads_to(page), title, review, *answers)
    done = terminal.json("jobs", "status", id, "--follow")
    assert done["done"]
    assert done["rejected"] == {"NameMissing": 2}
    assert done["counts"]["titles_rejected"] == done["counts"]["reviews_rejected"] == 1
    assert "done" in terminal.run("jobs", "status", id).stdout


def test_a_schedule_says_where_its_job_begins(terminal: Any, tmp_path: Path) -> None:
    file = tmp_path / "mine.yaml"
    films = a_catalogue(base="https://films.example", schedule={"charts": CHARTS})
    file.write_text(films + a_catalogue("archive", base="https://archive.example/all"))
    terminal.env["SOURCES_FILE"] = str(file)
    for arguments, max_pages in (["--schedule", "charts"], 5), (["--max-pages", 2], 2):
        terminal.run("jobs", "publish", "films", *arguments)
        newest = terminal.json("topics", "tail", ScrapeJob.topic, "-n", 1)["body"]
        assert re.fullmatch(r"https://films\.example/\d{4}-\d\d-\d\d", newest["url"])
        assert (newest["source"], newest["page"]) == ("films", "detail")
        assert newest["max_pages"] == max_pages
    terminal.run("jobs", "publish", "archive")
    newest = terminal.json("topics", "tail", ScrapeJob.topic, "-n", 1)["body"]
    assert (newest["url"], newest["page"]) == ("https://archive.example/all", "list")


def test_the_same_id_twice_is_published_once(terminal: Any) -> None:
    id = uuid4()
    command = ("jobs", "publish", "demo", URL, "--id", id)
    assert [terminal.json(*command)["published"] for _ in range(2)] == [True, False]
    assert terminal.json("jobs", "status", id)["counts"]["pages"] == 1


def test_a_period_has_one_job_whoever_publishes_it(terminal: Any, tmp_path: Path) -> None:
    file = tmp_path / "mine.yaml"
    file.write_text(a_catalogue(base="https://films.example", schedule={"charts": CHARTS}))
    terminal.env["SOURCES_FILE"] = str(file)
    publish = ("jobs", "publish", "films", "--schedule", "charts", "--period")
    told = [terminal.json(*publish, f"2026-01-0{when}") for when in ("2", "2T23:59:59", "3")]
    assert [each["published"] for each in told] == [True, False, True]
    assert told[0]["job_id"] == told[1]["job_id"]
    newest = terminal.json("topics", "tail", ScrapeJob.topic, "-n", 1)
    assert newest["body"]["url"] == "https://films.example/2026-01-03"
    schedule = read_catalogue(file)["films"].schedule["charts"]
    begins = datetime(2026, 1, 3, tzinfo=UTC)
    by_a_scraper = Due(Recurring("films", "charts", schedule), begins, missed=0).message
    assert newest["headers"]["ce_id"] == str(by_a_scraper.id) == told[2]["job_id"]


def test_a_period_is_of_a_schedule_and_has_an_id_of_its_own(offline: Any) -> None:
    offline.run("jobs", "publish", "demo", URL, "--period", "2026-01-02", status=2)
    options = ("--schedule", "updates", "--period", "2026-01-02", "--id", uuid4())
    offline.run("jobs", "publish", "tvmaze", *options, status=2)


def test_a_job_is_sound_once_each_of_its_records_is_a_row_or_a_reject(terminal: Any) -> None:
    job = first_message(ScrapeJob(source="demo", url=URL))
    page = PageFetched(source="demo", url=URL, kind="list", page=a_page(), events=2)
    title, review = job.leads_to(a_title_scraped()), job.leads_to(a_review_scraped())
    cleaned = title.leads_to(a_title_cleaned())
    computed = FeaturesComputed(
        title_id="t", content_hash="", text_hash="", recipe="", encoder="test"
    )
    messages = (job, job.leads_to(page), title, review, cleaned, cleaned.leads_to(computed))
    terminal.publish(*messages, a_refusal_of(review))

    def keep(table: str, *events: Message[Any]) -> None:
        schema = pa.schema([("event_id", pa.string())])
        rows = [(None, {"event_id": str(event.id)}) for event in events]
        OffsetTable(terminal.settings.store, table, schema=schema, owner="test").append(rows)

    keep("titles", title)
    keep("features", cleaned)
    told = terminal.json("jobs", "check", job.id, status=1)
    assert told["done"]
    assert told["tables"]["reviews"]["missing"] == [str(review.id)]
    keep("rejects", review)
    told = terminal.json("jobs", "check", job.id)
    assert told["sound"]
    assert {name: each["rows"] for name, each in told["tables"].items() if each["count"]} == {
        "titles": 1,
        "reviews": 0,
        "features": 1,
    }
    keep("titles", title)
    assert terminal.json("jobs", "check", job.id, status=1)["tables"]["titles"]["repeated"] == [
        str(title.id)
    ]
    assert "not sound" in terminal.run("jobs", "check", job.id, status=1).stdout
    terminal.run("jobs", "check", uuid4(), status=3)


def test_a_job_that_nobody_published_is_not_found(terminal: Any) -> None:
    assert "error: no job" in terminal.run("jobs", "status", uuid4(), status=3).stderr


def test_topics_are_listed_with_all_their_records(terminal: Any) -> None:
    def jobs() -> int:
        topics = {each["topic"]: each for each in terminal.json("topics", "list")}
        assert topics[ScrapeJob.topic]["partitions"] == terminal.kafka.partitions
        return int(topics[ScrapeJob.topic]["records"])

    before = jobs()
    for n in range(4):
        terminal.run("jobs", "publish", "demo", f"http://cinema-{n}.example/")
    assert jobs() == before + 4
    newest = terminal.run("topics", "tail", ScrapeJob.topic, "-n", 2).stdout
    assert "cinema-1.example" not in newest
    assert "cinema-2.example" in newest
    assert "cinema-3.example" in newest


def test_a_topic_that_is_not_there_is_not_found(terminal: Any) -> None:
    said = terminal.run("topics", "tail", "titles-screened", status=3).stderr
    assert "no topic titles-screened" in said
    assert TitleScraped.topic in said
    for command in (["replay"], ["list"], ["show"]):
        arguments = ["0"] if command == ["show"] else []
        terminal.run("dlq", *command, "titles-screened-dlq", *arguments, status=3)


async def test_a_group_that_has_committed_nothing_has_no_lag(terminal: Any) -> None:
    await asyncio.to_thread(terminal.ensure_topics)
    group = f"idle{uuid4().hex[:8]}"
    options = {"group_id": group, "enable_auto_commit": False}
    member = AIOKafkaConsumer(TitleScraped.topic, **options, **terminal.kafka.connection)
    await member.start()
    try:
        rows = await asyncio.to_thread(terminal.json, "topics", "lag")
    finally:
        await member.stop()
    assert group not in {row["group"] for row in rows}


async def transactions(kafka: KafkaSettings, topic: str, *outcomes: bool) -> None:
    """A record each, committed or taken back."""
    producer = AIOKafkaProducer(**kafka.connection, transactional_id=f"test{uuid4().hex[:8]}")
    await producer.start()
    try:
        for n, committed in enumerate(outcomes):
            await producer.begin_transaction()
            await producer.send_and_wait(topic, b"%d" % n, partition=0)
            await (producer.commit_transaction if committed else producer.abort_transaction)()
    finally:
        await producer.stop()


async def test_offsets_without_a_record_are_neither_shown_nor_waited_for(terminal: Any) -> None:
    group, topic = f"idle{uuid4().hex[:8]}", f"spools{uuid4().hex[:8]}"
    await ensure_topics([TopicSpec(topic, 1, FOREVER)], terminal.kafka.connection, 1)
    await transactions(terminal.kafka, topic, True, True, False, False, False)
    place = TopicPartition(topic, 0)
    options = {"group_id": group, "enable_auto_commit": False}
    member = AIOKafkaConsumer(**options, **terminal.kafka.connection)
    member.assign([place])
    await member.start()
    try:
        lags = []
        for offset in (0, 2, 4):  # both records; the second; nothing but what was taken back
            await member.commit({place: offset})
            lags.append(await asyncio.to_thread(lag, terminal, group))
    finally:
        await member.stop()
    assert lags[0] > lags[1] > lags[2] == 0
    for count in (1, 2, 5):
        said = await asyncio.to_thread(terminal.run, "topics", "tail", topic, "-n", count, "--json")
        shown = [json.loads(line)["body"] for line in said.stdout.splitlines()]
        assert shown == [0, 1][-count:]


# ---------------------------------------------------------------- dead letters


def lag(terminal: Any, group: str) -> int:
    return sum(each["lag"] for each in terminal.json("topics", "lag") if each["group"] == group)


def test_what_was_parked_is_listed_shown_and_replayed_as_it_was(terminal: Any) -> None:
    group = f"archive{uuid4().hex[:8]}"
    dlq = f"{DatasetRequested.topic}-{group}-dlq"
    wanted = first_message(DatasetRequested(reason="[/red] \x1b[31m of the festival"))
    taken = threading.Event()

    def park(messages: Sequence[Message[Any]]) -> Sequence[Message[Any]]:
        if wanted.id in [message.id for message in messages]:
            raise Rejected("no room [/red]\x1b[31m")
        return []

    def take(messages: Sequence[Message[Any]]) -> Sequence[Message[Any]]:
        if wanted.id in [message.id for message in messages]:
            taken.set()
        return []

    terminal.publish(wanted)
    with terminal.group(group, DatasetRequested, park):
        terminal.wait_for(dlq, str(wanted.id))
    [row] = terminal.json("dlq", "list", dlq, status=1)
    assert row["reason"] == "Rejected"
    assert row["detail"] == "no room [/red]\x1b[31m"
    assert row["event_id"] == str(wanted.id)
    assert row["origin"].startswith(f"{DatasetRequested.topic}:0:")
    shown = terminal.run("dlq", "list", dlq, status=1).stdout
    assert "no room [/red]" in shown
    assert "\x1b" not in shown
    whole = terminal.json("dlq", "show", dlq, row["offset"])
    assert whole["body"] == {"reason": wanted.event.reason}
    assert "\x1b" not in terminal.run("dlq", "show", dlq, row["offset"]).stdout
    terminal.run("dlq", "show", dlq, row["offset"] + 1, status=3)

    terminal.run("dlq", "replay", dlq, "--offset", row["offset"] + 1, status=3)
    assert terminal.json("dlq", "replay", dlq) == {"replayed": 1}
    again = terminal.json("topics", "tail", DatasetRequested.topic, "-n", 1)
    assert again["headers"]["ce_id"] == str(wanted.id)
    assert not [name for name in again["headers"] if name.startswith("trending-")]
    assert lag(terminal, group) == 1
    with terminal.group(group, DatasetRequested, take):
        assert taken.wait(60)
    assert lag(terminal, group) == 0
    assert len(terminal.json("dlq", "list", dlq, status=1)) == 1


def test_a_job_with_something_parked_is_status_1(terminal: Any) -> None:
    job = first_message(ScrapeJob(source="demo", url=URL))
    title = job.leads_to(a_title_scraped(source_id="parked"))
    group = f"archive{uuid4().hex[:8]}"

    def park(messages: Sequence[Message[Any]]) -> Sequence[Message[Any]]:
        if title.id in [message.id for message in messages]:
            raise Rejected("no room")
        return []

    page = PageFetched(source="demo", url=URL, kind="list", page=a_page(), events=1)
    terminal.publish(job, job.leads_to(page), title)
    with terminal.group(group, TitleScraped, park):
        terminal.wait_for(f"{TitleScraped.topic}-{group}-dlq", str(title.id))
    told = terminal.json("jobs", "status", job.id, status=1)
    assert told["parked"] == {str(title.id): "Rejected"}
    assert told["done"]
