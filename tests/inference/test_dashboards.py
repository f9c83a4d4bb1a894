"""Grafana's panels on our own page: read, asked, drawn."""

import math
from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from trending_inference.dashboards import (
    MOST_LINES,
    Answered,
    Dashboards,
    Panel,
    draw,
    in_unit,
    name_of,
    read_dashboards,
    with_intervals,
)
from trending_inference.settings import InferenceSettings
from trending_shared.errors import SettingInvalid

FOLDER = Path(__file__).parents[2] / "deploy" / "grafana" / "dashboards"


def a_panel(*steps: tuple[float | None, str], kind: str = "timeseries") -> Panel:
    return Panel.model_validate(
        {
            "type": kind,
            "title": "Lag",
            "description": "Records that wait.",
            "targets": [{"expr": "lag"}],
            "fieldConfig": {
                "defaults": {
                    "unit": "short",
                    "thresholds": {
                        "steps": [{"value": value, "color": color} for value, color in steps]
                    },
                }
            },
        }
    )


def drawn(panel: Panel, **series: list[float]) -> Answered:
    """One value a second."""
    found = [(name, list(enumerate(map(float, values)))) for name, values in series.items()]
    return draw(
        panel, [(name, [(float(at), v) for at, v in p]) for name, p in found], start=0, end=4
    )


def test_our_dashboards_can_be_read() -> None:
    boards = read_dashboards(FOLDER)
    assert {"pipeline", "gateway", "drift", "model-quality"} <= set(boards)
    assert all(panel.targets for board in boards.values() for panel in board.panels)
    [stuck] = [each for each in boards["pipeline"].panels if each.title == "Stuck consumers"]
    assert stuck.bad == (1.0, math.inf)
    [services] = [each for each in boards["pipeline"].panels if each.title == "Services"]
    assert services.bad == (-math.inf, 1.0)


@pytest.mark.parametrize("content", [None, "{", '{"title": "x"}'])
def test_a_folder_without_dashboards_stops_the_process(tmp_path: Path, content: str | None) -> None:
    if content:
        (tmp_path / "a.json").write_text(content)
    with pytest.raises(SettingInvalid, match="INFERENCE_DASHBOARDS"):
        Dashboards("http://127.0.0.1:1", tmp_path)


@pytest.mark.parametrize(
    "given",
    [
        {"prometheus_url": "http://127.0.0.1:9090"},
        {"dashboards": FOLDER},
        {"prometheus_url": "127.0.0.1:9090", "dashboards": FOLDER},
    ],
)
def test_settings_that_lack_half_are_refused(given: dict[str, Any]) -> None:
    with pytest.raises(ValidationError, match="INFERENCE_PROMETHEUS_URL"):
        InferenceSettings.model_validate(given)


def test_grafanas_variables_become_seconds() -> None:
    expr = "rate(a[$__rate_interval]) + max_over_time(b[$__range:$__interval])"
    asked = with_intervals(expr, rate=60, step=20, span=3600)
    assert asked == "rate(a[60s]) + max_over_time(b[3600s:20s])"


def test_series_are_called_by_their_labels() -> None:
    labels = {"__name__": "lag", "job": "cleaner", "topic": "{{job}}"}
    assert name_of("{{job}} {{ topic }} {{none}}", labels) == "cleaner {{job}}"
    assert name_of("", labels) == "cleaner, {{job}}"
    assert name_of("threshold", labels) == "threshold"


def test_lines_begin_anew_behind_a_gap_and_the_highest_comes_first() -> None:
    seen = drawn(a_panel(), low=[1, 1, 1, 1, 1], high=[10, 20, math.nan, 20, 19], none=[math.nan])
    assert [line.name for line in seen.lines] == ["high", "low"]
    high, low = seen.lines
    assert seen.top == 21
    assert high.segments == ("0.00,52.38 25.00,4.76", "75.00,4.76 100.00,9.52")
    assert (high.last, high.most) == (19, 20)
    assert len(low.segments) == 1


def test_a_step_left_out_is_a_gap_and_a_single_point_is_drawn() -> None:
    points = [(0.0, 1.0), (1.0, 1.0), (4.0, 1.0)]
    [line] = draw(a_panel(), [("a", points)], start=0, end=4).lines
    assert line.segments == ("0.00,4.76 25.00,4.76", "100.00,4.76 100.00,4.76")


def test_what_is_bad_is_told_and_its_limit_is_in_sight() -> None:
    panel = a_panel((None, "transparent"), (10, "red"))
    seen = drawn(panel, fine=[8, 9], bad=[10, 11], gone=[12, math.nan])
    assert {line.name: (line.bad, line.last) for line in seen.lines} == {
        "fine": (False, 9),
        "bad": (True, 11),
        "gone": (False, None),
    }
    assert seen.limit == pytest.approx(100 - 100 * 10 / 12.6, abs=0.01)
    assert drawn(panel, far=[1, 1]).limit is None, "a limit far off would flatten the line"


def test_series_too_many_to_tell_apart_are_counted() -> None:
    seen = drawn(a_panel(), **{f"s{n}": [n, float(n)] for n in range(MOST_LINES + 3)})
    assert len(seen.lines) == MOST_LINES
    assert seen.more == 3
    assert seen.lines[0].name == f"s{MOST_LINES + 2}"


@pytest.mark.parametrize(
    ("value", "unit", "told"),
    [
        (0.0123, "s", "12.3 ms"),
        (0, "s", "0 s"),
        (90, "s", "1.5 min"),
        (7200, "s", "2 h"),
        (172_800, "s", "2 d"),
        (0.125, "percentunit", "12.5 %"),
        (1536, "bytes", "1.5 KiB"),
        (0.0004, "currencyUSD", "$0.0004"),
        (1234.5, "currencyUSD", "$1,234.50"),
        (1500, "cps", "1.5 k/s"),
        (12, "none", "12"),
        (2_500_000, "short", "2.5 M"),
    ],
)
def test_values_are_told_in_their_unit(value: float, unit: str, told: str) -> None:
    assert in_unit(value, unit) == told


async def test_a_prometheus_that_is_away_is_said_panel_by_panel(world: Any) -> None:
    async with world.client(prometheus_url="http://127.0.0.1:1", dashboards=FOLDER) as client:
        answer = await client.get("/operate/dashboards/drift?span=never")
        assert answer.status_code == 200
        boards = read_dashboards(FOLDER)
        assert answer.text.count("Prometheus doesn’t answer this") == len(boards["drift"].panels)
        assert (await client.get("/operate/dashboards/none")).status_code == 404
        assert "/operate/dashboards/pipeline" in (await client.get("/operate")).text


async def test_without_a_prometheus_there_are_no_dashboards(world: Any) -> None:
    async with world.client() as client:
        assert (await client.get("/operate/dashboards/drift")).status_code == 404
        assert "/operate/dashboards" not in (await client.get("/operate")).text
