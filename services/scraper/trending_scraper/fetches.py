"""What the last fetch of each page gave, so that neither a site nor a kill costs a page twice.

A record tells a job that comes again after a kill that its page is kept already, and tells a later
job what to name in a conditional request.
"""

import hashlib
from uuid import UUID

from pydantic import BaseModel, ConfigDict, ValidationError

from trending_scraper.sources.base import FetchedPage
from trending_shared.errors import ObjectMissing
from trending_shared.events import Page, ScrapeJob
from trending_shared.storage import ObjectStore


class Fetch(BaseModel):
    """A page that was fetched, kept and read.

    Args:
        job: the id of the job for which it was fetched; what the page leads to has ids of its own
            under it.
        url: what the job asked for; `page.url` is where redirects ended.
        etag, last_modified: the site's names for this state of the page.
    """

    model_config = ConfigDict(frozen=True, extra="ignore")

    job: UUID
    url: str
    page: Page
    charset: str | None = None
    etag: str | None = None
    last_modified: str | None = None

    @classmethod
    def of(cls, job_id: UUID, job: ScrapeJob, page: Page, fetched: FetchedPage) -> "Fetch":
        return cls(
            job=job_id,
            url=job.url,
            page=page,
            charset=fetched.charset,
            etag=fetched.etag,
            last_modified=fetched.last_modified,
        )


class Fetches:
    """The newest fetch of each page of each source, in the object store; blocks."""

    def __init__(self, store: ObjectStore) -> None:
        self._store = store

    def find(self, job: ScrapeJob) -> Fetch | None:
        """The newest fetch of a job's page.

        Raises:
            StoreUnavailable: the store didn't answer.
        """
        try:
            return Fetch.model_validate_json(self._store.get(fetch_key(job)))
        except (ObjectMissing, ValidationError):
            return None

    def keep(self, job: ScrapeJob, fetch: Fetch) -> None:
        """Make this the newest.

        Raises:
            StoreUnavailable: the store didn't answer.
        """
        self._store.put(fetch_key(job), fetch.model_dump_json().encode())


def fetch_key(job: ScrapeJob) -> str:
    digest = hashlib.sha256(f"{job.source}\n{job.page}\n{job.url}".encode()).hexdigest()
    return f"fetches/{digest[:2]}/{digest}.json"
