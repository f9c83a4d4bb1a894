"""Review feeds, RSS and Atom: an excerpt of each review, and a link to the rest.

What a feed writes about is told by a pattern for the headings of its entries, in the entry's
`options`; entries that it doesn't fit are about something else.

    options:
      heading: "Review: (?P<name>.+?)(?: \\((?P<year>\\d{4})\\))?"
      kind: film
"""

import io
import re
from calendar import timegm
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cached_property
from typing import Any

import feedparser

from trending_scraper.extraction import MAX_SOURCE_ID, absolute, parse_page
from trending_scraper.json_api import path_of
from trending_scraper.sources.base import (
    Extracted,
    FetchedPage,
    FoundReview,
    FoundTitle,
    PageRequest,
    PageUnparsable,
    Source,
)
from trending_shared.errors import SettingInvalid
from trending_shared.events import RawReview, RawTitle, ScrapeJob

XML = frozenset({"application/xml", "text/xml"})
FEED = XML | {"application/rss+xml", "application/atom+xml", "application/rdf+xml"}
MAX_FEED = 1024 * 1024  # bytes; a feed of more is an archive, and one made to be slow takes 15 s
MAX_HEADING = 300  # characters; the operator's pattern is held against no more
EXCERPT = 300  # characters: enough to tell what a critic thinks, too few to replace the review
SPACE = re.compile(r"\s+")


@dataclass(frozen=True)
class Feed(Source):
    """A feed that the operator has written into a catalogue of his own."""

    def __post_init__(self) -> None:
        """Raises `SettingInvalid` if no pattern says what the feed is about."""
        try:
            named = "name" in self._heading.groupindex
        except (KeyError, re.error) as error:
            raise SettingInvalid(f"SOURCES_FILE: {self.name}.options.heading: {error}") from error
        if not named:
            raise SettingInvalid(
                f"SOURCES_FILE: {self.name}.options.heading: it has no group (?P<name>…)"
            )

    @cached_property
    def _heading(self) -> re.Pattern[str]:
        return re.compile(self.entry.options["heading"])

    def plan(self, job: ScrapeJob) -> PageRequest:
        path_of(job)
        return self.request(job.url, content_types=FEED, conditional=True)

    def extract(self, job: ScrapeJob, page: FetchedPage) -> Extracted:
        if len(page.body) > MAX_FEED:
            raise PageUnparsable(f"{page.url} has {len(page.body)} bytes; {MAX_FEED} are the limit")
        feed = parse(page)
        if not feed.get("version") and not feed.entries:
            raise PageUnparsable(f"{page.url} is neither RSS nor Atom")
        titles: dict[str, tuple[RawTitle, dict[str, FoundReview]]] = {}
        for entry in feed.entries:
            about = self._about(said(entry, "title") or "")
            review = found_review(entry, page.url, said(feed.feed, "language"))
            if about is None or review is None:
                continue
            _, reviews = titles.setdefault(title_id(about), (about, {}))
            reviews.setdefault(review.review.review_source_id or "", review)
        return Extracted(
            facts=tuple(
                FoundTitle(id, title, tuple(reviews.values()))
                for id, (title, reviews) in titles.items()
            )
        )

    def _about(self, heading: str) -> RawTitle | None:
        """The title that an entry is about, as far as its heading tells."""
        match = self._heading.fullmatch(SPACE.sub(" ", heading[:MAX_HEADING]).strip())
        groups = match.groupdict() if match else {}
        name = (groups.get("name") or "").strip()
        if not name:
            return None
        kind = self.entry.options.get("kind")
        return RawTitle(name=name, year=groups.get("year"), kind=kind)


def parse(page: FetchedPage) -> Any:
    """A feed as feedparser reads it: from bytes at hand alone, its HTML free of scripts.

    feedparser would open what looks like a file's name or an address, but not a stream.
    """
    headers = {"content-location": page.url}
    if page.charset:
        headers["content-type"] = f"application/xml; charset={page.charset}"
    return feedparser.parse(io.BytesIO(page.body), response_headers=headers, sanitize_html=True)


def found_review(entry: Any, url: str, language: str | None) -> FoundReview | None:
    """A review as its entry announces it; none if it has no link or says nothing."""
    link = absolute(url, said(entry, "link"))
    text = excerpt(next(markup(entry), ""))
    if link is None or not link.startswith(("http://", "https://")) or not text:
        return None
    return FoundReview(
        RawReview(review_source_id=link, text=text, day=day(entry), language=language),
        author=said(entry, "author"),
    )


def markup(entry: Any) -> Iterator[str]:
    """What an entry says, the shortest form first."""
    if summary := said(entry, "summary"):
        yield summary
    for content in entry.get("content") or ():
        if value := said(content, "value"):
            yield value


def excerpt(markup: str) -> str:
    """The beginning of a text without its markup, cut between words."""
    root = parse_page(f"<body>{markup}")
    text = SPACE.sub(" ", str(root.text_content()) if root is not None else "").strip()
    if len(text) <= EXCERPT:
        return text
    return text[:EXCERPT].rpartition(" ")[0] + " …"


def day(entry: Any) -> str | None:
    """When it was published, in UTC; feedparser has made that of any of a dozen forms."""
    at = entry.get("published_parsed" if "published_parsed" in entry else "updated_parsed")
    try:
        return datetime.fromtimestamp(timegm(at), UTC).isoformat() if at else None
    except (ValueError, OverflowError, OSError):
        return None


def title_id(title: RawTitle) -> str:
    """What all entries of a feed about one title have in common: `salt roads (2026)`."""
    name = SPACE.sub(" ", title.name or "").casefold()
    return f"{name} ({title.year})"[-MAX_SOURCE_ID:] if title.year else name[:MAX_SOURCE_ID]


def said(values: Any, name: str) -> str | None:
    """A text of a feed; none where there is none, or one that no event could carry."""
    value = values.get(name)
    if not isinstance(value, str):
        return None
    return value.encode("utf-16", "surrogatepass").decode("utf-16", "replace").strip() or None
