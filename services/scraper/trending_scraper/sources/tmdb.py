"""TMDB: its lists of trending titles, and titles with their first twenty reviews.

TMDB's `popularity` is a score of its own making and `vote_count` a running total, so neither is a
count of a day. What can be counted is that a title stood on a day's list: `trending_appearances`.
"""

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC
from typing import Any

from trending_scraper.external_ids import external_ids
from trending_scraper.json_api import count, object_of, page_number, understood, with_query
from trending_scraper.linked_data import each, first, part, text, texts
from trending_scraper.sources.base import (
    JSON,
    Extracted,
    FetchedPage,
    Follow,
    FoundReview,
    FoundSignal,
    FoundTitle,
    PageRequest,
    PageUnparsable,
    Source,
)
from trending_shared.events import DayCount, RawReview, RawTitle, ScrapeJob

TRENDING = re.compile(r"/3/trending/(movie|tv)/(day|week)(?:\?page=[0-9]{1,3})?")
TITLE = re.compile(r"/3/(movie|tv)/[1-9][0-9]{0,9}(?:\?append_to_response=[a-z_,]{1,80})?")
# Keywords are kept with the page: whoever has a use for them needn't ask again.
APPENDED = "reviews,keywords,external_ids"
BEST_RATING = "10"
KINDS = {"movie": "movie", "tv": "tv series"}
GENRES = {
    12: "Adventure", 14: "Fantasy", 16: "Animation", 18: "Drama", 27: "Horror", 28: "Action",
    35: "Comedy", 36: "History", 37: "Western", 53: "Thriller", 80: "Crime", 99: "Documentary",
    878: "Science Fiction", 9648: "Mystery", 10402: "Music", 10749: "Romance", 10751: "Family",
    10752: "War", 10759: "Action & Adventure", 10762: "Kids", 10763: "News", 10764: "Reality",
    10765: "Sci-Fi & Fantasy", 10766: "Soap", 10767: "Talk", 10768: "War & Politics",
    10770: "TV Movie",
}  # fmt: skip


@dataclass(frozen=True)
class Tmdb(Source):
    """Asked under the user's own token, which travels in a header."""

    def plan(self, job: ScrapeJob) -> PageRequest:
        form = understood(job, TRENDING, TITLE).re
        return self.request(
            job.url,
            content_types=JSON,
            headers={"Authorization": f"Bearer {self.key}"},
            conditional=form is TITLE,
        )

    def extract(self, job: ScrapeJob, page: FetchedPage) -> Extracted:
        match, answer = understood(job, TRENDING, TITLE), object_of(page)
        if match.re is TITLE:
            return Extracted(titles=(found_title(match[1], answer, page),))
        if not isinstance(answer.get("results"), list):
            raise PageUnparsable(f"{page.url} lists no titles")
        medium, span = match.groups()
        found = {id: item for item in each(answer["results"]) if (id := title_id(medium, item))}
        number, last = page_number(job.url), count(answer.get("total_pages")) or 0
        return Extracted(
            facts=tuple(FoundTitle(id, raw_title(medium, id, item)) for id, item in found.items()),
            signals=tuple(appearances(found, page)) if span == "day" else (),
            follow=tuple(
                Follow(f"{self.entry.base}/3/{id}?append_to_response={APPENDED}") for id in found
            ),
            next_url=with_query(job.url, {"page": number + 1}) if number < last else None,
        )


def appearances(ids: Iterable[str], page: FetchedPage) -> Iterator[FoundSignal]:
    """That each of some titles stood on the list of a day, once."""
    today = DayCount(day=page.fetched_at.astimezone(UTC).date(), count=1)
    for id in ids:
        yield FoundSignal(id, "trending_appearances", {"tmdb": id}, (today,))


def title_id(medium: str, item: Mapping[str, Any]) -> str | None:
    """What TMDB calls a title: `movie/603`; films and shows are numbered apart."""
    number = count(item.get("id"))
    return f"{medium}/{number}" if number else None


def found_title(medium: str, answer: Mapping[str, Any], page: FetchedPage) -> FoundTitle:
    """A title's page, with the reviews that came along.

    Raises:
        PageUnparsable: it names no title.
    """
    id = title_id(medium, answer)
    if id is None or first(answer, "title", "name") is None:
        raise PageUnparsable(f"{page.url} shows no title")
    return FoundTitle(id, raw_title(medium, id, answer), tuple(reviews(answer)))


def raw_title(medium: str, id: str, item: Mapping[str, Any]) -> RawTitle:
    """A title's fields, of a list's item (which knows fewer) or of its own page."""
    others = part(item, "external_ids")
    ids = {
        "tmdb": id,
        "imdb": first(item, "imdb_id") or first(others, "imdb_id"),
        "wikidata": first(others, "wikidata_id"),
        "thetvdb": first(others, "tvdb_id"),
    }
    runtimes, voted = texts(item.get("episode_run_time")), positive(item, "vote_count")
    return RawTitle(
        name=first(item, "title", "name"),
        kind=KINDS[medium],
        year=first(item, "release_date", "first_air_date"),
        genres=texts(item.get("genres")) or tuple(genre_names(item.get("genre_ids"))),
        plot=first(item, "overview"),
        countries=texts(item.get("production_countries")) or texts(item.get("origin_country")),
        language=first(item, "original_language"),
        runtime=positive(item, "runtime") or (runtimes[0] if runtimes else None),
        # Without votes TMDB's average is 0.0, which nobody gave.
        rating=first(item, "vote_average") if voted else None,
        best_rating=BEST_RATING if voted else None,
        rating_count=first(item, "vote_count"),
        external_ids=external_ids(ids),
    )


def genre_names(ids: Any) -> Iterator[str]:
    for id in ids if isinstance(ids, list) else ():
        if isinstance(id, int) and id in GENRES:
            yield GENRES[id]


def positive(item: Mapping[str, Any], name: str) -> str | None:
    said = text(item.get(name))
    return None if said in (None, "0") else said


def reviews(answer: Mapping[str, Any]) -> Iterator[FoundReview]:
    seen: set[str] = set()
    for item in each(part(answer, "reviews").get("results")):
        id = first(item, "id")
        if id is None or id in seen:
            continue
        seen.add(id)
        rating = first(part(item, "author_details"), "rating")
        yield FoundReview(
            RawReview(
                review_source_id=id,
                text=first(item, "content"),
                rating=rating,
                best_rating=BEST_RATING if rating else None,
                day=first(item, "created_at"),
            ),
            author=first(item, "author") or first(part(item, "author_details"), "username"),
        )
