"""What a request is handled with, and how routes get hold of it."""

from dataclasses import dataclass
from typing import Annotated, Protocol, TypedDict

from fastapi import Depends, Request
from jinja2 import Environment
from prometheus_client import CollectorRegistry

from trending_inference.access import Access
from trending_inference.browsing import Browser
from trending_inference.insights.insight import Insights
from trending_inference.metrics import InferenceMetrics
from trending_inference.predicting import Predictor
from trending_inference.recording import Recorder
from trending_inference.serving_model import ServingModel
from trending_inference.settings import InferenceSettings
from trending_shared.catalog import Catalog
from trending_shared.clock import Clock
from trending_shared.publishing import Publisher
from trending_shared.registry import ModelRegistry
from trending_shared.storage import ObjectStore


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
    predictor: Predictor
    recorder: Recorder
    insights: Insights
    pages: Environment
    registry: CollectorRegistry
    metrics: InferenceMetrics
    clock: Clock


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


GatewayDep = Annotated[Gateway, Depends(_gateway)]
RequestId = Annotated[str, Depends(_request_id)]
CallerName = Annotated[str, Depends(_caller)]
