"""What adapters of imported files share: the rows of a part, by column; pure.

`trending import` has judged each row before it became part of one, so a part whose rows don't fit
its header was damaged, or never was one.
"""

import csv
import io
from collections.abc import Collection, Iterator, Mapping

from trending_scraper.sources.base import FetchedPage, JobNotUnderstood, PageUnparsable
from trending_shared.events import ScrapeJob
from trending_shared.imports import is_part

CSV = frozenset({"text/csv"})


def part_of(job: ScrapeJob) -> str:
    """The address of the part that a job wants.

    Raises:
        JobNotUnderstood: it wants something else.
    """
    if not is_part(job.url):
        raise JobNotUnderstood(
            f"{job.url!r} is no part of an imported file; `trending import` makes them"
        )
    return job.url


def rows_of(page: FetchedPage, columns: Collection[str]) -> Iterator[Mapping[str, str]]:
    """The rows of a part, those values away that are empty.

    Raises:
        PageUnparsable: it isn't CSV, lacks one of these columns, or a row doesn't fit its header.
    """
    try:
        reader = csv.reader(io.StringIO(page.body.decode(), newline=""), strict=True)
        header = next(reader, [])
        if missing := set(columns) - set(header):
            raise PageUnparsable(f"{page.url} lacks the columns {', '.join(sorted(missing))}")
        for values in reader:
            if len(values) != len(header):
                raise PageUnparsable(f"{page.url}, line {reader.line_num}: a row of another table")
            yield {name: value for name, value in zip(header, values, strict=True) if value}
    except (UnicodeDecodeError, csv.Error) as error:
        raise PageUnparsable(f"{page.url} isn't CSV: {error}") from error
