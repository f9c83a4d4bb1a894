"""What the scraper does when something happens."""

from trending_scraper.scraping import Scraper
from trending_shared.delivery import Consumer
from trending_shared.events import ScrapeJob


def register_handlers(consumer: Consumer, scraper: Scraper, *, at_once: int) -> None:
    consumer.on_each(ScrapeJob, scraper.on_scrape_job, at_once=at_once)
