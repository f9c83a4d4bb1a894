"""What was answered, as events: an answer is worth more than its record."""

import asyncio
from collections.abc import Sequence
from datetime import datetime
from typing import Any
from uuid import UUID, uuid5

import structlog

from trending_inference.gateway import Gateway
from trending_inference.predicting import Verdict
from trending_inference.serving_model import LoadedModel
from trending_shared.errors import BrokerUnavailable, TrendingError
from trending_shared.events import PredictionServed
from trending_shared.features import text_hash
from trending_shared.messages import NAMESPACE, Message, first_message

log = structlog.get_logger()


def predictions_served(
    model: LoadedModel,
    texts: Sequence[str],
    verdicts: Sequence[Verdict],
    *,
    title_ids: Sequence[str | None],
    request_id: str,
    served_at: datetime,
    milliseconds: float,
) -> list[Message[PredictionServed]]:
    """The records of one request's predictions, each under its own id."""
    return [
        first_message(
            PredictionServed(
                prediction_id=str(verdict.prediction_id),
                request_id=request_id,
                model=model.manifest.name,
                model_version=model.manifest.version,
                alias=model.alias,
                title_id=title_id,
                text=text,
                text_hash=text_hash(text),
                probabilities=verdict.probabilities,
                genres=verdict.genres,
                served_at=served_at,
                duration_ms=round(milliseconds, 3),
            ),
            id=verdict.prediction_id,
            correlation_id=correlation_id(request_id),
        )
        for verdict, title_id, text in zip(verdicts, title_ids, texts, strict=True)
    ]


async def record(gateway: Gateway, messages: Sequence[Message[Any]]) -> bool:
    """Publish what was told; true if Kafka confirmed all of it in time.

    An unconfirmed record may still arrive.
    """
    try:
        await publish(gateway, messages)
    except TrendingError as error:
        predictions = sum(isinstance(each.event, PredictionServed) for each in messages)
        gateway.metrics.unrecorded.inc(predictions)
        log.warning("predictions_not_recorded", predictions=predictions, error=repr(error))
        return False
    return True


async def publish(gateway: Gateway, messages: Sequence[Message[Any]]) -> None:
    """Publish, but wait for Kafka no longer than told; raises `BrokerUnavailable` then."""
    patience = gateway.settings.publish_timeout.total_seconds()
    try:
        async with asyncio.timeout(patience):
            await gateway.publisher.publish(messages)
    except TimeoutError as error:
        raise BrokerUnavailable(f"Kafka confirmed nothing within {patience} s") from error


def correlation_id(request_id: str) -> UUID:
    """A request's id as a UUID; one that isn't a UUID always gives the same one."""
    try:
        return UUID(request_id)
    except ValueError:
        return uuid5(NAMESPACE, f"request:{request_id}")
