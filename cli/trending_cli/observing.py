"""Prometheus beside the house: jobs, rules and alerts of `deploy/prometheus`, at its addresses."""

import json
import shutil
from collections.abc import Mapping
from datetime import timedelta
from pathlib import Path

import yaml

from trending_cli.ports import HOST
from trending_shared.errors import TrendingError

RECIPE = Path(__file__).parents[2] / "deploy" / "prometheus"  # this package is installed editable
DASHBOARDS = RECIPE.parent / "grafana" / "dashboards"
KEPT = "15d"


class PrometheusMissing(TrendingError):
    """There is no Prometheus on this machine; the message says how to get it."""


def find_prometheus(environ: Mapping[str, str]) -> str:
    """Its executable. Raises `PrometheusMissing`."""
    found = shutil.which("prometheus", path=environ.get("PATH", ""))
    if found is None:
        raise PrometheusMissing(
            "Prometheus isn't installed: there is no `prometheus` on the PATH "
            "(Debian: apt-get install prometheus; macOS: brew install prometheus; "
            "others: https://prometheus.io/download/)"
        )
    return found


def prometheus_command(
    executable: str, folder: Path, *, ports: Mapping[str, int], port: int, every: timedelta
) -> list[str]:
    """Write a configuration into a folder, and say how a Prometheus is started that keeps to it.

    Args:
        folder: for the configuration and what is measured; it may have both from an earlier run.
        ports: where the services listen, by name; jobs of others are left out.
        port: where Prometheus is to listen.
        every: how often services are asked and rules evaluated.
    """
    config = yaml.safe_load((RECIPE / "prometheus.yml").read_text())
    seconds = f"{every.total_seconds():.0f}s"
    config["global"] = {"scrape_interval": seconds, "evaluation_interval": seconds}
    config["rule_files"] = [str(RECIPE / pattern) for pattern in config["rule_files"]]
    config["scrape_configs"] = [
        {**job, "static_configs": [{"targets": [f"{HOST}:{ports[job['job_name']]}"]}]}
        for job in config["scrape_configs"]
        if job["job_name"] in ports
    ]
    folder.mkdir(parents=True, exist_ok=True)
    file = folder / "prometheus.yml"
    file.write_text(json.dumps(config, indent=2))  # which is YAML as well
    return [
        executable,
        f"--config.file={file}",
        f"--storage.tsdb.path={folder / 'data'}",
        f"--storage.tsdb.retention.time={KEPT}",
        f"--web.listen-address={HOST}:{port}",
        "--log.level=warn",
    ]
