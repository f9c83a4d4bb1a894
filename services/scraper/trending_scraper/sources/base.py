"""What a source is: a site, what to ask it for a job, and how its pages become records."""

from collections.abc import Set as AbstractSet
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol

from trending_shared.errors import Rejected, Unavailable
from trending_shared.events import RawReview, RawTitle, ScrapeJob

HTML = frozenset({"text/html", "application/xhtml+xml"})


class PageUnparsable(Rejected):
    """A detail page shows no title, or a list page neither titles nor a next page."""


class SourceUnavailable(Unavailable):
    """A site doesn't answer now, or asks us to come back later."""


@dataclass(frozen=True, slots=True)
class PageRequest:
    """One page to be asked for; other media types than `content_types` aren't read."""

    url: str
    content_types: AbstractSet[str] = HTML


@dataclass(frozen=True, slots=True)
class FetchedPage:
    """A page as it came.

    `url` is where redirects ended; `body` is free of content codings; `charset` is what the
    Content-Type header says. `seconds` went by while the site answered, `waited` seconds before
    that, out of politeness.
    """

    url: str
    body: bytes
    charset: str | None
    fetched_at: datetime
    seconds: float = 0.0
    waited: float = 0.0


@dataclass(frozen=True, slots=True)
class FoundReview:
    """A review on a page; its author's name stays inside the scraper."""

    review: RawReview
    author: str | None = None


@dataclass(frozen=True, slots=True)
class FoundTitle:
    """A title on a page, and its reviews in the page's order."""

    source_id: str
    title: RawTitle
    reviews: tuple[FoundReview, ...] = ()


@dataclass(frozen=True, slots=True)
class Extracted:
    """What a page had: titles, or addresses of pages that have some."""

    titles: tuple[FoundTitle, ...] = ()
    title_urls: tuple[str, ...] = ()
    next_url: str | None = None


class Source(Protocol):
    """A site whose pages we may read.

    `license` says under which terms its records may be used and travels with each of them; `hosts`
    are the only ones asked for it, in the form that `addresses.authority` gives.
    """

    @property
    def name(self) -> str: ...

    @property
    def license(self) -> str: ...

    @property
    def hosts(self) -> frozenset[str]: ...

    def plan(self, job: ScrapeJob) -> PageRequest:
        """What to ask the site for."""
        ...

    def extract(self, job: ScrapeJob, page: FetchedPage) -> Extracted:
        """The records and links of a page; pure.

        Raises:
            PageUnparsable: there are none.
        """
        ...
