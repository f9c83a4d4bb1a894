"""What a visitor of the demo site gets, be it a crawler or a browser."""

import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from email.utils import parsedate_to_datetime
from typing import Any
from urllib.robotparser import RobotFileParser
from xml.etree import ElementTree

import httpx
import pytest
from bs4 import BeautifulSoup

from trending_demo.catalogue import Catalogue, Review, Title, demo_catalogue
from trending_demo.site import create_app
from trending_demo.views import DAYS, daily_views, is_surging

TODAY = date(2026, 11, 1)
FILM = Title(
    id="dust-2019",
    name="Dust",
    kind="film",
    year=2019,
    genres=("Drama", "Sci-Fi & Fantasy"),
    plot="A beekeeper & her son wait for rain.",
    countries=("France", "Chile"),
    language="French",
    runtime_minutes=90,
    reviews=(
        Review(author="grey_heron", days_ago=1, rating=8, text="Dry, and I mean it well."),
        Review(author="slow_kettle", days_ago=40, rating=5, text="The bees act better."),
    ),
)
SHOW = replace(FILM, id="tide-2020", name="Tide", kind="show", seasons=3, age_rating="TV-14")
CATALOGUE = Catalogue((FILM, SHOW))
SNAPSHOT = Catalogue((replace(FILM, id="s1", reviews=()),), datetime(2021, 9, 25, 12, tzinfo=UTC))


@asynccontextmanager
async def visiting(
    catalogue: Catalogue = CATALOGUE, *, today: Any = TODAY, **options: Any
) -> AsyncIterator[httpx.AsyncClient]:
    transport = httpx.ASGITransport(create_app(catalogue, today=today, **options))
    async with httpx.AsyncClient(transport=transport, base_url="http://films.test") as client:
        yield client


def soup(response: httpx.Response) -> BeautifulSoup:
    return BeautifulSoup(response.text, "lxml")


def linked_data(response: httpx.Response) -> dict[str, Any]:
    (script,) = soup(response).find_all("script", type="application/ld+json")
    data: dict[str, Any] = json.loads(script.text)
    return data


def texts(page: BeautifulSoup, selector: str) -> list[str]:
    return [element.get_text() for element in page.select(selector)]


# ---------------------------------------------------------------- lists


async def test_following_next_from_the_first_page_leads_to_every_title_once() -> None:
    catalogue = demo_catalogue()
    found: list[str] = []
    async with visiting(catalogue, page_size=50) as client:
        at: str | None = "/"
        while at:
            page = soup(await client.get(at))
            found += [str(link["href"]) for link in page.select("ol.titles li > a")]
            heads = [link["href"] for link in page.select('link[rel="next"]')]
            assert heads == [link["href"] for link in page.select('a[rel="next"]')]
            at = str(heads[0]) if heads else None
    assert sorted(found) == sorted(f"/titles/{title.id}" for title in catalogue.titles)


async def test_a_list_can_be_narrowed_to_a_genre_and_still_be_followed() -> None:
    others = tuple(replace(FILM, id=f"x-{n}", genres=("Horror",)) for n in range(3))
    async with visiting(Catalogue((FILM, *others)), page_size=2) as client:
        first = soup(await client.get("/titles", params={"genre": "Horror"}))
        second = soup(await client.get(str(first.select('a[rel="next"]')[0]["href"])))
        link = soup(await client.get("/titles/dust-2019")).select(".genres a")[1]["href"]
        fantasy = soup(await client.get(str(link)))
    links = first.select("ol.titles a") + second.select("ol.titles a")
    assert [link["href"] for link in links] == ["/titles/x-0", "/titles/x-1", "/titles/x-2"]
    assert texts(fantasy, "ol.titles a") == ["Dust"]


@pytest.mark.parametrize(
    "path",
    [
        "/nothing",
        "/titles/none",
        "/private/ledger",
        "/titles?page=2",
        "/titles?page=0",
        "/titles?page=-1",
        "/titles?page=two",
        "/titles?page=%C2%B2",
        f"/titles?page={'9' * 5000}",
        "/titles?genre=Western",
    ],
)
async def test_what_does_not_exist_is_a_404_page_with_the_way_back(path: str) -> None:
    async with visiting() as client:
        response = await client.get(path)
    assert response.status_code == 404
    assert soup(response).select('main a[href="/titles?page=1"]')


# ---------------------------------------------------------------- one title


async def test_a_film_is_described_in_the_words_of_schema_org() -> None:
    async with visiting() as client:
        data = linked_data(await client.get("/titles/dust-2019"))
    views = data.pop("interactionStatistic")
    reviews = data.pop("review")
    assert data == {
        "@context": "https://schema.org",
        "@type": "Movie",
        "@id": "http://films.test/titles/dust-2019",
        "url": "http://films.test/titles/dust-2019",
        "identifier": "dust-2019",
        "name": "Dust",
        "genre": ["Drama", "Sci-Fi & Fantasy"],
        "description": "A beekeeper & her son wait for rain.",
        "countryOfOrigin": ["France", "Chile"],
        "inLanguage": "French",
        "datePublished": "2019",
        "duration": "PT90M",
        "aggregateRating": {
            "@type": "AggregateRating",
            "ratingValue": 6.5,
            "bestRating": 10,
            "worstRating": 1,
            "ratingCount": 2,
        },
    }
    assert reviews[0]["author"] == {"@type": "Person", "name": "grey_heron"}
    assert reviews[0]["datePublished"] == "2026-10-31"
    assert reviews[0]["reviewRating"]["ratingValue"] == 8
    assert reviews[0]["reviewBody"] == "Dry, and I mean it well."
    assert reviews[1]["datePublished"] == "2026-09-22"
    assert views[-1]["interactionType"] == "https://schema.org/WatchAction"
    assert views[-1]["startTime"] == "2026-10-31T00:00:00Z"
    assert views[-1]["endTime"] == "2026-11-01T00:00:00Z"
    assert len({day["startTime"] for day in views}) == 28


async def test_a_show_has_seasons_and_the_time_an_episode_takes() -> None:
    async with visiting() as client:
        data = linked_data(await client.get("/titles/tide-2020"))
    assert data["@type"] == "TVSeries"
    assert (data["timeRequired"], data["numberOfSeasons"]) == ("PT90M", 3)
    assert data["contentRating"] == "TV-14"
    assert "duration" not in data


async def test_the_html_tells_the_same_facts_as_the_linked_data() -> None:
    async with visiting(demo_catalogue()) as client:
        for id in ("alien-1979", "dark-2017"):
            response = await client.get(f"/titles/{id}")
            page, data = soup(response), linked_data(response)
            runtime = data.get("duration") or data["timeRequired"]
            assert texts(page, "h1") == [data["name"]]
            assert texts(page, ".genres a") == data["genre"]
            assert texts(page, ".plot") == [data["description"]]
            assert texts(page, ".country") == data["countryOfOrigin"]
            assert texts(page, ".language") == [data["inLanguage"]]
            assert texts(page, ".year") == [data["datePublished"]]
            assert texts(page, ".runtime") == [f"{runtime[2:-1]} min"]
            rating = f"{data['aggregateRating']['ratingValue']}/10"
            assert texts(page, ".score")[0].split()[0] == rating
            for article, review in zip(page.select("article.review"), data["review"], strict=True):
                assert article["id"] == review["identifier"]
                assert article.select(".author")[0].text == review["author"]["name"]
                assert article.select("time")[0]["datetime"] == review["datePublished"]
                rating = f"{review['reviewRating']['ratingValue']}/10"
                assert article.select(".rating")[0].text == rating
                assert article.select(".text")[0].text == review["reviewBody"]
            days = [
                (day["startTime"][:10], str(day["userInteractionCount"]))
                for day in data["interactionStatistic"]
            ]
            dates = [str(time["datetime"]) for time in page.select(".views time")]
            shown = zip(dates, texts(page, ".views .count"), strict=True)
            assert list(shown) == days[::-1]


async def test_hostile_text_stays_text() -> None:
    hostile = "</script><script>alert(1)</script><!-- \u2028 \" ' & ]]>"
    review = Review(author=hostile, days_ago=0, rating=1, text=hostile)
    title = replace(FILM, name=hostile, plot=hostile, genres=(hostile,), reviews=(review,))
    async with visiting(Catalogue((title,))) as client:
        response = await client.get("/titles/dust-2019", headers={"Host": '"></script><b>'})
        listed = soup(await client.get("/"))
    data, page = linked_data(response), soup(response)
    assert (data["name"], data["description"], data["genre"]) == (hostile, hostile, [hostile])
    assert data["review"][0]["author"]["name"] == hostile
    assert len(page.find_all("script")) == 1
    assert page.find_all("b") == []
    assert texts(page, ".review .text") == [hostile]
    assert texts(listed, "ol.titles a") == [hostile]
    assert listed.find_all("script") == []


async def test_review_dates_move_with_the_day_while_identifiers_stay() -> None:
    async with visiting() as client, visiting(today=TODAY + timedelta(days=1)) as later:
        before = linked_data(await client.get("/titles/dust-2019"))["review"]
        after = linked_data(await later.get("/titles/dust-2019"))["review"]
    assert [review["datePublished"] for review in after] == ["2026-11-01", "2026-09-23"]
    assert [review["identifier"] for review in after] == [r["identifier"] for r in before]
    assert not any("grey_heron" in review["identifier"] for review in before)


async def test_a_snapshot_has_neither_reviews_nor_views_and_claims_none() -> None:
    async with visiting(SNAPSHOT) as client:
        response = await client.get("/titles/s1")
    data = linked_data(response)
    assert not {"review", "aggregateRating", "interactionStatistic"} & set(data)
    assert soup(response).select(".review, .views, .score") == []
    assert "view counts" not in response.text
    assert response.headers["last-modified"] == "Sat, 25 Sep 2021 12:00:00 GMT"


@pytest.mark.parametrize("path", ["/", "/titles?page=1", "/titles/tide-2020", "/nothing"])
async def test_every_page_says_what_was_made_up(path: str) -> None:
    async with visiting() as client:
        footer = " ".join(soup(await client.get(path)).select("footer")[0].text.split())
    assert "are facts; the plots, reviews and view counts were written for this demo" in footer


# ---------------------------------------------------------------- views


def test_the_views_of_a_past_day_are_the_same_tomorrow_unless_the_title_surges() -> None:
    for title in demo_catalogue().titles:
        if not is_surging(title.id):
            tomorrow = daily_views(title.id, TODAY + timedelta(days=1))
            assert daily_views(title.id, TODAY)[1:] == tomorrow[:-1]
            assert tomorrow[-1].day == TODAY


def test_a_few_titles_surge_far_above_their_own_past() -> None:
    risen = []
    for n in range(5000):
        counts = [day.count for day in daily_views(f"title-{n}", TODAY)]
        # The same five days of the week, three weeks earlier, leave the seasons of the week out.
        growth = sum(counts[DAYS - 5 :]) / sum(counts[DAYS - 26 : DAYS - 21])
        assert growth < 1.25 or growth > 3
        risen.append(growth > 3)
    assert 0.05 < sum(risen) / len(risen) < 0.07


def test_weekends_are_watched_more_than_weekdays() -> None:
    steady = next(title.id for title in demo_catalogue().titles if not is_surging(title.id))
    views = daily_views(steady, TODAY)
    weekend = min(day.count for day in views if day.day.weekday() >= 5)
    assert weekend > max(day.count for day in views if day.day.weekday() < 4)


# ---------------------------------------------------------------- validators


@pytest.mark.parametrize("path", ["/", "/titles/dust-2019", "/sitemap.xml", "/style.css"])
@pytest.mark.parametrize("form", ["{}", "W/{}", '"other", {}', "*"])
async def test_whoever_has_the_page_is_not_sent_it_again(path: str, form: str) -> None:
    async with visiting() as client, visiting() as restarted:
        first = await client.get(path)
        known = {"If-None-Match": form.format(first.headers["etag"])}
        second = await restarted.get(path, headers=known)
    assert first.headers["etag"].startswith('"')
    assert (second.status_code, second.content) == (304, b"")
    assert second.headers["etag"] == first.headers["etag"]
    assert second.headers["last-modified"] == first.headers["last-modified"]


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({"If-None-Match": '"other"'}, 200),
        ({"If-Modified-Since": "Sat, 25 Sep 2021 12:00:00 GMT"}, 304),
        ({"If-Modified-Since": "Sat, 25 Sep 2021 11:59:59 GMT"}, 200),
        ({"If-Modified-Since": "yesterday"}, 200),
        ({"If-Modified-Since": "Sat, 25 Sep 2021 13:00:00 GMT", "If-None-Match": '"other"'}, 200),
    ],
)
async def test_tags_go_before_dates(headers: dict[str, str], status: int) -> None:
    async with visiting(SNAPSHOT) as client:
        assert (await client.get("/titles/s1", headers=headers)).status_code == status


async def test_a_page_that_does_not_exist_is_never_unchanged() -> None:
    async with visiting() as client:
        response = await client.get("/titles/none", headers={"If-None-Match": "*"})
    assert response.status_code == 404


async def test_at_midnight_pages_are_written_anew() -> None:
    days = iter([TODAY, TODAY, TODAY + timedelta(days=1)])
    async with visiting(today=lambda: next(days)) as client:
        tags = [(await client.get("/titles/dust-2019")).headers["etag"] for _ in range(3)]
    assert tags[0] == tags[1] != tags[2]


async def test_a_day_to_come_does_not_show_in_last_modified() -> None:
    async with visiting(today=date(2999, 1, 1)) as client:
        response = await client.get("/titles/dust-2019")
    assert parsedate_to_datetime(response.headers["last-modified"]) <= datetime.now(UTC)


@pytest.mark.parametrize("path", ["/", "/titles/dust-2019", "/robots.txt", "/nothing"])
async def test_head_answers_like_get_without_the_body(path: str) -> None:
    async with visiting() as client:
        get, head = await client.get(path), await client.head(path)
    assert head.content == b""
    assert (head.status_code, head.headers) == (get.status_code, get.headers)
    assert int(head.headers["content-length"]) == len(get.content)


async def test_the_address_that_the_visitor_used_is_the_one_in_the_page() -> None:
    async with visiting() as client:
        for host in ("films.test", "demo:8000", "films.test"):
            response = await client.get("/titles/dust-2019", headers={"Host": host})
            assert linked_data(response)["url"] == f"http://{host}/titles/dust-2019"


# ---------------------------------------------------------------- crawlers


async def test_robots_txt_allows_all_but_the_private_part() -> None:
    async with visiting(crawl_delay=0.5) as client:
        text = (await client.get("/robots.txt")).text
    robots = RobotFileParser()
    robots.parse(text.splitlines())
    assert robots.can_fetch("anyone", "http://films.test/titles?page=1")
    assert not robots.can_fetch("anyone", "http://films.test/private/ledger")
    assert robots.site_maps() == ["http://films.test/sitemap.xml"]
    assert "Crawl-delay: 0.5\n" in text


async def test_the_sitemap_names_every_title() -> None:
    async with visiting() as client:
        response = await client.get("/sitemap.xml")
    tree = ElementTree.fromstring(response.content)
    names = {"s": "http://www.sitemaps.org/schemas/sitemap/0.9"}
    assert [found.text for found in tree.findall("s:url/s:loc", names)] == [
        "http://films.test/titles/dust-2019",
        "http://films.test/titles/tide-2020",
    ]
    assert {found.text for found in tree.findall("s:url/s:lastmod", names)} == {"2026-11-01"}
