"""The gate: what lets a candidate take the champion's place, and what keeps it out."""

from dataclasses import replace
from math import inf, nan

import pytest

from trending_trainer.promotion import MAX_DIFFERENCE, Candidate, Champion, judge

CANDIDATE = Candidate(
    version="new",
    macro_f1=0.6,
    baseline_f1=0.1,
    parity_difference=1e-6,
    parity_label_changes=0,
)
CHAMPION = Champion(version="old", macro_f1=0.5)


def test_a_better_candidate_is_promoted_and_both_scores_are_named() -> None:
    verdict = judge(CANDIDATE, CHAMPION)
    assert verdict.promote
    (reason,) = verdict.reasons
    assert "0.6000" in reason
    assert "0.5000" in reason


def test_the_first_good_model_needs_no_champion_to_beat() -> None:
    verdict = judge(CANDIDATE, None, margin=0.9)
    assert verdict.promote
    assert verdict.reasons == ("there was no champion; macro-F1 0.6000",)


def test_without_a_champion_the_baseline_still_has_to_be_beaten() -> None:
    verdict = judge(replace(CANDIDATE, macro_f1=0.1), None)
    assert not verdict.promote
    (reason,) = verdict.reasons
    assert "most frequent genre" in reason


@pytest.mark.parametrize(("macro_f1", "promoted"), [(0.51, False), (0.52, False), (0.53, True)])
def test_a_candidate_has_to_be_better_by_more_than_the_margin(
    macro_f1: float, promoted: bool
) -> None:
    verdict = judge(replace(CANDIDATE, macro_f1=macro_f1), CHAMPION, margin=0.02)
    assert verdict.promote is promoted
    assert len(verdict.reasons) == 1


def test_a_draw_is_the_champions() -> None:
    verdict = judge(replace(CANDIDATE, macro_f1=CHAMPION.macro_f1), CHAMPION)
    assert not verdict.promote


def test_the_champion_itself_is_refused_as_such_whatever_its_score() -> None:
    verdict = judge(CANDIDATE, Champion(version="new", macro_f1=0.2))
    assert not verdict.promote
    assert verdict.reasons == ("it is the champion new itself",)


@pytest.mark.parametrize(
    "export",
    [
        {"parity_difference": 2 * MAX_DIFFERENCE},
        {"parity_difference": inf},
        {"parity_label_changes": 1},
    ],
)
def test_an_export_that_answers_otherwise_is_refused(export: dict[str, float]) -> None:
    verdict = judge(replace(CANDIDATE, **export), CHAMPION)  # type: ignore[arg-type]
    assert not verdict.promote
    (reason,) = verdict.reasons
    assert reason.startswith("the export differs from the trained model")


def test_the_largest_difference_that_is_allowed_passes() -> None:
    assert judge(replace(CANDIDATE, parity_difference=MAX_DIFFERENCE), CHAMPION).promote


@pytest.mark.parametrize("field", ["macro_f1", "baseline_f1", "parity_difference"])
def test_what_could_not_be_measured_is_no_merit(field: str) -> None:
    verdict = judge(replace(CANDIDATE, **{field: nan}), CHAMPION)  # type: ignore[arg-type]
    assert not verdict.promote


def test_every_reason_is_given() -> None:
    bad = Candidate(
        version="new",
        macro_f1=0.05,
        baseline_f1=0.1,
        parity_difference=0.2,
        parity_label_changes=3,
    )
    verdict = judge(bad, CHAMPION)
    assert not verdict.promote
    export, baseline, champion = verdict.reasons
    assert "0.2 and changes 3 labels" in export
    assert "0.1000" in baseline
    assert "champion's 0.5000" in champion
