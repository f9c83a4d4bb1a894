"""The route of feedback: a person says which genres a title has, or a text that was predicted."""

import hashlib
import hmac
import secrets
from typing import Annotated
from uuid import UUID, uuid4, uuid5

import structlog
from fastapi import APIRouter, Body, Depends, Header, Request

from trending_inference.browsing import Predicted
from trending_inference.gateway import CallerName, Gateway, GatewayDep, RequestId
from trending_inference.problems import Problem, problem_responses, takes_json
from trending_inference.recording import correlation_id
from trending_inference.schemas import (
    PREDICTION_ID,
    TITLE_ID,
    FeedbackAccepted,
    FeedbackOnPrediction,
    FeedbackOnTitle,
    FeedbackRequest,
    IdempotencyKey,
)
from trending_shared.api_keys import ANONYMOUS
from trending_shared.events import GenresCorrected
from trending_shared.features import RECIPE, RECIPES, compose_text, text_hash
from trending_shared.messages import NAMESPACE, Message
from trending_shared.tracing import current_traceparent

log = structlog.get_logger()

EXAMPLES = {
    "title": {
        "summary": "A title of the catalog",
        "value": {"title_id": TITLE_ID, "genres": ["Horror", "Thriller & Mystery"]},
    },
    "prediction": {
        "summary": "What the model said of a text",
        "value": {
            "prediction_id": PREDICTION_ID,
            "genres": ["Crime"],
        },
    },
}


def feedback_routes() -> APIRouter:
    """The route of feedback, on a router of its own for each app."""
    routes = APIRouter(prefix="/v1")
    salt = secrets.token_bytes(32)  # of this process, and of nothing that outlives it

    @routes.post(
        "/feedback",
        summary="These are its genres",
        status_code=202,
        responses=problem_responses(400, 404, 413, 415, 422, 503),
        dependencies=[Depends(takes_json)],
        tags=["predictions"],
    )
    async def feedback(
        asked: Annotated[FeedbackRequest, Body(openapi_examples=EXAMPLES)],
        request: Request,
        gateway: GatewayDep,
        request_id: RequestId,
        caller: CallerName,
        idempotency_key: Annotated[IdempotencyKey | None, Header()] = None,
    ) -> FeedbackAccepted:
        """Say which of the sixteen genres a title has, or a text that the model was asked about.

        It becomes an event, and stands in the lineage of the prediction that it corrects. No model
        learns from it by itself. The same request of the same caller under the same
        `Idempotency-Key` is the same feedback.
        """
        said_by = caller
        if caller == ANONYMOUS and request.state.account != ANONYMOUS:
            account = str(request.state.account).encode()
            said_by = f"{caller}-{hmac.digest(salt, account, hashlib.sha256).hex()[:12]}"
        about = await _about(gateway, asked)
        name = f"feedback:{caller}:{idempotency_key}:{asked.model_dump_json()}"
        feedback_id = uuid5(NAMESPACE, name) if idempotency_key else uuid4()
        corrected = GenresCorrected(
            feedback_id=str(feedback_id),
            title_id=about.title_id,
            prediction_id=about.prediction_id,
            text=about.text,
            text_hash=text_hash(about.text),
            genres=tuple(sorted(asked.genres)),
            model=about.model,
            model_version=about.model_version,
            said_by=said_by,
            corrected_at=gateway.clock.now(),
        )
        message = Message(
            event=corrected,
            id=feedback_id,
            correlation_id=correlation_id(request_id),
            traceparent=current_traceparent(),
            causation_id=UUID(about.prediction_id) if about.prediction_id else None,
        )
        await gateway.recorder.publish([message])
        log.info("genres_corrected", feedback_id=str(feedback_id), title_id=about.title_id)
        return FeedbackAccepted(feedback_id=feedback_id)

    return routes


async def _about(gateway: Gateway, asked: FeedbackOnTitle | FeedbackOnPrediction) -> Predicted:
    """The text that is spoken of, and what was said of it; raises `Problem` if there is none."""
    if isinstance(asked, FeedbackOnPrediction):
        found = await gateway.browser.predicted(str(asked.prediction_id))
        if found is None:
            raise Problem(404, "prediction-unknown", "no such prediction is on record")
        return found
    model = gateway.serving.look().champion
    recipe = model.manifest.recipe if model else RECIPE
    reviews = RECIPES[recipe].review_words > 0
    stories = await gateway.browser.stories([asked.title_id], reviews=reviews)
    if not (story := stories.get(asked.title_id)):
        raise Problem(404, "title-unknown", "the catalog has no title with this id")
    return Predicted(
        title_id=asked.title_id,
        prediction_id=await gateway.browser.prediction_of(asked.title_id),
        text=compose_text(
            name=story.name,
            plot=story.plot,
            kind=story.kind,
            countries=story.countries,
            reviews=story.reviews,
            recipe=recipe,
        ),
        model=model.manifest.name if model else None,
        model_version=model.manifest.version if model else None,
    )
