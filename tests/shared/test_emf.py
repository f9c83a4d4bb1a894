"""What CloudWatch is told of a process's metrics."""

import asyncio
import json
from datetime import UTC, datetime, timedelta
from typing import Any

import jsonschema
import pytest
from prometheus_client import CollectorRegistry, Counter, Gauge
from pydantic import ValidationError

from trending_shared.clock import FrozenClock
from trending_shared.emf import TOLD, MetricLines, telling_metrics
from trending_shared.progress import DeliveryMetrics
from trending_shared.settings import ServiceSettings

NOW = datetime(2026, 5, 4, 12, tzinfo=UTC)
TEXT = {"type": "string", "minLength": 1, "maxLength": 1024}
FORMAT = {  # what the embedded metric format's specification asks of a line
    "type": "object",
    "required": ["_aws"],
    "properties": {
        "_aws": {
            "type": "object",
            "required": ["Timestamp", "CloudWatchMetrics"],
            "properties": {
                "Timestamp": {"type": "integer", "minimum": 0},
                "CloudWatchMetrics": {
                    "type": "array",
                    "minItems": 1,
                    "items": {
                        "type": "object",
                        "required": ["Namespace", "Dimensions", "Metrics"],
                        "additionalProperties": False,
                        "properties": {
                            "Namespace": TEXT,
                            "Dimensions": {
                                "type": "array",
                                "minItems": 1,
                                "items": {"type": "array", "maxItems": 30, "items": TEXT},
                            },
                            "Metrics": {
                                "type": "array",
                                "minItems": 1,
                                "maxItems": 100,
                                "items": {
                                    "type": "object",
                                    "required": ["Name"],
                                    "additionalProperties": False,
                                    "properties": {
                                        "Name": TEXT,
                                        "Unit": {"enum": ["Count", "None", "Seconds"]},
                                    },
                                },
                            },
                        },
                    },
                },
            },
        }
    },
}


def told(lines: MetricLines) -> list[dict[str, Any]]:
    return [json.loads(line) for line in lines.lines()]


def a_consumer(registry: CollectorRegistry, **options: Any) -> tuple[DeliveryMetrics, MetricLines]:
    given: dict[str, Any] = {
        "service": "cleaner",
        "namespace": "House/test",
        "clock": FrozenClock(NOW),
    }
    return DeliveryMetrics(registry), MetricLines(registry, **given)


def test_a_line_is_what_the_format_asks_for() -> None:
    metrics, lines = a_consumer(CollectorRegistry())
    metrics.lag.labels("titles-scraped", "0").set(3)
    metrics.expect("titles-scraped")
    found = told(lines)
    assert len(found) == 1 + 5  # one without a label, and one for each outcome
    for line in found:
        jsonschema.validate(line, FORMAT)
        (metrics_of,) = line["_aws"]["CloudWatchMetrics"]
        assert metrics_of["Namespace"] == "House/test"
        assert line["_aws"]["Timestamp"] == NOW.timestamp() * 1000
        for name in metrics_of["Dimensions"][0]:
            assert isinstance(line[name], str)
        for metric in metrics_of["Metrics"]:
            assert isinstance(line[metric["Name"]], float | int)


def test_what_waits_is_added_up_without_what_waits_for_its_time() -> None:
    metrics, lines = a_consumer(CollectorRegistry())
    metrics.lag.labels("titles-scraped", "0").set(3)
    metrics.lag.labels("reviews-scraped", "1").set(4)
    metrics.lag.labels("titles-scraped-cleaner-retry-10s", "0").set(500)
    assert told(lines)[0]["trending_consumer_lag"] == 7


def test_a_counter_is_told_by_what_it_grew() -> None:
    metrics, lines = a_consumer(CollectorRegistry())
    grown = []
    for more in (2, 0, 5):
        metrics.events.labels("titles-scraped", "parked").inc(more)
        (line,) = [each for each in told(lines) if each.get("outcome") == "parked"]
        grown.append(line["trending_events_consumed_total"])
    assert grown == [2, 0, 5]


def test_what_is_no_number_is_not_told() -> None:
    registry = CollectorRegistry()
    Gauge("trending_monitor_audit_problems", "A", registry=registry).set(float("nan"))
    Counter("trending_other_total", "B", registry=registry).inc()
    lines = MetricLines(registry, service="monitor", namespace="H", clock=FrozenClock(NOW))
    assert told(lines) == []


def test_no_metric_has_more_than_two_dimensions_and_none_is_named_twice() -> None:
    assert len({each.name for each in TOLD}) == len(TOLD)
    assert {each.unit for each in TOLD} <= {"Count", "None"}


async def test_it_is_told_again_and_again_and_what_is_left_at_the_end() -> None:
    registry = CollectorRegistry()
    metrics, _ = a_consumer(registry)
    written: list[dict[str, Any]] = []
    thrice = asyncio.Event()

    def write(line: str) -> None:
        written.append(json.loads(line))
        if len(written) == 3:
            thrice.set()

    async with telling_metrics(
        registry,
        service="cleaner",
        namespace="House/test",
        clock=FrozenClock(NOW),
        every=timedelta(),
        write=write,
    ):
        await asyncio.wait_for(thrice.wait(), 30)
        metrics.events.labels("titles-scraped", "handled").inc(4)
    assert sum(line.get("trending_events_consumed_total", 0) for line in written) == 4


async def test_nothing_is_told_without_a_namespace(capsys: pytest.CaptureFixture[str]) -> None:
    registry = CollectorRegistry()
    a_consumer(registry)
    async with telling_metrics(registry, service="cleaner", namespace="", clock=FrozenClock(NOW)):
        await asyncio.sleep(0)
    assert capsys.readouterr().err == ""


def test_a_namespace_is_one_that_cloudwatch_takes() -> None:
    assert ServiceSettings().metrics_emf_namespace == ""
    with pytest.raises(ValidationError, match="METRICS_EMF_NAMESPACE"):
        ServiceSettings.model_validate({"METRICS_EMF_NAMESPACE": "a space"})
