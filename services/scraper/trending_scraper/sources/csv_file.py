"""CSV files in the columns of Kaggle's netflix_titles.csv; `trending import csv` brings them."""

from collections.abc import Mapping
from dataclasses import dataclass

from trending_scraper.parts import CSV, part_of, rows_of
from trending_scraper.sources.base import Extracted, FetchedPage, FoundTitle, PageRequest, Source
from trending_shared.events import RawTitle, ScrapeJob

COLUMNS = ("show_id", "type", "title", "release_year", "listed_in", "description")


@dataclass(frozen=True)
class CsvFile(Source):
    """Read from the object store; its values are taken as they are, the strange ones too."""

    def plan(self, job: ScrapeJob) -> PageRequest:
        return self.request(part_of(job), content_types=CSV)

    def extract(self, job: ScrapeJob, page: FetchedPage) -> Extracted:
        return Extracted(
            titles=tuple(
                FoundTitle(row["show_id"], raw_title(row))
                for row in rows_of(page, COLUMNS)
                if "show_id" in row
            )
        )


def raw_title(row: Mapping[str, str]) -> RawTitle:
    return RawTitle(
        name=row.get("title"),
        kind=row.get("type"),
        year=row.get("release_year"),
        genres=listed(row, "listed_in"),
        plot=row.get("description"),
        countries=listed(row, "country"),
        runtime=row.get("duration"),
        age_rating=row.get("rating"),
    )


def listed(row: Mapping[str, str], column: str) -> tuple[str, ...]:
    """The parts of a value with commas, without the empty ones that stray commas leave."""
    parts = (part.strip() for part in row.get(column, "").split(","))
    return tuple(dict.fromkeys(filter(None, parts)))
