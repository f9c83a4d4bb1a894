"""Builds the images of docker-compose.yml, weighs them, and shows that they work.

`make images` and `make images-test` run it; what it leaves lies in `.trending/images`: each image's
bill of materials, the logs, and without Docker the images themselves.
"""

import json
import os
import re
import subprocess
import sys
import time
import tomllib
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Annotated, Any

import httpx
import typer
import yaml

from engines import ROOT, USER, Container, Engine, EngineFailed, Facts, find_engine
from trending_cli.embedded_kafka import EmbeddedKafka
from trending_cli.house import code_version, empty, end_on_sigterm
from trending_cli.output import Exit, JsonOption, console, fail, print_json, print_table, tell
from trending_cli.ports import HOST, free_ports
from trending_cli.processes import tail
from trending_shared.errors import TrendingError

FOLDER = ROOT / ".trending/images"
BUDGETS = Path(__file__).with_name("budgets.toml")
LOOK_AROUND = Path(__file__).with_name("look_around.py")
_MB = 1_000_000
_HEALTHY_WITHIN = 180.0  # seconds
_STOPPED_WITHIN = 45.0  # seconds; what docker-compose.yml grants
_SERVED_WITHIN = 1200.0  # seconds from a job to the first model that answers
app = typer.Typer(
    help=__doc__, no_args_is_help=True, add_completion=False, pretty_exceptions_enable=False
)
Names = Annotated[
    list[str] | None,
    typer.Argument(help="Services of docker-compose.yml, as trainer or trainer[bert]; else all."),
]


@dataclass(frozen=True, slots=True)
class Recipe:
    """How docker-compose.yml has one image built and run."""

    name: str
    service: str
    arguments: Mapping[str, str]
    command: tuple[str, ...]

    @property
    def tag(self) -> str:
        extras = self.arguments.get("EXTRAS")
        return f"trending-{self.arguments['SERVICE']}" + (f"-{extras}" if extras else "")


def recipes(names: Sequence[str] | None = None) -> list[Recipe]:
    """The images asked for; without names one of each service that is built.

    Raises:
        typer.Exit: docker-compose.yml doesn't build one of them.
    """
    services = yaml.safe_load((ROOT / "docker-compose.yml").read_text())["services"]
    built = {name: each for name, each in services.items() if "build" in each}
    chosen = []
    for name in names or built:
        asked = re.fullmatch(r"([a-z]+)(?:\[([a-z]+)\])?", name)
        if not asked or asked[1] not in built:
            raise fail(f"no service {name} is built; there are {', '.join(built)}", Exit.USAGE)
        service = built[asked[1]]
        arguments = {key: str(value) for key, value in service["build"]["args"].items()}
        if asked[2]:
            arguments["EXTRAS"] = asked[2]
        chosen.append(Recipe(name, asked[1], arguments, tuple(service.get("command", ()))))
    return chosen


@dataclass(frozen=True, slots=True)
class Built:
    """An image, weighed. Sizes in megabytes; `packages` are the heaviest, with theirs."""

    name: str
    size: float
    budget: float
    build_seconds: float
    packages: Mapping[str, float]

    @property
    def kept(self) -> bool:
        return self.size <= self.budget


@dataclass(frozen=True, slots=True)
class Ran:
    """A service in its container. `peak_memory` is its first process's, in megabytes."""

    name: str
    healthy_seconds: float
    peak_memory: float
    stop_seconds: float
    status: int


@app.command()
def build(
    names: Names = None,
    afresh: Annotated[bool, typer.Option("--afresh", help="Use no layer that there is.")] = False,
    as_json: JsonOption = False,
) -> None:
    """Build images and hold them against their budgets. Status 1: one is too large, or fails."""
    end_on_sigterm()
    engine = _engine()
    _show(_weighed(engine, recipes(names), afresh=afresh), as_json=as_json)


@app.command("test")
def try_out(names: Names = None, as_json: JsonOption = False) -> None:
    """Build images, start each, and where all are named lead a job through them to a prediction.

    Each container has a read-only root, no capability, and a user that isn't root. Kafka is the
    embedded one. Status 1: an image or a service isn't as it should be.
    """
    end_on_sigterm()
    engine = _engine()
    chosen = recipes(names)
    images = _weighed(engine, chosen, afresh=False)
    try:
        ran, walk = _run(engine, chosen)
    except (TrendingError, httpx.HTTPError) as error:
        raise fail(str(error)) from error
    _show(images, ran, walk, as_json=as_json)


def _engine() -> Engine:
    try:
        return find_engine(FOLDER)
    except EngineFailed as error:
        raise fail(str(error), Exit.UNREACHABLE) from error


def _weighed(engine: Engine, chosen: Sequence[Recipe], *, afresh: bool) -> list[Built]:
    """Build each; every image keeps to what the recipe promises, or this ends."""
    budgets = tomllib.loads(BUDGETS.read_text())
    version = code_version()
    said = {"CODE_VERSION": version, "REVISION": version.partition("+")[2]}
    images = []
    for recipe in chosen:
        tell(f"building {recipe.name} with {engine.name}")
        began = time.monotonic()
        try:
            engine.build(
                recipe.tag,
                {**recipe.arguments, **said},
                log=FOLDER / "logs" / f"build-{recipe.name}.log",
                afresh=afresh,
            )
            seconds = time.monotonic() - began
            facts = engine.facts(recipe.tag)
            seen = _look_around(engine, recipe)
        except EngineFailed as error:
            raise fail(str(error)) from error
        if problems := _problems(recipe, facts, seen):
            raise fail(f"{recipe.name}: {'; '.join(problems)}")
        heaviest = sorted(seen["packages"].items(), key=lambda each: -each[1])[:4]
        images.append(
            Built(
                name=recipe.name,
                size=round(facts.size / _MB, 1),
                budget=budgets[recipe.name],
                build_seconds=round(seconds, 1),
                packages={name: round(size / _MB, 1) for name, size in heaviest},
            )
        )
    return images


def _look_around(engine: Engine, recipe: Recipe) -> dict[str, Any]:
    """What a process in the image sees; its bill of materials is laid beside the logs."""
    container = engine.container(recipe.tag, data=_data(FOLDER / "empty"), env={})
    try:
        bill = container.run(["cat", "/service/sbom.cdx.json"])
        (FOLDER / f"{recipe.tag}.cdx.json").write_text(bill)
        seen: dict[str, Any] = json.loads(container.run(["python", "-c", LOOK_AROUND.read_text()]))
        return seen
    finally:
        container.remove()


def _problems(recipe: Recipe, facts: Facts, seen: Mapping[str, Any]) -> list[str]:
    """What of an image isn't as promised."""
    wanted = {
        "user of the image": (facts.user, f"{USER}:{USER}"),
        "user": (seen["uid"], USER),
        "read-only": (seen["read_only"], True),
        "capabilities": (seen["capabilities"], 0),
        "new privileges": (seen["new_privileges"], False),
        "build tools": (seen["tools"], []),
        "setuid programs": (seen["setuid"], []),
        "health check": (facts.healthcheck[:2], ("CMD", "python")),
        "title": (
            facts.labels.get("org.opencontainers.image.title"),
            f"trending-{recipe.arguments['SERVICE']}",
        ),
    }
    return [
        f"{name}: {found}, not {right}" for name, (found, right) in wanted.items() if found != right
    ]


def _data(folder: Path) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    folder.chmod(0o777)  # for the user that services run as
    return folder


@dataclass(frozen=True, slots=True)
class _Running:
    recipe: Recipe
    container: Container
    process: subprocess.Popen[bytes]
    seconds: float


def _run(engine: Engine, chosen: Sequence[Recipe]) -> tuple[list[Ran], dict[str, Any] | None]:
    """Start each image beside the others, one after another; ask; stop each."""
    home = FOLDER / "home"
    if home.exists():
        empty(home)
    ports = dict(zip((each.service for each in chosen), free_ports(len(chosen)), strict=True))
    # The site comes first: the scraper looks there.
    chosen = sorted(chosen, key=lambda each: each.service != "site")
    with ExitStack() as exits:
        kafka = exits.enter_context(EmbeddedKafka(home, on_progress=tell))
        settings = {
            "KAFKA_BOOTSTRAP_SERVERS": kafka.address,
            "FEATURIZER_SNAPSHOT_TITLES": "200",
        }
        if "site" in ports:
            address = f"{HOST}:{ports['site']}"
            settings["SCRAPER_DEMO_URL"] = f"http://{address}"
            settings["SCRAPER_ALLOWED_PRIVATE_HOSTS"] = address
        running = [
            exits.enter_context(_started(engine, recipe, home, ports[recipe.service], settings))
            for recipe in chosen
        ]
        whole = {each.service for each in chosen} == {each.service for each in recipes()}
        walk = _walk(home / "data", kafka.address, ports) if whole else None
        return [_stopped(each) for each in running], walk


@contextmanager
def _started(
    engine: Engine, recipe: Recipe, home: Path, port: int, settings: Mapping[str, str]
) -> Iterator[_Running]:
    """A container, once its service is healthy by the image's own check."""
    name = recipe.service.upper()
    given = recipe.arguments["PORT"]
    env = {**settings, f"{name}_HOST": HOST, f"{name}_PORT": str(port), "PORT": str(port)}
    log = home / "logs" / f"{recipe.service}.log"
    log.parent.mkdir(parents=True, exist_ok=True)
    facts = engine.facts(recipe.tag)
    command = [
        {"0.0.0.0": HOST, given: str(port)}.get(part, part)
        for part in recipe.command or facts.command
    ]
    container = engine.container(recipe.tag, data=_data(home / "data"), env=env)
    try:
        tell(f"starting {recipe.name}")
        began = time.monotonic()
        process = container.start(command, log)
        health = f"http://{HOST}:{port}{recipe.arguments.get('HEALTH', '/healthz')}"
        while not _answers(health):
            if process.poll() is not None or time.monotonic() - began > _HEALTHY_WITHIN:
                raise EngineFailed(f"{recipe.name} isn't healthy; its log's end:\n{tail(log)}")
            time.sleep(0.05)
        seconds = time.monotonic() - began
        container.run(facts.healthcheck[1:])
        yield _Running(recipe, container, process, seconds)
    finally:
        container.remove()


def _stopped(running: _Running) -> Ran:
    """Tell its process 1 to end, and see how it does."""
    peak = running.container.peak_memory()
    began = time.monotonic()
    running.container.terminate()
    try:
        status = running.process.wait(_STOPPED_WITHIN)
    except subprocess.TimeoutExpired as error:
        name = running.recipe.name
        raise EngineFailed(f"{name} doesn't end within {_STOPPED_WITHIN:.0f} s") from error
    return Ran(
        name=running.recipe.name,
        healthy_seconds=round(running.seconds, 1),
        peak_memory=round(peak / _MB, 1),
        stop_seconds=round(time.monotonic() - began, 1),
        status=status,
    )


def _answers(url: str) -> bool:
    try:
        return httpx.get(url, timeout=3, trust_env=False).status_code == httpx.codes.OK
    except httpx.TransportError:
        return False


def _walk(data: Path, bootstrap: str, ports: Mapping[str, int]) -> dict[str, Any]:
    """From a job to a prediction that is traced to its page, with the commands that users have."""
    gateway, site = (f"http://{HOST}:{ports[name]}" for name in ("inference", "site"))
    env = {**os.environ, "TRENDING_HOME": str(data), "KAFKA_BOOTSTRAP_SERVERS": bootstrap}
    began = time.monotonic()
    tell("leading a job through all of them")
    job = _trending(env, "jobs", "publish", "demo", f"{site}/titles?page=1", "--follow")
    while not _answers(f"{gateway}/readyz"):
        if time.monotonic() - began > _SERVED_WITHIN:
            raise EngineFailed(f"no model serves after {_SERVED_WITHIN:.0f} s")
        time.sleep(0.5)
    wanted = {"items": [{"text": "A detective hunts a ghost in a small town."}]}
    said = httpx.post(f"{gateway}/v1/genres", json=wanted, timeout=30, trust_env=False)
    [answer] = said.raise_for_status().json()["items"]
    record = f"{gateway}/v1/predictions/{answer['prediction_id']}/lineage"
    while not _answers(record):
        if time.monotonic() - began > _SERVED_WITHIN:
            raise EngineFailed("the monitor doesn't record what the gateway has served")
        time.sleep(0.2)
    lineage = _trending(env, "lineage", answer["prediction_id"], "--replay")
    if not lineage["replay"]["equal"]:
        raise EngineFailed(
            f"the model gives another answer when it is asked again: {lineage['replay']}"
        )
    return {
        "counts": job["counts"],
        "model": answer["model"],
        "genres": answer["genres"],
        "replayed": True,
        "seconds": round(time.monotonic() - began, 1),
    }


def _trending(env: Mapping[str, str], *arguments: str) -> dict[str, Any]:
    command = [str(Path(sys.executable).with_name("trending")), *arguments, "--json"]
    try:
        done = subprocess.run(
            command, env=dict(env), capture_output=True, text=True, timeout=_SERVED_WITHIN
        )
    except subprocess.TimeoutExpired as error:
        raise EngineFailed(f"trending {arguments[0]} comes to no end") from error
    if done.returncode:
        raise EngineFailed(f"trending {' '.join(arguments)}: {done.stderr}")
    answer: dict[str, Any] = json.loads(done.stdout)
    return answer


def _show(
    images: Sequence[Built],
    ran: Sequence[Ran] = (),
    walk: Mapping[str, Any] | None = None,
    *,
    as_json: bool,
) -> None:
    if as_json:
        print_json(
            {
                "images": [asdict(each) for each in images],
                "ran": [asdict(each) for each in ran],
                "walk": walk,
            }
        )
    else:
        print_table(
            "Images",
            ("image", "MB", "budget", "built, s", "heaviest packages, MB"),
            [
                (
                    each.name,
                    each.size,
                    each.budget,
                    each.build_seconds,
                    ", ".join(f"{name} {size:.0f}" for name, size in each.packages.items()),
                )
                for each in images
            ],
        )
        if ran:
            print_table(
                "Containers",
                ("service", "healthy after, s", "peak, MB", "stopped in, s", "status"),
                [
                    (
                        each.name,
                        each.healthy_seconds,
                        each.peak_memory,
                        each.stop_seconds,
                        each.status,
                    )
                    for each in ran
                ],
            )
        if walk:
            genres = ", ".join(walk["genres"]) or "no genre"
            console.print(f"one job went through all of them, to {genres}: {walk['seconds']} s")
    if heavy := [each.name for each in images if not each.kept]:
        raise fail(f"above their budget: {', '.join(heavy)} (deploy/docker/budgets.toml)")
    if wrong := [each.name for each in ran if each.status]:
        raise fail(f"ended with another status than 0: {', '.join(wrong)}")


if __name__ == "__main__":
    app()
