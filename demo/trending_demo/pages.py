"""The pages of the site as bytes: written when first asked for, then kept."""

import hashlib
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, date, datetime, time
from functools import cache
from importlib import resources
from xml.sax.saxutils import escape

from jinja2 import Environment, PackageLoader, StrictUndefined

from trending_demo.catalogue import Catalogue, Title
from trending_demo.linked_data import linked_data, review_day, review_id
from trending_demo.views import DayViews, daily_views

HTML = "text/html; charset=utf-8"
CSS = "text/css; charset=utf-8"
TEXT = "text/plain; charset=utf-8"
XML = "application/xml; charset=utf-8"


class NoSuchPage(LookupError):
    """The site has no page of this name."""


@dataclass(frozen=True, slots=True)
class Page:
    """What goes out, with a strong validator of its bytes (RFC 9110, section 8.8.3)."""

    body: bytes
    media_type: str
    etag: str
    modified: datetime


class Pages:
    """All pages as they are on one day (UTC) under one address.

    The address `base` is of the form `http://host:port`, without a slash at its end. Lists hold
    `page_size` titles a page; `crawl_delay` in seconds is what robots.txt asks for.
    """

    def __init__(
        self, catalogue: Catalogue, *, base: str, day: date, page_size: int, crawl_delay: float
    ) -> None:
        self.base = base
        self.day = day
        self._catalogue = catalogue
        self._page_size = page_size
        self._crawl_delay = crawl_delay
        self._kept: dict[tuple[object, ...], Page] = {}
        # A day that is still to come must not show in Last-Modified (RFC 9110, section 8.8.2.1).
        now = datetime.now(UTC).replace(microsecond=0)
        self._modified = catalogue.snapshot_at or min(datetime.combine(day, time(), UTC), now)

    def titles(self, number: int, genre: str | None = None) -> Page:
        """One page of the list, numbered from 1.

        Raises:
            NoSuchPage: the list ends before this page, or no title is of this genre.
        """
        catalogue = self._catalogue
        found = catalogue.by_genre.get(genre, ()) if genre else catalogue.titles
        last = -(-len(found) // self._page_size)
        if not 1 <= number <= last:
            raise NoSuchPage(f"page {number} of {genre or 'all titles'}")
        return self._keep(
            ("titles", genre, number),
            HTML,
            lambda: self._render("titles.html", found=found, genre=genre, number=number, last=last),
        )

    def title(self, id: str) -> Page:
        """The page of one title.

        Raises:
            NoSuchPage: the catalogue has no such title.
        """
        title = self._catalogue.by_id.get(id)
        if title is None:
            raise NoSuchPage(id)
        return self._keep(("title", id), HTML, lambda: self._write_title(title))

    def missing(self) -> Page:
        return self._keep(("missing",), HTML, lambda: self._render("missing.html"))

    def style(self) -> Page:
        file = resources.files("trending_demo") / "templates" / "style.css"
        return self._keep(("style",), CSS, file.read_text)

    def robots(self) -> Page:
        """What crawlers may do here (RFC 9309, and the widely read Crawl-delay)."""
        text = (
            "User-agent: *\n"
            "Disallow: /private/\n"
            f"Crawl-delay: {self._crawl_delay:g}\n"
            "\n"
            f"Sitemap: {self.base}/sitemap.xml\n"
        )
        return self._keep(("robots",), TEXT, lambda: text)

    def sitemap(self) -> Page:
        """The addresses of all titles, by the protocol of sitemaps.org."""
        return self._keep(("sitemap",), XML, self._write_sitemap)

    def _write_title(self, title: Title) -> str:
        views = () if self._catalogue.snapshot_at else daily_views(title.id, self.day)
        url = f"{self.base}/titles/{title.id}"
        return self._render(
            "title.html",
            title=title,
            data=linked_data(title, url=url, today=self.day, views=views),
            reviews=[
                (review_id(title, review), review_day(review, self.day), review)
                for review in title.reviews
            ],
            views=views,
            curve=curve(views),
        )

    def _write_sitemap(self) -> str:
        base, day = escape(self.base), self._modified.date()
        return (
            '<?xml version="1.0" encoding="UTF-8"?>\n'
            '<urlset xmlns="http://www.sitemaps.org/schemas/sitemap/0.9">\n'
            + "".join(
                f"<url><loc>{base}/titles/{id}</loc><lastmod>{day}</lastmod></url>\n"
                for id in self._catalogue.by_id
            )
            + "</urlset>\n"
        )

    def _render(self, template: str, **context: object) -> str:
        return (
            templates()
            .get_template(template)
            .render(catalogue=self._catalogue, page_size=self._page_size, **context)
        )

    def _keep(self, key: tuple[object, ...], media_type: str, write: Callable[[], str]) -> Page:
        page = self._kept.get(key)
        if page is None:
            body = write().encode()
            etag = f'"{hashlib.sha256(body).hexdigest()[:32]}"'
            page = self._kept[key] = Page(body, media_type, etag, self._modified)
        return page


def curve(views: tuple[DayViews, ...]) -> str:
    """The points of a line over the days, as SVG has them, in a box 270 wide and 60 high."""
    highest = max((day.count for day in views), default=0) or 1
    return " ".join(f"{n * 10},{58 - 54 * day.count / highest:.0f}" for n, day in enumerate(views))


@cache
def templates() -> Environment:
    """The templates; all values are escaped, and `tojson` leaves no `<`, `>` or `&` in a script."""
    environment = Environment(
        loader=PackageLoader("trending_demo"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        auto_reload=False,
    )
    environment.policies["json.dumps_kwargs"] = {"ensure_ascii": False}
    return environment
