"""Sites that describe their titles in schema.org terms: lists that lead to one page a title."""

import re
from dataclasses import dataclass
from functools import cached_property
from urllib.parse import urlsplit

from trending_scraper.addresses import authority
from trending_scraper.extraction import list_page, page_text, title_page
from trending_scraper.sources.base import (
    Extracted,
    FetchedPage,
    Follow,
    PageRequest,
    PageUnparsable,
    Source,
)
from trending_shared.events import ScrapeJob


@dataclass(frozen=True)
class SchemaOrgSite(Source):
    """Pages with JSON-LD; the option `title_path` matches the whole path of a title's page."""

    @cached_property
    def _title_path(self) -> re.Pattern[str]:
        return re.compile(self.entry.options.get("title_path", r"/titles/[^/]+"))

    def plan(self, job: ScrapeJob) -> PageRequest:
        return self.request(job.url, conditional=job.page == "detail")

    def extract(self, job: ScrapeJob, page: FetchedPage) -> Extracted:
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

    def _is_title(self, url: str) -> bool:
        return bool(self._title_path.fullmatch(urlsplit(url).path)) and self._is_ours(url)

    def _is_ours(self, url: str) -> bool:
        return authority(url) in self.hosts
