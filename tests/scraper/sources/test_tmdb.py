"""TMDB's answers in the shape its documentation gives them; the titles are made up."""

import json
from datetime import date
from pathlib import Path
from typing import Any

import pytest

from trending_scraper.sources.base import (
    Extracted,
    FetchedPage,
    Follow,
    JobNotUnderstood,
    PageUnparsable,
)
from trending_scraper.testing import FETCHED_AT, a_source
from trending_shared.events import DayCount, ScrapeJob
from trending_shared.genres import map_genres

FIXTURES = Path(__file__).parent / "fixtures/tmdb"
BASE = "https://api.themoviedb.org"
SOURCE = a_source("tmdb", BASE, key="a token of this test")
FILMS = f"{BASE}/3/trending/movie/day"
SHOWS = f"{BASE}/3/trending/tv/week?page=2"
FILM = f"{BASE}/3/movie/900101?append_to_response=reviews,keywords,external_ids"


def read(url: str, body: str | bytes | Any) -> Extracted:
    content = body if isinstance(body, str | bytes) else json.dumps(body)
    content = content.encode() if isinstance(content, str) else content
    return SOURCE.extract(
        ScrapeJob(source="tmdb", url=url), FetchedPage(url, content, None, FETCHED_AT)
    )


def fixture(name: str) -> Any:
    return json.loads((FIXTURES / f"{name}.json").read_text())


def test_the_token_travels_in_a_header_and_is_shown_by_nothing() -> None:
    request = SOURCE.plan(ScrapeJob(source="tmdb", url=FILM))
    assert request.headers["Authorization"] == "Bearer a token of this test"
    assert request.url == FILM
    assert not request.robots
    assert "a token of this test" not in repr(SOURCE)


def test_a_list_is_asked_for_whole_and_a_title_only_if_it_has_changed() -> None:
    assert not SOURCE.plan(ScrapeJob(source="tmdb", url=FILMS)).conditional
    assert SOURCE.plan(ScrapeJob(source="tmdb", url=FILM)).conditional


@pytest.mark.parametrize(
    "path",
    ["/", "/3/trending/person/day", "/3/trending/movie/month", "/3/movie/abc", "/3/movie/1/images"],
)
def test_an_address_that_isnt_known_is_refused(path: str) -> None:
    with pytest.raises(JobNotUnderstood):
        SOURCE.plan(ScrapeJob(source="tmdb", url=BASE + path))


def test_what_is_no_address_is_refused() -> None:
    with pytest.raises(JobNotUnderstood):
        SOURCE.plan(ScrapeJob(source="tmdb", url="https://[half"))


def test_a_days_list_tells_facts_appearances_and_pages_to_follow() -> None:
    found = read(FILMS, fixture("trending_movie_day"))
    ledger, salt = found.facts
    assert ledger.source_id == "movie/900101"
    assert ledger.title.name == "The Lamplighter's Ledger"
    assert ledger.title.year == "2026-10-16"
    assert ledger.title.genres == ("Mystery", "Drama")
    assert (ledger.title.rating, ledger.title.rating_count) == ("7.214", "318")
    assert ledger.title.external_ids == {"tmdb": "movie/900101"}
    assert (salt.title.year, salt.title.rating, salt.title.genres) == (None, None, ("Adventure",))
    appearance = (DayCount(day=date(2026, 11, 1), count=1),)
    assert [(s.source_id, s.metric, s.counts) for s in found.signals] == [
        ("movie/900101", "trending_appearances", appearance),
        ("movie/900102", "trending_appearances", appearance),
    ]
    assert found.follow[0] == Follow(FILM)
    assert found.next_url == f"{FILMS}?page=2"


def test_a_weeks_list_counts_nothing_of_a_day_and_its_last_page_is_the_last() -> None:
    found = read(SHOWS, fixture("trending_tv_week"))
    assert [facts.source_id for facts in found.facts] == ["tv/80021"]
    assert found.facts[0].title.countries == ("GB",)
    assert found.signals == ()
    assert found.next_url is None


def test_a_film_comes_with_its_reviews_and_the_ids_of_others() -> None:
    (film,) = read(FILM, fixture("movie")).titles
    assert film.source_id == "movie/900101"
    assert film.title.kind == "movie"
    assert film.title.runtime == "108"
    assert film.title.genres == ("Mystery", "Drama")
    assert film.title.countries == ("Ireland", "France")
    assert film.title.best_rating == "10"
    assert film.title.external_ids == {
        "tmdb": "movie/900101",
        "imdb": "tt9900101",
        "wikidata": "Q99001010",
    }
    first, second = film.reviews
    assert (first.author, second.author) == ("Marta Quill", "oldreels")
    assert first.review.review_source_id == "6710aa01b3c1"
    assert (first.review.rating, first.review.best_rating) == ("8", "10")
    assert (second.review.rating, second.review.best_rating) == (None, None)
    assert second.review.text == "Too fond of its own fog."


def test_a_shows_runtime_is_that_of_an_episode() -> None:
    (show,) = read(f"{BASE}/3/tv/80021", fixture("tv")).titles
    assert show.source_id == "tv/80021"
    assert (show.title.kind, show.title.runtime, show.title.countries) == (
        "tv series",
        "52",
        ("GB",),
    )
    assert show.title.external_ids["thetvdb"] == "480021"


def test_every_genre_of_a_list_is_one_that_we_know() -> None:
    from trending_scraper.sources.tmdb import GENRES

    assert map_genres("tmdb", GENRES.values()).unknown == ()


@pytest.mark.parametrize(
    ("url", "body"),
    [
        (FILMS, "[]"),
        (FILMS, "{}"),
        (FILMS, '{"results": {"1": 2}}'),
        (FILMS, "<html>"),
        (FILMS, b"\xff\xfe\x00"),
        (FILMS, "[" * 100_000),
        (FILM, "{}"),
        (FILM, '{"id": 1}'),
        (FILM, '{"id": true, "title": "x"}'),
        (FILM, '{"id": "1", "title": "x"}'),
        (FILM, "null"),
    ],
)
def test_an_answer_without_what_was_asked_for_is_unparsable(url: str, body: str | bytes) -> None:
    with pytest.raises(PageUnparsable):
        read(url, body)


@pytest.mark.parametrize("odd", [None, 7, 1.5, "text", [], [[]], {}, {"results": 1}, True])
def test_odd_values_in_an_answer_cost_the_field_and_not_the_title(odd: Any) -> None:
    for field in fixture("movie"):
        if field in ("id", "title"):
            continue
        (film,) = read(FILM, fixture("movie") | {field: odd}).titles
        assert film.source_id == "movie/900101"
    item = fixture("trending_movie_day")["results"][0]
    for field in item.keys() - {"id"}:
        found = read(FILMS, {"results": [item | {field: odd}, odd], "total_pages": odd})
        assert len(found.facts) == 1


def test_a_title_that_is_listed_twice_is_told_once() -> None:
    answer = fixture("trending_movie_day")
    found = read(FILMS, answer | {"results": answer["results"] * 2})
    assert len(found.facts) == len(found.signals) == len(found.follow) == 2
