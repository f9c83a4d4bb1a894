"""Every process of the house is killed with SIGKILL in mid-walk, and nothing comes of it.

Two walks over the same site under the same job: one in peace, one with kills. Ids of events follow
from the job's, so what the walks have published can be compared event by event, and what they have
written row by row. All processes are killed in one walk, and each in a walk of its own, over the
demo's own catalogue or that which TEST_CATALOGUE names. `make test-kill` runs this.
"""

import asyncio
import os
import signal
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from uuid import UUID, uuid5

import httpx
import numpy as np
import pyarrow as pa
import pytest
import sqlalchemy as sa
from deltalake import DeltaTable

from trending_cleaner.resolving import ALONE
from trending_cli import clients
from trending_cli.house import House, running_house
from trending_cli.jobs import publish_job
from trending_cli.ports import free_ports
from trending_shared.catalog import Catalog, predictions, reviews, titles, trends
from trending_shared.events import (
    DatasetPublished,
    DatasetRequested,
    FeaturesComputed,
    ModelPromoted,
    ModelRefused,
    ScrapeJob,
    TitleCleaned,
    TitleMerged,
    TitleScraped,
)
from trending_shared.messages import NAMESPACE, Message
from trending_shared.tables import storage_options, table_uri
from trending_shared.walk import Walk, WalkWatcher, watching

pytestmark = [pytest.mark.connected, pytest.mark.slow]

JOB = UUID("5d1f2f0a-64a5-4b1c-9f5e-1c1f4f0d7a11")
QUESTIONS = 60
VICTIMS = ("scraper", "cleaner", "featurizer", "trainer", "inference", "monitor", "kafka")
# What says when something was done, and by what; all else has to be the same in both walks.
CIRCUMSTANCES = {"fetched_at", "cleaned_at", "rejected_at", "computed_at"}


@dataclass
class Outcome:
    """What a walk has left behind."""

    events: dict[str, set[UUID]] = field(default_factory=dict)
    parked: dict[UUID, str] = field(default_factory=dict)
    rows: dict[str, list[dict[str, Any]]] = field(default_factory=dict)
    embeddings: dict[str, list[float]] = field(default_factory=dict)
    merged: dict[str, dict[str, Any]] = field(default_factory=dict)
    """What was said last of each title's identity, by title."""
    catalog: dict[str, int] = field(default_factory=dict)
    dataset: str = ""
    champion: str = ""
    unrecorded: set[str] = field(default_factory=set)
    restarts: list[str] = field(default_factory=list)


class Killer:
    """Kills each victim once, as soon as its moment has come."""

    def __init__(self, house: House, moments: Mapping[str, Callable[[], bool]]) -> None:
        self._house = house
        self.left = dict(moments)

    def look(self) -> None:
        for victim, is_now in list(self.left.items()):
            if is_now():
                del self.left[victim]
                kafka = self._house.embedded if victim == "kafka" else None
                pid = kafka.pid if kafka else self._house.stack.children[victim].pid
                assert pid is not None, f"{victim} was meant to be killed, but isn't alive"
                os.kill(pid, signal.SIGKILL)


async def walk(home: Path, port: int, victims: tuple[str, ...], pages: int) -> Outcome:
    """One walk from the job to recorded predictions.

    Args:
        port: of the film site; it is part of what is compared.
        pages: how many the walk in peace had; what says when its middle has come.
    """
    outcome = Outcome()
    env = {
        "SCRAPER_DEMO_URL": f"http://127.0.0.1:{port}",
        "SCRAPER_ALLOWED_PRIVATE_HOSTS": f"127.0.0.1:{port}",
        "SCRAPER_AUTHOR_HASH_KEY": "0123456789abcdef0123456789abcdef",
        "FEATURIZER_SNAPSHOT_TITLES": "1000000000",
        "TRAINER_HEARTBEAT": "PT0.5S",
        "TRAINER_LEASE": "PT3S",
    }
    with running_house(home, env=env, tell=outcome.restarts.append) as house:
        outcome.restarts.clear()
        catalogue = os.environ.get("TEST_CATALOGUE")
        arguments = ["--catalogue", catalogue] if catalogue else []
        house.stack.add_site(port=port, arguments=["--today", "2026-11-01", *arguments])
        house.stack.start()
        house.stack.wait_until({"site": "/robots.txt"})
        async with watching(house.settings.kafka, JOB) as watcher:
            progress = watcher.walks[JOB]
            answered: list[str] = []
            killer = Killer(house, _moments(house, victims, progress, pages, answered))
            job = ScrapeJob(source="demo", url=f"http://127.0.0.1:{port}/titles?page=1")
            await publish_job(house.settings, job, JOB)
            await _until(lambda: progress.settled, watcher, house, killer)
            request = Message(
                event=DatasetRequested(reason="the walk has settled"), id=JOB, correlation_id=JOB
            )
            async with clients.publisher(house.settings) as sender:
                await sender.publish([request])
            decided = (ModelPromoted, ModelRefused)
            await _until(
                lambda: any(progress.count(kind) for kind in decided), watcher, house, killer
            )
            await _ask(house, watcher, killer, answered)
            assert not killer.left, f"the walk ended before these were killed: {killer.left}"
            catalog = Catalog(house.settings.catalog)
            try:
                outcome.unrecorded = await _unrecorded(catalog, watcher, house, killer, answered)
                for table in (titles, reviews, trends, predictions):
                    async with catalog.reading() as connection:
                        count = sa.select(sa.func.count()).select_from(table)
                        outcome.catalog[table.name] = (await connection.execute(count)).scalar_one()
            finally:
                await catalog.close()
            outcome.events = {kind.topic: ids for kind, ids in progress.ids.items()}
            outcome.parked = progress.parked
            dataset, promoted = (
                progress.first_of(DatasetPublished),
                progress.first_of(ModelPromoted),
            )
            outcome.dataset = dataset.dataset_id if dataset else ""
            outcome.champion = promoted.model_version if promoted else ""
        _read_tables(house, outcome)
    return outcome


def _moments(
    house: House, victims: tuple[str, ...], progress: Walk, pages: int, answered: list[str]
) -> dict[str, Callable[[], bool]]:
    """When each victim is in the middle of its work."""

    def fitting() -> bool:
        runs = house.home / "store" / "runs"
        return any(runs.glob("*/attempts/*.heartbeat")) and not any(runs.glob("*/outcome.json"))

    # One after the other, where all are killed in one walk.
    spread = 0.1 if len(victims) > 1 else 0.0
    moments: dict[str, Callable[[], bool]] = {
        "scraper": lambda: progress.count(TitleScraped) > (0.5 - 3 * spread) * pages,
        "cleaner": lambda: progress.count(TitleCleaned) > (0.5 - spread) * pages,
        "kafka": lambda: progress.count(TitleScraped) > (0.5 + 2 * spread) * pages,
        "featurizer": lambda: progress.count(FeaturesComputed) > 0.5 * pages,
        "trainer": fitting,
        "inference": lambda: len(answered) > QUESTIONS // 3,
        "monitor": lambda: len(answered) > QUESTIONS // 2,
    }
    return {victim: moments[victim] for victim in victims}


async def _until(
    done: Callable[[], bool], watcher: WalkWatcher, house: House, killer: Killer
) -> None:
    while not done():
        assert house.stack.failed is None, house.stack.failed
        await watcher.poll(0.1)
        killer.look()


async def _ask(house: House, watcher: WalkWatcher, killer: Killer, answered: list[str]) -> None:
    """Ask one question after the other, each until it is answered."""
    url = house.url("inference")
    async with httpx.AsyncClient(base_url=url, timeout=20, trust_env=False) as client:
        while len(answered) < QUESTIONS:
            body = {"items": [{"text": f"A detective hunts ghost number {len(answered)}."}]}
            try:
                answer = await client.post("/v1/genres", json=body)
            except httpx.TransportError:
                await watcher.poll(0.1)
                continue
            if answer.status_code == 200:
                answered += [item["prediction_id"] for item in answer.json()["items"]]
                killer.look()
            else:
                assert answer.status_code == 503, answer.text
                await watcher.poll(0.1)


async def _unrecorded(
    catalog: Catalog, watcher: WalkWatcher, house: House, killer: Killer, answered: list[str]
) -> set[str]:
    """The answers that the monitor never wrote down, once it has caught up."""
    missing = set(answered)
    for _ in range(600):
        async with catalog.reading() as connection:
            found = await connection.execute(sa.select(predictions.c.prediction_id))
            missing -= set(found.scalars())
        if not missing:
            break
        await watcher.poll(0.1)
    return missing


def _read_tables(house: House, outcome: Outcome) -> None:
    for name in ("titles", "reviews", "rejects", "features"):
        uri = table_uri(house.settings.store, name)
        if not DeltaTable.is_deltatable(uri, storage_options=storage_options()):
            continue
        table: pa.Table = DeltaTable(uri, storage_options=storage_options()).to_pyarrow_table()
        kept = [column for column in table.column_names if column not in CIRCUMSTANCES]
        found = sorted(table.select(kept).to_pylist(), key=lambda row: str(row["event_id"]))
        if name == "features":
            # Rounding depends on which texts share a batch; the vectors are compared as such.
            outcome.embeddings = {row["event_id"]: row.pop("embedding") for row in found}
        outcome.rows[name] = found
    said = DeltaTable(table_uri(house.settings.store, "merged"), storage_options=storage_options())
    for row in sorted(said.to_pyarrow_table().to_pylist(), key=lambda row: row["resolution"]):
        outcome.merged[row["title_id"]] = row


@pytest.fixture(scope="module")
def port() -> int:
    return free_ports(1)[0]


@pytest.fixture(scope="module")
def peaceful(tmp_path_factory: pytest.TempPathFactory, port: int) -> Outcome:
    """What comes of the walk if nobody is killed."""
    return asyncio.run(walk(tmp_path_factory.mktemp("peace"), port, (), pages=0))


def compare_merged(peaceful: Outcome, killed: Outcome) -> None:
    """Assert that the same was said last of every title, and published.

    When a title's namesakes are noticed, and so which of them leads to what is said, depends on how
    batches were cut. What is said of a title without any doesn't.
    """
    for outcome in (peaceful, killed):
        said = {
            uuid5(
                NAMESPACE,
                f"{row['event_id']}:{TitleMerged.type_name()}:{title_id}:{row['content_hash']}",
            )
            for title_id, row in outcome.merged.items()
        }
        assert said <= outcome.events[TitleMerged.topic]
    assert killed.merged.keys() == peaceful.merged.keys()
    for title_id, row in peaceful.merged.items():
        by_chance = {"resolution"}
        if [member["reason"] for member in row["members"]] != [ALONE]:
            by_chance |= {"event_id"}
        last = killed.merged[title_id]
        assert {key: value for key, value in last.items() if key not in by_chance} == {
            key: value for key, value in row.items() if key not in by_chance
        }


def compare(peaceful: Outcome, killed: Outcome) -> None:
    """Assert that the kills left no trace."""
    assert killed.parked == {}
    for topic, ids in peaceful.events.items():
        if topic != TitleMerged.topic:
            assert killed.events.get(topic) == ids, f"{topic}: events are missing, or new"
    compare_merged(peaceful, killed)
    for name, rows in peaceful.rows.items():
        doubled = [id for id, n in Counter(row["event_id"] for row in rows).items() if n > 1]
        assert killed.rows[name] == rows, f"the table {name} differs"
        assert doubled == [], f"the table {name} holds events twice"
    assert killed.embeddings.keys() == peaceful.embeddings.keys()
    for event_id, embedding in peaceful.embeddings.items():
        np.testing.assert_allclose(killed.embeddings[event_id], embedding, atol=1e-5)
    assert killed.catalog | {"predictions": 0} == peaceful.catalog | {"predictions": 0}
    assert killed.unrecorded == set()
    assert killed.dataset == peaceful.dataset
    assert killed.champion == peaceful.champion


@pytest.mark.timeout(420)
def test_a_walk_in_which_everything_is_killed_once_ends_as_one_in_peace(
    peaceful: Outcome, port: int, tmp_path: Path
) -> None:
    assert peaceful.parked == {}
    pages = len(peaceful.events[TitleScraped.topic])
    killed = asyncio.run(walk(tmp_path, port, VICTIMS, pages))
    assert len(killed.restarts) >= len(VICTIMS)
    compare(peaceful, killed)


@pytest.mark.timeout(3600)
@pytest.mark.parametrize("victim", VICTIMS)
def test_a_walk_in_which_one_is_killed_ends_as_one_in_peace(
    peaceful: Outcome, port: int, tmp_path: Path, victim: str
) -> None:
    pages = len(peaceful.events[TitleScraped.topic])
    killed = asyncio.run(walk(tmp_path, port, (victim,), pages))
    assert any(line.startswith(victim) for line in killed.restarts)
    compare(peaceful, killed)
