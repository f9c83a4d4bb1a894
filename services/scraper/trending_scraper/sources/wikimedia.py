"""Wikimedia's pageviews: how often an article of Wikipedia was read on each day.

The list of a day's thousand most read articles is asked for as it is, and leads nowhere: most of
them are people, sports and news, and whoever knows which articles are of titles (by their id
`wikipedia`) finds those among the signals, for one request a day. The days of a single article are
there for titles that never come near that list.
"""

import re
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date, datetime
from typing import Any

from trending_scraper.external_ids import external_ids
from trending_scraper.json_api import count, object_of, understood
from trending_scraper.linked_data import Node, each, first
from trending_scraper.sources.base import (
    JSON,
    Extracted,
    FetchedPage,
    FoundSignal,
    PageRequest,
    PageUnparsable,
    Source,
)
from trending_shared.events import DayCount, ScrapeJob

_PAGEVIEWS = r"/api/rest_v1/metrics/pageviews/"
_WIKI = r"(?P<language>[a-z][a-z-]{1,15})\.wikipedia"
_DAY = r"[0-9]{8}(?:00)?"
# People only: `user` leaves out what crawlers read; the list of the most read does so by itself.
ARTICLE = re.compile(
    rf"{_PAGEVIEWS}per-article/{_WIKI}/all-access/user/[^/?#]{{1,800}}/daily/{_DAY}/{_DAY}"
)
MOST_READ = re.compile(
    rf"{_PAGEVIEWS}top/{_WIKI}/all-access/(?P<day>[0-9]{{4}}/[0-9]{{2}}/[0-9]{{2}})"
)


@dataclass(frozen=True)
class Wikimedia(Source):
    """Asked without a key, one request after another."""

    def plan(self, job: ScrapeJob) -> PageRequest:
        understood(job, ARTICLE, MOST_READ)
        return self.request(job.url, content_types=JSON, conditional=True)

    def extract(self, job: ScrapeJob, page: FetchedPage) -> Extracted:
        match, answer = understood(job, ARTICLE, MOST_READ), object_of(page)
        views = article_days(answer) if match.re is ARTICLE else most_read(answer, match["day"])
        counts: defaultdict[str, dict[date, int]] = defaultdict(dict)
        for article, day, seen in views:
            counts[f"{match['language']}:{article}"][day] = seen
        signals = tuple(
            FoundSignal(
                source_id=article,
                metric="pageviews",
                external_ids=ids,
                counts=tuple(DayCount(day=day, count=seen) for day, seen in sorted(days.items())),
            )
            for article, days in counts.items()
            if (ids := external_ids({"wikipedia": article}))
        )
        if not signals:
            raise PageUnparsable(f"{page.url} counts no views")
        return Extracted(signals=signals)


View = tuple[str, date, int]


def article_days(answer: Node) -> Iterator[View]:
    """The days of one article."""
    for item in each(answer.get("items")):
        day = day_of("%Y%m%d", (first(item, "timestamp") or "")[:8])
        yield from _view(item, day)


def most_read(answer: Node, asked: str) -> Iterator[View]:
    """The articles of one day."""
    day = day_of("%Y/%m/%d", asked)
    for item in each(answer.get("items")):
        for article in each(item.get("articles")):
            yield from _view(article, day)


def _view(item: Node, day: date | None) -> Iterator[View]:
    article, seen = first(item, "article"), count(item.get("views"))
    if article and day and seen is not None:
        yield article, day, seen


def day_of(form: str, text: Any) -> date | None:
    try:
        return datetime.strptime(text, form).date()  # noqa: DTZ007  # a day has no zone
    except ValueError:
        return None
