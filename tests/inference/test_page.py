"""The pages: what they show, and what they never let through (`tests/browser` looks at them)."""

from collections.abc import AsyncIterator
from datetime import UTC, date, datetime, timedelta
from html.parser import HTMLParser
from typing import Any

import pytest
from httpx import AsyncClient
from starlette.datastructures import QueryParams

from trending_inference.filters import TrendingFilters
from trending_inference.operations import DriftWindow
from trending_inference.page import address, chips, read_filters, web_address
from trending_inference.pictures import chart, drift_charts
from trending_inference.schemas import PredictedGenre
from trending_inference.wordings import age, is_stale, shortlist, times, verdict
from trending_shared.events import Trend, TrendCause, TrendPart
from trending_shared.testing.models import a_graph, promote

HOSTILE = """<script>alert(1)</script>" onmouseover="alert(2)' {{ 7 * 7 }} <img src=x onerror=a>"""
DAY = date(2026, 11, 1)
NOON = datetime(2026, 11, 1, 12, tzinfo=UTC)


class Seen(HTMLParser):
    """Every tag, attribute and text of a page."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.text = ""
        self.feed(html)
        self.words = " ".join(self.text.split())

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))

    def handle_data(self, data: str) -> None:
        self.text += data

    def links(self) -> list[str]:
        names = ("href", "src", "action")
        return [value for _, attrs in self.tags for name in names if (value := attrs.get(name))]


@pytest.fixture
async def client(world: Any) -> AsyncIterator[AsyncClient]:
    async with world.client() as client:
        yield client


# ---------------------------------------------------------------- the board


async def test_the_first_page_shows_rising_titles_and_the_model(world: Any) -> None:
    manifest = promote(world.models, a_graph())
    days = [{"day": str(DAY - timedelta(days=9 - i)), "count": i * 10} for i in range(9)]
    await world.add_title("t_1", name="Rising Star", popularity=days, score=1.0)
    await world.add_title("t_2", name="Old Hat", kind="show", year=None, score=-1.0)
    await world.add_prediction("t_1", manifest.version, Comedy=0.1, Crime=0.2, Horror=0.91)
    async with world.client() as client:
        response = await client.get("/")
    assert response.headers["content-type"] == "text/html; charset=utf-8"
    page = Seen(response.text)
    assert page.text.index("Rising Star") < page.text.index("Old Hat")
    assert "2.0×" in page.text
    assert "0.5×" in page.text
    assert "91\u00a0%" in page.text
    assert manifest.version in page.text
    assert [tag for tag, _ in page.tags].count("polyline") == 1
    (picture,) = (attrs for tag, attrs in page.tags if tag == "svg" and attrs.get("role") == "img")
    assert picture["aria-label"] == (
        "Popularity a day from 23 October 2026 to 31 October 2026; at most 80, on 31 October 2026"
    )
    assert "1 November 2026 · data as of 1 November 2026, 12:00 UTC, 6 hours old" in page.words
    assert "This is old." not in page.words


async def test_a_title_shows_how_sure_its_rise_is_and_how_it_came(
    world: Any, client: AsyncClient
) -> None:
    await world.add_title("t_1")
    for ago, score in ((0, 1.0), (1, 0.5), (2, 0.0), (5, 0.1)):
        trend = Trend(
            day=DAY - timedelta(days=ago),
            score=score,
            recent=20,
            expected=10,
            signals=99,
            low=score - 0.5,
            high=score + 1,
            chance=0.001,
            verdict="rising" if score >= 0.5 else "steady",
            standing="catalogue",
            parts=(TrendPart(metric="pageviews", score=score, recent=20, expected=10),),
            cause=TrendCause(kind="attention", probability=0.8) if score >= 0.5 else None,
        )
        await world.put_trend("t_1", trend)
    page = Seen((await client.get("/titles/t_1")).text)
    assert "2.0× its usual rising: 1.4–4.0×" in page.words
    assert "a title of the catalogue" in page.words
    assert "a rise in attention; no date that is known says why" in page.words
    (history,) = (
        attrs
        for tag, attrs in page.tags
        if tag == "svg" and (attrs.get("aria-label") or "").startswith("Against its usual")
    )
    assert history["aria-label"] == (
        "Against its usual from 27 October 2026 to 1 November 2026: 1.1× at first, 2.0× at most, "
        "on 1 November 2026, 2.0× at last; 2 days rising"
    )
    assert [tag for tag, _ in page.tags].count("polygon") == 1, "a lone day has no band"
    assert "/v1/titles/t_1/trends" in page.links()
    board = Seen((await client.get("/?verdict=rising")).text)
    assert "fastest first; 1 surely rising" in board.words
    assert "surely rising" in board.words
    wrong = Seen((await client.get("/?verdict=up")).text)
    assert "The movement was left out" in wrong.words


async def test_a_title_without_enough_data_says_what_is_lacking(
    world: Any, client: AsyncClient
) -> None:
    await world.add_title("t_1")
    await world.lack_trend("t_1", DAY, "too-few-days")
    page = Seen((await client.get("/titles/t_1")).text)
    assert "Not enough data to tell whether it rises." in page.words
    assert "counted on too few days to say what is usual" in page.words


async def test_data_that_is_old_says_so(world: Any, client: AsyncClient) -> None:
    await world.add_title(score=1.0)
    world.clock.advance(timedelta(days=3))
    page = Seen((await client.get("/")).text)
    assert "This is old. Nothing new has been read for 3 days" in page.words
    await world.add_trend("t_alien", DAY - timedelta(days=5), 0.2)
    page = Seen((await client.get(f"/?day={DAY - timedelta(days=5)}")).text)
    assert "a look back" in page.words
    assert "This is old." not in page.words  # so it should be


@pytest.mark.parametrize("path", ["/", "/titles/t_1"])
async def test_hostile_titles_stay_text(client: AsyncClient, world: Any, path: str) -> None:
    await world.add_title(
        "t_1",
        name=HOSTILE,
        plot=HOSTILE,
        genres=[HOSTILE],
        countries=[HOSTILE],
        language=HOSTILE[:32],
        license=HOSTILE[:64],
        source=HOSTILE[:64],
        url="javascript:alert(1)",
        score=1.0,
    )
    await world.add_review("r_1", "t_1", text=HOSTILE)
    page = Seen((await client.get(path)).text)
    assert HOSTILE in page.text
    scripts = [attrs for tag, attrs in page.tags if tag == "script"]
    assert scripts == [{"src": "/static/trending.js", "type": "module"}]
    attributes = {name for _, attrs in page.tags for name in attrs}
    assert not {name for name in attributes if name.startswith("on") or name == "style"}
    assert "img" not in {tag for tag, _ in page.tags}
    assert not [link for link in page.links() if link.lower().startswith("javascript")]


@pytest.mark.parametrize("path", ["/", "/titles/t_alien", "/operate", "/titles/nobody"])
async def test_a_page_asks_nobody_else_for_anything(
    client: AsyncClient, world: Any, path: str
) -> None:
    await world.add_title(score=1.0)
    page = Seen((await client.get(path)).text)
    loaded = [attrs for tag, attrs in page.tags if tag in ("link", "script", "img")]
    for attrs in loaded:
        address = attrs.get("src") or attrs.get("href") or ""
        assert address.startswith("/static/")
        assert (await client.get(address)).status_code == 200


async def test_filters_narrow_the_page_and_lead_back(client: AsyncClient, world: Any) -> None:
    await world.add_title("t_1", name="Alien", score=1.0)
    await world.add_title("t_2", name="Fargo", kind="show", genres=["Crime"], score=0.5)
    shows = Seen((await client.get("/?kind=show&genre=&year_from=")).text)
    assert "Fargo" in shows.text
    assert "Alien" not in shows.text
    assert "/?kind=show&genre=Crime" in shows.links()
    assert "/" in shows.links()
    assert "Crime (1)" in shows.text
    assert "Horror (" not in shows.text  # nothing would be left


async def test_what_cant_be_filtered_by_is_left_out_and_told(
    client: AsyncClient, world: Any
) -> None:
    await world.add_title(score=1.0)
    response = await client.get("/?kind=opera&day=yesterday&offset=-3&min_probability=0.5&x=1")
    page = Seen(response.text)
    assert response.status_code == 200
    assert "Alien" in page.text
    for told in ("there are films and shows", "looks like 2026-11-01", "has to be chosen too"):
        assert told in page.words


async def test_long_lists_have_pages(client: AsyncClient, world: Any) -> None:
    for index in range(13):
        await world.add_title(f"t_{index}", name=f"Title {index:02}", score=float(-index))
    first = Seen((await client.get("/")).text)
    assert "1–12 of 13 titles" in first.words
    assert "Title 11" in first.text
    assert "Title 12" not in first.text
    second = Seen((await client.get("/?offset=12")).text)
    assert "Title 12" in second.text
    assert "/?offset=12" in first.links()


async def test_an_empty_house_says_so(client: AsyncClient) -> None:
    words = Seen((await client.get("/")).text).words
    assert "Nothing is rising yet" in words
    assert "No genre model is in service yet" in words


async def test_a_day_of_which_nothing_is_known_leads_to_one_that_is(
    client: AsyncClient, world: Any
) -> None:
    await world.add_title(score=1.0)
    page = Seen((await client.get("/?day=2026-11-09")).text)
    assert "Nothing is known of that day" in page.words
    assert "/?day=2026-11-01" in page.links()


@pytest.mark.parametrize(("sent", "theme"), [("dark", "dark"), ("purple", "auto")])
async def test_a_page_comes_in_the_colours_that_were_chosen(
    client: AsyncClient, sent: str, theme: str
) -> None:
    response = await client.get("/", headers={"Cookie": f"theme={sent}"})
    assert ("html", {"lang": "en", "data-theme": theme}) in Seen(response.text).tags
    assert response.headers["vary"] == "Cookie"


# ---------------------------------------------------------------- one title, and none


async def test_a_title_page_shows_reviews_and_provenance(client: AsyncClient, world: Any) -> None:
    await world.add_title(score=1.0)
    for number in range(7):
        await world.add_review(f"r_{number}", "t_alien", text=f"The ship is the best, {number}.")
    page = Seen((await client.get("/titles/t_alien")).text)
    assert "The ship is the best, 6." in page.text  # as many as an insight may cite
    assert "2 more" in page.words
    assert "http://films.example/titles/alien-1979" in page.links()
    assert "LicenseRef-trending-demo" in page.text


async def test_what_isnt_there_and_what_isnt_now_are_pages_too(
    client: AsyncClient, world: Any
) -> None:
    for id in ("t_nobody", "x" * 65, "%00"):
        missing = await client.get(f"/titles/{id}")
        assert missing.status_code == 404
        assert "There is no such title" in Seen(missing.text).words
    await world.catalog.close()
    (world.folder / "catalog.db").unlink()
    (world.folder / "catalog.db").mkdir()
    away = await client.get("/")
    assert away.status_code == 503
    assert "Not right now" in Seen(away.text).words


# ---------------------------------------------------------------- the operator's view


async def test_what_is_down_is_told_beside_what_isnt(
    world: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("KAFKA_BOOTSTRAP_SERVERS", "127.0.0.1:1")
    manifest = promote(world.models, a_graph())
    async with world.client() as client:
        words = Seen((await client.get("/operate")).text).words
        assert "Kafka doesn't answer." in words
        assert "Unknown without Kafka." in words
        assert f"{manifest.version} champion" in words
        assert "No window of predictions is full yet" in words
        await world.catalog.close()
        (world.folder / "catalog.db").unlink()
        (world.folder / "catalog.db").mkdir()
        words = Seen((await client.get("/operate")).text).words
    assert "The catalog doesn't answer." in words
    assert f"{manifest.version} champion" in words


# ---------------------------------------------------------------- the pure parts


def test_an_address_says_what_is_chosen_and_nothing_else() -> None:
    filters, notes = read_filters(QueryParams("kind=film&hide=a&hide=b&hide=&genre=&age=new"))
    assert notes == []
    assert filters == TrendingFilters(kind="film", hide=("a", "b"), age="new")
    assert address(filters) == "/?kind=film&hide=a&hide=b&age=new"
    assert address(filters, kind=None, hide=()) == "/?age=new"
    assert address(TrendingFilters()) == "/"
    assert address(TrendingFilters(min_score=0.0), offset=12) == "/?min_score=0.0&offset=12"


def test_each_filter_in_force_can_be_taken_away() -> None:
    filters = TrendingFilters(genre="Horror", min_probability=0.7, day=DAY)
    assert chips(filters) == [
        ("genre", "Horror", "/?day=2026-11-01"),  # a probability is of a genre
        (
            "min_probability",
            "the model is 70\u00a0% sure at least",
            "/?genre=Horror&day=2026-11-01",
        ),
        ("day", "1 November 2026", "/?genre=Horror&min_probability=0.7"),
    ]


def test_a_chart_spans_its_box_and_passes_over_days_that_nobody_counted() -> None:
    counts = [(DAY, 0), (DAY + timedelta(days=1), 5), (DAY + timedelta(days=4), 10)]
    drawn = chart("Signals", counts, usual=2.5)
    assert drawn
    assert drawn.line == "0.0,100.0 25.0,50.0 100.0,0.0"
    assert (drawn.peak, drawn.peak_x, drawn.peak_y, drawn.anchor) == (10, 100.0, 0.0, "end")
    assert drawn.usual == 75.0
    flat = chart("Signals", [(DAY, 0), (DAY + timedelta(days=1), 0)])
    assert flat
    assert flat.line == "0.0,100.0 100.0,100.0"
    assert chart("Signals", [(DAY, 3)]) is None


def test_drift_is_drawn_by_version_the_oldest_window_first() -> None:
    def window(version: str, hours: int, **scores: float) -> DriftWindow:
        drifted = [name for name, score in scores.items() if score >= 0.25]
        return DriftWindow(
            model_version=version,
            predictions=500,
            first_at=NOON - timedelta(hours=hours + 1),
            last_at=NOON - timedelta(hours=hours),
            scores=scores,
            drifted=drifted,
        )

    newest_first = [window("b", 0, x=0.7, y=0.1), window("b", 1, x=0.0, y=0.35), window("a", 2)]
    (drawn,) = drift_charts(newest_first)  # of a window without scores nothing can be drawn
    assert drawn.line == "0.0,50.0 100.0,0.0"
    assert [point.worst for point in drawn.points] == ["y", "x"]
    assert drawn.features == (("x", 0.7, True), ("y", 0.1, False))


def test_a_score_reads_as_how_many_times_as_usual() -> None:
    assert [times(score) for score in (0.0, 1.0, -1.0)] == ["1.0×", "2.0×", "0.5×"]


@pytest.mark.parametrize(
    ("passed", "shown", "words"),
    [
        (0, ["g0"], "No genre is likely enough; g0 comes nearest, at 90\u00a0%."),
        (1, ["g0"], "g0"),
        (5, ["g0", "g1", "g2"], "g0, g1 and 3 more"),
    ],
)
def test_a_model_is_quoted_briefly(passed: int, shown: list[str], words: str) -> None:
    said = [
        PredictedGenre(genre=f"g{n}", probability=0.9 - n / 10, passed=n < passed) for n in range(6)
    ]
    assert [genre.genre for genre in shortlist(said)] == shown
    assert verdict(said) == words


@pytest.mark.parametrize(
    ("minutes", "words"),
    [
        (-5, "less than a minute"),
        (1, "1 minute"),
        (119, "1 hour"),
        (2879, "47 hours"),
        (3000, "2 days"),
    ],
)
def test_an_age_is_told_in_its_largest_unit(minutes: int, words: str) -> None:
    assert age(timedelta(minutes=minutes)) == words


def test_what_was_read_a_day_ago_is_new_and_what_missed_a_day_is_old() -> None:
    assert not is_stale(NOON, NOON + timedelta(hours=25))
    assert is_stale(NOON, NOON + timedelta(hours=37))


def test_only_web_addresses_become_links() -> None:
    assert web_address("https://films.example/1") == "https://films.example/1"
    for link in ("javascript:alert(1)", "data:text/html,x", "//films.example", "JAVASCRIPT:a"):
        assert web_address(link) is None
