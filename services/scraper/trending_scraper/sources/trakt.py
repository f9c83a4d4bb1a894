"""Trakt: which films and shows are being watched right now, and by how many."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC
from typing import Any

from trending_scraper.external_ids import external_ids
from trending_scraper.json_api import count, list_of, page_number, understood, with_query
from trending_scraper.linked_data import each, first, part
from trending_scraper.sources.base import (
    JSON,
    Extracted,
    FetchedPage,
    FoundSignal,
    FoundTitle,
    PageRequest,
    Source,
)
from trending_shared.events import DayCount, RawTitle, ScrapeJob

TRENDING = re.compile(r"/(movie|show)s/trending(?:[?&](?:page|limit)=[0-9]{1,6}){0,2}")
TMDB_MEDIA = {"movie": "movie", "show": "tv"}


@dataclass(frozen=True)
class Trakt(Source):
    """Asked under the user's own client id, which travels in a header.

    A list ends with an empty page: its headers would say how many pages there are, but a page that
    was kept has none.
    """

    def plan(self, job: ScrapeJob) -> PageRequest:
        understood(job, TRENDING)
        return self.request(
            job.url,
            content_types=JSON,
            headers={"trakt-api-version": "2", "trakt-api-key": self.key or ""},
        )

    def extract(self, job: ScrapeJob, page: FetchedPage) -> Extracted:
        kind, items = understood(job, TRENDING)[1], list_of(page)
        day = page.fetched_at.astimezone(UTC).date()
        facts: dict[str, FoundTitle] = {}
        signals = []
        for item in each(items):
            title = part(item, kind)
            ids = ids_of(kind, part(title, "ids"))
            if "trakt" not in ids or ids["trakt"] in facts:
                continue
            raw = RawTitle(
                name=first(title, "title"),
                kind=kind,
                year=first(title, "year"),
                external_ids=ids,
            )
            facts[ids["trakt"]] = FoundTitle(ids["trakt"], raw)
            if (watchers := count(item.get("watchers"))) is not None:
                counted = (DayCount(day=day, count=watchers),)
                signals.append(FoundSignal(ids["trakt"], "watchers", ids, counted))
        return Extracted(
            facts=tuple(facts.values()),
            signals=tuple(signals),
            next_url=with_query(job.url, {"page": page_number(job.url) + 1}) if items else None,
        )


def ids_of(kind: str, ids: Mapping[str, Any]) -> dict[str, str]:
    """What Trakt and others call a title; Trakt and TMDB number films and shows apart."""
    trakt, tmdb, tvdb = (first(ids, name) for name in ("trakt", "tmdb", "tvdb"))
    return external_ids(
        {
            "trakt": trakt and f"{kind}/{trakt}",
            "imdb": first(ids, "imdb"),
            "tmdb": tmdb and f"{TMDB_MEDIA[kind]}/{tmdb}",
            "thetvdb": tvdb,
        }
    )
