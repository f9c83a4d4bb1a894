"""What the log and the traces tell of each request."""

from typing import Any
from uuid import UUID

import pytest
from structlog.testing import capture_logs

from trending_shared.api_keys import ApiKey, Scope
from trending_shared.events import PredictionServed, ScrapeJob
from trending_shared.testing.collecting import Collector
from trending_shared.testing.models import a_graph, promote

ITEMS = {"items": [{"text": "a ghost on a silent ship"}]}
REQUEST = "0b6f2d58-4f0a-4c53-9f0b-5d6f3f1f7c11"
CALLER = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"
TRACE = "4bf92f3577b34da6a3ce929d0e0e4736"


def answered(lines: list[Any]) -> list[dict[str, Any]]:
    return [line for line in lines if line["event"] == "request_answered"]


async def test_each_request_has_one_line(world: Any) -> None:
    promote(world.models, a_graph())
    key, kept = ApiKey.create("shop", Scope)
    async with world.client(api_keys=(kept,)) as client:
        client.headers["Authorization"] = f"Bearer {key}"
        with capture_logs() as lines:
            await client.post("/v1/genres", json=ITEMS, headers={"X-Request-Id": REQUEST})
            await client.get("/v1/titles/t_secret", headers={"X-Request-Id": "order-17"})
            await client.get("/v1/nowhere/secret?text=secret", headers={"Authorization": ""})
    first, second, third = answered(lines)
    assert first["seconds"] > 0
    del first["seconds"]
    assert first == {
        "event": "request_answered",
        "log_level": "info",
        "method": "POST",
        "route": "/v1/genres",
        "status": 200,
        "request_id": REQUEST,
        "caller": "shop",
        "trace_id": REQUEST.replace("-", ""),
    }
    assert (second["route"], second["status"]) == ("/v1/titles/{title_id}", 404)
    assert (third["route"], third["status"], third["caller"]) == ("other", 401, "anonymous")
    assert "secret" not in repr(lines)


async def test_probes_are_told_only_when_they_fail(world: Any, traces: Collector) -> None:
    async with world.client() as client:
        with capture_logs() as lines:
            await client.get("/healthz")
            await client.get("/readyz")  # there is no model
    assert [(line["route"], line["status"]) for line in answered(lines)] == [("/readyz", 503)]
    assert traces.spans == []


async def test_answered_requests_may_go_untold_and_refused_ones_never(world: Any) -> None:
    promote(world.models, a_graph())
    async with world.client(log_requests=False) as client:
        with capture_logs() as lines:
            await client.post("/v1/genres", json=ITEMS)
            await client.post("/v1/genres", json={})
    assert [line["status"] for line in answered(lines)] == [422]


async def test_a_request_and_its_record_are_one_trace(world: Any, traces: Collector) -> None:
    promote(world.models, a_graph())
    async with world.client() as client:
        await client.post("/v1/genres", json=ITEMS, headers={"X-Request-Id": REQUEST})
    (span,) = traces.named("POST /v1/genres")
    (record,) = world.publisher.messages
    assert (span.kind, span.parent_id, span.trace_id) == ("SERVER", "", UUID(REQUEST).hex)
    assert record.correlation_id == UUID(REQUEST)
    assert record.traceparent == f"00-{span.trace_id}-{span.span_id}-01"
    assert span.attributes == {
        "http.request.method": "POST",
        "http.route": "/v1/genres",
        "http.response.status_code": 200,
    }


@pytest.mark.parametrize("recorded", [True, False])
async def test_whoever_brings_a_trace_gets_its_records_into_it(
    world: Any, monkeypatch: pytest.MonkeyPatch, traces: Collector, recorded: bool
) -> None:
    if not recorded:
        monkeypatch.delenv("OTEL_EXPORTER_OTLP_ENDPOINT")
    promote(world.models, a_graph())
    async with world.client() as client:
        with capture_logs() as lines:
            await client.post("/v1/genres", json=ITEMS, headers={"traceparent": CALLER})
    (served,) = world.publisher.messages
    assert isinstance(served.event, PredictionServed)
    assert (served.correlation_id, served.trace_id) == (UUID(TRACE), TRACE)
    assert answered(lines)[0]["trace_id"] == TRACE
    if recorded:
        span = traces.named("POST /v1/genres")[0]
        assert (span.trace_id, span.parent_id) == (TRACE, CALLER[36:52])
    else:
        assert served.traceparent == CALLER


async def test_a_job_is_a_story_of_its_own(world: Any, traces: Collector) -> None:
    asked = {"source": "demo", "url": "http://films.example/titles"}
    async with world.client() as client:
        answer = await client.post("/v1/jobs", json=asked)
    (job,) = world.publisher.messages
    assert isinstance(job.event, ScrapeJob)
    assert job.trace_id == UUID(answer.json()["job_id"]).hex
    assert traces.named("POST /v1/jobs")


async def test_a_failure_is_told_by_its_status(world: Any, traces: Collector) -> None:
    async with world.client() as client:
        await client.post("/v1/genres", json=ITEMS)  # there is no model
        await client.get("/v1/nowhere")
    first, second = traces.spans
    assert (first.failed, first.attributes["error.type"]) == (True, "503")
    assert (second.name, second.failed) == ("GET other", False)
