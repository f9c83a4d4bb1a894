"""In mid-erasure a process is killed with SIGKILL, and the same command ends it.

One house, and for each victim another author of its reviews. `make test-kill` runs this.
"""

import asyncio
import json
import os
import signal
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from tests.walking import JOB

from trending_cli.house import House, running_house
from trending_cli.jobs import publish_job
from trending_cli.ports import HOST, free_ports
from trending_shared.events import ScrapeJob
from trending_shared.tables import read_table
from trending_shared.walk import watching

pytestmark = [pytest.mark.connected, pytest.mark.slow, pytest.mark.timeout(900)]


@pytest.fixture(scope="module")
def house(tmp_path_factory: pytest.TempPathFactory) -> Iterator[House]:
    """A house that has scraped the demo's site, and fits no model."""
    [port] = free_ports(1)
    env = {
        "SCRAPER_DEMO_URL": f"http://{HOST}:{port}",
        "SCRAPER_ALLOWED_PRIVATE_HOSTS": f"{HOST}:{port}",
        "FEATURIZER_SNAPSHOT_TITLES": "1000000000",
    }
    with running_house(tmp_path_factory.mktemp("house"), env=env, within=300) as house:
        house.stack.add_site(port=port, arguments=["--today", "2026-11-01"])
        house.stack.start()
        house.stack.wait_until({"site": "/robots.txt"}, timeout=300)
        asyncio.run(_scrape(house, f"http://{HOST}:{port}/titles?page=1"))
        yield house


async def _scrape(house: House, url: str) -> None:
    async with watching(house.settings.kafka, JOB) as watcher:
        await publish_job(house.settings, ScrapeJob(source="demo", url=url), JOB)
        while not watcher.walks[JOB].settled:
            await watcher.poll(0.1)


def authors_of(house: House) -> Counter[str]:
    """How many reviews each author has in the table."""
    table, _ = read_table(house.settings.store, "reviews", ["author_hash"]) or (None, 0)
    assert table is not None
    return Counter(each for each in table["author_hash"].to_pylist() if each)


def privacy(house: House, *arguments: str) -> "subprocess.Popen[str]":
    return subprocess.Popen(
        [sys.executable, "-m", "trending_cli.main", "privacy", *arguments, "--json"],
        env={
            **os.environ,
            "TRENDING_HOME": str(house.home),
            "KAFKA_BOOTSTRAP_SERVERS": house.bootstrap,
        },
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def erase(house: House, author: str, victim: str) -> dict[str, Any]:
    """Erase an author; meanwhile somebody is killed, and the command given again if it is that.

    Services are killed when another one has answered, the scraper, which is the first, before.
    """
    arguments = ("erase", "--author", author, "--yes", "--prove")
    moment = "reading the topics" if victim == "scraper" else "scraper "
    with privacy(house, *arguments) as command:
        assert command.stderr
        assert any(line.startswith(moment) for line in command.stderr)
        pid = command.pid if victim == "command" else house.stack.children[victim].pid
        assert pid is not None
        os.kill(pid, signal.SIGKILL)
        said, errors = command.communicate()
    if victim == "command":
        assert command.returncode == -signal.SIGKILL
        with privacy(house, *arguments) as command:
            said, errors = command.communicate()
    assert command.returncode == 0, errors
    document: dict[str, Any] = json.loads(said)
    return document


@pytest.mark.parametrize(
    "victim", ["command", "scraper", "cleaner", "featurizer", "trainer", "monitor"]
)
def test_whoever_is_killed_an_erasure_comes_to_its_end(house: House, victim: str) -> None:
    before = authors_of(house)
    author, _ = before.most_common(1)[0]
    done = erase(house, author, victim)
    assert done["erased"]
    assert done["proven"]
    after = authors_of(house)
    assert after == Counter({each: n for each, n in before.items() if each != author})
    assert house.stack.failed is None


def test_a_leftover_is_found_and_nothing_else(house: House, tmp_path: Path) -> None:
    author, _ = authors_of(house).most_common(1)[0]
    assert erase(house, author, "command")["proven"]
    leftover = house.home / "store" / "raw" / "forgotten"
    leftover.write_text(f'{{"author_hash": "{author}"}}')
    with privacy(house, "verify", "--author", author) as command:
        said, _ = command.communicate()
    assert command.returncode == 1
    findings = json.loads(said)["findings"]
    assert [each["where"] for each in findings] == ["raw/forgotten"]
    leftover.unlink()
    with privacy(house, "verify", "--author", author) as command:
        command.communicate()
    assert command.returncode == 0
