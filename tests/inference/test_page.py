"""The pages: what they show, and what they never let through."""

from collections.abc import AsyncIterator
from datetime import date, timedelta
from html.parser import HTMLParser
from typing import Any

import pytest
from httpx import AsyncClient

from trending_inference.page import sparkline, times, web_address
from trending_shared.testing.models import a_graph, promote

HOSTILE = """<script>alert(1)</script>" onmouseover="alert(2)' {{ 7 * 7 }} <img src=x onerror=a>"""
DAY = date(2026, 11, 1)


class Seen(HTMLParser):
    """Every tag, attribute and text of a page."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.text = ""
        self.feed(html)

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


async def test_the_first_page_shows_rising_titles_and_the_model(world: Any) -> None:
    manifest = promote(world.models, a_graph())
    days = [{"day": str(DAY - timedelta(days=9 - i)), "count": i * 10} for i in range(10)]
    await world.add_title("t_1", name="Rising Star", popularity=days, score=1.0)
    await world.add_title("t_2", name="Old Hat", kind="show", year=None, score=-1.0)
    async with world.client() as client:
        response = await client.get("/")
    assert response.headers["content-type"] == "text/html; charset=utf-8"
    page = Seen(response.text)
    assert page.text.index("Rising Star") < page.text.index("Old Hat")
    assert "2.0×" in page.text
    assert "0.5×" in page.text
    assert manifest.version in page.text
    assert [tag for tag, _ in page.tags].count("polyline") == 1
    assert "1 November 2026" in page.text


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
    assert scripts == [{"src": "/static/trending.js", "defer": None}]
    attributes = {name for _, attrs in page.tags for name in attrs}
    assert not {name for name in attributes if name.startswith("on") or name == "style"}
    assert "img" not in {tag for tag, _ in page.tags}
    assert not [link for link in page.links() if link.lower().startswith("javascript")]


@pytest.mark.parametrize("path", ["/", "/titles/t_alien"])
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
    shows = Seen((await client.get("/?kind=show")).text)
    assert "Fargo" in shows.text
    assert "Alien" not in shows.text
    assert "/?kind=show&genre=Crime" in shows.links()
    assert "/" in shows.links()


async def test_long_lists_have_pages(client: AsyncClient, world: Any) -> None:
    for index in range(13):
        await world.add_title(f"t_{index}", name=f"Title {index:02}", score=float(-index))
    first = Seen((await client.get("/")).text)
    assert "Title 11" in first.text
    assert "Title 12" not in first.text
    second = Seen((await client.get("/?offset=12")).text)
    assert "Title 12" in second.text
    assert "/?offset=12" in first.links()


async def test_an_empty_house_says_so(client: AsyncClient) -> None:
    text = Seen((await client.get("/")).text).text
    assert "Nothing is rising yet" in " ".join(text.split())
    assert "No genre model is in service yet" in text


async def test_a_title_page_shows_reviews_and_provenance(client: AsyncClient, world: Any) -> None:
    await world.add_title(score=1.0)
    await world.add_review("r_1", "t_alien", text="The ship is the best actor in it.")
    page = Seen((await client.get("/titles/t_alien")).text)
    assert "The ship is the best actor in it." in page.text
    assert "http://films.example/titles/alien-1979" in page.links()
    assert "LicenseRef-trending-demo" in page.text
    assert (await client.get("/titles/t_nobody")).status_code == 404


def test_a_sparkline_spans_its_box() -> None:
    assert sparkline([0, 5, 10]) == "0.0,30.0 60.0,16.0 120.0,2.0"
    assert sparkline([0, 0]) == "0.0,30.0 120.0,30.0"
    assert sparkline([3]) is None
    assert sparkline([]) is None


def test_a_score_reads_as_how_many_times_as_usual() -> None:
    assert [times(score) for score in (0.0, 1.0, -1.0)] == ["1.0×", "2.0×", "0.5×"]


def test_only_web_addresses_become_links() -> None:
    assert web_address("https://films.example/1") == "https://films.example/1"
    for address in ("javascript:alert(1)", "data:text/html,x", "//films.example", "JAVASCRIPT:a"):
        assert web_address(address) is None
