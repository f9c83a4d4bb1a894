"""What comes of more requests than can be answered: `python -m benchmarks.overload`.

Each server is first called by 64 callers who wait for their answers: what it does then is its
capacity. Then requests come by themselves, at half of that and up to three times as much, whether
or not earlier ones were answered, and give up after half a second. Of use is what was answered by
then. The gateway is told how long its callers wait, as any caller may tell it; its peers have no
such thing, and their own limits are left as they come. Servers give way to the load generator,
which would be slowed down by what it overloads.
"""

import signal
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Annotated

import typer
from pydantic import BaseModel
from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.table import Table

from benchmarks.arrivals import PATIENCE, Arrivals, Arrived
from benchmarks.requests import ANSWERED, PATH, WORKERS, Target, distinct, train_and_promote
from benchmarks.rounds import Bench, MeasurementFailed
from trending_cli.embedded_kafka import EmbeddedKafka
from trending_demo.catalogue import demo_catalogue
from trending_shared.errors import TrendingError
from trending_shared.logs import configure_logs
from trending_shared.settings import KafkaSettings

CALLERS = 64
FACTORS = (0.5, 0.8, 1.0, 1.5, 2.0, 3.0)
GIVE_UP = 0.5  # seconds
WARM_UP = 3.0  # seconds
NICENESS = 5  # of the servers: a crowd elsewhere doesn't slow down with what it calls

progress = Console(stderr=True)


class Level(BaseModel):
    """A server at one level of arrivals."""

    factor: float
    """Arrivals as a multiple of capacity."""
    arrived: Arrived

    @property
    def offered(self) -> float:
        return self.arrived.asked / self.arrived.seconds

    @property
    def good(self) -> float:
        """Answers of use a second."""
        return self.arrived.good / self.arrived.seconds


class Curve(BaseModel):
    """A server from little to too much."""

    server: str
    capacity: float
    """Answers a second to callers who wait."""
    levels: list[Level]


def main(
    seconds: Annotated[float, typer.Option(min=1, max=60, help="Of arrivals at each level.")] = 5.0,
    plot: Annotated[Path | None, typer.Option(help="Draw it: a file .svg or .png.")] = None,
    json: Annotated[bool, typer.Option("--json", help="Print one JSON document instead.")] = False,
) -> None:
    """The gateway, Mosec and FastAPI while more is asked of them than they can do."""
    signal.signal(signal.SIGTERM, lambda number, _: sys.exit(128 + number))
    configure_logs(service="benchmarks", level="WARNING")
    try:
        with tempfile.TemporaryDirectory(prefix="trending-bench-") as home:
            folder = Path(home)
            with EmbeddedKafka(folder, on_progress=_tell) as kafka:
                settings = KafkaSettings(bootstrap_servers=kafka.address)
                curves = _measure(Bench(folder, settings, _tell, NICENESS), seconds)
    except TrendingError as error:
        progress.print(f"error: {error}", style="red", highlight=False, markup=False)
        raise typer.Exit(1) from error
    if plot:
        draw(curves, plot)
    if json:
        found = ",".join(curve.model_dump_json() for curve in curves)
        sys.stdout.write(f"[{found}]\n")
    else:
        Console().print(as_table(curves))


def _measure(bench: Bench, seconds: float) -> list[Curve]:
    file = bench.home / "model.onnx"
    file.write_bytes(train_and_promote(bench))
    bodies = distinct([title.plot for title in demo_catalogue().titles])
    with ExitStack() as stack:
        started = {
            "gateway": Target(
                stack.enter_context(bench.service("inference", workers=WORKERS)),
                bodies,
            )
        }
        for name, module, expect in (
            ("Mosec", "peer_mosec", ANSWERED),
            ("FastAPI, as most write it", "peer_fastapi", ANSWERED),
        ):
            process = bench.process(module, f"benchmarks.{module}", str(file), workers=WORKERS)
            started[name] = Target(stack.enter_context(process), bodies, expect)
        return [_curve(bench, name, target, seconds) for name, target in started.items()]


def _curve(bench: Bench, name: str, target: Target, seconds: float) -> Curve:
    target.wait_until_it_answers()
    bench.tell(f"{name}: capacity")
    target.go(CALLERS, WARM_UP)
    outcome = target.go(CALLERS, seconds)
    capacity = outcome.answers / outcome.seconds
    levels = []
    for factor in FACTORS:
        bench.tell(f"{name}: arrivals at {factor} of {capacity:,.0f} a second")
        levels.append(Level(factor=factor, arrived=_arrive(target, factor * capacity, seconds)))
    return Curve(server=name, capacity=capacity, levels=levels)


def _arrive(target: Target, per_second: float, seconds: float) -> Arrived:
    arrivals = Arrivals(
        port=target.running.port,
        path=PATH,
        bodies=list(target.bodies),
        first=target.asked,
        per_second=per_second,
        seconds=seconds,
        patience=GIVE_UP,
    )
    called = subprocess.run(
        [sys.executable, "-m", "benchmarks.arrivals"],
        input=arrivals.model_dump_json(),
        capture_output=True,
        text=True,
        timeout=10 * seconds + 3 * PATIENCE,
    )
    if called.returncode:
        raise MeasurementFailed(f"{target.running.name}: {called.stderr.strip()[-500:]}")
    arrived = Arrived.model_validate_json(called.stdout)
    target.asked += arrived.asked
    return arrived


def as_table(curves: Sequence[Curve]) -> Table:
    table = Table(
        title=f"Arrivals that give up after {GIVE_UP:g} s",
        caption="of use: 200 within that time, and as a share of the capacity.",
        title_justify="left",
        caption_justify="left",
        box=SIMPLE_HEAD,
        padding=(0, 1, 0, 0),
    )
    table.add_column("", no_wrap=True)
    for name in (
        "arrive/s",
        "of use/s",
        "share",
        "p99 ms",
        "refused/s",
        "p99 ms",
        "late",
        "failed",
    ):
        table.add_column(name, justify="right", no_wrap=True)
    for curve in curves:
        table.add_row(f"[bold]{curve.server}", f"capacity {curve.capacity:,.0f}")
        for level in curve.levels:
            one = level.arrived
            table.add_row(
                f"  {level.factor:g} ×",
                f"{level.offered:,.0f}",
                f"{level.good:,.0f}",
                f"{level.good / curve.capacity:.0%}",
                _milliseconds(one.good_p99_ms),
                f"{one.refused / one.seconds:,.0f}",
                _milliseconds(one.refused_p99_ms),
                f"{one.late:,}",
                f"{one.failed:,}",
            )
    return table


def _milliseconds(value: float | None) -> str:
    return "" if value is None else f"{value:,.0f}"


def draw(curves: Sequence[Curve], file: Path) -> None:
    """Answers of use and times of answers over arrivals, both as multiples of capacity."""
    import matplotlib.pyplot as plt  # for this alone

    figure, (rates, times) = plt.subplots(1, 2, figsize=(10, 4), layout="constrained")
    for curve in curves:
        factors = [level.factor for level in curve.levels]
        shares = [level.good / curve.capacity for level in curve.levels]
        (line,) = rates.plot(factors, shares, marker="o", label=curve.server)
        took = [level.arrived.good_p99_ms for level in curve.levels]
        times.plot(factors, took, marker="o", color=line.get_color(), label=curve.server)
        if any(level.arrived.refused for level in curve.levels):
            refused = [level.arrived.refused_p99_ms for level in curve.levels]
            times.plot(factors, refused, marker="x", linestyle=":", color=line.get_color())
    rates.plot([0, 1, max(FACTORS)], [0, 1, 1], color="0.7", linewidth=1, zorder=0)
    rates.set(
        xlabel="arrivals, as a multiple of capacity",
        ylabel=f"answered within {GIVE_UP:g} s, of capacity",
        ylim=(0, 1.1),
    )
    times.set(
        xlabel="arrivals, as a multiple of capacity",
        ylabel="99th percentile, ms (dotted: of refusals)",
        yscale="log",
    )
    rates.legend(frameon=False)
    for axes in (rates, times):
        axes.spines[["top", "right"]].set_visible(False)
    figure.savefig(file)


def _tell(step: str) -> None:
    progress.print(step, style="dim", highlight=False, markup=False)


if __name__ == "__main__":
    typer.run(main)
