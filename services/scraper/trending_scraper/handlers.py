"""What the scraper does when something happens."""

from trending_scraper.erasing import Eraser
from trending_scraper.scraping import Scraper
from trending_shared.delivery import Consumer
from trending_shared.events import ErasureRequested, ScrapeJob


def register_handlers(
    consumer: Consumer, scraper: Scraper, eraser: Eraser, *, at_once: int
) -> None:
    consumer.on_each(ScrapeJob, scraper.on_scrape_job, at_once=at_once)
    consumer.on_each(ErasureRequested, eraser.on_erasure_requested)
