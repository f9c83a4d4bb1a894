"""What an operator wants to know at a glance: backlog, models, drift, experiments, the gateway.

Every part is asked on its own and may fail on its own: who looks here looks because something is
down.
"""

import asyncio
from collections.abc import Iterable, Mapping

import sqlalchemy as sa
from fastapi import APIRouter
from prometheus_client import CollectorRegistry
from prometheus_client.samples import Sample
from pydantic import AwareDatetime, BaseModel, Field, ValidationError

from trending_inference.backlog import Backlog
from trending_inference.gateway import Gateway, GatewayDep
from trending_inference.metrics import everyones
from trending_inference.problems import problem_responses
from trending_inference.schemas import VersionBroken
from trending_shared.catalog import windows
from trending_shared.errors import ExperimentNotFound, TrendingError
from trending_shared.experiments import Experiment, Experiments
from trending_shared.registry import Manifest
from trending_shared.standings import Standing, read_standing

HISTORY = 20  # moves of aliases, and windows
_QUIET = ("/healthz", "/readyz", "/metrics", "/static")  # asked by machines, all day


class ModelVersion(BaseModel):
    """A version in the registry."""

    version: str
    algorithm: str
    created_at: AwareDatetime
    dataset_id: str
    macro_f1: float | None = Field(description="on titles that it didn't learn from")
    macro_f1_low: float | None
    macro_f1_high: float | None = Field(description="with `macro_f1_low` the 95 % interval")
    aliases: list[str]


class AliasMove(BaseModel):
    """An alias was pointed at a version: what the gate let through, or a person did."""

    alias: str
    number: int
    version: str
    moved_at: AwareDatetime
    moved_by: str
    reasons: list[str]


class Models(BaseModel):
    """What the registry holds."""

    problem: str | None = None
    name: str
    alias: str = Field(description="that this gateway serves")
    serving: str | None = Field(description="the version that this process answers with")
    versions: list[ModelVersion] = Field(default=[], description="newest first")
    moves: list[AliasMove] = Field(default=[], description="newest first")


class DriftWindow(BaseModel):
    """Some hundred predictions of a version, against what it was tested on."""

    model_version: str
    predictions: int
    first_at: AwareDatetime
    last_at: AwareDatetime
    scores: dict[str, float] = Field(description="population stability index by feature")
    drifted: list[str]


class Drift(BaseModel):
    """What the monitor measured."""

    problem: str | None = None
    windows: list[DriftWindow] = Field(default=[], description="newest first")


class Trials(BaseModel):
    """Experiments with models and prompts: the last state of each target."""

    problem: str | None = None
    experiments: list[Experiment] = Field(default=[], description="those that run come first")
    standings: dict[str, Standing] = Field(
        default={}, description="by name, how those stand that the monitor judges"
    )


class Traffic(BaseModel):
    """What the gateway, all its processes, has counted since it started."""

    requests: int = Field(description="without probes, metrics and static files")
    failed: int = Field(description="of them with a 5xx")
    refused: int = Field(description="of them with a 4xx")
    p50_ms: float | None = Field(description="by histogram, so between two edges")
    p99_ms: float | None
    texts: int
    abstained: int
    shed: int = Field(description="refused because too much waited")
    unrecorded: int = Field(description="predictions without Kafka's receipt")
    swaps: int
    load_failures: int
    insights: dict[str, int] = Field(description="by outcome")
    llm_usd: float


class Operations(BaseModel):
    """The state of the whole, as far as the gateway can see."""

    at: AwareDatetime
    ready: dict[str, bool] = Field(description="what a probe asks, by what it asks about")
    kafka: Backlog
    broken: list[VersionBroken] = Field(
        description="models and prompts that were to be in service here and can't be"
    )
    models: Models
    drift: Drift
    trials: Trials
    gateway: Traffic


def operations_routes() -> APIRouter:
    """The route for programs, on a router of its own for each app."""
    routes = APIRouter(prefix="/v1")

    @routes.get(
        "/operations",
        summary="How does the whole of it do?",
        responses=problem_responses(401, 403, 429),
        tags=["operations"],
    )
    async def operations(gateway: GatewayDep) -> Operations:
        """Lag and dead letters, models and their history, drift, experiments, the gateway's counts.

        Each part says for itself if it couldn't be asked.
        """
        return await observe(gateway)

    return routes


async def observe(gateway: Gateway) -> Operations:
    """All parts, asked side by side; none of them raises."""
    kafka, models, drift, trials, broker, catalog = await asyncio.gather(
        gateway.backlog.look(),
        asyncio.to_thread(_models, gateway, gateway.serving.version()),
        _drift(gateway),
        asyncio.to_thread(_trials, gateway),
        gateway.publisher.ping(),
        gateway.catalog.ping(),
    )
    return Operations(
        at=gateway.clock.now(),
        ready={
            "kafka": broker,
            "catalog": catalog,
            "store": models.problem is None,
            "model": models.serving is not None,
        },
        kafka=kafka,
        broken=[
            VersionBroken(
                role=role, version=found.version, reason=found.reason, detail=found.detail
            )
            for each in gateway.serves
            for role, found in each.look().broken.items()
        ],
        models=models,
        drift=drift,
        trials=trials,
        gateway=_traffic(everyones(gateway.registry)),
    )


# ---------------------------------------------------------------- models and drift


def _models(gateway: Gateway, version: str | None) -> Models:
    """What the registry holds; for a thread."""
    name, registry = gateway.serving.target, gateway.models
    told = Models(name=name, alias=gateway.serving.alias, serving=version)
    try:
        pointers = registry.aliases(name)
        versions = registry.versions(name)
        moves = [
            AliasMove(alias=alias, **move.model_dump())
            for alias in pointers
            for move in registry.history(name, alias)
        ]
    except (TrendingError, ValidationError):
        return told.model_copy(update={"problem": "the registry can't be read"})
    named: dict[str, list[str]] = {}
    for alias, pointer in pointers.items():
        named.setdefault(pointer.version, []).append(alias)
    moves.sort(key=lambda move: move.moved_at, reverse=True)
    return told.model_copy(
        update={
            "versions": [_version(each, named.get(each.version, [])) for each in versions[::-1]],
            "moves": moves[:HISTORY],
        }
    )


def _version(manifest: Manifest, aliases: list[str]) -> ModelVersion:
    interval = manifest.metrics.get("macro_f1_interval") or {}
    return ModelVersion(
        version=manifest.version,
        algorithm=manifest.algorithm,
        created_at=manifest.created_at,
        dataset_id=manifest.dataset_id,
        macro_f1=manifest.metrics.get("macro_f1"),
        macro_f1_low=interval.get("low"),
        macro_f1_high=interval.get("high"),
        aliases=aliases,
    )


async def _drift(gateway: Gateway) -> Drift:
    try:
        async with gateway.catalog.reading() as connection:
            rows = await connection.execute(
                sa.select(windows)
                .where(windows.c.model == gateway.serving.target)
                .order_by(windows.c.last_at.desc(), windows.c.window_id)
                .limit(HISTORY)
            )
            return Drift(windows=[DriftWindow(**row) for row in rows.mappings()])
    except TrendingError:
        return Drift(problem="the catalog doesn't answer")


def _trials(gateway: Gateway) -> Trials:
    """What the store says of experiments; for a thread."""
    try:
        found = Experiments(gateway.store).all()
        standings = {
            each.name: standing
            for each in found
            if each.judged and (standing := _standing(gateway, each))
        }
    except TrendingError:
        return Trials(problem="the experiments can't be read")
    return Trials(
        experiments=sorted(found, key=lambda experiment: not experiment.running),
        standings=standings,
    )


def _standing(gateway: Gateway, experiment: Experiment) -> Standing | None:
    try:
        return read_standing(gateway.store, experiment)
    except ExperimentNotFound:  # the monitor hasn't looked yet
        return None


# ---------------------------------------------------------------- what was counted


def _traffic(registry: CollectorRegistry) -> Traffic:
    samples = [sample for metric in registry.collect() for sample in metric.samples]
    requests = _sums(samples, "requests_total", "status", heard=True)
    buckets = _sums(samples, "request_seconds_bucket", "le", heard=True)
    within = {float(edge): count for edge, count in buckets.items()}

    def total(name: str) -> int:
        return int(sum(_sums(samples, name).values()))

    return Traffic(
        requests=int(sum(requests.values())),
        failed=int(sum(n for status, n in requests.items() if status.startswith("5"))),
        refused=int(sum(n for status, n in requests.items() if status.startswith("4"))),
        p50_ms=quantile(within, 0.5),
        p99_ms=quantile(within, 0.99),
        texts=total("texts_total"),
        abstained=total("abstained_total"),
        shed=total("shed_requests_total"),
        unrecorded=total("unrecorded_predictions_total"),
        swaps=total("model_swaps_total"),
        load_failures=total("model_load_failures_total"),
        insights={
            outcome: int(count)
            for outcome, count in _sums(samples, "insights_total", "outcome").items()
        },
        llm_usd=sum(_sums(samples, "llm_cost_usd_total").values()),
    )


def _sums(
    samples: Iterable[Sample], name: str, label: str = "", *, heard: bool = False
) -> Mapping[str, float]:
    """A metric's sums by one of its labels; `heard` leaves out what machines ask all day."""
    sums: dict[str, float] = {}
    for sample in samples:
        if sample.name != f"trending_inference_{name}":
            continue
        if heard and sample.labels["route"].startswith(_QUIET):
            continue
        value = sample.labels.get(label, "")
        sums[value] = sums.get(value, 0.0) + sample.value
    return sums


def quantile(within: Mapping[float, float], share: float) -> float | None:
    """Milliseconds below which a share of requests stayed, as Prometheus' `histogram_quantile`.

    Args:
        within: how many took at most so many seconds, by the upper edge.

    Returns:
        None before the first request; the last finite edge if it lies beyond.
    """
    edges = sorted(within)
    if not edges or not within[edges[-1]]:
        return None
    wanted = share * within[edges[-1]]
    low, below = 0.0, 0.0
    for edge in edges:
        if within[edge] >= wanted:
            if edge == float("inf"):
                break
            return 1000 * (low + (edge - low) * (wanted - below) / (within[edge] - below))
        low, below = edge, within[edge]
    return 1000 * low
