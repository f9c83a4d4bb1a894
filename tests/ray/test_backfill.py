"""A backfill by Ray is row by row what the services wrote on a real Kafka.

Scraper, cleaner and featurizer walk through the demo's site, or one with the titles that
TEST_CATALOGUE names, and through a file of the same titles under another source, twice: with
records that can't be used, and the second time with other texts. Then all tables are made anew, in
one process and on Ray, and held against those that came of the stream.
"""

import asyncio
import csv
import json
import os
import subprocess
import sys
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

import pytest

from trending_cleaner.app import create_app as create_cleaner
from trending_cleaner.settings import CleanerSettings
from trending_cli.house import House, running_house
from trending_cli.jobs import publish_job
from trending_cli.ports import free_ports
from trending_cli.replay import read_table
from trending_demo.catalogue import csv_catalogue, demo_catalogue
from trending_featurizer.app import create_app as create_featurizer
from trending_featurizer.settings import FeaturizerSettings
from trending_scraper.app import create_app as create_scraper
from trending_scraper.settings import ScraperSettings
from trending_shared.events import PageFetched, ScrapeJob
from trending_shared.walk import watching

ROOT = Path(__file__).parents[2]
CATALOGUE = os.environ.get("TEST_CATALOGUE")
TABLES = ("titles", "reviews", "facts", "signals", "rejects", "features")
COLUMNS = ("show_id", "type", "title", "release_year", "listed_in", "description")

pytestmark = [pytest.mark.ray, pytest.mark.timeout(3600)]


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A home after the walk; nothing runs there any more."""
    home = tmp_path_factory.mktemp("ray") / "home"
    [port] = free_ports(1)
    with running_house(home, services=()) as house:
        arguments = ["--catalogue", CATALOGUE] if CATALOGUE else []
        house.stack.add_site(port=port, arguments=["--today", "2026-11-01", *arguments])
        house.stack.start()
        house.stack.wait_until({"site": "/robots.txt"}, timeout=600)
        asyncio.run(walk(house, f"127.0.0.1:{port}"))
    return home


async def walk(house: House, site: str) -> None:
    """Through the services, all in this process."""
    common: dict[str, Any] = {
        "trending_home": house.home,
        "kafka": house.settings.kafka,
        "log_events": False,
        "log_level": "WARNING",
    }
    scraper = ScraperSettings(
        **common,
        port=0,
        demo_url=f"http://{site}",
        sources=frozenset({"csv"}),
        allowed_private_hosts=frozenset({site}),
    )
    cleaner = CleanerSettings(**common, port=0)
    featurizer = FeaturizerSettings(**common, port=0, snapshot_titles=10**9)
    async with AsyncExitStack() as stack:
        for app in (
            create_scraper(scraper),
            create_cleaner(cleaner),
            create_featurizer(featurizer),
        ):
            await stack.enter_async_context(app.start_lifespan_context())
        told = await crawl(house, f"http://{site}/titles?page=1")
        for number, change in enumerate(("", " It is never seen again.")):
            file = house.home / f"titles-{number}.csv"
            write(file, change)
            arguments = ("import", "csv", str(file))
            found = await asyncio.to_thread(trending, house.home, *arguments, kafka=house.bootstrap)
            told += await settle(house, UUID(found["job_id"]))
        while len(rows_of(house.home, "pages")) < told:  # noqa: ASYNC110
            await asyncio.sleep(0.1)


async def crawl(house: House, url: str) -> int:
    job = uuid4()
    await publish_job(house.settings, ScrapeJob(source="demo", url=url), job)
    return await settle(house, job)


async def settle(house: House, job: UUID) -> int:
    """Wait until all that a job led to has features, or is refused; how many pages it had."""
    async with watching(house.settings.kafka, job) as watcher:
        while not watcher.walks[job].settled:
            await watcher.poll(0.1)
        return watcher.walks[job].count(PageFetched)


def rows_of(home: Path, name: str) -> list[dict[str, Any]]:
    table = read_table((home / "store").as_uri(), name)
    return [] if table is None else table.to_pylist()


def write(file: Path, change: str) -> None:
    """The site's titles; some have no plot, or a year that can't be, and two of three `change`."""
    titles = csv_catalogue(Path(CATALOGUE)) if CATALOGUE else demo_catalogue()
    with file.open("w", newline="") as target:
        writer = csv.DictWriter(target, COLUMNS)
        writer.writeheader()
        for n, title in enumerate(titles.titles):
            writer.writerow(
                {
                    "show_id": title.id,
                    "type": "Movie" if title.kind == "film" else "TV Show",
                    "title": title.name,
                    "release_year": "3024" if n % 31 == 30 else str(title.year),
                    "listed_in": ", ".join(title.genres),
                    "description": "?" if n % 37 == 36 else title.plot + (change if n % 3 else ""),
                }
            )


def trending(home: Path, *arguments: str, kafka: str = "", status: int | None = 0) -> Any:
    """What a command prints, as JSON."""
    env = {**os.environ, "TRENDING_HOME": str(home), "KAFKA_BOOTSTRAP_SERVERS": kafka}
    command = [sys.executable, "-m", "trending_cli.main", *arguments, "--json"]
    done = subprocess.run(command, cwd=ROOT, env=env, capture_output=True, text=True)
    assert status is None or done.returncode == status, done.stderr + done.stdout[-5000:]
    return json.loads(done.stdout.splitlines()[-1])


@pytest.mark.parametrize("engine", ["local", "ray"])
def test_every_row_is_that_of_the_stream(home: Path, engine: str) -> None:
    found = trending(home, "backfill", "--engine", engine, "--check")
    assert found["equal"], found["compared"]
    tables = found["compared"]["tables"]
    sys.stdout.write(
        f"\n{engine}: {found['pages']} pages; equal rows: "
        f"{ {name: one['same'] for name, one in tables.items()} }; seconds: {found['seconds']}\n"
    )
    assert set(tables) == set(TABLES)
    for name in ("titles", "reviews", "rejects", "features"):
        assert tables[name]["same"] == len(rows_of(home, name))
        assert tables[name]["same"] > 0 or (CATALOGUE and name == "reviews"), name
