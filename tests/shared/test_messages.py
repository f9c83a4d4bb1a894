"""Events on the wire: CloudEvents headers, deterministic ids, and what can't be decoded."""

from datetime import UTC, datetime
from uuid import UUID

import pytest
from pydantic import BaseModel

from trending_shared.errors import Undecodable, UnknownEventType
from trending_shared.events import EVENTS, TitleCleaned, TitleScraped
from trending_shared.messages import Headers, Message, Position, decode, first_message
from trending_shared.testing import a_review_scraped, a_title_cleaned, a_title_scraped

NOW = datetime(2026, 11, 1, 12, 30, tzinfo=UTC)
HERE = Position("titles-scraped", 1, 42)


def on_the_wire(message: Message[TitleScraped]) -> tuple[list[tuple[str, bytes]], bytes]:
    headers = message.headers(source="scraper", code_version="0.1.0+abc", now=NOW)
    return headers, message.body()


def replaced(headers: Headers, name: str, value: bytes | None) -> Headers:
    return [(key, value if key == name else old) for key, old in headers]


def test_a_message_comes_back_from_the_wire_as_it_was() -> None:
    sent = first_message(a_title_scraped()).leads_to(a_title_scraped(source_id="aliens-1986"))
    headers, body = on_the_wire(sent)
    received = decode(headers=headers, body=body, position=HERE)
    assert received.event == sent.event
    assert (received.id, received.correlation_id, received.causation_id) == (
        sent.id,
        sent.correlation_id,
        sent.causation_id,
    )
    assert received.time == NOW
    assert received.source == "trending/scraper"
    assert received.code_version == "0.1.0+abc"
    assert received.position == HERE


def test_headers_are_cloudevents_in_binary_mode_with_a_trace() -> None:
    message = first_message(
        a_title_scraped(), id=UUID("11111111-2222-4333-8444-555555555555")
    ).leads_to(a_title_cleaned())
    headers = dict(message.headers(source="cleaner", code_version="1", now=NOW))
    assert headers["ce_specversion"] == b"1.0"
    assert headers["ce_type"] == b"trending.TitleCleaned.v1"
    assert headers["ce_causationid"] == b"11111111-2222-4333-8444-555555555555"
    assert headers["ce_dataschema"] == b"titles-cleaned.v1.json"
    assert headers["content-type"] == b"application/json"
    version, trace, span, flags = headers["traceparent"].decode().split("-")
    assert (version, flags) == ("00", "01")
    assert trace == "11111111222243338444555555555555"
    assert len(span) == 16


def test_a_review_that_is_called_3_is_not_the_fourth_on_its_page() -> None:
    page = first_message(a_title_scraped())
    called_3 = a_review_scraped(position=0, review_source_id="3")
    fourth = a_review_scraped(position=3, review_source_id=None)
    assert page.leads_to(called_3).id != page.leads_to(fourth).id


def naive_times(model: type[BaseModel]) -> list[str]:
    """The fields of a class, and of the classes in it, that would take a time without a zone."""
    found = []
    for name, info in model.model_fields.items():
        if info.annotation is datetime:
            found.append(f"{model.__name__}.{name}")
        if isinstance(info.annotation, type) and issubclass(info.annotation, BaseModel):
            found += naive_times(info.annotation)
    return found


def test_no_event_takes_a_time_without_its_zone() -> None:
    assert [name for event in EVENTS for name in naive_times(event)] == []


def test_the_same_cause_leads_to_the_same_id_and_another_key_to_another() -> None:
    cause = first_message(a_title_scraped())
    first = cause.leads_to(a_title_cleaned(plot="one"))
    again = cause.leads_to(a_title_cleaned(plot="another text of the same title"))
    other = cause.leads_to(a_title_cleaned(title_id="t_other"))
    assert first.id == again.id != other.id
    assert first.correlation_id == cause.correlation_id


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("ce_type", None),
        ("ce_type", b"\xff\xfe"),
        ("ce_id", b"not-a-uuid"),
        ("ce_time", b"yesterday"),
        ("ce_correlationid", b"7"),
    ],
)
def test_a_malformed_header_is_undecodable(name: str, value: bytes | None) -> None:
    headers, body = on_the_wire(first_message(a_title_scraped()))
    with pytest.raises(Undecodable):
        decode(headers=replaced(headers, name, value), body=body, position=HERE)


@pytest.mark.parametrize("body", [b"", None, b'{"source": "demo"', b"\xff\xfe", b"[]", b"{}"])
def test_a_malformed_body_is_undecodable(body: bytes | None) -> None:
    headers, _ = on_the_wire(first_message(a_title_scraped()))
    with pytest.raises(Undecodable, match=r"body of trending\.TitleScraped\.v1"):
        decode(headers=headers, body=body, position=HERE)


def test_a_missing_header_is_named() -> None:
    headers, body = on_the_wire(first_message(a_title_scraped()))
    for name in ("ce_id", "ce_type"):
        kept = [header for header in headers if header[0] != name]
        with pytest.raises(Undecodable, match=name):
            decode(headers=kept, body=body, position=HERE)


def test_an_unknown_version_and_a_foreign_event_are_told_apart_from_garbage() -> None:
    headers, body = on_the_wire(first_message(a_title_scraped()))
    newer = replaced(headers, "ce_type", b"trending.TitleScraped.v2")
    with pytest.raises(UnknownEventType, match=r"TitleScraped\.v2"):
        decode(headers=newer, body=body, position=HERE)
    with pytest.raises(UnknownEventType, match="TitleScraped"):
        decode(headers=headers, body=body, position=HERE, known=[TitleCleaned])


def test_a_field_this_version_does_not_know_is_ignored() -> None:
    headers, body = on_the_wire(first_message(a_title_scraped()))
    grown = body.replace(b'{"source":', b'{"a_later_field": [1, 2], "source":', 1)
    assert decode(headers=headers, body=grown, position=HERE).event == a_title_scraped()


def test_every_event_has_a_topic_of_its_own() -> None:
    assert len({event.topic for event in EVENTS}) == len(EVENTS)
    for event in EVENTS:
        assert event.topic.replace("-", "").isalpha()
        assert event.topic == event.topic.lower()
