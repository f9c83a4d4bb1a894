"""An event on its way: its ancestry, and its form on the wire (CloudEvents 1.0, Kafka binary mode).

Headers carry the CloudEvents attributes (`ce_id`, `ce_type`, `ce_source`, `ce_time`,
`ce_dataschema`), the extensions `ce_correlationid`, `ce_causationid` and `ce_codeversion`, and the
W3C `traceparent`; the body is the event's JSON. Sources: CloudEvents 1.0.2, its Kafka protocol
binding 1.0.2, and W3C Trace Context level 1.
"""

import hashlib
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, Generic, TypeVar
from uuid import UUID, uuid4, uuid5

from pydantic import ValidationError

from trending_shared.errors import Undecodable, UnknownEventType
from trending_shared.events import EVENTS, Event

Headers = Sequence[tuple[str, bytes | None]]
E = TypeVar("E", bound=Event, covariant=True)
F = TypeVar("F", bound=Event)

NAMESPACE = UUID("5d9a2b0e-8f3c-5e0b-9c39-3f7f2f4b9a11")
_TRACEPARENT = re.compile(r"00-(?!0{32})[0-9a-f]{32}-(?!0{16})[0-9a-f]{16}-[0-9a-f]{2}")
BY_TYPE: Mapping[str, type[Event]] = {event.type_name(): event for event in EVENTS}


@dataclass(frozen=True, slots=True)
class Position:
    """Where a record lies in Kafka."""

    topic: str
    partition: int
    offset: int

    def __str__(self) -> str:
        return f"{self.topic}:{self.partition}:{self.offset}"


@dataclass(frozen=True, slots=True)
class Message(Generic[E]):
    """A fact with its ancestry.

    `id` is deterministic for everything that follows from something else, so a redelivery leads to
    the same ids and whoever has seen one may ignore it. All messages of one story share
    `correlation_id`, which is also its trace id unless whoever began it brought another one.

    `traceparent` is the span that a message was sent or is handled in, and what follows from it
    takes that along; see `tracing`. It is none in a story that nobody has recorded.
    """

    event: E
    id: UUID
    correlation_id: UUID
    causation_id: UUID | None = None
    time: datetime | None = None
    source: str | None = None
    code_version: str | None = None
    position: Position | None = None
    traceparent: str | None = field(default=None, compare=False)

    @property
    def trace_id(self) -> str:
        """32 hex digits."""
        return self.traceparent[3:35] if self.traceparent else self.correlation_id.hex

    def leads_to(self, event: F) -> "Message[F]":
        """The next fact of this story."""
        return Message(
            event=event,
            id=id_after(self.id, type(event), event.natural_key),
            correlation_id=self.correlation_id,
            causation_id=self.id,
            traceparent=self.traceparent,
        )

    def headers(self, *, source: str, code_version: str, now: datetime) -> list[tuple[str, bytes]]:
        """The record's headers; `source` is the service that publishes it."""
        values = {
            "ce_specversion": "1.0",
            "ce_id": str(self.id),
            "ce_type": self.event.type_name(),
            "ce_source": f"trending/{source}",
            "ce_time": now.astimezone(UTC).isoformat(timespec="milliseconds"),
            "ce_dataschema": schema_name(type(self.event)),
            "ce_correlationid": str(self.correlation_id),
            "ce_codeversion": code_version,
            "content-type": "application/json",
        }
        if traceparent := self.traceparent or unrecorded(self.correlation_id):
            values["traceparent"] = traceparent
        if self.causation_id:
            values["ce_causationid"] = str(self.causation_id)
        return [(name, value.encode()) for name, value in values.items()]

    def body(self) -> bytes:
        return self.event.model_dump_json(exclude_defaults=False).encode()


def id_after(cause: UUID, kind: type[Event], natural_key: str) -> UUID:
    """The id of what follows from something else: a name-based UUID (RFC 9562, version 5)."""
    return uuid5(NAMESPACE, f"{cause}:{kind.type_name()}:{natural_key}")


def first_message(
    event: F,
    *,
    id: UUID | None = None,
    correlation_id: UUID | None = None,
    traceparent: str | None = None,
) -> Message[F]:
    """Start a story, or join one from outside of Kafka.

    A given `id` makes asking twice harmless.
    """
    id = id or uuid4()
    return Message(event=event, id=id, correlation_id=correlation_id or id, traceparent=traceparent)


def unrecorded(story: UUID) -> str | None:
    """The `traceparent` of a story that nobody has recorded so far; none for ids that can't be one.

    Its trace id is the correlation id, and its span id the lower half of that, by which `tracing`
    knows that there is no such span: whoever records the story first begins its trace.
    """
    return read_traceparent(f"00-{story.hex}-{story.hex[16:]}-01")


def read_uuid(given: str | None) -> UUID | None:
    """A UUID as it was given, or none if it isn't one."""
    try:
        return UUID(given or "")
    except ValueError:
        return None


def read_traceparent(given: str | None) -> str | None:
    """A `traceparent` as it was given, or none if it is of no form that W3C has defined."""
    return given if given and _TRACEPARENT.fullmatch(given) else None


def schema_name(event: type[Event]) -> str:
    """The path of an event's JSON Schema below `docs/schemas/`: `titles-scraped.v1.json`."""
    return f"{event.topic}.v{event.version}.json"


def decode_headers(headers: Headers) -> dict[str, str]:
    """The headers as text, the last of equal names in force.

    Raises:
        Undecodable: a value is missing or isn't UTF-8.
    """
    decoded: dict[str, str] = {}
    for name, value in headers:
        if value is None:
            raise Undecodable(f"header {name} has no value")
        try:
            decoded[name] = value.decode()
        except UnicodeDecodeError as error:
            raise Undecodable(f"header {name} isn't UTF-8") from error
    return decoded


def decode(
    *,
    headers: Headers,
    body: bytes | None,
    position: Position,
    known: Iterable[type[Event]] | None = None,
) -> Message[Any]:
    """Read a record as a message of one of the `known` classes (all, if not given).

    Raises:
        Undecodable: headers or body aren't a CloudEvent of ours.
        UnknownEventType: the type or its version is none of `known`.
    """
    values = decode_headers(headers)
    by_type = BY_TYPE if known is None else {event.type_name(): event for event in known}
    kind = values.get("ce_type")
    if kind is None:
        raise Undecodable("header ce_type is missing; events travel as CloudEvents in binary mode")
    if kind not in by_type:
        raise UnknownEventType(f"{kind} is none of {', '.join(sorted(by_type))}")
    try:
        id = UUID(values["ce_id"])
        causation = values.get("ce_causationid")
        return Message(
            event=by_type[kind].model_validate_json(body or b""),
            id=id,
            correlation_id=UUID(values.get("ce_correlationid", str(id))),
            causation_id=UUID(causation) if causation else None,
            time=_time(values["ce_time"]) if "ce_time" in values else None,
            source=values.get("ce_source"),
            code_version=values.get("ce_codeversion"),
            position=position,
            traceparent=read_traceparent(values.get("traceparent")),
        )
    except KeyError as error:
        raise Undecodable(f"header {error.args[0]} is missing") from error
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(str(part) for part in first["loc"])
        raise Undecodable(f"body of {kind}: {where or 'json'}: {first['msg']}") from error
    except ValueError as error:
        raise Undecodable(f"a header of {kind} has a malformed value: {error}") from error


def _time(text: str) -> datetime:
    time = datetime.fromisoformat(text)
    if time.tzinfo is None:
        raise ValueError(f"{text!r} has no offset from UTC")
    return time


def content_hash(*parts: object) -> str:
    """A short, stable hash of values whose `str` is stable.

    16 hex digits of SHA-256, parts kept apart.
    """
    digest = hashlib.sha256()
    for part in parts:
        digest.update(str(part).encode())
        digest.update(b"\x1f")
    return digest.hexdigest()[:16]
