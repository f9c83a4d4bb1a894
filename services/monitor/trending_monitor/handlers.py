"""What the monitor does when something happens."""

from typing import Any

from trending_monitor.auditing import Auditor
from trending_monitor.conductor import Conductor
from trending_monitor.deciding import Decider
from trending_monitor.erasing import Eraser
from trending_monitor.monitoring import Monitor
from trending_shared.delivery import Consumer
from trending_shared.events import (
    DatasetPublished,
    DriftDetected,
    DriftReported,
    ErasureRequested,
    FeaturesComputed,
    GenresCorrected,
    InsightServed,
    ModelApproved,
    ModelPromoted,
    ModelRefused,
    ModelRegistered,
    PredictionServed,
    QualityEstimated,
    RecordsDeleted,
    RecordsErased,
    RetrainingDecided,
    RetrainingRequested,
    ServiceConfigured,
    TitleCleaned,
    TrainingRequested,
)
from trending_shared.messages import Message


def register_handlers(
    consumer: Consumer,
    monitor: Monitor,
    decider: Decider,
    conductor: Conductor,
    auditor: Auditor,
    eraser: Eraser,
) -> None:
    async def on_model_promoted(message: Message[ModelPromoted]) -> None:
        await decider.on_model_promoted(message)
        await monitor.on_model_promoted(message)

    async def on_model_approved(message: Message[ModelApproved]) -> None:
        await auditor.enter([message])
        await conductor.on_model_approved(message)

    async def on_model_refused(message: Message[ModelRefused]) -> None:
        await auditor.enter([message])
        await decider.on_model_refused(message)

    async def on_records_erased(message: Message[RecordsErased]) -> list[Message[Any]]:
        await auditor.enter([message])
        return await eraser.on_records_erased(message)

    consumer.on(PredictionServed, monitor.on_predictions_served)
    consumer.on(GenresCorrected, monitor.on_genres_corrected)
    consumer.on(FeaturesComputed, monitor.on_features_computed)
    consumer.on(TitleCleaned, monitor.on_titles_cleaned)
    consumer.on_each(ModelPromoted, on_model_promoted)
    consumer.on(InsightServed, monitor.on_insights_served)
    consumer.on_each(DriftReported, monitor.on_drift_reported)
    consumer.on_each(ModelApproved, on_model_approved)
    consumer.on_each(DriftDetected, decider.on_drift_detected)
    consumer.on_each(QualityEstimated, decider.on_quality_estimated)
    consumer.on_each(DatasetPublished, decider.on_dataset_published)
    consumer.on_each(RetrainingRequested, decider.on_retraining_requested)
    consumer.on_each(ModelRegistered, decider.on_model_registered)
    consumer.on_each(ModelRefused, on_model_refused)
    consumer.on_each(RecordsErased, on_records_erased)
    for kind in (
        *(ErasureRequested, RecordsDeleted, RetrainingDecided),
        *(ServiceConfigured, TrainingRequested),
    ):
        consumer.on(kind, auditor.enter)
