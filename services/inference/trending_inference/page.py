"""The pages: what is rising, one title, the operator's view, and a box to ask the model.

All of it can be read and filtered without a script; see `static/trending.js` for the rest.
"""

from collections.abc import Callable, Coroutine, Sequence
from datetime import date, timedelta
from pathlib import Path
from typing import Any
from urllib.parse import urlencode, urlsplit

from fastapi import APIRouter, HTTPException, Request, Response
from fastapi.exceptions import RequestValidationError
from fastapi.responses import HTMLResponse
from fastapi.routing import APIRoute
from jinja2 import Environment, FileSystemLoader, StrictUndefined
from pydantic import ValidationError
from starlette.datastructures import QueryParams

from trending_inference import wordings
from trending_inference.browsing import Seen
from trending_inference.dashboards import SPANS, in_unit
from trending_inference.filters import TitleId, TrendingFilters
from trending_inference.gateway import Gateway, GatewayDep
from trending_inference.insights_api import REVIEWS
from trending_inference.operations import observe
from trending_inference.pictures import Chart, chart, drift_charts, score_chart
from trending_inference.problems import Problem
from trending_inference.schemas import TitleDetail, TrendingTitle
from trending_inference.wordings import a_day, is_stale
from trending_shared.errors import Unavailable
from trending_shared.genres import GENRES

HERE = Path(__file__).parent
STATIC = HERE / "static"
PER_PAGE = 12
FARTHEST = 10_000  # as the API's lists
THEMES = ("auto", "light", "dark")


def create_pages() -> Environment:
    """The templates; everything they show is escaped."""
    pages = Environment(
        loader=FileSystemLoader(HERE / "templates"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    pages.filters.update(wordings.FILTERS, web_address=web_address, in_unit=in_unit)
    pages.globals.update(genres=GENRES)
    return pages


class PageRoute(APIRoute):
    """A route whose problems are pages too, for the person who reads them."""

    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        handle = super().get_route_handler()

        async def handled(request: Request) -> Response:
            try:
                return await handle(request)
            except HTTPException as error:
                return _problem(request, error.status_code, error.detail)
            except RequestValidationError:  # of an id that none has
                return _problem(request, 404, "there is no page at this address")
            except Unavailable:
                words = "what this page is made of can’t be reached right now"
                return _problem(request, 503, words)

        return handled


def page_routes() -> APIRouter:
    """The routes of the pages, on a router of its own for each app."""
    routes = APIRouter(include_in_schema=False, route_class=PageRoute)

    @routes.get("/")
    async def rising(request: Request, gateway: GatewayDep) -> HTMLResponse:
        filters, notes = read_filters(request.query_params)
        offset = _offset(request.query_params.get("offset", ""))
        browser = gateway.browser
        found = await browser.trending(filters, limit=PER_PAGE, offset=offset)
        seen = await browser.seen(found.day)
        newest = found.day == seen.last_day
        facets = await browser.facets(filters)
        verdicts = {facet.value: facet.count for facet in facets.verdicts}
        before, after = _neighbours(found.day, seen)

        def link(**changes: Any) -> str:
            return address(filters, **changes)

        return _render(
            request,
            "rising.html",
            here="/",
            found=found,
            charts=await _charts(gateway, found.items, found.day),
            first=offset + 1,
            last=offset + len(found.items),
            chosen=filters,
            chips=chips(filters),
            notes=notes,
            facets=facets,
            rising=verdicts.get("rising", 0) if verdicts else None,
            seen=seen,
            newest=newest,
            before=before,
            after=after,
            stale=newest and seen.latest and is_stale(seen.latest, gateway.clock.now()),
            link=link,
            faster=link(offset=max(0, offset - PER_PAGE) or None) if offset else None,
            slower=link(offset=offset + PER_PAGE) if offset + PER_PAGE < found.total else None,
        )

    @routes.get("/titles/{title_id}")
    async def title(title_id: TitleId, request: Request, gateway: GatewayDep) -> HTMLResponse:
        detail = await gateway.browser.title(title_id, gateway.clock.now().date())
        if detail is None:
            raise Problem(404, "title-unknown", "the catalog has no title with this id")
        charts = await _charts(gateway, [detail], detail.trend.day)
        return _render(
            request,
            "title.html",
            title=detail,
            history=score_chart(detail.trends),
            reviews=await gateway.browser.opinions(title_id, REVIEWS),
            drawn=charts.get(title_id),
        )

    @routes.get("/operate")
    async def operate(request: Request, gateway: GatewayDep) -> HTMLResponse:
        state = await observe(gateway)
        return _render(
            request,
            "operate.html",
            here="/operate",
            state=state,
            drift=drift_charts(state.drift.windows),
            boards=gateway.dashboards.all if gateway.dashboards else {},
        )

    @routes.get("/operate/dashboards/{name}")
    async def dashboard(
        name: str, request: Request, gateway: GatewayDep, span: str = "6h"
    ) -> HTMLResponse:
        boards = gateway.dashboards.all if gateway.dashboards else {}
        if name not in boards or gateway.dashboards is None:
            raise Problem(404, "dashboard-unknown", "there is no dashboard of this name")
        span = span if span in SPANS else "6h"
        return _render(
            request,
            "dashboard.html",
            name=name,
            board=boards[name],
            boards=boards,
            span=span,
            spans=SPANS,
            panels=await gateway.dashboards.look(boards[name], SPANS[span], gateway.clock.now()),
        )

    return routes


def _neighbours(day: date | None, seen: Seen) -> tuple[date | None, date | None]:
    """The days before and after a day, as far as there are trends."""
    if day is None or seen.first_day is None or seen.last_day is None:
        return None, None
    before, after = day - timedelta(days=1), day + timedelta(days=1)
    return (
        before if seen.first_day <= before <= seen.last_day else None,
        after if seen.first_day <= after <= seen.last_day else None,
    )


async def _charts(
    gateway: Gateway, items: Sequence[TrendingTitle | TitleDetail], day: date | None
) -> dict[str, Chart | None]:
    """What was counted most of each title, with what was expected of it."""
    ids = [item.title_id for item in items]
    counted = await gateway.browser.counted(ids, day) if day else {}
    expected = {
        (item.title_id, reason.figures["metric"]): float(reason.figures["expected"])
        for item in items
        for reason in item.reasons
        if "expected" in reason.figures
    }
    return {
        title_id: chart(a_day(of.metric), of.days, usual=expected.get((title_id, of.metric)))
        for title_id, of in counted.items()
    }


def _render(request: Request, template: str, status: int = 200, **values: Any) -> HTMLResponse:
    gateway: Gateway = request.state.gateway
    loaded = gateway.serving.look().champion
    theme = request.cookies.get("theme")
    usual = {
        "here": None,
        "model": loaded.manifest if loaded else None,
        "alias": gateway.serving.alias,
        "theme": theme if theme in THEMES else "auto",
        "now": gateway.clock.now(),
    }
    page = gateway.pages.get_template(template)
    return HTMLResponse(
        page.render(usual | {"status": status} | values),
        status,
        headers={"Cache-Control": "no-cache", "Vary": "Cookie"},
    )


def _problem(request: Request, status: int, words: str) -> HTMLResponse:
    return _render(request, "problem.html", status=status, words=words)


# ---------------------------------------------------------------- filters as addresses


def read_filters(given: QueryParams) -> tuple[TrendingFilters, list[str]]:
    """The filters of a page's address, and a note for each that can't be used.

    A form sends what is left empty, and people write addresses by hand: neither is refused.
    """
    asked: dict[str, Any] = {
        name: value
        for name in TrendingFilters.model_fields
        if (value := given.get(name, "").strip())
    }
    if hidden := tuple(filter(None, given.getlist("hide"))):
        asked["hide"] = hidden
    notes: list[str] = []
    while True:
        try:
            return TrendingFilters.model_validate(asked), notes
        except ValidationError as error:
            for found in error.errors():
                # What is wrong with several fields together is wrong with the confidence.
                field = str(found["loc"][0]) if found["loc"] else "min_probability"
                if asked.pop(field, None) is not None:
                    notes.append(wordings.LEFT_OUT[field])


def address(filters: TrendingFilters, **changes: Any) -> str:
    """The board with these filters, changed; without an offset it is its first page."""
    query = filters.model_dump(exclude_none=True) | changes
    given = {name: value for name, value in query.items() if value not in (None, ())}
    return f"/?{urlencode(given, doseq=True)}" if given else "/"


def chips(filters: TrendingFilters) -> list[tuple[str, str, str]]:
    """Each filter that is in force: its name, in words, and the board without it."""
    given = filters.model_dump(exclude_defaults=True)
    found = []
    for field, value in given.items():
        less: dict[str, Any] = {field: None}
        if field == "genre":
            less["min_probability"] = None
        found.append((field, wordings.CHIPS[field](value), address(filters, **less)))
    return found


def _offset(given: str) -> int:
    return min(int(given), FARTHEST) if given.isascii() and given.isdigit() else 0


def web_address(url: str) -> str | None:
    """The address if a browser may follow it safely; scraped links may be scripts."""
    return url if urlsplit(url).scheme in ("http", "https") else None
