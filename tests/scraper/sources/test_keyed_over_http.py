"""Sources under a key, and feeds, as a server on loopback speaks like them: jobs in, facts out."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from structlog.testing import capture_logs

from trending_scraper.sources.base import SourceUnavailable
from trending_scraper.testing import Behaviour, Crawl, MisbehavingSite, answer
from trending_shared.events import FactsScraped, ReviewScraped, SignalScraped, TitleScraped
from trending_shared.logs import noting

FIXTURES = Path(__file__).parent / "fixtures"
KEY = "0f1e2d3c4b5a69788796a5b4c3d2e1f0"
CrawlOf = Callable[..., Crawl]


def documented(path: str, content_type: str = "application/json; charset=utf-8") -> Behaviour:
    return answer((FIXTURES / path).read_bytes(), content_type=content_type)


def count(crawl: Crawl, *kinds: Any) -> tuple[int, ...]:
    return tuple(len(crawl.told(kind)) for kind in kinds)


async def test_tmdbs_list_leads_to_its_titles_under_the_users_token(
    site: MisbehavingSite, crawl: CrawlOf
) -> None:
    film = json.loads((FIXTURES / "tmdb/movie.json").read_text())
    appended = "?append_to_response=reviews,keywords,external_ids"
    site.at("/3/trending/movie/day", documented("tmdb/trending_movie_day.json"))
    site.at(
        "/3/trending/movie/day?page=2",
        answer('{"page": 2, "results": [], "total_pages": 2}', content_type="application/json"),
    )
    site.at(f"/3/movie/900101{appended}", documented("tmdb/movie.json"))
    site.at(
        f"/3/movie/900102{appended}",
        answer(json.dumps(film | {"id": 900102}), content_type="application/json"),
    )
    films = crawl("tmdb", key=KEY)
    await films.do("/3/trending/movie/day")
    assert films.refused == []
    assert count(films, FactsScraped, SignalScraped) == (2, 2)
    assert count(films, TitleScraped, ReviewScraped) == (2, 4)
    assert len(site.asked) == 4  # robots.txt isn't: the API's terms decide
    assert {headers["authorization"] for headers in site.headers} == {f"Bearer {KEY}"}


async def test_trakts_list_is_followed_to_its_empty_page(
    site: MisbehavingSite, crawl: CrawlOf
) -> None:
    pages = [f"/movies/trending?page={number}&limit=100" for number in (1, 2)]
    site.at(pages[0], documented("trakt/movies_trending.json"))
    site.at(pages[1], documented("trakt/end.json"))
    films = crawl("trakt", key=KEY)
    await films.do(pages[0])
    assert count(films, FactsScraped, SignalScraped) == (2, 2)
    assert site.asked == pages
    for headers in site.headers:
        assert (headers["trakt-api-version"], headers["trakt-api-key"]) == ("2", KEY)


async def test_omdb_gets_its_key_and_nobody_else_does(
    site: MisbehavingSite, crawl: CrawlOf
) -> None:
    site.at(f"/?i=tt9900101&plot=full&apikey={KEY}", documented("omdb/movie.json"))
    films = crawl("omdb", key=KEY)
    notes: dict[str, Any] = {}
    with capture_logs() as logs, noting(notes):
        await films.do("/?i=tt9900101&plot=full")
    assert count(films, TitleScraped) == (1,)
    assert site.asked == [f"/?i=tt9900101&plot=full&apikey={KEY}"]
    assert notes["url"]
    assert KEY not in f"{logs} {notes} {films.events}"


async def test_omdbs_401_is_a_used_up_quota_and_means_later(
    site: MisbehavingSite, crawl: CrawlOf
) -> None:
    site.at(f"/?i=tt9900101&apikey={KEY}", answer("{}", status=401))
    with capture_logs() as logs, pytest.raises(SourceUnavailable) as refusal:
        await crawl("omdb", key=KEY).do("/?i=tt9900101")
    assert KEY not in f"{refusal.value} {logs}"


async def test_tmdbs_401_is_a_wrong_token_and_will_never_do(
    site: MisbehavingSite, crawl: CrawlOf
) -> None:
    site.at("/3/movie/1", answer("{}", status=401))
    films = crawl("tmdb", key=KEY)
    await films.do("/3/movie/1")
    assert films.refused == [(site.url("/3/movie/1"), "PageRefused")]


async def test_a_feed_is_read_where_robots_txt_allows_it(
    site: MisbehavingSite, crawl: CrawlOf
) -> None:
    site.at("/feed.xml", documented("feeds/rss.xml", "application/rss+xml"))
    feed = crawl("feeds", options={"heading": "Review: (?P<name>.+)"})
    await feed.do("/feed.xml")
    assert count(feed, FactsScraped, ReviewScraped) == (2, 3)
    assert site.asked == ["/robots.txt", "/feed.xml"]
    assert "Varga" not in str(feed.events)
