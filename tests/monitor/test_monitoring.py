"""Predictions in, windows and drift out, each once."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from uuid import UUID, uuid4

import pytest
import sqlalchemy as sa
from prometheus_client import CollectorRegistry

from trending_monitor.metrics import MonitorMetrics
from trending_monitor.monitoring import Monitor
from trending_monitor.windows import PredictionWindows
from trending_shared.catalog import Catalog, corrections, predictions, windows
from trending_shared.clock import FrozenClock
from trending_shared.errors import ModelNotFound
from trending_shared.events import GenresCorrected, PredictionServed, Trial
from trending_shared.messages import Message
from trending_shared.registry import Histogram, ModelRegistry, model_version
from trending_shared.storage import ObjectStore
from trending_shared.testing import delivered
from trending_shared.testing.models import a_manifest

NOW = datetime(2026, 11, 1, tzinfo=UTC)
VERSION = model_version(b"graph", {"Drama": 0.5})


def a_monitor(
    catalog: Catalog, *, size: int = 20, registry: ModelRegistry | None = None
) -> Monitor:
    registry = registry or a_registry()
    return Monitor(
        windows=PredictionWindows(catalog, size=size),
        registry=registry,
        metrics=MonitorMetrics(CollectorRegistry()),
        clock=FrozenClock(NOW),
        false_alarms=0.01,
    )


def a_registry() -> ModelRegistry:
    registry = ModelRegistry(ObjectStore.at("memory:///"))
    anything = Histogram(edges=(0, 1), shares=(1,))
    reference = {
        "text_words": Histogram(edges=(0, 5, 10), shares=(0.5, 0.5)),
        "genre:Drama": anything,
    }
    manifest = a_manifest(b"graph", labels=("Drama",), reference=reference)
    assert registry.register(b"graph", manifest).version == VERSION
    return registry


def served(
    n: int, *, words: int, version: str = VERSION, trial: Trial | None = None
) -> Message[PredictionServed]:
    message = delivered(
        PredictionServed(
            prediction_id=str(UUID(int=n)),
            request_id="r",
            model="genres",
            model_version=version,
            alias="champion",
            text="w " * words,
            text_hash="h",
            probabilities={"Drama": 0.5},
            genres=("Drama",),
            served_at=NOW + timedelta(seconds=n),
            duration_ms=1.0,
            trial=trial,
        )
    )
    return replace(message, id=uuid4())


def steady(first: int, last: int) -> list[Message[PredictionServed]]:
    return [served(n, words=2 if n % 2 else 7) for n in range(first, last)]


def odd(first: int, last: int) -> list[Message[PredictionServed]]:
    return [served(n, words=9) for n in range(first, last)]


async def count(catalog: Catalog, table: sa.Table) -> int:
    async with catalog.reading() as connection:
        found = await connection.execute(sa.select(sa.func.count()).select_from(table))
        return int(found.scalar_one())


async def test_a_window_that_is_not_full_is_not_measured(catalog: Catalog) -> None:
    assert await a_monitor(catalog).on_predictions_served(odd(0, 19)) == []
    assert await count(catalog, windows) == 0


async def test_a_full_window_unlike_the_reference_leads_to_drift_detected(
    catalog: Catalog,
) -> None:
    monitor = a_monitor(catalog)
    await monitor.on_predictions_served(odd(0, 15))
    (message,) = await monitor.on_predictions_served(odd(15, 25))
    assert message.event.drifted == ("text_words",)
    assert message.event.predictions == 20
    assert (message.event.first_at, message.event.last_at) == (NOW, NOW + timedelta(seconds=19))
    assert message.id == UUID(message.event.window_id)


async def test_a_full_window_like_the_reference_is_kept_and_stays_quiet(catalog: Catalog) -> None:
    assert await a_monitor(catalog).on_predictions_served(steady(0, 20)) == []
    assert await count(catalog, windows) == 1


async def test_a_redelivery_adds_nothing_and_publishes_the_same_again(catalog: Catalog) -> None:
    monitor = a_monitor(catalog)
    batch = odd(0, 30)
    (first,) = await monitor.on_predictions_served(batch)
    (again,) = await a_monitor(catalog).on_predictions_served(batch[5:])
    assert again.id == first.id
    assert again.event == first.event
    assert await count(catalog, predictions) == 30
    assert await count(catalog, windows) == 1


async def test_windows_go_on_after_a_restart(catalog: Catalog) -> None:
    await a_monitor(catalog).on_predictions_served(odd(0, 15))
    assert len(await a_monitor(catalog).on_predictions_served(odd(15, 60))) == 3


async def test_two_models_fill_windows_of_their_own(catalog: Catalog) -> None:
    monitor = a_monitor(catalog)
    unknown = [served(n, words=9, version="ffff") for n in range(100, 105)]
    await monitor.on_predictions_served(odd(0, 19))
    with pytest.raises(ModelNotFound):
        await monitor.on_predictions_served(unknown)
    assert await count(catalog, windows) == 0


async def test_what_people_said_is_kept_once_whether_its_prediction_is_here_or_not(
    catalog: Catalog,
) -> None:
    monitor = a_monitor(catalog)
    said = [
        delivered(
            GenresCorrected(
                feedback_id=str(UUID(int=n)),
                prediction_id=str(UUID(int=100 + n)),
                text="w w",
                text_hash="h",
                genres=("Comedy", "Drama"),
                said_by="anonymous",
                corrected_at=NOW,
            )
        )
        for n in range(2)
    ]
    await monitor.on_genres_corrected(said)
    await monitor.on_genres_corrected(said[::-1])
    async with catalog.reading() as connection:
        rows = (await connection.execute(sa.select(corrections))).all()
    assert {row.prediction_id for row in rows} == {str(UUID(int=100)), str(UUID(int=101))}
    assert {tuple(row.genres) for row in rows} == {("Comedy", "Drama")}


SHADOW = Trial(experiment="autumn", arm="candidate", unit="ab" * 16, shadow_of=str(UUID(int=1)))


async def test_what_was_told_to_nobody_is_recorded_and_never_measured(catalog: Catalog) -> None:
    monitor = a_monitor(catalog)
    shadows = [served(100 + n, words=9, trial=SHADOW) for n in range(30)]
    assert await monitor.on_predictions_served([*odd(0, 10), *shadows]) == []
    (drift,) = await monitor.on_predictions_served(odd(10, 20))
    assert drift.event.predictions == 20
    assert drift.event.last_at == NOW + timedelta(seconds=19)
    async with catalog.reading() as connection:
        in_shadow = predictions.c.shadow_of.is_not(None)
        found = await connection.execute(sa.select(predictions).where(in_shadow))
        rows = found.all()
    assert len(rows) == 30
    assert {(row.experiment, row.arm, row.unit, row.window_id) for row in rows} == {
        ("autumn", "candidate", SHADOW.unit, None)
    }


async def test_an_arm_that_is_served_is_measured_like_any_other(catalog: Catalog) -> None:
    trial = Trial(experiment="autumn", arm="candidate", unit="ab" * 16)
    batch = [served(n, words=9, trial=trial) for n in range(20)]
    (drift,) = await a_monitor(catalog).on_predictions_served(batch)
    assert drift.event.predictions == 20
