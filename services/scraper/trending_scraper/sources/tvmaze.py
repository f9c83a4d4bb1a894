"""TVmaze: its index of all shows, what changed of late, and what is on air on a day.

Its `weight` says from 0 to 100 how much a show is looked at just now, so it is told with the day on
which it was asked for, of the shows that are on air.
"""

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import UTC
from urllib.parse import urljoin

from trending_scraper.external_ids import external_ids
from trending_scraper.json_api import count, list_of, object_of, understood
from trending_scraper.linked_data import Node, each, first, part, text, texts
from trending_scraper.sources.base import (
    JSON,
    Extracted,
    FetchedPage,
    Follow,
    FoundSignal,
    FoundTitle,
    PageRequest,
    PageUnparsable,
    Source,
)
from trending_shared.events import DayCount, RawTitle, ScrapeJob

INDEX = re.compile(r"/shows(?:\?page=(?P<page>[0-9]{1,5}))?")
SHOW = re.compile(r"/shows/[0-9]{1,9}(?:[?&]embed(?:\[\]|%5B%5D)?=[a-z]{1,20}){0,9}")
UPDATES = re.compile(r"/updates/shows\?since=(?:day|week|month)")
SCHEDULE = re.compile(
    r"/schedule(?:/web)?(?:[?&](?:country=[A-Z]{0,2}|date=[0-9]{4}-[0-9]{2}-[0-9]{2})){1,2}"
)
ADDRESSES = (INDEX, SHOW, UPDATES, SCHEDULE)
BEST_RATING = "10"


@dataclass(frozen=True)
class Tvmaze(Source):
    """Asked without a key."""

    def plan(self, job: ScrapeJob) -> PageRequest:
        form = understood(job, *ADDRESSES).re
        return self.request(job.url, content_types=JSON, conditional=form is SHOW)

    def extract(self, job: ScrapeJob, page: FetchedPage) -> Extracted:
        match = understood(job, *ADDRESSES)
        if match.re is SHOW:
            found = described([object_of(page)])
            if not found.records:
                raise PageUnparsable(f"{page.url} shows no show")
            return found
        if match.re is UPDATES:
            changed = (number for number in object_of(page) if re.fullmatch(r"[0-9]{1,9}", number))
            return Extracted(
                follow=tuple(Follow(urljoin(job.url, f"/shows/{number}")) for number in changed)
            )
        shows = list(each(list_of(page)))
        if match.re is SCHEDULE:
            return on_air(shows, page)
        number = int(match["page"] or 0)
        # The index ends with a 404.
        next_url = urljoin(job.url, f"/shows?page={number + 1}") if shows else None
        return described(shows, next_url=next_url)


def described(shows: Iterable[Node], *, next_url: str | None = None) -> Extracted:
    """Shows as titles; those without a summary know something but describe nothing."""
    found = {title.source_id: title for title in found_titles(shows)}.values()
    return Extracted(
        titles=tuple(title for title in found if title.title.plot),
        facts=tuple(title for title in found if not title.title.plot),
        next_url=next_url,
    )


def on_air(episodes: Iterable[Node], page: FetchedPage) -> Extracted:
    """The shows of some episodes, and how much each is looked at on the day of asking."""
    shows = [part(one, "show") or part(part(one, "_embedded"), "show") for one in episodes]
    found = described(shows)
    weights = {show_id(show): count(show.get("weight")) for show in shows}
    day = page.fetched_at.astimezone(UTC).date()
    signals = (
        FoundSignal(
            source_id=title.source_id,
            metric="weight",
            external_ids=title.title.external_ids,
            counts=(DayCount(day=day, count=weight),),
        )
        for title in (*found.titles, *found.facts)
        if (weight := weights[title.source_id]) is not None
    )
    return Extracted(titles=found.titles, facts=found.facts, signals=tuple(signals))


def found_titles(shows: Iterable[Node]) -> Iterator[FoundTitle]:
    for show in shows:
        number, name = show_id(show), first(show, "name")
        if number and name:
            yield FoundTitle(number, raw_title(number, name, show))


def show_id(show: Node) -> str | None:
    number = count(show.get("id"))
    return str(number) if number else None


def raw_title(number: str, name: str, show: Node) -> RawTitle:
    channel = part(show, "network") or part(show, "webChannel")
    externals = part(show, "externals")
    rating = text(part(show, "rating").get("average"))
    return RawTitle(
        name=name,
        kind="show",
        year=first(show, "premiered"),
        genres=tuple(dict.fromkeys((*texts(show.get("genres")), *texts(show.get("type"))))),
        plot=first(show, "summary"),
        countries=texts(part(channel, "country")),
        language=first(show, "language"),
        runtime=first(show, "runtime", "averageRuntime"),
        rating=rating,
        best_rating=rating and BEST_RATING,
        external_ids=external_ids(
            {
                "tvmaze": number,
                "imdb": first(externals, "imdb"),
                "thetvdb": first(externals, "thetvdb"),
            }
        ),
    )
