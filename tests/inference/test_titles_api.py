"""`/v1/trending`, `/v1/titles`, `/v1/jobs` and `/v1/models`."""

import asyncio
from collections.abc import AsyncIterator
from datetime import date, timedelta
from typing import Any

import pytest
from httpx import AsyncClient

from trending_inference.browsing import FALSE_DISCOVERIES
from trending_shared.events import ScrapeJob, Trend, TrendCause, TrendPart
from trending_shared.testing.models import a_graph, promote
from trending_shared.trends import cut_board

DAY = date(2026, 11, 1)


@pytest.fixture
async def client(world: Any) -> AsyncIterator[AsyncClient]:
    async with world.client() as client:
        yield client


async def names(client: AsyncClient, url: str) -> list[str]:
    return [item["name"] for item in (await client.get(url)).json()["items"]]


async def test_the_fastest_rising_title_of_the_newest_day_comes_first(
    client: AsyncClient, world: Any
) -> None:
    for name, score in (("Slow", 0.1), ("Fast", 2.0), ("Falling", -1.0)):
        await world.add_title(f"t_{name}", name=name, score=score)
    await world.add_trend("t_Slow", DAY - timedelta(days=1), 5.0)
    answer = (await client.get("/v1/trending")).json()
    assert [item["name"] for item in answer["items"]] == ["Fast", "Slow", "Falling"]
    assert (answer["day"], answer["total"]) == ("2026-11-01", 3)
    assert answer["items"][0] == {
        "title_id": "t_Fast",
        "name": "Fast",
        "kind": "film",
        "year": 1979,
        "countries": ["United Kingdom"],
        "language": "English",
        "genres": ["Horror", "Sci-Fi & Fantasy"],
        "predicted": None,
        "score": 2.0,
        "recent": 20.0,
        "expected": 10.0,
        "trend": {
            "day": "2026-11-01",
            "verdict": None,
            "lack": None,
            "score": 2.0,
            "recent": 20.0,
            "expected": 10.0,
            "signals": 140,
            "interval": None,
            "standing": None,
            "parts": [],
            "cause": None,
            "stands_out": None,
        },
        "reasons": [
            {
                "kind": "not-enough-data",
                "text": "nothing is counted of it",
                "contribution": None,
                "figures": {},
            }
        ],
    }
    assert await names(client, "/v1/trending?day=2026-10-31") == ["Slow"]


async def test_trending_is_narrowed_by_kind_and_by_whole_genres_only(
    client: AsyncClient, world: Any
) -> None:
    await world.add_title("t_1", name="Film", score=1.0)
    await world.add_title("t_2", name="Show", kind="show", genres=["Crime"], score=0.5)
    await world.add_title("t_3", name="Percent", genres=["100% Crime_"], score=0.2)
    assert await names(client, "/v1/trending?kind=show") == ["Show"]
    assert await names(client, "/v1/trending?genre=Crime") == ["Show"]
    assert await names(client, "/v1/trending?genre=Sci-Fi+%26+Fantasy") == ["Film"]
    for pattern in ("Horro", "%25", "_orror", '"', "' OR 1=1 --"):
        assert await names(client, f"/v1/trending?genre={pattern}") == []


async def test_trending_is_narrowed_by_language_country_and_year(
    client: AsyncClient, world: Any
) -> None:
    await world.add_title("t_1", name="Brazilian", language="pt-BR", score=3.0, year=2026)
    await world.add_title("t_2", name="Portuguese", language="pt", score=2.0, year=2025)
    await world.add_title("t_3", name="Other", language="pts", score=1.0, year=2024)
    await world.add_title(
        "t_4",
        name="Joint",
        language=None,
        year=None,
        countries=["South Korea", "Réunion"],
        score=0.0,
    )
    assert await names(client, "/v1/trending?language=PT") == ["Brazilian", "Portuguese"]
    assert await names(client, "/v1/trending?language=pt-br") == ["Brazilian"]
    assert await names(client, "/v1/trending?language=%25") == []
    assert await names(client, "/v1/trending?country=south+korea") == ["Joint"]
    assert await names(client, "/v1/trending?country=RÉUNION") == ["Joint"]
    assert await names(client, "/v1/trending?country=Korea") == []
    assert await names(client, "/v1/trending?year_from=2025") == ["Brazilian", "Portuguese"]
    assert await names(client, "/v1/trending?year_from=2025&year_to=2025") == ["Portuguese"]
    assert await names(client, "/v1/trending?age=new") == ["Brazilian", "Portuguese"]
    assert await names(client, "/v1/trending?age=old") == ["Other"]
    assert await names(client, "/v1/trending?min_score=2") == ["Brazilian", "Portuguese"]


async def test_a_title_is_new_or_old_by_the_day_that_is_asked_for(
    client: AsyncClient, world: Any
) -> None:
    await world.add_title(year=2024)
    past = date(2025, 12, 31)
    await world.add_trend("t_alien", past, 1.0)
    await world.add_trend("t_alien", DAY, 1.0)
    assert await names(client, f"/v1/trending?day={past}&age=new") == ["Alien"]
    assert await names(client, "/v1/trending?age=new") == []


async def test_hidden_titles_are_hidden_under_the_id_of_any_source(
    client: AsyncClient, world: Any
) -> None:
    for name in "ABC":
        await world.add_title(f"t_{name}", name=name, score=1.0)
    await world.add_title("t_A2", name="A elsewhere", score=1.0)
    await world.say_same("t_A", "t_A2")
    assert await names(client, "/v1/trending?hide=t_A2&hide=t_C&hide=t_nobody") == ["B"]
    assert await names(client, "/v1/titles?hide=t_A&limit=1") == ["B"]
    answer = (await client.get("/v1/titles?hide=t_A&hide=t_C&limit=1&offset=1")).json()
    assert answer["links"]["prev"] == "/v1/titles?hide=t_A&hide=t_C&limit=1&offset=0"


async def test_a_day_of_which_nothing_is_known_names_the_last_one_before_it(
    client: AsyncClient, world: Any
) -> None:
    await world.add_title(score=1.0)
    later = (await client.get("/v1/trending?day=2026-11-09")).json()
    assert (later["day"], later["nearest_day"]) == ("2026-11-09", "2026-11-01")
    assert (later["items"], later["total"]) == ([], 0)
    earlier = (await client.get("/v1/trending?day=2025-11-09")).json()
    assert (earlier["day"], earlier["nearest_day"]) == ("2025-11-09", None)
    narrowed = (await client.get("/v1/trending?day=2026-11-01&kind=show")).json()
    assert (narrowed["total"], narrowed["nearest_day"]) == (0, None)


async def test_facets_count_what_each_choice_would_leave(client: AsyncClient, world: Any) -> None:
    await world.add_title("t_1", genres=["Horror"], year=1979, score=1.0)
    await world.add_title("t_2", genres=["Horror", "Crime"], year=2020, language="fr", score=1.0)
    await world.add_title("t_3", genres=["Crime"], kind="show", year=None, countries=[], score=1.0)
    await world.add_title("t_old", genres=["Drama"])

    async def facets(query: str = "") -> dict[str, dict[Any, int]]:
        answer = (await client.get(f"/v1/trending/facets{query}")).json()
        assert answer.pop("day") == "2026-11-01"
        return {
            name: {facet["value"]: facet["count"] for facet in values}
            for name, values in answer.items()
        }

    assert await facets() == {
        "kinds": {"film": 2, "show": 1},
        "genres": {"Crime": 2, "Horror": 2},
        "languages": {"English": 2, "fr": 1},
        "countries": {"United Kingdom": 2},
        "years": {2020: 1, 1979: 1},
        "verdicts": {},
    }
    horror = await facets("?genre=Horror&year_from=2000")
    assert horror["genres"] == {"Crime": 1, "Horror": 1}, "of what is left without a genre"
    assert horror["kinds"] == {"film": 1}
    assert horror["years"] == {2020: 1, 1979: 1}


async def test_an_empty_catalog_has_no_facets(client: AsyncClient) -> None:
    answer = (await client.get("/v1/trending/facets")).json()
    assert (answer["day"], answer["genres"]) == (None, [])


async def test_a_model_tells_its_genres_beside_those_of_the_page(world: Any) -> None:
    version = promote(world.models, a_graph()).version
    await world.add_title("t_1", name="Both", genres=["Horror"], score=2.0)
    await world.add_title("t_2", name="Model only", genres=["Drama"], score=1.0)
    await world.add_title("t_3", name="Changed since", genres=["Drama"], score=0.0)
    await world.add_title("t_4", name="Page only", genres=["Horror"], score=-1.0)
    for title_id in ("t_1", "t_2"):
        await world.add_prediction(title_id, version, Horror=0.7, Crime=0.2)
    await world.add_prediction("t_3", version, text_hash="0000000000000000", Horror=0.9)
    await world.add_prediction("t_4", "another", Horror=0.9)
    async with world.client() as client:
        (first, *_) = (await client.get("/v1/trending")).json()["items"]
        assert first["predicted"] == {
            "genres": [
                {"genre": "Horror", "probability": 0.7, "passed": True},
                {"genre": "Crime", "probability": 0.2, "passed": False},
            ],
            "prediction_id": first["predicted"]["prediction_id"],
            "model_version": version,
        }
        detail = (await client.get("/v1/titles/t_1")).json()
        assert detail["predicted"] == first["predicted"]
        assert (await client.get("/v1/titles/t_3")).json()["predicted"] is None
        either = ["Both", "Model only", "Page only"]
        assert await names(client, "/v1/trending?genre=Horror") == either
        for least, left in ((0.6, either[:2]), (0.7, either[:2]), (0.71, [])):
            url = f"/v1/trending?genre=Horror&min_probability={least}"
            assert await names(client, url) == left
        assert await names(client, "/v1/titles?genre=Crime&min_probability=0.2") == either[:2]
        assert await names(client, "/v1/trending?genre=a%22b&min_probability=0.2") == []
        facets = (await client.get("/v1/trending/facets")).json()["genres"]
        assert {"value": "Horror", "count": 3} in facets


async def test_reasons_stand_beside_a_rising_title(client: AsyncClient, world: Any) -> None:
    days = [
        {"day": str(DAY - timedelta(days=ago)), "count": 40 if ago <= 7 else 10}
        for ago in range(1, 57)
    ]
    await world.add_title(popularity=days, year=2026, score=1.7)
    (item,) = (await client.get("/v1/trending")).json()["items"]
    assert [reason["text"] for reason in item["reasons"]] == [
        "likely its release this year",
        "popularity at demo: 40 a day of late, 10 expected",
    ]
    detail = (await client.get("/v1/titles/t_alien")).json()
    assert detail["reasons"] == item["reasons"]


# ---------------------------------------------------------------- how sure, and since when


def a_trend(score: float, **changes: Any) -> Trend:
    fields: dict[str, Any] = {
        "day": DAY,
        "score": score,
        "recent": 20.0,
        "expected": 10.0,
        "signals": 140,
        "low": score - 0.5,
        "high": score + 0.5,
        "chance": 0.001,
        "verdict": "rising",
        "standing": "catalogue",
        "parts": (
            TrendPart(metric="pageviews", score=score + 0.2, recent=15, expected=5),
            TrendPart(metric="reviews", source="tmdb", score=-0.2, recent=5, expected=5),
        ),
        "cause": TrendCause(
            kind="anniversary",
            probability=0.9,
            chances={"anniversary": 0.9, "attention": 0.1},
            evidence={"released": "2001-11-01", "years": 25, "days_since": 0},
        ),
    }
    return Trend(**(fields | changes))


async def test_a_trend_explains_itself(client: AsyncClient, world: Any) -> None:
    await world.add_title()
    await world.put_trend("t_alien", a_trend(1.0))
    (item,) = (await client.get("/v1/trending")).json()["items"]
    trend = item["trend"]
    assert trend["verdict"] == "rising"
    assert trend["interval"] == {"level": 0.99, "low": 0.5, "high": 1.5}
    assert trend["standing"] == "catalogue"
    assert sum(part["score"] for part in trend["parts"]) == pytest.approx(trend["score"])
    assert trend["parts"][1]["source"] == "tmdb"
    assert (trend["cause"]["kind"], trend["cause"]["evidence"]["years"]) == ("anniversary", 25)
    assert [reason["text"] for reason in item["reasons"]] == [
        "likely an anniversary: 25 years after its release, today",
        "page views: 15 a day of late, 5.0 expected",
        "reviews at tmdb: 5.0 a day of late, 5.0 expected",
    ]
    detail = (await client.get("/v1/titles/t_alien")).json()
    assert detail["trend"] == trend | {"stands_out": None}
    assert detail["trends"][0]["low"] == 0.5


async def test_a_board_is_narrowed_by_verdict_and_counts_each(
    client: AsyncClient, world: Any
) -> None:
    for name, verdict in (("Up", "rising"), ("Still", "steady"), ("Down", "falling")):
        await world.add_title(f"t_{name}", name=name)
        await world.put_trend(f"t_{name}", a_trend(0.5, verdict=verdict))
    assert await names(client, "/v1/trending?verdict=rising") == ["Up"]
    assert await names(client, "/v1/trending?verdict=falling&kind=show") == []
    facets = (await client.get("/v1/trending/facets?verdict=rising")).json()
    assert {facet["value"]: facet["count"] for facet in facets["verdicts"]} == {
        "rising": 1,
        "steady": 1,
        "falling": 1,
    }
    assert facets["kinds"] == [{"value": "film", "count": 1}]
    assert (await client.get("/v1/trending?verdict=not-enough-data")).status_code == 422


async def test_what_stands_out_is_what_is_left_of_a_board_that_is_cut(
    client: AsyncClient, world: Any
) -> None:
    chances = [0.0005, 0.004, 0.0045, 0.04, 0.2, 0.5, 0.7, 0.9, 0.95, 0.99]
    for number, chance in enumerate(chances):
        await world.add_title(f"t_{number}")
        verdict = "rising" if chance <= 0.005 else "steady"
        await world.put_trend(f"t_{number}", a_trend(1 - chance, chance=chance, verdict=verdict))
    await world.add_title("t_old", score=-1.0)  # of before there were chances
    bar = cut_board(chances, FALSE_DISCOVERIES)
    items = (await client.get("/v1/trending")).json()["items"]
    told = {item["title_id"]: item["trend"]["stands_out"] for item in items}
    assert told == {
        f"t_{number}": chance <= min(bar, 0.005) for number, chance in enumerate(chances)
    } | {"t_old": None}
    assert sum(bool(each) for each in told.values()) == 3


async def test_every_past_day_of_a_title_can_be_looked_up(client: AsyncClient, world: Any) -> None:
    await world.add_title()
    await world.add_title("t_other")
    for ago, score in ((0, 1.0), (1, 0.4), (3, -0.2)):
        verdict = "rising" if score > 0.9 else "steady"
        trend = a_trend(score, day=DAY - timedelta(days=ago), verdict=verdict)
        await world.put_trend("t_alien", trend)
    await world.put_trend("t_other", a_trend(0.1, day=DAY - timedelta(days=4)))
    history = (await client.get("/v1/titles/t_alien/trends")).json()
    assert (history["first_day"], history["last_day"]) == ("2026-10-28", "2026-11-01")
    assert [(day["day"], day["verdict"], day["score"]) for day in history["days"]] == [
        ("2026-10-28", "not-enough-data", None),
        ("2026-10-29", "steady", -0.2),
        ("2026-10-30", "not-enough-data", None),
        ("2026-10-31", "steady", 0.4),
        ("2026-11-01", "rising", 1.0),
    ]
    assert history["days"][4]["cause"]["kind"] == "anniversary"
    some = "/v1/titles/t_alien/trends?since=2026-10-31&until=2026-10-31"
    assert [day["day"] for day in (await client.get(some)).json()["days"]] == ["2026-10-31"]
    nothing = "/v1/titles/t_alien/trends?since=2027-01-01"
    assert (await client.get(nothing)).json()["days"] == []
    assert (await client.get("/v1/titles/t_none/trends")).status_code == 404


@pytest.mark.parametrize(
    "query", ["since=yesterday", "since=2026-11-02&until=2026-11-01", "from=2026-11-01"]
)
async def test_a_history_with_senseless_bounds_is_refused(
    client: AsyncClient, world: Any, query: str
) -> None:
    await world.add_title()
    response = await client.get(f"/v1/titles/t_alien/trends?{query}")
    assert response.status_code == 422


async def test_not_enough_data_is_an_answer(client: AsyncClient, world: Any) -> None:
    await world.add_title()
    detail = (await client.get("/v1/titles/t_alien")).json()
    assert (detail["trend"]["verdict"], detail["trend"]["lack"]) == ("not-enough-data", None)
    assert detail["trend"]["standing"] == "catalogue"
    await world.add_title("t_new", year=2026)
    detail = (await client.get("/v1/titles/t_new")).json()
    assert (detail["trend"]["verdict"], detail["trend"]["standing"]) == ("not-enough-data", "new")
    await world.put_trend("t_alien", a_trend(1.0, day=DAY - timedelta(days=1)))
    await world.lack_trend("t_alien", DAY, "not-watched-of-late")
    detail = (await client.get("/v1/titles/t_alien")).json()
    assert detail["trend"]["verdict"] == "not-enough-data"
    assert detail["trend"]["lack"] == "not-watched-of-late"
    assert (detail["trend"]["day"], detail["trend"]["score"]) == ("2026-11-01", None)
    assert detail["reasons"][0]["text"] == "not watched of late"
    assert [day["score"] for day in detail["trends"]] == [1.0]


# ---------------------------------------------------------------- pages of lists


async def test_pages_of_a_list_lead_to_each_other_and_keep_the_filters(
    client: AsyncClient, world: Any
) -> None:
    for index in range(5):
        await world.add_title(f"t_{index}", name=str(index), score=float(-index))
    seen: list[str] = []
    url: str | None = "/v1/trending?kind=film&limit=2"
    while url:
        answer = (await client.get(url)).json()
        seen += [item["name"] for item in answer["items"]]
        url = answer["links"]["next"]
    assert seen == ["0", "1", "2", "3", "4"]
    assert answer["links"]["prev"] == "/v1/trending?kind=film&limit=2&offset=2"


async def test_an_empty_catalog_has_nothing_rising_and_no_day(client: AsyncClient) -> None:
    answer = (await client.get("/v1/trending")).json()
    assert (answer["day"], answer["items"], answer["total"]) == (None, [], 0)


async def test_an_unchanged_list_is_not_sent_again(client: AsyncClient, world: Any) -> None:
    await world.add_title(score=1.0)
    first = await client.get("/v1/trending")
    tag = first.headers["etag"]
    again = await client.get("/v1/trending", headers={"If-None-Match": f'"old", W/{tag}'})
    assert (again.status_code, again.content, again.headers["etag"]) == (304, b"", tag)
    await world.add_trend("t_alien", DAY, 2.0)
    changed = await client.get("/v1/trending", headers={"If-None-Match": tag})
    assert changed.status_code == 200
    assert changed.headers["etag"] != tag


@pytest.mark.parametrize(
    "query",
    [
        "limit=0",
        "limit=101",
        "offset=-1",
        "kind=movie",
        "day=yesterday",
        "day=0",
        "limit=x",
        "age=ancient",
        "year_from=x",
        "min_probability=0.5",
        "min_probability=2&genre=Horror",
        "min_probability=nan&genre=Horror",
        "min_score=inf",
        f"genre={'x' * 65}",
        "country=%00",
        "hide=",
        "gener=Horror",
        "&".join(f"hide=t_{n}" for n in range(201)),
    ],
)
async def test_a_list_with_senseless_bounds_is_refused(client: AsyncClient, query: str) -> None:
    response = await client.get(f"/v1/trending?{query}")
    assert response.status_code == 422
    assert response.json()["type"] == "urn:trending:problem:request-invalid"


async def test_a_title_tells_its_trend_its_reviews_and_where_its_facts_come_from(
    client: AsyncClient, world: Any
) -> None:
    await world.add_title(score=1.0)
    await world.add_trend("t_alien", DAY - timedelta(days=1), 0.5)
    for index in range(7):
        await world.add_review(
            f"r_{index}", "t_alien", text=f"review {index}", day=DAY - timedelta(days=index)
        )
    await world.add_review("r_undated", "t_alien", text="undated", day=None)
    await world.add_review("r_other", "t_other")
    title = (await client.get("/v1/titles/t_alien")).json()
    assert [trend["score"] for trend in title["trends"]] == [0.5, 1.0]
    assert title["reviews_count"] == 8
    assert [review["text"] for review in title["reviews"]] == [f"review {i}" for i in range(5)]
    assert "author_hash" not in title["reviews"][0]
    assert title["provenance"] == {
        "source": "demo",
        "url": "http://films.example/titles/alien-1979",
        "license": "LicenseRef-trending-demo",
        "page_hash": "ab" * 32,
        "fetched_at": "2026-11-01T12:00:00Z",
    }


async def test_a_title_of_two_sources_is_listed_once_and_told_by_both(
    client: AsyncClient, world: Any
) -> None:
    await world.add_title("t_1", name="Alien", score=1.0)
    await world.add_title(
        "t_2", name="Alien: The Film", source="other", license="CC-BY-4.0", score=1.0
    )
    await world.say_same("t_1", "t_2")
    await world.add_review("r_1", "t_1", text="Frightening.", day=DAY)
    await world.add_review("r_2", "t_2", text="Slow.", day=DAY - timedelta(days=1))
    trending = (await client.get("/v1/trending")).json()
    assert ([item["title_id"] for item in trending["items"]], trending["total"]) == (["t_1"], 1)
    found = (await client.get("/v1/titles?query=alien")).json()
    assert ([item["title_id"] for item in found["items"]], found["total"]) == (["t_1"], 1)
    for title_id, other in (("t_1", "t_2"), ("t_2", "t_1")):
        title = (await client.get(f"/v1/titles/{title_id}")).json()
        assert title["title_id"] == title_id
        assert [also["title_id"] for also in title["also_told_by"]] == [other]
        assert [review["text"] for review in title["reviews"]] == ["Frightening.", "Slow."]
        assert title["reviews_count"] == 2
    (also,) = (await client.get("/v1/titles/t_1")).json()["also_told_by"]
    assert (also["name"], also["source"], also["license"]) == (
        "Alien: The Film",
        "other",
        "CC-BY-4.0",
    )
    page = (await client.get("/titles/t_1")).text
    assert 'also told by <a href="/titles/t_2">other</a>, licence CC-BY-4.0' in page


async def test_a_title_is_listed_as_long_as_the_one_it_is_isnt_here(
    client: AsyncClient, world: Any
) -> None:
    await world.add_title("t_2", name="Alien", score=1.0)
    await world.say_same("t_1", "t_2")
    assert await names(client, "/v1/trending") == ["Alien"]
    assert await names(client, "/v1/titles") == ["Alien"]
    await world.add_title("t_1", name="Alien (1979)", score=1.0)
    assert await names(client, "/v1/trending") == ["Alien (1979)"]
    assert await names(client, "/v1/titles") == ["Alien (1979)"]


async def test_an_unknown_title_is_a_problem(client: AsyncClient) -> None:
    response = await client.get("/v1/titles/t_nobody")
    assert response.status_code == 404
    assert response.json()["type"] == "urn:trending:problem:title-unknown"


async def test_titles_are_found_by_a_part_of_their_name_in_any_case(
    client: AsyncClient, world: Any
) -> None:
    await world.add_title("t_1", name="Alien")
    await world.add_title("t_2", name="Aliens", kind="show")
    await world.add_title("t_3", name="100% Wolf")
    assert await names(client, "/v1/titles?query=ALIEN") == ["Alien", "Aliens"]
    assert await names(client, "/v1/titles?query=alien&kind=show") == ["Aliens"]
    assert await names(client, "/v1/titles?query=%25") == ["100% Wolf"]
    assert await names(client, "/v1/titles") == ["100% Wolf", "Alien", "Aliens"]


async def test_titles_are_found_with_accents_or_without(client: AsyncClient, world: Any) -> None:
    await world.add_title("t_1", name="Amélie")
    await world.add_title("t_2", name="ÉLÉPHANT")
    for query in ("amelie", "AMÉLIE", "Ame\u0301lie"):
        assert await names(client, f"/v1/titles?query={query}") == ["Amélie"]
    assert await names(client, "/v1/titles?query=ele") == ["ÉLÉPHANT"]


async def test_titles_are_narrowed_as_what_rises_is(client: AsyncClient, world: Any) -> None:
    await world.add_title("t_1", name="Alien", year=1979)
    await world.add_title("t_2", name="Aliens", year=1986, genres=["Crime"])
    assert await names(client, "/v1/titles?query=alien&year_from=1980") == ["Aliens"]
    assert await names(client, "/v1/titles?genre=Horror") == ["Alien"]
    first = await client.get("/v1/titles?genre=Horror")
    tag = {"If-None-Match": first.headers["etag"]}
    assert (await client.get("/v1/titles?genre=Horror", headers=tag)).status_code == 304


async def test_a_job_becomes_an_event_under_the_id_that_is_answered(
    client: AsyncClient, world: Any
) -> None:
    response = await client.post(
        "/v1/jobs", json={"source": "demo", "url": "http://films.example/titles", "max_pages": 3}
    )
    assert response.status_code == 202
    (message,) = world.publisher.messages
    assert str(message.id) == response.json()["job_id"] == str(message.correlation_id)
    assert message.event == ScrapeJob(source="demo", url="http://films.example/titles", max_pages=3)


async def test_the_same_request_under_the_same_key_is_the_same_job(client: AsyncClient) -> None:
    async def job(key: str, **changes: Any) -> str:
        body = {"source": "demo", "url": "http://films.example/titles"} | changes
        response = await client.post("/v1/jobs", json=body, headers={"Idempotency-Key": key})
        return str(response.json()["job_id"])

    first = await job("monday")
    assert await job("monday") == first
    assert await job("tuesday") != first
    assert await job("monday", max_pages=2) != first, "another job isn't lost behind a key"


async def test_a_job_without_an_address_starts_where_its_source_does(world: Any) -> None:
    async with world.client(start_urls={"demo": "http://films.example/titles"}) as client:
        assert (await client.post("/v1/jobs", json={"source": "demo"})).status_code == 202
        (event,) = world.publisher.events(ScrapeJob)
        assert event.url == "http://films.example/titles"
        response = await client.post("/v1/jobs", json={"source": "other"})
        assert response.status_code == 422
        assert response.json()["type"] == "urn:trending:problem:url-needed"


@pytest.mark.parametrize(
    "changes",
    [
        {"url": "file:///etc/passwd"},
        {"url": "javascript:alert(1)"},
        {"url": "titles"},
        {"source": "../demo"},
        {"source": ""},
        {"max_pages": 0},
        {"max_pages": 1_000_000},
    ],
)
async def test_a_senseless_job_is_refused(
    client: AsyncClient, world: Any, changes: dict[str, Any]
) -> None:
    body = {"source": "demo", "url": "http://films.example/titles"} | changes
    assert (await client.post("/v1/jobs", json=body)).status_code == 422
    assert world.publisher.messages == []


async def test_a_job_that_kafka_didnt_take_is_not_accepted(client: AsyncClient, world: Any) -> None:
    world.publisher.down = True
    response = await client.post(
        "/v1/jobs", json={"source": "demo", "url": "http://films.example/titles"}
    )
    assert response.status_code == 503
    assert response.json()["type"] == "urn:trending:problem:broker-unavailable"
    assert response.headers["retry-after"]


async def test_a_job_isnt_accepted_while_kafka_confirms_nothing(world: Any) -> None:
    async def forever(messages: Any) -> None:
        await asyncio.Event().wait()

    world.publisher.publish = forever
    async with world.client(publish_timeout=0.01) as client:
        response = await client.post(
            "/v1/jobs", json={"source": "demo", "url": "http://films.example/titles"}
        )
        assert response.status_code == 503


async def test_the_models_say_which_one_answers(world: Any) -> None:
    old = promote(world.models, a_graph())
    async with world.client() as client:
        new = promote(world.models, a_graph(likely=0.8))
        answer = (await client.get("/v1/models")).json()
        assert answer["serving"] == old.version
        assert (answer["champion"]["version"], answer["champion"]["number"]) == (new.version, 2)
        assert {model["version"] for model in answer["versions"]} == {old.version, new.version}
        assert answer["versions"][0]["metrics"] == {"macro_f1": 0.5}


async def test_without_any_model_the_list_is_empty(client: AsyncClient) -> None:
    answer = (await client.get("/v1/models")).json()
    assert (answer["champion"], answer["serving"], answer["versions"]) == (None, None, [])
