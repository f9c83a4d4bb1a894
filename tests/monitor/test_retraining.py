"""When a model is trained anew: what gives cause, what forbids it, and that limits hold."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from trending_monitor.retraining import (
    Decision,
    Policy,
    State,
    Streak,
    Trigger,
    budget_left,
    decide,
    is_postponed,
    scheduled,
)
from trending_shared.events import RetrainingTrigger

NOW = datetime(2026, 11, 1, 12, tzinfo=UTC)
HOUR, DAY = timedelta(hours=1), timedelta(days=1)
POLICY = Policy()
QUIET = State(
    now=NOW,
    champion="v1",
    decided=(),
    pending=None,
    learned=frozenset({"d1"}),
    fresh_titles=100,
)
PERSON = Trigger("person", said="new genres")


def windows(count: int, hours: float = 2.0, *, kind: RetrainingTrigger = "drift") -> Trigger:
    streak = Streak(count, NOW - timedelta(hours=hours), NOW, "w")
    return Trigger(kind, version="v1", streak=streak)


def told(trigger: Trigger = PERSON, state: State = QUIET, policy: Policy = POLICY) -> Decision:
    return decide(trigger, state, policy)


# ---------------------------------------------------------------- what gives cause


@pytest.mark.parametrize("kind", ["drift", "estimated-fall", "measured-fall"])
def test_windows_count_when_enough_in_a_row_over_enough_time_say_the_same(
    kind: RetrainingTrigger,
) -> None:
    assert told(windows(3, kind=kind)).codes == (f"{kind}-sustained",)
    assert told(windows(2, kind=kind)).codes == ("not-sustained",)
    assert told(windows(3, hours=0.9, kind=kind)).codes == ("not-sustained",)
    assert told(Trigger(kind, version="v1")).codes == ("not-sustained",)


def test_windows_of_another_model_than_the_champion_are_no_cause() -> None:
    assert told(replace(windows(9), version="v0")).codes == ("not-champion",)


def test_new_titles_count_by_number_or_by_share() -> None:
    few = Trigger("new-data", dataset_id="d2", new_titles=99, known_titles=1000)
    assert told(few).codes == ("too-little-new",)
    assert told(replace(few, new_titles=100)).codes == ("enough-new",)
    many = replace(few, new_titles=5000, known_titles=1_000_000)
    assert told(many).codes == ("enough-new",)


def test_the_first_dataset_leads_to_the_first_model_at_once() -> None:
    nothing = State(NOW, None, (), None, frozenset(), fresh_titles=3)
    first = Trigger("new-data", dataset_id="d1", new_titles=3)
    assert told(first, nothing).codes == ("first-model",)


def test_while_there_is_no_champion_nothing_cools_down_but_the_budget_holds() -> None:
    refused = State(NOW, None, (NOW - HOUR,), None, frozenset({"d1"}), fresh_titles=3)
    first = Trigger("new-data", dataset_id="d2", new_titles=3)
    assert told(first, refused).retrain
    assert told(first, refused, replace(POLICY, budget=1)).codes == ("budget-spent",)


def test_a_schedule_is_due_once_nothing_was_trained_for_so_long() -> None:
    weekly = replace(POLICY, every=7 * DAY)
    assert scheduled([NOW - 8 * DAY, NOW - 9 * DAY], NOW, weekly) == NOW - DAY
    assert scheduled([NOW - 8 * DAY, NOW - 6 * DAY], NOW, weekly) is None
    assert scheduled([NOW - 8 * DAY], NOW, POLICY) is None
    assert scheduled([], NOW, weekly) is None


# ---------------------------------------------------------------- what forbids it


def test_the_same_data_give_the_same_model_so_nothing_new_is_a_no() -> None:
    again = Trigger("new-data", dataset_id="d1", new_titles=500, known_titles=1000)
    assert told(again).codes == ("nothing-new",)
    assert told(windows(5), replace(QUIET, fresh_titles=0)).codes == ("nothing-new",)


def test_while_a_model_is_tried_nothing_is_trained_but_by_force() -> None:
    tried = replace(QUIET, trial="v2")
    no = told(windows(3), tried)
    assert (no.codes, no.possible_at) == (("on-trial",), None)
    assert is_postponed(no.codes)
    assert told(replace(PERSON, force=True), tried).retrain


def test_everything_that_forbids_it_is_told() -> None:
    busy = replace(
        QUIET, decided=(NOW - HOUR,), pending=NOW - HOUR, learned=QUIET.learned, fresh_titles=0
    )
    no = told(windows(1), busy, replace(POLICY, budget=1))
    assert no.codes == ("not-sustained", "nothing-new", "pending", "cool-down", "budget-spent")
    assert len(no.reasons) == len(no.codes)
    assert (no.retrain, no.budget_left, no.possible_at) == (False, 0, None)


def test_a_no_for_now_says_when_it_can_be_a_yes() -> None:
    cooling = replace(QUIET, decided=(NOW - HOUR,))
    no = told(PERSON, cooling)
    assert no.codes == ("cool-down",)
    assert is_postponed(no.codes)
    assert no.possible_at == no.cool_down_until == NOW + 5 * HOUR
    assert told(PERSON, replace(cooling, now=NOW + 5 * HOUR)).retrain


def test_a_spent_budget_says_when_the_next_training_is_free() -> None:
    spent = replace(QUIET, decided=(NOW - 6 * DAY, NOW - 5 * DAY, NOW - 8 * DAY))
    no = told(PERSON, spent, replace(POLICY, budget=2))
    assert (no.codes, no.possible_at) == (("budget-spent",), NOW + DAY)
    assert told(PERSON, replace(spent, now=NOW + DAY), replace(POLICY, budget=2)).retrain


def test_without_a_budget_only_force_trains() -> None:
    none = replace(POLICY, budget=0)
    no = told(PERSON, QUIET, none)
    assert (no.codes, no.possible_at) == (("budget-spent",), None)
    assert told(replace(PERSON, force=True), QUIET, none).codes == ("person", "forced")


def test_a_training_that_never_ends_holds_up_the_next_only_for_a_while() -> None:
    begun = NOW - POLICY.patience
    stuck = replace(QUIET, decided=(begun,), pending=begun)
    before = replace(stuck, now=NOW - timedelta(seconds=1))
    assert told(PERSON, before).codes == ("pending",)
    assert told(PERSON, before).possible_at == NOW
    assert told(PERSON, stuck).codes == ("person", "former-lost")


def test_force_is_a_persons_and_says_what_it_overrode() -> None:
    busy = replace(QUIET, decided=(NOW - HOUR,), pending=NOW - HOUR, fresh_titles=0)
    yes = told(replace(PERSON, force=True), busy)
    assert yes.codes == ("person", "forced")
    assert "no title has come" in yes.reasons[1]
    assert "cool" not in yes.codes
    assert not told(Trigger("schedule", said="due", force=True), busy).retrain


# ---------------------------------------------------------------- over time

policies = st.builds(
    Policy,
    windows=st.integers(2, 4),
    sustained=st.sampled_from([timedelta(0), HOUR]),
    cool_down=st.sampled_from([timedelta(0), HOUR, 6 * HOUR]),
    budget=st.integers(0, 4),
    period=st.sampled_from([12 * HOUR, 2 * DAY]),
    patience=st.sampled_from([HOUR, 12 * HOUR]),
)
triggers = st.one_of(
    st.builds(
        windows,
        st.integers(1, 6),
        st.floats(0, 3),
        kind=st.sampled_from(["drift", "estimated-fall", "measured-fall"]),
    ),
    st.builds(
        Trigger,
        st.just("new-data"),
        dataset_id=st.sampled_from(["d1", "d2", "d3"]),
        new_titles=st.integers(0, 400),
        known_titles=st.just(1000),
    ),
    st.just(Trigger("schedule", said="due")),
    st.builds(Trigger, st.just("person"), said=st.just("why not"), force=st.booleans()),
)
steps = st.lists(
    st.tuples(st.integers(0, 300), triggers, st.booleans()), min_size=1, max_size=60
)  # minutes since the last one, what gives cause, and whether the training ends before the next


def played(
    history: list[tuple[int, Trigger, bool]], policy: Policy
) -> list[tuple[datetime, Trigger, Decision]]:
    now, pending = NOW, None
    decided: tuple[datetime, ...] = ()
    found: list[tuple[datetime, Trigger, Decision]] = []
    state = QUIET
    for minutes, trigger, ends in history:
        now += timedelta(minutes=minutes)
        state = replace(state, now=now, decided=decided, pending=pending)
        decision = decide(trigger, state, policy)
        found.append((now, trigger, decision))
        if decision.retrain:
            decided, pending = (now, *decided), now
        if ends:
            pending = None
    return found


@given(steps, policies)
def test_no_period_has_more_trainings_than_its_budget_unless_forced(
    history: list[tuple[int, Trigger, bool]], policy: Policy
) -> None:
    found = played(history, policy)
    yes = [at for at, _, decision in found if decision.retrain]
    for at, trigger, decision in found:
        if decision.retrain and not trigger.force:
            within = [other for other in yes if at - policy.period < other <= at]
            assert len(within) <= policy.budget


@given(steps, policies)
def test_no_two_trainings_lie_within_a_cool_down_unless_forced(
    history: list[tuple[int, Trigger, bool]], policy: Policy
) -> None:
    yes = [(at, trigger) for at, trigger, decision in played(history, policy) if decision.retrain]
    for (before, _), (at, trigger) in pairwise(yes):
        assert trigger.force or at - before >= policy.cool_down


@given(triggers, policies, st.integers(0, 5))
def test_what_is_decided_says_why_and_a_no_names_a_later_time_or_none(
    trigger: Trigger, policy: Policy, hours: int
) -> None:
    state = replace(QUIET, decided=(NOW - hours * HOUR,), pending=NOW - hours * HOUR)
    decision = decide(trigger, state, policy)
    assert decision.codes
    assert len(decision.codes) == len(decision.reasons) == len(set(decision.codes))
    if decision.retrain:
        assert decision.possible_at is None
    elif decision.possible_at:
        assert is_postponed(decision.codes)
        assert decide(trigger, replace(state, now=decision.possible_at), policy).retrain
    assert decision.budget_left == budget_left(state, policy)


@given(triggers, policies, st.permutations([NOW - n * HOUR for n in range(5)]))
def test_the_order_in_which_trainings_became_known_changes_nothing(
    trigger: Trigger, policy: Policy, decided: list[datetime]
) -> None:
    state = replace(QUIET, decided=tuple(decided))
    ordered = replace(QUIET, decided=tuple(sorted(decided)))
    assert decide(trigger, state, policy) == decide(trigger, ordered, policy)
