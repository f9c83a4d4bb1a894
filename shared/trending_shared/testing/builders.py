"""Events with sensible fields, so that a test names only what it is about."""

from datetime import UTC, date, datetime
from typing import Any

import yaml

from trending_shared.events import (
    DayCount,
    FactsScraped,
    Page,
    RawReview,
    RawTitle,
    ReviewCleaned,
    ReviewScraped,
    SignalCleaned,
    SignalScraped,
    TitleCleaned,
    TitleScraped,
)


def a_page(**changes: Any) -> Page:
    fields: dict[str, Any] = {
        "url": "http://films.example/titles/alien-1979",
        "hash": "ab" * 32,
        "key": "raw/ab/abab.gz",
        "fetched_at": datetime(2026, 11, 1, 12, tzinfo=UTC),
    }
    return Page(**(fields | changes))


def a_title_scraped(
    *, source_id: str = "alien-1979", page: Page | None = None, **raw: Any
) -> TitleScraped:
    fields: dict[str, Any] = {
        "name": "Alien",
        "kind": "Movie",
        "year": "1979",
        "genres": ("Horror", "Sci-Fi & Fantasy"),
        "plot": "The crew of a freighter answers a call from a silent moon and brings it home.",
        "countries": ("United Kingdom", "United States"),
        "language": "English",
        "runtime": "PT117M",
    }
    return TitleScraped(
        source="demo",
        source_id=source_id,
        page=page or a_page(),
        license="LicenseRef-trending-demo",
        title=RawTitle(**(fields | raw)),
    )


def a_review_scraped(
    *, source_id: str = "alien-1979", position: int = 0, page: Page | None = None, **raw: Any
) -> ReviewScraped:
    fields: dict[str, Any] = {
        "author_hash": "cd" * 32,
        "text": "Slow, silent and terrifying; the ship itself is the best actor in it.",
        "rating": "9",
        "best_rating": "10",
        "day": "2026-10-20",
        "language": "en",
    }
    return ReviewScraped(
        source="demo",
        source_id=source_id,
        page=page or a_page(),
        license="LicenseRef-trending-demo",
        position=position,
        review=RawReview(**(fields | raw)),
    )


def a_facts_scraped(
    *, source: str = "wikidata", source_id: str = "Q103569", page: Page | None = None, **raw: Any
) -> FactsScraped:
    fields: dict[str, Any] = {
        "name": "Alien",
        "kind": "film",
        "year": "1979",
        "external_ids": {"imdb": "tt0078748", "wikipedia": "en:Alien_(film)"},
    }
    return FactsScraped(
        source=source,
        source_id=source_id,
        page=page or a_page(),
        license="CC0-1.0",
        title=RawTitle(**(fields | raw)),
    )


def a_signal_scraped(**changes: Any) -> SignalScraped:
    fields: dict[str, Any] = {
        "source": "wikimedia",
        "source_id": "en:Alien_(film)",
        "page": a_page(),
        "license": "CC0-1.0",
        "metric": "pageviews",
        "external_ids": {"wikipedia": "en:Alien_(film)"},
        "counts": (DayCount(day=date(2026, 10, 31), count=5120),),
    }
    return SignalScraped(**(fields | changes))


def a_signal_cleaned(**changes: Any) -> SignalCleaned:
    fields: dict[str, Any] = {
        "subject_id": "s_0123456789abcdef",
        "source": "wikimedia",
        "source_id": "en:Alien_(film)",
        "page": a_page(),
        "license": "CC0-1.0",
        "metric": "pageviews",
        "external_ids": {"wikipedia": "en:Alien_(film)"},
        "counts": (DayCount(day=date(2026, 10, 31), count=5120),),
    }
    return SignalCleaned(**(fields | changes))


def a_title_cleaned(**changes: Any) -> TitleCleaned:
    fields: dict[str, Any] = {
        "title_id": "t_0123456789abcdef",
        "source": "demo",
        "source_id": "alien-1979",
        "page": a_page(),
        "license": "LicenseRef-trending-demo",
        "name": "Alien",
        "kind": "film",
        "year": 1979,
        "genres": ("Horror", "Sci-Fi & Fantasy"),
        "plot": "The crew of a freighter answers a call from a silent moon and brings it home.",
        "countries": ("United Kingdom", "United States"),
        "language": "English",
        "runtime_minutes": 117,
        "content_hash": "0123456789abcdef",
    }
    return TitleCleaned(**(fields | changes))


def a_review_cleaned(**changes: Any) -> ReviewCleaned:
    fields: dict[str, Any] = {
        "review_id": "r_0123456789abcdef",
        "title_id": "t_0123456789abcdef",
        "source": "demo",
        "source_id": "alien-1979",
        "page": a_page(),
        "license": "LicenseRef-trending-demo",
        "author_hash": "cd" * 32,
        "text": "Slow, silent and terrifying; the ship itself is the best actor in it.",
        "rating": 0.9,
        "day": date(2026, 10, 20),
        "language": "English",
        "content_hash": "fedcba9876543210",
    }
    return ReviewCleaned(**(fields | changes))


def a_catalogue(name: str = "films", **changes: Any) -> str:
    """A source catalogue of one site, as its file has it."""
    fields: dict[str, Any] = {
        "title": "Films",
        "home": "https://films.example",
        "gives": "Films",
        "adapter": "schema_org",
        "license": "CC0-1.0",
        "terms": "https://films.example/terms",
        "training": "allowed",
        "commercial": True,
        "robots": {"decision": "obey", "reason": "a site like any other"},
        "delay": "PT1S",
        "fields": ["name"],
        "refresh": "daily",
    }
    return yaml.safe_dump({name: fields | changes}, sort_keys=False)
