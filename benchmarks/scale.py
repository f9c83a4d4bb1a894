"""Events a second of 1, 2 and 4 replicas of each service, and of very many: `make scale`.

Each service is started as so many processes in one consumer group, on topics of twelve partitions
and on an empty store; a backlog is put before them while they stand still, and the clock runs until
it is committed. The gateway has workers instead of replicas, and callers instead of a backlog.
What one replica did, and how long it takes to write alone, is all that the model is told
(`scale_model`). Beside what two and four did stands what it says of them on this machine's cores.
Then it says what a thousand would do, each on a core of its own.

The trainer isn't measured: a run is one process of minutes, and replicas take one each.
"""

import asyncio
import os
import signal
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from itertools import islice
from pathlib import Path
from typing import Annotated, Any

import psutil
import typer
from prometheus_client import CollectorRegistry
from pydantic import BaseModel
from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.table import Table

from benchmarks.events import Kafka, connected
from benchmarks.inputs import Record, as_records, cleaned_titles, scraped_titles
from benchmarks.requests import Target, distinct, train_and_promote
from benchmarks.rounds import Bench, MeasurementFailed, Running
from benchmarks.scale_model import Shared, Work, bound, grow, play, worth
from benchmarks.watching import WINDOW, register, served
from trending_cleaner.schemas import TITLES, row_of
from trending_cli.embedded_kafka import EmbeddedKafka
from trending_demo.catalogue import demo_catalogue
from trending_featurizer.entries import Entries
from trending_featurizer.metrics import FeaturizerMetrics
from trending_featurizer.trend_keeping import TrendKeeper
from trending_monitor.windows import PredictionWindows
from trending_shared.backlog import describe_groups
from trending_shared.catalog import Catalog
from trending_shared.clock import SystemClock
from trending_shared.errors import TrendingError
from trending_shared.events import PredictionServed, ScrapeJob, TitleCleaned, TitleScraped
from trending_shared.imports import keep_part, part_job
from trending_shared.logs import configure_logs
from trending_shared.messages import Position, first_message
from trending_shared.settings import CommonSettings, KafkaSettings
from trending_shared.storage import ObjectStore
from trending_shared.tables import OffsetTable
from trending_shared.testing import CollectingPublisher
from trending_shared.topics import all_event_topics, ensure_topics

PARTITIONS = 12
REPLICAS = (1, 2, 4)
MANY = (1, 2, 4, 8, 16, 32, 64, 128, 256, 512, 1000)
ROWS = 100  # of a part of an imported file
GATEWAY = "inference"  # callers are in the place of the broker, and elsewhere in the end
CALLERS = 32
CALLED = 4.0  # seconds
TRIES = 5  # to write, of which the median counts
RETRIED = b"stamina.retry_scheduled"

progress = Console(stderr=True)


@dataclass(frozen=True)
class Load:
    """What a service is given.

    Args:
        per: events for each record, as they are counted.
        batch: events that a replica takes together.
        write: seconds to write one batch alone, where replicas write together.
    """

    service: str
    unit: str
    topic: str
    records: Callable[[Bench, int], Sequence[Record]]
    count: int
    batch: int
    shared: Shared = Shared.nothing
    write: Callable[[Path], float] | None = None
    per: int = 1
    settings: tuple[tuple[str, object], ...] = ()


class Point(BaseModel):
    """So many replicas, as they were measured."""

    replicas: int
    rate: float
    cpu_ms: float
    """Of all replicas, for an event."""
    broker_ms: float
    waiting: float
    """The share of their time in which replicas used no core."""
    retries: int
    """Commits that another replica's were in the way of, after Delta's own attempts."""
    played: float
    """The rate that the model says."""

    @property
    def error(self) -> float:
        return self.played / self.rate - 1


class Curve(BaseModel):
    """A service, measured and played out."""

    service: str
    unit: str
    batch: int
    wait_ms: float
    write_ms: float
    points: list[Point]
    many: dict[int, float]
    """The rate of so many replicas, with as many partitions and a core each."""
    worth: int
    """The most replicas of which each still does half of what one does alone."""
    bound: str


@dataclass(frozen=True)
class Replicas:
    """Processes of one group, which `benchmarks.events` takes for one."""

    name: str
    all: Sequence[Running]

    def check(self) -> None:
        for one in self.all:
            one.check()

    def cpu_seconds(self) -> float:
        return sum(one.cpu_seconds() for one in self.all)

    def retries(self) -> int:
        return sum(log.read_bytes().count(RETRIED) for log in {one.log for one in self.all})

    @contextmanager
    def standing_still(self) -> Iterator[None]:
        with ExitStack() as stack:
            for one in self.all:
                stack.enter_context(one.standing_still())
            yield


def main(
    only: Annotated[list[str] | None, typer.Option(help="Only this service.")] = None,
    plot: Annotated[Path | None, typer.Option(help="Draw it: a file .svg or .png.")] = None,
    share: Annotated[
        float, typer.Option(min=0.05, max=10, help="Of the usual number of events.")
    ] = 1.0,
    json: Annotated[bool, typer.Option("--json", help="Print one JSON document instead.")] = False,
) -> None:
    """Services by the number of their replicas, measured here and played out beyond."""
    signal.signal(signal.SIGTERM, lambda number, _: sys.exit(128 + number))
    configure_logs(service="benchmarks", level="CRITICAL")
    os.environ["KAFKA_PARTITIONS"] = str(PARTITIONS)  # for the services
    try:
        with tempfile.TemporaryDirectory(prefix="trending-scale-") as home:
            folder = Path(home)
            with EmbeddedKafka(folder, on_progress=_tell) as kafka:
                settings = KafkaSettings(bootstrap_servers=kafka.address, partitions=PARTITIONS)
                bench = Bench(folder, settings, _tell)
                assert kafka.pid is not None
                curves = asyncio.run(_measure(bench, psutil.Process(kafka.pid), only, share))
    except TrendingError as error:
        progress.print(f"error: {error}", style="red", highlight=False, markup=False)
        raise typer.Exit(1) from error
    if plot:
        draw(curves, plot)
    if json:
        sys.stdout.write(f"[{','.join(curve.model_dump_json() for curve in curves)}]\n")
    else:
        Console().print(as_table(curves))
        Console().print(as_projection(curves))


# ---------------------------------------------------------------- what they are given


def _loads() -> Sequence[Load]:
    scraped, cleaned = scraped_titles(), cleaned_titles()

    def take(messages: Iterator[Any]) -> Callable[[Bench, int], Sequence[Record]]:
        return lambda bench, count: as_records(list(islice(messages, count)))

    predictions: dict[Path, Iterator[Any]] = {}

    def judged(bench: Bench, count: int) -> Sequence[Record]:
        if bench.home not in predictions:
            predictions[bench.home] = served(register(bench))
        return as_records(list(islice(predictions[bench.home], count)))

    return (
        Load("scraper", "titles", ScrapeJob.topic, _parts(), 6000, 8 * ROWS, per=ROWS,
             settings=(("sources", "csv"),)),
        Load("cleaner", "titles", TitleScraped.topic, take(scraped), 6000, 500, Shared.log,
             _write_titles),
        Load("featurizer", "titles", TitleCleaned.topic, take(cleaned), 600, 64, Shared.lock,
             _write_entries,
             settings=(("threads", 1), ("batch_size", 64), ("snapshot_titles", 10**9))),
        Load("monitor", "predictions", PredictionServed.topic, judged, 12_000, 500, Shared.lock,
             _write_predictions, settings=(("window_size", WINDOW),)),
    )  # fmt: skip


def _parts() -> Callable[[Bench, int], Sequence[Record]]:
    """Jobs to read parts of a file: what a scraper does beside waiting for sites."""
    told = scraped_titles()

    def records(bench: Bench, count: int) -> Sequence[Record]:
        store = ObjectStore.at((bench.home / "store").as_uri())
        messages = []
        for _ in range(count // ROWS):
            rows = [",".join(_COLUMNS)]
            for message in islice(told, ROWS):
                raw = message.event.title
                values = (message.event.source_id, raw.kind, raw.name, raw.year, "", raw.plot)
                rows.append(",".join('"{}"'.format(str(v).replace('"', '""')) for v in values))
            id, job = part_job("csv", keep_part(store, "\n".join(rows).encode()))
            messages.append(first_message(job, id=id))
        return as_records(messages)

    return records


_COLUMNS = ("show_id", "type", "title", "release_year", "listed_in", "description")


# ---------------------------------------------------------------- how long they write


def _write_titles(home: Path) -> float:
    """A commit, its rows not counted: those are written before, and by all at once."""
    table = OffsetTable(home.as_uri(), "titles", schema=TITLES, owner="cleaner")
    (message,) = islice(cleaned_titles(), 1)
    row = row_of(message, message.event, code_version="1")
    return _median(lambda n: table.append([(Position("scale", 0, n), row)]))


def _write_entries(home: Path) -> float:
    """The transactions of a batch of titles: the entries, and the trends."""
    batches = _batches(cleaned_titles(), 64)
    metrics, clock = FeaturizerMetrics(CollectorRegistry()), SystemClock()
    with asyncio.Runner() as runner:
        catalog = Catalog(CommonSettings(trending_home=home).catalog)
        keeper = TrendKeeper(catalog, publisher=CollectingPublisher(), clock=clock, metrics=metrics)
        entries = Entries(catalog, metrics)

        async def write(number: int) -> None:
            titles = [message.event for message in batches[number]]
            await entries.write_titles(titles, ["0" * 16] * len(titles))
            await keeper.measure([title.title_id for title in titles], keeper.today())

        runner.run(catalog.create())
        seconds = _median(lambda n: runner.run(write(n)))
        runner.run(catalog.close())
    return seconds


def _write_predictions(home: Path) -> float:
    batches = _batches(served("1"), 500)
    with asyncio.Runner() as runner:
        catalog = Catalog(CommonSettings(trending_home=home).catalog)
        windows = PredictionWindows(catalog, size=WINDOW)
        runner.run(catalog.create())
        seconds = _median(lambda n: runner.run(windows.record(batches[n])))
        runner.run(catalog.close())
    return seconds


def _batches(messages: Iterator[Any], size: int) -> list[list[Any]]:
    return [list(islice(messages, size)) for _ in range(TRIES + 1)]


def _median(write: Callable[[int], object]) -> float:
    write(0)  # makes the table
    seconds = []
    for number in range(1, TRIES + 1):
        began = time.perf_counter()
        write(number)
        seconds.append(time.perf_counter() - began)
    return sorted(seconds)[TRIES // 2]


# ---------------------------------------------------------------- measuring


async def _measure(
    bench: Bench, broker: psutil.Process, only: Sequence[str] | None, share: float
) -> list[Curve]:
    curves = []
    await ensure_topics(all_event_topics(partitions=PARTITIONS), bench.kafka.connection, 1)
    async with connected(bench) as kafka:
        for load in _loads():
            if not only or load.service in only:
                curves.append(await _curve(kafka, broker, load, share))
    if not only or GATEWAY in only:
        curves.append(await asyncio.to_thread(_gateway, bench, share))
    return curves


async def _curve(kafka: Kafka, broker: psutil.Process, load: Load, share: float) -> Curve:
    write = 0.0
    if load.write:
        with tempfile.TemporaryDirectory(prefix="trending-scale-") as home:
            write = await asyncio.to_thread(load.write, Path(home))
    points = [await _point(kafka, broker, load, replicas, share) for replicas in REPLICAS]
    return _told(load.service, load.unit, load.batch, load.shared, write, points)


async def _point(
    kafka: Kafka, broker: psutil.Process, load: Load, replicas: int, share: float
) -> Point:
    home = kafka.bench.home / f"{load.service}-{replicas}"
    home.mkdir()
    bench = replace(kafka.bench, home=home)
    bench.tell(f"{load.service}: {replicas} of it")
    count = max(load.batch, int(load.count * share)) // load.per * load.per
    warm_up, backlog = load.records(bench, count // 4), load.records(bench, count)
    await kafka.skip_backlog(load.service, load.topic)
    with ExitStack() as stack:
        started = [
            stack.enter_context(
                bench.process(load.service, f"trending_{load.service}", **dict(load.settings))
            )
            for _ in range(replicas)
        ]
        for one in started:
            await asyncio.to_thread(one.wait_until_ready)
        running: Any = Replicas(load.service, started)
        await _until_shared(kafka, load.service, replicas)
        ends = await kafka.send(load.topic, warm_up)
        await kafka.wait_until_committed(running, load.service, ends)
        with running.standing_still():
            ends = await kafka.send(load.topic, backlog)
            cpu, broker_cpu = running.cpu_seconds(), _cpu(broker)
        began = time.perf_counter()
        await kafka.wait_until_committed(running, load.service, ends)
        seconds = time.perf_counter() - began
        cpu, broker_cpu = running.cpu_seconds() - cpu, _cpu(broker) - broker_cpu
        retries = running.retries()
    return Point(
        replicas=replicas,
        rate=count / seconds,
        cpu_ms=1000 * cpu / count,
        broker_ms=1000 * broker_cpu / count,
        waiting=max(0.0, 1 - cpu / (seconds * replicas)),
        retries=retries,
        played=0,
    )


def _cpu(process: psutil.Process) -> float:
    times = process.cpu_times()
    return float(times.user + times.system)


async def _until_shared(kafka: Kafka, group: str, replicas: int) -> None:
    """Until all members have their share of the partitions."""
    deadline = time.monotonic() + 120
    while True:
        groups = {each.name: each for each in await describe_groups(kafka.admin)}
        found = groups.get(group)
        if found and (found.state, found.members) == ("Stable", replicas):
            return
        if time.monotonic() > deadline:
            raise MeasurementFailed(f"{group} doesn't have {replicas} members, but {found}")
        await asyncio.sleep(0.1)


def _gateway(bench: Bench, share: float) -> Curve:
    train_and_promote(bench)
    bodies = distinct([title.plot for title in demo_catalogue().titles])
    points = []
    for workers in REPLICAS:
        bench.tell(f"inference: {workers} workers")
        with bench.service(GATEWAY, workers=workers) as running:
            target = Target(running, bodies)
            target.wait_until_it_answers()
            target.go(CALLERS, CALLED / 4)
            outcome = target.go(CALLERS, CALLED * min(1.0, share))
            cpu = target.cpu_seconds[CALLERS][-1]
        points.append(
            Point(
                replicas=workers,
                rate=outcome.answers / outcome.seconds,
                cpu_ms=1000 * cpu / outcome.answers,
                broker_ms=1000 * outcome.cpu_seconds / outcome.answers,  # of the callers
                waiting=max(0.0, 1 - cpu / (outcome.seconds * workers)),
                retries=0,
                played=0,
            )
        )
    return _told(GATEWAY, "requests", 100, Shared.nothing, 0.0, points)


# ---------------------------------------------------------------- what follows


def _told(
    service: str, unit: str, batch: int, shared: Shared, write: float, points: Sequence[Point]
) -> Curve:
    alone = points[0]
    cpu = alone.cpu_ms / 1000
    wait = max(0.0, batch / alone.rate - batch * cpu - write)
    work = Work(batch, cpu, alone.broker_ms / 1000, wait, shared, write)
    cores = os.cpu_count() or 1
    played = [
        play(work, replicas=point.replicas, partitions=PARTITIONS, cores=cores) for point in points
    ]
    there = replace(work, broker=0.0) if service == GATEWAY else work
    many = grow(there, MANY)
    return Curve(
        service=service,
        unit=unit,
        batch=batch,
        wait_ms=1000 * wait,
        write_ms=1000 * write,
        points=[
            point.model_copy(update={"played": one.rate})
            for point, one in zip(points, played, strict=True)
        ],
        many={one.replicas: one.rate for one in many},
        worth=worth(many),
        bound=bound(there, many[-1]),
    )


def as_table(curves: Sequence[Curve]) -> Table:
    table = Table(
        title=f"Replicas on {os.cpu_count()} cores", box=SIMPLE_HEAD, title_justify="left"
    )
    for name in ("what", "replicas", "a second", "model", "off by", "CPU ms", "broker ms",
                 "waiting", "retries"):  # fmt: skip
        table.add_column(name, justify="left" if name == "what" else "right")
    for curve in curves:
        for n, point in enumerate(curve.points):
            table.add_row(
                "" if n else f"[bold]{curve.service}[/], {curve.unit}",
                str(point.replicas),
                f"{point.rate:,.0f}",
                f"{point.played:,.0f}",
                f"{point.error:+.0%}",
                f"{point.cpu_ms:.2f}",
                f"{point.broker_ms:.2f}",
                f"{point.waiting:.0%}",
                str(point.retries),
            )
    return table


def as_projection(curves: Sequence[Curve]) -> Table:
    shown = (1, 16, 128, 1000)
    table = Table(
        title="As many partitions as replicas, and a core each: events a second by the model",
        box=SIMPLE_HEAD,
        title_justify="left",
    )
    for name in ("what", *map(str, shown), "worth it to", "then bound by"):
        table.add_column(name, justify="left" if name in ("what", "then bound by") else "right")
    for curve in curves:
        rates = [f"{curve.many[n]:,.0f}" for n in shown]
        table.add_row(curve.service, *rates, str(curve.worth), curve.bound)
    return table


def draw(curves: Sequence[Curve], file: Path) -> None:
    """Events a second over replicas: dots were measured, lines are played out."""
    import matplotlib.pyplot as plt  # for this alone

    figure, (here, there) = plt.subplots(1, 2, figsize=(10, 4), layout="constrained")
    for curve in curves:
        alone = curve.points[0].rate
        replicas = [point.replicas for point in curve.points]
        (line,) = here.plot(replicas, [point.played / alone for point in curve.points])
        measured = [point.rate / alone for point in curve.points]
        here.plot(replicas, measured, "o", color=line.get_color(), label=curve.service)
        there.plot(list(curve.many), list(curve.many.values()), label=curve.service)
    here.set(
        xlabel=f"replicas, on {os.cpu_count()} cores", ylabel="rate, of that of one", ylim=(0, None)
    )
    there.set(
        xlabel="replicas and partitions, a core each", ylabel="events a second",
        xscale="log", yscale="log",
    )  # fmt: skip
    here.legend(frameon=False)
    for axes in (here, there):
        axes.spines[["top", "right"]].set_visible(False)
    figure.savefig(file, metadata={"Date": None} if file.suffix == ".svg" else None)


def _tell(step: str) -> None:
    progress.print(step, style="dim", highlight=False, markup=False)


if __name__ == "__main__":
    typer.run(main)
