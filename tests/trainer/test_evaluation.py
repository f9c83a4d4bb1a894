"""The arithmetic of precision, recall and F1 by genre, on average and by kind."""

import json

import numpy as np
import pytest
from numpy.typing import NDArray

from trending_shared.genres import GENRES
from trending_trainer.evaluation import Evaluation, evaluate, frequent_genre_baseline


def matrix(*rows: set[str]) -> NDArray[np.int8]:
    return np.array([[genre in row for genre in GENRES] for row in rows], np.int8)


TRUTH = matrix({"Comedy"}, {"Comedy", "Drama"}, {"Drama"}, {"Horror"})
GIVEN = matrix({"Comedy"}, {"Comedy"}, {"Comedy", "Drama"}, {"Crime"}).astype(bool)
KINDS = ["film", "show", "film", "film"]


@pytest.fixture
def evaluation() -> Evaluation:
    return evaluate(TRUTH, GIVEN, KINDS)


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


def test_each_kind_is_a_slice_of_its_own(evaluation: Evaluation) -> None:
    assert {kind: score.rows for kind, score in evaluation.kinds.items()} == {"film": 3, "show": 1}
    assert evaluation.kinds["show"].macro_f1 == pytest.approx((1 + 0) / 2)
    assert evaluation.kinds["film"].genres["Drama"].f1 == 1.0


def test_an_evaluation_survives_json(evaluation: Evaluation) -> None:
    text = evaluation.model_dump_json()
    assert Evaluation.model_validate_json(text) == evaluation
    assert json.loads(text)["genres"]["Comedy"]["support"] == 2


def test_no_titles_score_zero() -> None:
    nothing = evaluate(TRUTH[:0], GIVEN[:0], [])
    assert (nothing.rows, nothing.macro_f1, nothing.micro_f1, nothing.kinds) == (0, 0.0, 0.0, {})


def test_the_baseline_always_gives_the_most_frequent_genre_of_train() -> None:
    train = matrix({"Drama"}, {"Drama"}, {"Comedy"})
    assert frequent_genre_baseline(train, TRUTH) == pytest.approx((2 * 2 / (2 + 4)) / 3)


def test_shapes_that_do_not_fit_are_refused() -> None:
    with pytest.raises(ValueError, match="kinds"):
        evaluate(TRUTH, GIVEN, ["film"])
    with pytest.raises(ValueError, match="answers"):
        evaluate(TRUTH, GIVEN[:2], KINDS)
