"""The site over HTTP: which address shows which page, and when a visitor has it already."""

from collections.abc import Awaitable, Callable
from datetime import UTC, date, datetime
from email.utils import format_datetime, parsedate_to_datetime

from starlette.applications import Starlette
from starlette.datastructures import Headers
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from trending_demo.catalogue import Catalogue
from trending_demo.pages import NoSuchPage, Page, Pages

HEADERS = {
    "Cache-Control": "no-cache",
    "Content-Security-Policy": "default-src 'none'; style-src 'self'; base-uri 'none'",
    "X-Content-Type-Options": "nosniff",
}


def create_app(
    catalogue: Catalogue | Callable[[], Catalogue],
    *,
    today: date | Callable[[], date] | None = None,
    page_size: int = 100,
    crawl_delay: float = 0.0,
) -> Starlette:
    """The site of a catalogue.

    Args:
        catalogue: what the site shows, or what tells it.
        today: the day the site takes for today, or what tells it; the real UTC day if not given.
        page_size: titles on one page of a list.
        crawl_delay: seconds between two requests that robots.txt asks for.
    """
    site = Site(catalogue, today=today, page_size=page_size, crawl_delay=crawl_delay)
    return Starlette(
        routes=[
            Route("/", site.shows(first_list_page)),
            Route("/titles", site.shows(list_page)),
            Route("/titles/{id}", site.shows(lambda pages, at: pages.title(at.path_params["id"]))),
            Route("/style.css", site.shows(lambda pages, at: pages.style())),
            Route("/robots.txt", site.shows(lambda pages, at: pages.robots())),
            Route("/sitemap.xml", site.shows(lambda pages, at: pages.sitemap())),
        ],
        exception_handlers={404: site.show_missing},
    )


class Site:
    """Finds the pages of the day, and answers with them."""

    def __init__(
        self,
        catalogue: Catalogue | Callable[[], Catalogue],
        *,
        today: date | Callable[[], date] | None,
        page_size: int,
        crawl_delay: float,
    ) -> None:
        self._catalogue = catalogue
        self._today = today
        self._page_size = page_size
        self._crawl_delay = crawl_delay
        self._pages: Pages | None = None
        self._shown: Catalogue | None = None

    def shows(
        self, choose: Callable[[Pages, Request], Page]
    ) -> Callable[[Request], Awaitable[Response]]:
        """An endpoint that answers with the page that `choose` picks."""

        async def endpoint(request: Request) -> Response:
            try:
                page = choose(self.pages(request), request)
            except NoSuchPage as error:
                raise HTTPException(404) from error
            return answer(request, page)

        return endpoint

    async def show_missing(self, request: Request, error: Exception) -> Response:
        return answer(request, self.pages(request).missing(), status=404)

    def pages(self, request: Request) -> Pages:
        """The pages of today under the address that the visitor used.

        Only those of one catalogue, day and address are kept, so that made-up Host headers don't
        fill memory.
        """
        base = str(request.base_url).rstrip("/")
        day = self.today()
        catalogue = self._catalogue if isinstance(self._catalogue, Catalogue) else self._catalogue()
        same = self._pages and (self._pages.base, self._pages.day) == (base, day)
        if self._pages is None or not same or self._shown is not catalogue:
            self._shown = catalogue
            self._pages = Pages(
                catalogue,
                base=base,
                day=day,
                page_size=self._page_size,
                crawl_delay=self._crawl_delay,
            )
        return self._pages

    def today(self) -> date:
        if self._today is None:
            return datetime.now(UTC).date()
        return self._today if isinstance(self._today, date) else self._today()


def first_list_page(pages: Pages, request: Request) -> Page:
    return pages.titles(1)


def list_page(pages: Pages, request: Request) -> Page:
    """The page that `?page=` (from 1) and `?genre=` ask for.

    Raises:
        NoSuchPage: there is none, or the number isn't one.
    """
    number = request.query_params.get("page", "1")
    if not (number.isascii() and number.isdigit() and len(number) < 10):
        raise NoSuchPage(f"page {number}")
    return pages.titles(int(number), request.query_params.get("genre") or None)


def answer(request: Request, page: Page, status: int = 200) -> Response:
    """The page, or 304 without it for whoever has it; no body for HEAD."""
    headers = HEADERS | {
        "ETag": page.etag,
        "Last-Modified": format_datetime(page.modified, usegmt=True),
    }
    if status == 200 and has_it_already(request.headers, page):
        return Response(status_code=304, headers=headers)
    headers["Content-Length"] = str(len(page.body))
    body = b"" if request.method == "HEAD" else page.body
    return Response(body, status_code=status, headers=headers, media_type=page.media_type)


def has_it_already(headers: Headers, page: Page) -> bool:
    """Whether the visitor's copy is up to date.

    Tags go before dates, and are compared weakly (RFC 9110, sections 13.1.2 and 13.2.2).
    """
    tags = headers.get("if-none-match")
    if tags is not None:
        known = [tag.strip().removeprefix("W/") for tag in tags.split(",")]
        return page.etag in known or known == ["*"]
    try:
        since = parsedate_to_datetime(headers.get("if-modified-since", ""))
    except ValueError:
        return False
    return since.tzinfo is not None and page.modified <= since
