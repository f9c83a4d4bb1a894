"""`trending demo`: one command from an empty folder to a promoted model that answers over HTTP."""

import asyncio
import shutil
import time
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any, cast
from uuid import uuid4

import httpx
import typer
from aiokafka.errors import KafkaError
from rich.live import Live
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from trending_cli import clients
from trending_cli.house import House, end_on_sigterm, running_house
from trending_cli.jobs import publish_job
from trending_cli.output import Exit, console, errors, fail, print_json, print_table
from trending_cli.processes import free_port
from trending_cli.walk import Walk, WalkWatcher, watching
from trending_shared.errors import ModelNotFound, TrendingError
from trending_shared.events import (
    DatasetPublished,
    DatasetRequested,
    FeaturesComputed,
    ModelPromoted,
    ModelRefused,
    ScrapeJob,
    TitleCleaned,
    TitleScraped,
)
from trending_shared.messages import Message
from trending_shared.registry import Manifest, ModelRegistry
from trending_shared.settings import DEFAULT_HOME
from trending_shared.storage import ObjectStore

Tell = Callable[[str], None]
_GIVE_UP = 1800.0  # seconds without a single new event


@dataclass
class Stopwatch:
    """Seconds of each stage, by name."""

    seconds: dict[str, float] = field(default_factory=dict)
    began: float = field(default_factory=time.monotonic)

    def lap(self, stage: str, since: float) -> float:
        now = time.monotonic()
        self.seconds[stage] = round(now - since, 1)
        return now


def demo(
    catalogue: Annotated[
        Path | None,
        typer.Option(
            exists=True,
            dir_okay=False,
            help="Serve this CSV (columns of Kaggle's netflix_titles.csv) instead of the own one.",
        ),
    ] = None,
    home: Annotated[
        Path | None, typer.Option(help="Where everything is kept; default .trending[/<catalogue>].")
    ] = None,
    fresh: Annotated[bool, typer.Option("--fresh", help="Empty that folder first.")] = False,
    exit: Annotated[bool, typer.Option("--exit", help="Stop when the demo has shown all.")] = False,
    port: Annotated[int, typer.Option(help="Port of the gateway; 0 takes a free one.")] = 0,
    as_json: Annotated[
        bool, typer.Option("--json", help="Progress on stderr, last line one JSON object.")
    ] = False,
) -> None:
    """Walk the whole house: a film site is scraped, cleaned, learned from, and served.

    Starts Kafka, a film site of our own and the six services, publishes one scrape job, waits for
    the model it leads to, and shows what the gateway answers.
    """
    end_on_sigterm()
    tell: Tell = lambda text: errors.print(f"[dim]{text}[/]", highlight=False)  # noqa: E731
    home = home or (DEFAULT_HOME / catalogue.stem if catalogue else DEFAULT_HOME)
    if fresh and home.exists():
        shutil.rmtree(home)
    watch = Stopwatch()
    site_port = free_port()
    env = {
        "SCRAPER_DEMO_URL": f"http://127.0.0.1:{site_port}",
        "SCRAPER_ALLOWED_PRIVATE_HOSTS": f"127.0.0.1:{site_port}",
        "FEATURIZER_SNAPSHOT_TITLES": "1000000000",  # one snapshot, when the walk has settled
    }
    try:
        with running_house(
            home, env=env, ports={"inference": port} if port else {}, tell=tell
        ) as house:
            arguments = ["--catalogue", str(catalogue.absolute())] if catalogue else []
            house.stack.add_site(port=site_port, arguments=arguments)
            house.stack.start()
            house.stack.wait_until({"site": "/robots.txt"})
            watch.lap("start", watch.began)
            result = asyncio.run(_walk(house, house.url("site"), watch, tell))
            _show(result, as_json=as_json)
            if result["champion"] is None:
                raise typer.Exit(Exit.FAILED)
            if not exit:
                tell("Ctrl-C stops everything")
                while house.stack.failed is None:
                    time.sleep(0.5)
                raise fail(house.stack.failed)
    except KeyboardInterrupt:
        raise typer.Exit(Exit.OK if not exit else Exit.INTERRUPTED) from None
    except TrendingError as error:
        raise fail(str(error)) from error


async def _walk(house: House, site: str, watch: Stopwatch, tell: Tell) -> dict[str, Any]:
    common = house.settings
    job_id = uuid4()
    job = ScrapeJob(source="demo", url=f"{site}/titles?page=1")
    await publish_job(common, job, job_id)
    tell(f"published job {job_id}")
    since = time.monotonic()
    async with watching(common.kafka, job_id) as watcher, _bars(watcher.walks[job_id]) as redraw:
        walk = watcher.walks[job_id]
        await _until(watcher, house, redraw, lambda: walk.settled)
        since = watch.lap("scrape to features", since)
        request = Message(
            event=DatasetRequested(reason="the demo's job has settled"),
            id=uuid4(),
            correlation_id=job_id,
        )
        async with clients.publisher(common) as sender:
            await sender.publish([request])
        await _until(watcher, house, redraw, lambda: walk.count(DatasetPublished) > 0)
        since = watch.lap("dataset", since)
        decided = (ModelPromoted, ModelRefused)
        await _until(watcher, house, redraw, lambda: any(walk.count(kind) for kind in decided))
        since = watch.lap("training", since)
    champion = _champion(house)
    predictions = await _sample(house, champion) if champion else []
    watch.lap("serving", since)
    watch.lap("total", watch.began)
    return _result(house, walk, champion, predictions, watch)


async def _until(
    watcher: WalkWatcher, house: House, redraw: Callable[[], None], done: Callable[[], bool]
) -> None:
    last_news = time.monotonic()
    while not done():
        if house.stack.failed:
            raise TrendingError(house.stack.failed)
        try:
            if await watcher.poll():
                last_news = time.monotonic()
        except KafkaError as error:
            errors.print(f"[dim]Kafka: {error!r}[/]", highlight=False)
            await asyncio.sleep(1)
        redraw()
        if time.monotonic() - last_news > _GIVE_UP:
            raise TrendingError(
                f"nothing has happened for {_GIVE_UP:.0f} s; see the logs in {house.home / 'logs'}"
            )


@asynccontextmanager
async def _bars(walk: Walk) -> AsyncIterator[Callable[[], None]]:
    """One bar a stage, on stderr, so that standard output stays for the result."""
    progress = Progress(
        TextColumn("{task.description:<10}"),
        BarColumn(bar_width=40),
        MofNCompleteColumn(),
        TextColumn("{task.fields[note]}"),
        TimeElapsedColumn(),
        console=errors,
    )
    names = ("pages", "titles", "reviews", "features", "model")
    tasks = {name: progress.add_task(name, total=None, note="") for name in names}

    def redraw() -> None:
        counts = walk.counts
        waiting = walk.waiting(ScrapeJob)
        stages = {
            "pages": (counts["pages"] - waiting, counts["pages"], ""),
            "titles": (
                counts["titles_cleaned"] + counts["titles_rejected"],
                counts["titles_scraped"],
                f"{counts['titles_rejected']} rejected" if counts["titles_rejected"] else "",
            ),
            "reviews": (
                counts["reviews_cleaned"] + counts["reviews_rejected"],
                counts["reviews_scraped"],
                "",
            ),
            "features": (counts["featurized"], counts["titles_cleaned"], ""),
            "model": (len(walk.all_of(ModelPromoted)), 1, _model_note(walk)),
        }
        for name, (completed, total, note) in stages.items():
            progress.update(tasks[name], completed=completed, total=total or None, note=note)

    with Live(progress, console=errors, refresh_per_second=4) as live:
        yield redraw
        redraw()
        live.refresh()


def _model_note(walk: Walk) -> str:
    if walk.count(ModelPromoted):
        return "promoted"
    if walk.count(ModelRefused):
        return "refused, the champion stays"
    dataset = walk.first_of(DatasetPublished)
    return f"training on {dataset.titles} titles" if dataset else ""


def _champion(house: House) -> Manifest | None:
    registry = ModelRegistry(ObjectStore.at(house.settings.store))
    try:
        return registry.champion("genres")
    except ModelNotFound:
        return None


async def _sample(house: House, champion: Manifest) -> list[dict[str, Any]]:
    """Ask the gateway about three rising titles, once it serves the champion."""
    await asyncio.to_thread(house.stack.wait_until, {"inference": "/readyz"}, timeout=60)
    async with httpx.AsyncClient(
        base_url=house.url("inference"), timeout=20, trust_env=False
    ) as client:
        rising = (await client.get("/v1/titles", params={"limit": 3})).json()
        trending = (await client.get("/v1/trending", params={"limit": 3})).json()
        titles = (trending.get("items") or rising.get("items") or [])[:3]
        wanted = [{"title_id": title["title_id"]} for title in titles]
        while True:
            answer = await client.post("/v1/genres", json={"items": wanted})
            answer.raise_for_status()
            body = cast("dict[str, Any]", answer.json())
            served = {prediction["model_version"] for prediction in body["predictions"]}
            if served == {champion.version}:
                break
            await asyncio.sleep(0.3)  # the gateway reads the alias on a short TTL
    return [
        {
            "title": title["name"],
            "genres": prediction["genres"],
            "highest": max(prediction["probabilities"].items(), key=lambda pair: pair[1]),
            "prediction_id": prediction["prediction_id"],
        }
        for title, prediction in zip(titles, body["predictions"], strict=True)
    ]


def _result(
    house: House,
    walk: Walk,
    champion: Manifest | None,
    predictions: list[dict[str, Any]],
    watch: Stopwatch,
) -> dict[str, Any]:
    refused = walk.first_of(ModelRefused)
    return {
        "job_id": walk.job_id,
        "counts": walk.counts,
        "rejected": dict(walk.rejected),
        "champion": f"{champion.algorithm} {champion.version}" if champion else None,
        "macro_f1": round(champion.metrics["macro_f1"], 4) if champion else None,
        "promoted": walk.count(ModelPromoted) > 0,
        "refused": list(refused.reasons) if refused else [],
        "predictions": predictions,
        "url": house.url("inference"),
        "seconds": watch.seconds,
        "titles_per_second": titles_per_second(walk),
        "peak_memory_mb": house.stack.peak_megabytes(),
    }


def titles_per_second(walk: Walk) -> dict[str, float]:
    """Titles a second in each stage, from its first to its last event."""
    kinds: Mapping[str, Any] = {
        "scraper": TitleScraped,
        "cleaner": TitleCleaned,
        "featurizer": FeaturesComputed,
    }
    rates = {}
    for name, kind in kinds.items():
        span = walk.spans.get(kind)
        if span and span.seconds > 0:
            rates[name] = round(walk.count(kind) / span.seconds, 1)
    return rates


def _show(result: Mapping[str, Any], *, as_json: bool) -> None:
    if as_json:
        print_json(result)
        return
    print_table("what came of it", ["stage", "count"], result["counts"].items())
    if result["rejected"]:
        print_table("rejected", ["reason", "count"], result["rejected"].items())
    console.print(
        f"champion [bold]{result['champion']}[/], macro-F1 [bold]{result['macro_f1']}[/]"
        + (
            f" (the new one was refused: {'; '.join(result['refused'])})"
            if result["refused"]
            else ""
        )
    )
    rows = [
        [
            p["title"],
            ", ".join(p["genres"]) or "(abstains)",
            f"{p['highest'][0]} {p['highest'][1]:.2f}",
            p["prediction_id"],
        ]
        for p in result["predictions"]
    ]
    print_table("three predictions", ["title", "genres", "highest", "prediction"], rows)
    seconds = [[stage, f"{value:.1f} s"] for stage, value in result["seconds"].items()]
    print_table("time", ["stage", "seconds"], seconds)
    memory = [[name, f"{value:.0f} MB"] for name, value in result["peak_memory_mb"].items()]
    print_table("peak memory", ["process", "resident"], memory)
    console.print(f"the page: [bold]{result['url']}[/]")
