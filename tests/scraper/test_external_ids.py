"""Ids of others: those that look true are kept."""

import pytest

from trending_scraper.external_ids import external_ids

TRUE = {
    "imdb": "tt0078748",
    "tmdb": "movie/348",
    "trakt": "show/1390",
    "tvmaze": "82",
    "thetvdb": "121361",
    "wikidata": "Q103569",
    "wikipedia": "en:Alien_(film)",
}


def test_ids_that_look_as_their_scheme_has_them_are_kept() -> None:
    assert external_ids(TRUE) == TRUE


@pytest.mark.parametrize(
    ("scheme", "value"),
    [
        *[("imdb", value) for value in ("0078748", "nm0000244", "tt", "tt0078748 ", "tt٠٠٧٨٧٤٨")],
        *[("tmdb", value) for value in ("348", "movie/0", "person/1", "movie/1/x")],
        *[("trakt", value) for value in ("1390", "shows/1390", "game-of-thrones")],
        *[("tvmaze", value) for value in ("0", "-1", "8.2", "1" * 11)],
        *[("wikidata", value) for value in ("P345", "Q0", "103569")],
        *[("wikipedia", value) for value in ("Alien", "en:", "en:Alien (film)", f"en:{'x' * 256}")],
        *[("thetvdb", value) for value in (None, "", "N/A")],
    ],
)
def test_others_are_left_out(scheme: str, value: str | None) -> None:
    assert external_ids({**TRUE, scheme: value}) == {
        other: id for other, id in TRUE.items() if other != scheme
    }
