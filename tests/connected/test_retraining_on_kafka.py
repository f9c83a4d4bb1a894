"""From drift to a training's request on a real broker: everything twice, the monitor killed."""

import asyncio
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, TypeVar
from uuid import UUID

import numpy as np
import pytest
from aiokafka import AIOKafkaConsumer
from prometheus_client import CollectorRegistry

from trending_cli.embedded_kafka import EmbeddedKafka
from trending_cli.ports import free_ports
from trending_shared.catalog import Catalog, titles
from trending_shared.evaluation import Answers
from trending_shared.events import (
    DatasetPublished,
    DatasetRequested,
    DriftDetected,
    Event,
    PredictionServed,
    RetrainingDecided,
    TrainingRequested,
)
from trending_shared.messages import Message, Position, decode, first_message
from trending_shared.publishing import KafkaPublisher
from trending_shared.registry import Histogram, ModelRegistry
from trending_shared.settings import CommonSettings, KafkaSettings
from trending_shared.storage import ObjectStore
from trending_shared.testing.models import with_answers
from trending_shared.topics import all_event_topics, ensure_topics

pytestmark = [pytest.mark.connected, pytest.mark.timeout(400)]

E = TypeVar("E", bound=Event)
NOW = datetime.now(UTC)
THRESHOLDS = {"Drama": 0.5, "Comedy": 0.5}
SETTINGS = {
    "MONITOR_WINDOW_SIZE": "50",
    "MONITOR_RETRAIN_WINDOWS": "2",
    "MONITOR_RETRAIN_SUSTAINED": "PT0S",
    "MONITOR_REPORTS": "false",
}


@contextmanager
def a_monitor(env: dict[str, str], log: Path) -> Iterator[subprocess.Popen[bytes]]:
    """A monitor as a process, killed at the end."""
    [port] = free_ports(1)
    with log.open("ab") as output:
        process = subprocess.Popen(
            [sys.executable, "-m", "trending_monitor"],
            env={**env, "MONITOR_PORT": str(port)},
            stdout=output,
            stderr=output,
        )
    try:
        yield process
    finally:
        process.send_signal(signal.SIGKILL)
        process.wait()


async def read(kafka: KafkaSettings, kind: type[E], distinct: int) -> list[Message[E]]:
    """All of a topic by the time that it holds so many different events; duplicates included."""
    found: list[Message[E]] = []
    consumer = AIOKafkaConsumer(kind.topic, **kafka.connection, auto_offset_reset="earliest")
    await consumer.start()
    try:
        async with asyncio.timeout(120):
            while len({message.id for message in found}) < distinct:
                record = await consumer.getone()
                position = Position(record.topic, record.partition, record.offset)
                found.append(decode(headers=record.headers, body=record.value, position=position))
    finally:
        await consumer.stop()
    return found


def crown(store: ObjectStore) -> str:
    """A champion of which as many answers are Drama as aren't; its version."""
    registry = ModelRegistry(store)
    said = np.random.default_rng(0).choice([0.8, 0.2], (400, 2))
    halves = Histogram(edges=(0, 0.5, 1.01), shares=(0.5, 0.5))
    manifest = with_answers(
        registry,
        Answers((said > 0.5).astype(np.int8), said, THRESHOLDS, tuple(THRESHOLDS)),
        reference={"genre:Drama": halves, "genre:Comedy": halves},
    )
    registry.move(
        manifest.name, manifest.version, expected=None, reasons=("a test",), moved_by="test", at=NOW
    )
    return manifest.version


def served(version: str, n: int) -> Message[PredictionServed]:
    """All are Drama, and half of them Comedy."""
    event = PredictionServed(
        prediction_id=str(UUID(int=n)),
        request_id="r",
        model="genres",
        model_version=version,
        alias="champion",
        text="w",
        text_hash=f"h{n}",
        probabilities={"Drama": 0.8, "Comedy": 0.8 if n % 2 else 0.2},
        genres=("Drama",),
        served_at=NOW + timedelta(seconds=n),
        duration_ms=1.0,
    )
    return replace(first_message(event), id=UUID(int=n))


async def tell_a_title(settings: CommonSettings) -> None:
    fields: dict[str, Any] = {
        **dict.fromkeys(("title_id", "source", "source_id", "name", "plot"), "x"),
        **dict.fromkeys(("license", "url", "page_hash", "page_key"), "x"),
        **dict.fromkeys(("content_hash", "text_hash"), "x"),
        **{"kind": "film", "genres": [], "countries": [], "popularity": [], "fetched_at": NOW},
    }
    catalog = Catalog(settings.catalog)
    await catalog.create()
    async with catalog.transaction() as connection:
        await connection.execute(titles.insert(), [fields])
    await catalog.close()


async def test_drift_leads_to_one_training_whatever_comes_twice_or_is_killed(
    fresh_kafka: EmbeddedKafka, tmp_path: Path
) -> None:
    kafka = KafkaSettings(bootstrap_servers=fresh_kafka.address)
    settings = CommonSettings(trending_home=tmp_path / "home", kafka=kafka)
    env = {
        **os.environ,
        **SETTINGS,
        "TRENDING_HOME": str(tmp_path / "home"),
        "KAFKA_BOOTSTRAP_SERVERS": fresh_kafka.address,
    }
    log = tmp_path / "monitor.log"
    version = crown(ObjectStore.at(settings.store))
    await tell_a_title(settings)
    await ensure_topics(all_event_topics(), kafka.connection, 1)
    batch = [served(version, n) for n in range(120)]
    publisher = KafkaPublisher(
        kafka, service="test", code_version="1", registry=CollectorRegistry()
    )
    async with publisher:
        with a_monitor(env, log):
            await publisher.publish(batch[:60])
            await read(kafka, DriftDetected, 1)
        # What the first one told it may have decided on, or not, or have decided and not told.
        with a_monitor(env, log):
            await publisher.publish([*batch, *batch])
            drifts = await read(kafka, DriftDetected, 2)
            (wanted, *_) = await read(kafka, DatasetRequested, 1)
        await publisher.publish(drifts)  # once more, to whoever comes next
        dataset = wanted.leads_to(
            DatasetPublished(
                dataset_id="00000000000000d2",
                manifest_key="datasets/00000000000000d2/manifest.json",
                titles=1,
                labelled=1,
                recipe="r",
                table_version=1,
            )
        )
        with a_monitor(env, log):
            await publisher.publish([dataset, dataset])
            await read(kafka, TrainingRequested, 1)
        with a_monitor(env, log), a_monitor(env, log):  # two at once, and all of it again
            last = first_message(dataset.event, id=UUID(int=999))
            await publisher.publish([*drifts, dataset, last])
            decisions = await read(kafka, RetrainingDecided, 3)
            trainings = await read(kafka, TrainingRequested, 1)

    by_cause = {message.event.decision_id: message for message in decisions}
    assert len({message.id for message in decisions}) == len(by_cause) == 3
    first, second, third = (
        by_cause[str(id)] for id in (*dict.fromkeys(one.id for one in drifts), last.id)
    )
    assert (first.event.retrain, first.event.codes) == (False, ("not-sustained",))
    assert (second.event.retrain, second.event.windows) == (True, 2)
    assert third.event.codes[-2:] == ("pending", "cool-down")
    assert {message.causation_id for message in trainings} == {dataset.id}
    assert len({message.id for message in trainings}) == 1
    assert wanted.causation_id == second.id
    window = {second.correlation_id, wanted.correlation_id, trainings[0].correlation_id}
    assert window == {drifts[-1].correlation_id}
    assert trainings[0].event.dataset_id == "00000000000000d2"
