"""The pages a viewer sees: what is rising, one title, and a box to ask the model."""

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any
from urllib.parse import urlencode, urlsplit

from fastapi import APIRouter, Query
from fastapi.responses import HTMLResponse
from jinja2 import Environment, FileSystemLoader, StrictUndefined

from trending_inference.filters import Plain, TitleId, TrendingFilters
from trending_inference.gateway import Gateway, GatewayDep
from trending_inference.problems import Problem
from trending_shared.events import Kind

HERE = Path(__file__).parent
STATIC = HERE / "static"
PER_PAGE = 12
SPARK_DAYS = 28
WIDTH, HEIGHT = 120, 32  # of a sparkline, in its own units


def create_pages() -> Environment:
    """The templates; everything they show is escaped."""
    pages = Environment(
        loader=FileSystemLoader(HERE / "templates"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    pages.filters.update(times=times, web_address=web_address)
    pages.globals.update(sparkline=sparkline)
    return pages


def page_routes() -> APIRouter:
    """The routes of the pages, on a router of its own for each app."""
    routes = APIRouter(include_in_schema=False)

    @routes.get("/")
    async def rising(
        gateway: GatewayDep,
        kind: Annotated[Kind | None, Query()] = None,
        genre: Annotated[Plain | None, Query()] = None,
        offset: Annotated[int, Query(ge=0, le=10_000)] = 0,
    ) -> HTMLResponse:
        found = await gateway.browser.trending(
            TrendingFilters(kind=kind, genre=genre), limit=PER_PAGE, offset=offset
        )
        signals = await gateway.browser.signals([item.title_id for item in found.items])

        def link(**changes: Any) -> str:
            query = {"kind": kind, "genre": genre, "offset": 0} | changes
            given = {name: value for name, value in query.items() if value}
            return f"/?{urlencode(given)}" if given else "/"

        return _render(
            gateway,
            "rising.html",
            day=found.day,
            items=found.items,
            signals=signals,
            first=offset + 1,
            kind=kind,
            genre=genre,
            link=link,
            newer=link(offset=max(0, offset - PER_PAGE)) if offset else None,
            older=link(offset=offset + PER_PAGE) if offset + PER_PAGE < found.total else None,
        )

    @routes.get("/titles/{title_id}")
    async def title(title_id: TitleId, gateway: GatewayDep) -> HTMLResponse:
        detail = await gateway.browser.title(title_id)
        if detail is None:
            raise Problem(404, "title-unknown", "the catalog has no title with this id")
        signals = await gateway.browser.signals([title_id])
        return _render(gateway, "title.html", title=detail, signals=signals[title_id])

    return routes


def _render(gateway: Gateway, template: str, **values: Any) -> HTMLResponse:
    champion = gateway.serving.look().champion
    manifest = champion.manifest if champion else None
    page = gateway.pages.get_template(template)
    return HTMLResponse(
        page.render(model=manifest, alias=gateway.serving.alias, **values),
        headers={"Cache-Control": "no-cache"},
    )


def times(score: float) -> str:
    """A trend score in words of the street: how many times as many signals as usual."""
    return f"{2**score:.1f}×"


def web_address(url: str) -> str | None:
    """The address if a browser may follow it safely; scraped links may be scripts."""
    return url if urlsplit(url).scheme in ("http", "https") else None


def sparkline(counts: Sequence[float], days: int = SPARK_DAYS) -> str | None:
    """The last counts as the points of an SVG polyline; none if they make no line."""
    shown = counts[-days:]
    if len(shown) < 2:
        return None
    top = max(shown) or 1
    step = WIDTH / (len(shown) - 1)
    return " ".join(
        f"{index * step:.1f},{HEIGHT - 2 - (HEIGHT - 4) * count / top:.1f}"
        for index, count in enumerate(shown)
    )
