"""What is told of each event when it is done with: one line of the log, and the end of its span."""

from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from time import perf_counter
from typing import Any
from uuid import UUID

import structlog
from aiokafka import ConsumerRecord as Record
from opentelemetry.trace import Span

from trending_shared.errors import TrendingError
from trending_shared.events import Event, RecordRejected
from trending_shared.logs import log_context, noting
from trending_shared.messages import Message, Position, read_traceparent, read_uuid
from trending_shared.tracing import Tracing, current, fail
from trending_shared.unhandled import attempt_of, origin_of, what_was_said

log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class _Begun:
    message: Message[Any]
    at: float
    together: int
    span: Span | None
    notes: dict[str, Any] = field(default_factory=dict)


class Outcomes:
    """Knows what is under way of the batch at hand.

    Args:
        tell_handled: whether events that were handled have a line, too; all others always do.
    """

    def __init__(self, tracing: Tracing, *, tell_handled: bool) -> None:
        self._tracing = tracing
        self._tell_handled = tell_handled
        self._begun: dict[Position, _Begun] = {}

    def begin(self, messages: Sequence[Message[Any]]) -> list[Message[Any]]:
        """Messages as they are to be handled, together, each in a span of its own.

        Those that were begun in a larger group, which failed, go on as they are.
        """
        at, together = perf_counter(), len(messages)
        return [self._begin(message, at, together) for message in messages]

    def _begin(self, message: Message[Any], at: float, together: int) -> Message[Any]:
        position = message.position
        assert position is not None, "a delivered message has a position"
        if begun := self._begun.get(position):
            return begun.message
        traced, span = self._tracing.receive(message)
        self._begun[position] = _Begun(traced, at, together, span)
        return traced

    @contextmanager
    def within(self, messages: Sequence[Message[Any]]) -> Iterator[None]:
        """While one message is handled alone, notes, log lines and spans of others belong to it."""
        if len(messages) > 1:
            yield
            return
        (message,) = messages
        with ExitStack() as stack:
            stack.enter_context(log_context(message))
            begun = self._begun[message.position] if message.position else None
            if begun:
                stack.enter_context(noting(begun.notes))
            if begun and begun.span:
                stack.enter_context(current(begun.span))
            yield

    def handled(self, records: Sequence[Record], answer: Sequence[Message[Any]]) -> None:
        """Tell of events that were handled, and what they led to."""
        led_to: dict[UUID | None, list[Event]] = {}
        for message in answer:
            led_to.setdefault(message.causation_id, []).append(message.event)
        for record in records:
            begun = self._begun.get(_position(record))
            events = led_to.get(begun.message.id, []) if begun else []
            more: dict[str, Any] = {"led_to": Counter(event.topic for event in events)}
            if rejected := [each.reason for each in events if isinstance(each, RecordRejected)]:
                more["rejected"] = rejected[0]
            self.tell("handled", origin_of(record), record=record, **more)

    def tell(
        self,
        outcome: str,
        origin: str,
        error: Exception | None = None,
        *,
        record: Record | None = None,
        **more: object,
    ) -> None:
        """Tell what became of an event; of a bug with its traceback.

        Args:
            origin: where it first lay, as topic:partition:offset.
            record: as it lies now; none for one that Kafka's client can't read.
        """
        begun = self._begun.pop(_position(record), None) if record else None
        if error:
            more |= what_was_said(error)
        if begun and begun.span:
            _end(begun.span, outcome, error)
        if outcome == "handled" and not self._tell_handled:
            return
        if begun:
            message = begun.message
            more = {**begun.notes, **more}
            more["event_id"] = str(message.id)
            more["correlation_id"] = str(message.correlation_id)
            more["trace_id"] = message.trace_id
            more["seconds"] = round(perf_counter() - begun.at, 4)
            if begun.together > 1:
                more["together"] = begun.together
        elif record:
            more |= _ids(record)
        if record and (attempt := attempt_of(record)) > 1:
            more["attempt"] = attempt
        if error and not isinstance(error, TrendingError):
            more["exc_info"] = error
        level = {"parked": log.error, "postponed": log.warning}.get(outcome, log.info)
        level(
            "event_consumed",
            topic=origin.partition(":")[0],
            origin=origin,
            outcome=outcome,
            **more,
        )

    def leave(self) -> None:
        """End the batch; what is still under way comes again, in the same traces."""
        for begun in self._begun.values():
            if begun.span:
                _end(begun.span, "interrupted", None)
        self._begun.clear()


def _end(span: Span, outcome: str, error: Exception | None) -> None:
    span.set_attribute("trending.outcome", outcome)
    if error:
        fail(span, error)
    span.end()


def _position(record: Record) -> Position:
    return Position(record.topic, record.partition, record.offset)


def _ids(record: Record) -> dict[str, str]:
    """What can be known of a record that isn't an event of ours."""
    headers = {name: (value or b"").decode(errors="replace") for name, value in record.headers}
    found = {
        "event_id": read_uuid(headers.get("ce_id")),
        "correlation_id": read_uuid(headers.get("ce_correlationid")),
    }
    ids = {name: str(id) for name, id in found.items() if id}
    if traceparent := read_traceparent(headers.get("traceparent")):
        ids["trace_id"] = traceparent[3:35]
    return ids
