"""The gate: what lets a candidate take the champion's place, and what keeps it out."""

from dataclasses import replace
from math import inf, nan
from typing import Any

import pytest

from trending_shared.evaluation import (
    Calibration,
    Comparison,
    Difference,
    Evaluation,
    Interval,
    SliceDifference,
)
from trending_trainer.promotion import MAX_DIFFERENCE, Candidate, Champion, Limits, judge

NOTHING = Interval(low=0.0, high=0.0)


def an_evaluation(macro_f1: float = 0.6, ece: float = 0.01) -> Evaluation:
    return Evaluation(
        rows=500,
        macro_f1=macro_f1,
        macro_f1_interval=NOTHING,
        micro_f1=0.6,
        micro_f1_interval=NOTHING,
        mean_average_precision=0.6,
        mean_average_precision_interval=NOTHING,
        calibration=Calibration(ece=ece, brier=0.1, bins=()),
        genres={},
        confusions=(),
        slices={},
    )


def a_difference(low: float, high: float) -> dict[str, Any]:
    return {
        "value": (low + high) / 2,
        "interval": Interval(low=low, high=high),
        "better": float(low > 0),
    }


def a_champion(
    low: float = 0.05, high: float = 0.15, *, slice: tuple[float, float] = (0.0, 0.2)
) -> Champion:
    difference = Difference(**a_difference(low, high))
    comparison = Comparison(
        macro_f1=difference,
        micro_f1=difference,
        mean_average_precision=difference,
        genres={},
        slices={"kind": {"show": SliceDifference(**a_difference(*slice), rows=120)}},
    )
    return Champion(version="old", macro_f1=0.5, comparison=comparison)


CANDIDATE = Candidate(
    version="new",
    evaluation=an_evaluation(),
    baselines={"the most frequent genre": 0.1, "keywords": 0.2},
    parity_difference=1e-6,
    parity_label_changes=0,
    latency=0.001,
)
LIMITS = Limits()


def test_a_candidate_that_is_surely_better_is_promoted_and_the_evidence_is_named() -> None:
    verdict = judge(CANDIDATE, a_champion(), LIMITS)
    assert verdict.promote
    (reason,) = verdict.reasons
    for figure in ("0.6000", "0.5000", "+0.1000", "+0.0500", "+0.1500"):
        assert figure in reason


def test_the_first_good_model_needs_no_champion_to_beat() -> None:
    verdict = judge(CANDIDATE, None, Limits(margin=0.9))
    assert verdict.promote
    assert verdict.reasons == ("there was no champion; macro-F1 0.6000",)


@pytest.mark.parametrize(("macro_f1", "beaten_by"), [(0.1, 2), (0.2, 1), (nan, 2)])
def test_without_a_champion_what_needs_no_learning_still_has_to_be_beaten(
    macro_f1: float, beaten_by: int
) -> None:
    verdict = judge(replace(CANDIDATE, evaluation=an_evaluation(macro_f1)), None, LIMITS)
    assert not verdict.promote
    assert len(verdict.reasons) == beaten_by
    assert "keywords" in verdict.reasons[-1]


@pytest.mark.parametrize(
    ("low", "margin", "promoted"),
    [
        *((0.001, 0.0, True), (0.0, 0.0, False), (-0.01, 0.0, False)),
        *((0.03, 0.02, True), (0.02, 0.02, False), (nan, 0.0, False)),
    ],
)
def test_a_candidate_has_to_be_surely_better_by_more_than_the_margin(
    low: float, margin: float, promoted: bool
) -> None:
    verdict = judge(CANDIDATE, a_champion(low), Limits(margin=margin))
    assert verdict.promote is promoted
    assert len(verdict.reasons) == 1


@pytest.mark.parametrize(
    ("slice", "promoted"),
    [
        ((-0.09, -0.01), False),
        ((-0.04, -0.01), True),  # within the margin of 0.03
        ((-0.09, 0.01), True),  # may be noise
        ((0.01, 0.09), True),
    ],
)
def test_no_slice_may_fall_by_more_than_its_margin(
    slice: tuple[float, float], promoted: bool
) -> None:
    verdict = judge(CANDIDATE, a_champion(slice=slice), LIMITS)
    assert verdict.promote is promoted
    if not promoted:
        (reason,) = verdict.reasons
        assert "120 titles whose kind is show" in reason
        assert "0.0500" in reason


def test_the_champion_itself_is_refused_as_such_whatever_its_score() -> None:
    verdict = judge(CANDIDATE, replace(a_champion(), version="new"), LIMITS)
    assert not verdict.promote
    assert verdict.reasons == ("it is the champion new itself",)


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"parity_difference": MAX_DIFFERENCE * 1.01}, "the export differs"),
        ({"parity_difference": nan}, "the export differs"),
        ({"parity_difference": inf}, "the export differs"),
        ({"parity_label_changes": 1}, "changes 1 labels"),
        ({"evaluation": an_evaluation(ece=0.051)}, "off by 0.0510"),
        ({"evaluation": an_evaluation(ece=nan)}, "off by"),
        ({"latency": 0.1001}, "takes 100.1 ms"),
        ({"latency": nan}, "takes"),
    ],
)
@pytest.mark.parametrize("champion", [None, a_champion()])
def test_a_model_that_cant_be_trusted_or_afforded_is_refused(
    changes: dict[str, Any], reason: str, champion: Champion | None
) -> None:
    verdict = judge(replace(CANDIDATE, **changes), champion, LIMITS)
    assert not verdict.promote
    (given,) = verdict.reasons
    assert reason in given


def test_at_the_limits_a_candidate_may_pass() -> None:
    at = replace(
        CANDIDATE,
        evaluation=an_evaluation(ece=0.05),
        parity_difference=MAX_DIFFERENCE,
        latency=0.1,
    )
    assert judge(at, a_champion(), LIMITS).promote


def test_every_reason_is_given() -> None:
    verdict = judge(
        replace(CANDIDATE, evaluation=an_evaluation(0.05, ece=0.5), parity_label_changes=3),
        a_champion(-0.2, -0.1, slice=(-0.3, -0.2)),
        LIMITS,
    )
    assert not verdict.promote
    assert len(verdict.reasons) == 6
