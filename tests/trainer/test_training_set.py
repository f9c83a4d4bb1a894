"""Which titles a model learns from, which it is measured on, and what is known of them."""

from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from trending_shared.evaluation import UNKNOWN
from trending_shared.genres import GENRES
from trending_shared.sources import read_catalogue
from trending_shared.splits import bucket_of, split_key
from trending_shared.testing.datasets import a_row, some_rows
from trending_trainer.training_set import FOLDS, Split, Terms, TrainingSet


def titles(rows: list[dict[str, Any]], split: Split = "title") -> TrainingSet:
    return TrainingSet.of(pa.Table.from_pylist(rows), split=split)


def column(genre: str) -> int:
    return GENRES.index(genre)


# ---------------------------------------------------------------- rows and labels


def test_rows_without_a_genre_are_left_out_and_labels_follow_the_genres() -> None:
    found = titles(
        [
            a_row(1, ["Horror", "Anime"], "ghost"),
            a_row(2, [], "nothing"),
            a_row(3, ["Western"], "horse"),
            a_row(4, ["Western", "Comedy"], "prank"),
        ]
    )
    assert list(found.title_ids) == ["t0001", "t0004"]
    assert [[GENRES[c] for c in np.flatnonzero(row == 1)] for row in found.labels] == [
        ["Anime", "Horror"],
        ["Comedy"],
    ]


def test_no_titles_are_a_set_too() -> None:
    table = pa.Table.from_pylist(some_rows(3)).slice(0, 0)
    empty = TrainingSet.of(table)
    assert len(empty) == 0
    assert empty.labels.shape == (0, 16)


def test_a_dataset_of_before_ratings_were_kept_is_read_too() -> None:
    table = pa.Table.from_pylist(some_rows(20)).drop_columns("rating_count")
    assert set(TrainingSet.of(table).slices["popularity"]) == {"unknown"}


def test_a_genre_that_a_source_never_gives_to_a_kind_is_unknown_there() -> None:
    """Shows are never Horror, though a third of the films are: the source doesn't say it of them.

    They are never Anime either, which is so rare that this may be chance.
    """
    rows = [
        a_row(
            n, ["Horror"] if n % 6 == 0 else ["Drama", *(["Anime"] if n == 2 else [])], f"plot {n}"
        )
        for n in range(300)
    ]
    found = titles(rows)
    shows = found.slices["kind"] == "show"
    assert (found.labels[shows, column("Horror")] == UNKNOWN).all()
    assert (found.labels[~shows, column("Horror")] != UNKNOWN).all()
    assert (found.labels[:, [column("Drama"), column("Anime")]] != UNKNOWN).all()
    assert found.unrecorded() == {"demo films": (), "demo shows": ("Horror",)}


# ---------------------------------------------------------------- splits


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("Oh! Baby", "oh baby"),
        ("Oh! Baby (Tamil)", "Oh! Baby"),
        ("Amélie", "AMELIE "),
        ("Tom & Jerry", "Tom – Jerry"),
        ("千と千尋", "千と千尋 "),
    ],
)
def test_names_that_differ_in_spelling_only_lie_on_one_side(one: str, other: str) -> None:
    assert split_key(one) == split_key(other) != ""


def test_other_names_are_other_titles() -> None:
    assert len({split_key(name) for name in ("Alien", "Aliens", "千と千尋", "もののけ姫")}) == 4


def test_a_title_that_two_sources_tell_of_is_on_one_side_of_split_and_folds() -> None:
    rows = some_rows(200)
    twice = rows + [
        row
        | {"title_id": f"o{row['title_id']}", "source": "other", "source_id": f"o{number}"}
        | {"plot": f"told anew {number}", "name": str(row["name"]).upper()}
        for number, row in enumerate(rows)
    ]
    found = titles(twice)
    assert np.array_equal(found.test[:200], found.test[200:])
    assert np.array_equal(found.folds[:200], found.folds[200:])
    assert 20 < found.test[:200].sum() < 60
    assert set(found.folds) == set(range(FOLDS))


def test_the_other_splits_are_by_the_sources_id_and_by_time() -> None:
    rows = some_rows(200)
    by_id = titles(rows, "source-id").test
    assert [bucket_of(f"s{number}") < 20 for number in range(200)] == list(by_id)
    by_time = titles(rows, "time").test
    years = np.array([row["year"] for row in rows])
    assert by_time.sum() == 40
    assert years[by_time].min() >= years[~by_time].max()


def test_a_title_stays_on_its_side_whatever_else_is_in_the_set() -> None:
    rows = some_rows(200)
    few, all_of_them = titles(rows[:80]), titles(rows)
    assert np.array_equal(few.test, all_of_them.test[:80])
    assert np.array_equal(few.folds, all_of_them.folds[:80])


def test_who_tells_a_test_titles_plot_again_isnt_learned_from() -> None:
    rows = some_rows(120)
    test = titles(rows).test
    told = str(rows[int(np.flatnonzero(test)[0])]["plot"])
    number = next(n for n in range(1000, 1100) if bucket_of(split_key(f"Title {n}")) >= 20)
    found = titles([*rows, a_row(number, ["Drama"], f"{told} At last!")])
    assert list(np.flatnonzero(found.leaks)) == [120]
    assert f"t{number}" not in set(found.seen.title_ids) | set(found.unseen.title_ids)
    assert len(found.seen) + len(found.unseen) == 120


def test_texts_are_composed_by_the_recipe() -> None:
    table = pa.Table.from_pylist([a_row(1, ["Drama"], "A plot.", reviews=["So sad.", "A gem."])])

    def text(recipe: str) -> str:
        return str(TrainingSet.of(table, recipe=recipe).texts[0])

    assert text("name-plot-1") == "title 1 a plot."
    assert text("name-plot-kind-countries-1") == "title 1 a plot. kind_show country_japan"
    with_reviews = text("name-plot-reviews-kind-countries-1")
    assert with_reviews == "title 1 a plot. a gem. so sad. kind_show country_japan"
    with pytest.raises(KeyError, match="tea-leaves"):
        text("tea-leaves")


# ---------------------------------------------------------------- slices


def test_a_title_is_of_one_slice_in_each_dimension() -> None:
    found = titles(
        [
            a_row(1, ["Drama"], "one two", year=1994, countries=["Japan", "Peru"], rating_count=9),
            a_row(2, ["Drama"], "word " * 30, year=None, countries=[], language=None),
            a_row(3, ["Drama"], "word " * 60, source="other", reviews=[], rating_count=None),
        ]
    )
    told = {name: list(values) for name, values in found.slices.items()}
    assert told["decade"] == ["1990s", "unknown", "1990s"]
    assert told["country"] == ["Japan", "unknown", "Japan"]
    assert told["language"] == ["en", "unknown", "en"]
    assert told["plot"] == ["under 20 words", "20 to 49 words", "50 and more"]
    assert told["reviews"] == ["some", "some", "none"]
    assert told["popularity"] == ["upper half", "lower half", "unknown"]
    assert told["source"] == ["demo", "demo", "other"]


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


def test_titles_may_be_read_again_as_if_their_facts_were_not_known() -> None:
    titles = TrainingSet.of(pa.Table.from_pylist(some_rows(100)))
    once, twice = titles.also_without_facts(0.0), titles.also_without_facts(1.0)
    assert list(once.texts) == list(titles.texts)
    assert list(twice.texts[:100]) == list(titles.texts)
    assert list(twice.texts[100:]) == [text.partition(" kind_")[0] for text in titles.texts]
    assert np.array_equal(twice.labels[100:], titles.labels)
    assert np.array_equal(twice.folds[100:], titles.folds)
    some = titles.also_without_facts(0.3)
    assert 100 < len(some) < 200
    assert list(some.title_ids) == list(titles.also_without_facts(0.3).title_ids)
    assert not any("kind_" in text for text in some.texts[100:])
