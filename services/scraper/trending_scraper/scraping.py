"""From a job to a page, from a page to facts."""

import asyncio
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from functools import partial
from typing import Any

from trending_scraper.authors import Authors
from trending_scraper.fetches import Fetch, Fetches
from trending_scraper.fetching import Fetcher, Known
from trending_scraper.metrics import ScraperMetrics
from trending_scraper.quotas import Quotas
from trending_scraper.raw_pages import RawPages, place
from trending_scraper.sources.base import Extracted, FetchedPage, FoundReview, FoundTitle, Source
from trending_shared.erasures import Erasures
from trending_shared.errors import ObjectMissing, Rejected, TrendingError
from trending_shared.events import (
    Event,
    FactsScraped,
    Page,
    PageFetched,
    PageUnchanged,
    RawReview,
    ReviewScraped,
    ScrapeJob,
    SignalScraped,
    TitleScraped,
)
from trending_shared.logs import note
from trending_shared.messages import Message
from trending_shared.publishing import MAX_RECORD

LARGEST_EVENT = MAX_RECORD - 4096  # leaves room for key and headers


class UnknownSource(Rejected):
    """A job names a source that this scraper doesn't have."""


class RecordTooLarge(Rejected):
    """A page holds a record that no event can carry."""


class TooManyRecords(Rejected):
    """A page leads to more events than the catalogue allows one of its source."""


class Scraper:
    """Does scrape jobs."""

    def __init__(
        self,
        *,
        sources: Sequence[Source],
        fetcher: Fetcher,
        raw_pages: RawPages,
        fetches: Fetches,
        quotas: Quotas,
        authors: Authors,
        erasures: Erasures,
        metrics: ScraperMetrics,
    ) -> None:
        self._sources: Mapping[str, Source] = {source.name: source for source in sources}
        self._fetcher = fetcher
        self._raw_pages = raw_pages
        self._fetches = fetches
        self._quotas = quotas
        self._authors = authors
        self._erasures = erasures
        self._metrics = metrics

    async def on_scrape_job(self, message: Message[ScrapeJob]) -> list[Message[Any]]:
        """Fetch a page, keep its bytes, and tell what it says, or that it hasn't changed.

        A page that was erased isn't fetched. One that shows a review by an author who was is told
        without it, and its bytes aren't kept.

        Raises:
            Rejected: the page can never be had or read; the leaf says why.
            Unavailable: the site or the store doesn't answer now.
        """
        job = message.event
        source = self._sources.get(job.source)
        try:
            if source is None:
                known = ", ".join(sorted(self._sources)) or "none"
                raise UnknownSource(f"{job.source!r} is none of the sources: {known}")
            return await self._scrape(source, message)
        except TrendingError as error:
            label = source.name if source else "unknown"
            self._metrics.pages.labels(label, error.reason).inc()
            note(source=job.source, url=job.url)
            raise

    async def _scrape(self, source: Source, message: Message[ScrapeJob]) -> list[Message[Any]]:
        job = message.event
        request = source.plan(job)
        await asyncio.to_thread(self._erasures.read)
        if self._erasures.erased(job.url, request.url):
            self._metrics.pages.labels(source.name, "erased").inc()
            return []
        last, kept = await asyncio.to_thread(self._look_back, message)
        if kept is None:
            limit = source.entry.daily_limit
            if limit is not None:
                permit = partial(self._quotas.take, source.name, limit)
                request = replace(request, permit=permit)
            known = Known(last.page.url, last.etag, last.last_modified) if last else None
            fetched = await self._fetcher.fetch(
                request, hosts=source.hosts, known=known if request.conditional else None
            )
            self._metrics.fetched(source.name, fetched)
            if self._erasures.erased(fetched.url):  # where redirects ended
                self._metrics.pages.labels(source.name, "erased").inc()
                return []
            if last and not fetched.modified:
                return [message.leads_to(self._unchanged(job, last.page, fetched))]
        else:
            fetched = kept
        page, found, is_kept = await asyncio.to_thread(self._read, source, job, fetched)
        check_count(found, source.entry.max_records)
        told = [message.leads_to(event) for event in self._events(source, job, page, found)]
        kept_page = PageFetched(
            source=source.name,
            url=job.url,
            kind=job.page,
            page=page,
            charset=fetched.charset,
            events=len({one.id for one in told}),
        )
        following: list[Message[Any]] = [message.leads_to(kept_page), *told]
        check_sizes(following, page_bytes=len(fetched.body))
        if kept is None and is_kept:
            # Last of all, so that a page is only taken as known if there was nothing wrong with it.
            fetch = Fetch.of(message.id, job, page, fetched)
            await asyncio.to_thread(self._fetches.keep, job, fetch)
        self._note_and_count(source.name, job, fetched, following, again=kept is not None)
        return following

    def _look_back(self, message: Message[ScrapeJob]) -> tuple[Fetch | None, FetchedPage | None]:
        """The last fetch of a job's page, and its bytes if it was for this very job; blocks.

        Then the job has come again, after a kill or because Kafka didn't take what it led to.
        """
        last = self._fetches.find(message.event)
        if last is None or last.job != message.id:
            return last, None
        try:
            return last, FetchedPage(
                url=last.page.url,
                body=self._raw_pages.read(last.page),
                charset=last.charset,
                fetched_at=last.page.fetched_at,
            )
        except ObjectMissing:
            return None, None

    def _unchanged(self, job: ScrapeJob, page: Page, fetched: FetchedPage) -> PageUnchanged:
        self._metrics.pages.labels(job.source, "unchanged").inc()
        note(source=job.source, url=job.url, since=page.fetched_at.isoformat())
        return PageUnchanged(
            source=job.source,
            url=job.url,
            kind=job.page,
            page=page,
            seen_at=fetched.fetched_at,
        )

    def _read(
        self, source: Source, job: ScrapeJob, fetched: FetchedPage
    ) -> tuple[Page, Extracted, bool]:
        """Parse a page, and keep its bytes unless there is an erased author on it.

        Blocks, so it runs in a thread.
        """
        self._erasures.read()  # once more: a page may have been long on its way
        keeps = not self._erasures.authors
        if keeps:  # also the bytes of a page that can't be read
            self._raw_pages.keep(fetched.body)
        found = source.extract(job, fetched)
        if not keeps:
            told = (*found.titles, *found.facts)
            keeps = not any(self._is_erased(source, one) for title in told for one in title.reviews)
            if keeps:
                self._raw_pages.keep(fetched.body)
        digest, key = place(fetched.body)
        page = Page(url=fetched.url, hash=digest, key=key, fetched_at=fetched.fetched_at)
        return page, found, keeps

    def _is_erased(self, source: Source, found: FoundReview) -> bool:
        if not self._erasures.authors or not found.author:
            return False
        return self._erasures.erased(*self._authors.hashes(source.name, found.author))

    def _events(
        self, source: Source, job: ScrapeJob, page: Page, found: Extracted
    ) -> Iterator[Event]:
        origin = {"source": source.name, "page": page, "license": source.license}
        for title in found.titles:
            yield TitleScraped(source_id=title.source_id, title=title.title, **origin)
            yield from self._reviews(source, page, title)
        for facts in found.facts:
            yield FactsScraped(source_id=facts.source_id, title=facts.title, **origin)
            yield from self._reviews(source, page, facts)
        for signal in found.signals:
            yield SignalScraped(
                source_id=signal.source_id,
                metric=signal.metric,
                external_ids=dict(signal.external_ids),
                counts=signal.counts,
                **origin,
            )
        for following in following_jobs(job, found):
            if not self._erasures.erased(following.url):
                yield following

    def _reviews(self, source: Source, page: Page, title: FoundTitle) -> Iterator[ReviewScraped]:
        for position, found in enumerate(title.reviews):
            if self._is_erased(source, found):
                continue
            yield ReviewScraped(
                source=source.name,
                source_id=title.source_id,
                page=page,
                license=source.license,
                position=position,
                review=self._nameless(source, found),
            )

    def _nameless(self, source: Source, found: FoundReview) -> RawReview:
        if not found.author:
            return found.review
        review_id = found.review.review_source_id
        return found.review.model_copy(
            update={
                "author_hash": self._authors.hash(source.name, found.author),
                "review_source_id": review_id
                and self._authors.without_name(review_id, found.author),
            }
        )

    def _note_and_count(
        self,
        source: str,
        job: ScrapeJob,
        fetched: FetchedPage,
        following: Sequence[Message[Any]],
        *,
        again: bool,
    ) -> None:
        self._metrics.pages.labels(source, "scraped").inc()
        counts = {
            kind: sum(isinstance(message.event, event) for message in following)
            for kind, event in (
                ("title", TitleScraped),
                ("review", ReviewScraped),
                ("fact", FactsScraped),
                ("signal", SignalScraped),
                ("job", ScrapeJob),
            )
        }
        for kind, count in counts.items():
            self._metrics.records.labels(source, kind).inc(count)
        note(
            source=source,
            url=job.url,
            page=job.page,
            bytes=len(fetched.body),
            fetched=round(fetched.seconds, 3),
            waited=round(fetched.waited, 3),
            again=again,
        )


def following_jobs(job: ScrapeJob, found: Extracted) -> Iterator[ScrapeJob]:
    """The jobs that a list page leads to: its titles, then the next list page while any is due."""
    for other in found.follow:
        yield job.model_copy(update={"url": other.url, "page": other.page, "depth": job.depth + 1})
    if found.next_url and found.next_url != job.url and job.depth + 1 < job.max_pages:
        yield job.model_copy(update={"url": found.next_url, "depth": job.depth + 1})


def check_count(found: Extracted, most: int) -> None:
    """Raise before a hostile page is turned into a flood.

    Raises:
        TooManyRecords: the page leads to more events than one of its source may.
    """
    if found.records > most:
        raise TooManyRecords(f"the page leads to {found.records} events, at most {most}")


def check_sizes(messages: Sequence[Message[Any]], *, page_bytes: int) -> None:
    """Raise before anything is published, so that a page is told as a whole or not at all.

    Raises:
        RecordTooLarge: an event doesn't fit into a record.
    """
    if page_bytes * 6 < LARGEST_EVENT:
        return  # JSON makes at most six bytes of one, so there's nothing to measure
    for message in messages:
        size = len(message.body())
        if size > LARGEST_EVENT:
            raise RecordTooLarge(f"{type(message.event).__name__} has {size} bytes")
