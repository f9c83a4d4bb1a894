"""What the featurizer counts."""

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram


class FeaturizerMetrics:
    """The featurizer's own metrics; delivery counts events by itself."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self.titles = Counter(
            "trending_featurizer_titles_total",
            "Titles whose features were computed; flat while events wait means it is stuck",
            registry=registry,
        )
        self.reviews = Counter(
            "trending_featurizer_reviews_total",
            "Reviews written to the catalog; flat while titles come means a source lost them",
            registry=registry,
        )
        self.signals = Counter(
            "trending_featurizer_signals_total",
            "Signals written to the catalog; flat for a day means that a source counts no more",
            registry=registry,
        )
        self.embeddings = Counter(
            "trending_featurizer_embeddings_total",
            "Embeddings by origin; computed rising against reused means texts change more",
            ["origin"],
            registry=registry,
        )
        self.seconds = Histogram(
            "trending_featurizer_features_seconds",
            "Time the features of a batch took; a rise means longer texts or fewer cores",
            buckets=(0.05, 0.2, 0.5, 1, 2, 5, 15, 60, 300),
            registry=registry,
        )
        self.catalog_rows = Counter(
            "trending_featurizer_catalog_rows_total",
            "Rows handed to the catalog by table; a fall to zero means it gets stale",
            ["table"],
            registry=registry,
        )
        self.snapshots = Counter(
            "trending_featurizer_snapshots_total",
            "Dataset snapshots by outcome; unchanged means nothing new was known since the last",
            ["outcome"],
            registry=registry,
        )
        self.snapshot_seconds = Histogram(
            "trending_featurizer_snapshot_seconds",
            "Time a snapshot took; grows with the tables, and holds up titles meanwhile",
            buckets=(0.2, 0.5, 1, 2, 5, 15, 60, 300),
            registry=registry,
        )
        self.snapshot_rows = Gauge(
            "trending_featurizer_snapshot_rows",
            "Titles in the newest snapshot; a fall means titles were erased",
            registry=registry,
        )
        self.trend_seconds = Histogram(
            "trending_featurizer_trends_seconds",
            "Time the trends of all titles took on a new day; grows with the catalog",
            buckets=(0.1, 0.5, 1, 5, 15, 60, 300, 1800),
            registry=registry,
        )
        self.trending_titles = Gauge(
            "trending_featurizer_trending_titles",
            "Titles that have a trend today; a fall means pages are fetched too seldom",
            registry=registry,
        )
        self.trends_day = Gauge(
            "trending_featurizer_trends_day_timestamp_seconds",
            "Start of the day whose trends are complete; older than a day means they are stale",
            registry=registry,
        )

    def count_embeddings(self, computed: int, reused: int) -> None:
        self.embeddings.labels("computed").inc(computed)
        self.embeddings.labels("reused").inc(reused)
