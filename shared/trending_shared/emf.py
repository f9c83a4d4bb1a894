"""Metrics as lines of the log, for where nothing can ask `/metrics`: CloudWatch's embedded format.

Once a minute a process writes what `TOLD` names, and CloudWatch makes metrics of it under their
names in Prometheus, by `service` and at most one label. A counter is told as what it grew by since
the last line, so a sum over lines and replicas is what happened. The lines are JSON, whatever
`LOG_FORMAT` and `LOG_LEVEL` say. CloudWatch's "embedded metric format specification" has the rest.
"""

import asyncio
import json
import math
import sys
from collections import defaultdict
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from datetime import timedelta
from typing import Literal, Never

from prometheus_client import CollectorRegistry

from trending_shared.clock import Clock

EVERY = timedelta(minutes=1)
Kind = Literal["change", "sum", "max", "min"]


@dataclass(frozen=True, slots=True)
class Told:
    """A metric of ours that CloudWatch is told of.

    `kind` says what becomes of the series that differ by other labels than `by`: of counters their
    change is added up; of gauges the sum, the largest or the smallest is told.
    """

    name: str
    kind: Kind
    by: str | None = None
    unit: str = "Count"
    """As CloudWatch calls it."""


TOLD = (
    Told("trending_consumer_lag", "sum"),
    Told("trending_consumer_stuck", "max", unit="None"),
    Told("trending_events_consumed_total", "change", by="outcome"),
    Told("trending_events_unpublished_total", "change"),
    Told("trending_scraper_pages_total", "change", by="outcome"),
    Told("trending_trainer_runs_total", "change", by="outcome"),
    Told("trending_inference_texts_total", "change"),
    Told("trending_inference_abstained_total", "change"),
    Told("trending_inference_shed_requests_total", "change"),
    Told("trending_inference_unrecorded_predictions_total", "change"),
    Told("trending_inference_model_loaded", "min", unit="None"),
    Told("trending_inference_version_broken", "max", unit="None"),
    Told("trending_inference_llm_cost_usd_total", "change", unit="None"),
    Told("trending_monitor_windows_total", "change", by="verdict"),
    Told("trending_monitor_windows_in_a_row", "max"),
    Told("trending_monitor_audit_problems", "max"),
)
"""Few: CloudWatch asks a price for each combination of a name and its labels."""

_POSTPONED = "-retry-"  # part of the topics whose records wait for their time, not for a replica


class MetricLines:
    """What a process has to tell; knows what it told last."""

    def __init__(
        self, registry: CollectorRegistry, *, service: str, namespace: str, clock: Clock
    ) -> None:
        self._registry = registry
        self._service = service
        self._namespace = namespace
        self._clock = clock
        self._counted: dict[tuple[str, str], float] = {}

    def lines(self) -> list[str]:
        """A line for each value of the labels by which metrics are told."""
        groups: dict[tuple[str | None, str], dict[Told, float]] = defaultdict(dict)
        for told, value, found in self._found():
            groups[told.by, value][told] = found
        return [self._line(label, value, found) for (label, value), found in groups.items()]

    def _found(self) -> Iterator[tuple[Told, str, float]]:
        series: dict[str, list[tuple[dict[str, str], float]]] = defaultdict(list)
        for metric in self._registry.collect():
            for sample in metric.samples:
                series[sample.name].append((sample.labels, sample.value))
        for told in TOLD:
            values: dict[str, list[float]] = defaultdict(list)
            for labels, found in series[told.name]:
                if _POSTPONED not in labels.get("topic", "") and math.isfinite(found):
                    values[labels[told.by] if told.by else ""].append(found)
            for value, all_of in values.items():
                yield told, value, self._combined(told, value, all_of)

    def _combined(self, told: Told, value: str, found: list[float]) -> float:
        if told.kind == "max":
            return max(found)
        if told.kind == "min":
            return min(found)
        total = sum(found)
        if told.kind == "sum":
            return total
        before = self._counted.get((told.name, value), 0)
        self._counted[told.name, value] = total
        return max(0, total - before)

    def _line(self, label: str | None, value: str, found: dict[Told, float]) -> str:
        now = self._clock.now()
        dimensions = {"service": self._service} | ({label: value} if label else {})
        told = {
            "Namespace": self._namespace,
            "Dimensions": [list(dimensions)],
            "Metrics": [{"Name": each.name, "Unit": each.unit} for each in found],
        }
        line = {
            "_aws": {"Timestamp": int(now.timestamp() * 1000), "CloudWatchMetrics": [told]},
            **dimensions,
            **{each.name: number for each, number in found.items()},
            "event": "metrics_told",
            "level": "info",
            "timestamp": now.isoformat(),
        }
        return json.dumps(line)


def to_the_log(line: str) -> None:
    """Write a line where the log is written."""
    sys.stderr.write(f"{line}\n")
    sys.stderr.flush()


@asynccontextmanager
async def telling_metrics(
    registry: CollectorRegistry,
    *,
    service: str,
    namespace: str,
    clock: Clock,
    every: timedelta = EVERY,
    write: Callable[[str], None] = to_the_log,
) -> AsyncIterator[None]:
    """Tell them within the block, and what is left at its end; without a namespace nothing."""
    if not namespace:
        yield
        return
    lines = MetricLines(registry, service=service, namespace=namespace, clock=clock)

    def tell() -> None:
        for line in lines.lines():
            write(line)

    async def repeat() -> Never:
        while True:
            tell()
            await asyncio.sleep(every.total_seconds())

    telling = asyncio.create_task(repeat())
    try:
        yield
    finally:
        telling.cancel()
        with suppress(asyncio.CancelledError):
            await telling
        tell()
