"""Spans as a collector receives them, and what is carried without one."""

import io
import json
import logging
import socket
import subprocess
import sys
from datetime import UTC, datetime
from threading import Event
from typing import Any
from uuid import UUID, uuid4

import pytest
from opentelemetry.sdk.trace.sampling import Decision

from trending_shared.errors import SettingInvalid, Unavailable
from trending_shared.logs import configure_logs
from trending_shared.messages import Message, Position, decode, first_message, unrecorded
from trending_shared.span_export import RatioOfStories
from trending_shared.testing import a_title_cleaned, a_title_scraped, delivered
from trending_shared.testing.collecting import Collector
from trending_shared.tracing import OFF, Tracing, current_traceparent

NOW = datetime(2026, 11, 1, tzinfo=UTC)
CALLER = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"


def travelled(message: Message[Any]) -> Message[Any]:
    """A message as its consumer decodes it."""
    return decode(
        headers=message.headers(source="test", code_version="1", now=NOW),
        body=message.body(),
        position=Position(message.event.topic, 1, 7),
    )


def test_a_story_is_one_trace_under_its_own_id(traces: Collector) -> None:
    start = first_message(a_title_scraped(), id=uuid4())
    with Tracing("scraper") as scraper, scraper.sending([start]) as (sent,):
        pass
    with Tracing("cleaner") as cleaner:
        received, span = cleaner.receive(travelled(sent))
        assert span
        with cleaner.sending([received.leads_to(a_title_cleaned())]):
            pass
        span.end()
    root, process, send = (
        traces.named(name)[0]
        for name in ("send titles-scraped", "process titles-scraped", "send titles-cleaned")
    )
    assert {span.trace_id for span in traces.spans} == {start.correlation_id.hex}
    assert (root.parent_id, process.parent_id, send.parent_id) == (
        "",
        root.span_id,
        process.span_id,
    )
    assert [span.kind for span in (root, process, send)] == ["PRODUCER", "CONSUMER", "PRODUCER"]
    assert [span.service for span in (root, process)] == ["trending-scraper", "trending-cleaner"]
    assert process.attributes == {
        "messaging.system": "kafka",
        "messaging.operation.name": "process",
        "messaging.operation.type": "process",
        "messaging.destination.name": "titles-scraped",
        "messaging.destination.partition.id": "1",
        "messaging.kafka.offset": 7,
        "messaging.consumer.group.name": "cleaner",
        "messaging.message.id": str(start.id),
        "messaging.message.conversation_id": str(start.correlation_id),
    }
    assert traces.requests == ["/v1/traces"] * 2


def test_who_records_a_story_first_begins_its_trace(traces: Collector) -> None:
    start = travelled(
        first_message(a_title_scraped())
    )  # by the command line, which records nothing
    with Tracing("cleaner") as cleaner:
        _, span = cleaner.receive(start)
        assert span
        span.end()
    (process,) = traces.spans
    assert (process.trace_id, process.parent_id) == (start.correlation_id.hex, "")


def test_what_a_story_came_of_is_linked(traces: Collector) -> None:
    with (
        Tracing("inference") as gateway,
        gateway.span("POST /v1/jobs", parent=CALLER),
        gateway.sending([first_message(a_title_scraped())]),
    ):
        pass
    (send,) = traces.named("send titles-scraped")
    assert (send.parent_id, send.links) == ("", (CALLER[3:35],))


def test_without_a_collector_the_trace_is_carried_and_nothing_loaded() -> None:
    message = travelled(first_message(a_title_scraped(), traceparent=CALLER))
    received, span = OFF.receive(message)
    with OFF.sending([received.leads_to(a_title_cleaned())]) as (sent,):
        assert travelled(sent).traceparent == CALLER
    assert span is None
    with OFF.span("GET", parent=CALLER):
        assert current_traceparent() == CALLER
    assert current_traceparent() is None
    code = (
        "import sys, trending_shared.worker as w\n"
        "with w.Tracing('x'): pass\n"
        "print([name for name in sys.modules if name.startswith('opentelemetry.sdk')])"
    )
    told = subprocess.run([sys.executable, "-c", code], capture_output=True, check=True, text=True)
    assert told.stdout.strip() == "[]"


@pytest.mark.parametrize(
    "given",
    [
        "",
        "00-00000000000000000000000000000000-00f067aa0ba902b7-01",
        "00-4bf92f3577b34da6a3ce929d0e0e4736-0000000000000000-01",
        "ff-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01",
        "00-4BF92F3577B34DA6A3CE929D0E0E4736-00f067aa0ba902b7-01",
        CALLER + "\nx-injected: 1",
        CALLER * 1000,
    ],
)
def test_a_trace_that_isnt_one_is_left_out(given: str) -> None:
    message = first_message(a_title_scraped())
    headers = dict(message.headers(source="test", code_version="1", now=NOW))
    received = decode(
        headers=[*(headers | {"traceparent": given.encode()}).items()],
        body=message.body(),
        position=Position("titles-scraped", 0, 0),
    )
    assert received.traceparent is None
    assert received.trace_id == message.correlation_id.hex


@pytest.mark.parametrize("story", [UUID(int=0), UUID(int=1 << 64)])
def test_a_story_whose_id_can_be_no_trace_has_none(story: UUID, traces: Collector) -> None:
    message = first_message(a_title_scraped(), correlation_id=story)
    assert unrecorded(story) is None
    assert "traceparent" not in dict(message.headers(source="test", code_version="1", now=NOW))
    with Tracing("scraper") as scraper, scraper.sending([message]) as (sent,):
        assert sent.traceparent
    assert len(traces.spans) == 1


def test_an_error_is_told_by_its_name_alone(traces: Collector) -> None:
    with Tracing("scraper") as tracing:
        with pytest.raises(Unavailable), tracing.span("GET"):
            raise Unavailable("a page's own words")
        with pytest.raises(ZeroDivisionError), tracing.sending([delivered(a_title_scraped())]):
            _ = 1 / 0
    assert [(span.failed, span.attributes["error.type"]) for span in traces.spans] == [
        (True, "Unavailable"),
        (True, "ZeroDivisionError"),
    ]
    assert "own words" not in repr(traces.spans)


def test_a_collector_that_isnt_there_costs_no_work_and_one_line(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as gone:
        port = gone.getsockname()[1]
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", f"http://127.0.0.1:{port}")
    monkeypatch.setenv("OTEL_BSP_MAX_EXPORT_BATCH_SIZE", "1")
    monkeypatch.setenv("OTEL_BSP_SCHEDULE_DELAY", "1")
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_TIMEOUT", "0.01")
    said = io.StringIO()
    monkeypatch.setattr(sys, "stderr", said)
    configure_logs(service="test", format="json")
    message = first_message(a_title_scraped())
    with Tracing("scraper") as tracing:
        for _ in range(50):
            with tracing.sending([message]) as (sent,):
                assert sent.traceparent
    (line,) = [json.loads(line) for line in said.getvalue().splitlines()]
    assert line["level"] == "error"
    logging.getLogger("opentelemetry").setLevel(logging.NOTSET)


def test_a_collector_that_hangs_doesnt_hold_up_who_stops(
    traces: Collector, monkeypatch: pytest.MonkeyPatch
) -> None:
    answering = Event()
    monkeypatch.setattr(traces, "take", lambda path, body: answering.wait())
    with (
        Tracing("scraper", flush_within=0.01) as tracing,
        tracing.sending([first_message(a_title_scraped())]),
    ):
        pass
    assert not answering.is_set()  # and we are here all the same
    answering.set()


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("OTEL_EXPORTER_OTLP_ENDPOINT", "localhost:4318"),
        ("OTEL_EXPORTER_OTLP_PROTOCOL", "grpc"),
    ],
)
def test_a_setting_that_cant_be_used_is_named(name: str, value: str) -> None:
    environ = {"OTEL_EXPORTER_OTLP_ENDPOINT": "http://localhost:4318", name: value}
    with pytest.raises(SettingInvalid, match=name):
        Tracing("scraper", environ=environ)


@pytest.mark.parametrize(
    ("name", "value"), [("OTEL_SDK_DISABLED", "true"), ("OTEL_TRACES_EXPORTER", "none")]
)
def test_standard_switches_are_respected(
    traces: Collector, monkeypatch: pytest.MonkeyPatch, name: str, value: str
) -> None:
    monkeypatch.setenv(name, value)
    with Tracing("scraper") as tracing:
        assert not tracing.on


def test_a_share_of_stories_is_sampled_and_each_as_a_whole(
    traces: Collector, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OTEL_TRACES_SAMPLER", "parentbased_traceidratio")
    monkeypatch.setenv("OTEL_TRACES_SAMPLER_ARG", "0.25")
    kept, dropped = UUID(int=3 << 62), UUID(int=(2 << 62) | 0xFF << 48)
    with Tracing("scraper") as scraper, Tracing("cleaner") as cleaner:
        for story in (kept, dropped):
            start = first_message(a_title_scraped(), correlation_id=story)
            with scraper.sending([start]) as (sent,):
                _, span = cleaner.receive(travelled(sent))
                assert span
                span.end()
    assert [span.trace_id for span in traces.spans] == [kept.hex] * 2


def test_half_of_all_stories_are_half() -> None:
    sampler = RatioOfStories(0.5)
    sampled = [
        sampler.should_sample(None, uuid4().int, "send").decision is Decision.RECORD_AND_SAMPLE
        for _ in range(2000)
    ]
    assert 850 < sum(sampled) < 1150
