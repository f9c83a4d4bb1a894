"""`trending doctor`: what this machine has, lacks, and should install."""

import asyncio
import importlib.util
import os
import shutil
import sys
from collections.abc import Awaitable, Callable
from dataclasses import asdict, dataclass
from uuid import uuid4

import psutil
import typer
from aiokafka.errors import KafkaError
from rich.table import Table

from trending_cli import clients
from trending_cli.kafka_distribution import find_java, resolve_jars
from trending_cli.observing import PrometheusMissing, find_prometheus
from trending_cli.output import Exit, JsonOption, console, print_json, shown, tell
from trending_cli.processes import SERVICES
from trending_cli.recreated import recreated_topics, remedy
from trending_cli.sources import Told, find_problems
from trending_shared.errors import BrokerUnavailable, TrendingError
from trending_shared.registry import CHAMPION, ModelRegistry
from trending_shared.settings import CommonSettings
from trending_shared.sources import read_catalogue
from trending_shared.storage import ObjectStore

_MEMORY_GB, _DISK_GB = 3, 2  # what the demo was seen to need, rounded up
Look = Callable[[CommonSettings], Awaitable[str]]


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing looked at. `needed` ones fail the command when they aren't `ok`."""

    what: str
    ok: bool
    found: str
    needed: bool = True


def _machine() -> list[Finding]:
    version = ".".join(map(str, sys.version_info[:3]))
    memory = psutil.virtual_memory().available / 2**30
    disk = shutil.disk_usage(".").free / 2**30
    return [
        Finding("Python", sys.version_info >= (3, 11), f"{version}; 3.11 or newer is needed"),
        Finding("memory", memory >= _MEMORY_GB, f"{memory:.1f} GB free of {_MEMORY_GB} needed"),
        Finding("disk", disk >= _DISK_GB, f"{disk:.1f} GB free of {_DISK_GB} needed"),
    ]


def _packages() -> list[Finding]:
    return [
        Finding(
            f"service {name}",
            importlib.util.find_spec(f"trending_{name}") is not None,
            "installed in this environment, or run `make install`",
        )
        for name in SERVICES
    ]


def _observer() -> Finding:
    try:
        return Finding("Prometheus", True, find_prometheus(os.environ))
    except PrometheusMissing as error:
        found = f"needed by `trending up --observe` only. {error}"
        return Finding("Prometheus", False, found, needed=False)


async def _java(_: CommonSettings) -> str:
    return find_java(os.environ)


async def _jars(_: CommonSettings) -> str:
    return str(resolve_jars(os.environ, tell))


async def _sources(common: CommonSettings) -> str:
    told = Told(os.environ)
    if problems := find_problems(read_catalogue(common.sources_file), told):
        raise TrendingError(f"{problems[0]} (see `trending sources check`)")
    return ", ".join(sorted(told.sources)) or "none is asked yet; see `trending sources list`"


async def _broker(common: CommonSettings) -> str:
    async with clients.admin(common.kafka) as client:
        topics = await client.list_topics()
    return f"{common.kafka.bootstrap_servers}, {len(topics)} topics"


async def _topics(common: CommonSettings) -> str:
    if topics := await recreated_topics(common):
        raise TrendingError(remedy(topics, common))
    return "hold all that the tables have seen"


async def _store(common: CommonSettings) -> str:
    def probe() -> str:
        store = ObjectStore.at(common.store)
        key = f"doctor/{uuid4()}"
        if not store.put_new(key, b"1") or store.put_new(key, b"2"):
            raise TrendingError(f"{common.store} overwrites what it should only create")
        store.delete(key)
        pointer = ModelRegistry(store).pointer("genres")
        return f"{common.store}, {CHAMPION} {pointer.version if pointer else 'none yet'}"

    return await asyncio.to_thread(probe)


async def _catalog(common: CommonSettings) -> str:
    from trending_shared.catalog import Catalog  # takes a second, and only two commands need it

    catalog = Catalog(common.catalog)
    url = catalog.engine.url.render_as_string(hide_password=True)
    try:
        if not await catalog.ping():
            raise TrendingError(f"CATALOG_URL: {url} doesn't answer")
    finally:
        await catalog.close()
    return url


async def _outside(common: CommonSettings) -> list[Finding]:
    """What is to be asked, each a finding whatever comes back."""
    looks: dict[str, Look] = {"sources": _sources, "object store": _store, "catalog": _catalog}
    named = bool(os.environ.get("KAFKA_BOOTSTRAP_SERVERS"))  # else the house starts its own
    if not named:
        looks |= {"Java": _java, "Kafka's jars": _jars}
    looks |= {"broker": _broker, "topics": _topics}
    findings: list[Finding] = []
    for what, look in looks.items():
        try:
            findings.append(Finding(what, True, await look(common)))
        except (TrendingError, KafkaError) as error:
            down = isinstance(error, BrokerUnavailable)
            findings.append(Finding(what, False, str(error), needed=named or not down))
            if down:
                break  # nor can topics be looked at
    return findings


def doctor(as_json: JsonOption = False) -> None:
    """Look whether everything is here that the house needs. Status 1 if something isn't."""
    findings = [*_machine(), *_packages(), _observer(), *asyncio.run(_outside(clients.settings()))]
    if as_json:
        print_json([asdict(finding) for finding in findings])
    else:
        table = Table(show_header=False, box=None, padding=(0, 2, 0, 0))
        for finding in findings:
            mark = "[green]ok[/]" if finding.ok else "[red]no[/]"
            mark = mark if finding.ok or finding.needed else "[yellow]not now[/]"
            table.add_row(mark, finding.what, shown(finding.found))
        console.print(table)
    if any(finding.needed and not finding.ok for finding in findings):
        raise typer.Exit(Exit.FAILED)
