"""What was answered, as events: an answer is worth more than its record."""

import asyncio
from collections.abc import Sequence
from datetime import datetime
from typing import Any
from uuid import UUID, uuid5

import structlog

from trending_inference.metrics import InferenceMetrics
from trending_inference.predicting import Verdict
from trending_inference.serving_model import LoadedModel
from trending_shared.errors import BrokerUnavailable, TrendingError
from trending_shared.events import PredictionServed, Trial
from trending_shared.features import text_hash
from trending_shared.messages import NAMESPACE, Message, first_message
from trending_shared.publishing import Publisher
from trending_shared.tracing import current_traceparent

log = structlog.get_logger()

_MOST = 20_000  # records that wait for Kafka; what comes then is answered without a record

Messages = Sequence[Message[Any]]
Recording = tuple[Messages, "asyncio.Future[None]"]  # done when Kafka confirmed them


def predictions_served(
    model: LoadedModel,
    texts: Sequence[str],
    verdicts: Sequence[Verdict],
    *,
    title_ids: Sequence[str | None],
    request_id: str,
    served_at: datetime,
    milliseconds: float,
    alias: str,
    trial: Trial | None,
    shadow_of: Sequence[UUID] | None = None,
) -> list[Message[PredictionServed]]:
    """The records of one request's predictions, each under its own id.

    Args:
        shadow_of: the predictions that were told instead of these.
    """
    trials: Sequence[Trial | None] = [trial] * len(texts)
    story, traceparent = correlation_id(request_id), current_traceparent()
    if trial and shadow_of:
        trials = [trial.model_copy(update={"shadow_of": str(told)}) for told in shadow_of]
    return [
        first_message(
            PredictionServed(
                prediction_id=str(verdict.prediction_id),
                request_id=request_id,
                model=model.manifest.name,
                model_version=model.manifest.version,
                alias=alias,
                title_id=title_id,
                text=text,
                text_hash=text_hash(text),
                probabilities=verdict.probabilities,
                genres=verdict.genres,
                served_at=served_at,
                duration_ms=round(milliseconds, 3),
                trial=mine,
            ),
            id=verdict.prediction_id,
            correlation_id=story,
            traceparent=traceparent,
        )
        for verdict, title_id, text, mine in zip(verdicts, title_ids, texts, trials, strict=True)
    ]


class Recorder:
    """Publishes what was told; an answer is worth more than its record.

    A run of the model answers many requests within one turn of the event loop, and what they have
    to record goes to Kafka together.

    Args:
        within: seconds that an answer waits for Kafka.
    """

    def __init__(self, publisher: Publisher, *, within: float, metrics: InferenceMetrics) -> None:
        self._publisher = publisher
        self._within = within
        self._metrics = metrics
        self._new: list[Recording] = []
        self._sending: set[asyncio.Task[None]] = set()
        self._count = 0

    async def record(self, messages: Messages) -> bool:
        """Whether Kafka confirmed all of them in time; what it hasn't may still arrive."""
        try:
            await self.publish(messages)
        except TrendingError as error:
            predictions = sum(isinstance(each.event, PredictionServed) for each in messages)
            self._metrics.unrecorded.inc(predictions)
            log.warning("predictions_not_recorded", predictions=predictions, error=repr(error))
            return False
        return True

    async def publish(self, messages: Messages) -> None:
        """Publish, but wait for Kafka no longer than told; raises `BrokerUnavailable` then."""
        if self._count + len(messages) > _MOST:
            raise BrokerUnavailable(f"{self._count} records wait for Kafka already")
        loop = asyncio.get_running_loop()
        if not self._new:
            loop.call_soon(self._send)
        confirmed = loop.create_future()
        self._new.append((messages, confirmed))
        self._count += len(messages)
        await confirmed

    def _send(self) -> None:
        new, self._new = self._new, []
        task = asyncio.create_task(self._publish(new))
        self._sending.add(task)
        task.add_done_callback(self._sending.discard)

    async def _publish(self, new: Sequence[Recording]) -> None:
        patience = asyncio.get_running_loop().call_later(self._within, self._tell_late, new)
        error: TrendingError | None = None
        try:
            await self._publisher.publish([each for messages, _ in new for each in messages])
        except TrendingError as refused:
            error = refused
        finally:
            patience.cancel()
            self._count -= sum(len(messages) for messages, _ in new)
        _tell(new, error)

    def _tell_late(self, new: Sequence[Recording]) -> None:
        _tell(new, BrokerUnavailable(f"Kafka confirmed nothing within {self._within} s"))

    async def close(self) -> None:
        """Wait for what is under way, but no longer than an answer would."""
        if self._sending:
            _, late = await asyncio.wait(self._sending, timeout=self._within)
            for task in late:
                task.cancel()


def _tell(new: Sequence[Recording], error: TrendingError | None) -> None:
    for _, confirmed in new:
        if confirmed.done():  # it was told before, or is gone
            continue
        if error:
            confirmed.set_exception(error)
        else:
            confirmed.set_result(None)


def correlation_id(request_id: str) -> UUID:
    """The story of a request: the trace that we are in, or else its id as a UUID.

    An id that isn't a UUID always gives the same one.
    """
    if traceparent := current_traceparent():
        return UUID(traceparent[3:35])
    try:
        return UUID(request_id)
    except ValueError:
        return uuid5(NAMESPACE, f"request:{request_id}")
