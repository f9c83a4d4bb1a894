"""What a source is: a site, what to ask it for a job, and how its pages become records."""

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from collections.abc import Set as AbstractSet
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any, Literal

from trending_shared.errors import Declined, Rejected, Unavailable
from trending_shared.events import DayCount, RawReview, RawTitle, ScrapeJob
from trending_shared.sources import SourceEntry

HTML = frozenset({"text/html", "application/xhtml+xml"})
JSON = frozenset({"application/json"})


class PageUnparsable(Rejected):
    """A detail page shows no title, or a list page neither titles nor a next page."""


class JobNotUnderstood(Rejected):
    """A job's address is none that its source's adapter knows how to read."""


class NotATitle(Declined):
    """A page is about something else than a film or show, as most pages of an encyclopedia are."""


class SourceUnavailable(Unavailable):
    """A site doesn't answer now, or asks us to come back later."""


@dataclass(frozen=True, slots=True)
class PageRequest:
    """One page to be asked for; other media types than `content_types` aren't read.

    Args:
        headers: sent besides our own, to this host alone; may hold a key.
        hidden: parameters added to the query when the request is sent, to this host alone. They
            are no part of `url`, and so of no event, key, log or stored page.
        robots: whether the site's robots.txt decides; a documented API has terms instead.
        delay: the least time between two requests to this host, Crawl-delay or not; none leaves it
            to the settings.
        conditional: whether "not modified" will do as an answer. Not for a page that leads to
            others: what it leads to may have changed although it hasn't.
        permit: called, in a thread, whenever this request is about to be sent; raises if it may
            not be sent now.
        not_now: further statuses by which this site asks us to come back later.
    """

    url: str
    content_types: AbstractSet[str] = HTML
    headers: Mapping[str, str] = field(default_factory=dict, repr=False)
    hidden: Mapping[str, str] = field(default_factory=dict, repr=False)
    robots: bool = True
    delay: timedelta | None = None
    conditional: bool = False
    permit: Callable[[], None] | None = field(default=None, repr=False)
    not_now: AbstractSet[int] = frozenset()


@dataclass(frozen=True, slots=True)
class FetchedPage:
    """A page as it came.

    `url` is where redirects ended; `body` is free of content codings; `charset` is what the
    Content-Type header says. `seconds` went by while the site answered, `waited` seconds before
    that, out of politeness. `etag` and `last_modified` are what a later request may name; if
    `modified` is false, one did, the page is as it was, and there is no body.
    """

    url: str
    body: bytes
    charset: str | None
    fetched_at: datetime
    seconds: float = 0.0
    waited: float = 0.0
    etag: str | None = None
    last_modified: str | None = None
    modified: bool = True


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
class FoundSignal:
    """How often something was looked at, by day; `metric` says how that was counted."""

    source_id: str
    metric: str
    external_ids: Mapping[str, str]
    counts: tuple[DayCount, ...]


@dataclass(frozen=True, slots=True)
class Follow:
    """Another page of the same source to be fetched."""

    url: str
    page: Literal["list", "detail"] = "detail"


@dataclass(frozen=True, slots=True)
class Extracted:
    """What a page had: records, and addresses of pages that have some.

    `titles` describe titles; `facts` know something about them, but needn't have a plot, nor a
    kind. `next_url` is the list's next page, followed as far as the job allows; `follow` are all
    others.
    """

    titles: tuple[FoundTitle, ...] = ()
    facts: tuple[FoundTitle, ...] = ()
    signals: tuple[FoundSignal, ...] = ()
    follow: tuple[Follow, ...] = ()
    next_url: str | None = None

    @property
    def records(self) -> int:
        """How many events this leads to, but for the next page."""
        reviews = sum(len(title.reviews) for title in (*self.titles, *self.facts))
        return len(self.titles) + len(self.facts) + len(self.signals) + len(self.follow) + reviews


@dataclass(frozen=True)
class Source(ABC):
    """A site whose pages we may read, as its entry in the catalogue has it.

    Args:
        name: the entry's name.
        hosts: the only ones asked for it, in the form that `addresses.authority` gives.
        key: the user's own, if the entry asks for one; never part of anything that is published.
    """

    name: str
    entry: SourceEntry
    hosts: frozenset[str]
    key: str | None = field(default=None, repr=False)

    @property
    def license(self) -> str:
        """The terms of its records (an SPDX expression), which travel with each of them."""
        return self.entry.license

    @abstractmethod
    def plan(self, job: ScrapeJob) -> PageRequest:
        """What to ask the site for.

        Raises:
            JobNotUnderstood: the source has no such page.
        """

    @abstractmethod
    def extract(self, job: ScrapeJob, page: FetchedPage) -> Extracted:
        """The records and links of a page; pure.

        Raises:
            PageUnparsable: it can't be read.
            NotATitle: it can, and is about something else.
        """

    def request(self, url: str, **changes: Any) -> PageRequest:
        """A request that keeps the entry's terms."""
        robots = self.entry.robots.decision == "obey"
        return PageRequest(url, **{"robots": robots, "delay": self.entry.delay, **changes})
