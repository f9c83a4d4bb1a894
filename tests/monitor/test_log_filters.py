"""What CloudWatch counts of the lines that a monitor prints."""

from collections import Counter
from collections.abc import Callable
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from uuid import UUID

from prometheus_client import CollectorRegistry

from trending_monitor.auditing import Auditor
from trending_monitor.metrics import MonitorMetrics
from trending_monitor.monitoring import Monitor
from trending_monitor.windows import PredictionWindows
from trending_shared.catalog import Catalog
from trending_shared.clock import FrozenClock
from trending_shared.events import DriftReported, PredictionServed
from trending_shared.messages import Message
from trending_shared.registry import Histogram, ModelRegistry, model_version
from trending_shared.storage import ObjectStore
from trending_shared.testing import delivered
from trending_shared.testing.models import a_graph, a_manifest, promote

Counted = Callable[[], Counter[str]]
NOW = datetime(2026, 11, 1, tzinfo=UTC)
VERSION = model_version(b"graph", {"Drama": 0.5})


def a_monitor(folder: Path) -> tuple[Monitor, Catalog]:
    catalog = Catalog(f"sqlite+aiosqlite:///{folder / 'catalog.db'}")
    registry = ModelRegistry(ObjectStore.at("memory:///"))
    reference = {
        "text_words": Histogram(edges=(0, 5, 10), shares=(0.5, 0.5)),
        "genre:Drama": Histogram(edges=(0, 1), shares=(1,)),
    }
    manifest = a_manifest(b"graph", labels=("Drama",), reference=reference)
    registry.register(b"graph", manifest)
    monitor = Monitor(
        windows=PredictionWindows(catalog, size=20),
        registry=registry,
        metrics=MonitorMetrics(CollectorRegistry()),
        clock=FrozenClock(NOW),
        false_alarms=0.01,
    )
    return monitor, catalog


def served(number: int, words: int) -> Message[PredictionServed]:
    return delivered(
        PredictionServed(
            prediction_id=str(UUID(int=number)),
            request_id="r",
            model="genres",
            model_version=VERSION,
            alias="champion",
            text="w " * words,
            text_hash="h",
            probabilities={"Drama": 0.5},
            genres=("Drama",),
            served_at=NOW + timedelta(seconds=number),
            duration_ms=1.0,
        )
    )


def reported(*drifted: str) -> Message[DriftReported]:
    return delivered(
        DriftReported(
            day=date(2026, 10, 31),
            subject=VERSION,
            reference="20 titles",
            rows=20,
            reference_rows=20,
            scores={"text_words": 0.3},
            thresholds={"text_words": 0.1},
            drifted=drifted,
            failed={},
            html="reports/a",
            document="reports/b",
        )
    )


async def test_reports_are_counted_and_those_that_tell_of_drift(
    tmp_path: Path, counted: Counted
) -> None:
    monitor, _ = a_monitor(tmp_path)
    await monitor.on_drift_reported(reported())
    assert counted() == {"ReportsWritten": 1}
    await monitor.on_drift_reported(reported("text_words"))
    assert counted() == {"ReportsWritten": 2, "ReportsWithDrift": 1}


async def test_windows_that_drifted_are_counted_and_steady_ones_are_not(
    tmp_path: Path, counted: Counted
) -> None:
    monitor, catalog = a_monitor(tmp_path)
    await catalog.create()
    await monitor.on_predictions_served([served(n, 3 if n % 2 else 7) for n in range(1, 21)])
    assert counted() == {}
    await monitor.on_predictions_served([served(n, 9) for n in range(21, 41)])
    assert counted() == {"WindowsDrifted": 1}
    await catalog.close()


async def test_what_is_wrong_with_the_audit_log_is_counted(counted: Counted) -> None:
    store = ObjectStore.at("memory:///")
    auditor = Auditor(
        store,
        metrics=MonitorMetrics(CollectorRegistry()),
        clock=FrozenClock(NOW),
        every=timedelta(seconds=1),
    )
    promote(ModelRegistry(store), a_graph())
    await auditor.look()
    await auditor.check()
    assert counted() == {}
    (key,) = store.keys("aliases")
    store.put(key, b"{}")
    await auditor.check()
    assert counted() == {"AuditLogBroken": 1}
