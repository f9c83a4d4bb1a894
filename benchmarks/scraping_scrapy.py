"""Scrapy over the same pages: `python -m benchmarks.scraping_scrapy WAY BASE PAGES RECORDS`.

It obeys robots.txt and waits for nothing, like ours; all else is as it comes. The way `linked-data`
reads the JSON-LD, as ours does; the way `css` reads what people see, as spiders are mostly written.
"""

import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import scrapy
from scrapy.crawler import CrawlerProcess

from benchmarks.scraping_meter import Meter


class Films(scrapy.Spider):  # type: ignore[misc]
    """Takes the films from the pages it is given."""

    name = "films"

    def __init__(self, way: str, base: str, pages: int, meter: Meter) -> None:
        super().__init__()
        folder = "titles" if way == "linked-data" else "plain"
        self.start_urls = [f"{base}/{folder}/film-{number}" for number in range(pages)]
        self._read = linked_data if way == "linked-data" else visible
        self._meter = meter

    def parse(self, response: Any) -> Iterator[dict[str, Any]]:
        record = self._read(response)
        self._meter.keep(record)
        yield record


def linked_data(response: Any) -> dict[str, Any]:
    node = json.loads(response.css('script[type="application/ld+json"]::text').get())
    return {
        "id": node["identifier"],
        "name": node["name"],
        "year": node["datePublished"],
        "genres": node["genre"],
        "plot": node["description"],
        "reviews": [
            {
                "id": one["identifier"],
                "author": one["author"]["name"],
                "day": one["datePublished"],
                "rating": one["reviewRating"]["ratingValue"],
                "text": one["reviewBody"],
            }
            for one in node["review"]
        ],
    }


def visible(response: Any) -> dict[str, Any]:
    return {
        "id": response.url.rsplit("/", 1)[-1],
        "name": response.css("h1::text").get(),
        "year": response.css("span.year::text").get(),
        "genres": response.css("p.genres a::text").getall(),
        "plot": response.css("p.plot::text").get(),
        "reviews": [
            {
                "id": one.attrib["id"],
                "author": one.css("span.author::text").get(),
                "day": one.css("time::attr(datetime)").get(),
                "rating": one.css("span.rating::text").get().partition("/")[0],
                "text": one.css("p.text::text").get(),
            }
            for one in response.css("article.review")
        ],
    }


def main(way: str, base: str, pages: str, records: str) -> None:
    process = CrawlerProcess({"ROBOTSTXT_OBEY": True, "LOG_LEVEL": "WARNING"})
    with Meter(Path(records)) as meter:
        process.crawl(Films, way=way, base=base, pages=int(pages), meter=meter)
        process.start()


if __name__ == "__main__":
    main(*sys.argv[1:])
