"""`trending drift`: the monitor's reports, asked for."""

import json

import pytest
from typer.testing import CliRunner

from trending_cli.main import app


def test_a_day_on_which_nothing_was_served_has_no_report_and_needs_no_kafka(
    capfd: pytest.CaptureFixture[str],
) -> None:
    result = CliRunner().invoke(app, ["drift", "report", "--day", "2026-11-01", "--json"])
    assert result.exit_code == 0
    assert json.loads(capfd.readouterr().out) == []


def test_a_day_that_is_none_is_refused() -> None:
    assert CliRunner().invoke(app, ["drift", "report", "--day", "yesterday"]).exit_code == 2
