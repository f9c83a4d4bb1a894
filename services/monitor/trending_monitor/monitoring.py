"""The monitor itself: records what was served, measures full windows, says what drifted."""

import asyncio
from collections.abc import Sequence
from functools import lru_cache
from uuid import UUID

import structlog

from trending_monitor.drift import DriftReport, Served, measure_drift
from trending_monitor.metrics import MonitorMetrics
from trending_monitor.windows import PredictionWindows, Window
from trending_shared.clock import Clock
from trending_shared.events import (
    DriftDetected,
    GenresCorrected,
    ModelPromoted,
    PredictionServed,
    TitleCleaned,
)
from trending_shared.messages import Message, first_message
from trending_shared.registry import Manifest, ModelRegistry

log = structlog.get_logger()


class Monitor:
    """Watches predictions against the reference in their model's manifest.

    Args:
        threshold: population stability index from which a feature drifted.
    """

    def __init__(
        self,
        *,
        windows: PredictionWindows,
        registry: ModelRegistry,
        metrics: MonitorMetrics,
        clock: Clock,
        threshold: float,
    ) -> None:
        self._windows = windows
        self._metrics = metrics
        self._clock = clock
        self._threshold = threshold
        self._manifest = lru_cache(maxsize=64)(registry.manifest)  # manifests never change
        metrics.threshold.set(threshold)

    async def on_predictions_served(
        self, messages: Sequence[Message[PredictionServed]]
    ) -> list[Message[DriftDetected]]:
        """Record predictions; the windows they fill lead to `DriftDetected` if they drifted.

        A window's verdict is published again whenever one of its predictions is delivered again, so
        that a crash before the publication loses nothing; its id is the window's.
        """
        await self._windows.record(messages)
        for message in messages:
            trial = message.event.trial
            role = "shadow" if trial and trial.shadow_of else "served"
            self._metrics.predictions.labels(role).inc()
        done = await self._windows.touched(messages)
        models = sorted(
            {(message.event.model, message.event.model_version) for message in messages}
        )
        for model, version in models:
            # The reference comes from the store: not on the event loop, not inside a transaction.
            await asyncio.to_thread(self._manifest, model, version)
            done.update(await self._windows.cut(model, version, self._measure))
        found = await self._windows.load(done)
        for window in found:
            self._show(window)
        return [
            first_message(drift_of(window, self._threshold), id=UUID(window.window_id))
            for window in found
            if window.report.drifted
        ]

    async def on_genres_corrected(self, messages: Sequence[Message[GenresCorrected]]) -> None:
        """Record what people said; whether their predictions are on record yet doesn't matter."""
        await self._windows.record_corrections(messages)
        self._metrics.corrections.inc(len(messages))

    async def on_titles_cleaned(self, messages: Sequence[Message[TitleCleaned]]) -> None:
        self._metrics.titles.inc(len(messages))

    async def on_model_promoted(self, message: Message[ModelPromoted]) -> None:
        self._metrics.promotions.inc()
        promoted = message.event
        manifest: Manifest = await asyncio.to_thread(
            self._manifest, promoted.model, promoted.model_version
        )
        log.info(
            "watching_model",
            model=promoted.model,
            version=promoted.model_version,
            features=len(manifest.reference),
        )

    def _measure(self, model: str, version: str, served: Sequence[Served]) -> DriftReport:
        reference = self._manifest(model, version).reference
        return measure_drift(served, reference, threshold=self._threshold)

    def _show(self, window: Window) -> None:
        verdict = "drifted" if window.report.drifted else "steady"
        self._metrics.windows.labels(verdict).inc()
        self._metrics.last_window.set(self._clock.now().timestamp())
        for feature, score in window.report.scores.items():
            self._metrics.score.labels(feature).set(score)
        log.info(
            "window_measured",
            window_id=window.window_id,
            model_version=window.model_version,
            predictions=window.predictions,
            verdict=verdict,
            drifted=list(window.report.drifted),
        )


def drift_of(window: Window, threshold: float) -> DriftDetected:
    return DriftDetected(
        window_id=window.window_id,
        model=window.model,
        model_version=window.model_version,
        predictions=window.predictions,
        first_at=window.first_at,
        last_at=window.last_at,
        scores=window.report.scores,
        drifted=window.report.drifted,
        threshold=threshold,
    )
