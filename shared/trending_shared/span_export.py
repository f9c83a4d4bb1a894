"""Where spans go: OTLP over HTTP, by OpenTelemetry's SDK. Only what records anything imports it."""

import os
from collections.abc import Callable, Sequence
from typing import Any

from opentelemetry.context import Context
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor
from opentelemetry.sdk.trace.id_generator import RandomIdGenerator
from opentelemetry.sdk.trace.sampling import (
    ParentBased,
    Sampler,
    SamplingResult,
    TraceIdRatioBased,
)
from opentelemetry.trace import Link, SpanKind, TraceState
from opentelemetry.util.types import Attributes

from trending_shared.errors import SettingInvalid

_QUEUED = 16_384  # spans, 2 KB each: those that a batch of events leads to come at once


def create_provider(service: str, code_version: str, story: Callable[[], int]) -> TracerProvider:
    """A provider whose spans go to the collector that the environment names.

    Args:
        story: the trace id of what begins a trace now; 0 for a new one.

    Raises:
        SettingInvalid: a variable has a value that can't be used.
    """
    named = {} if os.environ.get("OTEL_SERVICE_NAME") else {"service.name": f"trending-{service}"}
    about = {"service.namespace": "trending", "service.version": code_version, **named}
    provider = TracerProvider(
        sampler=_sampler(),
        resource=Resource.create(about),
        id_generator=_Ids(story),
        shutdown_on_exit=False,  # `Tracing` does that, and waits no longer than told
    )
    try:
        queue = int(os.environ.get("OTEL_BSP_MAX_QUEUE_SIZE") or _QUEUED)
        processor = BatchSpanProcessor(OTLPSpanExporter(), max_queue_size=queue)
    except ValueError as error:
        raise SettingInvalid(f"OTEL_…: {error}") from error
    provider.add_span_processor(processor)
    return provider


class _Ids(RandomIdGenerator):
    """Gives a trace its story's id."""

    def __init__(self, story: Callable[[], int]) -> None:
        self._story = story

    def generate_trace_id(self) -> int:
        return self._story() or super().generate_trace_id()

    def is_trace_id_random(self) -> bool:
        return False  # of UUIDs a few bits never vary


class RatioOfStories(TraceIdRatioBased):
    """Samples by the 56 bits of a trace id that vary in a UUID.

    The SDK's sampler looks at the lower 64, of which a UUID has two for its variant: by these it
    would take all stories for a ratio of 0.75, and none for one of 0.5. These 56 are what W3C Trace
    Context level 2 asks to be random.
    """

    def should_sample(
        self,
        parent_context: Context | None,
        trace_id: int,
        name: str,
        kind: SpanKind | None = None,
        attributes: Attributes = None,
        links: Sequence[Link] | None = None,
        trace_state: TraceState | None = None,
    ) -> SamplingResult:
        spread = (trace_id << 8) & self.TRACE_ID_LIMIT
        return super().should_sample(
            parent_context, spread, name, kind, attributes, links, trace_state
        )


def _sampler() -> Sampler | None:
    """The one that the environment asks for; none for those of the SDK."""
    asked = os.environ.get("OTEL_TRACES_SAMPLER", "").strip().lower()
    if not asked.endswith("traceidratio"):
        return None
    ratio = os.environ.get("OTEL_TRACES_SAMPLER_ARG") or "1"
    try:
        sampler: Any = RatioOfStories(float(ratio))
    except ValueError as error:
        raise SettingInvalid("OTEL_TRACES_SAMPLER_ARG: a number from 0 to 1 is needed") from error
    return ParentBased(sampler) if asked.startswith("parentbased") else sampler
