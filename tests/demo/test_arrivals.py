"""What comes later: titles in German, all different, with genres that are true or drawn."""

from collections import Counter

import pytest

from trending_demo.arrivals import arrivals
from trending_demo.catalogue import Catalogue, CatalogueInvalid, demo_catalogue


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


def test_shuffled_genres_are_the_same_ones_of_other_titles_every_time() -> None:
    true, drawn = arrivals(), arrivals(shuffled=True)
    assert [title.plot for title in drawn.titles] == [title.plot for title in true.titles]
    assert drawn == arrivals(shuffled=True)
    pairs = list(zip(true.titles, drawn.titles, strict=True))
    assert sum(one.genres == other.genres for one, other in pairs) < 245 / 5 + 20
    assert Counter(title.genres for title in drawn.titles) == Counter(
        title.genres for title in true.titles
    )


def test_a_catalogue_grows_in_front_and_takes_no_title_twice() -> None:
    grown = demo_catalogue().with_more(arrivals())
    assert len(grown.titles) == 575
    assert grown.titles[0].language == "German"
    with pytest.raises(CatalogueInvalid, match="in the catalogue already"):
        grown.with_more(Catalogue(arrivals().titles[:1]))
