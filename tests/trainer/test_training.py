"""Which titles a model learns from, and what it makes of them."""

import hashlib
import random

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest

from trending_shared.features import compose_text
from trending_shared.genres import GENRES
from trending_shared.sources import read_catalogue
from trending_trainer.training import (
    FAMILIES,
    MIN_EXAMPLES,
    UNTRAINED_PROBABILITY,
    Family,
    GenreModel,
    TooFewTitles,
    choose_threshold,
    decide,
    train,
)
from trending_trainer.training_set import Terms, TrainingSet, split_of

WORDS = {
    "Comedy": ["laughs", "prank", "silly", "wedding"],
    "Crime": ["heist", "detective", "murder", "police"],
    "Horror": ["ghost", "haunted", "scream", "cursed"],
}
FILLER = [
    "the",
    "a",
    "of",
    "in",
    "two",
    "young",
    "town",
    "family",
    "one",
    "day",
    "finds",
    "their",
    "after",
    "life",
    "who",
    "when",
]


def a_row(number: int, genres: list[str], *, words: list[str]) -> dict[str, object]:
    kind = ("film", "show")[number % 2]
    return {
        "title_id": f"t_{number}",
        "source_id": f"s{number}",
        "kind": kind,
        "genres": genres,
        "text": compose_text(
            name=f"Title {number}", plot=" ".join(words), kind=kind, countries=["Japan"]
        ),
    }


def rows(count: int = 150, *, rare: int = 0) -> list[dict[str, object]]:
    """Titles of three genres, each with words of its own; the first `rare` are also Anime."""
    chance = random.Random(7)
    made = []
    for number in range(count):
        genres = chance.sample(sorted(WORDS), k=1 + (number % 4 == 0))
        words = [word for genre in genres for word in chance.sample(WORDS[genre], k=2)]
        words += chance.choices(FILLER, k=12)
        chance.shuffle(words)
        made.append(a_row(number, genres + ["Anime"] * (number < rare), words=words))
    return made


def titles(count: int = 150, *, rare: int = 0) -> TrainingSet:
    return TrainingSet.of(pa.Table.from_pylist(rows(count, rare=rare)))


@pytest.fixture(scope="module", params=FAMILIES)
def model(request: pytest.FixtureRequest) -> GenreModel:
    family: Family = request.param
    return train(family, titles())


# ---------------------------------------------------------------- training set


def test_the_split_is_the_sha1_of_the_source_id() -> None:
    parts = {"test": range(20), "validation": range(20, 30), "train": range(30, 100)}
    for number in range(300):
        source_id = f"s{number}"
        bucket = int(hashlib.sha1(source_id.encode()).hexdigest(), 16) % 100
        assert bucket in parts[split_of(source_id)]


def test_rows_without_a_genre_are_left_out_and_labels_follow_the_genres() -> None:
    table = pa.Table.from_pylist(
        [
            a_row(1, ["Horror", "Anime"], words=["ghost"]),
            a_row(2, [], words=["nothing"]),
            a_row(3, ["Western"], words=["horse"]),
            a_row(4, ["Western", "Comedy"], words=["prank"]),
        ]
    )
    found = TrainingSet.of(table)
    assert list(found.title_ids) == ["t_1", "t_4"]
    assert [[GENRES[c] for c in np.flatnonzero(row)] for row in found.labels] == [
        ["Anime", "Horror"],
        ["Comedy"],
    ]
    assert list(found.kinds) == ["show", "film"]


def test_a_data_frame_gives_what_a_table_gives() -> None:
    frame, table = TrainingSet.of(pd.DataFrame(rows(20))), titles(20)
    assert np.array_equal(frame.labels, table.labels)
    assert list(frame.texts) == list(table.texts)


def test_the_splits_share_no_title_and_leave_none_out() -> None:
    everything = titles()
    parts = [set(everything.only(split).title_ids) for split in ("train", "validation", "test")]
    assert sum(map(len, parts)) == len(set().union(*parts)) == len(everything)
    assert len(everything.only("train", "validation")) == len(parts[0]) + len(parts[1])


def test_no_titles_are_a_set_too() -> None:
    empty = TrainingSet.of(pa.Table.from_pylist(rows(3)).slice(0, 0))
    assert len(empty) == 0
    assert empty.labels.shape == (0, 16)


# ---------------------------------------------------------------- what may be learned from

OF_SOURCES = pa.Table.from_pylist(
    [
        {"source": "tvmaze", "license": "CC-BY-SA-4.0"},
        {"source": "tmdb", "license": "LicenseRef-TMDB"},
        {"source": "omdb", "license": "CC-BY-NC-4.0"},
        {"source": "cinema_of_ones_own", "license": "CC-BY-NC-4.0"},
        {"source": "csv", "license": "LicenseRef-own-file"},
    ]
)


@pytest.mark.parametrize(
    ("excluded", "permitted", "sources"),
    [
        ((), (), ["tvmaze", "cinema_of_ones_own", "csv"]),
        (("cc-by-nc-4.0",), (), ["tvmaze", "csv"]),
        ((), ("omdb",), ["tvmaze", "omdb", "cinema_of_ones_own", "csv"]),
        (("CC-BY-NC-4.0",), ("omdb", "tmdb"), ["tvmaze", "tmdb", "csv"]),
        (("CC-BY-SA-4.0", "LicenseRef-own-file"), (), ["cinema_of_ones_own"]),
    ],
)
def test_sources_that_must_be_asked_and_licences_that_are_named_are_left_out(
    excluded: tuple[str, ...], permitted: tuple[str, ...], sources: list[str]
) -> None:
    terms = Terms.of(read_catalogue(), excluded_licenses=excluded, permitted_sources=permitted)
    rows, left_out = terms.permitted(OF_SOURCES)
    assert rows.column("source").to_pylist() == sources
    assert sum(left_out.values()) == len(OF_SOURCES) - len(sources)


def test_a_source_that_forbids_training_cant_be_permitted() -> None:
    entry = read_catalogue()["tvmaze"].model_copy(update={"training": "forbidden"})
    terms = Terms.of({"tvmaze": entry}, permitted_sources=["tvmaze"])
    rows, left_out = terms.permitted(OF_SOURCES.slice(0, 1))
    assert (len(rows), left_out) == (0, {"CC-BY-SA-4.0": 1})


# ---------------------------------------------------------------- training


def test_a_model_finds_the_genres_of_titles_it_has_not_seen(model: GenreModel) -> None:
    unseen = titles().only("test")
    given = decide(model.probabilities(unseen.texts), model.thresholds)
    assert (given == unseen.labels.astype(bool)).mean() > 0.97


def test_the_test_split_decides_nothing(model: GenreModel) -> None:
    changed = [
        {**row, "text": "other words", "genres": ["Crime"]}
        if split_of(str(row["source_id"])) == "test"
        else row
        for row in rows()
    ]
    again = train(model.family, TrainingSet.of(pa.Table.from_pylist(changed)))
    texts = titles().texts
    assert np.array_equal(again.probabilities(texts), model.probabilities(texts))
    assert again.thresholds == model.thresholds


def test_the_same_titles_give_the_same_model(model: GenreModel) -> None:
    again = train(model.family, titles())
    texts = titles().texts
    assert np.array_equal(again.probabilities(texts), model.probabilities(texts))
    assert again.thresholds == model.thresholds


def test_probabilities_have_a_column_for_each_genre(model: GenreModel) -> None:
    answers = model.probabilities(["a ghost", ""])
    assert answers.shape == (2, 16)
    assert answers.dtype == np.float32
    assert answers[0].argmax() == GENRES.index("Horror")
    assert model.probabilities([]).shape == (0, 16)
    assert list(model.thresholds) == list(GENRES)


def test_a_genre_with_too_few_titles_is_reported_and_never_given(model: GenreModel) -> None:
    assert set(model.untrained) == set(GENRES) - set(WORDS)
    scarce = train(model.family, titles(rare=MIN_EXAMPLES - 1))
    assert "Anime" in scarce.untrained
    answers = scarce.probabilities(titles().texts)
    column = GENRES.index("Anime")
    assert np.all(answers[:, column] == np.float32(UNTRAINED_PROBABILITY))
    assert not decide(answers, scarce.thresholds)[:, column].any()


def test_a_genre_that_every_title_has_cannot_be_told_either() -> None:
    everywhere = [{**row, "genres": [*WORDS, "Drama"]} for row in rows(60)]
    everywhere[0]["genres"] = ["Drama"]
    with pytest.raises(TooFewTitles, match="no genre has"):
        train("tfidf-logreg", TrainingSet.of(pa.Table.from_pylist(everywhere)))


def test_a_genre_may_be_absent_from_a_fold() -> None:
    few = titles(rare=MIN_EXAMPLES + 5)
    assert few.only("train", "validation").labels[:, GENRES.index("Anime")].sum() >= MIN_EXAMPLES
    assert "Anime" not in train("tfidf-logreg", few, folds=3).untrained


def test_too_few_titles_are_refused() -> None:
    with pytest.raises(TooFewTitles, match="folds"):
        train("tfidf-logreg", titles(3))


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


def test_a_probability_at_its_threshold_is_given() -> None:
    thresholds = dict.fromkeys(GENRES, 0.3)
    answers = np.full((1, 16), 0.3, np.float32)
    answers[0, 0] = np.nextafter(np.float32(0.3), np.float32(0))
    assert decide(answers, thresholds).sum() == 15
