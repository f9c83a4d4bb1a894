"""What CloudWatch is asked for on AWS, against what the services print and count."""

import json
import re
from pathlib import Path
from typing import Any

import pytest
from prometheus_client import CollectorRegistry

from trending_cli.processes import SERVICES
from trending_inference.metrics import InferenceMetrics
from trending_monitor.metrics import MonitorMetrics
from trending_scraper.metrics import ScraperMetrics
from trending_shared.emf import TOLD
from trending_shared.progress import DeliveryMetrics
from trending_shared.publishing import KafkaPublisher
from trending_shared.settings import KafkaSettings
from trending_shared.testing.filter_patterns import compile_pattern, fields
from trending_trainer.metrics import TrainerMetrics

ROOT = Path(__file__).parents[2]
OBSERVABILITY = ROOT / "deploy" / "terraform" / "modules" / "observability"
FILTERS: dict[str, Any] = json.loads((OBSERVABILITY / "filters.json").read_text())
ALARMS: dict[str, Any] = json.loads((OBSERVABILITY / "alarms.json").read_text())
EVENT = re.compile(r'\$\.event = "(\w+)"')
OWN = {
    "inference": InferenceMetrics,
    "monitor": MonitorMetrics,
    "scraper": ScraperMetrics,
    "trainer": TrainerMetrics,
}


def told_by(service: str) -> dict[str, set[str]]:
    """The labels of every metric that a service tells CloudWatch, by its name."""
    registry = CollectorRegistry()
    KafkaPublisher(KafkaSettings(), service=service, code_version="1", registry=registry)
    if service != "inference":
        DeliveryMetrics(registry)
    if service in OWN:
        OWN[service](registry)
    labels = {
        f"{metric.name}_total" if metric.type == "counter" else metric.name: set(
            getattr(collector, "_labelnames", ())
        )
        for collector in list(registry._collector_to_names)
        for metric in collector.collect()
    }
    return {
        each.name: {"service"} | ({each.by} if each.by else set())
        for each in TOLD
        if each.name in labels and ({each.by} if each.by else set()) <= labels[each.name]
    }


def test_each_metric_that_is_told_is_counted_somewhere() -> None:
    known = set().union(*map(told_by, SERVICES))
    assert {each.name for each in TOLD} == known


@pytest.mark.parametrize("name", FILTERS)
def test_a_filter_is_one_that_is_tried_on_printed_lines(name: str) -> None:
    told = FILTERS[name]
    compile_pattern(told["pattern"])
    assert "event" in fields(told["pattern"])
    assert told["of"] in {*SERVICES, "consumers"}
    tests = [*ROOT.glob("tests/**/test_log_filters.py"), *ROOT.glob("tests/*/test_filter*.py")]
    tests.append(ROOT / "tests/trainer/test_supervising.py")
    assert any(f'"{name}": ' in test.read_text() for test in tests)


@pytest.mark.parametrize("name", FILTERS)
def test_the_line_is_printed_by_the_service_whose_log_is_looked_at(name: str) -> None:
    of = FILTERS[name]["of"]
    folder = ROOT / ("shared" if of == "consumers" else f"services/{of}")
    (event,) = EVENT.findall(FILTERS[name]["pattern"])
    assert any(f'"{event}"' in file.read_text() for file in folder.rglob("*.py"))


@pytest.mark.parametrize("name", ALARMS)
def test_an_alarm_asks_for_what_there_is_and_has_a_runbook(name: str) -> None:
    alarm = ALARMS[name]
    if "log" in alarm:
        assert alarm["log"] in FILTERS
    else:
        for service in alarm["of"]:
            assert told_by(service)[alarm["metric"]] == {"service"}
    assert (ROOT / "docs" / "runbooks" / f"{alarm.get('runbook', name)}.md").exists()
    assert alarm["minutes"] * alarm["times"] <= (7 * 24 * 60 if alarm["minutes"] >= 60 else 24 * 60)


def test_a_consumer_and_a_gateway_that_say_nothing_are_missed() -> None:
    silent = [alarm for alarm in ALARMS.values() if alarm.get("missing") == "breaching"]
    missed = {service for alarm in silent for service in alarm.get("of", ())}
    assert missed == set(SERVICES)
