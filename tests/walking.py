"""One walk through the house, from a scrape job to recorded predictions, and what it leaves behind.

Ids of events follow from the job's, so what two walks over the same site have published can be
compared event by event, and what they have written row by row.
"""

import os
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from uuid import UUID

import httpx
import pyarrow as pa
import sqlalchemy as sa

from trending_cli import clients
from trending_cli.house import House, running_house
from trending_cli.jobs import publish_job
from trending_shared.catalog import Catalog, metadata, predictions
from trending_shared.events import (
    DatasetPublished,
    DatasetRequested,
    ModelPromoted,
    ModelRefused,
    ScrapeJob,
)
from trending_shared.messages import Message
from trending_shared.reading import reader
from trending_shared.storage import ObjectStore
from trending_shared.tables import read_table
from trending_shared.topics import list_partitions, look_at
from trending_shared.walk import Walk, WalkWatcher, watching

JOB = UUID("5d1f2f0a-64a5-4b1c-9f5e-1c1f4f0d7a11")
QUESTIONS = 60
PATIENCE = 900.0  # seconds; a crowded machine needs minutes for what a quiet one does in three
# What says when something was done, and by what; all else has to be the same in both walks.
CIRCUMSTANCES = {"fetched_at", "cleaned_at", "rejected_at", "computed_at"}

Look = Callable[[], None]
Onlooker = Callable[[House, Walk, list[str]], Look]


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
    records: dict[str, int] = field(default_factory=dict)
    """How many each topic was given."""
    dataset: str = ""
    champion: str = ""
    unrecorded: set[str] = field(default_factory=set)
    restarts: list[str] = field(default_factory=list)


def nobody(house: House, progress: Walk, answered: list[str]) -> Look:
    """Looks on, and does nothing."""
    return lambda: None


async def walk(home: Path, port: int, onlooker: Onlooker = nobody) -> Outcome:
    """One walk from the job to recorded predictions.

    Args:
        port: of the film site; it is part of what is compared.
        onlooker: makes what is called again and again meanwhile.
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
    with running_house(home, env=env, within=PATIENCE, tell=outcome.restarts.append) as house:
        outcome.restarts.clear()
        catalogue = os.environ.get("TEST_CATALOGUE")
        arguments = ["--catalogue", catalogue] if catalogue else []
        house.stack.add_site(port=port, arguments=["--today", "2026-11-01", *arguments])
        house.stack.start()
        house.stack.wait_until({"site": "/robots.txt"}, timeout=PATIENCE)
        async with watching(house.settings.kafka, JOB) as watcher:
            progress = watcher.walks[JOB]
            answered: list[str] = []
            look = onlooker(house, progress, answered)
            job = ScrapeJob(source="demo", url=f"http://127.0.0.1:{port}/titles?page=1")
            await publish_job(house.settings, job, JOB)
            await _until(lambda: progress.settled, watcher, house, look)
            request = Message(
                event=DatasetRequested(reason="the walk has settled"), id=JOB, correlation_id=JOB
            )
            async with clients.publisher(house.settings) as sender:
                await sender.publish([request])
            decided = (ModelPromoted, ModelRefused)
            await _until(
                lambda: any(progress.count(kind) for kind in decided), watcher, house, look
            )
            await _ask(house, watcher, look, answered)
            catalog = Catalog(house.settings.catalog)
            try:
                outcome.unrecorded = await _unrecorded(catalog, watcher, answered)
                for table in metadata.sorted_tables:
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
        outcome.records = await _count_records(house)
        _read_tables(house, outcome)
    return outcome


async def _until(done: Callable[[], bool], watcher: WalkWatcher, house: House, look: Look) -> None:
    while not done():
        assert house.stack.failed is None, house.stack.failed
        await watcher.poll(0.1)
        look()


async def _ask(house: House, watcher: WalkWatcher, look: Look, answered: list[str]) -> None:
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
                look()
            else:
                assert answer.status_code == 503, answer.text
                await watcher.poll(0.1)


async def _unrecorded(catalog: Catalog, watcher: WalkWatcher, answered: list[str]) -> set[str]:
    """The answers that the monitor never wrote down, once it has caught up."""
    missing = set(answered)
    deadline = time.monotonic() + PATIENCE
    while time.monotonic() < deadline:
        async with catalog.reading() as connection:
            found = await connection.execute(sa.select(predictions.c.prediction_id))
            missing -= set(found.scalars())
        if not missing:
            break
        await watcher.poll(0.1)
    return missing


async def _count_records(house: House) -> dict[str, int]:
    kafka = house.settings.kafka
    counts: Counter[str] = Counter()
    async with reader(kafka) as consumer:
        partitions = await list_partitions(kafka.connection)
        look_at(consumer, partitions)
        for partition, end in (await consumer.end_offsets(partitions)).items():
            counts[partition.topic] += end
    return dict(counts)


def _read_tables(house: House, outcome: Outcome) -> None:
    url = house.settings.store
    for name in sorted({key.split("/")[1] for key in ObjectStore.at(url).keys("tables")}):
        table, _ = read_table(url, name) or (pa.table({}), 0)
        if name == "merged":
            for row in sorted(table.to_pylist(), key=lambda row: row["resolution"]):
                outcome.merged[row["title_id"]] = row
            continue
        kept = [column for column in table.column_names if column not in CIRCUMSTANCES]
        rows = table.select(kept).to_pylist()
        if name == "features":
            # Rounding depends on which texts share a batch; the vectors are compared as such.
            outcome.embeddings = {row["event_id"]: row.pop("embedding") for row in rows}
        outcome.rows[name] = sorted(rows, key=repr)
