"""IMDb's non-commercial datasets; `trending import imdb` brings them.

They have no plots, so they describe nothing; they tell facts, by which titles are recognised.
"""

from collections.abc import Mapping
from dataclasses import dataclass

from trending_scraper.external_ids import external_ids
from trending_scraper.parts import CSV, part_of, rows_of
from trending_scraper.sources.base import Extracted, FetchedPage, FoundTitle, PageRequest, Source
from trending_shared.events import RawTitle, ScrapeJob

COLUMNS = ("tconst", "titleType", "primaryTitle", "startYear", "genres", "averageRating")


@dataclass(frozen=True)
class Imdb(Source):
    """Read from the object store, once the user has accepted IMDb's terms."""

    def plan(self, job: ScrapeJob) -> PageRequest:
        return self.request(part_of(job), content_types=CSV)

    def extract(self, job: ScrapeJob, page: FetchedPage) -> Extracted:
        return Extracted(
            facts=tuple(
                FoundTitle(row["tconst"], raw_title(row))
                for row in rows_of(page, COLUMNS)
                if "tconst" in row
            )
        )


def raw_title(row: Mapping[str, str]) -> RawTitle:
    rating = row.get("averageRating")
    return RawTitle(
        name=row.get("primaryTitle"),
        kind=row.get("titleType"),
        year=row.get("startYear"),
        genres=tuple(filter(None, row.get("genres", "").split(","))),
        runtime=row.get("runtimeMinutes"),
        rating=rating,
        best_rating="10" if rating else None,
        rating_count=row.get("numVotes"),
        external_ids=external_ids({"imdb": row["tconst"]}),
    )
