"""What the cleaner counts."""

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram


class CleanerMetrics:
    def __init__(self, registry: CollectorRegistry) -> None:
        self.left_out = Counter(
            "trending_cleaner_erased_total",
            "Records left out as their author or page was erased; a rise means they come again",
            ["record"],
            registry=registry,
        )
        self.cleaned = Counter(
            "trending_cleaner_cleaned_total",
            "Records that became an event; a fall means that sources changed or the scraper stands",
            ["record"],
            registry=registry,
        )
        self.rejected = Counter(
            "trending_cleaner_rejected_total",
            "Records that became none, by reason, duplicates among them; a rise of any other "
            "reason means that a source changed its pages",
            ["record", "reason"],
            registry=registry,
        )
        self.duplicates = Counter(
            "trending_cleaner_duplicates_total",
            "Records that say what is known already; many mean that pages are fetched too often",
            ["record"],
            registry=registry,
        )
        self.unknown_genres = Counter(
            "trending_cleaner_unknown_genres_total",
            "Genre labels that nobody could map; a rise means that the genre map needs entries",
            registry=registry,
        )
        self.warnings = Counter(
            "trending_cleaner_warnings_total",
            "Clean records with something to doubt, by what it is; a rise means that a source "
            "writes a field in another way",
            ["record", "warning"],
            registry=registry,
        )
        self.personal_data = Counter(
            "trending_cleaner_personal_data_total",
            "Marks put in place of personal data in reviews, by kind",
            ["kind"],
            registry=registry,
        )
        self.days_dropped = Counter(
            "trending_cleaner_review_dates_dropped_total",
            "Dates of reviews in the future, long ago or unreadable; a rise means another format",
            registry=registry,
        )
        self.rows = Counter(
            "trending_cleaner_rows_total",
            "Rows appended by table; less than the records behind them after a redelivery only",
            ["table"],
            registry=registry,
        )
        self.rows_refused = Counter(
            "trending_cleaner_rows_refused_total",
            "New rows that a table took for redelivered by their Kafka offset; other than in a "
            "rebalance they are lost, because topics were made anew under old tables",
            ["table"],
            registry=registry,
        )
        self.merged = Counter(
            "trending_cleaner_merged_total",
            "Merged titles said anew; many more than cleaned ones means that sources disagree",
            registry=registry,
        )
        self.append_seconds = Histogram(
            "trending_cleaner_append_seconds",
            "Time one commit took by table; grows with slow storage and many small files",
            ["table"],
            buckets=(0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 15),
            registry=registry,
        )
        self.known = Gauge(
            "trending_cleaner_known_records",
            "Titles and reviews remembered to recognise duplicates; memory grows with it",
            ["record"],
            registry=registry,
        )
