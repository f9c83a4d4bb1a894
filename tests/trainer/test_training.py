"""What the families make of titles, and when their probabilities can be trusted."""

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from numpy.typing import NDArray

from trending_shared.evaluation import UNKNOWN, decide
from trending_shared.features import compose_text
from trending_shared.genres import GENRES
from trending_shared.testing.datasets import WORDS, a_row, some_rows
from trending_trainer.families import family
from trending_trainer.settings import FAMILIES
from trending_trainer.training import (
    Fitted,
    TooFewTitles,
    blend,
    blend_weights,
    calibrate,
    choose_threshold,
    choose_thresholds,
    fit_family,
    most_frequent,
    ready_alone,
)
from trending_trainer.training_set import FOLDS, TrainingSet
from trending_trainer.words import LOGREG, MIN_EXAMPLES, UNTRAINED_PROBABILITY, fit_logreg

QUICK = ("tfidf-logreg", "tfidf-xgboost")
HORROR, ANIME = GENRES.index("Horror"), GENRES.index("Anime")


class Memory:
    """A workspace that lasts as long as a test."""

    def __init__(self) -> None:
        self.kept: dict[str, bytes] = {}

    def load(self, name: str) -> bytes | None:
        return self.kept.get(name)

    def save(self, name: str, content: bytes) -> None:
        self.kept[name] = content


def counted(texts: Sequence[str]) -> NDArray[np.float32]:
    """Vectors in the place of the encoder's: how often each of the known words occurs."""
    words = [word for genre in WORDS.values() for word in genre]
    rows = [[text.split().count(word) for word in words] for text in texts]
    return np.array(rows, np.float32) + 0.01


def titles(count: int = 150, **how: Any) -> TrainingSet:
    return TrainingSet.of(pa.Table.from_pylist(some_rows(count, **how)))


def fit(name: str, of: TrainingSet, memory: Memory | None = None) -> Fitted:
    workspace = memory or Memory()
    return fit_family(family(name, encode=counted, workspace=workspace), of, workspace)


@pytest.fixture(scope="module", params=[*QUICK, "keywords"])
def fitted(request: pytest.FixtureRequest) -> Fitted:
    return fit(request.param, titles())


# ---------------------------------------------------------------- families


@pytest.mark.parametrize("name", FAMILIES)
def test_each_family_that_can_be_asked_for_is_there(name: str) -> None:
    assert family(name, encode=counted, workspace=Memory()).name == name


@pytest.mark.parametrize("name", QUICK)
def test_a_model_finds_the_genres_of_titles_it_has_not_seen(name: str) -> None:
    of = titles()
    ready = ready_alone(fit(name, of), of)
    given = decide(ready.probabilities(), ready.thresholds)
    assert (given == (of.unseen.labels == 1)).mean() > 0.97


def test_the_test_split_decides_nothing(fitted: Fitted) -> None:
    rows = some_rows()
    test = TrainingSet.of(pa.Table.from_pylist(rows)).test
    changed = [
        {**row, "plot": f"other words {number}", "genres": ["Crime"]} if hidden else row
        for number, (row, hidden) in enumerate(zip(rows, test, strict=True))
    ]
    of = TrainingSet.of(pa.Table.from_pylist(changed))
    again = fit(fitted.family, of)
    assert again.part == fitted.part
    assert np.array_equal(again.judged, fitted.judged)
    assert ready_alone(again, of).thresholds == ready_alone(fitted, titles()).thresholds


def test_the_same_titles_give_the_same_model(fitted: Fitted) -> None:
    again = fit(fitted.family, titles())
    assert again.part == fitted.part
    assert np.array_equal(again.judged, fitted.judged)


def test_a_title_is_judged_by_models_that_saw_nobody_of_its_name() -> None:
    """Each title is there twice, told by two sources; what one says can't help with the other."""
    rows = some_rows(90)
    twice = rows + [
        a_row(1000 + n, row["genres"], f"told again {n}", name=row["name"], source="other")
        for n, row in enumerate(rows)
    ]
    seen: list[set[str]] = []

    def watch(of: TrainingSet, params: Any, judged: TrainingSet | None, place: str) -> Any:
        if judged is not None:
            seen.append({str(text).split(" kind_")[0].split(" ")[1] for text in of.texts})
            names = {str(text).split(" ")[1] for text in judged.texts}
            assert not names & seen[-1]
        return fit_logreg(of, params)

    workspace = Memory()
    known = family("tfidf-logreg", encode=counted, workspace=workspace)
    watched = type(known)(known.name, watch, known.defaults, known.export)
    fit_family(watched, TrainingSet.of(pa.Table.from_pylist(twice)), workspace)
    assert len(seen) == FOLDS


def test_a_genre_with_too_few_titles_is_never_given() -> None:
    of = titles(rare=MIN_EXAMPLES - 1)
    ready = ready_alone(fit("tfidf-logreg", of), of)
    answers = ready.probabilities()
    assert np.allclose(answers[:, ANIME], UNTRAINED_PROBABILITY)
    assert not decide(answers, ready.thresholds)[:, ANIME].any()


def test_what_is_unknown_is_neither_learned_from_nor_does_it_tell_the_kind() -> None:
    """Horror is recorded of films only. Shows that tell of ghosts are as likely to be."""
    rows = [
        row | {"genres": [genre for genre in row["genres"] if genre != "Horror"] or ["Drama"]}
        if row["kind"] == "show"
        else row
        for row in some_rows(400)
    ]
    of = TrainingSet.of(pa.Table.from_pylist(rows))
    assert (of.labels[:, HORROR] == UNKNOWN).any()
    model = fit_logreg(of.seen, LOGREG)
    film, show, neither = model.log_odds(
        [
            compose_text(name="New", plot="the haunted grave of a ghost", kind=kind)
            for kind in ("film", "show", None)
        ]
    )[:, HORROR]
    assert film > 0
    assert abs(film - show) < 0.1 * film  # a row's norm still knows how rare its kind is
    assert abs(film - neither) < 0.1 * film


@pytest.mark.parametrize(
    ("rows", "why"),
    [
        (some_rows(3), "hold no genre"),
        ([row | {"genres": ["Drama"]} for row in some_rows(60)], "hold no genre"),
    ],
)
def test_too_few_titles_are_refused(rows: list[dict[str, Any]], why: str) -> None:
    with pytest.raises(TooFewTitles, match=why):
        fit("tfidf-logreg", TrainingSet.of(pa.Table.from_pylist(rows)))


def test_what_was_fitted_isnt_fitted_again() -> None:
    memory = Memory()
    first = fit("tfidf-logreg", titles(), memory)

    def never(*_: Any) -> Any:
        raise AssertionError("fitted again")

    known = family("tfidf-logreg", encode=counted, workspace=memory)
    again = fit_family(type(known)(known.name, never, {}, known.export), titles(), memory)
    assert again.part == first.part
    assert again.params == first.params
    assert np.array_equal(again.native, first.native)


def test_a_file_that_holds_pickles_is_refused() -> None:
    import io

    buffer = io.BytesIO()
    np.savez(buffer, told=np.array([{"family": "evil"}], dtype=object))
    with pytest.raises(ValueError, match="allow_pickle"):
        Fitted.from_bytes(buffer.getvalue())


def test_always_the_most_frequent_genre_is_what_a_model_must_beat() -> None:
    of = titles()
    answers = most_frequent(of)
    (given,) = np.flatnonzero(answers.given.any(axis=0))
    assert given == (of.seen.labels == 1).sum(axis=0).argmax()
    assert answers.given[:, given].all()


# ---------------------------------------------------------------- calibration


def a_judgement(
    rows: int = 4000, *, rate: float = 0.2, twisted: Callable[[Any], Any] = lambda odds: odds
) -> tuple[NDArray[np.int8], NDArray[np.float32], NDArray[np.float64]]:
    """Labels drawn by known probabilities, log-odds that tell of these in a twisted way."""
    chance = np.random.default_rng(1)
    odds = chance.normal(np.log(rate / (1 - rate)), 1.5, (rows, len(GENRES)))
    probabilities = 1 / (1 + np.exp(-odds))
    labels = (chance.random(odds.shape) < probabilities).astype(np.int8)
    return labels, np.asarray(twisted(odds), np.float32), probabilities


def test_overconfident_and_shifted_log_odds_become_the_probabilities_they_came_from() -> None:
    labels, said, true = a_judgement(twisted=lambda odds: 3 * odds + 2)
    found = calibrate(labels, said)(said)
    assert np.abs(found - true).mean() < 0.015
    uncalibrated = 1 / (1 + np.exp(-said))
    assert np.abs(uncalibrated - true).mean() > 0.1


def test_a_model_that_says_the_opposite_is_given_no_credit() -> None:
    labels, said, _ = a_judgement(twisted=lambda odds: -odds)
    calibration = calibrate(labels, said)
    assert np.allclose(calibration.slopes, 0.0, atol=1e-6)
    assert np.allclose(calibration(said).mean(axis=0), labels.mean(axis=0), atol=0.01)


def test_unknown_labels_dont_calibrate() -> None:
    labels, said, _ = a_judgement()
    hidden = labels.copy()
    hidden[:2000] = UNKNOWN
    assert np.array_equal(
        calibrate(hidden, said).slopes, calibrate(labels[2000:], said[2000:]).slopes
    )
    thresholds = choose_thresholds(hidden, calibrate(labels, said)(said))
    assert thresholds == choose_thresholds(labels[2000:], calibrate(labels, said)(said[2000:]))


def test_a_genre_of_five_titles_isnt_made_certain() -> None:
    labels = np.zeros((200, len(GENRES)), np.int8)
    labels[:MIN_EXAMPLES] = 1
    said = np.where(labels == 1, 1.0, -1.0).astype(np.float32)
    found = calibrate(labels, said)(said)
    assert found.max() < 0.9


# ---------------------------------------------------------------- blends


def test_a_blend_leans_on_who_knows_more_and_ignores_who_knows_nothing() -> None:
    labels, good, _ = a_judgement()
    noise = np.random.default_rng(2).normal(-1.4, 1.0, good.shape).astype(np.float32)
    weights = blend_weights(labels, [good, noise])
    assert weights.sum() == pytest.approx(1.0)
    assert weights[0] > 0.95


def test_two_that_each_know_a_half_are_better_together() -> None:
    of = titles(300, sure=False)
    words = ready_alone(fit("tfidf-logreg", of), of)
    trees = ready_alone(fit("tfidf-xgboost", of), of)
    both = blend([words, trees], of)
    known = of.seen.labels[:, :] != UNKNOWN

    def loss(ready: Any) -> float:
        said = np.clip(ready.calibration(ready.judged)[known], 1e-6, 1 - 1e-6)
        true = of.seen.labels[known] == 1
        return float(-np.log(np.where(true, said, 1 - said)).mean())

    assert loss(both) <= min(loss(words), loss(trees)) + 1e-3
    assert [one.family for one, _ in both.parts] == ["tfidf-logreg", "tfidf-xgboost"]


# ---------------------------------------------------------------- thresholds


def test_the_threshold_lies_between_what_is_and_what_is_not() -> None:
    labels = np.array([0] * 50 + [1] * 10)
    scores = np.where(labels, 0.7, 0.2)
    assert 0.2 < choose_threshold(labels, scores) <= 0.7


def test_a_lucky_point_does_not_make_the_threshold() -> None:
    """One title at the very top has precision 1; most of the others lie around a half."""
    chance = np.random.default_rng(0)
    labels = np.array([0] * 200 + [1] * 20)
    scores = np.concatenate([chance.uniform(0.05, 0.5, 200), chance.uniform(0.4, 0.7, 20)])
    scores[-1] = 0.99
    assert 0.35 < choose_threshold(labels, scores) < 0.6
