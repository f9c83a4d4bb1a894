"""What moto serves of the house, really applied, and what the services' own code does there."""

import json
from collections import Counter
from collections.abc import Callable
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any

import httpx
import pytest
from prometheus_client import CollectorRegistry

from trending_monitor.reports import INSIGHTS, expired, folder_of, is_told
from trending_shared.clock import FrozenClock
from trending_shared.emf import MetricLines
from trending_shared.progress import DeliveryMetrics
from trending_shared.registry import ModelRegistry
from trending_shared.storage import ObjectStore
from trending_shared.testing.filter_patterns import matches
from trending_shared.testing.models import a_graph, promote

pytestmark = [pytest.mark.terraform, pytest.mark.timeout(1800)]
ROOT = Path(__file__).parents[2]
FILTERS = ROOT / "deploy/terraform/modules/observability/filters.json"
ELSEWHERE = {  # what moto doesn't serve, and what happens of it here
    "aws_appautoscaling_policy": "left out: moto can't list the tags of a scalable target",
    "aws_appautoscaling_target": "left out: moto can't list the tags of a scalable target",
    "aws_msk_serverless_cluster": "another is named: moto's clusters never come into being",
    "aws_apprunner_service": "not tried: moto has no App Runner",
}
FORGOTTEN = {  # taken by moto, and not told when asked
    "aws_db_parameter_group": {"parameter"},
    "aws_ecs_service": {
        *("availability_zone_rebalancing", "capacity_provider_strategy", "deployment_controller"),
        *("health_check_grace_period_seconds", "tags"),
    },
    "aws_vpc_security_group_egress_rule": {"description", "referenced_security_group_id"},
    "aws_vpc_security_group_ingress_rule": {"description", "referenced_security_group_id"},
}


def test_the_house_is_applied_but_for_what_moto_lacks(on_moto: Any, terraform: Any) -> None:
    kinds = Counter(each["type"] for each in on_moto.resources)
    assert kinds["aws_ecs_service"] == 6
    assert kinds["aws_s3_bucket"] == kinds["aws_db_instance"] == kinds["aws_lb"] == 1
    assert kinds["aws_cloudwatch_metric_alarm"] > 30
    assert not set(kinds) & set(ELSEWHERE)
    terraform.told.extend(f"not on moto: {kind} ({why})" for kind, why in ELSEWHERE.items())


def test_no_password_is_in_the_state(on_moto: Any) -> None:
    assert "0123456789abcdef01234567" not in on_moto.state
    assert '"aws_db_instance"' in on_moto.state


def test_a_drift_report_is_written_and_found_in_the_bucket(
    on_moto: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in on_moto.environment.items():
        monkeypatch.setenv(name, value)
    bucket = on_moto.outputs["bucket"]
    # Moto takes a policy without its conditions, so what is denied without TLS is denied to all.
    httpx.delete(f"{on_moto.url}/{bucket}?policy").raise_for_status()
    store = ObjectStore.at(f"s3://{bucket}")
    day = date(2026, 10, 31)
    folder = folder_of(day, INSIGHTS)
    assert not is_told(store, day, INSIGHTS)
    for name in ("report.html.gz", "report.json", "told"):
        store.put(f"{folder}/{name}", b"{}")
    assert is_told(store, day, INSIGHTS)
    assert len(expired(store, before=date(2026, 11, 1))) == 3
    assert store.put_new("quotas/demo/a", b"")
    assert not store.put_new("quotas/demo/a", b"")
    version = promote(ModelRegistry(store), a_graph()).version
    pointer = ModelRegistry(store).pointer("genres")
    assert pointer
    assert pointer.version == version


def test_filters_are_there_as_they_were_tried_and_match_what_lies_in_the_log(
    on_moto: Any, counted: Callable[[], Counter[str]]
) -> None:
    wanted = json.loads(FILTERS.read_text())
    found = on_moto.ask("Logs_20140328.DescribeMetricFilters")["metricFilters"]
    assert len(found) == 15
    for each in found:
        (told,) = each["metricTransformations"]
        assert each["filterPattern"] == wanted[told["metricName"]]["pattern"]
        assert told["metricNamespace"] == "TrendingNow/staging"

    registry = CollectorRegistry()
    DeliveryMetrics(registry).expect("titles-scraped")
    now = datetime.now(UTC)
    lines = MetricLines(registry, service="monitor", namespace="H", clock=FrozenClock(now)).lines()
    lines.append('{"event": "day_reported", "drifted": ["genre:Drama"], "service": "monitor"}')
    group = {"logGroupName": "/trending-staging/monitor", "logStreamName": "one"}
    on_moto.ask("Logs_20140328.CreateLogStream", **group)
    at = int(now.timestamp() * 1000)
    on_moto.ask(
        "Logs_20140328.PutLogEvents",
        **group,
        logEvents=[{"timestamp": at, "message": line} for line in lines],
    )
    kept = on_moto.ask("Logs_20140328.GetLogEvents", **group, startFromHead=True)["events"]
    assert [each["message"] for each in kept] == lines
    counts = Counter(
        each["metricTransformations"][0]["metricName"]
        for each in found
        if each["logGroupName"] == group["logGroupName"]
        for event in kept
        if matches(each["filterPattern"], event["message"])
    )
    assert counts == {"ReportsWritten": 1, "ReportsWithDrift": 1}


def test_a_second_plan_changes_only_what_moto_forgets(on_moto: Any) -> None:
    for address, attributes in on_moto.changes.items():
        (kind,) = [one for one in FORGOTTEN if f"{one}." in address]
        assert attributes <= FORGOTTEN[kind], address
