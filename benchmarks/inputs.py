"""What goes through the house: the titles of the demo's catalogue, as many as are wanted.

The same plots come again and again, but each title has a name and an id of its own, so nobody can
take one for another, or its text for one that was seen before.
"""

import hashlib
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from itertools import count, cycle
from typing import Any

import pyarrow as pa

from trending_cleaner.cleaning import clean_title
from trending_demo.catalogue import Title, demo_catalogue
from trending_demo.views import daily_views
from trending_shared.events import DayCount, Page, RawTitle, TitleCleaned, TitleScraped
from trending_shared.features import compose_text
from trending_shared.messages import Message, first_message
from trending_trainer.training_set import TrainingSet

Record = tuple[bytes, bytes, list[tuple[str, bytes]]]
"""Key, value and headers."""


def scraped_titles() -> Iterator[Message[TitleScraped]]:
    """Titles as the scraper publishes them, without end."""
    for title, number in zip(cycle(demo_catalogue().titles), count(1), strict=False):
        yield first_message(_scraped(title, name=f"{title.name} {number}", id=f"bench-{number}"))


def cleaned_titles() -> Iterator[Message[TitleCleaned]]:
    """The same titles as the cleaner publishes them."""
    now = datetime.now(UTC)
    for message in scraped_titles():
        yield message.leads_to(clean_title(message.event, now))


def as_records(messages: Sequence[Message[Any]]) -> list[Record]:
    """Messages as they lie in Kafka."""
    now = datetime.now(UTC)
    return [
        (
            message.event.key.encode(),
            message.body(),
            message.headers(source="benchmark", code_version="0", now=now),
        )
        for message in messages
    ]


def texts_of(messages: Sequence[Message[TitleCleaned]]) -> list[str]:
    """What the encoder reads of titles."""
    return [
        compose_text(
            name=message.event.name,
            plot=message.event.plot,
            kind=message.event.kind,
            countries=message.event.countries,
        )
        for message in messages
    ]


def training_set() -> TrainingSet:
    """The demo's catalogue, labelled."""
    now = datetime.now(UTC)
    titles = [
        clean_title(_scraped(title, name=title.name, id=title.id), now)
        for title in demo_catalogue().titles
    ]
    told = ("title_id", "source", "source_id", "kind", "name", "year", "genres", "plot")
    rows = [
        {
            **title.model_dump(include={*told, "countries", "language", "rating_count"}),
            "reviews": [],
        }
        for title in titles
    ]
    return TrainingSet.of(pa.Table.from_pylist(rows))


def _scraped(title: Title, *, name: str, id: str) -> TitleScraped:
    now = datetime.now(UTC)
    url = f"http://127.0.0.1:8090/titles/{id}"
    page = hashlib.sha256(url.encode()).hexdigest()
    return TitleScraped(
        source="demo",
        source_id=id,
        page=Page(url=url, hash=page, key=f"raw/{page[:2]}/{page}.gz", fetched_at=now),
        license="CC0-1.0",
        title=RawTitle(
            name=name,
            kind="Movie" if title.kind == "film" else "TVSeries",
            year=str(title.year),
            genres=title.genres,
            plot=title.plot,
            countries=title.countries,
            language=title.language,
            runtime=f"PT{title.runtime_minutes}M",
            rating=str(title.rating),
            best_rating="10",
            rating_count=str(len(title.reviews)),
            popularity=tuple(
                DayCount(day=views.day, count=views.count)
                for views in daily_views(title.id, now.date())
            ),
        ),
    )
