"""OMDb's answers in the shape its documentation gives them; the titles are made up."""

import json
from pathlib import Path
from typing import Any

import pytest

from trending_scraper.sources.base import (
    Extracted,
    FetchedPage,
    JobNotUnderstood,
    PageUnparsable,
    SourceUnavailable,
)
from trending_scraper.sources.omdb import TitleUnknown
from trending_scraper.testing import FETCHED_AT, a_source
from trending_shared.events import ScrapeJob

FIXTURES = Path(__file__).parent / "fixtures/omdb"
BASE = "https://www.omdbapi.com"
SOURCE = a_source("omdb", BASE, key="a key of this test")
FILM = f"{BASE}/?i=tt9900101&plot=full"


def a_job(url: str) -> ScrapeJob:
    return ScrapeJob(source="omdb", url=url, page="detail")


def read(body: Any) -> Extracted:
    content = body if isinstance(body, bytes) else json.dumps(body).encode()
    return SOURCE.extract(a_job(FILM), FetchedPage(FILM, content, None, FETCHED_AT))


def fixture(name: str) -> Any:
    return json.loads((FIXTURES / f"{name}.json").read_text())


def test_the_key_is_a_secret_and_no_part_of_the_address() -> None:
    request = SOURCE.plan(a_job(FILM))
    assert request.url == FILM
    assert request.hidden == {"apikey": "a key of this test"}
    assert "a key of this test" not in repr(request)
    assert request.not_now == {401}


@pytest.mark.parametrize(
    "query", ["", "?t=Alien", "?i=alien", "?i=tt1", "?i=tt9900101&apikey=mine", "?i=tt9900101&s=x"]
)
def test_anything_but_a_title_by_its_imdb_id_is_refused(query: str) -> None:
    with pytest.raises(JobNotUnderstood) as refusal:
        SOURCE.plan(a_job(f"{BASE}/{query}"))
    assert "mine" not in str(refusal.value)


def test_a_title_has_its_plot_and_imdbs_rating() -> None:
    (film,) = read(fixture("movie")).titles
    assert film.source_id == "tt9900101"
    assert (film.title.kind, film.title.runtime, film.title.age_rating) == (
        "movie",
        "108 min",
        "PG-13",
    )
    assert film.title.genres == ("Drama", "Mystery")
    assert film.title.countries == ("Ireland", "France")
    assert film.title.language == "English"
    assert (film.title.rating, film.title.best_rating) == ("7.4", "10")
    assert film.title.rating_count == "12,345"


def test_what_isnt_available_is_absent_and_a_title_without_a_plot_is_facts() -> None:
    found = read(fixture("sparse"))
    assert found.titles == ()
    (show,) = found.facts
    assert (show.title.plot, show.title.runtime, show.title.language) == (None, None, None)
    assert show.title.countries == ()
    assert (show.title.rating, show.title.best_rating) == ("68/100", None)
    assert show.title.rating_count is None


def test_an_unknown_title_is_declined_for_it_happens_every_day() -> None:
    with pytest.raises(TitleUnknown, match="Incorrect IMDb ID"):
        read(fixture("unknown"))


def test_a_used_up_quota_means_later() -> None:
    with pytest.raises(SourceUnavailable):
        read(fixture("quota"))


@pytest.mark.parametrize("body", [b"[]", b"<error/>", b'{"Response": "True"}'])
def test_an_answer_without_a_title_is_unparsable(body: bytes) -> None:
    with pytest.raises(PageUnparsable):
        read(body)


@pytest.mark.parametrize("odd", [None, 7, 1.5, [], [[]], {}, {"Value": 1}, True, ["a", "b"]])
def test_odd_values_cost_the_field_and_not_the_title(odd: Any) -> None:
    movie = fixture("movie")
    for field in movie.keys() - {"Response", "imdbID", "Title"}:
        found = read(movie | {field: odd})
        assert len(found.titles) + len(found.facts) == 1
