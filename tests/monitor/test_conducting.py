"""What becomes of experiments: pairs, guardrails, and the step that follows from evidence."""

from collections.abc import Sequence
from dataclasses import replace
from datetime import timedelta

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from trending_monitor.conducting import Answer, Evidence, Outcome, Policy, Step, conduct
from trending_monitor.simulating import main, play, run, wilson
from trending_shared.experiments import CANDIDATE, CONTROL, ArmName, Phase

POLICY = Policy(quick=10.0)
NEW = timedelta(0)


def shadowed(count: int, better: float, *, slices: tuple[str, ...] = ()) -> list[Outcome]:
    """Texts in whose scores the candidate is now better by 0.5, now worse, on the mean `better`."""
    return [Outcome(None, better + (0.5 if n % 2 else -0.5), slices) for n in range(count)]


def shown(count: int, *, better: float, slices: tuple[str, ...] = ()) -> list[Outcome]:
    """Units of both arms, in turn."""
    return [
        Outcome(arm, score + (better if arm == CANDIDATE else 0), slices)
        for n in range(count)
        for arm, score in ((CONTROL, 0.2 + 0.4 * (n % 2)), (CANDIDATE, 0.2 + 0.4 * (n // 2 % 2)))
    ]


def asked(count: int, *, failed: int = 0) -> list[Answer]:
    """Answers in the shadow phase, 40 to 60 ms long; of the shadows some are missing."""
    told = [Answer("shadow", CONTROL, 40 + n % 3 * 10) for n in range(count)]
    return told + [Answer("shadow", CANDIDATE, None, n < failed) for n in range(count)]


def given_to_people(count: int, *, times: float = 1, failed: int = 0) -> list[Answer]:
    return [
        Answer("split", arm, (40 + n % 3 * 10) * (times if arm == CANDIDATE else 1), n < failed)
        for n in range(count)
        for arm in (CONTROL, CANDIDATE)
    ]


def step(
    phase: Phase,
    outcomes: Sequence[Outcome] = (),
    answers: Sequence[Answer] = (),
    policy: Policy = POLICY,
    age: timedelta = NEW,
) -> Step:
    evidence = Evidence(policy)
    evidence.add(outcomes, answers)
    return conduct(phase, evidence, policy, age=age)


# ------------------------------------------------------------ steps


def test_nothing_is_known_at_first_and_it_is_said_what_is_missing() -> None:
    found = step("shadow", answers=asked(20))
    assert (found.to, found.missing) == ("shadow", ("280 more answers in shadow",))


def test_a_candidate_that_keeps_to_guardrails_in_shadow_is_shown_to_people() -> None:
    found = step("shadow", shadowed(10, 0.1), asked(300))
    assert (found.to, found.cause) == ("split", "kept to guardrails")


def test_nobody_is_promoted_out_of_the_shadow() -> None:
    assert step("shadow", shadowed(2000, 0.3), asked(300)).to == "split"
    assert step("split", shadowed(2000, 0.3), asked(300)).to == "split"


def test_a_candidate_that_is_better_for_people_is_promoted() -> None:
    found = step("split", shown(500, better=0.2), [*asked(300), *given_to_people(400)])
    assert (found.to, found.cause) == ("promoted", "better")
    assert "+0.2" in found.reasons[0]


def test_nobody_is_promoted_without_a_shadow() -> None:
    found = step("split", shown(500, better=0.2), given_to_people(400))
    assert found.to == "split"
    assert "certainty of failures in shadow" in found.missing[0]


def test_one_that_is_worse_is_refused_in_shadow_already() -> None:
    assert step("shadow", shadowed(400, -0.2), asked(20)).cause == "worse"


def test_one_that_cannot_become_better_by_what_is_worth_it_is_futile() -> None:
    small = [replace(each, value=each.value / 10) for each in shadowed(3000, 0)]
    found = step("split", small, asked(300))
    assert (found.to, found.cause) == ("refused", "futile")


@pytest.mark.parametrize(
    ("policy", "age"),
    [(replace(POLICY, outcomes=40), NEW), (POLICY, timedelta(days=14))],
    ids=["outcomes", "days"],
)
def test_what_is_not_decided_in_time_is_refused_and_says_what_was_missing(
    policy: Policy, age: timedelta
) -> None:
    found = step("split", shown(20, better=0), policy=policy, age=age)
    assert (found.to, found.cause) == ("refused", "undecided")
    assert any("missing: certainty that it is better" in reason for reason in found.reasons)


@pytest.mark.parametrize("phase", ["promoted", "refused"])
def test_an_end_is_an_end(phase: Phase) -> None:
    assert step(phase, shown(500, better=0.2)) == Step(phase)


# ------------------------------------------------------------ guardrails


@pytest.mark.parametrize(
    ("answers", "name"),
    [
        ([*asked(300), *given_to_people(200, times=3)], "latency p95"),
        ([*asked(300), *given_to_people(50, failed=20)], "failures in split"),
        (asked(100, failed=95), "failures in shadow"),
    ],
)
def test_a_broken_guardrail_ends_it_however_good_the_scores(
    answers: list[Answer], name: str
) -> None:
    found = step("split", shown(1000, better=0.3), answers)
    assert (found.to, found.cause) == ("refused", "guardrail")
    assert found.reasons[0].startswith(name)


def test_a_slow_hour_is_nobodys_fault() -> None:
    late = [replace(each, milliseconds=500) for each in given_to_people(400)]
    found = step("split", shown(500, better=0.2), [*asked(300), *late])
    assert found.to == "promoted"


def test_a_slice_that_gets_worse_ends_it_although_the_rest_gains() -> None:
    outcomes = [
        *shadowed(2000, 0.3, slices=("kind:film",)),
        *shadowed(800, -0.3, slices=("kind:show",)),
    ]
    found = step("split", outcomes, [*asked(300), *given_to_people(400)])
    assert (found.to, found.cause) == ("refused", "guardrail")
    assert found.reasons[0].startswith("slice kind:show")


def test_a_large_slice_must_be_shown_to_be_fine_and_a_small_one_need_not() -> None:
    answers = [*asked(300), *given_to_people(400)]
    large = [*shadowed(1000, 0.2), *shadowed(150, -0.03, slices=("kind:show",))]
    small = [*shadowed(1000, 0.2), *shadowed(90, -0.03, slices=("kind:show",))]
    waits = step("split", large, answers)
    assert waits.to == "split"
    assert "certainty of slice kind:show" in waits.missing[0]
    assert step("split", small, answers).to == "promoted"


def test_genres_are_watched_but_need_not_be_shown_to_be_fine() -> None:
    outcomes = [*shadowed(1000, 0.2), *shadowed(150, -0.03, slices=("genre:Crime",))]
    assert step("split", outcomes, [*asked(300), *given_to_people(400)]).to == "promoted"


# ------------------------------------------------------------ pairs

arms = st.lists(st.sampled_from([CONTROL, CANDIDATE]), max_size=60)


@given(arms, st.integers(0, 2**32))
def test_units_are_held_against_each_other_in_the_order_of_each_arm(
    order: list[ArmName], seed: int
) -> None:
    random = np.random.default_rng(seed)
    outcomes = [Outcome(arm, float(random.random())) for arm in order]
    evidence = Evidence(POLICY)
    for outcome in outcomes:
        evidence.add([outcome])
    control = [each.value for each in outcomes if each.arm == CONTROL]
    candidate = [each.value for each in outcomes if each.arm == CANDIDATE]
    assert evidence.all.split == [b - a for a, b in zip(control, candidate, strict=False)]


@given(st.integers(0, 300), st.integers(0, 2**32))
def test_the_step_is_the_same_whether_evidence_came_at_once_or_in_parts(
    cut: int, seed: int
) -> None:
    random = np.random.default_rng(seed)
    outcomes = [
        Outcome(CANDIDATE if drawn < 0.5 else CONTROL, float(drawn), ("kind:film",))
        for drawn in random.random(300)
    ]
    whole, parts = Evidence(POLICY), Evidence(POLICY)
    whole.add(outcomes, asked(20))
    parts.add(outcomes[:cut])
    conduct("split", parts, POLICY, age=NEW)
    parts.add(outcomes[cut:], asked(20))
    said = [conduct("split", each, POLICY, age=NEW) for each in (whole, parts)]
    assert said[0] == said[1]


# ------------------------------------------------------------ whole experiments


def test_of_equal_versions_no_more_than_alpha_are_promoted() -> None:
    ended = run("no difference", 0.05, replace(POLICY, outcomes=1500), range(200))
    assert sum(one.to == "promoted" for one in ended) <= POLICY.alpha * 200
    assert sum(one.peeked for one in ended) > 2 * POLICY.alpha * 200  # what looking often costs


@pytest.mark.parametrize("scenario", ["worse", "one slice worse", "slower"])
def test_a_regression_is_never_promoted(scenario: str) -> None:
    ended = run(scenario, 0.05, replace(POLICY, outcomes=2500), range(60))
    assert not any(one.to == "promoted" for one in ended)


def test_an_improvement_is_found() -> None:
    ended = run("better", 0.05, POLICY, range(40))
    assert all(one.to == "promoted" for one in ended)


def test_the_same_seed_plays_the_same_experiments() -> None:
    first, again = (list(play(6, 0.1, POLICY, seed=3, scenarios=["better"])) for _ in range(2))
    assert first == again


def test_a_simulation_that_makes_no_sense_is_refused(capsys: pytest.CaptureFixture[str]) -> None:
    for wrong in (["--runs", "0"], ["--alpha", "1"], ["--effect", "0.5"]):
        with pytest.raises(SystemExit):
            main(wrong)
    assert "must lie between" in capsys.readouterr().err


def test_wilsons_interval_is_the_textbooks() -> None:
    assert wilson(0, 1000) == pytest.approx((0, 0.0038), abs=1e-4)
    assert wilson(50, 1000) == pytest.approx((0.0381, 0.0653), abs=1e-4)
