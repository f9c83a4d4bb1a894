"""The routes under `/v1`."""

import asyncio
import hashlib
from typing import Annotated
from urllib.parse import urlencode
from uuid import UUID

from fastapi import APIRouter, Path, Query, Request, Response
from pydantic import BaseModel

from trending_inference.filters import (
    MAX_OFFSET,
    FacetsQuery,
    HistoryQuery,
    Paged,
    TitleId,
    TitlesQuery,
    TrendingQuery,
)
from trending_inference.gateway import GatewayDep
from trending_inference.genres import genres
from trending_inference.problems import Problem, problem_responses
from trending_inference.schemas import (
    PREDICTION_ID,
    TITLE_ID,
    AliasState,
    FacetsAnswer,
    GenresAnswer,
    Links,
    ModelsAnswer,
    ModelSummary,
    TitleDetail,
    TitlesAnswer,
    TrendHistory,
    TrendingAnswer,
    VersionBroken,
    VersionInService,
)
from trending_shared.errors import PredictionUnknown
from trending_shared.lineage import Lineage, trace_prediction
from trending_shared.registry import Manifest


def api_routes() -> APIRouter:
    """Every route of the API, on a router of its own for each app."""
    routes = APIRouter(prefix="/v1")

    routes.add_api_route(
        "/genres",
        genres,
        methods=["POST"],
        summary="What kind of story is this?",
        response_model=GenresAnswer,
        responses=problem_responses(400, 404, 413, 415, 422, 503),
        tags=["predictions"],
    )

    @routes.get(
        "/predictions/{prediction_id}/lineage",
        summary="Where did this prediction come from?",
        response_model=Lineage,
        responses=problem_responses(404, 422, 503),
        tags=["predictions"],
    )
    async def lineage(
        prediction_id: Annotated[UUID, Path(examples=[PREDICTION_ID])],
        gateway: GatewayDep,
        replay: bool = False,
    ) -> Lineage:
        """The model, the dataset it learned from, and the pages behind it, each as far as kept.

        A prediction is on record a few seconds after its answer. With `replay` that model version
        is loaded and run once more on the same text.
        """
        try:
            return await trace_prediction(
                str(prediction_id),
                catalog=gateway.catalog,
                store=gateway.store,
                registry=gateway.models,
                replay=replay,
            )
        except PredictionUnknown as error:
            raise Problem(404, "prediction-unknown", "no such prediction is on record") from error

    @routes.get(
        "/trending",
        summary="What is rising?",
        response_model=TrendingAnswer,
        responses=problem_responses(422, 503),
        tags=["titles"],
    )
    async def trending(
        request: Request, gateway: GatewayDep, asked: Annotated[TrendingQuery, Query()]
    ) -> Response:
        """A day's titles, the fastest rising against their own past first, and why each does."""
        found = await gateway.browser.trending(asked, limit=asked.limit, offset=asked.offset)
        answer = TrendingAnswer(
            day=found.day,
            nearest_day=found.nearest_day,
            total=found.total,
            items=found.items,
            links=links_of(request, found.total, asked),
        )
        return cached(request, answer)

    @routes.get(
        "/trending/facets",
        summary="What can it be narrowed by?",
        response_model=FacetsAnswer,
        responses=problem_responses(422, 503),
        tags=["titles"],
    )
    async def facets(
        request: Request, gateway: GatewayDep, asked: Annotated[FacetsQuery, Query()]
    ) -> Response:
        """Kinds, genres, languages, countries and years of a day's titles, with their counts."""
        return cached(request, await gateway.browser.facets(asked))

    @routes.get(
        "/titles",
        summary="Find titles by name",
        response_model=TitlesAnswer,
        responses=problem_responses(422, 503),
        tags=["titles"],
    )
    async def titles(
        request: Request, gateway: GatewayDep, asked: Annotated[TitlesQuery, Query()]
    ) -> Response:
        """Titles whose names contain `query`, without case and accents; all titles without one."""
        total, items = await gateway.browser.search(
            asked, query=asked.query, limit=asked.limit, offset=asked.offset
        )
        answer = TitlesAnswer(total=total, items=items, links=links_of(request, total, asked))
        return cached(request, answer)

    @routes.get(
        "/titles/{title_id}",
        summary="All that is known of a title",
        response_model=TitleDetail,
        responses=problem_responses(404, 422, 503),
        tags=["titles"],
    )
    async def title(
        request: Request,
        title_id: Annotated[TitleId, Path(examples=[TITLE_ID])],
        gateway: GatewayDep,
    ) -> Response:
        """Its facts, its trend, what is said of it, and the page all this was found on."""
        detail = await gateway.browser.title(title_id, gateway.clock.now().date())
        if detail is None:
            raise Problem(404, "title-unknown", "the catalog has no title with this id")
        return cached(request, detail)

    @routes.get(
        "/titles/{title_id}/trends",
        summary="Did it rise, and why, on any past day?",
        response_model=TrendHistory,
        responses=problem_responses(404, 422, 503),
        tags=["titles"],
    )
    async def history(
        request: Request,
        title_id: Annotated[TitleId, Path(examples=[TITLE_ID])],
        gateway: GatewayDep,
        asked: Annotated[HistoryQuery, Query()],
    ) -> Response:
        """Each day's verdict, score, interval, parts and cause, as they were measured that day."""
        found = await gateway.browser.history(title_id, asked.since, asked.until)
        if found is None:
            raise Problem(404, "title-unknown", "the catalog has no title with this id")
        return cached(request, found)

    @routes.get(
        "/models",
        summary="Which models are there, and which one answers?",
        responses=problem_responses(503),
        tags=["operations"],
    )
    async def models(gateway: GatewayDep) -> ModelsAnswer:
        """The alias, what is in service and for what, what can't be, and every version there is."""
        serving = gateway.serving
        now = serving.look()
        pointer = await asyncio.to_thread(gateway.models.pointer, serving.target, serving.alias)
        versions = await asyncio.to_thread(gateway.models.versions, serving.target)
        return ModelsAnswer(
            name=serving.target,
            alias=serving.alias,
            champion=AliasState(**pointer.model_dump()) if pointer else None,
            serving=now.champion.version if now.champion else None,
            in_service=[
                VersionInService(version=version, roles=now.roles(version))
                for version in now.versions
            ],
            broken=[
                VersionBroken(
                    role=role, version=found.version, reason=found.reason, detail=found.detail
                )
                for role, found in now.broken.items()
            ],
            versions=[_summary(found) for found in reversed(versions)],
        )

    return routes


def _summary(manifest: Manifest) -> ModelSummary:
    figures = {
        name: value for name, value in manifest.metrics.items() if isinstance(value, int | float)
    }
    return ModelSummary(**manifest.model_dump(exclude={"metrics"}), metrics=figures)


def cached(request: Request, answer: BaseModel) -> Response:
    """An answer with an entity tag, or 304 if the caller has it already (RFC 9110, 13.1.2)."""
    body = answer.model_dump_json().encode()
    tag = f'"{hashlib.sha256(body).hexdigest()[:32]}"'
    headers = {"ETag": tag, "Cache-Control": "no-cache"}
    if matches(request.headers.get("if-none-match", ""), tag):
        return Response(status_code=304, headers=headers)
    return Response(body, media_type="application/json", headers=headers)


def matches(tags: str, tag: str) -> bool:
    """Whether a list of entity tags as `If-Match` and `If-None-Match` have it names this one."""
    return tags.strip() == "*" or tag in {
        each.strip().removeprefix("W/") for each in tags.split(",")
    }


def links_of(request: Request, total: int, asked: Paged) -> Links:
    limit, offset = asked.limit, asked.offset
    given = [
        (name, value)
        for name, value in request.query_params.multi_items()
        if name not in ("limit", "offset")
    ]

    def at(offset: int) -> str:
        return f"{request.url.path}?{urlencode([*given, ('limit', limit), ('offset', offset)])}"

    return Links(
        self=at(offset),
        next=at(offset + limit) if offset + limit < min(total, MAX_OFFSET + 1) else None,
        prev=at(max(0, offset - limit)) if offset else None,
    )
