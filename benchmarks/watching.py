"""Predictions a second through the monitor on Kafka: recorded, cut into windows, judged."""

from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from itertools import count
from uuid import UUID

import numpy as np
import psutil

from benchmarks.events import Lane, connected
from benchmarks.inputs import as_records, training_set
from benchmarks.results import Result
from benchmarks.rounds import Bench, Running
from trending_shared.evaluation import Answers
from trending_shared.events import PredictionServed, QualityEstimated
from trending_shared.genres import GENRES
from trending_shared.messages import Message, first_message
from trending_shared.registry import ModelRegistry
from trending_shared.storage import ObjectStore
from trending_shared.testing.models import with_answers
from trending_trainer.reference import build_reference

WINDOW = 500
SERVED = 10_000  # predictions a round
QUARTERS = 4


async def measure_monitor(bench: Bench) -> Result:
    """The monitor with a backlog, four times, and its memory after each."""
    bench.tell("monitor: starting it")
    version = register(bench)
    records = (record for message in served(version) for record in as_records([message]))
    source, target = PredictionServed.topic, QualityEstimated.topic
    megabytes = []
    async with connected(bench) as kafka:
        await kafka.refuse_houses()
        await kafka.skip_backlog("monitor", source)
        with bench.service("monitor", window_size=WINDOW) as running:
            lane = Lane(kafka, running, "monitor", source, target, records, per=WINDOW)
            await lane.warm_up()
            for number in range(1, QUARTERS + 1):
                bench.tell(f"monitor: quarter {number} of {QUARTERS}")
                await lane.go(SERVED)
                megabytes.append(_resident(running))
    result = lane.result("monitor", SERVED)
    return replace(result, megabytes=(megabytes[0], megabytes[1], megabytes[3]))


def register(bench: Bench) -> str:
    """A bundle whose probabilities mean what they say; its version."""
    random = np.random.default_rng(0)
    odds = random.normal(-2, 2, (2000, len(GENRES)))
    said = np.asarray(1 / (1 + np.exp(-odds)), np.float32)
    labels = (random.random(said.shape) < said).astype(np.int8)
    registry = ModelRegistry(ObjectStore.at((bench.home / "store").as_uri()))
    manifest = with_answers(
        registry,
        Answers(labels, said, dict.fromkeys(GENRES, 0.4)),
        reference=build_reference(list(training_set().texts), said, GENRES),
    )
    return manifest.version


def served(version: str) -> Iterator[Message[PredictionServed]]:
    """Predictions as the gateway publishes them, without end; every tenth of a title."""
    random = np.random.default_rng(1)
    texts = list(training_set().texts)
    started = datetime.now(UTC)
    for number in count():
        said = 1 / (1 + np.exp(-random.normal(-2, 2, len(GENRES))))
        probabilities = dict(zip(GENRES, map(float, said), strict=True))
        event = PredictionServed(
            prediction_id=str(UUID(int=number)),
            request_id=f"bench-{number}",
            model="genres",
            model_version=version,
            alias="champion",
            title_id=None if number % 10 else f"t_{number % 997}",
            text=texts[number % len(texts)],
            text_hash=f"{number % len(texts):016x}",
            probabilities=probabilities,
            genres=tuple(genre for genre, value in probabilities.items() if value >= 0.4),
            served_at=started + timedelta(milliseconds=number),
            duration_ms=1.0,
        )
        yield first_message(event, id=UUID(int=number))


def _resident(running: Running) -> float:
    return float(psutil.Process(running.process.pid).memory_info().rss / 2**20)
