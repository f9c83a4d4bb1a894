"""The route of insights."""

import hashlib
from functools import partial
from time import perf_counter
from typing import Annotated, Any
from uuid import UUID, uuid4

from fastapi import APIRouter, Body, Depends, Response

from trending_inference.browsing import Story
from trending_inference.gateway import CallerName, Gateway, GatewayDep, RequestId, UnitId
from trending_inference.insights.drafting import SCHEMA
from trending_inference.insights.evidence import Review
from trending_inference.insights.insight import SHADOW, Insight, Prediction, Told, text_of
from trending_inference.insights.scoring import RULE
from trending_inference.problems import Problem, problem_responses, takes_json
from trending_inference.recording import Messages, correlation_id, predictions_served
from trending_inference.schemas import (
    PLOT,
    InsightAnswer,
    InsightRequest,
    InsightScore,
    InsightUsage,
    ModelUsed,
    PromptUsed,
    StoryItem,
    TitleItem,
)
from trending_inference.serving import Chosen
from trending_inference.serving_model import LoadedModel
from trending_shared.events import InsightServed, Trial
from trending_shared.features import RECIPES, text_hash
from trending_shared.messages import Message
from trending_shared.prompts import Prompt
from trending_shared.tracing import current_traceparent

REVIEWS = 20  # of a title, the newest; more than find room in the evidence
EXAMPLES: dict[str, Any] = {
    "title": {"summary": "A title of the catalog", "value": {"title_id": "t_0123456789abcdef"}},
    "story": {
        "summary": "A story in parts",
        "value": {
            "name": "One Last Job",
            "kind": "film",
            "plot": f"{PLOT} The vault belongs to the man who put him away.",
            "reviews": ["Tense and funny, with a heist that keeps you guessing to the end."],
        },
    },
}


def insight_routes() -> APIRouter:
    """The route of insights, on a router of its own for each app."""
    routes = APIRouter(prefix="/v1")

    @routes.post(
        "/insights",
        summary="What is it like, and who says so?",
        response_model=InsightAnswer,
        responses=problem_responses(400, 404, 413, 415, 422, 503),
        dependencies=[Depends(takes_json)],
        tags=["predictions"],
    )
    async def insights(
        asked: Annotated[InsightRequest, Body(openapi_examples=EXAMPLES)],
        gateway: GatewayDep,
        request_id: RequestId,
        caller: CallerName,
        unit_id: UnitId,
    ) -> Response:
        """Genres, a summary, moods, what viewers like and dislike, and a score by a rule.

        Each claim of the language model cites numbered sentences of the plot and the reviews; what
        they don't support is dropped and counted. Where no language model answers in time or within
        budget, the answer is put together from the sentences themselves and says `degraded`, and
        why. Of too few sentences nothing is told: `abstained`.
        """
        started = perf_counter()
        title_id = asked.title_id if isinstance(asked, TitleItem) else None
        model = gateway.serving.choose(unit_id) if gateway.serving.look().champion else None
        await gateway.prompts.fresh()
        prompt = gateway.prompts.choose(unit_id)
        told = await _told(gateway, asked, model)
        insight = await gateway.insights.tell(
            told, model=model, prompt=prompt.served, caller=caller
        )
        answer = _answer(insight, uuid4(), title_id)
        insight_served = _insight_served(
            gateway, insight, answer, request_id, caller, started, prompt.trial
        )
        cause = _cause(gateway, insight.prediction, title_id, request_id)
        answer.recorded = await gateway.recorder.record([*cause, insight_served])
        _begin_shadows(gateway, told.story, insight, answer, prompt, request_id)
        return Response(
            answer.model_dump_json(),
            media_type="application/json",
            headers={"Cache-Control": "no-store"},
        )

    return routes


def _begin_shadows(
    gateway: Gateway,
    story: Story,
    insight: Insight,
    answer: InsightAnswer,
    prompt: Chosen[Prompt],
    request_id: str,
) -> None:
    """Ask what is in shadow: models for the text that was read, prompts if there is a language
    model to ask.
    """
    shadows, title_id = gateway.shadows, answer.title_id
    if prediction := insight.prediction:
        for model, trial in prediction.chosen.shadows:
            ask_model = partial(
                shadows.predict,
                model,
                trial,
                [text_of(story, model.manifest.recipe)],
                told=[prediction.verdict.prediction_id],
                title_ids=[title_id],
                request_id=request_id,
            )
            shadows.begin("models", ask_model)
    if insight.llm and insight.outcome != "abstained":
        for other, trial in prompt.shadows:
            its = trial.model_copy(update={"shadow_of": str(answer.insight_id)})
            ask_prompt = partial(
                _ask_prompt, gateway, insight, other, its, story.name, title_id, request_id
            )
            shadows.begin("prompts", ask_prompt)


async def _ask_prompt(
    gateway: Gateway,
    told: Insight,
    prompt: Prompt,
    trial: Trial,
    name: str,
    title_id: str | None,
    request_id: str,
) -> Messages:
    """What would have been told with a prompt in shadow."""
    started = perf_counter()
    insight = await gateway.insights.tell_aside(told, prompt, name)
    answer = _answer(insight, uuid4(), title_id)
    return [_insight_served(gateway, insight, answer, request_id, SHADOW, started, trial)]


async def _told(
    gateway: Gateway, asked: TitleItem | StoryItem, model: Chosen[LoadedModel] | None
) -> Told:
    if isinstance(asked, StoryItem):
        story = Story(
            name=asked.name,
            plot=asked.plot,
            kind=asked.kind,
            countries=asked.countries,
            reviews=asked.reviews,
        )
        return Told(story, tuple(map(Review, asked.reviews)))
    asks = [model.served, *(other for other, _ in model.shadows)] if model else []
    reads = any(RECIPES[each.manifest.recipe].review_words > 0 for each in asks)
    found = await gateway.browser.stories([asked.title_id], reviews=reads)
    if asked.title_id not in found:
        raise Problem(404, "title-unknown", "the catalog has no title with this id")
    opinions = await gateway.browser.opinions(asked.title_id, REVIEWS)
    return Told(found[asked.title_id], tuple(Review(each.text, each.rating) for each in opinions))


def _answer(insight: Insight, insight_id: UUID, title_id: str | None) -> InsightAnswer:
    asked, told, prediction = insight.asked, insight.told, insight.prediction
    manifest = prediction.chosen.served.manifest if prediction else None
    return InsightAnswer.model_validate(
        {
            "insight_id": insight_id,
            "title_id": title_id,
            "outcome": insight.outcome,
            "degraded": insight.outcome == "degraded",
            "reason": insight.reason,
            "summary": told.summary or None,
            "genres": told.genres,
            "claims": told.claims,
            "vibes": told.vibes,
            "score": InsightScore(
                value=insight.score.value,
                rated=insight.score.rated,
                cited=insight.score.cited,
                rule=RULE,
            )
            if insight.score
            else None,
            "evidence": insight.evidence.sentences,
            "evidence_complete": insight.evidence.complete,
            "withheld": insight.evidence.withheld,
            "dropped": told.dropped,
            "prompt": PromptUsed(name=insight.prompt.name, version=insight.prompt.version),
            "llm": insight.llm,
            "cached": asked.cached,
            "usage": InsightUsage(
                attempts=asked.attempts,
                prompt_tokens=asked.usage.prompt_tokens,
                completion_tokens=asked.usage.completion_tokens,
                cost_usd=asked.micro_usd / 1_000_000,
            ),
            "prediction_id": prediction.verdict.prediction_id if prediction else None,
            "model": ModelUsed(
                name=manifest.name, version=manifest.version, alias=prediction.chosen.alias
            )
            if prediction and manifest
            else None,
            "recorded": False,
        },
        from_attributes=True,
    )


def _insight_served(
    gateway: Gateway,
    insight: Insight,
    answer: InsightAnswer,
    request_id: str,
    caller: str,
    started: float,
    trial: Trial | None,
) -> Message[InsightServed]:
    """The record of an answer.

    Args:
        started: when it was begun, by `perf_counter`.
    """
    usage = answer.usage
    said = answer.model_dump_json(include={"genres", "claims", "vibes", "score"})
    served = InsightServed(
        insight_id=str(answer.insight_id),
        request_id=request_id,
        title_id=answer.title_id,
        caller=caller,
        outcome=answer.outcome,
        reason=answer.reason,
        prompt=answer.prompt.name,
        prompt_version=answer.prompt.version,
        answer_form=SCHEMA,
        llm=answer.llm,
        attempts=usage.attempts,
        cached=answer.cached,
        prompt_tokens=usage.prompt_tokens,
        completion_tokens=usage.completion_tokens,
        cost_usd=usage.cost_usd,
        evidence_hash=text_hash(insight.data),
        sentences=len(answer.evidence),
        withheld=answer.withheld,
        answer_hash=hashlib.sha256(said.encode()).hexdigest(),
        genres=tuple(found.genre for found in answer.genres),
        score=answer.score.value if answer.score else None,
        claims=len(answer.claims),
        dropped=answer.dropped,
        prediction_id=str(answer.prediction_id) if answer.prediction_id else None,
        served_at=gateway.clock.now(),
        duration_ms=round((perf_counter() - started) * 1000, 3),
        trial=trial,
    )
    return Message(
        event=served,
        id=answer.insight_id,
        correlation_id=correlation_id(request_id),
        traceparent=current_traceparent(),
        causation_id=answer.prediction_id,
    )


def _cause(
    gateway: Gateway, prediction: Prediction | None, title_id: str | None, request_id: str
) -> Messages:
    """The record of the prediction that an answer rests on, if there is one."""
    if prediction is None:
        return []
    return predictions_served(
        prediction.chosen.served,
        [prediction.text],
        [prediction.verdict],
        title_ids=[title_id],
        request_id=request_id,
        served_at=gateway.clock.now(),
        milliseconds=prediction.seconds * 1000,
        alias=prediction.chosen.alias,
        trial=prediction.chosen.trial,
    )
