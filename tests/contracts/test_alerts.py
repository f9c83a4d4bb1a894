"""Alert rules as Prometheus reads them, and against the metrics that there are."""

import re
import shutil
import subprocess
from pathlib import Path

import pytest
import yaml
from prometheus_client import CollectorRegistry

from trending_inference.metrics import InferenceMetrics

RULES = Path(__file__).parents[2] / "deploy" / "prometheus" / "rules"


def test_every_metric_in_a_rule_exists() -> None:
    registry = CollectorRegistry()
    InferenceMetrics(registry)
    known = {metric.name for metric in registry.collect()}
    groups = yaml.safe_load((RULES / "inference.yml").read_text())["groups"]
    told = [rule["expr"] for group in groups for rule in group["rules"]]
    named = {name for expr in told for name in re.findall(r"trending_\w+", expr)}
    assert named
    assert {name.removesuffix("_total") for name in named} <= known


def test_alerts_fire_when_they_should_and_only_then() -> None:
    promtool = shutil.which("promtool")
    if promtool is None:
        pytest.skip("promtool isn't installed (Debian: apt-get install prometheus)")
    done = subprocess.run(
        [promtool, "test", "rules", str(RULES / "inference.test.yml")],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
