"""What the monitor enters into the audit log, and that it enters it once."""

import hashlib
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from typing import Any

import pytest
from prometheus_client import CollectorRegistry

from trending_monitor.auditing import DOCUMENTS, Auditor
from trending_monitor.metrics import MonitorMetrics
from trending_shared.audit import read_entries, verify
from trending_shared.clock import FrozenClock
from trending_shared.events import (
    ModelRefused,
    RecordsDeleted,
    RetrainingDecided,
    RetrainingTrigger,
    ServiceConfigured,
)
from trending_shared.experiments import Arm, Experiments
from trending_shared.messages import Message, first_message
from trending_shared.registry import ModelRegistry
from trending_shared.storage import ObjectStore
from trending_shared.testing.models import a_graph, promote

NOON = datetime(2026, 11, 1, 12, tzinfo=UTC)


@pytest.fixture
def store() -> ObjectStore:
    return ObjectStore.at("memory:///")


def an_auditor(store: ObjectStore) -> Auditor:
    return Auditor(
        store,
        metrics=MonitorMetrics(CollectorRegistry()),
        clock=FrozenClock(NOON),
        every=timedelta(seconds=1),
    )


def arrived(event: Any) -> Message[Any]:
    return replace(first_message(event), time=NOON, source="trending/test", code_version="1")


def began(**settings: str) -> Message[Any]:
    event = ServiceConfigured(service="cleaner", settings=settings, consumes=(), produces=())
    return arrived(event)


async def test_events_are_entered_once_whoever_is_told_them(store: ObjectStore) -> None:
    refused = arrived(
        ModelRefused(
            model="genres", model_version="ab", dataset_id="cd", reasons=("no better", "slower")
        )
    )
    deleted = arrived(
        RecordsDeleted(what="reports", count=3, before=date(2026, 8, 1), reason="kept 90 days")
    )
    auditor = an_auditor(store)
    await auditor.enter([refused, deleted])
    await auditor.enter([refused])
    await an_auditor(store).enter([deleted, refused])
    first, second = read_entries(store)
    assert (first.kind, first.subject, first.by) == ("models-refused", "genres", "trending/test")
    assert first.reasons == ("no better", "slower")
    assert first.details["model_version"] == "ab"
    assert first.details["correlation_id"] == str(refused.correlation_id)
    assert second.reasons == ("kept 90 days",)


async def test_a_configuration_is_entered_when_it_changes(store: ObjectStore) -> None:
    auditor = an_auditor(store)
    await auditor.enter([began(CLEANER_PORT="1"), began(CLEANER_PORT="1")])
    await an_auditor(store).enter([began(CLEANER_PORT="1"), began(CLEANER_PORT="2")])
    await auditor.enter([began(CLEANER_PORT="1")])
    ports = [entry.details["settings"]["CLEANER_PORT"] for entry in read_entries(store)]
    assert ports == ["1", "2", "1"]


def decided(
    *codes: str, trigger: RetrainingTrigger = "drift", retrain: bool = False
) -> Message[Any]:
    event = RetrainingDecided(
        decision_id="d",
        model="genres",
        trigger=trigger,
        retrain=retrain,
        codes=codes,
        reasons=codes,
        decided_at=NOON,
        budget_left=1,
    )
    return arrived(event)


async def test_a_no_is_entered_once_until_another_answer_is_given_to_its_trigger(
    store: ObjectStore,
) -> None:
    yes, no = decided("drift-sustained", retrain=True), ("on-trial",)
    await an_auditor(store).enter(
        [decided(*no), decided(*no), decided(*no, trigger="schedule"), decided(*no)]
    )
    await an_auditor(store).enter([decided(*no), yes, decided(*no), decided("cool-down")])
    told = [
        (entry.subject, entry.details["retrain"], *entry.reasons) for entry in read_entries(store)
    ]
    assert told == [
        ("genres drift", False, "on-trial"),
        ("genres schedule", False, "on-trial"),
        ("genres drift", True, "drift-sustained"),
        ("genres drift", False, "on-trial"),
        ("genres drift", False, "cool-down"),
    ]


async def test_promotions_and_experiments_are_entered_from_what_is_in_force(
    store: ObjectStore,
) -> None:
    models = ModelRegistry(store)
    promote(models, a_graph())
    auditor = an_auditor(store)
    await auditor.look()
    second = promote(models, a_graph({"Comedy": "laugh"}))
    Experiments(store).change(
        "models",
        "genres",
        name="autumn",
        state="running",
        arms=[Arm(name="control", version="champion", weight=1)],
        expected=None,
        reasons=("somebody asks",),
        changed_by="ada",
        at=NOON + timedelta(days=400),
    )
    await auditor.look()
    await an_auditor(store).look()
    entries = [*read_entries(store)]
    assert [entry.kind for entry in entries] == [DOCUMENTS] * 3
    assert [entry.subject for entry in entries] == [
        "aliases/genres/champion",
        "aliases/genres/champion",
        "experiments/models/genres",
    ]
    assert entries[1].details["version"] == second.version
    assert entries[1].document
    assert entries[1].document_sha256 == hashlib.sha256(store.get(entries[1].document)).hexdigest()
    assert (entries[2].by, entries[2].reasons) == ("ada", ("somebody asks",))


async def test_a_document_that_cant_be_read_is_entered_too(store: ObjectStore) -> None:
    store.put("aliases/genres/champion/00000001.json", b"\xff")
    auditor = an_auditor(store)
    await auditor.look()
    await auditor.look()
    [entry] = read_entries(store)
    assert (entry.by, entry.details) == ("unknown", {"unreadable": True})


async def test_what_is_altered_shows_in_the_metrics(store: ObjectStore) -> None:
    metrics = MonitorMetrics(registry := CollectorRegistry())
    auditor = Auditor(store, metrics=metrics, clock=FrozenClock(NOON), every=timedelta(seconds=1))
    promote(ModelRegistry(store), a_graph())
    await auditor.look()
    await auditor.check()
    assert registry.get_sample_value("trending_monitor_audit_problems") == 0
    [key] = store.keys("aliases")
    store.put(key, b"{}")
    await auditor.check()
    assert registry.get_sample_value("trending_monitor_audit_problems") == 1
    assert not verify(store).intact
