"""What the monitor counts."""

from prometheus_client import CollectorRegistry, Counter, Gauge


class MonitorMetrics:
    def __init__(self, registry: CollectorRegistry) -> None:
        self.predictions = Counter(
            "trending_monitor_predictions_total",
            "Predictions recorded; stands still while the gateway serves when events get lost",
            ["role"],
            registry=registry,
        )
        self.corrections = Counter(
            "trending_monitor_corrections_total",
            "Predictions that people corrected; a rise after a promotion doubts the new model",
            registry=registry,
        )
        self.windows = Counter(
            "trending_monitor_windows_total",
            "Windows measured, by verdict; a rise of drifted asks for a look at the inputs",
            ["verdict"],
            registry=registry,
        )
        self.score = Gauge(
            "trending_monitor_drift_score",
            "Population stability index of the last window by feature; compare the threshold",
            ["feature"],
            registry=registry,
        )
        self.threshold = Gauge(
            "trending_monitor_drift_threshold",
            "From which score a feature counts as drifted",
            registry=registry,
        )
        self.last_window = Gauge(
            "trending_monitor_last_window_timestamp_seconds",
            "When a window was last measured; old while predictions come in means it is stuck",
            registry=registry,
        )
        self.titles = Counter(
            "trending_monitor_titles_total",
            "Titles seen on the bus; the supply the models live on",
            registry=registry,
        )
        self.promotions = Counter(
            "trending_monitor_promotions_total",
            "Models promoted; many in a day mean that the gate lets noise through",
            registry=registry,
        )
