"""A job's walk is told from its events alone: what has come, what is awaited, what is parked."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID, uuid4

from trending_cli.demo import titles_per_second
from trending_shared.events import (
    ModelPromoted,
    PageFetched,
    RecordRejected,
    ScrapeJob,
    TitleScraped,
)
from trending_shared.messages import Message, first_message
from trending_shared.testing import (
    a_page,
    a_review_scraped,
    a_title_cleaned,
    a_title_scraped,
)
from trending_shared.unhandled import REASON
from trending_shared.walk import EventLog, Walk, WalkWatcher

NOON = datetime(2026, 11, 1, 12, tzinfo=UTC)


@dataclass(frozen=True)
class Record:
    """A record as a consumer hands it over."""

    topic: str
    headers: Sequence[tuple[str, bytes | None]]
    value: bytes
    partition: int = 0
    offset: int = 0


class Log:
    """A consumer that hands over what it was given, once."""

    def __init__(self, *records: Record) -> None:
        self._records = list(records)

    async def getmany(self, **_: Any) -> dict[str, list[Record]]:
        records, self._records = self._records, []
        return {"all": records} if records else {}


def a_job() -> Message[ScrapeJob]:
    return first_message(ScrapeJob(source="demo", url="http://films.example/titles"))


def a_page_fetched(job: Message[ScrapeJob], *, events: int) -> Message[PageFetched]:
    event = job.event
    return job.leads_to(
        PageFetched(source="demo", url=event.url, kind=event.page, page=a_page(), events=events)
    )


def a_record(message: Message[Any], topic: str | None = None, *more: tuple[str, bytes]) -> Record:
    headers = message.headers(source="test", code_version="1", now=NOON)
    return Record(topic or message.event.topic, [*headers, *more], message.body())


async def walk_of(job: UUID, *records: Record) -> Walk:
    watcher = WalkWatcher(EventLog(Log(*records)), [job])
    assert await watcher.poll() == bool(records)
    return watcher.walks[job]


def test_a_job_is_settled_when_something_has_come_of_every_event() -> None:
    job = a_job()
    walk = Walk(job.id)
    assert not walk.settled
    title = job.leads_to(a_title_scraped())
    review = job.leads_to(a_review_scraped())
    walk.add(job)
    assert walk.waiting(ScrapeJob) == 1
    walk.add(title)
    walk.add(a_page_fetched(job, events=2))
    assert walk.waiting(ScrapeJob) == 1  # its page had a review besides, which hasn't come
    walk.add(review)
    assert walk.waiting(ScrapeJob) == 0
    assert walk.waiting(TitleScraped) == 1
    assert not walk.settled
    walk.add(review.leads_to(a_title_cleaned()))
    walk.parked[title.id] = "NameMissing"
    assert not walk.settled  # the cleaned title has yet to lead to features


def test_a_page_without_records_settles_its_job() -> None:
    job = a_job()
    walk = Walk(job.id)
    walk.add(job)
    walk.add(a_page_fetched(job, events=0))
    assert walk.settled


def test_a_page_that_comes_after_what_it_led_to_settles_its_job_too() -> None:
    job = a_job()
    walk = Walk(job.id)
    walk.add(job)
    walk.add(job.leads_to(a_review_scraped()))
    assert walk.waiting(ScrapeJob) == 1
    walk.add(a_page_fetched(job, events=1))
    assert walk.waiting(ScrapeJob) == 0


def test_what_was_rejected_counts_by_its_kind_of_record_and_by_its_reason() -> None:
    job = a_job()
    walk = Walk(job.id)
    for number, record in enumerate(("title", "review", "review", "facts", "signal")):
        scraped = a_title_scraped(source_id=str(number))
        rejected = RecordRejected(
            record=record,
            source="demo",
            source_id=str(number),
            page=scraped.page,
            reason="NameMissing",
            detail="",
        )
        walk.add(job.leads_to(rejected))
    assert (walk.counts["titles_rejected"], walk.counts["reviews_rejected"]) == (1, 2)
    assert walk.rejected == {"NameMissing": 5}


def test_an_event_that_comes_twice_counts_once() -> None:
    job = a_job()
    walk = Walk(job.id)
    for _ in range(2):
        walk.add(job)
        walk.add(job.leads_to(a_title_scraped()))
    assert walk.counts["pages"] == walk.counts["titles_scraped"] == 1


def test_pace_is_measured_from_the_first_event_of_a_kind_to_the_last() -> None:
    job = a_job()
    walk = Walk(job.id)
    for n in range(5):
        title = job.leads_to(a_title_scraped(source_id=f"film-{n}"))
        walk.add(replace(title, time=NOON + timedelta(seconds=n / 2)))
    assert titles_per_second(walk) == {"scraper": 2.5}


async def test_only_events_of_the_job_are_taken() -> None:
    job, other = a_job(), a_job()
    found = await walk_of(job.id, a_record(job), a_record(other), a_record(a_job()))
    assert found.count(ScrapeJob) == 1
    assert found.first_of(ScrapeJob) == job.event
    assert found.first_of(ModelPromoted) is None


async def test_a_parked_event_is_not_awaited() -> None:
    job = a_job()
    parked = a_record(job, "scrape-jobs-scraper-dlq", (REASON, b"RobotsForbid"))
    found = await walk_of(job.id, a_record(job), parked)
    assert found.parked == {job.id: "RobotsForbid"}
    assert found.settled


async def test_records_that_are_no_events_are_passed_over() -> None:
    job = a_job()
    correlation = ("ce_correlationid", str(job.id).encode())
    nameless = Record("scrape-jobs-scraper-dlq", [correlation], b"")
    found = await walk_of(
        job.id,
        Record("titles-scraped", [correlation, ("ce_id", b"no uuid"), ("ce_type", None)], b"{"),
        Record("titles-scraped", [("ce_correlationid", b"\xff")], b""),
        Record("titles-scraped", [("ce_correlationid", None)], b""),
        nameless,
        replace(nameless, headers=[correlation, ("ce_id", b"\xff")]),
        a_record(first_message(job.event, id=uuid4())),
    )
    assert found.counts == Walk(job.id).counts
