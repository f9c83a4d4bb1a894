"""Ids of other schemes: known ones in one spelling, nothing else."""

import pytest

from trending_cleaner.external_ids import external_ids, listed


@pytest.mark.parametrize(
    ("scheme", "told", "kept"),
    [
        ("imdb", "tt0078748", "tt0078748"),
        ("imdb", " tt10078748 ", "tt10078748"),
        ("imdb", "tt78748", None),
        ("imdb", "nm0000244", None),
        ("imdb", "https://www.imdb.com/title/tt0078748/", None),
        ("tmdb", "movie/348", "movie/348"),
        ("tmdb", "tv/70523", "tv/70523"),
        ("tmdb", "348", None),
        ("tvmaze", "82", "82"),
        ("tvmaze", "082", None),
        ("tvmaze", "8٢", None),
        ("thetvdb", "0", None),
        ("trakt", "show/1390", "show/1390"),
        ("trakt", "1390", None),
        ("trakt", "movie/" + "1" * 11, None),
        ("wikidata", "Q103569", "Q103569"),
        ("wikidata", "P345", None),
        ("wikipedia", "en:Alien_(film)", "en:Alien_(film)"),
        ("wikipedia", "EN: alien  (film)", "en:Alien_(film)"),
        ("wikipedia", "de:Ame\u0301lie", "de:Am\u00e9lie"),
        ("wikipedia", "zh-min-nan:Dark", "zh-min-nan:Dark"),
        ("wikipedia", "Alien_(film)", None),
        ("wikipedia", "en:", None),
        ("wikipedia", "en:Alien#Plot", None),
        ("wikipedia", "en:<script>", None),
        ("wikipedia", "en:" + "x" * 256, None),
        ("letterboxd", "alien", None),
    ],
)
def test_an_id_is_kept_in_the_form_of_its_scheme_or_not_at_all(
    scheme: str, told: str, kept: str | None
) -> None:
    found = external_ids({scheme: told}, source="demo", source_id="1")
    assert found == ({scheme: kept} if kept else {})
    assert external_ids(found, source="demo", source_id="1") == found


def test_a_source_that_is_a_scheme_calls_its_titles_by_its_own_ids() -> None:
    assert external_ids({"imdb": "tt5753856"}, source="tvmaze", source_id="17861") == {
        "imdb": "tt5753856",
        "tvmaze": "17861",
    }
    assert external_ids({}, source="tvmaze", source_id="show/17861") == {}


def test_tables_keep_ids_as_one_text_each() -> None:
    assert listed({"wikipedia": "en:Dark", "imdb": "tt5753856"}) == [
        "imdb:tt5753856",
        "wikipedia:en:Dark",
    ]
