"""`POST /v1/genres`: the route that is asked thousands of times a second.

FastAPI describes it and never runs it: routing, solving dependencies, validating and serialising
there cost several times what the model does. `Edge` calls `answer_genres` itself, and everything
else, from the keys to the problem documents, is what the other routes have.
"""

from collections.abc import Sequence
from functools import partial
from typing import Annotated, Any
from uuid import UUID

import orjson
from fastapi import Header
from fastapi.exceptions import RequestValidationError
from pydantic import ValidationError
from starlette.datastructures import Headers
from starlette.requests import ClientDisconnect
from starlette.types import Receive, Scope

from trending_inference.gateway import UNIT_TOLD, Gateway, unit_of
from trending_inference.problems import Problem, is_json, not_json
from trending_inference.recording import Messages, predictions_served
from trending_inference.schemas import GenresAnswer, GenresRequest, Item, TextItem, TitleItem
from trending_inference.serving import Chosen
from trending_inference.serving_model import LoadedModel
from trending_shared.events import Trial
from trending_shared.features import RECIPES, compose_text, normalise_text

PATIENCE = "x-request-timeout"
"""The header by which a caller says for how many seconds it waits."""


async def genres(
    asked: GenresRequest,
    x_request_timeout: Annotated[
        float | None, Header(gt=0, description="seconds that the caller waits", examples=[0.5])
    ] = None,
    x_unit_id: Annotated[str | None, Header(description=UNIT_TOLD)] = None,
) -> GenresAnswer:
    """Genres for up to 64 texts, titles of the catalog, or stories in parts.

    All items of one request are answered by the same model version: the one that `version` names,
    the arm that an experiment gives to `X-Unit-Id`, or the champion. Every answer has an id by
    which `/v1/predictions/{prediction_id}/lineage` tells where it came from.

    What can't be answered in the time that the caller waits is refused at once, with 503 and
    `Retry-After`.
    """
    raise NotImplementedError("Edge has answer_genres answer")


async def answer_genres(scope: Scope, receive: Receive) -> bytes:
    """What `genres` describes, as its JSON.

    Raises:
        Problem, RequestValidationError: the request can't be answered as it is.
        ClientDisconnect: nobody waits for the answer any more.
        ModelNotFound, ModelUnusable, Overloaded: as their names say.
    """
    headers = Headers(scope=scope)
    if not is_json(headers):
        raise not_json()
    state = scope["state"]
    gateway: Gateway = state["gateway"]
    within = _patience(headers, gateway.settings.timeout.total_seconds())
    try:
        asked = GenresRequest.model_validate_json(await _read(receive))
    except ValidationError as error:
        raise RequestValidationError(_in_body(error)) from error
    gateway.access.charge(state["account"], len(asked.items))
    request_id = state["request_id"]
    with gateway.admission.inside(len(asked.items), within):
        return await _answer(asked, gateway, request_id, unit_of(headers, request_id), within)


async def _answer(
    asked: GenresRequest, gateway: Gateway, request_id: str, unit_id: str, within: float
) -> bytes:
    chosen = _choose(gateway, asked.version, unit_id)
    model = chosen.served
    texts = await _texts(gateway, asked.items, model.manifest.recipe)
    answered = await gateway.predictor.predict(model, texts, within=within)
    title_ids = [item.title_id if isinstance(item, TitleItem) else None for item in asked.items]
    recorded = await gateway.recorder.record(
        predictions_served(
            model,
            texts,
            answered.verdicts,
            title_ids=title_ids,
            request_id=request_id,
            served_at=gateway.clock.now(),
            milliseconds=answered.seconds * 1000,
            alias=chosen.alias,
            trial=chosen.trial,
        )
    )
    told = [verdict.prediction_id for verdict in answered.verdicts]
    for shadow, trial in chosen.shadows:  # they begin when the answer is written
        gateway.shadows.begin(
            "models",
            partial(_ask_shadow, gateway, shadow, trial, asked.items, told, title_ids, request_id),
        )
    used = {
        "name": model.manifest.name,
        "version": model.manifest.version,
        "alias": chosen.alias,
    }
    items = [
        {
            "prediction_id": verdict.prediction_id,
            "title_id": title_id,
            "genres": verdict.genres,
            "abstained": not verdict.genres,
            "probabilities": verdict.probabilities,
            "model": used,
            "recorded": recorded,
        }
        for verdict, title_id in zip(answered.verdicts, title_ids, strict=True)
    ]
    return orjson.dumps({"items": items})


def _choose(gateway: Gateway, version: str | None, unit_id: str) -> Chosen[LoadedModel]:
    if version is None:
        return gateway.serving.choose(unit_id)
    if chosen := gateway.serving.pinned(version):
        return chosen
    raise Problem(404, "version-unknown", "no such version is in service; see /v1/models")


async def _ask_shadow(
    gateway: Gateway,
    model: LoadedModel,
    trial: Trial,
    items: Sequence[Item],
    told: Sequence[UUID],
    title_ids: Sequence[str | None],
    request_id: str,
) -> Messages:
    """What another version says of the same items, read as its own recipe has it."""
    texts = await _texts(gateway, items, model.manifest.recipe)
    return await gateway.shadows.predict(
        model, trial, texts, told=told, title_ids=title_ids, request_id=request_id
    )


async def _texts(gateway: Gateway, items: Sequence[Item], recipe: str) -> list[str]:
    """What a model of this recipe is to read for each item, made as its training texts were."""
    wanted = {item.title_id for item in items if isinstance(item, TitleItem)}
    stories = await gateway.browser.stories(wanted, reviews=RECIPES[recipe].review_words > 0)
    texts = []
    for index, item in enumerate(items):
        if isinstance(item, TextItem):
            text = normalise_text(item.text)
        else:
            story = stories.get(item.title_id) if isinstance(item, TitleItem) else item
            if story is None:
                raise Problem(404, "title-unknown", f"items/{index}: the catalog has no such title")
            text = compose_text(
                name=story.name,
                plot=story.plot,
                kind=story.kind,
                countries=story.countries,
                reviews=story.reviews,
                recipe=recipe,
            )
        if not text:
            raise Problem(422, "text-empty", f"items/{index}: no readable text is left")
        texts.append(text)
    return texts


async def _read(receive: Receive) -> bytes:
    message = await receive()
    body: bytes = message.get("body", b"")
    while message.get("more_body"):
        message = await receive()
        body += message.get("body", b"")
    if message["type"] == "http.disconnect":
        raise ClientDisconnect
    return body


def _patience(headers: Headers, most: float) -> float:
    """Seconds that the caller waits, and we do."""
    given = headers.get(PATIENCE)
    if given is None:
        return most
    try:
        seconds = float(given)
    except ValueError:
        seconds = float("nan")
    if not 0 < seconds < float("inf"):
        raise Problem(422, "request-invalid", "X-Request-Timeout is a number of seconds above 0")
    return min(seconds, most)


def _in_body(error: ValidationError) -> list[Any]:
    found = error.errors(include_url=False, include_input=False, include_context=False)
    return [{**each, "loc": ("body", *each["loc"])} for each in found]
