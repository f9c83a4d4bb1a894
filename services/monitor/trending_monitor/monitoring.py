"""The monitor itself: records what was served, measures full windows, says what drifted."""

import asyncio
from collections.abc import Collection, Sequence
from datetime import timedelta
from functools import lru_cache, partial
from typing import Any
from uuid import UUID, uuid5

import structlog

from trending_monitor.drift import Served
from trending_monitor.metrics import MonitorMetrics
from trending_monitor.trials import Trials
from trending_monitor.watching import Findings, watch
from trending_monitor.windows import PredictionWindows, Window
from trending_shared.clock import Clock
from trending_shared.events import (
    DriftDetected,
    DriftReported,
    FeaturesComputed,
    GenreEstimate,
    GenresCorrected,
    InsightServed,
    ModelPromoted,
    PredictionServed,
    QualityEstimated,
    TitleCleaned,
)
from trending_shared.messages import NAMESPACE, Message, first_message
from trending_shared.registry import ModelRegistry

log = structlog.get_logger()

_FORMER_THRESHOLD = 0.25  # of all features, in windows that were cut before each had its own
_LABELS_MATTER = timedelta(days=30)  # after a window's end; who looks at an older one?


class Monitor:
    """Watches predictions against the reference in their model's manifest.

    Args:
        false_alarms: of windows without drift, the share that may seem to have some.
        trials: where what experiments had to do with is kept as well.
    """

    def __init__(
        self,
        *,
        windows: PredictionWindows,
        registry: ModelRegistry,
        metrics: MonitorMetrics,
        clock: Clock,
        false_alarms: float,
        trials: Trials | None = None,
    ) -> None:
        self._windows = windows
        self._trials = trials
        self._metrics = metrics
        self._clock = clock
        self._watched = lru_cache(maxsize=64)(  # bundles never change
            partial(watch, registry, size=windows.size, false_alarms=false_alarms)
        )

    async def on_predictions_served(
        self, messages: Sequence[Message[PredictionServed]]
    ) -> list[Message[Any]]:
        """Record predictions; the windows they fill are measured and told.

        Each leads to `QualityEstimated` if that can be told, and to `DriftDetected` if it drifted.
        A window's verdict is published again whenever one of its predictions is delivered again, so
        that a crash before the publication loses nothing; its id follows from the window's.
        """
        await self._windows.record(messages)
        if self._trials:
            await self._trials.record(messages, self._clock.now())
        for message in messages:
            trial = message.event.trial
            role = "shadow" if trial and trial.shadow_of else "served"
            self._metrics.predictions.labels(role).inc()
        done = await self._windows.touched(messages)
        models = sorted(
            {(message.event.model, message.event.model_version) for message in messages}
        )
        for model, version in models:
            # The bundle comes from the store: not on the event loop, not inside a transaction.
            await asyncio.to_thread(self._watched, model, version)
            done.update(await self._windows.cut(model, version, self._examine))
        await self._check(done)
        found = await self._windows.load(done)
        for window in found:
            self._show(window)
        drifts = [
            first_message(drift_of(window), id=UUID(window.window_id))
            for window in found
            if window.report.drifted
        ]
        return [*drifts, *(quality_of(window) for window in found if window.quality)]

    async def on_genres_corrected(self, messages: Sequence[Message[GenresCorrected]]) -> None:
        """Record what people said; whether their predictions are on record yet doesn't matter."""
        await self._windows.record_corrections(messages)
        self._metrics.corrections.inc(len(messages))
        said = [message.event for message in messages]
        await self._check_about(
            titles=[event.title_id for event in said if event.title_id],
            predicted=[event.prediction_id for event in said if event.prediction_id],
        )

    async def on_features_computed(self, messages: Sequence[Message[FeaturesComputed]]) -> None:
        """Look at the windows again that hold predictions of these titles.

        What pages say of a title's genres is in the catalog by now, which it needn't be when the
        title was cleaned.
        """
        await self._check_about(titles={message.event.title_id for message in messages})

    async def on_insights_served(self, messages: Sequence[Message[InsightServed]]) -> None:
        await self._windows.record_insights(messages)
        if self._trials:
            await self._trials.record(messages, self._clock.now())

    async def on_drift_reported(self, message: Message[DriftReported]) -> None:
        """Show what a report came to, whoever asked for it."""
        report = message.event
        self._metrics.show_report(report)
        log.info(
            "day_reported",
            day=str(report.day),
            subject=report.subject,
            drifted=list(report.drifted),
            failed=report.failed,
        )

    async def on_titles_cleaned(self, messages: Sequence[Message[TitleCleaned]]) -> None:
        self._metrics.titles.inc(len(messages))

    async def on_model_promoted(self, message: Message[ModelPromoted]) -> None:
        self._metrics.promotions.inc()
        promoted = message.event
        watched = await asyncio.to_thread(self._watched, promoted.model, promoted.model_version)
        log.info(
            "watching_model",
            model=promoted.model,
            version=promoted.model_version,
            features=len(watched.manifest.reference),
            quality=watched.unreliable or "is estimated",
        )

    def _examine(self, model: str, version: str, served: Sequence[Served]) -> Findings:
        return self._watched(model, version).examine(served)

    async def _check_about(
        self, *, titles: Collection[str] = (), predicted: Collection[str] = ()
    ) -> None:
        since = self._clock.now() - _LABELS_MATTER
        await self._check(
            await self._windows.about(titles=titles, predicted=predicted, since=since)
        )

    async def _check(self, window_ids: Collection[str]) -> None:
        """Compare estimates with what is known of these windows' labels by now."""
        for window in await self._windows.load(window_ids):
            watched = await asyncio.to_thread(self._watched, window.model, window.model_version)
            known = await self._windows.labelled(window)
            found = {source: watched.check(labelled) for source, labelled in known.items()}
            checks = {source: check for source, check in found.items() if check}
            if not checks:
                continue
            await self._windows.keep_checks(window.window_id, checks)
            for source, check in checks.items():
                verdict = "agrees" if check.agrees else "disagrees"
                self._metrics.checks.labels(source, verdict).inc()
                self._metrics.measured.labels(source).set(check.measured.macro_f1.value)
                log.info(
                    "estimate_checked",
                    window_id=window.window_id,
                    model_version=window.model_version,
                    labels=source,
                    predictions=check.measured.predictions,
                    estimated=check.estimated.macro_f1.value,
                    measured=check.measured.macro_f1.value,
                    verdict=verdict,
                )

    def _show(self, window: Window) -> None:
        verdict = "drifted" if window.report.drifted else "steady"
        self._metrics.windows.labels(verdict).inc()
        self._metrics.last_window.set(self._clock.now().timestamp())
        for feature, score in window.report.scores.items():
            self._metrics.score.labels(feature).set(score)
        for feature, threshold in window.report.thresholds.items():
            self._metrics.threshold.labels(feature).set(threshold)
        if window.quality is None:
            self._metrics.estimates.labels("impossible").inc()
        else:
            self._metrics.estimates.labels("made").inc()
            self._metrics.show(window.quality)
        log.info(
            "window_measured",
            window_id=window.window_id,
            model_version=window.model_version,
            predictions=window.predictions,
            verdict=verdict,
            drifted=list(window.report.drifted),
        )


def drift_of(window: Window) -> DriftDetected:
    return DriftDetected(
        window_id=window.window_id,
        model=window.model,
        model_version=window.model_version,
        predictions=window.predictions,
        first_at=window.first_at,
        last_at=window.last_at,
        scores=window.report.scores,
        drifted=window.report.drifted,
        threshold=min(window.report.thresholds.values(), default=_FORMER_THRESHOLD),
        thresholds=window.report.thresholds or None,
    )


def quality_of(window: Window) -> Message[QualityEstimated]:
    """What is told of a window that has an estimate; the same window, the same message."""
    assert window.quality is not None, "only a window with an estimate is told"
    macro = window.quality.macro_f1
    event = QualityEstimated(
        window_id=window.window_id,
        model=window.model,
        model_version=window.model_version,
        predictions=window.predictions,
        first_at=window.first_at,
        last_at=window.last_at,
        macro_f1=macro.value,
        low=macro.interval.low,
        high=macro.interval.high,
        genres={
            genre: GenreEstimate(
                hits=found.hits,
                false_alarms=found.false_alarms,
                misses=found.misses,
                f1=found.f1.value if found.f1 else None,
                low=found.f1.interval.low if found.f1 else None,
                high=found.f1.interval.high if found.f1 else None,
            )
            for genre, found in window.quality.genres.items()
        },
    )
    return first_message(event, id=uuid5(NAMESPACE, f"quality:{window.window_id}"))
