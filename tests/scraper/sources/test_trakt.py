"""Trakt's lists in the shape its documentation gives them; the titles are made up."""

import json
from datetime import date
from pathlib import Path
from typing import Any

import pytest

from trending_scraper.sources.base import Extracted, FetchedPage, JobNotUnderstood, PageUnparsable
from trending_scraper.testing import FETCHED_AT, a_source
from trending_shared.events import DayCount, ScrapeJob

FIXTURES = Path(__file__).parent / "fixtures/trakt"
BASE = "https://api.trakt.tv"
SOURCE = a_source("trakt", BASE, key="a client of this test")
FILMS = f"{BASE}/movies/trending?page=1&limit=100"
SHOWS = f"{BASE}/shows/trending"


def read(url: str, body: Any) -> Extracted:
    content = body if isinstance(body, bytes) else json.dumps(body).encode()
    return SOURCE.extract(
        ScrapeJob(source="trakt", url=url), FetchedPage(url, content, None, FETCHED_AT)
    )


def fixture(name: str) -> Any:
    return json.loads((FIXTURES / f"{name}.json").read_text())


def test_the_client_id_travels_in_a_header() -> None:
    request = SOURCE.plan(ScrapeJob(source="trakt", url=FILMS))
    assert request.headers == {
        "trakt-api-version": "2",
        "trakt-api-key": "a client of this test",
    }
    assert not request.conditional


@pytest.mark.parametrize("path", ["", "/movies/popular", "/people/trending", "/movies/trending/x"])
def test_an_address_that_isnt_known_is_refused(path: str) -> None:
    with pytest.raises(JobNotUnderstood):
        SOURCE.plan(ScrapeJob(source="trakt", url=BASE + path))


def test_a_list_tells_who_is_watched_by_how_many_right_now() -> None:
    found = read(FILMS, fixture("movies_trending"))
    ledger, salt = found.facts
    assert (ledger.source_id, ledger.title.name, ledger.title.year) == (
        "movie/700101",
        "The Lamplighter's Ledger",
        "2026",
    )
    assert ledger.title.external_ids == {
        "trakt": "movie/700101",
        "imdb": "tt9900101",
        "tmdb": "movie/900101",
    }
    assert (salt.title.year, salt.title.external_ids) == (None, {"trakt": "movie/700102"})
    watched = found.signals[0]
    assert (watched.metric, watched.external_ids) == ("watchers", ledger.title.external_ids)
    assert watched.counts == (DayCount(day=date(2026, 11, 1), count=214),)
    assert found.next_url == f"{BASE}/movies/trending?page=2&limit=100"


def test_shows_and_films_of_one_number_are_two_titles() -> None:
    (show,) = read(SHOWS, fixture("shows_trending")).facts
    assert (show.source_id, show.title.kind) == ("show/60021", "show")
    assert show.title.external_ids["tmdb"] == "tv/80021"
    assert show.title.external_ids["thetvdb"] == "480021"


def test_an_empty_page_is_the_end_of_a_list() -> None:
    assert read(f"{SHOWS}?page=9", []) == Extracted()


@pytest.mark.parametrize("body", [b"{}", b"null", b"<html>", b"\xff"])
def test_what_is_no_list_is_unparsable(body: bytes) -> None:
    with pytest.raises(PageUnparsable):
        read(FILMS, body)


@pytest.mark.parametrize("odd", [None, -1, 1.5, "many", [], {}, True, 2**60])
def test_odd_values_cost_the_item_or_its_count_alone(odd: Any) -> None:
    good = fixture("movies_trending")[0]
    found = read(FILMS, [odd, good | {"watchers": odd}, {"watchers": 3, "movie": odd}, good])
    assert [facts.source_id for facts in found.facts] == ["movie/700101"]
    assert found.signals == ()
