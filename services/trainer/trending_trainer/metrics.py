"""What the trainer counts."""

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram


class TrainerMetrics:
    def __init__(self, registry: CollectorRegistry) -> None:
        self.runs = Counter(
            "trending_trainer_runs_total",
            "Runs ended, by outcome; refused by the gate, or for the dataset, is normal and says "
            "why in models-refused; failed means that no fit came to an end, and asks for a person",
            ["outcome"],
            registry=registry,
        )
        for outcome in ("promoted", "approved", "refused", "failed"):
            self.runs.labels(outcome)  # from 0, so that the first is a rise
        self.attempts = Counter(
            "trending_trainer_attempts_total",
            "Fits started; more than runs means that fits die",
            registry=registry,
        )
        self.open_runs = Gauge(
            "trending_trainer_open_runs",
            "Runs claimed and not yet published; a rise means that one trainer is too few",
            registry=registry,
        )
        self.seconds = Histogram(
            "trending_trainer_fit_seconds",
            "How long a fit's process ran; grows with the data",
            buckets=(5, 15, 30, 60, 120, 300, 900, 3600, 14_400),
            registry=registry,
        )
        self.macro_f1 = Gauge(
            "trending_trainer_macro_f1_ratio",
            "Macro-F1 of the last registered model by algorithm, on its test rows",
            ["algorithm"],
            registry=registry,
        )
        self.mirrorings = Counter(
            "trending_trainer_mirrorings_total",
            "Times that W&B was brought what it lacked, by outcome; failed is tried again and says "
            "why in the log",
            ["outcome"],
            registry=registry,
        )
        self.mirror_behind = Gauge(
            "trending_trainer_mirror_behind",
            "1 while W&B lacks a run, a model or a move of an alias; for an hour it asks for a "
            "person, and serving doesn't notice",
            registry=registry,
        )
