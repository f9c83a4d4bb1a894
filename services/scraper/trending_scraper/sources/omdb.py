"""OMDb: a title's ratings and plot by its IMDb id."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from trending_scraper.json_api import object_of, path_of, query_of
from trending_scraper.linked_data import each, first
from trending_scraper.sources.base import (
    JSON,
    Extracted,
    FetchedPage,
    FoundTitle,
    JobNotUnderstood,
    PageRequest,
    PageUnparsable,
    Source,
    SourceUnavailable,
)
from trending_shared.errors import Declined
from trending_shared.events import RawTitle, ScrapeJob

IMDB_ID = re.compile(r"tt\d{7,10}")
ABSENT = "N/A"
QUOTA = re.compile(r"limit", re.IGNORECASE)


class TitleUnknown(Declined):
    """A source says that it has no such title."""


@dataclass(frozen=True)
class Omdb(Source):
    """Asked under the user's own key, which OMDb wants as a parameter: it is never part of a URL.

    Once the day's requests are used up it answers 401, as it does to a wrong key.
    """

    def plan(self, job: ScrapeJob) -> PageRequest:
        path, query = path_of(job), query_of(job.url)
        if path not in ("", "/") or not IMDB_ID.fullmatch(query.get("i", "")):
            raise JobNotUnderstood(f"{job.url} doesn't ask for a title, as /?i=tt0133093 does")
        if not query.keys() <= {"i", "plot"}:
            raise JobNotUnderstood("no other parameters than i and plot are understood")
        return self.request(
            job.url,
            content_types=JSON,
            hidden={"apikey": self.key or ""},
            not_now=frozenset({401}),
            conditional=True,
        )

    def extract(self, job: ScrapeJob, page: FetchedPage) -> Extracted:
        answer = object_of(page)
        if first(answer, "Response") != "True":
            said = ascii((first(answer, "Error") or "")[:100])
            if QUOTA.search(said):
                raise SourceUnavailable(f"{page.url}: {said}")
            raise TitleUnknown(f"{page.url}: {said}")
        id, name = value(answer, "imdbID"), value(answer, "Title")
        if id is None or name is None or not IMDB_ID.fullmatch(id):
            raise PageUnparsable(f"{page.url} shows no title")
        found = (FoundTitle(id, raw_title(id, answer)),)
        return Extracted(titles=found) if found[0].title.plot else Extracted(facts=found)


def raw_title(id: str, answer: Mapping[str, Any]) -> RawTitle:
    """A title's fields; its rating is IMDb's, or else the first of any other that it has."""
    rating = value(answer, "imdbRating")
    others = [found for one in each(answer.get("Ratings")) if (found := value(one, "Value"))]
    languages = listed(answer, "Language")
    return RawTitle(
        name=value(answer, "Title"),
        kind=value(answer, "Type"),
        year=value(answer, "Year"),
        genres=listed(answer, "Genre"),
        plot=value(answer, "Plot"),
        countries=listed(answer, "Country"),
        language=languages[0] if languages else None,
        runtime=value(answer, "Runtime"),
        age_rating=value(answer, "Rated"),
        rating=rating or next(iter(others), None),
        best_rating="10" if rating else None,
        rating_count=value(answer, "imdbVotes") if rating else None,
        external_ids={"imdb": id},
    )


def value(answer: Mapping[str, Any], name: str) -> str | None:
    said = first(answer, name)
    return None if said == ABSENT else said


def listed(answer: Mapping[str, Any], name: str) -> tuple[str, ...]:
    said = value(answer, name) or ""
    return tuple(dict.fromkeys(part.strip() for part in said.split(",") if part.strip()))
