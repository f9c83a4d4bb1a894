"""The demo's store without Kafka: its pages read, cleaned, and cut into a snapshot.

`python -m pipeline.demo_store FOLDER` leaves in FOLDER the tables and the dataset that the demo
leads to if it is run on `TODAY`. Data cards and their test start from it.
"""

import sys
from collections.abc import Iterator, Sequence
from datetime import UTC, date, datetime, time
from pathlib import Path
from typing import Any
from uuid import NAMESPACE_URL, uuid5

from pipeline.snapshots import append, cut
from trending_cleaner.cleaning import clean_review, clean_title
from trending_cleaner.schemas import REVIEWS, TITLES
from trending_demo.catalogue import demo_catalogue
from trending_demo.pages import Pages
from trending_scraper.extraction import title_page
from trending_shared.clock import FrozenClock
from trending_shared.datasets import DatasetManifest
from trending_shared.events import Event, Page, ReviewScraped, TitleScraped
from trending_shared.messages import Message, first_message
from trending_shared.sources import read_catalogue

TODAY = date(2026, 11, 1)
NOW = datetime.combine(TODAY, time(12), UTC)
SITE = "http://127.0.0.1:8000"


def build(home: Path) -> DatasetManifest:
    """Fill an object store in the folder `home`, and cut its snapshot."""
    url = home.absolute().as_uri()
    scraped = list(records())
    titles = [(cause, clean_title(cause.event, NOW)) for cause in _of(scraped, TitleScraped)]
    reviews = [
        (cause, clean_review(cause.event, NOW).event) for cause in _of(scraped, ReviewScraped)
    ]
    append(url, "titles", TITLES, titles)
    append(url, "reviews", REVIEWS, reviews)
    return cut(home, reason="the demo's records are all there", clock=FrozenClock(NOW))


def records() -> Iterator[Message[Any]]:
    """What the scraper publishes of the demo site, but for the authors' hashes."""
    license = read_catalogue()["demo"].license
    catalogue = demo_catalogue()
    pages = Pages(catalogue, base=SITE, day=TODAY, page_size=100, crawl_delay=0)
    for title in catalogue.titles:
        address = f"{SITE}/titles/{title.id}"
        found = title_page(pages.title(title.id).body.decode(), address)
        assert found is not None, f"{address} shows no title"
        of = {
            "source": "demo",
            "source_id": found.source_id,
            "page": Page(url=address, hash="0" * 64, key="raw/00/none.gz", fetched_at=NOW),
            "license": license,
        }
        yield _message(address, TitleScraped(title=found.title, **of))
        for position, review in enumerate(found.reviews):
            event = ReviewScraped(position=position, review=review.review, **of)
            yield _message(f"{address}#{position}", event)


def _message(address: str, event: Event) -> Message[Any]:
    return first_message(event, id=uuid5(NAMESPACE_URL, address))


def _of(scraped: Sequence[Message[Any]], kind: type[Event]) -> list[Message[Any]]:
    return [message for message in scraped if isinstance(message.event, kind)]


if __name__ == "__main__":
    sys.stdout.write(f"{build(Path(sys.argv[1])).dataset_id}\n")
