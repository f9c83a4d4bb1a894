"""A thousand good records, faults put into some of them, and what becomes of each.

`pytest -s` prints the table.
"""

import json
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from itertools import cycle
from typing import Any, Protocol

from prometheus_client import CollectorRegistry

from trending_cleaner.cleaner import Cleaner
from trending_cleaner.cleaning import clean_review, clean_title
from trending_cleaner.erasing import Eraser
from trending_cleaner.handlers import register_handlers
from trending_cleaner.pages import Pages
from trending_demo.catalogue import demo_catalogue
from trending_shared.delivery import Consumer
from trending_shared.events import (
    RecordRejected,
    ReviewCleaned,
    ReviewScraped,
    TitleCleaned,
    TitleScraped,
)
from trending_shared.messages import Message
from trending_shared.testing import (
    CollectingPublisher,
    a_page,
    a_review_scraped,
    a_title_scraped,
    delivered,
)

NOW = datetime(2026, 11, 20, 12, tzinfo=UTC)
RECORDS, TITLES, BATCH = 1000, 700, 250
EACH = 4  # records with each fault
Scraped = Message[Any]


class House(Protocol):
    """The fixture of `conftest`."""

    cleaner: Cleaner
    pages: Pages
    eraser: Eraser


@dataclass
class Record:
    """The attributes of a consumer record that delivery reads."""

    topic: str
    offset: int
    value: bytes
    headers: Sequence[tuple[str, bytes]]
    partition: int = 0
    key: bytes = b"demo:7"


@dataclass(frozen=True)
class Fault:
    """What is done to a record, and what must become of it."""

    name: str
    outcome: str
    """A reason, `warning: …`, a mark in the text, or `healed`: as if nothing had been there."""
    field: str | None = None
    value: Any = None
    body: Callable[[bytes], bytes] | None = None
    header: tuple[str, bytes] | None = None
    again: Callable[[Scraped], Scraped] | None = None
    """Made of a good record that came before."""


def the_same_later(good: Scraped) -> Scraped:
    page = good.event.page.model_copy(update={"fetched_at": NOW - timedelta(hours=1)})
    return delivered(good.event.model_copy(update={"page": page}))


def another_earlier(good: Scraped) -> Scraped:
    page = good.event.page.model_copy(update={"fetched_at": NOW - timedelta(days=30)})
    name = "title" if isinstance(good.event, TitleScraped) else "review"
    field = "plot" if name == "title" else "text"
    raw = getattr(good.event, name)
    raw = raw.model_copy(update={field: f"Formerly: {getattr(raw, field)}"})
    return delivered(good.event.model_copy(update={"page": page, name: raw}))


def with_field(*path: str, value: object) -> Callable[[bytes], bytes]:
    def change(body: bytes) -> bytes:
        document = json.loads(body)
        inner = document
        for name in path[:-1]:
            inner = inner[name]
        inner[path[-1]] = value
        return json.dumps(document).encode()

    return change


ENVELOPE = (
    Fault("body cut off", "Undecodable", body=lambda body: body[: len(body) // 2]),
    Fault("body isn't UTF-8", "Undecodable", body=lambda body: body.replace(b"e", b"\xe9", 1)),
    Fault("body of zeros", "Undecodable", body=lambda body: bytes(len(body))),
    Fault("body is a list", "Undecodable", body=lambda body: b"[" + body + b"]"),
    Fault("no source", "Undecodable", body=with_field("source", value=None)),
    Fault("time without an offset", "Undecodable", header=("ce_time", b"2026-11-01T12:00:00")),
    Fault("id is none", "Undecodable", header=("ce_id", b"7")),
    Fault("header isn't UTF-8", "Undecodable", header=("ce_id", b"\xff\xfe")),
    Fault("type of tomorrow", "UnknownEventType", header=("ce_type", b"trending.TitleScraped.v9")),
)
TITLE_FAULTS = (
    *ENVELOPE,
    Fault("name is a number", "Undecodable", body=with_field("title", "name", value=7)),
    Fault("genres are a text", "Undecodable", body=with_field("title", "genres", value="Drama")),
    Fault("no name", "NameMissing", "name", None),
    Fault("invisible name", "NameMissing", "name", "\u200b\u2060 <b></b>"),
    Fault("endless name", "TextTooLong", "name", "Alien " * 100),
    Fault("no plot", "TextMissing", "plot", None),
    Fault("short plot", "TextMissing", "plot", "Coming soon."),
    Fault("plot of markup", "TextMissing", "plot", "<p>" * 400),
    Fault("markup bomb", "TextTooLong", "plot", "<div><b>" * 100_000),
    Fault("endless plot", "TextTooLong", "plot", "word " * 5000),
    Fault("entity bomb", "TextTooLong", "plot", "&amp;" * 30_000),
    Fault("year before film", "YearImplausible", "year", "1066"),
    Fault("year to come", "YearImplausible", "year", "2999"),
    Fault("damaged year", "YearImplausible", "year", "22-Jul"),
    Fault("unknown kind", "KindUnknown", "kind", "VideoGame"),
    Fault("no kind", "KindUnknown", "kind", None),
    Fault("duplicate", "DuplicateTitle", again=the_same_later),
    Fault("outdated", "OutdatedTitle", again=another_earlier),
    Fault("rating above its scale", "warning: RatingUnreadable", "rating", "11"),
    Fault("rating below zero", "warning: RatingUnreadable", "rating", "-1"),
    Fault("rating is no number", "warning: RatingUnreadable", "rating", "great"),
    Fault("votes in words", "warning: RatingCountUnreadable", "rating_count", "many"),
    Fault("runtime unreadable", "warning: RuntimeUnreadable", "runtime", "long"),
    Fault("runtime odd", "warning: RuntimeOdd", "runtime", "900 min"),
    Fault("unknown language", "warning: LanguageUnknown", "language", "Elvish"),
    Fault("unknown genre", "warning: GenresUnknown", "genres", ("Zorb epic",)),
    Fault("garbled", "warning: TextGarbled", "name", "AmÃ©lie"),
    Fault("replaced bytes", "warning: TextGarbled", "name", "Am\ufffdlie"),
    Fault("control characters", "healed", "name", "\x00{}\x07\u202e"),
    Fault("escaped markup", "healed", "name", "&lt;b&gt;{}&lt;/b&gt;"),
    Fault("hidden script", "healed", "name", "<script>alert(1)</script>{}"),
    Fault("year in full-width brackets", "healed", "year", "（{}）"),
)
REVIEW_FAULTS = (
    *ENVELOPE,
    Fault("text is a list", "Undecodable", body=with_field("review", "text", value=["x"])),
    Fault("position below zero", "Undecodable", body=with_field("position", value=-1)),
    Fault("no text", "TextMissing", "text", None),
    Fault("text without words", "TextMissing", "text", "<br>!!! ..."),
    Fault("endless text", "TextTooLong", "text", "word " * 5000),
    Fault("duplicate", "DuplicateReview", again=the_same_later),
    Fault("outdated", "OutdatedReview", again=another_earlier),
    Fault("day to come", "warning: DayDropped", "day", "2031-01-01"),
    Fault("day before the web", "warning: DayDropped", "day", "1979-05-25"),
    Fault("day of two meanings", "warning: DayDropped", "day", "04/05/2026"),
    Fault("impossible rating", "warning: RatingUnreadable", "rating", "12"),
    Fault("mail address", "[email]", "text", "{} Write to jane.doe@mail.example."),
    Fault("hidden mail address", "[email]", "text", "{} Write to jane (at) mail dot com."),
    Fault("telephone", "[phone]", "text", "{} Call +49 170 1234567."),
    Fault("card", "[card]", "text", "{} Mine is 4111 1111 1111 1111."),
    Fault("account", "[account]", "text", "{} To DE89 3704 0044 0532 0130 00."),
    Fault("name on a network", "[handle]", "text", "{} I am @jane_d."),
)


def good_records() -> list[Scraped]:
    """Titles of the demo's catalogue and their reviews, each of them different."""
    catalogue = demo_catalogue().titles
    page = a_page(fetched_at=NOW - timedelta(days=1))
    records: list[Scraped] = []
    for number, title in zip(range(TITLES), cycle(catalogue), strict=False):
        event = a_title_scraped(
            source_id=f"{title.id}-{number}",
            page=page,
            name=f"{title.name} {number}",
            kind=title.kind,
            year=str(title.year),
            genres=title.genres,
            plot=title.plot,
            countries=title.countries,
            language=title.language,
            runtime=str(title.runtime_minutes),
            rating="8",
            best_rating="10",
            rating_count="1,234",
        )
        records.append(delivered(event))
    reviews = [(title, review) for title in catalogue for review in title.reviews]
    for number, (title, review) in zip(range(RECORDS - TITLES), cycle(reviews), strict=False):
        record = a_review_scraped(
            source_id=title.id,
            page=page,
            review_source_id=f"r-{number}",
            text=review.text,
            rating=str(review.rating),
            day="2026-10-20",
        )
        records.append(delivered(record))
    return records


def broken(fault: Fault, good: Scraped, before: Scraped) -> tuple[Scraped, Record]:
    """A record with a fault in it; `before` is a good one of its kind."""
    message = good
    if fault.again:
        message = fault.again(before)
    elif fault.field:
        name = "title" if isinstance(good.event, TitleScraped) else "review"
        raw = getattr(good.event, name)
        value = fault.value
        if isinstance(value, str):
            value = value.replace("{}", getattr(raw, fault.field) or "")
        raw = raw.model_copy(update={fault.field: value})
        message = delivered(good.event.model_copy(update={name: raw}))
    record = as_record(message)
    if fault.body:
        record = replace(record, value=fault.body(record.value))
    if fault.header:
        name, header = fault.header
        kept = [pair for pair in record.headers if pair[0] != name]
        record = replace(record, headers=[*kept, (name, header)])
    return message, record


def as_record(message: Scraped) -> Record:
    headers = message.headers(source="scraper", code_version="1", now=NOW)
    return Record(type(message.event).topic, 0, message.body(), headers)


def inject(good: Sequence[Scraped], faults: Sequence[Fault]) -> dict[int, Fault]:
    """Where each fault goes: evenly spread, none into the record before another."""
    planted = [fault for fault in faults for _ in range(EACH)]
    step = len(good) / len(planted)
    assert step > 2
    return {int(step * number) + 1: fault for number, fault in enumerate(planted)}


async def test_every_fault_is_caught_by_name_and_no_other_record_is_touched(house: House) -> None:
    good = good_records()
    titles, reviews = good[:TITLES], good[TITLES:]
    planted = inject(titles, TITLE_FAULTS) | {
        TITLES + place: fault for place, fault in inject(reviews, REVIEW_FAULTS).items()
    }
    messages, records = list(good), [as_record(message) for message in good]
    for place, fault in planted.items():
        messages[place], records[place] = broken(fault, good[place], before=good[place - 1])
    records = [replace(record, offset=place) for place, record in enumerate(records)]

    publisher, registry = CollectingPublisher(), CollectorRegistry()
    consumer = Consumer(
        service="cleaner", publisher=publisher, registry=registry, dead_letter_limit=1000
    )
    register_handlers(consumer, house.cleaner, house.pages, house.eraser)
    for start in range(0, RECORDS, BATCH):
        await consumer.deliver(records[start : start + BATCH])

    told = (TitleCleaned, ReviewCleaned, RecordRejected)
    answers = {m.causation_id: m.event for m in publisher.messages if isinstance(m.event, told)}
    parked = {
        int(headers["trending-origin"].decode().split(":")[2]): headers["trending-reason"].decode()
        for _, _, _, headers in publisher.raw
    }
    outcomes: dict[str, Counter[str]] = {}
    for place, message in enumerate(messages):
        injected = planted.get(place)
        answer = answers.get(message.id)
        if injected is None:
            assert answer == cleaned(message), f"record {place} was touched"
            continue
        found = became(injected, answer, parked.get(place), like=cleaned(good[place]))
        kind = "review" if place >= TITLES else "title"
        outcomes.setdefault(f"{kind}: {injected.name}", Counter())[found] += 1
        assert found == injected.outcome, f"{injected.name} at {place}"
    assert len(answers) + len(parked) == RECORDS
    assert len(outcomes) == len(TITLE_FAULTS) + len(REVIEW_FAULTS)
    lines = [
        f"{name:40} {', '.join(f'{n} x {what}' for what, n in counts.items())}"
        for name, counts in outcomes.items()
    ]
    print("", *lines, f"{RECORDS - len(planted)} records untouched", sep="\n")  # noqa: T201


def cleaned(message: Scraped) -> Any:
    if isinstance(message.event, ReviewScraped):
        return clean_review(message.event, NOW).event
    return clean_title(message.event, NOW)


def became(fault: Fault, answer: Any, parked: str | None, *, like: Any) -> str:
    """What became of a record, in the words of `Fault.outcome`."""
    if parked:
        return parked
    if isinstance(answer, RecordRejected):
        return answer.reason
    if answer.warnings:
        return f"warning: {', '.join(answer.warnings)}"
    if fault.outcome.startswith("[") and answer.text != like.text:
        return fault.outcome if fault.outcome in answer.text else answer.text
    return "healed" if answer.content_hash == like.content_hash else "changed"
