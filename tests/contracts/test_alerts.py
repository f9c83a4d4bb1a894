"""Alert rules, dashboards and runbooks against each other, and against the metrics there are."""

import json
import shutil
import subprocess
from collections.abc import Iterator, Mapping
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import yaml
from prometheus_client import CollectorRegistry

from trending_cleaner.metrics import CleanerMetrics
from trending_cli.processes import SERVICES
from trending_featurizer.metrics import FeaturizerMetrics
from trending_inference.metrics import InferenceMetrics
from trending_monitor.metrics import MonitorMetrics
from trending_scraper.metrics import ScheduleMetrics, ScraperMetrics
from trending_shared.probes import describe_process
from trending_shared.progress import DeliveryMetrics
from trending_shared.publishing import KafkaPublisher
from trending_shared.settings import KafkaSettings
from trending_shared.testing.queries import (
    Query,
    operands,
    panel_queries,
    problems,
    recorded,
    rule_queries,
)
from trending_trainer.metrics import TrainerMetrics

ROOT = Path(__file__).parents[2]
RULES = ROOT / "deploy" / "prometheus" / "rules"
UNIT_TESTS = ROOT / "deploy" / "prometheus" / "tests"
DASHBOARDS = ROOT / "deploy" / "grafana" / "dashboards"
RUNBOOKS = ROOT / "docs" / "runbooks"
PROMTOOL = shutil.which("promtool")
needs_promtool = pytest.mark.skipif(
    PROMTOOL is None, reason="promtool isn't installed (Debian: apt-get install prometheus)"
)


def rules() -> list[dict[str, Any]]:
    files = [yaml.safe_load(file.read_text()) for file in sorted(RULES.glob("*.yml"))]
    return [rule for file in files for group in file["groups"] for rule in group["rules"]]


ALERTS = {rule["alert"]: rule for rule in rules() if "alert" in rule}
QUERIES = [*panel_queries(DASHBOARDS), *rule_queries(RULES)]


def promtool(*arguments: str | Path) -> None:
    assert PROMTOOL is not None
    done = subprocess.run([PROMTOOL, *arguments], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


@cache
def exported() -> Mapping[str, frozenset[str]]:
    """Every metric of ours, by each of the names it has in a query, with its labels."""
    registry = CollectorRegistry()
    for metrics in (
        CleanerMetrics,
        DeliveryMetrics,
        FeaturizerMetrics,
        InferenceMetrics,
        MonitorMetrics,
        ScheduleMetrics,
        ScraperMetrics,
        TrainerMetrics,
    ):
        metrics(registry)
    KafkaPublisher(KafkaSettings(), service="a", code_version="1", registry=registry)
    describe_process(registry, service="a", code_version="1")
    scraped = {"job", "instance"}
    known = {"up": frozenset(scraped)}
    for collector in list(registry._collector_to_names):
        labels = {*getattr(collector, "_labelnames", ()), *scraped}
        for metric in collector.collect():
            if metric.type == "histogram":
                known[f"{metric.name}_bucket"] = frozenset(labels | {"le"})
                known |= {f"{metric.name}_{part}": frozenset(labels) for part in ("count", "sum")}
            else:
                name = f"{metric.name}_total" if metric.type == "counter" else metric.name
                known[name] = frozenset(labels)
    return known | recorded(RULES)


@pytest.mark.parametrize("query", QUERIES, ids=lambda query: query.where)
def test_every_panel_and_rule_asks_for_what_there_is(query: Query) -> None:
    assert problems(query, exported()) == []


def test_a_metric_that_was_renamed_breaks_a_panel_and_an_alert_by_name() -> None:
    known = dict(exported())
    known["trending_consumer_stalled"] = known.pop("trending_consumer_stuck")
    assert [each for query in QUERIES for each in problems(query, known)] == [
        "panel 'Stuck consumers' of trending-pipeline asks for trending_consumer_stuck, "
        "which nobody exports",
        "alert ConsumerStuck asks for trending_consumer_stuck, which nobody exports",
    ]


def test_a_label_that_was_renamed_is_named_wherever_a_query_asks_for_it() -> None:
    known = {"hits_total": frozenset({"route"}), "limit": frozenset({"route"})}
    asked = {
        'hits_total{path="/"}': ["path of hits_total"],
        "sum by (path) (rate(hits_total[5m]))": ["path of hits_total"],
        "hits_total > on (path) group_left limit": ["path of hits_total", "path of limit"],
        "sum by (route) (hits_total) / on (route) (limit or vector(0))": [],
        "-max_over_time(hits_total[5m:1m] offset 5m)": [],
    }
    for expr, missing in asked.items():
        assert problems(Query("panel 'Hits'", expr), known) == [
            f"panel 'Hits' asks for the label {each}, which hasn't got it" for each in missing
        ]


def test_what_an_alert_compares_is_told_apart_from_how() -> None:
    assert operands("(sum(a) / b > 0.5 and c == on (x) (2 * d)) or e > 10") == [
        "sum(a) / b",
        "c",
        "2 * d",
        "e",
    ]


@pytest.mark.parametrize("name", ALERTS)
def test_an_alert_says_what_it_means_and_what_to_do(name: str) -> None:
    rule = ALERTS[name]
    assert rule["labels"].keys() == {"severity"}
    assert rule["labels"]["severity"] in ("warning", "critical")
    assert rule["annotations"].keys() == {"summary", "description", "runbook"}
    assert rule["annotations"]["runbook"] == f"docs/runbooks/{name}.md"
    headings = [line for line in (RUNBOOKS / f"{name}.md").read_text().splitlines() if "# " in line]
    assert headings == [
        f"# {name}",
        *(f"## {each}" for each in ("First look", "Likely causes", "What to do", "Over when")),
    ]


def test_there_is_no_runbook_without_an_alert() -> None:
    assert {file.stem for file in RUNBOOKS.glob("*.md")} == {*ALERTS, "README"}
    index = (RUNBOOKS / "README.md").read_text()
    assert all(f"]({name}.md)" in index for name in ALERTS)


def told_by(test: dict[str, Any]) -> Iterator[tuple[str, frozenset[str]]]:
    """The times at which a unit test looks, and the alerts that it expects to be on then."""
    for look in test.get("promql_expr_test", ()):
        labels = " ".join(sample["labels"] for sample in look["exp_samples"])
        yield look["eval_time"], frozenset(name for name in ALERTS if f'"{name}"' in labels)
    for look in test.get("alert_rule_test", ()):
        yield look["eval_time"], frozenset([look["alertname"]] if look["exp_alerts"] else [])


def test_every_alert_is_tested_while_it_is_on_and_while_it_is_off() -> None:
    looks = [
        on
        for file in UNIT_TESTS.glob("*.yml")
        for test in yaml.safe_load(file.read_text())["tests"]
        for _, on in told_by(test)
    ]
    assert frozenset().union(*looks) == frozenset(ALERTS)
    assert all(any(name not in on for on in looks) for name in ALERTS)


@needs_promtool
@pytest.mark.parametrize("file", sorted(UNIT_TESTS.glob("*.yml")), ids=lambda file: file.stem)
def test_alerts_fire_when_they_should_and_only_then(file: Path) -> None:
    promtool("test", "rules", file)


@needs_promtool
def test_prometheus_takes_rules_and_configuration() -> None:
    promtool(
        "check", "config", "--lint=all", "--lint-fatal", ROOT / "deploy/prometheus/prometheus.yml"
    )
    promtool("check", "rules", "--lint=all", "--lint-fatal", *sorted(RULES.glob("*.yml")))


def test_each_service_is_scraped_where_it_listens_as_a_job_of_its_name() -> None:
    config = yaml.safe_load((ROOT / "deploy/prometheus/prometheus.yml").read_text())
    asked = {each["job_name"]: each["static_configs"] for each in config["scrape_configs"]}
    containers = yaml.safe_load((ROOT / "docker-compose.yml").read_text())["services"]
    ports = {name: containers[name]["environment"][f"{name.upper()}_PORT"] for name in SERVICES}
    assert asked == {name: [{"targets": [f"{name}:{port}"]}] for name, port in ports.items()}


def test_panels_are_described_have_units_and_one_source_and_link_to_runbooks() -> None:
    boards = [json.loads(file.read_text()) for file in sorted(DASHBOARDS.glob("*.json"))]
    assert len({board["uid"] for board in boards}) == len(boards) == 6
    linked = set()
    for board in boards:
        panels = board["panels"]
        assert len({panel["id"] for panel in panels}) == len(panels)
        for panel in panels:
            assert panel["description"], panel["title"]
            assert panel["fieldConfig"]["defaults"]["unit"], panel["title"]
            sources = [panel["datasource"], *(each["datasource"] for each in panel["targets"])]
            assert all(source["uid"] == "${datasource}" for source in sources)
            linked |= {Path(link["url"]).stem for link in panel.get("links", ())}
    assert linked <= set(ALERTS)
