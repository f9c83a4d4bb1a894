"""What the monitor does when something happens."""

from trending_monitor.auditing import ENTERED, Auditor
from trending_monitor.monitoring import Monitor
from trending_shared.delivery import Consumer
from trending_shared.events import (
    DriftReported,
    FeaturesComputed,
    GenresCorrected,
    InsightServed,
    ModelPromoted,
    PredictionServed,
    TitleCleaned,
)


def register_handlers(consumer: Consumer, monitor: Monitor, auditor: Auditor) -> None:
    consumer.on(PredictionServed, monitor.on_predictions_served)
    consumer.on(GenresCorrected, monitor.on_genres_corrected)
    consumer.on(FeaturesComputed, monitor.on_features_computed)
    consumer.on(TitleCleaned, monitor.on_titles_cleaned)
    consumer.on_each(ModelPromoted, monitor.on_model_promoted)
    consumer.on(InsightServed, monitor.on_insights_served)
    consumer.on_each(DriftReported, monitor.on_drift_reported)
    for kind in ENTERED:
        consumer.on(kind, auditor.enter)
