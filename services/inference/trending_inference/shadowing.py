"""What is asked beside the answers: nobody waits for it, and a busy gateway leaves it out."""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from typing import get_args
from uuid import UUID

import structlog

from trending_inference.admission import Overloaded
from trending_inference.metrics import InferenceMetrics
from trending_inference.predicting import Predictor
from trending_inference.problems import Problem
from trending_inference.recording import Messages, Recorder, predictions_served
from trending_inference.serving import EXPERIMENT
from trending_inference.serving_model import LoadedModel
from trending_shared.clock import Clock
from trending_shared.errors import TrendingError
from trending_shared.events import Trial
from trending_shared.experiments import Subject

log = structlog.get_logger()

_MOST = 128  # requests whose shadows are under way or wait
_MOST_TEXTS = 256
_NICENESS = 10  # a shadow gets what processor time the answers leave


class Shadows:
    """Asks versions in shadow, in the background, and records what they say."""

    def __init__(self, recorder: Recorder, *, metrics: InferenceMetrics, clock: Clock) -> None:
        self._predictor = Predictor(
            threads=1, max_waiting=_MOST_TEXTS, metrics=None, here=0, niceness=_NICENESS
        )
        self._recorder = recorder
        self._metrics = metrics
        for subject in get_args(Subject):
            for outcome in ("recorded", "failed", "dropped"):
                metrics.shadows.labels(subject, outcome)  # from 0, so that the first is a rise
        self._clock = clock
        self._under_way: set[asyncio.Task[None]] = set()

    def begin(self, subject: Subject, ask: Callable[[], Awaitable[Messages]]) -> None:
        """Ask and record, once this task has nothing to do; what is too much is only counted."""
        if len(self._under_way) >= _MOST:
            self._metrics.shadows.labels(subject, "dropped").inc()
            return
        task = asyncio.create_task(self._run(subject, ask))
        self._under_way.add(task)
        task.add_done_callback(self._under_way.discard)

    async def _run(self, subject: Subject, ask: Callable[[], Awaitable[Messages]]) -> None:
        outcome = "failed"
        try:
            await self._recorder.publish(await ask())
            outcome = "recorded"
        except (Overloaded, asyncio.CancelledError):
            outcome = "dropped"
        except (TrendingError, Problem) as error:
            log.warning("shadow_failed", subject=subject, reason=type(error).__name__)
        finally:
            self._metrics.shadows.labels(subject, outcome).inc()

    async def predict(
        self,
        model: LoadedModel,
        trial: Trial,
        texts: Sequence[str],
        *,
        told: Sequence[UUID],
        title_ids: Sequence[str | None],
        request_id: str,
    ) -> Messages:
        """What a model in shadow says of a request's texts, as records.

        Args:
            told: the ids of the predictions that the caller got.

        Raises:
            Overloaded: too many shadows wait already.
            ModelUnusable: the model failed on these texts.
        """
        answered = await self._predictor.predict(model, texts)
        return predictions_served(
            model,
            texts,
            answered.verdicts,
            title_ids=title_ids,
            request_id=request_id,
            served_at=self._clock.now(),
            milliseconds=answered.seconds * 1000,
            alias=EXPERIMENT,
            trial=trial,
            shadow_of=told,
        )

    async def close(self) -> None:
        """Leave out what hasn't come to an end."""
        for task in self._under_way:
            task.cancel()
        await asyncio.gather(*self._under_way, return_exceptions=True)
        self._predictor.close()
