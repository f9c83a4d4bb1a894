"""What was measured, as a table or as JSON."""

import json
import os
import platform
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import median
from typing import Any

from rich.box import SIMPLE_HEAD
from rich.table import Table


@dataclass(frozen=True)
class Result:
    """How many things a second."""

    name: str
    unit: str
    rates: tuple[float, ...]
    """One a round."""
    cpu_ms: float | None = None
    """CPU time of the measured process for each of them."""
    p50_ms: float | None = None
    p99_ms: float | None = None
    caller_ms: float | None = None
    """CPU time of the load generator for each of them."""
    megabytes: tuple[float, ...] = ()
    """Most memory in use after a quarter, a half and all of the work."""
    references: tuple["Result", ...] = ()

    @property
    def rate(self) -> float:
        return median(self.rates)


def as_json(results: Sequence[Result]) -> str:
    """One document on one line."""
    machine = {
        "cores": os.cpu_count(),
        "system": platform.platform(terse=True),
        "python": platform.python_version(),
    }
    return json.dumps({"machine": machine, "results": [_plain(result) for result in results]})


def _plain(result: Result) -> dict[str, Any]:
    return {
        "name": result.name,
        "unit": result.unit,
        "median": _rounded(result.rate),
        "rounds": [_rounded(rate) for rate in result.rates],
        "cpu_ms": _rounded(result.cpu_ms),
        "p50_ms": _rounded(result.p50_ms),
        "p99_ms": _rounded(result.p99_ms),
        "caller_ms": _rounded(result.caller_ms),
        "megabytes": [_rounded(value) for value in result.megabytes],
        "references": [
            {**_plain(reference), "share": _rounded(result.rate / reference.rate)}
            for reference in result.references
        ],
    }


def as_table(results: Sequence[Result]) -> Table:
    """Each result, and below it what it is compared with."""
    costs = [result.caller_ms for result in results if result.caller_ms is not None]
    caption = (
        "CPU ms: of the process, for each one; share: of the reference's rate; "
        "\nMB: most memory after a quarter, a half and all of the work."
    )
    if costs:
        caption += (
            f"\nThe callers' own CPU time: {min(costs):.2f} to {max(costs):.2f} ms a request."
        )
    table = Table(
        title=f"Medians of {len(results[0].rates)} rounds, on {os.cpu_count()} cores",
        caption=caption,
        title_justify="left",
        caption_justify="left",
        box=SIMPLE_HEAD,
        padding=(0, 1, 0, 0),
    )
    table.add_column("what", no_wrap=True)
    for name in ("a second", "rounds", "share", "CPU ms", "p50 ms", "p99 ms", "MB"):
        table.add_column(name, justify="right", no_wrap=True)
    for result in results:
        table.add_row(f"[bold]{result.name}", *_cells(result))
        for reference in result.references:
            share = f"{result.rate / reference.rate:.0%}"
            table.add_row(f"  {reference.name}", *_cells(reference, share))
    return table


def _cells(result: Result, share: str = "") -> list[str]:
    return [
        f"{result.rate:,.0f}",
        f"{min(result.rates):,.0f}–{max(result.rates):,.0f}",
        share,
        *(
            "" if value is None else f"{value:.2f}"
            for value in (result.cpu_ms, result.p50_ms, result.p99_ms)
        ),
        "–".join(f"{value:.0f}" for value in result.megabytes),
    ]


def _rounded(value: float | None) -> float | None:
    """To four significant digits."""
    return None if value is None else float(f"{value:.4g}")
