"""What a request is handled with, and how routes get hold of it."""

import re
from dataclasses import dataclass
from typing import Annotated, Any, Protocol, TypedDict

from fastapi import Depends, Header, Request
from jinja2 import Environment
from prometheus_client import CollectorRegistry
from starlette.datastructures import Headers

from trending_inference.access import Access
from trending_inference.admission import Admission
from trending_inference.backlog import BacklogWatch
from trending_inference.browsing import Browser
from trending_inference.dashboards import Dashboards
from trending_inference.following import Jobs
from trending_inference.insights.insight import Insights
from trending_inference.insights.serving_prompt import ServingPrompt
from trending_inference.metrics import InferenceMetrics
from trending_inference.predicting import Predictor
from trending_inference.problems import Problem
from trending_inference.recording import Recorder
from trending_inference.serving import Serving
from trending_inference.serving_model import ServingModel
from trending_inference.settings import InferenceSettings
from trending_inference.shadowing import Shadows
from trending_shared.catalog import Catalog
from trending_shared.clock import Clock
from trending_shared.experiments import Experiments
from trending_shared.publishing import Publisher
from trending_shared.registry import ModelRegistry
from trending_shared.storage import ObjectStore

UNIT = "x-unit-id"
UNIT_TOLD = (
    "whom experiments always give the same version, in 1 to 128 of A-Z a-z 0-9 . _ : @ -; without "
    "it the request's id"
)
UNIT_PATTERN = r"^[A-Za-z0-9._:@-]{1,128}$"


class AnsweringPublisher(Publisher, Protocol):
    """A publisher that can be asked whether its broker is there."""

    async def ping(self) -> bool: ...


@dataclass(frozen=True, slots=True)
class Gateway:
    """The collaborators of the routes, alive as long as the app is."""

    settings: InferenceSettings
    access: Access
    publisher: AnsweringPublisher
    catalog: Catalog
    store: ObjectStore
    models: ModelRegistry
    browser: Browser
    serving: ServingModel
    prompts: ServingPrompt
    experiments: Experiments
    admission: Admission
    predictor: Predictor
    recorder: Recorder
    shadows: Shadows
    insights: Insights
    jobs: Jobs
    backlog: BacklogWatch
    dashboards: Dashboards | None
    """None if no Prometheus is known."""
    pages: Environment
    registry: CollectorRegistry
    metrics: InferenceMetrics
    clock: Clock

    @property
    def serves(self) -> tuple[Serving[Any], ...]:
        """All that experiments can be made with."""
        return self.serving, self.prompts


class State(TypedDict):
    """What the lifespan yields; every request carries it."""

    gateway: Gateway


async def _gateway(request: Request) -> Gateway:
    gateway: Gateway = request.state.gateway
    return gateway


async def _request_id(request: Request) -> str:
    return str(request.state.request_id)


async def _caller(request: Request) -> str:
    return str(request.state.caller)


async def _unit(
    request: Request,
    x_unit_id: Annotated[
        str | None,
        Header(description=UNIT_TOLD),
    ] = None,
) -> str:
    return unit_of(request.headers, str(request.state.request_id))


def unit_of(headers: Headers, request_id: str) -> str:
    """Whom experiments draw an arm for; without a name each request is a unit of its own.

    Raises:
        Problem: the unit's name isn't one.
    """
    given = headers.get(UNIT)
    if given is None:
        return request_id
    if not re.fullmatch(UNIT_PATTERN, given):
        raise Problem(422, "request-invalid", "X-Unit-Id is 1 to 128 of A-Z a-z 0-9 . _ : @ -")
    return given


GatewayDep = Annotated[Gateway, Depends(_gateway)]
RequestId = Annotated[str, Depends(_request_id)]
UnitId = Annotated[str, Depends(_unit)]
CallerName = Annotated[str, Depends(_caller)]
