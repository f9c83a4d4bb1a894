"""Prometheus is started with our rules, at the addresses that services have."""

import os
import shutil
import stat
import subprocess
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
import yaml

from trending_cli.observing import RECIPE, PrometheusMissing, find_prometheus, prometheus_command


def test_jobs_of_services_that_run_get_their_ports_and_others_are_left_out(tmp_path: Path) -> None:
    ports = {"cleaner": 20_001, "inference": 20_002}
    command = prometheus_command(
        "prometheus", tmp_path / "new", ports=ports, port=20_003, every=timedelta(seconds=5)
    )
    file = Path(next(each for each in command if "config.file" in each).partition("=")[2])
    config = yaml.safe_load(file.read_text())
    assert {each["job_name"]: each["static_configs"] for each in config["scrape_configs"]} == {
        "cleaner": [{"targets": ["127.0.0.1:20001"]}],
        "inference": [{"targets": ["127.0.0.1:20002"]}],
    }
    assert config["global"] == {"scrape_interval": "5s", "evaluation_interval": "5s"}
    assert config["rule_files"] == [str(RECIPE / "rules" / "*.yml")]
    assert "--web.listen-address=127.0.0.1:20003" in command
    if promtool := shutil.which("promtool"):
        subprocess.run([promtool, "check", "config", file], check=True, capture_output=True)


def test_a_second_start_goes_on_with_what_was_measured(tmp_path: Path) -> None:
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "kept").touch()
    for port in (20_003, 20_004):
        prometheus_command("p", tmp_path, ports={}, port=port, every=timedelta(seconds=5))
    assert (tmp_path / "data" / "kept").exists()


def test_the_executable_of_the_path_is_found(tmp_path: Path) -> None:
    executable = tmp_path / "prometheus"
    executable.touch()
    executable.chmod(executable.stat().st_mode | stat.S_IXUSR)
    assert find_prometheus({"PATH": str(tmp_path)}) == str(executable)


def test_without_it_nothing_is_started_and_what_to_install_is_said(
    offline: Any, tmp_path: Path
) -> None:
    with pytest.raises(PrometheusMissing, match="apt-get install prometheus"):
        find_prometheus({"PATH": str(tmp_path)})
    offline.env["PATH"] = os.fspath(tmp_path)
    said = offline.run("up", "--observe", "--port", "0", status=1).stderr
    assert "apt-get install prometheus" in said
    assert not offline.home.exists()
    found = {each["what"]: each for each in offline.json("doctor", status=1)}["Prometheus"]
    assert (found["ok"], found["needed"]) == (False, False)
