"""Small true implementations for tests, and builders of events."""

from trending_shared.testing.builders import (
    a_catalogue,
    a_facts_scraped,
    a_page,
    a_review_cleaned,
    a_review_scraped,
    a_signal_cleaned,
    a_signal_scraped,
    a_title_cleaned,
    a_title_scraped,
)
from trending_shared.testing.fakes import CollectingPublisher, delivered

__all__ = [
    "CollectingPublisher",
    "a_catalogue",
    "a_facts_scraped",
    "a_page",
    "a_review_cleaned",
    "a_review_scraped",
    "a_signal_cleaned",
    "a_signal_scraped",
    "a_title_cleaned",
    "a_title_scraped",
    "delivered",
]
