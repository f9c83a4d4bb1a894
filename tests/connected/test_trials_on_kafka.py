"""Trials of approved models on a real broker: monitors are killed, and everything comes twice."""

import asyncio
import os
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from uuid import uuid4

import numpy as np
import pytest
from aiokafka import AIOKafkaConsumer
from prometheus_client import CollectorRegistry

from trending_cli.embedded_kafka import EmbeddedKafka
from trending_shared.events import (
    ExperimentChanged,
    GenresCorrected,
    ModelApproved,
    ModelPromoted,
    PredictionServed,
    Trial,
)
from trending_shared.experiments import CANDIDATE, CONTROL, Experiment, Experiments, assign
from trending_shared.messages import Message, Position, decode, first_message
from trending_shared.publishing import KafkaPublisher
from trending_shared.registry import ModelRegistry
from trending_shared.settings import KafkaSettings
from trending_shared.storage import ObjectStore
from trending_shared.testing.models import a_graph, a_manifest, promote
from trending_shared.topics import ensure_topics, topic_spec

pytestmark = [pytest.mark.connected, pytest.mark.timeout(400)]

ENVIRONMENT = {
    "MONITOR_PORT": "0",
    "MONITOR_EXPERIMENTS_EVERY": "PT0.3S",
    "MONITOR_EXPERIMENT_SETTLE": "PT1S",
    "MONITOR_EXPERIMENT_SHADOW_ANSWERS": "40",
    "MONITOR_EXPERIMENT_SPLIT_ANSWERS": "20",
    "MONITOR_EXPERIMENT_QUICK": "PT0.01S",
    "MONITOR_LABELLERS": "curator",
    "MONITOR_REPORTS": "false",
}
TOPICS = (ExperimentChanged, ModelPromoted)
KINDS = (*TOPICS, ModelApproved, PredictionServed, GenresCorrected)


@dataclass
class Gateway:
    """Answers as the experiment in force says, and a curator who says what is true, later.

    Args:
        right: by arm, the share of answers that are right.
        milliseconds: by arm, how long an answer takes since the split.
    """

    experiments: Experiments
    publisher: KafkaPublisher
    right: dict[str, float]
    milliseconds: dict[str, float]
    random: np.random.Generator = field(default_factory=lambda: np.random.default_rng(0))
    asked: int = 0

    def current(self) -> Experiment | None:
        return self.experiments.current("models", "genres")

    async def serve(self, experiment: Experiment, count: int) -> None:
        """Answer `count` requests and tell of everything twice, labels first and backwards."""
        answers: list[Message[PredictionServed]] = []
        for _ in range(count):
            self.asked += 1
            drawn = assign(experiment, f"unit {self.asked}")
            told = None
            for arm in (drawn.arm, *drawn.shadows):
                trial = Trial(
                    experiment=drawn.experiment, arm=arm.name, unit=drawn.unit, shadow_of=told
                )
                event = self._answer(arm.name, arm.version, trial)
                told = told or event.prediction_id
                answers.append(first_message(event))
        labels = [_label(each.event) for each in answers if not _shadow(each.event)]
        for messages in (labels[::-1], answers, answers[::-1], labels):
            await self.publisher.publish(messages)

    def _answer(self, arm: str, version: str, trial: Trial) -> PredictionServed:
        right = bool(self.random.random() < self.right[arm])
        return PredictionServed(
            prediction_id=str(uuid4()),
            request_id="r",
            model="genres",
            model_version=version,
            alias="experiment",
            text="a ghost",
            text_hash=f"h{self.asked}",
            probabilities=dict.fromkeys(("Comedy", "Crime", "Horror"), 0.5),
            genres=("Horror",) if right else ("Comedy",),
            served_at=datetime.now(UTC),
            duration_ms=self.milliseconds[arm],
            trial=trial,
        )


def _shadow(event: PredictionServed) -> bool:
    return event.trial is not None and event.trial.shadow_of is not None


def _label(event: PredictionServed) -> Message[GenresCorrected]:
    return first_message(
        GenresCorrected(
            feedback_id=str(uuid4()),
            prediction_id=event.prediction_id,
            text=event.text,
            text_hash=event.text_hash,
            genres=("Horror",),
            said_by="curator",
            corrected_at=datetime.now(UTC),
        )
    )


@asynccontextmanager
async def monitor() -> AsyncIterator[asyncio.subprocess.Process]:
    """The monitor as a process; it ends as if the power had failed."""
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "trending_monitor"),
        env=os.environ | ENVIRONMENT,
        stdout=asyncio.subprocess.DEVNULL,
    )
    try:
        yield process
    finally:
        if process.returncode is None:
            process.kill()
        await process.wait()


async def read_all(kafka: KafkaSettings) -> list[Message[Any]]:
    """What was told of experiments and promotions so far, in order of its topics."""
    found: list[Message[Any]] = []
    for kind in TOPICS:
        consumer = AIOKafkaConsumer(kind.topic, **kafka.connection, auto_offset_reset="earliest")
        await consumer.start()
        try:
            ends = await consumer.end_offsets(consumer.assignment())
            while any([await consumer.position(each) < end for each, end in ends.items()]):
                record = await consumer.getone()
                position = Position(record.topic, record.partition, record.offset)
                found.append(decode(headers=record.headers, body=record.value, position=position))
        finally:
            await consumer.stop()
    return found


async def told_of_the_end(store: ObjectStore, last: Experiment) -> None:
    key = f"experiments-told/models/genres/{last.number:08d}"
    async with asyncio.timeout(60):
        while True:
            if await asyncio.to_thread(store.exists, key):
                return
            await asyncio.sleep(0.1)


@pytest.mark.parametrize(
    ("right", "slower", "end", "causes"),
    [
        (0.9, 1, "promoted", {"better"}),
        (0.1, 1, "refused", {"worse", "futile", "guardrail"}),
        pytest.param(0.7, 100, "refused", {"guardrail"}, marks=pytest.mark.slow),
    ],
    ids=["better", "worse", "slow"],
)
async def test_a_model_is_tried_and_judged_without_a_hand(
    fresh_kafka: EmbeddedKafka,
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
    right: float,
    slower: float,
    end: str,
    causes: set[str],
) -> None:
    monkeypatch.setenv("TRENDING_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("KAFKA_BOOTSTRAP_SERVERS", fresh_kafka.address)
    store = ObjectStore.at((tmp_path / "home" / "store").absolute().as_uri())
    registry = ModelRegistry(store)
    champion = promote(registry, a_graph()).version
    graph = a_graph(likely=0.8)
    candidate = registry.register(graph, a_manifest(graph)).version
    kafka = KafkaSettings(bootstrap_servers=fresh_kafka.address)
    await ensure_topics([topic_spec(kind) for kind in KINDS], kafka.connection, 1)
    publisher = KafkaPublisher(
        kafka, service="test", code_version="1", registry=CollectorRegistry()
    )
    approved = ModelApproved(
        model="genres",
        model_version=candidate,
        champion=champion,
        dataset_id="d",
        reasons=("macro-F1 is higher",),
    )
    approval = first_message(approved)
    gateway = Gateway(
        Experiments(store),
        publisher,
        right={CONTROL: 0.5, CANDIDATE: right},
        milliseconds={CONTROL: 5.0, CANDIDATE: 5.0 * slower},
    )

    async def until(*ends: str) -> Experiment:
        async with asyncio.timeout(180):
            while True:
                found = await asyncio.to_thread(gateway.current)
                if found and found.judged and found.judged.phase in ends:
                    return found
                if found and found.running:
                    await gateway.serve(found, 40)
                await asyncio.sleep(0.5)  # people ask at their own pace

    async with publisher:
        await publisher.publish([approval, approval])
        async with monitor():
            await until("split", "refused")
        await publisher.publish([approval])
        async with monitor(), monitor():  # after a kill two of them
            last = await until("promoted", "refused")
            await told_of_the_end(store, last)
        told = {message.id: message for message in await read_all(kafka)}

    changes = [each.event for each in told.values() if isinstance(each.event, ExperimentChanged)]
    assert [each.number for each in changes] == list(range(1, len(changes) + 1))
    phases = [each.phase for each in changes]
    # Labels come later than answers, so what is worse may be found out only in the split.
    assert phases == ["shadow", "split", end] or (end, phases) == ("refused", ["shadow", "refused"])
    assert changes[-1].cause in causes
    assert {each.experiment for each in changes} == {last.name}
    assert {message.correlation_id for message in told.values()} == {approval.correlation_id}
    promotions = [each.event for each in told.values() if isinstance(each.event, ModelPromoted)]
    if end == "promoted":
        (promoted,) = promotions
        assert (promoted.model_version, promoted.previous) == (candidate, champion)
        assert [each.version for each in registry.history("genres")] == [champion, candidate]
    else:
        assert promotions == []
        assert registry.champion("genres").version == champion
    report = store.get(f"reports/experiments/models/genres/{last.name}/report.html").decode()
    assert end.capitalize() in report
