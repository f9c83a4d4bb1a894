"""The report as a page; see `trending_cli.pages`."""

from collections.abc import Mapping, Sequence
from functools import cache

from jinja2 import Template

from trending_cli.pages import template
from trending_cli.quality.judging import LIMITS, shown
from trending_cli.quality.report import SEVERITIES, FieldMeasure, Report

_MARKS = {"error": "✕", "warning": "!", "info": "i", "passed": "✓"}


def write_page(report: Report) -> str:
    return _template().render(
        report=report,
        limits=LIMITS,
        severities=list(reversed(SEVERITIES)),
        findings=[check for check in report.checks if check.severity != "passed"],
        fields=_by_field(report),
    )


@cache
def _template() -> Template:
    return template(
        "quality.html",
        share=lambda value: shown(value, "share"),
        mark=_MARKS.__getitem__,
        top=_top,
    )


def _top(counts: Mapping[str, int], most: int) -> list[tuple[str, int]]:
    """The most frequent, and the others as one."""
    listed = sorted(counts.items(), key=lambda pair: (-pair[1], pair[0]))
    rest = sum(count for _, count in listed[most:])
    return [*listed[:most], *([(f"{len(listed) - most} others", rest)] if rest else [])]


def _by_field(report: Report) -> Sequence[tuple[str, str, Mapping[str, FieldMeasure]]]:
    """What is known of each field, by source: the rows of a table."""
    found: dict[tuple[str, str], dict[str, FieldMeasure]] = {}
    for source, measures in report.sources.items():
        for field in measures.fields:
            if field.records:
                found.setdefault((field.record, field.field), {})[source] = field
    return [(record, name, by_source) for (record, name), by_source in found.items()]
