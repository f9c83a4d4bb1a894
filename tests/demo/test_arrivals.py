"""What comes later: titles in German, all different, with genres that are true or drawn."""

from collections import Counter
from typing import get_args

import pytest

from trending_demo.arrivals import arrivals, arrivals_in_turn
from trending_demo.catalogue import Catalogue, CatalogueInvalid, Genre, demo_catalogue


def test_each_genre_has_forty_nine_titles_of_its_own_name_and_plot() -> None:
    titles = arrivals().titles
    assert set(Counter(title.genres for title in titles).values()) == {49}
    assert len({title.name for title in titles}) == len({title.plot for title in titles}) == 245
    assert {title.language for title in titles} == {"German"}


def test_no_two_plots_share_more_than_one_clause() -> None:
    for genre, titles in arrivals().by_genre.items():
        phrases = [
            {tuple(words[n : n + 3]) for n in range(len(words) - 2)}
            for words in (title.plot.split() for title in titles)
        ]
        alike = max(
            len(one & other) / min(len(one), len(other))
            for n, one in enumerate(phrases)
            for other in phrases[:n]
        )
        assert alike < 0.5, genre


def test_wrong_genres_are_any_of_the_sixteen_and_the_same_every_time() -> None:
    right, wrong = arrivals(), arrivals(wrong=True)
    assert [title.plot for title in wrong.titles] == [title.plot for title in right.titles]
    assert wrong == arrivals(wrong=True)
    assert set(wrong.by_genre) == set(get_args(Genre))
    pairs = zip(right.titles, wrong.titles, strict=True)
    assert sum(one.genres == other.genres for one, other in pairs) < 245 / 8


def test_a_catalogue_grows_in_front_and_takes_no_title_twice() -> None:
    grown = demo_catalogue().with_more(arrivals())
    assert len(grown.titles) == 575
    assert grown.titles[0].language == "German"
    with pytest.raises(CatalogueInvalid, match="in the catalogue already"):
        grown.with_more(Catalogue(arrivals().titles[:1]))


def test_they_come_in_two_parts_with_all_genres_in_each() -> None:
    early, late = arrivals_in_turn()
    assert (len(early.titles), len(late.titles)) == (140, 105)
    assert {*early.titles, *late.titles} == {*arrivals().titles}
    assert len(early.by_genre) == len(late.by_genre) == 5
