"""What an orchestrator asks a service: does it live, is it ready, does it get on?

`/healthz`   the process answers
`/readyz`    the broker answers, and whatever else the service names
`/progressz` the consumer isn't halted, holds no partition, and isn't stuck: work that waits is
             being done
`/metrics`   Prometheus
"""

from collections.abc import Awaitable, Callable, Mapping
from datetime import timedelta

from faststream.asgi import AsgiResponse, get
from faststream.asgi.types import ASGIApp
from prometheus_client import CollectorRegistry, Gauge, ProcessCollector, make_asgi_app

from trending_shared.clock import Clock
from trending_shared.delivery import Consumer

Check = Callable[[], Awaitable[bool]]
STUCK_AFTER = timedelta(minutes=10)


def progress_problem(consumer: Consumer, clock: Clock) -> str | None:
    """Why a consumer doesn't get on; none if it does.

    A ping tells nothing of this: the broker answers while a consumer is stuck.
    """
    progress = consumer.progress
    if progress.halted:
        return f"halted: {progress.halted}"
    if held := consumer.held:
        return "; ".join(
            f"held: {topic}:{partition}: {why}" for (topic, partition), why in held.items()
        )
    now = clock.now()
    if progress.busy_since and now - progress.busy_since > STUCK_AFTER:
        return f"one batch has been at work since {progress.busy_since.isoformat()}"
    waiting = sum(lag for (topic, _), lag in progress.lag.items() if "-retry-" not in topic)
    if waiting and not progress.busy_since and now - progress.last_at > STUCK_AFTER:
        return f"{waiting} records wait, none was handled since {progress.last_at.isoformat()}"
    return None


def describe_process(registry: CollectorRegistry, *, service: str, code_version: str) -> None:
    """Have `/metrics` tell which code runs, and what of memory, processor and files it takes."""
    ProcessCollector(registry=registry)
    Gauge(
        "trending_build_info",
        "The code that runs, as labels; the value is always 1",
        ["service", "version"],
        multiprocess_mode="livemax",
        registry=registry,
    ).labels(service, code_version).set(1)


def probe_routes(
    registry: CollectorRegistry,
    *,
    ready: Mapping[str, Check],
    consumer: Consumer,
    clock: Clock,
) -> list[tuple[str, ASGIApp]]:
    """ASGI routes for `AsgiFastStream`; `ready` names each check by what it checks."""
    consumer.metrics.stuck.set_function(lambda: float(bool(progress_problem(consumer, clock))))

    @get
    async def healthz(scope: object) -> AsgiResponse:
        return AsgiResponse(b"live", 200)

    @get
    async def readyz(scope: object) -> AsgiResponse:
        failing = [name for name, check in ready.items() if not await check()]
        if failing:
            return AsgiResponse(f"not ready: {', '.join(failing)}".encode(), 503)
        return AsgiResponse(b"ready", 200)

    @get
    async def progressz(scope: object) -> AsgiResponse:
        problem = progress_problem(consumer, clock)
        if problem:
            return AsgiResponse(problem.encode(), 503)
        return AsgiResponse(b"progressing", 200)

    return [
        ("/healthz", healthz),
        ("/readyz", readyz),
        ("/progressz", progressz),
        ("/metrics", make_asgi_app(registry)),
    ]
