"""The arithmetic of scores, their intervals, their differences, and what isn't known."""

import json
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from sklearn.metrics import average_precision_score, f1_score

from trending_shared.evaluation import (
    MIN_SLICE,
    UNKNOWN,
    Answers,
    Evaluation,
    average_precisions,
    compare,
    compare_macro_f1,
    decide,
    evaluate,
)
from trending_shared.genres import GENRES

HALVES = dict.fromkeys(GENRES, 0.5)


def matrix(*rows: set[str]) -> NDArray[np.int8]:
    return np.array([[genre in row for genre in GENRES] for row in rows], np.int8)


TRUTH = matrix({"Comedy"}, {"Comedy", "Drama"}, {"Drama"}, {"Horror"})
GIVEN = matrix({"Comedy"}, {"Comedy"}, {"Comedy", "Drama"}, {"Crime"})


def of(labels: NDArray[Any], given: NDArray[Any]) -> Answers:
    return Answers(labels, np.where(given == 1, 0.9, 0.1).astype(np.float32), HALVES)


def some_answers(
    rows: int = 600, *, skill: float = 2.0, seed: int = 0, ties: bool = False
) -> Answers:
    """Labels, and probabilities that tell of them more or less clearly."""
    chance = np.random.default_rng(5)
    labels = (chance.random((rows, len(GENRES))) < 0.25).astype(np.int8)
    labels[chance.random(labels.shape) < 0.1] = UNKNOWN
    noise = np.random.default_rng(seed).normal(size=labels.shape)
    said = 1 / (1 + np.exp(-(skill * (labels == 1) - skill / 2 + noise)))
    if ties:
        said = np.round(said, 1)
    return Answers(labels, said.astype(np.float32), HALVES)


@pytest.fixture
def evaluation() -> Evaluation:
    return evaluate(of(TRUTH, GIVEN), {})


# ---------------------------------------------------------------- scores


def test_each_genre_gets_its_scores(evaluation: Evaluation) -> None:
    comedy, drama = evaluation.genres["Comedy"], evaluation.genres["Drama"]
    assert [comedy.precision, comedy.recall] == pytest.approx([2 / 3, 1.0])
    assert [comedy.f1, comedy.support, comedy.given] == pytest.approx([0.8, 2, 3])
    assert [drama.precision, drama.recall, drama.f1] == pytest.approx([1.0, 0.5, 2 / 3])


def test_a_genre_never_found_or_never_there_scores_zero(evaluation: Evaluation) -> None:
    for genre, support in (("Horror", 1), ("Crime", 0), ("Anime", 0)):
        score = evaluation.genres[genre]
        assert (score.precision, score.recall, score.f1) == (0.0, 0.0, 0.0)
        assert score.support == support


def test_the_macro_mean_is_over_the_genres_that_occur(evaluation: Evaluation) -> None:
    assert evaluation.macro_f1 == pytest.approx((0.8 + 2 / 3 + 0) / 3)


def test_the_micro_mean_counts_all_answers_alike(evaluation: Evaluation) -> None:
    assert evaluation.micro_f1 == pytest.approx(2 * 3 / (5 + 5))


def test_what_is_unknown_counts_neither_for_nor_against() -> None:
    unknown = TRUTH.copy()
    unknown[2, GENRES.index("Comedy")] = UNKNOWN  # given, and nobody knows
    unknown[3, GENRES.index("Horror")] = UNKNOWN  # not given, and nobody knows
    found = evaluate(of(unknown, GIVEN), {})
    comedy, horror = found.genres["Comedy"], found.genres["Horror"]
    assert (comedy.f1, comedy.given, comedy.known) == (1.0, 2, 3)
    assert (horror.support, horror.known) == (0, 3)
    assert found.macro_f1 == pytest.approx((1 + 2 / 3) / 2)


@pytest.mark.parametrize("ties", [False, True])
def test_scores_are_those_of_scikit_learn_on_what_is_known(ties: bool) -> None:
    answers = some_answers(ties=ties)
    found, average = evaluate(answers, {}), average_precisions(answers)
    for column, genre in enumerate(GENRES):
        known = answers.known[:, column]
        labels, said = answers.labels[known, column], answers.probabilities[known, column]
        assert found.genres[genre].f1 == pytest.approx(f1_score(labels, said >= 0.5))
        assert average[column] == pytest.approx(average_precision_score(labels, said))
    assert found.mean_average_precision == pytest.approx(average.mean())


def test_a_probability_at_its_threshold_is_given() -> None:
    answers = np.full((1, 16), 0.3, np.float32)
    answers[0, 0] = np.nextafter(np.float32(0.3), np.float32(0))
    assert decide(answers, dict.fromkeys(GENRES, 0.3)).sum() == 15


def test_confusions_name_what_was_missed_and_what_was_given_instead() -> None:
    found = evaluate(of(TRUTH, GIVEN), {}).confusions
    assert [(one.missed, one.given, one.count) for one in found] == [("Horror", "Crime", 1)]


def test_an_evaluation_survives_json(evaluation: Evaluation) -> None:
    text = evaluation.model_dump_json()
    assert Evaluation.model_validate_json(text) == evaluation
    assert json.loads(text)["genres"]["Comedy"]["support"] == 2


def test_no_titles_and_shapes_that_do_not_fit_are_refused() -> None:
    with pytest.raises(ValueError, match="no titles"):
        evaluate(of(TRUTH[:0], GIVEN[:0]), {})
    with pytest.raises(ValueError, match="probabilities"):
        of(TRUTH, GIVEN[:2])
    with pytest.raises(ValueError, match="values of kind"):
        evaluate(of(TRUTH, GIVEN), {"kind": np.array(["film"], object)})


# ---------------------------------------------------------------- calibration


def test_probabilities_that_mean_what_they_say_have_no_error_and_others_have() -> None:
    chance = np.random.default_rng(0)
    said = chance.random((5000, len(GENRES))).astype(np.float32)
    labels = (chance.random(said.shape) < said).astype(np.int8)
    honest = evaluate(Answers(labels, said, HALVES), {}, resamples=10).calibration
    assert honest.ece < 0.01
    assert honest.brier == pytest.approx(1 / 6, abs=0.01)  # the mean of p (1 - p)
    assert sum(bin.count for bin in honest.bins) == said.size
    twisted = evaluate(Answers(labels, said**3, HALVES), {}, resamples=10).calibration
    assert twisted.ece == pytest.approx(1 / 2 - 1 / 4, abs=0.01)  # the mean of p - p³
    assert all(bin.true > bin.said for bin in twisted.bins[1:-1])


# ---------------------------------------------------------------- intervals and differences


def test_an_interval_holds_its_value_and_narrows_with_titles() -> None:
    few, many = (evaluate(some_answers(rows), {}) for rows in (150, 2400))
    for found in (few, many):
        assert found.macro_f1_interval.low < found.macro_f1 < found.macro_f1_interval.high

    def width(found: Evaluation) -> float:
        return found.macro_f1_interval.high - found.macro_f1_interval.low

    assert width(many) < width(few) / 2.5  # by the square root of 16, four


def test_the_same_answers_have_the_same_intervals() -> None:
    assert evaluate(some_answers(), {}) == evaluate(some_answers(), {})


def test_who_is_better_is_surely_better_and_who_is_as_good_isnt() -> None:
    good, bad = some_answers(skill=3.0), some_answers(skill=2.0)
    found = compare(good, bad, {}).macro_f1
    assert found.interval.low > 0
    assert found.better == 1.0
    assert found.value == pytest.approx(evaluate(good, {}).macro_f1 - evaluate(bad, {}).macro_f1)
    alike = compare(some_answers(seed=1), some_answers(seed=2), {}).macro_f1
    assert alike.interval.low < 0 < alike.interval.high
    opposite = compare(bad, good, {}).macro_f1
    assert opposite.value == -found.value
    assert opposite.better == 0.0


def test_a_difference_is_surer_than_either_score() -> None:
    one = some_answers(skill=2.0)
    other = Answers(one.labels, np.clip(one.probabilities * 0.97, 0, 1), HALVES)
    difference = compare(one, other, {}).macro_f1.interval
    alone = evaluate(one, {}).macro_f1_interval
    assert difference.high - difference.low < (alone.high - alone.low) / 3


def test_the_difference_in_macro_f1_alone_is_the_same() -> None:
    good, bad = some_answers(skill=2.5), some_answers(skill=2.0)
    assert compare_macro_f1(good, bad) == compare(good, bad, {}).macro_f1


def test_a_model_equals_itself_exactly() -> None:
    found = compare(some_answers(), some_answers(), {})
    assert (found.macro_f1.value, found.macro_f1.interval.low, found.macro_f1.better) == (0, 0, 0)


def test_answers_to_other_titles_cant_be_compared() -> None:
    with pytest.raises(ValueError, match="same titles"):
        compare(some_answers(100), some_answers(101), {})
    with pytest.raises(ValueError, match="same titles"):
        compare_macro_f1(some_answers(100), some_answers(101))


# ---------------------------------------------------------------- slices


def test_a_slice_is_scored_like_its_titles_alone_and_small_ones_arent() -> None:
    answers = some_answers(400)
    places = np.array(["here"] * 300 + ["there"] * (100 - MIN_SLICE + 1) + ["far"] * 49, object)
    found = evaluate(answers, {"place": places}).slices["place"]
    assert set(found) == {"here", "there"}
    here = Answers(answers.labels[:300], answers.probabilities[:300], HALVES)
    assert found["here"].rows == 300
    assert found["here"].macro_f1 == pytest.approx(evaluate(here, {}).macro_f1)
    assert found["here"].interval.low < found["here"].macro_f1 < found["here"].interval.high


def test_a_genre_of_few_titles_doesnt_count_in_a_slice() -> None:
    labels = matrix(*([{"Drama"}] * 80), *([{"Horror"}] * 4))
    found = evaluate(of(labels, matrix(*([{"Drama"}] * 84))), {"all": np.array(["x"] * 84, object)})
    assert found.slices["all"]["x"].genres == 1
    assert found.slices["all"]["x"].macro_f1 == pytest.approx(2 * 80 / (80 + 84))


def test_who_wins_on_the_whole_may_fall_in_a_slice() -> None:
    base = some_answers(600, skill=2.0)
    better = some_answers(600, skill=4.0).probabilities.copy()
    better[:80] = some_answers(600, skill=0.2).probabilities[:80]
    places = np.array(["here"] * 80 + ["there"] * 520, object)
    found = compare(Answers(base.labels, better, HALVES), base, {"place": places})
    assert found.macro_f1.interval.low > 0
    assert found.slices["place"]["here"].interval.high < 0
    assert found.slices["place"]["there"].interval.low > 0
