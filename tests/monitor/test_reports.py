"""Reports on a day: what is compared, what can't be, where it lies, and for how long."""

import gzip
import json
import subprocess
import sys
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from uuid import UUID, uuid4

import numpy as np
import pandas as pd
import pytest
from prometheus_client import CollectorRegistry

from trending_monitor.metrics import MonitorMetrics
from trending_monitor.monitoring import Monitor
from trending_monitor.reporting import keep, tables_of, told
from trending_monitor.reports import INSIGHTS, expired, folder_of, is_told, subjects_of
from trending_monitor.schedule import ReportSchedule
from trending_monitor.windows import PredictionWindows
from trending_shared.catalog import Catalog
from trending_shared.clock import FrozenClock
from trending_shared.evaluation import Answers
from trending_shared.events import InsightServed, PredictionServed, Trial
from trending_shared.messages import Message
from trending_shared.registry import Manifest, ModelRegistry
from trending_shared.storage import ObjectStore
from trending_shared.testing import delivered
from trending_shared.testing.datasets import cut_dataset, some_rows
from trending_shared.testing.models import with_answers

DAY = date(2026, 11, 1)
NOON = datetime(2026, 11, 1, 12, tzinfo=UTC)
GENRES = ("Drama", "Comedy")
# Evidently's own and its libraries' warnings are theirs to mend.
evidently = pytest.mark.filterwarnings("ignore")


@pytest.fixture
def store() -> ObjectStore:
    return ObjectStore.at("memory:///")


def register(store: ObjectStore, **changes: object) -> Manifest:
    said = np.random.default_rng(0).random((400, 2)).astype(np.float32)
    labels = (said > 0.5).astype(np.int8)
    answers = Answers(labels, said, dict.fromkeys(GENRES, 0.5), GENRES)
    return with_answers(ModelRegistry(store), answers, **changes)


def a_monitor(catalog: Catalog, store: ObjectStore) -> Monitor:
    return Monitor(
        windows=PredictionWindows(catalog, size=10_000),
        registry=ModelRegistry(store),
        metrics=MonitorMetrics(CollectorRegistry()),
        clock=FrozenClock(NOON),
        false_alarms=0.01,
    )


def served(
    version: str, n: int, *, drama: float, at: datetime = NOON, text: str = "some words"
) -> Message[PredictionServed]:
    event = PredictionServed(
        prediction_id=str(UUID(int=n)),
        request_id="r",
        model="genres",
        model_version=version,
        alias="champion",
        text=text,
        text_hash="h",
        probabilities={"Drama": drama, "Comedy": (n * 0.618) % 1},
        genres=(),
        served_at=at,
        duration_ms=1.0,
    )
    return replace(delivered(event), id=uuid4())


def an_insight(
    n: int, *, at: datetime, trial: Trial | None = None, **changes: object
) -> Message[InsightServed]:
    fields: dict[str, object] = {
        "insight_id": str(UUID(int=n)),
        "request_id": "r",
        "caller": "c",
        "outcome": "answered" if n % 3 else "abstained",
        "prompt": "insight",
        "prompt_version": "1",
        "answer_form": "insight-1",
        "attempts": 1,
        "cached": False,
        "prompt_tokens": 500 + n % 50,
        "completion_tokens": 100 + n % 17,
        "cost_usd": 0.001 * (1 + n % 5),
        "evidence_hash": "h",
        "sentences": 5 + n % 7,
        "withheld": 0,
        "answer_hash": "h",
        "genres": (),
        "score": None,
        "claims": 3,
        "dropped": {"unsupported": n % 2},
        "served_at": at,
        "duration_ms": 1.0,
        "trial": trial,
    }
    return delivered(InsightServed.model_validate(fields | changes))


# ------------------------------------------------------------ what is compared


@evidently
async def test_a_day_unlike_the_reference_is_told_by_column_and_what_fails_hides_nothing(
    catalog: Catalog, store: ObjectStore
) -> None:
    version = register(store).version
    monitor = a_monitor(catalog, store)
    await monitor.on_predictions_served(
        [served(version, n, drama=0.7 + (n % 30) / 100) for n in range(300)]
    )
    tables = await tables_of(catalog, store, DAY, version)
    report = keep(store, DAY, tables)
    assert (report.rows, report.reference_rows) == (300, 400)
    assert "genre:Drama" in report.drifted
    assert "genre:Comedy" not in report.drifted
    assert report.failed["text_words"] == "the reference doesn't have it"  # no dataset, no texts
    assert set(report.scores) == set(report.thresholds)
    assert not set(report.scores) & set(report.failed)
    page = gzip.decompress(store.get(f"reports/drift/2026-11-01/{version}/report.html.gz"))
    assert b"genre:Drama" in page
    document = json.loads(store.get(report.document))
    assert document["failed"] == report.failed
    assert {m["config"]["column"] for m in document["evidently"]["metrics"]} == set(report.scores)
    assert told(report).id == told(keep(store, DAY, tables)).id  # made again, it is the same


@evidently
async def test_texts_are_compared_with_those_of_the_titles_that_the_model_was_tested_on(
    catalog: Catalog, store: ObjectStore
) -> None:
    rows = [row | {"title_id": str(n)} for n, row in enumerate(some_rows(700))]
    version = register(store, dataset_id=cut_dataset(store, "d", rows).dataset_id).version
    foreign = [str(row["text"]).replace("the", "zyx").replace("one", "wvu") for row in rows[:300]]
    await a_monitor(catalog, store).on_predictions_served(
        [served(version, n, drama=0.5, text=text) for n, text in enumerate(foreign)]
    )
    tables = await tables_of(catalog, store, DAY, version)
    report = keep(store, DAY, tables)
    assert tables.reference["text_unknown_words"].mean() < 0.2
    assert {"text_words", "text_characters", "text_unknown_words"} <= set(report.scores)
    assert "text_unknown_words" in report.drifted
    assert "text_words" not in report.drifted


@evidently
async def test_a_quiet_day_is_no_drift_and_a_short_one_no_comparison(
    catalog: Catalog, store: ObjectStore
) -> None:
    version = register(store).version
    monitor = a_monitor(catalog, store)
    await monitor.on_predictions_served(
        [served(version, n, drama=(n * 0.7548) % 1) for n in range(400)]
    )
    before = NOON - timedelta(days=1)
    await monitor.on_predictions_served(
        [served(version, 1000 + n, drama=0.5, at=before) for n in range(49)]
    )
    assert keep(store, DAY, await tables_of(catalog, store, DAY, version)).drifted == ()
    day = DAY - timedelta(days=1)
    short = keep(store, day, await tables_of(catalog, store, day, version))
    assert short.scores == {}
    assert short.failed["confidence"] == "the day has 49 values; 50 are needed"
    assert short.html is None


@evidently
async def test_what_was_told_of_titles_is_compared_with_the_week_before(
    catalog: Catalog, store: ObjectStore
) -> None:
    monitor = a_monitor(catalog, store)
    week = [an_insight(n, at=NOON - timedelta(days=1 + n % 7)) for n in range(200)]
    today = [an_insight(1000 + n, at=NOON, outcome="abstained") for n in range(100)]
    trial = Trial(experiment="e", arm="a", unit="ab" * 16, shadow_of=str(UUID(int=1)))
    shadow = [an_insight(5000 + n, at=NOON, trial=trial) for n in range(100)]
    for _ in range(2):
        await monitor.on_insights_served([*week, *today, *shadow])
    tables = await tables_of(catalog, store, DAY, INSIGHTS)
    report = keep(store, DAY, tables)
    assert (report.rows, report.reference_rows) == (100, 200)
    assert "outcome" in report.drifted
    assert "cost_usd" not in report.drifted
    assert report.failed["score"] == "the day has 0 values; 50 are needed"


@evidently
def test_a_column_that_evidently_fails_at_is_named_and_the_others_are_compared() -> None:
    from trending_monitor.comparing import compare

    random = np.random.default_rng(0)
    table = pd.DataFrame({"good": random.random(100), "bad": [[n] for n in range(100)]})
    found = compare(table, table)
    assert set(found.scores) == {"good"}
    assert found.failed["bad"].startswith("Evidently failed: ")
    assert found.html is not None


def test_the_shim_is_needed_still() -> None:
    """When this fails, what `comparing` does before it imports Evidently can go."""
    tried = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", "import evidently"], capture_output=True, check=False
    )
    assert b"infer_dtype_from_object" in tried.stderr


def test_the_service_itself_loads_nothing_large() -> None:
    large = ("evidently", "pandas", "pyarrow")
    look = f"import sys, trending_monitor.app; print(set({large}) & sys.modules.keys())"
    found = subprocess.run([sys.executable, "-c", look], capture_output=True, check=True, text=True)
    assert found.stdout.strip() == "set()"


@evidently
async def test_a_version_without_a_bundle_is_told_as_such(
    catalog: Catalog, store: ObjectStore
) -> None:
    report = keep(store, DAY, await tables_of(catalog, store, DAY, "ffff"))
    assert report.reference == "none: the registry holds no genres ffff"
    assert set(report.failed) == {"everything"}
    assert (report.scores, report.html) == ({}, None)


# ------------------------------------------------------------ when, and for how long


async def test_each_version_that_answered_and_insights_are_reported_on(
    catalog: Catalog, store: ObjectStore
) -> None:
    version = register(store).version
    monitor = a_monitor(catalog, store)
    assert await subjects_of(catalog, DAY) == []
    await monitor.on_predictions_served([served(version, 1, drama=0.5)])
    trial = Trial(experiment="e", arm="a", unit="ab" * 16, shadow_of=str(UUID(int=1)))
    shadow = served("ffff", 2, drama=0.5)
    shadow = replace(shadow, event=shadow.event.model_copy(update={"trial": trial}))
    await PredictionWindows(catalog, size=10).record([shadow])
    assert await subjects_of(catalog, DAY) == [version]
    await monitor.on_insights_served([an_insight(1, at=NOON)])
    assert await subjects_of(catalog, DAY) == [version, INSIGHTS]
    assert await subjects_of(catalog, DAY + timedelta(days=1)) == []


async def test_a_report_is_made_once_its_day_has_ended_until_it_is_there(
    catalog: Catalog, store: ObjectStore
) -> None:
    version = register(store).version
    await a_monitor(catalog, store).on_predictions_served([served(version, 1, drama=0.5)])
    asked: list[date] = []

    async def report(day: date) -> int:
        asked.append(day)
        return 1

    clock = FrozenClock(NOON)
    schedule = ReportSchedule(
        catalog=catalog,
        store=store,
        clock=clock,
        every=timedelta(hours=1),
        report=report,
    )
    await schedule.look()
    assert asked == []
    clock.advance(timedelta(days=1))
    await schedule.look()
    await schedule.look()
    assert asked == [DAY, DAY]
    store.put(f"{folder_of(DAY, version)}/told", b"")
    assert is_told(store, DAY, version)
    await schedule.look()
    assert asked == [DAY, DAY]


def test_reports_of_long_ago_are_found_and_nothing_else(store: ObjectStore) -> None:
    keys = [
        "reports/drift/2026-10-01/v/report.html.gz",
        "reports/drift/2026-10-01/v/told",
        "reports/drift/2026-10-02/v/report.json",
        "reports/drift/notes/report.json",
        "reports/other/2020-01-01/v/report.json",
    ]
    for key in keys:
        store.put(key, b"")
    assert expired(store, before=date(2026, 10, 2)) == keys[:2]
