"""`trending demo`: one command from an empty folder to a promoted model that answers over HTTP."""

import asyncio
import os
import time
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any
from uuid import uuid4

import httpx
import typer
from aiokafka.errors import KafkaError
from rich.live import Live
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from trending_cli import clients, demo_drift, demo_trial
from trending_cli.house import House, empty, end_on_sigterm, running_house
from trending_cli.jobs import publish_job
from trending_cli.observing import PrometheusMissing, find_prometheus
from trending_cli.output import Exit, console, errors, fail, print_json, print_table, shown, tell
from trending_cli.ports import HOST, free_ports
from trending_cli.processes import ServiceDied
from trending_shared.errors import ModelNotFound, TrendingError
from trending_shared.events import (
    DatasetPublished,
    DatasetRequested,
    FeaturesComputed,
    ModelApproved,
    ModelPromoted,
    ModelRefused,
    RetrainingDecided,
    ScrapeJob,
    TitleCleaned,
    TitleScraped,
)
from trending_shared.experiments import Experiment
from trending_shared.messages import first_message
from trending_shared.registry import Manifest, ModelRegistry
from trending_shared.settings import DEFAULT_HOME
from trending_shared.storage import ObjectStore
from trending_shared.walk import Walk, WalkWatcher, watching

_GIVE_UP = 1800.0  # seconds without a single new event
_SERVED_WITHIN = 60.0  # seconds; the gateway looks every few whether the champion has changed


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
        Path | None,
        typer.Option(
            envvar="TRENDING_HOME",
            help="Where everything is kept; default .trending, with a catalogue a folder in it.",
        ),
    ] = None,
    fresh: Annotated[bool, typer.Option("--fresh", help="Empty that folder first.")] = False,
    exit: Annotated[bool, typer.Option("--exit", help="Stop when the demo has shown all.")] = False,
    drift: Annotated[
        bool,
        typer.Option("--drift", help="Then let titles in another language come, and look on."),
    ] = False,
    worse: Annotated[
        bool, typer.Option("--worse", help="The same, but their genres are told wrongly.")
    ] = False,
    port: Annotated[int, typer.Option(help="Port of the gateway; 0 takes a free one.")] = 0,
    as_json: Annotated[
        bool, typer.Option("--json", help="Progress on stderr, last line one JSON object.")
    ] = False,
) -> None:
    """Walk the whole house: a film site is scraped, cleaned, learned from, and served.

    Starts Kafka, a film site of our own and the six services, publishes one scrape job, waits for
    the model it leads to, and shows what the gateway answers. With --drift the site then gets
    titles in German, people ask about such, and what the house makes of it is told as it happens.
    """
    drift = drift or worse
    if drift and catalogue:
        raise fail("--drift is of our own catalogue", Exit.USAGE)
    end_on_sigterm()
    home = home or (DEFAULT_HOME / catalogue.stem if catalogue else DEFAULT_HOME)
    if fresh:
        empty(home)
    watch = Stopwatch()
    [site_port] = free_ports(1)
    env = {
        "SCRAPER_DEMO_URL": f"http://{HOST}:{site_port}",
        "SCRAPER_ALLOWED_PRIVATE_HOSTS": f"{HOST}:{site_port}",
        # The demo asks from here, without a key, whatever its user's own gateway is told.
        "INFERENCE_HOST": HOST,
        "INFERENCE_API_KEYS": "",
        "INFERENCE_OPEN_SCOPES": "",
        "FEATURIZER_SNAPSHOT_TITLES": "1000000000",  # one snapshot, when the walk has settled
        **demo_trial.SETTINGS,
        **(demo_drift.SETTINGS if drift else {}),
    }
    with running_house(
        home,
        env=env,
        ports={"inference": port} if port else {},
        observe_every=demo_drift.OBSERVED_EVERY if drift and _observable() else None,
        tell=tell,
    ) as house:
        arguments = ["--catalogue", str(catalogue.absolute())] if catalogue else []
        arguments += ["--arrivals", "wrong" if worse else "right"] if drift else []
        house.stack.add_site(port=site_port, arguments=arguments)
        house.stack.start()
        house.stack.wait_until({"site": "/robots.txt"})
        watch.lap("start", watch.began)
        walk = asyncio.run(_walk(house, house.url("site"), watch))
        since = time.monotonic()
        trial = None
        if approved := walk.first_of(ModelApproved):
            trial = asyncio.run(_try(house, approved.model_version))
            since = watch.lap("trial", since)
        champion = _champion(house)
        predictions = _sample(house, champion) if champion else []
        since = watch.lap("serving", since)
        story = None
        if drift and champion:
            story = asyncio.run(demo_drift.see_drift(house, house.url("site")))
            watch.lap("drift to judgement", since)
            champion = _champion(house)
        watch.lap("total", watch.began)
        result = _result(house, walk, champion, predictions, watch, trial)
        _show(result | ({"drift": story.result()} if story else {}), as_json=as_json)
        if champion is None:
            raise typer.Exit(Exit.FAILED)
        if not exit:
            with suppress(KeyboardInterrupt):
                tell("Ctrl-C stops everything")
                house.wait()


def _observable() -> bool:
    """Whether alerts can be shown as well."""
    try:
        find_prometheus(os.environ)
    except PrometheusMissing as error:
        tell(f"alerts aren't shown: {error}")
        return False
    return True


async def _try(house: House, version: str) -> Experiment:
    """Let people ask until the monitor has judged a version that the gate has approved."""
    house.stack.wait_until({"inference": "/readyz"})
    return await demo_trial.see_trial(house, version, await demo_trial.unread_stories(house))


async def _walk(house: House, site: str, watch: Stopwatch) -> Walk:
    common = house.settings
    job_id = uuid4()
    await publish_job(common, ScrapeJob(source="demo", url=f"{site}/titles?page=1"), job_id)
    tell(f"published job {job_id}")
    since = time.monotonic()
    async with watching(common.kafka, job_id) as watcher, _bars(watcher.walks[job_id]) as redraw:
        walk = watcher.walks[job_id]
        await _until(watcher, house, redraw, lambda: walk.settled)
        since = watch.lap("scrape to features", since)
        request = first_message(
            DatasetRequested(reason="the demo's job has settled"), correlation_id=job_id
        )
        async with clients.publisher(common) as sender:
            await sender.publish([request])
        await _until(watcher, house, redraw, lambda: walk.count(DatasetPublished) > 0)
        since = watch.lap("dataset", since)
        judged = (ModelPromoted, ModelApproved, ModelRefused)
        await _until(
            watcher,
            house,
            redraw,
            lambda: bool(any(walk.count(kind) for kind in judged) or _not_trained(walk)),
        )
        watch.lap("training", since)
    return walk


async def _until(
    watcher: WalkWatcher, house: House, redraw: Callable[[], None], done: Callable[[], bool]
) -> None:
    last_news = time.monotonic()
    while not done():
        if house.stack.failed:
            raise ServiceDied(house.stack.failed)
        try:
            if await watcher.poll():
                last_news = time.monotonic()
        except KafkaError as error:
            tell(f"Kafka: {error!r}")
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
            "model": (walk.count(ModelPromoted), 1, _model_note(walk)),
        }
        for name, (completed, total, note) in stages.items():
            progress.update(tasks[name], completed=completed, total=total or None, note=note)

    with Live(progress, console=errors, refresh_per_second=4) as live:
        yield redraw
        redraw()
        live.refresh()
    if not errors.is_terminal:
        errors.print()  # there the display ends without a line's end


def _not_trained(walk: Walk) -> tuple[str, ...]:
    """Why the dataset isn't learned from; nothing if it is, or nobody has decided yet."""
    decided = walk.first_of(RetrainingDecided)
    return decided.reasons if decided and not decided.retrain else ()


def _model_note(walk: Walk) -> str:
    if walk.count(ModelPromoted):
        return "promoted"
    if walk.count(ModelApproved):
        return "approved, the monitor tries it"
    if walk.count(ModelRefused):
        return "refused, the champion stays"
    if _not_trained(walk):
        return "not trained anew, the champion stays"
    dataset = walk.first_of(DatasetPublished)
    return f"training on {dataset.titles} titles" if dataset else ""


def _champion(house: House) -> Manifest | None:
    registry = ModelRegistry(ObjectStore.at(house.settings.store))
    try:
        return registry.champion("genres")
    except ModelNotFound:
        return None


def _sample(house: House, champion: Manifest) -> list[dict[str, Any]]:
    """Ask the gateway about the three fastest rising titles, once it serves the champion.

    The answers are on record when this returns, so that their lineage can be asked for.
    """
    house.stack.wait_until({"inference": "/readyz"})
    with httpx.Client(base_url=house.url("inference"), timeout=20, trust_env=False) as client:
        titles = _items(client, "GET", "/v1/trending?limit=3")
        titles = titles or _items(client, "GET", "/v1/titles?limit=3")
        if not titles:
            raise TrendingError("the gateway knows no title")
        wanted = {"items": [{"title_id": title["title_id"]} for title in titles]}
        deadline = time.monotonic() + _SERVED_WITHIN
        while True:
            answers = _items(client, "POST", "/v1/genres", wanted)
            if {answer["model"]["version"] for answer in answers} == {champion.version}:
                break
            if time.monotonic() > deadline:
                raise TrendingError(f"the gateway still doesn't serve {champion.version}")
            time.sleep(0.3)
        for answer in answers:
            record = f"/v1/predictions/{answer['prediction_id']}/lineage"
            while _ask(client, "GET", record).status_code == httpx.codes.NOT_FOUND:
                if time.monotonic() > deadline:
                    raise TrendingError("the monitor still hasn't recorded what the gateway served")
                time.sleep(0.1)
    return [
        {
            "title": title["name"],
            "genres": answer["genres"],
            "highest": max(answer["probabilities"].items(), key=lambda pair: pair[1]),
            "prediction_id": answer["prediction_id"],
        }
        for title, answer in zip(titles, answers, strict=True)
    ]


def _items(client: httpx.Client, method: str, path: str, body: Any = None) -> list[dict[str, Any]]:
    """The items of one of the gateway's answers; raises `TrendingError` if it refuses."""
    answer = _ask(client, method, path, body)
    if answer.is_error:
        raise TrendingError(f"the gateway answered {answer.status_code}: {answer.text}")
    items: list[dict[str, Any]] = answer.json()["items"]
    return items


def _ask(client: httpx.Client, method: str, path: str, body: Any = None) -> httpx.Response:
    try:
        return client.request(method, path, json=body)
    except httpx.HTTPError as error:
        raise TrendingError(f"the gateway doesn't answer: {error!r}") from error


def _result(
    house: House,
    walk: Walk,
    champion: Manifest | None,
    predictions: list[dict[str, Any]],
    watch: Stopwatch,
    trial: Experiment | None,
) -> dict[str, Any]:
    refused = walk.first_of(ModelRefused)
    return {
        "job_id": walk.job_id,
        "counts": walk.counts,
        "rejected": dict(walk.rejected),
        "champion": f"{champion.algorithm} {champion.version}" if champion else None,
        "macro_f1": round(champion.metrics["macro_f1"], 4) if champion else None,
        "promoted": walk.count(ModelPromoted) > 0,
        "trial": trial.judged.model_dump() | {"name": trial.name, "reasons": trial.reasons}
        if trial and trial.judged
        else None,
        "refused": list(refused.reasons) if refused else [],
        "not_trained": list(_not_trained(walk)),
        "predictions": predictions,
        "url": house.url("inference"),
        "home": str(house.home),
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
    console.print(f"champion [bold]{result['champion']}[/], macro-F1 [bold]{result['macro_f1']}[/]")
    if trial := result["trial"]:
        told = f"the new one was tried and {trial['phase']}: {'; '.join(trial['reasons'])}"
        console.print(shown(told))
    if result["refused"]:
        console.print(shown(f"the new one was refused: {'; '.join(result['refused'])}"))
    if result["not_trained"]:
        console.print(shown(f"no new one was trained: {'; '.join(result['not_trained'])}"))
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
    if rows:
        usual = Path(result["home"]) == DEFAULT_HOME.absolute()
        place = "" if usual else f"TRENDING_HOME={result['home']} "
        command = f"{place}trending lineage {rows[0][-1]} --replay"
        console.print(shown(f"where the first one came from: {command}"), soft_wrap=True)
    if "drift" in result:
        _show_drift(result["drift"])
    console.print(f"the page: [bold]{result['url']}[/]")


def _show_drift(story: Mapping[str, Any]) -> None:
    console.print(shown(f"{story['titles']} titles came, and people asked about such texts"))
    if story["promoted"]:
        console.print(f"[green]retrained; the champion is now {story['promoted']}[/]")
    else:
        console.print(shown(f"retrained, and refused: {'; '.join(story['refused'])}"))
