"""Causes in, decisions and requests out: each decided once, whatever comes twice or dies."""

import asyncio
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID, uuid4

import pytest
import sqlalchemy as sa
from prometheus_client import CollectorRegistry

from trending_monitor.deciding import Decider
from trending_monitor.metrics import MonitorMetrics
from trending_monitor.reminding import Reminder
from trending_monitor.retraining import Policy
from trending_shared.catalog import Catalog, retrainings, titles, windows
from trending_shared.clock import FrozenClock
from trending_shared.datasets import DatasetManifest
from trending_shared.events import (
    DatasetPublished,
    DatasetRequested,
    DriftDetected,
    ModelPromoted,
    ModelRefused,
    ModelRegistered,
    QualityEstimated,
    RetrainingRequested,
    TrainingRequested,
)
from trending_shared.messages import Message
from trending_shared.registry import Manifest, ModelRegistry
from trending_shared.storage import ObjectStore
from trending_shared.testing import CollectingPublisher, delivered
from trending_shared.testing.models import a_graph, a_manifest, promote

NOW = datetime(2026, 11, 1, 12, tzinfo=UTC)
HOUR = timedelta(hours=1)
POLICY = Policy(windows=2, sustained=timedelta(0), budget=3)
OLD, NEW = "00000000000000d1", "00000000000000d2"


class House:
    """A decider and what is around it."""

    def __init__(self, catalog: Catalog, policy: Policy = POLICY) -> None:
        self.catalog = catalog
        self.policy = policy
        self.store = ObjectStore.at("memory:///")
        self.registry = ModelRegistry(self.store)
        self.clock = FrozenClock(NOW)
        self.metrics = MonitorMetrics(CollectorRegistry())
        self.decider = self.another()

    def another(self) -> Decider:
        """A second monitor, or the same after a kill."""
        return Decider(
            catalog=self.catalog,
            store=self.store,
            metrics=self.metrics,
            clock=self.clock,
            policy=self.policy,
        )

    def learned_from(self, dataset_id: str, *, rows: int, at: datetime) -> None:
        manifest = DatasetManifest(
            dataset_id=dataset_id,
            created_at=at,
            rows=rows,
            labelled=rows,
            reviews=0,
            columns={},
            recipe="r",
            tables={},
            files=(),
            sources={},
            licenses={},
            labels={},
            code_version="1",
            requested_by=uuid4(),
            correlation_id=uuid4(),
        )
        self.store.put_new(manifest.key, manifest.model_dump_json().encode())

    def crown(self) -> Manifest:
        """A champion that has learned ten titles."""
        at = NOW - 24 * HOUR
        self.learned_from(OLD, rows=10, at=at)
        return promote(self.registry, a_graph(), dataset_id=OLD, created_at=at)

    async def insert(self, table: sa.Table, *rows: dict[str, Any]) -> None:
        async with self.catalog.transaction() as connection:
            await connection.execute(table.insert(), list(rows))

    async def tell_titles(self, first: int, last: int, *, at: datetime = NOW) -> None:
        fields: dict[str, Any] = {
            **dict.fromkeys(("source", "name", "plot", "license", "url"), "x"),
            **dict.fromkeys(("page_hash", "page_key", "content_hash", "text_hash"), "x"),
            **{"kind": "film", "genres": [], "countries": [], "popularity": [], "fetched_at": at},
        }
        ids = [{"title_id": str(n), "source_id": str(n)} for n in range(first, last)]
        await self.insert(titles, *({**fields, **id} for id in ids))

    async def cut(
        self,
        n: int,
        version: str,
        *,
        drifted: bool = True,
        high: float = 0.9,
        measured: float | None = None,
        last_at: datetime | None = None,
    ) -> Message[DriftDetected]:
        """The window of the n-th hour; its quality's upper bound, and by labels."""
        window: dict[str, Any] = {
            "window_id": str(UUID(int=n)),
            "model": "genres",
            "model_version": version,
            "predictions": 50,
            "first_at": NOW + n * HOUR,
            "last_at": last_at or NOW + (n + 1) * HOUR,
            "scores": {"text_words": 0.9},
        }
        checks = None if measured is None else {"pages": {"measured": quality(measured)}}
        kept = {"drifted": ["text_words"] if drifted else [], "quality": quality(high)}
        await self.insert(windows, {**window, **kept, "checks": checks})
        event = DriftDetected(**window, drifted=("text_words",), threshold=0.1)
        return replace(delivered(event), id=UUID(int=n), correlation_id=UUID(int=n))


def quality(high: float) -> dict[str, Any]:
    return {"macro_f1": {"value": high, "interval": {"low": 0.0, "high": high}}}


def estimated(drift: Message[DriftDetected], high: float) -> Message[QualityEstimated]:
    window = drift.event.model_dump(include=set(QualityEstimated.model_fields))
    event = QualityEstimated(**window, macro_f1=high, low=0.0, high=high, genres={})
    return delivered(event)


def published(dataset_id: str, titles: int, *, cause: UUID | None = None) -> Message[Any]:
    event = DatasetPublished(
        dataset_id=dataset_id,
        manifest_key=f"datasets/{dataset_id}/manifest.json",
        titles=titles,
        labelled=titles,
        recipe="r",
        table_version=1,
    )
    return replace(delivered(event), causation_id=cause)


def asked(**fields: Any) -> Message[RetrainingRequested]:
    return delivered(RetrainingRequested(reason="new genres", **fields))


def ended(training: Message[Any], event: Any) -> Message[Any]:
    return replace(training.leads_to(event), time=NOW + HOUR)


def registered(version: str) -> ModelRegistered:
    return ModelRegistered(
        model="genres", model_version=version, algorithm="a", dataset_id=NEW, macro_f1=0.5
    )


@pytest.fixture
async def house(catalog: Catalog) -> House:
    return House(catalog)


async def count(catalog: Catalog) -> int:
    async with catalog.reading() as connection:
        found = await connection.execute(sa.select(sa.func.count()).select_from(retrainings))
        return int(found.scalar_one())


# ---------------------------------------------------------------- data


async def test_the_first_dataset_is_learned_from_at_once_in_the_same_story(house: House) -> None:
    await house.tell_titles(0, 3)
    cause = published(NEW, 3)
    decided, training = await house.decider.on_dataset_published(cause)
    assert decided.event.codes == ("first-model",)
    assert decided.event.decision_id == str(cause.id)
    assert training.event == TrainingRequested(
        reason="new-data: there is no champion yet", dataset_id=NEW
    )
    assert (decided.causation_id, training.causation_id) == (cause.id, decided.id)
    assert decided.correlation_id == training.correlation_id == cause.correlation_id


async def test_a_dataset_with_few_new_titles_is_told_of_and_not_learned_from(house: House) -> None:
    house.crown()
    house.policy = replace(POLICY, new_share=0.5)
    (decided,) = await house.another().on_dataset_published(published(NEW, 14))
    assert decided.event.codes == ("too-little-new",)
    assert (decided.event.new_titles, decided.event.new_share) == (4, 0.4)
    decided, _ = await house.another().on_dataset_published(published(NEW, 15))
    assert decided.event.codes == ("enough-new",)


async def test_what_the_champion_has_learned_from_is_not_learned_from_again(house: House) -> None:
    house.crown()
    (decided,) = await house.decider.on_dataset_published(published(OLD, 10))
    assert "nothing-new" in decided.event.codes


# ---------------------------------------------------------------- windows


async def test_drift_counts_once_it_lasts_and_asks_for_fresh_data_first(house: House) -> None:
    version = house.crown().version
    await house.tell_titles(0, 12)
    first, second = [await house.cut(n, version) for n in (1, 2)]
    (no,) = await house.decider.on_drift_detected(first)
    assert (no.event.retrain, no.event.codes, no.event.windows) == (False, ("not-sustained",), 1)
    yes, wanted = await house.decider.on_drift_detected(second)
    assert (yes.event.codes, yes.event.windows) == (("drift-sustained",), 2)
    assert yes.event.window_id == second.event.window_id
    assert yes.event.windows_since == NOW + HOUR
    assert isinstance(wanted.event, DatasetRequested)
    dataset = published(NEW, 12, cause=wanted.id)
    (training,) = await house.decider.on_dataset_published(dataset)
    assert training.event.dataset_id == NEW
    assert training.event.reason.startswith("drift: 2 windows in a row")
    assert training.causation_id == dataset.id


async def test_a_window_without_drift_begins_the_count_anew(house: House) -> None:
    version = house.crown().version
    await house.tell_titles(0, 12)
    await house.cut(1, version)
    await house.cut(2, version, drifted=False)
    (no,) = await house.decider.on_drift_detected(await house.cut(3, version))
    assert no.event.windows == 1


async def test_windows_that_end_at_the_same_time_keep_their_order(house: House) -> None:
    version = house.crown().version
    await house.tell_titles(0, 12)
    end = NOW + 9 * HOUR
    for n, drifted in ((1, True), (2, False), (3, True)):
        await house.cut(n, version, drifted=drifted, last_at=end)
    yes, _ = await house.decider.on_drift_detected(await house.cut(4, version, last_at=end))
    assert (yes.event.windows, yes.event.windows_since) == (2, NOW + 3 * HOUR)


async def test_the_order_in_which_windows_are_told_changes_no_decision(house: House) -> None:
    version = house.crown().version
    await house.tell_titles(0, 12)
    drifts = [await house.cut(n, version) for n in (1, 2)]
    told = [(await house.decider.on_drift_detected(one))[0].event for one in reversed(drifts)]
    assert [(one.windows, one.retrain) for one in told] == [(2, True), (1, False)]


async def test_drift_without_a_new_title_is_no_reason_to_train(house: House) -> None:
    version = house.crown().version
    await house.tell_titles(0, 10, at=NOW - 30 * HOUR)
    await house.cut(1, version)
    (no,) = await house.decider.on_drift_detected(await house.cut(2, version))
    assert no.event.codes == ("nothing-new",)


async def test_drift_of_a_model_that_was_replaced_is_over(house: House) -> None:
    house.crown()
    await house.tell_titles(0, 12)
    (no,) = await house.decider.on_drift_detected(await house.cut(1, "former"))
    assert no.event.codes == ("not-champion",)


async def test_an_estimate_gives_cause_only_below_what_the_champion_may_fall_to(
    house: House,
) -> None:
    version = house.crown().version  # whose macro-F1 is 0.5
    await house.tell_titles(0, 12)
    drifts = [await house.cut(n, version, high=0.44) for n in (1, 2)]
    assert await house.decider.on_quality_estimated(estimated(drifts[1], 0.46)) == []
    (no,) = await house.decider.on_quality_estimated(estimated(drifts[0], 0.44))
    assert no.event.codes == ("not-sustained",)
    yes, _ = await house.decider.on_quality_estimated(estimated(drifts[1], 0.44))
    assert yes.event.codes == ("estimated-fall-sustained",)


async def test_a_fall_by_labels_is_found_by_the_clock_and_decided_once(house: House) -> None:
    version = house.crown().version
    await house.tell_titles(0, 12)
    await house.cut(1, version, measured=0.3)
    await house.cut(2, version)  # nobody has said anything of this one
    await house.cut(3, version, measured=0.4)
    (due,) = await house.decider.due()
    assert (due.event.trigger, due.event.window_id) == ("measured-fall", str(UUID(int=3)))
    assert await house.another().due() == [due]
    yes, _ = await house.decider.on_retraining_requested(due)
    assert (yes.event.codes, yes.event.windows) == (("measured-fall-sustained",), 2)
    assert await house.decider.due() == []


# ---------------------------------------------------------------- persons and the clock


async def test_a_person_is_told_no_unless_they_insist(house: House) -> None:
    house.crown()
    await house.tell_titles(0, 12)
    yes, _ = await house.decider.on_retraining_requested(asked())
    assert yes.event.codes == ("person",)
    (no,) = await house.decider.on_retraining_requested(asked())
    assert no.event.codes == ("pending", "cool-down")
    assert no.event.possible_at == NOW + POLICY.patience
    forced, _ = await house.decider.on_retraining_requested(asked(force=True))
    assert forced.event.codes == ("person", "forced")
    assert forced.event.budget_left == 2


async def test_a_schedule_asks_once_a_period(house: House) -> None:
    house.policy = replace(POLICY, every=12 * HOUR)
    decider = house.another()
    assert await decider.due() == []  # there is no champion
    house.crown()
    await house.tell_titles(0, 12)
    (due,) = await decider.due()
    assert due.event.trigger == "schedule"
    yes, _ = await decider.on_retraining_requested(due)
    assert yes.event.codes == ("schedule",)
    assert await decider.due() == []


async def test_what_was_postponed_is_decided_anew_once_it_would_be_a_yes(house: House) -> None:
    version = house.crown().version
    await house.tell_titles(0, 12)
    _, wanted = await house.decider.on_retraining_requested(asked())
    (training,) = await house.decider.on_dataset_published(published(NEW, 12, cause=wanted.id))
    await house.cut(1, version)
    (no,) = await house.decider.on_drift_detected(await house.cut(2, version))
    assert no.event.codes == ("pending", "cool-down")
    assert await house.decider.due() == []
    refused = ModelRefused(model="genres", model_version="v2", dataset_id=NEW, reasons=("worse",))
    house.learned_from(NEW, rows=12, at=NOW)
    await house.decider.on_model_refused(ended(training, refused))
    house.clock.advance(POLICY.cool_down)
    assert await house.decider.due() == []  # there is nothing to learn that it hasn't tried
    await house.tell_titles(12, 13, at=house.clock.now())
    (due,) = await house.decider.due()
    assert (due.causation_id, due.correlation_id) == (no.id, no.correlation_id)
    yes, _ = await house.decider.on_retraining_requested(due)
    assert (yes.event.trigger, yes.event.retrain) == ("drift", True)
    assert await house.decider.due() == []


async def test_a_person_who_was_told_no_is_not_answered_later(house: House) -> None:
    house.crown()
    await house.tell_titles(0, 12)
    house.policy = replace(POLICY, patience=HOUR)
    decider = house.another()
    await decider.on_retraining_requested(asked())
    (no,) = await decider.on_retraining_requested(asked())
    assert no.event.possible_at == NOW + POLICY.cool_down
    house.clock.advance(POLICY.cool_down)
    assert await decider.due() == []


async def test_what_is_due_is_asked_for_until_it_is_decided(house: House) -> None:
    house.policy = replace(POLICY, every=12 * HOUR)
    house.crown()
    publisher = CollectingPublisher()
    reminder = Reminder(decider=house.another(), publisher=publisher, every=HOUR)
    await reminder.look()
    await reminder.look()
    assert len(publisher.messages) == 2
    assert len({message.id for message in publisher.messages}) == 1


# ---------------------------------------------------------------- what came of it


async def test_a_training_is_under_way_until_something_comes_of_it(house: House) -> None:
    house.policy = replace(POLICY, cool_down=timedelta(0))
    decider = house.another()
    _, training = await decider.on_dataset_published(published(NEW, 3))
    (no,) = await decider.on_dataset_published(published(OLD, 4))
    assert no.event.codes == ("pending",)
    await decider.on_model_registered(ended(training, registered("v1")))
    yes, _ = await decider.on_dataset_published(published("00000000000000d3", 5))
    assert yes.event.retrain


async def test_what_was_refused_is_not_learned_from_again_and_what_failed_may_be(
    house: House,
) -> None:
    refused = ModelRefused(model="genres", model_version="v1", dataset_id=NEW, reasons=("worse",))
    _, training = await house.decider.on_dataset_published(published(NEW, 3))
    failed = refused.model_copy(update={"model_version": None})
    await house.decider.on_model_refused(ended(training, failed))
    _, training = await house.decider.on_dataset_published(published(NEW, 3))
    await house.decider.on_model_refused(ended(training, refused))
    (no,) = await house.decider.on_dataset_published(published(NEW, 3))
    assert no.event.codes == ("nothing-new",)


async def test_a_promotion_that_comes_of_an_experiment_is_the_trainings_end(house: House) -> None:
    _, training = await house.decider.on_dataset_published(published(NEW, 3))
    made = a_manifest(a_graph(), training_id=str(training.id))
    house.registry.register(a_graph(), made)
    await house.decider.on_model_registered(ended(training, registered(made.version)))
    promoted = ModelPromoted(
        model="genres", model_version=made.version, alias="champion", number=1, reasons=("better",)
    )
    await house.decider.on_model_promoted(delivered(promoted))
    await house.decider.on_model_registered(ended(training, registered(made.version)))
    async with house.catalog.reading() as connection:
        (row,) = (await connection.execute(retrainings.select())).all()
    assert row.outcome == "promoted"


async def test_a_fresh_dataset_with_nothing_new_ends_in_a_no(house: House) -> None:
    version = house.crown().version
    await house.tell_titles(0, 10)  # fetched again, and no different
    await house.cut(1, version)
    _, wanted = await house.decider.on_drift_detected(await house.cut(2, version))
    dataset = published(OLD, 10, cause=wanted.id)
    (no,) = await house.decider.on_dataset_published(dataset)
    assert (no.event.trigger, no.event.codes) == ("drift", ("nothing-new", "cool-down"))
    assert await house.another().on_dataset_published(dataset) == [no]


# ---------------------------------------------------------------- duplicates, kills, two monitors


async def test_the_same_event_again_leads_to_the_same_messages_and_adds_nothing(
    house: House,
) -> None:
    version = house.crown().version
    await house.tell_titles(0, 12)
    await house.cut(1, version)
    drift = await house.cut(2, version)
    first = await house.decider.on_drift_detected(drift)
    house.clock.advance(HOUR)
    assert await house.another().on_drift_detected(drift) == first
    dataset = published(NEW, 12, cause=first[1].id)
    training = await house.decider.on_dataset_published(dataset)
    assert await house.another().on_dataset_published(dataset) == training
    other = published("00000000000000d3", 13, cause=first[1].id)
    assert await house.another().on_dataset_published(other) == []
    assert await count(house.catalog) == 1


async def test_of_two_monitors_that_decide_at_once_one_says_yes(house: House) -> None:
    await house.tell_titles(0, 3)
    causes = [published(dataset, 3) for dataset in (OLD, NEW)]
    told = await asyncio.gather(
        *(house.another().on_dataset_published(cause) for cause in causes for _ in range(2))
    )
    decided = {messages[0].id: messages[0].event for messages in told}
    assert sorted(event.retrain for event in decided.values()) == [False, True]
    assert await count(house.catalog) == 2


async def test_what_would_be_decided_is_told_and_not_kept(house: House) -> None:
    house.crown()
    await house.tell_titles(0, 12)
    foreseen = await house.decider.foresee()
    assert foreseen["person"].retrain
    assert foreseen["drift"].codes == ("not-sustained",)
    assert await count(house.catalog) == 0
