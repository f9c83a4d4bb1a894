"""The command: `python -m benchmarks`."""

import asyncio
import os
import signal
import sys
import tempfile
from collections.abc import Iterator
from collections.abc import Set as AbstractSet
from contextlib import contextmanager
from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from benchmarks.cleaning import measure_cleaning
from benchmarks.events import measure_cleaner, measure_featurizer
from benchmarks.networks import measure_networks
from benchmarks.requests import measure_gateway
from benchmarks.results import Result, as_json, as_table
from benchmarks.rounds import Bench
from benchmarks.scraping import measure_scraper
from benchmarks.watching import measure_monitor
from trending_cli.embedded_kafka import EmbeddedKafka
from trending_shared.errors import TrendingError
from trending_shared.logs import configure_logs
from trending_shared.settings import KafkaSettings, read_settings

progress = Console(stderr=True)


class Name(StrEnum):
    scraper = "scraper"
    cleaning = "cleaning"
    cleaner = "cleaner"
    featurizer = "featurizer"
    gateway = "gateway"
    network = "network"
    monitor = "monitor"


def main(
    only: Annotated[
        list[Name] | None, typer.Option(help="Measure this alone; may be given more than once.")
    ] = None,
    seconds: Annotated[
        float, typer.Option(min=0.5, max=60, help="How long the callers ask in each round.")
    ] = 2.0,
    json: Annotated[bool, typer.Option("--json", help="Print one JSON document instead.")] = False,
) -> None:
    """Pages through the scraper, events through the house, requests through the gateway.

    Takes about seven minutes on two free cores, and needs no network. What the figures mean is
    written in `benchmarks/__init__.py`. KAFKA_BOOTSTRAP_SERVERS may name a Kafka that no house
    lives on.
    """
    signal.signal(signal.SIGTERM, _terminated)  # so that what was started is stopped
    configure_logs(service="benchmarks", level="WARNING")  # on stderr
    names = set(only or Name)
    try:
        with (
            tempfile.TemporaryDirectory(prefix="trending-bench-") as home,
            _bench(home, names) as bench,
        ):
            results = asyncio.run(_measure(bench, names, seconds))
    except TrendingError as error:
        progress.print(f"error: {error}", style="red", highlight=False, markup=False)
        raise typer.Exit(1) from error
    if json:
        sys.stdout.write(f"{as_json(results)}\n")
    else:
        Console().print(as_table(results))


@contextmanager
def _bench(home: str, names: AbstractSet[Name]) -> Iterator[Bench]:
    folder = Path(home)
    if names <= {Name.scraper, Name.cleaning} or os.environ.get("KAFKA_BOOTSTRAP_SERVERS"):
        yield Bench(folder, read_settings(KafkaSettings), _tell)
        return
    with EmbeddedKafka(folder, on_progress=_tell) as kafka:
        settings = KafkaSettings(bootstrap_servers=kafka.address)
        yield Bench(folder, settings, _tell)


async def _measure(bench: Bench, names: AbstractSet[Name], seconds: float) -> list[Result]:
    results: list[Result] = []
    if Name.scraper in names:
        results.append(await asyncio.to_thread(measure_scraper, bench))
    if Name.cleaning in names:
        results.append(await asyncio.to_thread(measure_cleaning, bench))
    if Name.cleaner in names:
        results.append(await measure_cleaner(bench))
    if Name.featurizer in names:
        results.append(await measure_featurizer(bench))
    if Name.gateway in names:
        results += await asyncio.to_thread(measure_gateway, bench, seconds)
    if Name.network in names:
        results += await asyncio.to_thread(measure_networks, bench, seconds)
    if Name.monitor in names:
        results.append(await measure_monitor(bench))
    return results


def _tell(step: str) -> None:
    progress.print(step, style="dim", highlight=False, markup=False)


def _terminated(number: int, _: object) -> None:
    raise SystemExit(128 + number)


if __name__ == "__main__":
    typer.run(main)
