"""Labels that come later: what they may be compared with, and what they say."""

from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID, uuid4

import numpy as np
import pytest
import sqlalchemy as sa
from prometheus_client import CollectorRegistry

from trending_monitor.metrics import MonitorMetrics
from trending_monitor.monitoring import Monitor
from trending_monitor.watching import MIN_LABELS, Labelled, Watched, watch
from trending_monitor.windows import PredictionWindows
from trending_shared.catalog import Catalog, titles, windows
from trending_shared.clock import FrozenClock
from trending_shared.evaluation import Answers
from trending_shared.events import (
    FeaturesComputed,
    GenresCorrected,
    PredictionServed,
    QualityEstimated,
)
from trending_shared.messages import Message
from trending_shared.registry import Histogram, ModelRegistry
from trending_shared.splits import is_test
from trending_shared.storage import ObjectStore
from trending_shared.testing import delivered
from trending_shared.testing.models import with_answers

NOW = datetime(2026, 11, 1, tzinfo=UTC)
THRESHOLDS = {"Drama": 0.5, "Comedy": 0.5}
NAMES = [name for n in range(1000) if is_test(name := f"Title {n}")]


def a_registry(*, answers: int = 400, split: str = "title") -> ModelRegistry:
    """Its one model says 0.8 or 0.2, and is right."""
    random = np.random.default_rng(0)
    said = random.choice([0.8, 0.2], (answers, 2))
    kept = Answers(
        (random.random(said.shape) < said).astype(np.int8), said, THRESHOLDS, ("Drama", "Comedy")
    )
    registry = ModelRegistry(ObjectStore.at("memory:///"))
    anything = Histogram(edges=(0, 1), shares=(1,))
    metrics = {
        "macro_f1": 0.8,
        "macro_f1_interval": {"low": 0.7, "high": 0.9},
        "calibration": {"ece": 0.01, "brier": 0.1, "bins": []},
        "genres": {},
        "slices": {},
        "split": split,
        "unrecorded": {"tv shows": ["Comedy"]},
    }
    reference = {"genre:Drama": anything, "genre:Comedy": anything}
    with_answers(registry, kept, metrics=metrics, reference=reference)
    return registry


def watched(**changes: object) -> Watched:
    registry = a_registry(**changes)  # type: ignore[arg-type]
    (manifest,) = registry.versions("genres")
    return watch(registry, "genres", manifest.version, size=40, false_alarms=0.01)


def said(number: int) -> dict[str, float]:
    return {"Drama": 0.8 if number % 2 else 0.2, "Comedy": 0.2 if number % 2 else 0.8}


def right(number: int) -> frozenset[str]:
    """Four of five answers are right, as was said."""
    drama, comedy = (number % 2 == 1) != (number % 5 == 0), (number % 2 == 0) != (number % 5 == 0)
    return frozenset([*(["Drama"] if drama else []), *(["Comedy"] if comedy else [])])


def wrong(number: int) -> frozenset[str]:
    return frozenset(["Comedy" if number % 2 else "Drama"])


def of_people(count: int) -> list[Labelled]:
    return [Labelled(f"text {n}", said(n), right(n)) for n in range(count)]


def of_pages(
    count: int, *, names: Sequence[str] = NAMES, ids: str = "new", group: str = "tv films"
) -> list[Labelled]:
    return [
        Labelled(f"{ids}{n}", said(n), right(n), name=names[n], group=group) for n in range(count)
    ]


# ------------------------------------------------------------ what counts


def test_labels_that_say_what_was_expected_agree() -> None:
    check = watched().check(of_people(60))
    assert check is not None
    assert check.agrees
    assert check.measured.predictions == 60
    assert check.measured.macro_f1.value == pytest.approx(0.8, abs=0.05)


def test_labels_that_say_the_opposite_disagree_and_the_estimate_stays() -> None:
    labels = [replace(one, genres=wrong(n)) for n, one in enumerate(of_people(60))]
    check = watched().check(labels)
    assert check is not None
    assert not check.agrees
    assert check.measured.macro_f1.value == 0
    assert check.estimated.macro_f1.value > 0.6


def test_few_labels_say_nothing() -> None:
    assert watched().check(of_people(MIN_LABELS - 1)) is None
    assert watched().check(of_people(1) * MIN_LABELS) is None


def test_a_page_counts_only_if_nobody_can_have_learned_from_it() -> None:
    model = watched()
    learned = [name for n in range(1000) if not is_test(name := f"Title {n}")]
    assert model.check(of_pages(40)) is not None
    assert model.check(of_pages(40, names=learned)) is None
    assert model.check(of_pages(40, ids="")) is None  # the reference's own titles: 0, 1, …
    assert watched(split="time").check(of_pages(40)) is None
    assert model.check([replace(one, genres=frozenset()) for one in of_pages(40)]) is None


def test_a_genre_that_a_source_does_not_record_counts_neither_way() -> None:
    check = watched().check(of_pages(40, group="tv shows"))
    assert check is not None
    for found in (check.estimated, check.measured):
        assert found.genres["Comedy"].f1 is None
        assert found.genres["Comedy"].hits == found.genres["Comedy"].false_alarms == 0


def test_a_bundle_without_usable_answers_has_no_estimate_and_says_why() -> None:
    model = watched(answers=30)
    assert model.reliability is None
    assert "too few" in model.unreliable
    assert model.check(of_people(60)) is None


# ------------------------------------------------------------ how they come


def a_monitor(catalog: Catalog, registry: ModelRegistry) -> Monitor:
    return Monitor(
        windows=PredictionWindows(catalog, size=40),
        registry=registry,
        metrics=MonitorMetrics(CollectorRegistry()),
        clock=FrozenClock(NOW),
        false_alarms=0.01,
    )


def served(registry: ModelRegistry, n: int) -> Message[PredictionServed]:
    (manifest,) = registry.versions("genres")
    event = PredictionServed(
        prediction_id=str(UUID(int=n)),
        request_id="r",
        model="genres",
        model_version=manifest.version,
        alias="champion",
        title_id=f"new{n}",
        text="w",
        text_hash=f"h{n}",
        probabilities=said(n),
        genres=("Drama",),
        served_at=NOW + timedelta(seconds=n),
        duration_ms=1.0,
    )
    return replace(delivered(event), id=uuid4())


def corrected(n: int, genres: frozenset[str]) -> Message[GenresCorrected]:
    return delivered(
        GenresCorrected(
            feedback_id=str(UUID(int=n)),
            prediction_id=str(UUID(int=n)),
            text="w",
            text_hash=f"h{n}",
            genres=tuple(genres),
            said_by="anonymous",
            corrected_at=NOW,
        )
    )


def a_row(n: int) -> dict[str, Any]:
    """A title as the featurizer keeps it."""
    return {
        "title_id": f"new{n}",
        "source": "tv",
        "source_id": str(n),
        "name": NAMES[n],
        "kind": "film",
        "genres": sorted(right(n)),
        "plot": "A plot.",
        "countries": [],
        "license": "CC0-1.0",
        "url": "http://films.example/",
        "page_hash": "ab",
        "page_key": "raw/ab/ab.gz",
        "fetched_at": NOW,
        "content_hash": "c",
        "text_hash": f"h{n}",
        "popularity": [],
    }


async def kept(catalog: Catalog) -> list[sa.Row[tuple[object, ...]]]:
    async with catalog.reading() as connection:
        return list((await connection.execute(sa.select(windows))).all())


async def test_a_window_is_estimated_kept_and_told_once(catalog: Catalog) -> None:
    registry = a_registry()
    batch = [served(registry, n) for n in range(40)]
    (message,) = await a_monitor(catalog, registry).on_predictions_served(batch)
    assert isinstance(message.event, QualityEstimated)
    assert message.event.low < message.event.macro_f1 < message.event.high
    assert message.event.genres["Drama"].hits == pytest.approx(16, abs=2)
    (row,) = await kept(catalog)
    assert row.quality["macro_f1"]["value"] == message.event.macro_f1
    assert row.checks is None
    (again,) = await a_monitor(catalog, registry).on_predictions_served(batch[:3])
    assert (again.id, again.event) == (message.id, message.event)


async def test_without_an_estimate_drift_is_measured_all_the_same(catalog: Catalog) -> None:
    registry = a_registry(answers=30)
    batch = [served(registry, n) for n in range(40)]
    assert await a_monitor(catalog, registry).on_predictions_served(batch) == []
    (row,) = await kept(catalog)
    assert row.quality is None
    assert set(row.scores) == {"genre:Drama", "genre:Comedy"}


async def test_what_people_say_stands_beside_the_estimate_however_often(catalog: Catalog) -> None:
    registry = a_registry()
    monitor = a_monitor(catalog, registry)
    await monitor.on_predictions_served([served(registry, n) for n in range(40)])
    await monitor.on_genres_corrected([corrected(n, wrong(n)) for n in range(MIN_LABELS - 1)])
    assert (await kept(catalog))[0].checks is None
    for _ in range(2):
        await monitor.on_genres_corrected([corrected(n, wrong(n)) for n in range(5, 25)])
    (row,) = await kept(catalog)
    assert set(row.checks) == {"feedback"}
    assert row.checks["feedback"]["measured"]["predictions"] == 25
    assert row.checks["feedback"]["measured"]["macro_f1"]["value"] == 0


async def test_labels_may_be_there_before_their_window_and_outlive_a_kill(catalog: Catalog) -> None:
    registry = a_registry()
    batch = [served(registry, n) for n in range(40)]
    await a_monitor(catalog, registry).on_genres_corrected(
        [corrected(n, wrong(n)) for n in range(30)]
    )
    await a_monitor(catalog, registry).on_predictions_served(batch)
    (first,) = await kept(catalog)
    assert first.checks["feedback"]["measured"]["predictions"] == 30
    async with catalog.transaction() as connection:  # as if killed once the window was cut
        await connection.execute(windows.update().values(checks=None))
    await a_monitor(catalog, registry).on_predictions_served(batch[-1:])
    (again,) = await kept(catalog)
    assert again.checks == first.checks


async def test_what_pages_say_is_known_once_features_are_computed(catalog: Catalog) -> None:
    registry = a_registry()
    monitor = a_monitor(catalog, registry)
    await monitor.on_predictions_served([served(registry, n) for n in range(40)])
    rows = [a_row(n) for n in range(40)]
    async with catalog.transaction() as connection:
        await catalog.upsert(connection, titles, rows)
    computed = FeaturesComputed(
        title_id="new7", content_hash="c", text_hash="t", recipe="r", encoder="e"
    )
    await monitor.on_features_computed([delivered(computed)])
    (row,) = await kept(catalog)
    assert row.checks["pages"]["measured"]["predictions"] == 40
