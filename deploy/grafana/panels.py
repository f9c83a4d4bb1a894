"""The two kinds of panels that our dashboards are made of, and what all of them have in common."""

from collections.abc import Sequence
from dataclasses import dataclass
from string import ascii_uppercase
from typing import TypeVar

from grafana_foundation_sdk.builders import common, dashboard, prometheus, stat, timeseries
from grafana_foundation_sdk.models.common import (
    BigValueGraphMode,
    BigValueTextMode,
    GraphTresholdsStyleMode,
    LegendDisplayMode,
    LegendPlacement,
    VisibilityMode,
)
from grafana_foundation_sdk.models.dashboard import (
    DashboardCursorSync,
    DashboardLinkType,
    DataSourceRef,
    Threshold,
)

Panel = timeseries.Panel | stat.Panel
P = TypeVar("P", timeseries.Panel, stat.Panel)

_TAG = "trending-now"
_DATASOURCE = DataSourceRef(type_val="prometheus", uid="${datasource}")
_RUNBOOKS = "/public/runbooks"  # where the container of Grafana has `docs/runbooks`
_GOOD, _BAD = "green", "red"


@dataclass(frozen=True, slots=True)
class Series:
    """A query, and how each of its series is called, in Grafana's `{{label}}` form."""

    expr: str
    legend: str


def graph(
    title: str,
    description: str,
    *series: Series,
    unit: str,
    bad_from: float | None = None,
    most: float | None = None,
    runbook: str | None = None,
) -> timeseries.Panel:
    """Series over time.

    Args:
        unit: Grafana's name of it.
        bad_from: from where the ground is red.
        most: where the axis ends.
        runbook: the alert that watches over this.
    """
    panel = timeseries.Panel().span(8).height(8).min(0).fill_opacity(10)
    panel.show_points(VisibilityMode.NEVER)
    panel.legend(
        common.VizLegendOptions()
        .show_legend(True)
        .display_mode(LegendDisplayMode.TABLE)
        .placement(LegendPlacement.BOTTOM)
        .calcs(["lastNotNull", "max"])
    )
    if most is not None:
        panel.max(most)
    if bad_from is not None:
        style = common.GraphThresholdsStyleConfig().mode(GraphTresholdsStyleMode.AREA)
        panel.thresholds_style(style)
        # The ground is told apart, not the lines.
        panel.thresholds(_steps((None, "transparent"), (bad_from, _BAD)))
    return _described(panel, title, description, series, unit, runbook)


def number(
    title: str,
    description: str,
    *series: Series,
    unit: str,
    bad_from: float | None = None,
    bad_below: float | None = None,
    runbook: str | None = None,
) -> stat.Panel:
    """Last values, red from or below a limit; a series that has a legend is shown with it."""
    panel = stat.Panel().span(8).height(4).graph_mode(BigValueGraphMode.NONE)
    panel.reduce_options(common.ReduceDataOptions().calcs(["lastNotNull"]))
    panel.text_mode(BigValueTextMode.VALUE_AND_NAME)
    if bad_below is not None:
        panel.thresholds(_steps((None, _BAD), (bad_below, _GOOD)))
    elif bad_from is not None:
        panel.thresholds(_steps((None, _GOOD), (bad_from, _BAD)))
    else:
        panel.thresholds(_steps((None, _GOOD)))
    return _described(panel, title, description, series, unit, runbook)


def board(name: str, title: str, description: str, panels: Sequence[Panel]) -> dashboard.Dashboard:
    """A dashboard of these panels, from left to right and downwards, with links to the others."""
    built = (
        dashboard.Dashboard(f"Trending Now: {title}")
        .uid(f"trending-{name}")
        .description(description)
        .tags([_TAG])
        .readonly()
        .tooltip(DashboardCursorSync.CROSSHAIR)
        .refresh("30s")
        .time("now-6h", "now")
        .timezone("utc")
        .with_variable(
            dashboard.DatasourceVariable("datasource").label("Prometheus").type("prometheus")
        )
        .link(
            dashboard.DashboardLink("Trending Now")
            .type(DashboardLinkType.DASHBOARDS)
            .tags([_TAG])
            .as_dropdown(True)
            .keep_time(True)
        )
    )
    for number, panel in enumerate(panels, start=1):
        built.with_panel(panel.id(number))
    return built


def _described(
    panel: P, title: str, description: str, series: Sequence[Series], unit: str, runbook: str | None
) -> P:
    panel.title(title).description(description).unit(unit).datasource(_DATASOURCE)
    if runbook:
        link = dashboard.DashboardLink(f"Runbook: {runbook}").type(DashboardLinkType.LINK)
        panel.links([link.url(f"{_RUNBOOKS}/{runbook}.md").target_blank(True)])
    for letter, each in zip(ascii_uppercase, series, strict=False):
        query = prometheus.Dataquery().datasource(_DATASOURCE).ref_id(letter)
        panel.with_target(query.expr(each.expr).legend_format(each.legend))
    return panel


def _steps(*steps: tuple[float | None, str]) -> dashboard.ThresholdsConfig:
    return dashboard.ThresholdsConfig().steps(
        [Threshold(value=value, color=color) for value, color in steps]
    )
