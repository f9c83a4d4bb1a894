"""The monitor as it runs: on a real broker, over a restart, with reports in a process beside it."""

import asyncio
import json
import sys
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from uuid import UUID

import numpy as np
import pytest
import sqlalchemy as sa
from prometheus_client import CollectorRegistry

from trending_cli.embedded_kafka import EmbeddedKafka
from trending_cli.testing import read_messages
from trending_monitor.app import create_app
from trending_monitor.reports import is_told
from trending_monitor.settings import MonitorSettings
from trending_shared.catalog import Catalog, windows
from trending_shared.evaluation import Answers
from trending_shared.events import (
    DriftDetected,
    DriftReported,
    GenresCorrected,
    PredictionServed,
    QualityEstimated,
)
from trending_shared.messages import Message, first_message
from trending_shared.publishing import KafkaPublisher
from trending_shared.registry import Histogram, ModelRegistry
from trending_shared.storage import ObjectStore
from trending_shared.testing.models import with_answers

pytestmark = [pytest.mark.connected, pytest.mark.timeout(400)]

YESTERDAY = datetime.now(UTC).replace(hour=12) - timedelta(days=1)
THRESHOLDS = {"Drama": 0.5, "Comedy": 0.5}


def register(store: ObjectStore) -> str:
    """A model that says 0.8 or 0.2 and is right; its version."""
    random = np.random.default_rng(0)
    said = random.choice([0.8, 0.2], (400, 2))
    labels = (random.random(said.shape) < said).astype(np.int8)
    halves = Histogram(edges=(0, 0.5, 1.01), shares=(0.5, 0.5))
    manifest = with_answers(
        ModelRegistry(store),
        Answers(labels, said, THRESHOLDS, tuple(THRESHOLDS)),
        reference={"genre:Drama": halves, "genre:Comedy": halves},
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
        served_at=YESTERDAY + timedelta(seconds=n),
        duration_ms=1.0,
    )
    return replace(first_message(event), id=UUID(int=n))


def corrected(n: int) -> Message[GenresCorrected]:
    event = GenresCorrected(
        feedback_id=str(UUID(int=n)),
        prediction_id=str(UUID(int=n)),
        text="w",
        text_hash=f"h{n}",
        genres=("Comedy",),
        said_by="anonymous",
        corrected_at=YESTERDAY,
    )
    return replace(first_message(event), id=UUID(int=n))


async def reported(store: ObjectStore, version: str) -> None:
    """Return once the report is made and marked as told."""
    async with asyncio.timeout(60):
        while True:
            if is_told(store, YESTERDAY.date(), version):
                return
            await asyncio.sleep(0.1)


async def checked(catalog: Catalog) -> list[Any]:
    """All windows, once one of them was compared with labels."""
    async with asyncio.timeout(60):
        while True:
            async with catalog.reading() as connection:
                rows = list((await connection.execute(sa.select(windows))).all())
            if any(row.checks for row in rows):
                return rows
            await asyncio.sleep(0.1)


async def test_what_is_served_is_judged_checked_and_reported_over_a_restart(
    fresh_kafka: EmbeddedKafka, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("TRENDING_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("KAFKA_BOOTSTRAP_SERVERS", fresh_kafka.address)
    monkeypatch.setenv("PYTHONWARNINGS", "ignore")  # Evidently's, in the process beside
    settings = MonitorSettings(window_size=50)
    store, kafka = ObjectStore.at(settings.store), settings.kafka
    version = register(store)
    batch = [served(version, n) for n in range(120)]
    publisher = KafkaPublisher(
        kafka, service="test", code_version="1", registry=CollectorRegistry()
    )
    async with publisher:
        async with create_app(settings).start_lifespan_context():
            await publisher.publish(batch[:70])
            await read_messages(kafka, QualityEstimated.topic, 1, within=300)
        async with create_app(settings).start_lifespan_context():
            await publisher.publish(batch)  # seventy of them for the second time
            told = await read_messages(kafka, QualityEstimated.topic, 2, within=300)
            drifts = await read_messages(kafka, DriftDetected.topic, 2, within=300)
            await publisher.publish([corrected(n) for n in range(60)])
            catalog = Catalog(settings.catalog)
            rows = await checked(catalog)
            await catalog.close()
        # Whoever starts now finds that a day has ended, and that nothing was reported of it.
        async with create_app(settings).start_lifespan_context():
            (report,) = await read_messages(kafka, DriftReported.topic, 1, within=300)
            await reported(store, version)
    assert len(rows) == 2
    assert {message.event.window_id for message in told} <= {row.window_id for row in rows}
    assert {tuple(message.event.drifted) for message in drifts} == {("genre:Drama",)}
    (check,) = [row.checks["feedback"] for row in rows if row.checks]
    assert (
        check["measured"]["macro_f1"]["value"] < check["estimated"]["macro_f1"]["interval"]["low"]
    )
    assert (report.event.subject, report.event.rows) == (version, 120)
    assert "genre:Drama" in report.event.drifted
    assert "text_words" in report.event.failed
    assert json.loads(store.get(report.event.document))["drifted"] == list(report.event.drifted)
    assert report.event.html is not None
    assert store.exists(report.event.html)
    again = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "trending_monitor.reporting"),
        *(str(YESTERDAY.date()), "--missing", "--json"),
        stdout=asyncio.subprocess.PIPE,
    )
    output, _ = await again.communicate()
    assert json.loads(output) == []
