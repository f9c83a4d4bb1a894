"""CPU time and memory of our scraper, and of Scrapy, on the same site."""

import json
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from statistics import median
from typing import Any

from benchmarks.results import Result
from benchmarks.rounds import ROUNDS, Bench, MeasurementFailed, Running
from benchmarks.scraping_meter import Outcome
from benchmarks.scraping_site import HOST, film
from trending_cli.processes import tail

PAGES = 2000
TIMEOUT = 300.0  # seconds a crawl may take


@dataclass
class Crawler:
    """A process that scrapes the site, and how it did."""

    name: str
    module: str
    way: str
    hashed_authors: bool = False
    outcomes: list[Outcome] = field(default_factory=list)

    def go(self, bench: Bench, site: Running) -> None:
        """Scrape all pages, and look whether the records are what the pages say.

        Raises:
            MeasurementFailed: they aren't, or the process failed.
        """
        records, log = bench.home / "records.jsonl", bench.home / "crawler.log"
        base = f"http://{HOST}:{site.port}"
        command = [sys.executable, "-m", self.module, self.way, base, str(PAGES), str(records)]
        with log.open("wb") as errors:
            ran = subprocess.run(command, stdout=subprocess.PIPE, stderr=errors, timeout=TIMEOUT)
        if ran.returncode:
            raise MeasurementFailed(f"{self.name} failed; the end of its log:\n{tail(log)}")
        wrong = sum(told != said for told, said in zip(_told(records), self._said(), strict=True))
        if wrong:
            raise MeasurementFailed(f"{self.name} read {wrong} of {PAGES} pages wrongly")
        self.outcomes.append(Outcome.model_validate_json(ran.stdout))

    def _said(self) -> Iterator[dict[str, Any]]:
        for number in range(PAGES):
            said = film(number).model_dump()
            if self.hashed_authors:
                for review in said["reviews"]:
                    del review["author"]
            yield said

    def result(self) -> Result:
        return Result(
            self.name,
            "pages/s",
            tuple(one.pages / one.seconds for one in self.outcomes),
            median(one.cpu_seconds / one.pages * 1000 for one in self.outcomes),
            megabytes=tuple(
                max(max(one.megabytes[: len(one.megabytes) * part // 4]) for one in self.outcomes)
                for part in (1, 2, 4)
            ),
        )


def _told(records: Path) -> Iterator[dict[str, Any]]:
    """The records of a crawl in the order of their pages."""
    with records.open() as lines:
        told = [json.loads(line) for line in lines]
    return iter(sorted(told, key=lambda record: int(record["id"].rsplit("-", 1)[-1])))


def measure_scraper(bench: Bench) -> Result:
    """Fetch and extract, with every guard on; beside what else one could do."""
    ours, scrapy = "benchmarks.scraping_ours", "benchmarks.scraping_scrapy"
    crawlers = [
        Crawler("scraper", ours, "linked-data"),
        Crawler("Scrapy", scrapy, "linked-data"),
        Crawler("Scrapy, no JSON-LD", scrapy, "css"),
        Crawler("ours, no JSON-LD", ours, "visible"),
        Crawler("ours, kept and told", ours, "service", hashed_authors=True),
    ]
    with bench.process("scraping_site", "benchmarks.scraping_site", str(PAGES)) as site:
        site.wait_until_ready()
        for turn in range(ROUNDS):
            for crawler in crawlers:
                bench.tell(f"scraper: round {turn + 1} of {ROUNDS}, {crawler.name}")
                crawler.go(bench, site)
    first, *others = (crawler.result() for crawler in crawlers)
    return replace(first, references=tuple(others))
