"""`trending doctor`: what this machine has, lacks, and should install."""

import asyncio
import importlib.util
import os
import shutil
import sys
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any
from uuid import uuid4

import psutil
import typer
from aiokafka.admin import AIOKafkaAdminClient
from aiokafka.errors import KafkaError
from rich.table import Table

from trending_cli import clients
from trending_cli.kafka_distribution import KafkaUnavailable, find_java, resolve_jars
from trending_cli.output import Exit, JsonOption, console, print_json
from trending_cli.processes import SERVICES
from trending_shared.catalog import Catalog
from trending_shared.errors import TrendingError
from trending_shared.registry import CHAMPION, ModelRegistry
from trending_shared.settings import CommonSettings
from trending_shared.storage import ObjectStore

_MEMORY_GB, _DISK_GB = 3, 2  # what the demo was seen to need, rounded up


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


def _embedded_kafka() -> list[Finding]:
    if os.environ.get("KAFKA_BOOTSTRAP_SERVERS"):
        return []
    findings = []
    looks: dict[str, Callable[[], str]] = {"Java": _java, "Kafka's jars": _jars}
    for what, look in looks.items():
        try:
            findings.append(Finding(what, True, look()))
        except KafkaUnavailable as error:
            findings.append(Finding(what, False, str(error)))
            break
    return findings


def _java() -> str:
    return find_java(os.environ)


def _jars() -> str:
    return str(resolve_jars(os.environ))


async def _kafka(common: CommonSettings) -> Finding:
    client = AIOKafkaAdminClient(**common.kafka.connection)
    address = common.kafka.bootstrap_servers
    try:
        await client.start()
        topics = await client.list_topics()
    except (KafkaError, OSError) as error:
        return Finding(
            "broker",
            False,
            f"nothing answers at {address} ({type(error).__name__}); `trending up` starts one",
            needed=False,
        )
    finally:
        await client.close()
    return Finding("broker", True, f"{address}, {len(topics)} topics")


async def _store(common: CommonSettings) -> Finding:
    def probe() -> str:
        store = ObjectStore.at(common.store)
        key = f"doctor/{uuid4()}"
        if not store.put_new(key, b"1") or store.put_new(key, b"2"):
            raise TrendingError("create-only writes aren't honoured; aliases need them")
        store.delete(key)
        pointer = ModelRegistry(store).pointer("genres")
        return f"{common.store}, {CHAMPION} {pointer.version if pointer else 'none yet'}"

    try:
        return Finding("object store", True, await asyncio.to_thread(probe))
    except TrendingError as error:
        return Finding("object store", False, f"STORE_URL={common.store}: {error}")


async def _catalog(common: CommonSettings) -> Finding:
    catalog = Catalog(common.catalog)
    try:
        answers = await catalog.ping()
        url = catalog.engine.url.render_as_string(hide_password=True)
        return Finding("catalog", answers, url if answers else f"CATALOG_URL={url} doesn't answer")
    finally:
        await catalog.close()


def doctor(as_json: JsonOption = False) -> None:
    """Look whether everything is here that the house needs. Status 1 if something isn't."""
    common = clients.settings()
    checks: list[Callable[[CommonSettings], Awaitable[Finding]]] = [_kafka, _store, _catalog]

    async def ask() -> list[Finding]:
        return [await check(common) for check in checks]

    findings = [*_machine(), *_packages(), *_embedded_kafka(), *asyncio.run(ask())]
    if as_json:
        print_json([_plain(finding) for finding in findings])
    else:
        table = Table(show_header=False, box=None, padding=(0, 2, 0, 0))
        for finding in findings:
            mark = "[green]ok[/]" if finding.ok else "[red]missing[/]"
            mark = mark if finding.ok or finding.needed else "[yellow]not now[/]"
            table.add_row(mark, finding.what, finding.found)
        console.print(table)
    if any(finding.needed and not finding.ok for finding in findings):
        raise typer.Exit(Exit.FAILED)


def _plain(finding: Finding) -> dict[str, Any]:
    return {
        "what": finding.what,
        "ok": finding.ok,
        "found": finding.found,
        "needed": finding.needed,
    }
