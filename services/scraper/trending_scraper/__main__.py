"""The scraper as a process: `python -m trending_scraper`."""

from trending_scraper.app import create_app
from trending_scraper.settings import ScraperSettings
from trending_shared.process import run

if __name__ == "__main__":
    run("scraper", ScraperSettings, create_app)
