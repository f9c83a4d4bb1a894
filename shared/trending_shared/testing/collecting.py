"""A collector of traces: OTLP over HTTP, as OpenTelemetry's exporter speaks it."""

import gzip
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Condition, Thread
from typing import Any

from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import (
    ExportTraceServiceRequest,
    ExportTraceServiceResponse,
)
from opentelemetry.proto.common.v1.common_pb2 import KeyValue
from opentelemetry.proto.trace.v1.trace_pb2 import Span, Status


@dataclass(frozen=True, slots=True)
class ReceivedSpan:
    """A span as it came; ids in hex, an empty parent for a root."""

    service: str
    name: str
    kind: str
    trace_id: str
    span_id: str
    parent_id: str
    links: tuple[str, ...]
    """The ids of the traces it refers to."""
    failed: bool
    attributes: Mapping[str, Any] = field(hash=False)


class Collector:
    """Takes what is exported to `address`; the answer's `status` may be another than 200."""

    def __init__(self) -> None:
        self.spans: list[ReceivedSpan] = []
        self.requests: list[str] = []
        self.status = 200
        self.address = ""
        self._came = Condition()

    def wait_for(self, name: str, timeout: float = 90) -> None:
        """Wait until a span of that name was exported.

        Raises:
            TimeoutError: none came within `timeout` seconds.
        """
        with self._came:
            if not self._came.wait_for(lambda: self.named(name), timeout):
                raise TimeoutError(f"no span {name!r} came")

    def of(self, service: str) -> list[ReceivedSpan]:
        return [span for span in self.spans if span.service == f"trending-{service}"]

    def named(self, name: str) -> list[ReceivedSpan]:
        return [span for span in self.spans if span.name == name]

    def parent_of(self, span: ReceivedSpan) -> ReceivedSpan:
        (parent,) = (each for each in self.spans if each.span_id == span.parent_id)
        return parent

    def take(self, path: str, body: bytes) -> None:
        self.requests.append(path)
        if self.status != 200:
            return
        for resource in ExportTraceServiceRequest.FromString(body).resource_spans:
            service = _values(resource.resource.attributes)["service.name"]
            for scope in resource.scope_spans:
                with self._came:
                    self.spans += [_received(service, span) for span in scope.spans]
                    self._came.notify_all()


def _received(service: str, span: Span) -> ReceivedSpan:
    return ReceivedSpan(
        service=service,
        name=span.name,
        kind=Span.SpanKind.Name(span.kind).removeprefix("SPAN_KIND_"),
        trace_id=span.trace_id.hex(),
        span_id=span.span_id.hex(),
        parent_id=span.parent_span_id.hex(),
        links=tuple(link.trace_id.hex() for link in span.links),
        failed=span.status.code == Status.STATUS_CODE_ERROR,
        attributes=_values(span.attributes),
    )


def _values(pairs: Iterable[KeyValue]) -> dict[str, Any]:
    return {pair.key: getattr(pair.value, pair.value.WhichOneof("value") or "") for pair in pairs}


@contextmanager
def collector() -> Iterator[Collector]:
    """A collector that listens on a free port."""
    found = Collector()

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["content-length"]))
            if self.headers.get("content-encoding") == "gzip":
                body = gzip.decompress(body)
            found.take(self.path, body)
            self.send_response(found.status)
            answer = ExportTraceServiceResponse().SerializeToString()
            self.send_header("content-length", str(len(answer)))
            self.end_headers()
            self.wfile.write(answer)

        def log_message(self, format: str, *args: Any) -> None:
            """Say nothing."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        found.address = f"http://127.0.0.1:{server.server_port}"
        thread = Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
        thread.start()
        try:
            yield found
        finally:
            server.shutdown()
            thread.join()
