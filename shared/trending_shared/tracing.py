"""Traces: spans of OpenTelemetry, once it is told where to send them.

A story's trace id is its correlation id, so one id finds its lines in every log and its trace. Each
event has two spans: `send`, in the service that publishes it, and `process`, in each that consumes
it. The first travels in the event's `traceparent` and is the parent of the second, which is the
parent of all that follows. Events that are handled together have a span each, all as long as
that took: so one title's way stays one trace, whatever came in the same batch.

Without a collector's address nothing of the SDK is imported and nothing is recorded; what came in
`traceparent` is passed on all the same.

Sources: W3C Trace Context level 1; OpenTelemetry's semantic conventions 1.44 for messaging, Kafka,
HTTP and generative AI, which name spans and attributes; its specification of SDK variables.
"""

import os
import threading
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import replace
from types import TracebackType
from typing import Any, Self

from opentelemetry.context import Context
from opentelemetry.trace import (
    INVALID_SPAN,
    Link,
    NonRecordingSpan,
    Span,
    SpanContext,
    SpanKind,
    Status,
    StatusCode,
    TraceFlags,
    Tracer,
    get_current_span,
    set_span_in_context,
    use_span,
)

from trending_shared.errors import SettingInvalid, TrendingError
from trending_shared.messages import Message, unrecorded

Attributes = Mapping[str, Any]

TRACEPARENT = "TRACEPARENT"
"""The variable by which a process learns what it belongs to, as OpenTelemetry specifies it."""
ENDPOINTS = ("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "OTEL_EXPORTER_OTLP_ENDPOINT")
_PROTOCOLS = ("OTEL_EXPORTER_OTLP_TRACES_PROTOCOL", "OTEL_EXPORTER_OTLP_PROTOCOL")
_HALF = (1 << 64) - 1

_trace_id: ContextVar[int] = ContextVar("trace_id", default=0)


class Tracing:
    """A service's traces; a context manager, outside of which nothing is recorded.

    Args:
        service: the name that spans are found under, as `trending-<service>`.
        environ: has OpenTelemetry's own variables, `OTEL_…`.
        flush_within: seconds for the last spans; a collector that is gone holds nobody up.

    Raises:
        SettingInvalid: one of them has a value that can't be used.
    """

    def __init__(
        self,
        service: str,
        *,
        code_version: str = "",
        environ: Mapping[str, str] = os.environ,
        flush_within: float = 5.0,
    ) -> None:
        self._service = service
        self._code_version = code_version
        self._flush_within = flush_within
        self._recorded = _is_wanted(environ)
        self._tracer: Tracer | None = None
        self._provider: Any = None

    def __enter__(self) -> Self:
        if self._recorded:
            from trending_shared.span_export import create_provider  # imports the SDK, 20 MB

            self._provider = create_provider(self._service, self._code_version, _trace_id.get)
            self._tracer = self._provider.get_tracer("trending", self._code_version)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        provider, self._provider, self._tracer = self._provider, None, None
        if provider:
            flushing = threading.Thread(target=provider.shutdown, daemon=True)
            flushing.start()
            flushing.join(self._flush_within)

    @property
    def on(self) -> bool:
        """Whether anything is recorded now."""
        return self._tracer is not None

    # ------------------------------------------------------------ what happens inside a service

    @contextmanager
    def span(
        self,
        name: str,
        attributes: Attributes | None = None,
        *,
        kind: SpanKind = SpanKind.INTERNAL,
        parent: str | None = None,
    ) -> Iterator[Span]:
        """A span around what happens inside, below the current one unless a parent is given.

        An error ends it as failed, under the error's name; what it says is in no trace.
        """
        if self._tracer is None:
            with passed_on(parent):
                yield INVALID_SPAN
            return
        span = self._begin(name, kind, parent, attributes)
        with current(span):
            try:
                yield span
            except BaseException as error:
                fail(span, error)
                raise
            finally:
                span.end()

    # ------------------------------------------------------------ messages

    @contextmanager
    def sending(self, messages: Iterable[Message[Any]]) -> Iterator[Iterable[Message[Any]]]:
        """The messages as they are to be sent, each with a span that ends with this."""
        if self._tracer is None:
            yield messages
            return
        pairs = [(message, self._begin_sending(message)) for message in messages]
        try:
            yield [_in_span(message, span) for message, span in pairs]
        except BaseException as error:
            for _, span in pairs:
                fail(span, error)
            raise
        finally:
            for _, span in pairs:
                span.end()

    def receive(self, message: Message[Any]) -> tuple[Message[Any], Span | None]:
        """A message as it is to be handled, and the span of that, which is to be ended."""
        if self._tracer is None:
            return message, None
        attributes: dict[str, Any] = {
            **_described(message, "process"),
            "messaging.consumer.group.name": self._service,
        }
        if at := message.position:  # the topic of a retry is another than the event's
            attributes["messaging.destination.name"] = at.topic
            attributes["messaging.destination.partition.id"] = str(at.partition)
            attributes["messaging.kafka.offset"] = at.offset
        span = self._begin(
            f"process {message.event.topic}", SpanKind.CONSUMER, _parent_of(message), attributes
        )
        return _in_span(message, span), span

    def _begin_sending(self, message: Message[Any]) -> Span:
        attributes = {
            **_described(message, "send"),
            "messaging.client.id": f"trending-{self._service}",
        }
        return self._begin(
            f"send {message.event.topic}", SpanKind.PRODUCER, _parent_of(message), attributes
        )

    def _begin(
        self, name: str, kind: SpanKind, parent: str | None, attributes: Attributes | None
    ) -> Span:
        assert self._tracer, "asked for"
        if parent is None:
            return self._tracer.start_span(name, kind=kind, attributes=attributes)
        context = _context(parent)
        if context.span_id != context.trace_id & _HALF:
            at = set_span_in_context(NonRecordingSpan(context), Context())
            return self._tracer.start_span(name, at, kind=kind, attributes=attributes)
        token = _trace_id.set(context.trace_id)  # nobody has recorded this story so far
        here = get_current_span().get_span_context()
        links = [Link(here)] if here.is_valid else []  # such as the request that asked for a job
        try:
            return self._tracer.start_span(
                name, Context(), kind=kind, attributes=attributes, links=links
            )
        finally:
            _trace_id.reset(token)


def _is_wanted(environ: Mapping[str, str]) -> bool:
    """Whether the environment says where spans go; the rest of its variables is the SDK's."""
    name, endpoint = next(((n, environ[n]) for n in ENDPOINTS if environ.get(n)), ("", ""))
    disabled = environ.get("OTEL_SDK_DISABLED", "").strip().lower() == "true"
    if not endpoint or disabled or environ.get("OTEL_TRACES_EXPORTER") == "none":
        return False
    if not endpoint.startswith(("http://", "https://")):
        raise SettingInvalid(f"{name}: an address as http://localhost:4318 is needed")
    for name in _PROTOCOLS:
        if environ.get(name, "http/protobuf") not in ("", "http/protobuf"):
            raise SettingInvalid(f"{name}: http/protobuf is what is spoken here")
    return True


def _described(message: Message[Any], operation: str) -> dict[str, str]:
    return {
        "messaging.system": "kafka",
        "messaging.operation.name": operation,
        "messaging.operation.type": operation,
        "messaging.destination.name": message.event.topic,
        "messaging.message.id": str(message.id),
        "messaging.message.conversation_id": str(message.correlation_id),
    }


def _parent_of(message: Message[Any]) -> str | None:
    return message.traceparent or unrecorded(message.correlation_id)


def _in_span(message: Message[Any], span: Span) -> Message[Any]:
    return replace(message, traceparent=traceparent_of(span))


def traceparent_of(span: Span) -> str | None:
    """How a span travels; none if it is none."""
    at = span.get_span_context()
    if not at.is_valid:
        return None
    return f"00-{at.trace_id:032x}-{at.span_id:016x}-{at.trace_flags:02x}"


def current_traceparent() -> str | None:
    """How the span that we are in travels; none outside of any."""
    return traceparent_of(get_current_span())


def _context(traceparent: str) -> SpanContext:
    _, trace_id, span_id, flags = traceparent.split("-")
    return SpanContext(
        int(trace_id, 16), int(span_id, 16), is_remote=True, trace_flags=TraceFlags(int(flags, 16))
    )


@contextmanager
def passed_on(traceparent: str | None) -> Iterator[None]:
    """Have what begins inside belong to what came from elsewhere, though nothing is recorded."""
    if traceparent is None:
        yield
        return
    with current(NonRecordingSpan(_context(traceparent))):
        yield


def current(span: Span) -> Any:
    """A context in which a span is the one that we are in; it doesn't end with that."""
    return use_span(span, record_exception=False, set_status_on_exception=False)


def fail(span: Span, error: BaseException | str) -> None:
    """Say that a span failed, and by what; errors' own words may repeat what is nobody's."""
    if isinstance(error, BaseException):
        error = error.reason if isinstance(error, TrendingError) else type(error).__name__
    span.set_attribute("error.type", error)
    span.set_status(Status(StatusCode.ERROR))


OFF = Tracing("none", environ={})
"""Records nothing."""
