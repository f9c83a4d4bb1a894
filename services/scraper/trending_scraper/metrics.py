"""What the scraper counts."""

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram

from trending_scraper.sources.base import FetchedPage


class ScraperMetrics:
    def __init__(self, registry: CollectorRegistry) -> None:
        self.pages = Counter(
            "trending_scraper_pages_total",
            "Pages by outcome; a rise of anything but scraped means a site or its pages changed",
            ["source", "outcome"],
            registry=registry,
        )
        self.bytes = Counter(
            "trending_scraper_bytes_total",
            "Bytes of the pages kept; a rise without more pages means that pages have grown",
            ["source"],
            registry=registry,
        )
        self.fetch_seconds = Histogram(
            "trending_scraper_fetch_seconds",
            "Time a site took to answer; a rise means that it is slow, and soon may not answer",
            ["source"],
            buckets=(0.01, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 15, 60),
            registry=registry,
        )
        self.wait_seconds = Histogram(
            "trending_scraper_wait_seconds",
            "Time a page waited for its turn; a rise means the site asks for a slower pace",
            ["source"],
            buckets=(0.01, 0.1, 0.5, 1, 2.5, 5, 10, 30, 60, 300),
            registry=registry,
        )
        self.records = Counter(
            "trending_scraper_records_total",
            "Titles, reviews and jobs found; fewer on as many pages means their markup changed",
            ["source", "kind"],
            registry=registry,
        )

    def fetched(self, source: str, page: FetchedPage) -> None:
        self.bytes.labels(source).inc(len(page.body))
        self.fetch_seconds.labels(source).observe(page.seconds)
        self.wait_seconds.labels(source).observe(page.waited)


class ScheduleMetrics:
    """What becomes of recurring jobs; each counts at the scraper that published it."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self.published = Counter(
            "trending_scraper_scheduled_jobs_total",
            "Recurring jobs that this scraper published; the sum over all is one a period",
            ["source", "schedule"],
            registry=registry,
        )
        self.missed = Counter(
            "trending_scraper_missed_periods_total",
            "Periods in which no scraper ran, or Kafka didn't; their jobs are not made up for",
            ["source", "schedule"],
            registry=registry,
        )
        self.period = Gauge(
            "trending_scraper_newest_period_timestamp_seconds",
            "Beginning of the newest period published by any scraper; older than two periods means "
            "that nothing is scheduled any more",
            ["source", "schedule"],
            registry=registry,
        )
