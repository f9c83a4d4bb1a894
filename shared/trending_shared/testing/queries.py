"""What dashboards and rules ask Prometheus, and whether there is anything that could answer."""

import json
import re
from collections.abc import Iterator, Mapping, Set
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import promql_parser as promql
import yaml

Known = Mapping[str, Set[str]]
"""Label names of each metric, by the names that a query would use."""
_COMPARISONS = {"==", "!=", ">", "<", ">=", "<="}
_SETS = {"and", "or", "unless"}
# What Grafana puts in place of its variables; the shortest that a scrape a second can answer.
_INTERVALS = re.compile(r"\$__(rate_interval|interval|range)")


@dataclass(frozen=True, slots=True)
class Query:
    """An expression, and whose it is, as a message would say it."""

    where: str
    expr: str
    alert: bool = False


def panel_queries(folder: Path) -> Iterator[Query]:
    """Every query of every dashboard in a folder."""
    for file in sorted(folder.glob("*.json")):
        document = json.loads(file.read_text())
        for panel in document["panels"]:
            for target in panel["targets"]:
                expr = _INTERVALS.sub("1m", target["expr"])
                yield Query(f"panel {panel['title']!r} of {file.stem}", expr)


def rule_queries(folder: Path) -> Iterator[Query]:
    """Every expression of every rule in a folder."""
    for file in sorted(folder.glob("*.yml")):
        for group in yaml.safe_load(file.read_text())["groups"]:
            for rule in group["rules"]:
                if "alert" in rule:
                    yield Query(f"alert {rule['alert']}", rule["expr"], alert=True)
                else:
                    labels = ", ".join(rule.get("labels", {}).values())
                    yield Query(f"rule {rule['record']} {labels}".strip(), rule["expr"])


def recorded(folder: Path) -> dict[str, frozenset[str]]:
    """The series that the rules of a folder make, with the labels they surely have."""
    known: dict[str, frozenset[str]] = {}
    for file in sorted(folder.glob("*.yml")):
        for group in yaml.safe_load(file.read_text())["groups"]:
            for rule in group["rules"]:
                if "record" in rule:
                    labels = _kept(promql.parse(rule["expr"])) | set(rule.get("labels", {}))
                    known[rule["record"]] = frozenset(labels)
    return known


def operands(expr: str) -> list[str]:
    """What an alert compares: the parts that have a value also while it doesn't fire."""
    return [str(part.prettify()) for part in _operands(promql.parse(expr))]


def problems(query: Query, known: Known) -> list[str]:
    """What a query names that isn't there, each as a sentence that names both."""
    found = []
    for name, labels in sorted(_named(promql.parse(query.expr), frozenset())):
        if name not in known:
            found.append(f"{query.where} asks for {name}, which nobody exports")
        else:
            found += [
                f"{query.where} asks for the label {label} of {name}, which hasn't got it"
                for label in sorted(labels - known[name])
            ]
    return found


def _operands(node: Any) -> Iterator[Any]:
    if isinstance(node, promql.ParenExpr):
        yield from _operands(node.expr)
    elif isinstance(node, promql.BinaryExpr) and str(node.op) in _COMPARISONS | _SETS:
        yield from _operands(node.lhs)
        yield from _operands(node.rhs)
    elif not isinstance(node, promql.NumberLiteral):
        yield node


def _named(node: Any, asked: frozenset[str]) -> Iterator[tuple[str, frozenset[str]]]:
    """Metrics below a node, with the labels that matchers, groupings and joins ask of them."""
    if isinstance(node, promql.VectorSelector):
        yield str(node.name), asked | {matcher.name for matcher in node.matchers.matchers}
    elif isinstance(node, promql.MatrixSelector):
        yield from _named(node.vector_selector, asked)
    elif isinstance(node, promql.AggregateExpr):
        labels = frozenset(node.modifier.labels if node.modifier else ())
        yield from _named(node.expr, asked | labels)
    elif isinstance(node, promql.BinaryExpr):
        matching = node.modifier.matching if node.modifier else None
        labels = frozenset(matching.labels if matching else ())
        yield from _named(node.lhs, asked | labels)
        yield from _named(node.rhs, labels)
    elif isinstance(node, promql.Call):
        for argument in node.args:
            yield from _named(argument, asked)
    elif isinstance(node, promql.ParenExpr | promql.UnaryExpr | promql.SubqueryExpr):
        yield from _named(node.expr, asked)


def _kept(node: Any) -> frozenset[str]:
    """The labels by which an expression's outermost aggregations group."""
    if isinstance(node, promql.AggregateExpr):
        return frozenset(node.modifier.labels if node.modifier else ())
    if isinstance(node, promql.BinaryExpr):
        return _kept(node.lhs)
    if isinstance(node, promql.ParenExpr):
        return _kept(node.expr)
    return frozenset()
