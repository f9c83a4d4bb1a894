"""Takes batches of scraped records: cleans, compares with what is known, appends, answers."""

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Generic, TypeVar

import structlog

from trending_cleaner.cleaning import (
    CleanFacts,
    clean_facts,
    clean_review,
    clean_signal,
    clean_title,
)
from trending_cleaner.deduplication import (
    Draft,
    Known,
    KnownEvents,
    KnownVersions,
    Record,
    Verdict,
    Version,
    refusal,
)
from trending_cleaner.identities import Identities
from trending_cleaner.metrics import CleanerMetrics
from trending_cleaner.near_duplicates import KnownReviews
from trending_cleaner.schemas import Cleaned, Row, reject_row, row_of
from trending_cleaner.validation import Fitness, Limits, Outcome
from trending_shared.clock import Clock
from trending_shared.erasures import Erasures
from trending_shared.errors import Rejected
from trending_shared.events import (
    FactsScraped,
    RecordRejected,
    ReviewCleaned,
    ReviewScraped,
    SignalCleaned,
    SignalScraped,
    TitleCleaned,
    TitleMerged,
    TitleScraped,
)
from trending_shared.messages import Message, Position
from trending_shared.tables import OffsetTable

log = structlog.get_logger()

S = TypeVar("S", TitleScraped, ReviewScraped, FactsScraped, SignalScraped)
Placed = tuple[Position, Row]
# No line of log for each of them.
_EVERYDAY = frozenset(
    {"DuplicateTitle", "DuplicateReview", "DuplicateFacts", "NearDuplicateReview"}
)
# Nothing is wrong with what these say.
_HARMLESS = _EVERYDAY | {"OutdatedTitle", "OutdatedReview", "OutdatedFacts"}


@dataclass(frozen=True)
class Lane(Generic[S]):
    """The way of one kind of record: how it is cleaned, where it goes, what is known there."""

    record: Record
    name: str
    clean: Callable[[S, datetime], Cleaned]
    table: OffsetTable
    known: Known


class Cleaner:
    """The handlers of the service; blocking, for a thread.

    Every scraped record leads to one event and, however often it is delivered, to one row: of
    titles, reviews, facts, signals or rejects. Facts that are taken lead to a row only. What a
    title or facts change in merged titles follows. All handlers raise `StoreUnavailable` when a
    table's storage doesn't answer, and `BatchUnfit`, nothing written, when too many records are bad
    at once.
    """

    def __init__(
        self,
        *,
        titles: OffsetTable,
        reviews: OffsetTable,
        facts: OffsetTable,
        signals: OffsetTable,
        rejects: OffsetTable,
        merged: OffsetTable,
        erasures: Erasures,
        metrics: CleanerMetrics,
        limits: Limits,
        clock: Clock,
        code_version: str,
    ) -> None:
        self._rejects = rejects
        self._erasures = erasures
        self._metrics = metrics
        self._clock = clock
        self._code_version = code_version
        self._fitness = Fitness(limits)
        self._identities = Identities(
            titles=titles,
            facts=facts,
            merged=merged,
            metrics=metrics,
            code_version=code_version,
        )
        self._known_reviews = KnownReviews(reviews, rejects)
        self._titles = Lane(
            "title",
            "titles",
            self._clean_title,
            titles,
            KnownVersions(titles, rejects, record="title", id="title_id"),
        )
        self._reviews = Lane(
            "review",
            "reviews",
            self._clean_review,
            reviews,
            KnownVersions(reviews, rejects, record="review", id="review_id"),
        )
        self._facts = Lane(
            "facts",
            "facts",
            self._clean_facts,
            facts,
            KnownVersions(facts, rejects, record="facts", id="title_id"),
        )
        self._signals = Lane(
            "signal",
            "signals",
            clean_signal,
            signals,
            KnownEvents(signals, rejects, record="signal"),
        )

    def on_titles_scraped(
        self, messages: Sequence[Message[TitleScraped]]
    ) -> list[Message[TitleCleaned | TitleMerged | RecordRejected]]:
        answers, taken = self._take(messages, self._titles)
        return [*answers, *self._identities.update(taken)]

    def on_reviews_scraped(
        self, messages: Sequence[Message[ReviewScraped]]
    ) -> list[Message[ReviewCleaned | RecordRejected]]:
        self._known_reviews.read()
        self._identities.read()
        return self._take(messages, self._reviews)[0]

    def on_facts_scraped(
        self, messages: Sequence[Message[FactsScraped]]
    ) -> list[Message[TitleMerged | RecordRejected]]:
        answers, taken = self._take(messages, self._facts)
        return [*answers, *self._identities.update(taken)]

    def on_signals_scraped(
        self, messages: Sequence[Message[SignalScraped]]
    ) -> list[Message[SignalCleaned | RecordRejected]]:
        return self._take(messages, self._signals)[0]

    # ------------------------------------------------------------ one batch

    def _take(
        self, messages: Sequence[Message[S]], lane: Lane[S]
    ) -> tuple[list[Message[Any]], list[tuple[Message[S], str]]]:
        """What a batch leads to, and the id that each accepted record has.

        What tells of an erased page, or is by an erased author, leads to nothing.
        """
        messages = self._not_erased(messages, lane)
        draft = lane.known.draft()
        now = self._clock.now()
        rows: list[Placed] = []
        rejects: list[Placed] = []
        answers: list[Message[Any]] = []
        outcomes: list[tuple[Position, Outcome]] = []
        taken: list[tuple[Message[S], str]] = []
        for message in messages:
            event, row = self._answer(message, lane, draft, now)
            outcomes.append((_position(message), _error(event)))
            if not isinstance(event, CleanFacts):
                answers.append(message.leads_to(event))
            if not isinstance(event, RecordRejected):
                taken.append((message, _id(event)))
            if row is not None:
                placed = rejects if isinstance(event, RecordRejected) else rows
                placed.append((_position(message), row))
        self._fitness.judge(outcomes)
        # In this order: a duplicate mustn't be known before the content that it repeats.
        self._append(lane.table, lane.name, rows)
        self._append(self._rejects, "rejects", rejects)
        self._fitness.learn(outcomes)
        self._count(answers, lane, len(messages))
        return answers, taken

    def _answer(
        self, message: Message[S], lane: Lane[S], draft: Draft, now: datetime
    ) -> tuple[Cleaned | RecordRejected, Row | None]:
        """The event that a record leads to, and its row unless the table has it."""
        cleaned: Cleaned | None = None
        try:
            cleaned = lane.clean(message.event, now)
            version = _version(message, cleaned)
            if isinstance(cleaned, ReviewCleaned):
                self._compare(message, cleaned, draft.verdict(cleaned.review_id, version))
            verdict = draft.judge(_id(cleaned), version)
            if problem := refusal(lane.record, verdict):
                raise problem
        except Rejected as error:
            rejected = _rejected(message.event, lane.record, error)
            if not draft.is_new_reject(message.id):
                return rejected, None
            return rejected, reject_row(
                message, rejected, cleaned, now=now, code_version=self._code_version
            )
        if verdict is Verdict.AGAIN:
            return cleaned, None
        return cleaned, row_of(message, cleaned, code_version=self._code_version)

    def _not_erased(self, messages: Sequence[Message[S]], lane: Lane[S]) -> list[Message[S]]:
        self._erasures.read()
        left = [
            message
            for message in messages
            if not self._erasures.erased(message.event.page.url, _author(message.event))
        ]
        self._metrics.left_out.labels(lane.record).inc(len(messages) - len(left))
        return left

    def say_merged(self, told: Sequence[tuple[Message[Any], str]]) -> list[Message[TitleMerged]]:
        """What has to be said of titles of which something was erased; see `Identities.update`."""
        return self._identities.update(told)

    def _compare(self, message: Message[Any], review: ReviewCleaned, verdict: Verdict) -> None:
        """Refuse a review that repeats another one; one that is in the table stays there."""
        if verdict is Verdict.NEW:
            same_title = self._identities.same_title(review.title_id)
            self._known_reviews.judge(message.id, review, same_title)

    def _append(self, table: OffsetTable, name: str, rows: Sequence[Placed]) -> None:
        if not rows:
            return
        with self._metrics.append_seconds.labels(name).time():
            appended = table.append(rows)
        self._metrics.rows.labels(name).inc(appended)
        if appended < len(rows):
            refused = len(rows) - appended
            self._metrics.rows_refused.labels(name).inc(refused)
            log.warning("rows_refused", table=name, rows=refused)

    # ------------------------------------------------------------ what is counted

    def _clean_title(self, scraped: TitleScraped, now: datetime) -> TitleCleaned:
        cleaned = clean_title(scraped, now)
        self._metrics.unknown_genres.inc(len(cleaned.unknown_genres))
        return cleaned

    def _clean_facts(self, scraped: FactsScraped, now: datetime) -> CleanFacts:
        cleaned = clean_facts(scraped, now)
        self._metrics.unknown_genres.inc(len(cleaned.unknown_genres))
        return cleaned

    def _clean_review(self, scraped: ReviewScraped, now: datetime) -> ReviewCleaned:
        cleaned = clean_review(scraped, now)
        for kind, number in cleaned.personal_data.items():
            self._metrics.personal_data.labels(kind).inc(number)
        self._metrics.days_dropped.inc(cleaned.day_dropped)
        return cleaned.event

    def _count(self, answers: Sequence[Message[Any]], lane: Lane[S], taken: int) -> None:
        reasons: Counter[str] = Counter()
        for answer in answers:
            if not isinstance(answer.event, RecordRejected):
                continue
            reasons[answer.event.reason] += 1
            if answer.event.reason not in _EVERYDAY:
                log.info(
                    "record_rejected",
                    event_id=str(answer.causation_id),
                    correlation_id=str(answer.correlation_id),
                    **answer.event.model_dump(exclude={"page"}),
                )
        for reason, number in reasons.items():
            self._metrics.rejected.labels(lane.record, reason).inc(number)
            if reason in _EVERYDAY:
                self._metrics.duplicates.labels(lane.record).inc(number)
        warnings = Counter(
            warning for answer in answers for warning in getattr(answer.event, "warnings", ())
        )
        for warning, number in warnings.items():
            self._metrics.warnings.labels(lane.record, warning).inc(number)
        cleaned = taken - reasons.total()
        self._metrics.cleaned.labels(lane.record).inc(cleaned)
        self._metrics.known.labels(lane.record).set(len(lane.known))
        log.info(f"{lane.name}_cleaned", cleaned=cleaned, **reasons)


def _error(answer: Cleaned | RecordRejected) -> Outcome:
    if not isinstance(answer, RecordRejected) or answer.reason in _HARMLESS:
        return None
    return answer.reason


def _rejected(scraped: S, record: Record, error: Rejected) -> RecordRejected:
    return RecordRejected(
        record=record,
        source=scraped.source,
        source_id=scraped.source_id,
        page=scraped.page,
        reason=error.reason,
        detail=str(error),
    )


def _author(scraped: S) -> str | None:
    return scraped.review.author_hash if isinstance(scraped, ReviewScraped) else None


def _id(cleaned: Cleaned) -> str:
    match cleaned:
        case ReviewCleaned():
            return cleaned.review_id
        case SignalCleaned():
            return cleaned.subject_id
        case _:
            return cleaned.title_id


def _version(message: Message[Any], cleaned: Cleaned) -> Version:
    return Version.of(
        fetched_at=cleaned.page.fetched_at,
        content_hash="0" if isinstance(cleaned, SignalCleaned) else cleaned.content_hash,
        event_id=message.id,
    )


def _position(message: Message[Any]) -> Position:
    assert message.position is not None, "a delivered message has a position"
    return message.position
