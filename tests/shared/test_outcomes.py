"""What the log and the traces tell of each event, once it is done with."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from types import SimpleNamespace
from typing import Any

import pytest
from prometheus_client import CollectorRegistry
from structlog.testing import capture_logs

from trending_shared.delivery import Consumer
from trending_shared.errors import BrokerUnavailable, Declined, Rejected, Unavailable
from trending_shared.events import RecordRejected, TitleScraped
from trending_shared.logs import note
from trending_shared.messages import Message, first_message
from trending_shared.testing import CollectingPublisher, a_page, a_title_cleaned, a_title_scraped
from trending_shared.testing.collecting import Collector
from trending_shared.tracing import OFF, Tracing
from trending_shared.unhandled import ATTEMPT, ORIGIN

NOW = datetime(2026, 11, 1, 12, tzinfo=UTC)


class PlotForbidden(Rejected):
    """A test's own reason."""


class PageGone(Declined):
    """A test's own everyday thing."""


class ArchiveClosed(Unavailable):
    """A test's own outage."""


FAILURES: dict[str, Exception] = {
    "never": PlotForbidden("it tells the ending"),
    "gone": PageGone("nobody has it"),
    "later": ArchiveClosed("closed on Mondays"),
    "bug": ZeroDivisionError("a bug of ours"),
}


@dataclass
class House:
    """A consumer whose handler fails as a title is called."""

    tracing: Tracing = OFF
    tell_handled: bool = True
    publisher: CollectingPublisher = field(default_factory=CollectingPublisher)

    def __post_init__(self) -> None:
        self.consumer = Consumer(
            service="cleaner",
            publisher=self.publisher,
            registry=CollectorRegistry(),
            tracing=self.tracing,
            tell_handled=self.tell_handled,
        )
        self.consumer.on(TitleScraped, self.handle)

    def handle(self, messages: Sequence[Message[TitleScraped]]) -> list[Message[Any]]:
        answer: list[Message[Any]] = []
        for message in messages:
            name = message.event.source_id
            if name in FAILURES:
                raise FAILURES[name]
            if name == "twin":
                answer.append(message.leads_to(rejected("Duplicate")))
            else:
                answer.append(message.leads_to(a_title_cleaned(title_id=name)))
        return answer

    async def deliver(self, *records: Any) -> list[dict[str, Any]]:
        """What is told of records, a line each."""
        with capture_logs() as lines:
            await self.consumer.deliver(records)
        return [dict(line) for line in lines]


def rejected(reason: str) -> RecordRejected:
    return RecordRejected(
        record="title", source="demo", source_id="7", page=a_page(), reason=reason, detail="…"
    )


def a_record(name: str, *, offset: int = 0, **changes: Any) -> Any:
    message = first_message(a_title_scraped(source_id=name))
    record = SimpleNamespace(
        topic="titles-scraped",
        partition=0,
        offset=offset,
        key=b"demo:7",
        value=message.body(),
        headers=message.headers(source="scraper", code_version="1", now=NOW),
        id=str(message.id),
    )
    vars(record).update(changes)
    return record


def records(*names: str) -> list[Any]:
    return [a_record(name, offset=offset) for offset, name in enumerate(names)]


async def test_each_event_of_a_batch_has_one_line() -> None:
    batch = records("7", "never", "twin", "gone", "8")
    lines = await House().deliver(*batch)
    assert {line["event"] for line in lines} == {"event_consumed"}
    told = {line["origin"]: line for line in lines}
    assert len(told) == len(lines) == len(batch)
    assert [
        (told[f"titles-scraped:0:{n}"]["outcome"], told[f"titles-scraped:0:{n}"].get("reason"))
        for n in range(len(batch))
    ] == [
        ("handled", None),
        ("parked", "PlotForbidden"),
        ("handled", None),
        ("declined", "PageGone"),
        ("handled", None),
    ]
    for n, record in enumerate(batch):
        line = told[f"titles-scraped:0:{n}"]
        assert line["event_id"] == line["correlation_id"] == record.id
        assert line["trace_id"] == record.id.replace("-", "")
        assert (line["topic"], line["together"]) == ("titles-scraped", 5)
        assert line["seconds"] >= 0
    assert told["titles-scraped:0:0"]["led_to"] == {"titles-cleaned": 1}
    assert told["titles-scraped:0:2"]["led_to"] == {"records-rejected": 1}
    assert told["titles-scraped:0:2"]["rejected"] == "Duplicate"
    levels = {line["outcome"]: line["log_level"] for line in lines}
    assert levels == {"handled": "info", "parked": "error", "declined": "info"}


async def test_a_bug_is_told_with_its_traceback_and_another_attempt_as_such() -> None:
    headers = [*a_record("bug").headers, (ATTEMPT, b"3"), (ORIGIN, b"titles-scraped:2:17")]
    (line,) = await House().deliver(
        a_record("bug", topic="titles-scraped-cleaner-retry-2m", headers=headers)
    )
    assert (line["outcome"], line["attempt"], line["origin"]) == (
        "postponed",
        3,
        "titles-scraped:2:17",
    )
    assert isinstance(line["exc_info"], ZeroDivisionError)


async def test_what_is_no_event_of_ours_has_a_line_with_what_is_known_of_it() -> None:
    record = a_record("7", value=b"{")
    hostile = a_record("7", offset=1, headers=[("ce_id", b"\xff\x1b[31m"), ("ce_type", b"x")])
    readable, unreadable = await House().deliver(record, hostile)
    assert (readable["outcome"], readable["reason"]) == ("parked", "Undecodable")
    assert (readable["event_id"], readable["trace_id"]) == (record.id, record.id.replace("-", ""))
    assert (unreadable["outcome"], "event_id" in unreadable) == ("parked", False)


async def test_what_a_handler_notes_of_its_event_is_in_that_line() -> None:
    house = House()

    async def handle(message: Message[TitleScraped]) -> None:
        note(url=f"http://films.example/{message.event.source_id}")
        if message.event.source_id == "later":
            raise FAILURES["later"]

    house.consumer.on_each(TitleScraped, handle, at_once=2)
    lines = await house.deliver(*records("7", "later", "8"))
    assert not any("together" in line for line in lines)  # each has its own time
    assert {(line["origin"], line["outcome"], line["url"]) for line in lines} == {
        ("titles-scraped:0:0", "handled", "http://films.example/7"),
        ("titles-scraped:0:1", "postponed", "http://films.example/later"),
        ("titles-scraped:0:2", "handled", "http://films.example/8"),
    }
    note(url="of no event")


async def test_handled_events_may_go_untold_and_others_never() -> None:
    lines = await House(tell_handled=False).deliver(*records("7", "never", "8"))
    assert [line["outcome"] for line in lines] == ["parked"]


async def test_each_event_of_a_batch_has_one_span(traces: Collector) -> None:
    with Tracing("cleaner") as tracing:
        house = House(tracing)
        await house.deliver(*records("7", "never", "8"))
    told = {
        span.attributes["messaging.kafka.offset"]: (
            span.attributes["trending.outcome"],
            span.attributes.get("error.type"),
            span.failed,
        )
        for span in traces.spans
    }
    assert told == {
        0: ("handled", None, False),
        1: ("parked", "PlotForbidden", True),
        2: ("handled", None, False),
    }
    spans = {f"00-{span.trace_id}-{span.span_id}-01" for span in traces.spans}
    assert {message.traceparent for message in house.publisher.messages} < spans


async def test_a_delivery_that_is_broken_off_comes_again_in_the_same_trace(
    traces: Collector,
) -> None:
    (record,) = records("7")
    with Tracing("cleaner") as tracing:
        house = House(tracing)
        house.publisher.down = True
        with pytest.raises(BrokerUnavailable):
            await house.deliver(record)
        house.publisher.down = False
        await house.deliver(record)
    first, again = traces.spans
    assert first.trace_id == again.trace_id == record.id.replace("-", "")
    assert first.span_id != again.span_id
    assert [span.attributes["trending.outcome"] for span in (first, again)] == [
        "interrupted",
        "handled",
    ]


async def test_what_is_put_aside_keeps_its_trace(traces: Collector) -> None:
    (record,) = records("later")
    with Tracing("cleaner") as tracing:
        house = House(tracing)
        await house.deliver(record)
    ((_, _, _, headers),) = house.publisher.raw
    assert headers["traceparent"] == dict(record.headers)["traceparent"]
