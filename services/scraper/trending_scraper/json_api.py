"""What adapters of JSON APIs share: a job's address taken apart, an answer as a value; pure."""

import json
import re
from collections.abc import Mapping
from typing import Any
from urllib.parse import parse_qsl, urlencode, urlsplit

from trending_scraper.linked_data import MAX_COUNT
from trending_scraper.sources.base import FetchedPage, JobNotUnderstood, PageUnparsable
from trending_shared.events import ScrapeJob


def path_of(job: ScrapeJob) -> str:
    """The path of a job's address.

    Raises:
        JobNotUnderstood: it is no address at all.
    """
    try:
        return urlsplit(job.url).path
    except ValueError as error:
        raise JobNotUnderstood(f"{job.url!r} is no address") from error


def understood(job: ScrapeJob, *forms: re.Pattern[str]) -> re.Match[str]:
    """Which of some forms a job's address has: everything from the path on, to its end.

    Raises:
        JobNotUnderstood: none of them.
    """
    try:
        target = urlsplit(job.url)._replace(scheme="", netloc="").geturl()
    except ValueError as error:
        raise JobNotUnderstood(f"{job.url!r} is no address") from error
    for form in forms:
        if match := form.fullmatch(target):
            return match
    raise JobNotUnderstood(f"{job.url!r} is no address of {job.source} that we read")


def query_of(url: str) -> dict[str, str]:
    """The parameters of an address, the last of equal names in force."""
    return dict(parse_qsl(urlsplit(url).query, keep_blank_values=True))


def with_query(url: str, changes: Mapping[str, object]) -> str:
    """An address with some of its parameters changed or added."""
    return urlsplit(url)._replace(query=urlencode({**query_of(url), **changes})).geturl()


def page_number(url: str) -> int:
    """Which page of a list an address asks for; the first if it doesn't say."""
    said = query_of(url).get("page", "")
    return int(said) if said.isascii() and said.isdigit() and len(said) < 7 else 1


def json_of(page: FetchedPage) -> Any:
    """The value that an answer holds.

    Raises:
        PageUnparsable: it isn't JSON, or none that a program could read.
    """
    try:
        return json.loads(page.body)
    except (ValueError, RecursionError) as error:
        raise PageUnparsable(f"{page.url} isn't JSON: {type(error).__name__}") from error


def object_of(page: FetchedPage) -> Mapping[str, Any]:
    """The same for an answer that must be an object; raises as `json_of` does."""
    value = json_of(page)
    if not isinstance(value, dict):
        raise PageUnparsable(f"{page.url} holds no object")
    return value


def list_of(page: FetchedPage) -> list[Any]:
    """The same for an answer that must be a list; raises as `json_of` does."""
    value = json_of(page)
    if not isinstance(value, list):
        raise PageUnparsable(f"{page.url} holds no list")
    return value


def count(value: Any) -> int | None:
    """A whole number that isn't negative; none for anything else."""
    whole = isinstance(value, int) and not isinstance(value, bool) and 0 <= value <= MAX_COUNT
    return value if whole else None
