"""A gateway with everything around it in memory or in a temporary folder."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from threading import Thread
from types import SimpleNamespace
from typing import Any
from uuid import UUID, uuid4

import pytest
import uvicorn
from fastapi import FastAPI
from httpx import ASGITransport, AsyncClient
from starlette.types import Receive, Scope, Send

from trending_inference.app import create_app
from trending_inference.schemas import JOB_ID, PREDICTION_ID, TITLE_ID
from trending_inference.settings import InferenceSettings
from trending_inference.workers import listen
from trending_shared.api_keys import ApiKey
from trending_shared.api_keys import Scope as KeyScope
from trending_shared.catalog import (
    Catalog,
    identities,
    predictions,
    reviews,
    title_predictions,
    titles,
    trend_lacks,
    trends,
)
from trending_shared.clock import FrozenClock
from trending_shared.events import Lack, PageFetched, ScrapeJob, Trend
from trending_shared.experiments import Arm, Experiment, Experiments, Subject
from trending_shared.messages import Message, first_message
from trending_shared.registry import Manifest, ModelRegistry
from trending_shared.storage import ObjectStore
from trending_shared.testing import CollectingPublisher, a_page
from trending_shared.testing.models import a_graph, a_manifest, promote
from trending_shared.walk import EventLog, WalkWatcher

DAY = date(2026, 11, 1)
EPOCH = datetime(2026, 11, 1, 12, tzinfo=UTC)


class FakeLog:
    """Kafka's log as a watcher reads it: one partition, whose records come when they are told to.

    `later` holds what comes after each time that the end was reached.
    """

    def __init__(self) -> None:
        self.records: list[Any] = []
        self.later: list[Message[Any]] = []
        self.readers = 0
        self._read = 0

    def add(self, *messages: Message[Any]) -> None:
        for message in messages:
            self.records.append(
                SimpleNamespace(
                    topic=message.event.topic,
                    partition=0,
                    offset=len(self.records),
                    headers=message.headers(source="test", code_version="1", now=EPOCH),
                    value=message.body(),
                )
            )

    @asynccontextmanager
    async def watch(self, job_id: UUID) -> AsyncIterator[WalkWatcher]:
        self._read = 0
        self.readers += 1
        try:
            yield WalkWatcher(EventLog(self), [job_id])
        finally:
            self.readers -= 1

    async def getmany(self, **_: Any) -> dict[str, list[Any]]:
        await asyncio.sleep(0)
        new, self._read = self.records[self._read :], len(self.records)
        if not new and self.later:
            self.add(self.later.pop(0))
        return {"all": new} if new else {}

    def assignment(self) -> set[str]:
        return {"all"}

    async def end_offsets(self, partitions: Sequence[str]) -> dict[str, int]:
        return dict.fromkeys(partitions, len(self.records))

    async def position(self, partition: str) -> int:
        return self._read


@dataclass
class World:
    """What stands around the gateway under test."""

    folder: Path
    publisher: CollectingPublisher
    catalog: Catalog
    store: ObjectStore
    models: ModelRegistry
    clock: FrozenClock
    log: FakeLog = field(default_factory=FakeLog)

    def app(self, **settings: Any) -> FastAPI:
        return create_app(
            InferenceSettings(trending_home=self.folder, **settings),
            publisher=self.publisher,
            catalog=self.catalog,
            store=self.store,
            watch=self.log.watch,
            clock=self.clock,
        )

    @asynccontextmanager
    async def client(self, **settings: Any) -> AsyncIterator[AsyncClient]:
        async with self.client_of(self.app(**settings)) as client:
            yield client

    @asynccontextmanager
    async def client_of(self, app: FastAPI) -> AsyncIterator[AsyncClient]:
        """A client of a started gateway, with its state in each request as a server puts it."""
        async with app.router.lifespan_context(app) as state:

            async def served(scope: Scope, receive: Receive, send: Send) -> None:
                await app({**scope, "state": dict(state or {})}, receive, send)

            async with AsyncClient(
                transport=ASGITransport(served), base_url="http://localhost"
            ) as client:
                yield client

    async def add_title(
        self, title_id: str = "t_alien", *, score: float | None = None, **changes: Any
    ) -> None:
        """Put a title into the catalog, with a trend of `DAY` if it has a score."""
        row: dict[str, Any] = {
            "title_id": title_id,
            "source": "demo",
            "source_id": "alien-1979",
            "name": "Alien",
            "kind": "film",
            "year": 1979,
            "genres": ["Horror", "Sci-Fi & Fantasy"],
            "plot": "A ghost of a signal leads a freighter to a silent moon.",
            "countries": ["United Kingdom"],
            "language": "English",
            "runtime_minutes": 117,
            "rating": 0.84,
            "rating_count": 12,
            "license": "LicenseRef-trending-demo",
            "url": "http://films.example/titles/alien-1979",
            "page_hash": "ab" * 32,
            "page_key": "raw/ab/abab.gz",
            "fetched_at": datetime(2026, 11, 1, 12, tzinfo=UTC),
            "content_hash": "0123456789abcdef",
            "text_hash": "fedcba9876543210",
            "popularity": [],
        }
        async with self.catalog.transaction() as connection:
            await self.catalog.upsert(connection, titles, [row | changes])
        if score is not None:
            await self.add_trend(title_id, DAY, score)

    async def add_record(self, **changes: Any) -> str:
        """Put a prediction on record, as the monitor does; its id."""
        row = {
            "prediction_id": str(uuid4()),
            "request_id": "r",
            "correlation_id": str(uuid4()),
            "model": "genres",
            "model_version": "v1",
            "alias": "champion",
            "title_id": None,
            "text": "a ghost",
            "text_hash": "h_ghost",
            "probabilities": {"Horror": 0.9},
            "genres": ["Horror"],
            "served_at": self.clock.now(),
            "duration_ms": 1.0,
            "window_id": None,
        } | changes
        async with self.catalog.transaction() as connection:
            await self.catalog.upsert(connection, predictions, [row])
        return str(row["prediction_id"])

    async def add_trend(self, title_id: str, day: date, score: float) -> None:
        row = {
            "title_id": title_id,
            "day": day,
            "score": score,
            "recent": 20.0,
            "expected": 10.0,
            "signals": 140,
        }
        async with self.catalog.transaction() as connection:
            await self.catalog.upsert(connection, trends, [row])

    async def put_trend(self, title_id: str, trend: Trend) -> None:
        """As the featurizer does."""
        row = trend.model_dump(mode="json") | {"day": trend.day, "title_id": title_id}
        async with self.catalog.transaction() as connection:
            await self.catalog.upsert(connection, trends, [row])

    async def lack_trend(self, title_id: str, day: date, lack: Lack) -> None:
        row = {"title_id": title_id, "day": day, "lack": lack}
        async with self.catalog.transaction() as connection:
            await self.catalog.upsert(connection, trend_lacks, [row])

    async def add_prediction(
        self,
        title_id: str,
        version: str,
        *,
        text_hash: str = "fedcba9876543210",
        **probabilities: float,
    ) -> None:
        row = {
            "title_id": title_id,
            "model_version": version,
            "text_hash": text_hash,
            "prediction_id": str(uuid4()),
            "probabilities": probabilities,
            "genres": [genre for genre, value in probabilities.items() if value >= 0.5],
            "served_at": self.clock.now(),
        }
        async with self.catalog.transaction() as connection:
            await self.catalog.upsert(connection, title_predictions, [row])

    def experiment(self, *arms: Arm, subject: Subject = "models", **changes: Any) -> Experiment:
        """Put an experiment's next state into the store: `autumn`, running, unless told otherwise.

        It is with the genre models, or with the prompts of insights.
        """
        experiments = Experiments(self.store)
        target = "genres" if subject == "models" else "insights"
        fields: dict[str, Any] = {"name": "autumn", "state": "running", **changes}
        return experiments.change(
            subject,
            target,
            arms=arms,
            expected=experiments.current(subject, target),
            reasons=(),
            changed_by="test",
            at=self.clock.now(),
            **fields,
        )

    def register(self, graph: bytes, **changes: Any) -> Manifest:
        """Register a graph that nothing points at."""
        return self.models.register(graph, a_manifest(graph, **changes))

    async def until(self, says: Callable[[], Awaitable[Any]]) -> None:
        """Let what goes on in the background go on until something is so."""
        async with asyncio.timeout(20):
            while not await says():
                await asyncio.to_thread(bool)  # a turn for everybody

    async def say_same(self, first: str, *others: str) -> None:
        """Say that these are one title, which `first` describes first."""
        rows = [
            {"title_id": title_id, "merged_id": first, "resolution": 1}
            for title_id in (first, *others)
        ]
        async with self.catalog.transaction() as connection:
            await self.catalog.upsert(connection, identities, rows)

    async def add_review(self, review_id: str, title_id: str, **changes: Any) -> None:
        row: dict[str, Any] = {
            "review_id": review_id,
            "title_id": title_id,
            "day": DAY,
            "rating": 0.9,
            "text": "Slow, silent and terrifying.",
            "author_hash": None,
            "page_hash": "ab" * 32,
            "fetched_at": datetime(2026, 11, 1, 12, tzinfo=UTC),
        }
        async with self.catalog.transaction() as connection:
            await self.catalog.upsert(connection, reviews, [row | changes])


def a_world(folder: Path, catalog: Catalog) -> World:
    store = ObjectStore.at("memory:///")
    return World(
        folder=folder,
        publisher=CollectingPublisher(),
        catalog=catalog,
        store=store,
        models=ModelRegistry(store),
        clock=FrozenClock(datetime(2026, 11, 1, 18, tzinfo=UTC)),
    )


@pytest.fixture
def world(tmp_path: Path, catalog: Catalog) -> World:
    return a_world(tmp_path, catalog)


@pytest.fixture(scope="module")
def furnished_gateway(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[str, str]]:
    """A gateway on a port of this machine, with something of each: its address, and a key."""
    serving = _Serving(tmp_path_factory.mktemp("gateway"))
    thread = Thread(target=asyncio.run, args=[serving.run()])
    thread.start()
    try:
        yield serving.address.result(timeout=30), serving.key
    finally:
        serving.server.should_exit = True
        thread.join()


class _Serving:
    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.address: Future[str] = Future()
        self.server: uvicorn.Server
        self.key, self._known = ApiKey.create("test", KeyScope, None)

    async def run(self) -> None:
        with listen("127.0.0.1", 0, shared=False) as bound:
            catalog = Catalog(f"sqlite+aiosqlite:///{self.folder / 'catalog.db'}")
            await catalog.create()
            world = a_world(self.folder, catalog)
            await furnish(world)
            config = uvicorn.Config(world.app(**self._settings()), log_config=None, lifespan="on")
            self.server = uvicorn.Server(config)
            bound.listen()
            self.address.set_result(f"http://127.0.0.1:{bound.getsockname()[1]}")
            await self.server.serve([bound])
            await catalog.close()

    def _settings(self) -> dict[str, Any]:
        often = 10**6
        return {
            "api_keys": (self._known,),
            "requests_per_minute": often,
            "texts_per_minute": often,
            "start_urls": {"demo": "http://films.example/titles"},
        }


class Kafka(CollectingPublisher):
    """What is published is in the log, with the end of each job: a page that leads to nothing."""

    def __init__(self, log: FakeLog) -> None:
        super().__init__()
        self._log = log

    async def publish(self, messages: Iterable[Message[Any]]) -> None:
        for message in messages:
            self._log.add(message)
            if isinstance(job := message.event, ScrapeJob):
                page = PageFetched(source=job.source, url=job.url, kind="list", page=a_page())
                self._log.add(message.leads_to(page))


async def furnish(world: World) -> None:
    """Put something of each kind into a world, under the ids of the API's examples."""
    version = promote(world.models, a_graph()).version
    days = [
        {"day": str(DAY - timedelta(days=ago)), "count": 40 if ago <= 7 else 10}
        for ago in range(1, 57)
    ]
    for n, title_id in enumerate((TITLE_ID, "t_2", "t_3")):
        await world.add_title(title_id, name=f"Alien {n}", popularity=days, score=float(n))
        await world.add_review(f"r_{n}", title_id)
        await world.add_prediction(title_id, version, Horror=0.9, Crime=0.1)
    await world.say_same("t_2", "t_3")
    world.experiment(Arm(name="control", version="champion", weight=1))
    await world.add_record(prediction_id=PREDICTION_ID, title_id=TITLE_ID)
    world.publisher = Kafka(world.log)
    job = ScrapeJob(source="demo", url="http://films.example/titles")
    await world.publisher.publish([first_message(job, id=UUID(JOB_ID))])
