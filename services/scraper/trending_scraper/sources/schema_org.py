"""Sites that describe their titles in schema.org terms: lists or sitemaps, one page a title."""

import re
from dataclasses import dataclass
from datetime import UTC, timedelta
from functools import cached_property
from urllib.parse import urlsplit

from trending_scraper.addresses import authority
from trending_scraper.extraction import MAX_URL, list_page, page_text, title_page
from trending_scraper.json_api import path_of
from trending_scraper.sitemaps import Entry, read_sitemap
from trending_scraper.sources.base import (
    Extracted,
    FetchedPage,
    Follow,
    PageRequest,
    PageUnparsable,
    Source,
)
from trending_shared.errors import SettingInvalid
from trending_shared.events import ScrapeJob

SITEMAP = re.compile(r"/[^?#]*\.xml(?:\.gz)?", re.IGNORECASE)
XML = frozenset({"application/xml", "text/xml", "application/gzip", "application/x-gzip"})


@dataclass(frozen=True)
class SchemaOrgSite(Source):
    """Pages with JSON-LD, found by lists of links or by sitemaps.

    The option `title_path` matches the whole path of a title's page. With `sitemap_days` only
    those pages of a sitemap are followed that changed in so many days, or don't say when.
    """

    def __post_init__(self) -> None:
        """Raises `SettingInvalid` if an option can't be used."""
        try:
            _ = self._title_path, self._sitemap_days
        except (re.error, ValueError, OverflowError) as error:
            raise SettingInvalid(f"SOURCES_FILE: {self.name}.options: {error}") from error

    @cached_property
    def _title_path(self) -> re.Pattern[str]:
        return re.compile(self.entry.options.get("title_path", r"/titles/[^/]+"))

    @cached_property
    def _sitemap_days(self) -> timedelta | None:
        days = self.entry.options.get("sitemap_days")
        return timedelta(days=int(days)) if days else None

    def plan(self, job: ScrapeJob) -> PageRequest:
        if is_sitemap(job):
            return self.request(job.url, content_types=XML)
        return self.request(job.url, conditional=job.page == "detail")

    def extract(self, job: ScrapeJob, page: FetchedPage) -> Extracted:
        if is_sitemap(job):
            return self._sitemap(job, page)
        text = page_text(page.body, page.charset)
        if job.page == "detail":
            title = title_page(text, page.url)
            if title is None:
                raise PageUnparsable(f"{page.url} shows no title")
            return Extracted(titles=(title,))
        links = list_page(text, page.url)
        titles = tuple(url for url in links.urls if self._is_title(url))
        next_url = links.next_url if links.next_url and self._is_ours(links.next_url) else None
        if not titles and next_url is None:
            raise PageUnparsable(f"{page.url} lists no titles and leads to no next page")
        return Extracted(follow=tuple(map(Follow, titles)), next_url=next_url)

    def _sitemap(self, job: ScrapeJob, page: FetchedPage) -> Extracted:
        found = read_sitemap(page.body)
        if found is None:
            raise PageUnparsable(f"{page.url} is no sitemap")
        # The protocol has no index within an index, and one that led to itself would never end.
        sitemaps = found.sitemaps if job.depth == 0 else ()
        follow = [
            Follow(one.url, "list")
            for one in sitemaps
            if self._is_ours(one.url) and self._is_due(one, page)
        ]
        follow += [
            Follow(one.url)
            for one in found.pages
            if self._is_title(one.url) and self._is_due(one, page)
        ]
        return Extracted(follow=tuple(follow))

    def _is_due(self, entry: Entry, page: FetchedPage) -> bool:
        if self._sitemap_days is None or entry.changed_on is None:
            return True
        return entry.changed_on >= (page.fetched_at.astimezone(UTC) - self._sitemap_days).date()

    def _is_title(self, url: str) -> bool:
        return self._is_ours(url) and bool(self._title_path.fullmatch(urlsplit(url).path))

    def _is_ours(self, url: str) -> bool:
        return len(url) <= MAX_URL and authority(url) in self.hosts


def is_sitemap(job: ScrapeJob) -> bool:
    """Whether a list is a sitemap, as its path tells.

    Raises:
        JobNotUnderstood: the job's address is none.
    """
    return job.page == "list" and SITEMAP.fullmatch(path_of(job)) is not None
