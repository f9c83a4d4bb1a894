"""From what a page said to what we know: pure, and scraped text is hostile.

Cleaning what is clean already changes nothing.
"""

import re
from collections import Counter
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from trending_cleaner import fields
from trending_cleaner.external_ids import external_ids
from trending_cleaner.identity import hash_content, review_id, subject_id, title_id
from trending_cleaner.personal_data import scrub
from trending_cleaner.plain_text import plain_text
from trending_cleaner.validation import review_warnings, title_warnings
from trending_shared.errors import Rejected
from trending_shared.events import (
    FactsScraped,
    Frozen,
    Kind,
    Page,
    ReviewCleaned,
    ReviewScraped,
    SignalCleaned,
    SignalScraped,
    TitleCleaned,
    TitleScraped,
)
from trending_shared.genres import map_genres

MAX_TEXT = 20_000  # characters of a plot or review
MIN_PLOT = 20  # characters; the shortest real plots have three times as many
MAX_NAME = 500  # characters
_METRIC = re.compile(r"[a-z][a-z_]{0,31}")
MARKUP = 4  # how many times as long as its text a text with its markup may be


class NameMissing(Rejected):
    """A title has no name."""


class TextMissing(Rejected):
    """A title has no plot, or one that says nothing; a review has no text."""


class TextTooLong(Rejected):
    """A name, plot or review is longer than any real one."""


class FactsMissing(Rejected):
    """Facts say nothing by which a title could be recognised."""


class SubjectUnknown(Rejected):
    """A signal doesn't say of which title it was counted in any scheme that we know."""


class MetricUnknown(Rejected):
    """A signal doesn't say what was counted."""


class CountsMissing(Rejected):
    """None of a signal's counts is of a day that is over and of a size that can be."""


class CleanFacts(Frozen):
    """What a source knows of a title without describing it; anything may be missing."""

    title_id: str
    source: str
    source_id: str
    page: Page
    license: str
    name: str | None
    kind: Kind | None
    year: int | None
    genres: tuple[str, ...]
    unknown_genres: tuple[str, ...]
    countries: tuple[str, ...]
    language: str | None
    runtime_minutes: int | None
    rating: float | None
    rating_count: int | None
    external_ids: dict[str, str]
    content_hash: str


@dataclass(frozen=True, slots=True)
class CleanReview:
    """A review, what personal data it was freed of, and whether it lost an implausible day."""

    event: ReviewCleaned
    personal_data: Counter[str]
    day_dropped: bool


def clean_title(scraped: TitleScraped, now: datetime) -> TitleCleaned:
    """Normalise and judge a title.

    Raises:
        NameMissing, TextMissing, TextTooLong: as they say.
        KindUnknown, YearImplausible: see `fields`.
    """
    raw = scraped.title
    name = _text(raw.name, "name", MAX_NAME)
    if not name:
        raise NameMissing("the page names no title")
    plot = _text(raw.plot, "plot", MAX_TEXT)
    if len(plot) < MIN_PLOT:
        raise TextMissing(f"the plot has {len(plot)} characters; {MIN_PLOT} are needed")
    mapping = map_genres(scraped.source, fields.values(raw.genres))
    content: dict[str, Any] = {
        "license": scraped.license,
        "name": name,
        "kind": fields.kind(raw.kind),
        "year": fields.year(raw.year, now=now),
        "genres": mapping.genres,
        "unknown_genres": mapping.unknown,
        "plot": plot,
        "countries": fields.countries(raw.countries),
        "language": fields.language(raw.language),
        "runtime_minutes": fields.minutes(raw.runtime, raw.age_rating),
        "rating": fields.rating(raw.rating, raw.best_rating),
        "rating_count": fields.count(raw.rating_count),
        "popularity": fields.popularity(raw.popularity, now=now),
    }
    ids = external_ids(raw.external_ids, source=scraped.source, source_id=scraped.source_id)
    told = content | {
        "popularity": [(item.day.isoformat(), item.count) for item in content["popularity"]]
    }
    if ids:  # a page that names none has the content that it had before there were any
        told["external_ids"] = ids
    if released := fields.release_day(raw.year, now=now):  # likewise
        told["released"] = released.isoformat()
    cleaned = TitleCleaned(
        title_id=title_id(scraped.source, scraped.source_id),
        source=scraped.source,
        source_id=scraped.source_id,
        page=scraped.page,
        # Not a part of the content: it is our judgement, and nothing that the page said.
        genre_confidence=dict(mapping.confidence),
        content_hash=hash_content(told),
        external_ids=ids,
        released=released,
        **content,
    )
    warnings = title_warnings(raw, cleaned)
    return cleaned.model_copy(update={"warnings": warnings}) if warnings else cleaned


def clean_review(scraped: ReviewScraped, now: datetime) -> CleanReview:
    """Normalise a review, judge it, and free it of personal data.

    Raises:
        TextMissing, TextTooLong: as they say.
    """
    raw = scraped.review
    text = _text(raw.text, "review", MAX_TEXT)
    if not any(character.isalnum() for character in text):
        raise TextMissing("the review says nothing")
    scrubbed = scrub(text)
    day = fields.review_day(raw.day, now=now)
    content = {
        "license": scraped.license,
        "author_hash": raw.author_hash,
        "text": scrubbed.text,
        "rating": fields.rating(raw.rating, raw.best_rating),
        "day": day,
        "language": fields.language(raw.language),
    }
    event = ReviewCleaned(
        review_id=review_id(scraped.source, scraped.source_id, raw, scrubbed.text),
        title_id=title_id(scraped.source, scraped.source_id),
        source=scraped.source,
        source_id=scraped.source_id,
        page=scraped.page,
        content_hash=hash_content(content),
        **content,
    )
    if warnings := review_warnings(raw, event):
        event = event.model_copy(update={"warnings": warnings})
    dropped = day is None and fields.value(raw.day) is not None
    return CleanReview(event, personal_data=scrubbed.found, day_dropped=dropped)


def clean_facts(scraped: FactsScraped, now: datetime) -> CleanFacts:
    """Normalise what a source knows of a title; what is there must be right.

    Raises:
        FactsMissing, TextTooLong: as they say.
        KindUnknown, YearImplausible: see `fields`.
    """
    raw = scraped.title
    name = _text(raw.name, "name", MAX_NAME)
    ids = external_ids(raw.external_ids, source=scraped.source, source_id=scraped.source_id)
    if not name and not ids:
        raise FactsMissing("neither a name nor an id of a scheme that we know")
    mapping = map_genres(scraped.source, fields.values(raw.genres))
    content = {
        "license": scraped.license,
        "name": name or None,
        "kind": fields.kind(raw.kind) if fields.value(raw.kind) else None,
        "year": fields.year(raw.year, now=now),
        "genres": mapping.genres,
        "unknown_genres": mapping.unknown,
        "countries": fields.countries(raw.countries),
        "language": fields.language(raw.language),
        "runtime_minutes": fields.minutes(raw.runtime, raw.age_rating),
        "rating": fields.rating(raw.rating, raw.best_rating),
        "rating_count": fields.count(raw.rating_count),
        "external_ids": ids,
    }
    return CleanFacts(
        title_id=title_id(scraped.source, scraped.source_id),
        source=scraped.source,
        source_id=scraped.source_id,
        page=scraped.page,
        content_hash=hash_content(content),
        **content,
    )


def clean_signal(scraped: SignalScraped, now: datetime) -> SignalCleaned:
    """Check what was counted, of what, and when.

    Days of the future and impossible counts are left out.

    Raises:
        SubjectUnknown, MetricUnknown, CountsMissing: as they say.
    """
    ids = external_ids(scraped.external_ids, source=scraped.source, source_id=scraped.source_id)
    if not ids:
        raise SubjectUnknown(f"no id of a scheme that we know of {fields.shown(scraped.source_id)}")
    if not _METRIC.fullmatch(scraped.metric):
        raise MetricUnknown(f"metric {fields.shown(scraped.metric)} isn't a word")
    counts = fields.popularity(scraped.counts, now=now)
    if not counts:
        raise CountsMissing(f"none of {len(scraped.counts)} counts can be")
    return SignalCleaned(
        subject_id=subject_id(scraped.source, scraped.source_id),
        source=scraped.source,
        source_id=scraped.source_id,
        page=scraped.page,
        license=scraped.license,
        metric=scraped.metric,
        external_ids=ids,
        counts=counts,
    )


def _text(raw: str | None, what: str, limit: int) -> str:
    if raw is None:
        return ""
    text = plain_text(raw) if len(raw) <= MARKUP * limit else raw
    if len(text) > limit:
        raise TextTooLong(f"the {what} has {len(text)} characters; {limit} are the limit")
    return text
