"""Builds the gateway: the only place where its parts are made and connected."""

import gc
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from functools import partial

import structlog
from fastapi import FastAPI, Request, Response
from fastapi.responses import PlainTextResponse
from fastapi.staticfiles import StaticFiles
from prometheus_client import CollectorRegistry
from prometheus_client.exposition import choose_encoder

from trending_inference.access import Access, GuardedApp
from trending_inference.admission import Admission
from trending_inference.api import api_routes
from trending_inference.backlog import Backlog, BacklogWatch, ask_kafka
from trending_inference.browsing import Browser
from trending_inference.dashboards import Dashboards
from trending_inference.edge import Edge
from trending_inference.experiments_api import experiment_routes
from trending_inference.feedback_api import feedback_routes
from trending_inference.following import Jobs, Watch
from trending_inference.gateway import AnsweringPublisher, Gateway, GatewayDep, State
from trending_inference.genres import answer_genres
from trending_inference.insights.insight import Insights
from trending_inference.insights.ledger import Budget, Ledger, Prices
from trending_inference.insights.llm import OpenAiLlm
from trending_inference.insights.serving_prompt import ServingPrompt
from trending_inference.insights_api import insight_routes
from trending_inference.jobs_api import job_routes
from trending_inference.metrics import InferenceMetrics, everyones
from trending_inference.operations import operations_routes
from trending_inference.page import STATIC, create_pages, page_routes
from trending_inference.predicting import Predictor
from trending_inference.problems import problem_responses
from trending_inference.recording import Recorder
from trending_inference.serving_model import ServingModel
from trending_inference.settings import InferenceSettings
from trending_inference.shadowing import Shadows
from trending_inference.title_genres import TitleGenres
from trending_shared.catalog import Catalog
from trending_shared.clock import Clock, SystemClock
from trending_shared.emf import telling_metrics
from trending_shared.events import (
    GenresCorrected,
    InsightServed,
    PredictionServed,
    ScrapeJob,
    ServiceConfigured,
)
from trending_shared.experiments import Experiments
from trending_shared.probes import describe_process
from trending_shared.prompts import PromptRegistry
from trending_shared.publishing import KafkaPublisher, configured
from trending_shared.registry import ModelRegistry
from trending_shared.settings import read_settings
from trending_shared.storage import ObjectStore, check_store
from trending_shared.topics import ensure_topics, topic_spec
from trending_shared.tracing import Tracing
from trending_shared.walk import watching

log = structlog.get_logger()

PRODUCES = (PredictionServed, InsightServed, GenresCorrected, ScrapeJob, ServiceConfigured)


def create_app(
    settings: InferenceSettings | None = None,
    *,
    publisher: AnsweringPublisher | None = None,
    catalog: Catalog | None = None,
    store: ObjectStore | None = None,
    watch: Watch | None = None,
    clock: Clock | None = None,
    ask_backlog: Callable[[], Awaitable[Backlog]] | None = None,
) -> FastAPI:
    """Build and connect everything; nothing is started.

    A collaborator that is handed in stays the caller's: it isn't opened, created or closed here.
    """
    settings = settings or read_settings(InferenceSettings)
    registry, clock = CollectorRegistry(), clock or SystemClock()
    tracing = Tracing("inference", code_version=settings.code_version)
    metrics = InferenceMetrics(registry)
    describe_process(registry, service="inference", code_version=settings.code_version)
    metrics.llm_budget.set(settings.llm_day_usd)
    kafka = own_catalog = None
    if publisher is None:
        publisher = kafka = KafkaPublisher(
            settings.kafka,
            service="inference",
            code_version=settings.code_version,
            registry=registry,
            clock=clock,
            tracing=tracing,
        )
    if catalog is None:
        catalog = own_catalog = Catalog(settings.catalog)
    store = store or ObjectStore.at(settings.store)
    models, experiments = ModelRegistry(store), Experiments(store)
    serving = ServingModel(
        models,
        name=settings.model,
        alias=settings.alias,
        experiments=experiments,
        ttl=settings.alias_ttl,
        metrics=metrics,
        clock=clock,
    )
    predictor = Predictor(
        threads=settings.threads,
        max_waiting=settings.max_waiting,
        known=settings.known_texts,
        metrics=metrics,
    )
    recorder = Recorder(publisher, within=settings.publish_timeout.total_seconds(), metrics=metrics)
    browser = Browser(catalog, serving.version)
    title_genres = TitleGenres(
        catalog,
        browser=browser,
        serving=serving,
        predictor=predictor,
        recorder=recorder,
        clock=clock,
    )
    llm = _llm(settings)
    gateway = Gateway(
        settings=settings,
        access=Access.of(settings, clock),
        publisher=publisher,
        catalog=catalog,
        store=store,
        models=models,
        browser=browser,
        serving=serving,
        prompts=ServingPrompt(
            PromptRegistry(store),
            experiments=experiments,
            ttl=settings.alias_ttl,
            metrics=metrics,
            clock=clock,
        ),
        experiments=experiments,
        admission=Admission(settings.max_waiting, metrics),
        predictor=predictor,
        recorder=recorder,
        shadows=Shadows(recorder, metrics=metrics, clock=clock),
        insights=Insights(
            llm=llm,
            ledger=Ledger(catalog, _budget(settings), clock),
            prices=Prices(settings.llm_prompt_price, settings.llm_completion_price),
            timeout=settings.llm_timeout,
            deadline=settings.llm_deadline,
            at_once=settings.llm_at_once,
            predictor=predictor,
            metrics=metrics,
            tracing=tracing,
        ),
        jobs=Jobs(
            watch or partial(watching, settings.kafka),
            at_once=settings.followers,
            patience=settings.timeout.total_seconds(),
        ),
        dashboards=_dashboards(settings),
        backlog=BacklogWatch(ask_backlog or partial(ask_kafka, settings.kafka, clock), clock),
        pages=create_pages(),
        registry=registry,
        metrics=metrics,
        clock=clock,
    )

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[State]:
        async with AsyncExitStack() as stack:
            stack.enter_context(tracing)
            if kafka:
                specs = [
                    topic_spec(kind, partitions=settings.kafka.partitions) for kind in PRODUCES
                ]
                await ensure_topics(
                    specs, settings.kafka.connection, settings.kafka.replication_factor
                )
                await check_store(settings.store)
                await stack.enter_async_context(kafka)
                await kafka.publish([configured("inference", settings, (), PRODUCES)])
            if own_catalog:
                stack.push_async_callback(own_catalog.close)
                await own_catalog.create()
            stack.push_async_callback(gateway.recorder.close)
            stack.callback(gateway.predictor.close)
            for each in gateway.serves:
                stack.push_async_callback(each.close)
            if llm:
                await llm.open()
                stack.push_async_callback(llm.close)
            stack.push_async_callback(gateway.insights.close)
            if gateway.dashboards:
                stack.push_async_callback(gateway.dashboards.close)
            stack.push_async_callback(gateway.shadows.close)
            await gateway.serving.refresh()
            await stack.enter_async_context(title_genres.running())
            await stack.enter_async_context(
                telling_metrics(
                    registry,
                    service="inference",
                    namespace=settings.metrics_emf_namespace,
                    clock=clock,
                )
            )
            if kafka:  # a process of our own, in which all that is loaded by now stays
                gc.collect()
                gc.freeze()  # to look through it for garbage took 90 ms, now and again
            log.info("service_started", produces=[kind.topic for kind in PRODUCES])
            yield State(gateway=gateway)
            log.info("service_stopped")

    app = GuardedApp(
        title="Trending Now",
        summary="Which films and shows are rising, and what kind of story each is",
        version=settings.code_version,
        lifespan=lifespan,
        # Nobody reads it yet, and to find that out takes a twentieth of a request.
        telemetry={"tracing": False, "metrics": False, "logs": False},
        docs_url=None,  # their pages load scripts from elsewhere
        redoc_url=None,
    )
    app.add_middleware(
        Edge,
        access=gateway.access,
        metrics=metrics,
        tracing=tracing,
        tell_answered=settings.log_requests,
        answered_here={("POST", "/v1/genres"): answer_genres},
    )
    app.state.jobs = gateway.jobs
    refusals = problem_responses(401, 403, 429)
    app.include_router(api_routes(), responses=refusals)
    app.include_router(insight_routes(), responses=refusals)
    app.include_router(feedback_routes(), responses=refusals)
    app.include_router(experiment_routes(), responses=refusals)
    app.include_router(job_routes(), responses=refusals)
    app.include_router(operations_routes(), responses=refusals)
    app.include_router(page_routes())
    app.mount("/static", StaticFiles(directory=STATIC))
    _add_probes(app)
    return app


def _llm(settings: InferenceSettings) -> OpenAiLlm | None:
    """The language model that the environment names; servers of one's own may need no key."""
    key, base_url = settings.openai_api_key, settings.openai_base_url
    if not key and not base_url:
        return None
    return OpenAiLlm(
        model=settings.llm_model,
        key=key.get_secret_value() if key else "none",
        base_url=base_url,
    )


def _dashboards(settings: InferenceSettings) -> Dashboards | None:
    if settings.dashboards is None:
        return None
    return Dashboards(settings.prometheus_url, settings.dashboards)


def _budget(settings: InferenceSettings) -> Budget:
    return Budget(
        day=round(settings.llm_day_usd * 1_000_000),
        caller=round(settings.llm_caller_day_usd * 1_000_000),
    )


def _add_probes(app: FastAPI) -> None:
    @app.get("/healthz", include_in_schema=False)
    async def healthz() -> PlainTextResponse:
        return PlainTextResponse("live")

    @app.get("/readyz", include_in_schema=False)
    async def readyz(gateway: GatewayDep) -> PlainTextResponse:
        checks = {
            "kafka": await gateway.publisher.ping(),
            # In service means that it has answered once.
            "model": gateway.serving.look().champion is not None,
        }
        failing = [name for name, passes in checks.items() if not passes]
        if failing:
            return PlainTextResponse(f"not ready: {', '.join(failing)}", 503)
        return PlainTextResponse("ready")

    @app.get("/metrics", include_in_schema=False)
    async def metrics(request: Request, gateway: GatewayDep) -> Response:
        encode, media_type = choose_encoder(request.headers.get("accept", ""))
        return Response(encode(everyones(gateway.registry)), media_type=media_type)
