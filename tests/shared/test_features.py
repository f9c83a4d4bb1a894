"""The text that models read."""

import hashlib

import pytest

from trending_shared.features import (
    LIBRARY,
    compose_text,
    measure_cost,
    normalise_text,
    text_hash,
    text_statistics,
    without_facts,
)


@pytest.mark.parametrize(
    ("text", "normalised"),
    [
        ("  A\tcafé\n séance ", "a cafe seance"),
        ("Zoë Müller in İstanbul", "zoe muller in istanbul"),
        ("Straße, Łódź, Ærø", "strasse, lodz, aero"),
        ("don’t", "don't"),
        ("war—peace…", "war peace..."),
        ("ﬁre ①", "fire 1"),
        ("千と千尋 🎬", ""),
        ("a\x00b\u200bc\ud800d", "a b c d"),
    ],
)
def test_texts_become_lower_case_ascii(text: str, normalised: str) -> None:
    assert normalise_text(text) == normalised
    assert normalise_text(normalised) == normalised


def test_a_text_holds_name_and_plot_and_each_fact_as_one_token() -> None:
    text = compose_text(
        name="Séance",
        plot="A ghost\nreturns.",
        kind="show",
        countries=["United Kingdom", "Côte d’Ivoire"],
    )
    assert text == "seance a ghost returns. kind_show country_cote_d_ivoire country_united_kingdom"
    assert normalise_text(text) == text


def test_the_order_and_repetition_of_countries_do_not_matter() -> None:
    one = compose_text(name="A", plot="b", countries=["Japan", "France", "Japan"])
    other = compose_text(name="A", plot="b", countries=["France", "Japan"])
    assert one == other == "a b country_france country_japan"


def test_what_is_not_known_leaves_no_trace() -> None:
    assert compose_text(name="A", plot="b", kind=None, countries=["", "日本"]) == "a b"
    assert compose_text(name="", plot="b") == "b"


def test_a_plot_cannot_pretend_to_be_a_fact() -> None:
    text = compose_text(name="kind_film", plot="country_japan", kind="show")
    assert text == "kind film country japan kind_show"


def test_a_title_without_a_readable_story_has_no_text() -> None:
    assert compose_text(name="千と千尋", plot="…_", kind="film", countries=["Japan"]) == ""
    assert compose_text(name="千と千尋", plot=" ", kind="film", countries=["Japan"]) == ""


def test_a_hash_tells_texts_apart() -> None:
    assert text_hash("") == "e3b0c44298fc1c14"
    assert text_hash("a") != text_hash("b")


def test_statistics_count_what_is_there() -> None:
    statistics = text_statistics("The café, the Séance 7")
    assert (statistics.characters, statistics.words) == (22, 5)
    assert statistics.mean_word_length == pytest.approx(17 / 5)
    assert statistics.distinct_words == pytest.approx(4 / 5)
    assert statistics.non_ascii_letters == pytest.approx(2 / 16)


def test_an_empty_text_has_zeros() -> None:
    statistics = text_statistics("")
    assert (statistics.characters, statistics.words, statistics.mean_word_length) == (0, 0, 0.0)
    assert (statistics.distinct_words, statistics.non_ascii_letters) == (0.0, 0.0)


TOLD = [
    {"name": name, "plot": plot, "kind": kind, "countries": countries, "reviews": reviews}
    for name, plot, kind, countries, reviews in (
        ("Séance", "A ghost\nreturns, don’t ask.", "show", ["Côte d’Ivoire", "Japan"], []),
        ("kind_film", "country_japan 🎬 — 10 %", "film", [], ["Fine.", "A_b  c"]),
        ("千と千尋", "İstanbul’da bir ﬁre ①, straße.", None, [""], ["word " * 200]),
        ("", "a\x00b\u200bc\ud800d " * 300, "film", ["France", "France"], ["", "é"]),
        ("千", "", None, [], []),
    )
]


@pytest.mark.parametrize(
    ("name", "digest"),
    [
        ("name-plot-1", "0a1de6397e47f8a5"),
        ("name-plot-kind-countries-1", "3c013f498e4fe3ed"),
        ("name-plot-reviews-kind-countries-1", "0c1dd68e24241b47"),
        ("plot-statistics-1", "c25f9e97365529aa"),
    ],
)
def test_what_a_feature_of_a_name_returns_never_changes(name: str, digest: str) -> None:
    said = "\n".join(repr(LIBRARY[name].of(title)) for title in TOLD)
    assert hashlib.sha256(said.encode("utf-8", "surrogatepass")).hexdigest()[:16] == digest


def test_a_feature_takes_what_it_reads_and_misses_it_by_name() -> None:
    title = {"name": "A", "plot": "b", "genres": ["Drama"]}
    assert LIBRARY["name-plot-1"].of(title) == "a b"
    with pytest.raises(KeyError, match="kind"):
        LIBRARY["name-plot-kind-countries-1"].of(title)


def test_without_facts_a_text_is_the_one_whose_facts_nobody_told() -> None:
    for title in TOLD:
        text = LIBRARY["name-plot-kind-countries-1"].of(title)
        assert without_facts(text) == LIBRARY["name-plot-1"].of(title)


def test_a_cost_is_of_the_middle_and_every_value_is_computed_once() -> None:
    asked: list[int] = []
    assert measure_cost(asked.append, range(5)) > 0
    assert asked == [0, 1, 2, 3, 4]


def test_no_feature_is_without_its_promise() -> None:
    marks = test_what_a_feature_of_a_name_returns_never_changes.pytestmark  # type: ignore[attr-defined]
    assert {name for name, _ in marks[0].args[1]} == LIBRARY.keys()
