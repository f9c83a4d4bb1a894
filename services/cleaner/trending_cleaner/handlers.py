"""What the cleaner does when something happens."""

from trending_cleaner.cleaner import Cleaner
from trending_cleaner.erasing import Eraser
from trending_cleaner.pages import Pages
from trending_shared.delivery import Consumer
from trending_shared.events import (
    FactsScraped,
    PageFetched,
    PageUnchanged,
    RecordsErased,
    ReviewScraped,
    SignalScraped,
    TitleScraped,
)


def register_handlers(consumer: Consumer, cleaner: Cleaner, pages: Pages, eraser: Eraser) -> None:
    consumer.on(TitleScraped, cleaner.on_titles_scraped)
    consumer.on(ReviewScraped, cleaner.on_reviews_scraped)
    consumer.on(FactsScraped, cleaner.on_facts_scraped)
    consumer.on(SignalScraped, cleaner.on_signals_scraped)
    consumer.on(PageFetched, pages.on_pages_fetched)
    consumer.on(PageUnchanged, pages.on_pages_unchanged)
    consumer.on_each(RecordsErased, eraser.on_records_erased)
