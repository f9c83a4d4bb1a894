"""A title in the words of schema.org, as its page's JSON-LD has them."""

import hashlib
from collections.abc import Sequence
from datetime import date, timedelta
from typing import Any

from trending_demo.catalogue import Review, Title
from trending_demo.views import DayViews


def linked_data(
    title: Title, *, url: str, today: date, views: Sequence[DayViews]
) -> dict[str, Any]:
    """A schema.org `Movie` or `TVSeries`; what isn't known is left out."""
    runtime = f"PT{title.runtime_minutes}M" if title.runtime_minutes else None
    is_film = title.kind == "film"
    data = {
        "@context": "https://schema.org",
        "@type": "Movie" if is_film else "TVSeries",
        "@id": url,
        "url": url,
        "identifier": title.id,
        "name": title.name,
        "genre": list(title.genres),
        "description": title.plot,
        "countryOfOrigin": list(title.countries),
        "inLanguage": title.language,
        "datePublished": str(title.year),
        "duration": runtime if is_film else None,
        "timeRequired": None if is_film else runtime,
        "numberOfSeasons": title.seasons,
        "contentRating": title.age_rating,
        "aggregateRating": aggregate_rating(title),
        "review": [
            review_data(review, identifier=review_id(title, review), today=today)
            for review in title.reviews
        ],
        "interactionStatistic": [watch_counter(day) for day in views],
    }
    return {name: value for name, value in data.items() if value not in (None, [])}


def aggregate_rating(title: Title) -> dict[str, Any] | None:
    if title.rating is None:
        return None
    return {
        "@type": "AggregateRating",
        "ratingValue": title.rating,
        "bestRating": 10,
        "worstRating": 1,
        "ratingCount": len(title.reviews),
    }


def review_data(review: Review, *, identifier: str, today: date) -> dict[str, Any]:
    return {
        "@type": "Review",
        "identifier": identifier,
        "author": {"@type": "Person", "name": review.author},
        "datePublished": review_day(review, today).isoformat(),
        "reviewRating": {
            "@type": "Rating",
            "ratingValue": review.rating,
            "bestRating": 10,
            "worstRating": 1,
        },
        "reviewBody": review.text,
        "inLanguage": "en",
    }


def review_id(title: Title, review: Review) -> str:
    """Unique on the site, the same every day, silent about the author: `alien-1979-5f0c9a31`."""
    author = hashlib.blake2b(f"{title.id} {review.author}".encode(), digest_size=4)
    return f"{title.id}-{author.hexdigest()}"


def review_day(review: Review, today: date) -> date:
    return today - timedelta(days=review.days_ago)


def watch_counter(views: DayViews) -> dict[str, Any]:
    return {
        "@type": "InteractionCounter",
        "interactionType": "https://schema.org/WatchAction",
        "startTime": f"{views.day}T00:00:00Z",
        "endTime": f"{views.next_day}T00:00:00Z",
        "userInteractionCount": views.count,
    }
