"""Runs in a store: claimed once, leased to one process at a time, ended once."""

from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from pathlib import Path
from uuid import UUID, uuid4

import pytest
from obstore.store import MemoryStore

from trending_shared.errors import ObjectMissing
from trending_shared.events import (
    ModelPromoted,
    ModelRefused,
    ModelRegistered,
    TrainingRequested,
)
from trending_shared.messages import first_message
from trending_shared.storage import ObjectStore
from trending_trainer.runs import Outcome, Request, RunDamaged, Runs

NOW = datetime(2026, 11, 1, 12, tzinfo=UTC)
LEASE = timedelta(seconds=20)


@pytest.fixture(params=["memory", "folder"])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> ObjectStore:
    return ObjectStore.at("memory:///" if request.param == "memory" else tmp_path.as_uri())


@pytest.fixture
def runs(store: ObjectStore) -> Runs:
    return Runs(store, lease=LEASE)


def a_request(**changes: UUID) -> Request:
    ids = {"run_id": uuid4(), "correlation_id": uuid4()} | changes
    return Request(**ids, dataset_id="d1", reason="a test")


def registered(version: str) -> ModelRegistered:
    return ModelRegistered(
        model="genres",
        model_version=version,
        algorithm="tfidf-logreg",
        dataset_id="d1",
        macro_f1=0.5,
    )


PROMOTED = ModelPromoted(
    model="genres", model_version="b", alias="champion", number=3, previous="z", reasons=("better",)
)
REFUSED = ModelRefused(model="genres", model_version="b", reasons=("worse",))
PROMOTION = Outcome(registered=(registered("a"), registered("b")), promoted=PROMOTED)
REFUSAL = Outcome(registered=(registered("a"), registered("b")), refused=REFUSED)


# ---------------------------------------------------------------- requests and claims


def test_a_request_takes_its_ids_from_the_event_that_asked() -> None:
    asked = first_message(
        TrainingRequested(reason="drift", dataset_id=None), correlation_id=uuid4()
    )
    request = Request.of(asked)
    assert (request.run_id, request.correlation_id) == (asked.id, asked.correlation_id)
    assert (request.dataset_id, request.reason) == (None, "drift")


def test_a_claim_is_found_again_by_others(runs: Runs, store: ObjectStore) -> None:
    request = a_request()
    runs.claim(request)
    other = Runs(store, lease=LEASE)
    assert other.open() == [request]
    assert other.request(request.run_id) == request


def test_claiming_twice_opens_one_run_and_keeps_the_first_words(runs: Runs) -> None:
    request = a_request()
    runs.claim(request)
    runs.claim(request.model_copy(update={"reason": "said differently"}))
    assert runs.open() == [request]


def test_claiming_after_the_end_opens_nothing(runs: Runs) -> None:
    request = a_request()
    runs.claim(request)
    runs.end(request.run_id, REFUSAL)
    runs.close(request.run_id)
    runs.claim(request)
    assert runs.open() == []


def test_an_ended_run_stays_open_until_it_is_closed(runs: Runs) -> None:
    request = a_request()
    runs.claim(request)
    runs.end(request.run_id, REFUSAL)
    assert runs.open() == [request]
    runs.close(request.run_id)
    runs.close(request.run_id)
    assert runs.open() == []
    with pytest.raises(ObjectMissing):
        runs.request(request.run_id)


class BusyStore(ObjectStore):
    """A store in which somebody removes the first key between a listing and the reading."""

    def keys(self, prefix: str) -> list[str]:
        found = super().keys(prefix)
        self.delete(found[0])
        return found


def test_a_run_closed_between_listing_and_reading_is_left_out() -> None:
    first, second = sorted((a_request(), a_request()), key=lambda request: str(request.run_id))
    runs = Runs(BusyStore(MemoryStore()), lease=LEASE)
    runs.claim(first)
    runs.claim(second)
    assert runs.open() == [second]


@pytest.mark.parametrize("document", [b"", b"\xff\x00", b"[]", b'{"run_id": "none"}'])
def test_a_damaged_claim_is_kept_and_holds_up_no_other(
    runs: Runs, store: ObjectStore, document: bytes
) -> None:
    damaged, request = uuid4(), a_request()
    store.put(f"runs/open/{damaged}.json", document)
    runs.claim(request)
    assert runs.open() == [request]
    assert store.exists(f"runs/open/{damaged}.json")


# ---------------------------------------------------------------- attempts


def test_attempts_are_numbered_from_one(runs: Runs) -> None:
    run_id = uuid4()
    first = runs.begin(run_id, owner="a", now=NOW)
    assert first is not None
    runs.release(run_id, first)
    second = runs.begin(run_id, owner="b", now=NOW)
    assert second is not None
    assert (first.number, second.number) == (1, 2)
    assert second.owner == "b"


def test_a_run_that_has_just_begun_is_nobody_elses(runs: Runs) -> None:
    run_id = uuid4()
    runs.begin(run_id, owner="a", now=NOW)
    assert runs.begin(run_id, owner="b", now=NOW + LEASE - timedelta(seconds=1)) is None


def test_an_attempt_that_never_said_anything_dies_with_its_lease(runs: Runs) -> None:
    run_id = uuid4()
    runs.begin(run_id, owner="a", now=NOW)
    assert runs.begin(run_id, owner="b", now=NOW + LEASE) is not None


def test_a_heartbeat_prolongs_the_lease(runs: Runs) -> None:
    run_id = uuid4()
    attempt = runs.begin(run_id, owner="a", now=NOW)
    assert attempt is not None
    runs.heartbeat(run_id, attempt, NOW + LEASE)
    assert runs.begin(run_id, owner="b", now=NOW + 2 * LEASE - timedelta(seconds=1)) is None
    assert runs.begin(run_id, owner="b", now=NOW + 2 * LEASE) is not None


def test_a_released_run_needs_no_waiting(runs: Runs) -> None:
    run_id = uuid4()
    attempt = runs.begin(run_id, owner="a", now=NOW)
    assert attempt is not None
    runs.heartbeat(run_id, attempt, NOW)
    runs.release(run_id, attempt)
    assert runs.begin(run_id, owner="b", now=NOW) is not None


@pytest.mark.parametrize("text", [b"", b"\xff\xfe", b"soon", b"2026-11-01T12:00:00", b"1793534400"])
def test_a_heartbeat_that_cannot_be_read_is_none(
    runs: Runs, store: ObjectStore, text: bytes
) -> None:
    run_id = uuid4()
    runs.begin(run_id, owner="a", now=NOW)
    store.put(f"runs/{run_id}/attempts/0001.heartbeat", text)
    assert runs.begin(run_id, owner="b", now=NOW) is not None


def test_a_withdrawn_attempt_is_over_and_was_no_try(runs: Runs) -> None:
    run_id = uuid4()
    assert runs.tries(run_id) == 0
    for end in (runs.withdraw, runs.release, runs.withdraw):
        attempt = runs.begin(run_id, owner="a", now=NOW)
        assert attempt is not None
        runs.heartbeat(run_id, attempt, NOW)
        end(run_id, attempt)
    fourth = runs.begin(run_id, owner="b", now=NOW)
    assert fourth is not None
    assert fourth.number == 4
    assert runs.tries(run_id) == 2


def test_a_late_sign_of_an_older_attempt_keeps_nobody_waiting(runs: Runs) -> None:
    run_id = uuid4()
    old = runs.begin(run_id, owner="a", now=NOW)
    new = runs.begin(run_id, owner="b", now=NOW + LEASE)
    assert old is not None
    assert new is not None
    runs.release(run_id, new)
    runs.heartbeat(run_id, old, NOW + LEASE)
    assert runs.begin(run_id, owner="c", now=NOW + LEASE) is not None


def test_runs_are_leased_one_by_one(runs: Runs) -> None:
    assert runs.begin(uuid4(), owner="a", now=NOW) is not None
    assert runs.begin(uuid4(), owner="a", now=NOW) is not None


def test_of_many_trainers_one_begins_an_attempt(store: ObjectStore) -> None:
    run_id = uuid4()

    def begin(owner: int) -> bool:
        runs = Runs(store, lease=LEASE)
        return runs.begin(run_id, owner=str(owner), now=NOW) is not None

    with ThreadPoolExecutor(8) as pool:
        assert sum(pool.map(begin, range(24))) == 1


class LateStore(ObjectStore):
    """A store in which another trainer creates what we are about to create."""

    def put_new(self, key: str, data: bytes) -> bool:
        super().put_new(key, data)
        return super().put_new(key, data)


def test_who_comes_second_has_no_attempt() -> None:
    assert Runs(LateStore(MemoryStore()), lease=LEASE).begin(uuid4(), owner="a", now=NOW) is None


# ---------------------------------------------------------------- outcomes


def test_the_first_outcome_holds(runs: Runs) -> None:
    run_id = uuid4()
    assert runs.outcome(run_id) is None
    assert runs.end(run_id, PROMOTION) == PROMOTION
    assert runs.end(run_id, REFUSAL) == PROMOTION
    assert runs.outcome(run_id) == PROMOTION


def test_of_many_outcomes_all_learn_of_the_same(store: ObjectStore) -> None:
    run_id = uuid4()

    def end(number: int) -> Outcome:
        refused = ModelRefused(model="genres", reasons=(f"attempt {number}",))
        return Runs(store, lease=LEASE).end(run_id, Outcome(refused=refused))

    with ThreadPoolExecutor(8) as pool:
        held = set(pool.map(end, range(24)))
    assert len(held) == 1


def test_a_damaged_outcome_is_named(runs: Runs, store: ObjectStore) -> None:
    run_id = uuid4()
    store.put(f"runs/{run_id}/outcome.json", b"{")
    with pytest.raises(RunDamaged, match=f"{run_id}/outcome.json"):
        runs.outcome(run_id)


def test_a_damaged_attempt_is_named(runs: Runs, store: ObjectStore) -> None:
    run_id = uuid4()
    store.put(f"runs/{run_id}/attempts/0001.json", b"{")
    with pytest.raises(RunDamaged, match=f"{run_id}/attempts/0001.json"):
        runs.begin(run_id, owner="a", now=NOW)


@pytest.mark.parametrize(
    ("outcome", "last"), [(PROMOTION, PROMOTED), (REFUSAL, REFUSED)], ids=["promoted", "refused"]
)
def test_the_facts_follow_from_the_event_that_asked_in_their_order(
    outcome: Outcome, last: ModelPromoted | ModelRefused
) -> None:
    request = a_request()
    messages = outcome.messages(request)
    assert [message.event for message in messages] == [registered("a"), registered("b"), last]
    assert {message.causation_id for message in messages} == {request.run_id}
    assert {message.correlation_id for message in messages} == {request.correlation_id}
    assert len({message.id for message in messages}) == 3


def test_the_facts_follow_from_the_event_that_asked_as_if_its_handler_returned_them() -> None:
    asked = first_message(TrainingRequested(reason="drift", dataset_id="d1"))
    assert PROMOTION.messages(Request.of(asked)) == [
        asked.leads_to(fact) for fact in (registered("a"), registered("b"), PROMOTED)
    ]


def test_the_ids_are_the_same_however_often_and_wherever_the_outcome_is_published(
    runs: Runs, store: ObjectStore
) -> None:
    request = a_request()
    runs.claim(request)
    runs.end(request.run_id, PROMOTION)
    other = Runs(store, lease=LEASE)
    (claimed,), held = other.open(), other.outcome(request.run_id)
    assert held is not None
    assert held.messages(claimed) == PROMOTION.messages(request)


def test_the_same_outcome_of_another_run_has_other_ids() -> None:
    one, other = (PROMOTION.messages(a_request()) for _ in range(2))
    assert {message.id for message in one}.isdisjoint(message.id for message in other)
