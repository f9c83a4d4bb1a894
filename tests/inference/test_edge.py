"""What holds for every request: ids, limits, headers, counts, problems."""

import re
from collections.abc import AsyncIterator
from typing import Any
from uuid import UUID

import pytest
from httpx import AsyncClient

from trending_inference.edge import MAX_BODY, SECURITY_HEADERS
from trending_shared.api_keys import ApiKey, Scope
from trending_shared.testing.models import a_graph, promote


@pytest.fixture
async def client(world: Any) -> AsyncIterator[AsyncClient]:
    promote(world.models, a_graph())
    async with world.client() as client:
        yield client


async def megabytes(count: int) -> AsyncIterator[bytes]:
    for _ in range(count):
        yield b"x" * 1024 * 1024


@pytest.mark.parametrize("path", ["/v1/genres", "/v1/jobs", "/v1/nothing"])
async def test_a_body_beyond_the_limit_is_refused_by_its_announced_length(
    client: AsyncClient, path: str
) -> None:
    response = await client.post(
        path, content=b"x" * (1024 * 1024 + 1), headers={"content-type": "application/json"}
    )
    assert response.status_code == 413
    assert response.json()["type"] == "urn:trending:problem:body-too-large"
    assert response.headers["connection"] == "close"


async def test_a_body_without_a_length_is_refused_while_it_is_read(client: AsyncClient) -> None:
    response = await client.post(
        "/v1/genres", content=megabytes(2), headers={"content-type": "application/json"}
    )
    assert "content-length" not in response.request.headers
    assert response.status_code == 413
    assert response.json()["type"] == "urn:trending:problem:body-too-large"


async def test_a_false_announcement_helps_nobody(client: AsyncClient) -> None:
    response = await client.post(
        "/v1/genres",
        content=megabytes(2),
        headers={"content-type": "application/json", "content-length": "10"},
    )
    assert response.status_code == 413


@pytest.mark.parametrize("given", ["order-17", "a" * 128, "0b6f2d58-4f0a-4c53-9f0b-5d6f3f1f7c11"])
async def test_a_sound_request_id_is_kept(client: AsyncClient, given: str) -> None:
    response = await client.get("/healthz", headers={"X-Request-Id": given})
    assert response.headers["x-request-id"] == given


@pytest.mark.parametrize("given", ["", "a b", "a" * 129, "café", "<script>", "a\tb"])
async def test_an_unsound_request_id_is_replaced(client: AsyncClient, given: str) -> None:
    response = await client.get("/healthz", headers=[(b"X-Request-Id", given.encode())])
    assert UUID(response.headers["x-request-id"])


@pytest.mark.parametrize(
    ("method", "path", "status", "kind"),
    [
        ("GET", "/nothing", 404, "not-found"),
        ("DELETE", "/v1/genres", 405, "method-not-allowed"),
        ("GET", "/static/nothing.css", 404, "not-found"),
        ("GET", "/static/../app.py", 404, "not-found"),
        ("GET", "/v1/predictions/7/lineage", 422, "request-invalid"),
    ],
)
async def test_every_error_is_a_problem_document(
    client: AsyncClient, method: str, path: str, status: int, kind: str
) -> None:
    response = await client.request(method, path)
    assert response.status_code == status
    assert response.headers["content-type"] == "application/problem+json"
    assert response.json()["type"] == f"urn:trending:problem:{kind}"


async def test_what_breaks_on_our_side_tells_nothing_but_an_id(world: Any) -> None:
    async def broken() -> None:
        raise KeyError("the secret of the house")

    app = world.app()
    app.add_api_route("/broken", broken)
    async with world.client_of(app) as client:
        response = await client.get("/broken", headers={"X-Request-Id": "order-17"})
        assert response.status_code == 500
        document = response.json()
        assert document["type"] == "urn:trending:problem:internal-error"
        assert document["request_id"] == "order-17"
        assert "secret" not in response.text


async def test_every_answer_carries_the_security_headers_once_and_names_no_server(
    world: Any,
) -> None:
    async def broken() -> None:
        raise KeyError

    promote(world.models, a_graph())
    key, kept = ApiKey.create("shop", [Scope.READ, Scope.PREDICT])
    app = world.app(api_keys=(kept,), requests_per_minute=8)
    app.add_api_route("/broken", broken)
    statuses = []
    async with world.client_of(app) as client:

        async def look(method: str, path: str, **request: Any) -> None:
            response = await client.request(method, path, **request)
            statuses.append(response.status_code)
            names = [name for name, _ in response.headers.multi_items()]
            for name, value in SECURITY_HEADERS.items():
                assert names.count(name) == 1
                assert response.headers[name] == value
            assert names.count("x-request-id") == 1
            assert not {"server", "x-powered-by", "strict-transport-security"} & set(names)

        for method, path in (("GET", "/healthz"), ("GET", "/static/trending.css"), ("GET", "/")):
            await look(method, path)
        client.headers["Authorization"] = f"Bearer {key}"
        tag = (await client.get("/v1/trending")).headers["etag"]
        await look("GET", "/v1/trending", headers={"If-None-Match": tag})
        for path in ("/", "/nothing", "/metrics", "/healthz/", "/v1/genres", "/broken", "/"):
            await look("GET", path)
        for path in ("/v1/genres", "/v1/jobs"):
            await look("POST", path, content=b"x" * (MAX_BODY + 1))
        await look("POST", "/v1/genres", content=b"x")
        await look("POST", "/v1/genres", json={})
    assert statuses == [
        *(200, 200, 401),
        *(304, 200, 404, 200, 307, 405, 500, 429),
        *(413, 403, 415, 422),
    ]


def test_the_page_may_run_its_own_script_and_nothing_else() -> None:
    policy = SECURITY_HEADERS["content-security-policy"]
    assert policy.startswith("default-src 'none'; ")
    assert not {"unsafe", "*", "http", "data:"} & set(re.split(r"[ ;']", policy))
    assert "'unsafe" not in policy
    assert "frame-ancestors 'none'" in policy


async def test_requests_are_counted_by_route_and_not_by_path(client: AsyncClient) -> None:
    for path in ("/v1/titles/t_1", "/v1/titles/t_2", "/nothing", "/nowhere"):
        await client.get(path)
    await client.post("/v1/genres", json={"items": [{"text": "a heist"}]})
    metrics = (await client.get("/metrics")).text
    count = "trending_inference_requests_total"
    assert f'{count}{{route="/v1/titles/{{title_id}}",status="404"}} 2.0' in metrics
    assert f'{count}{{route="other",status="404"}} 2.0' in metrics
    assert f'{count}{{route="/v1/genres",status="200"}} 1.0' in metrics
    assert 'trending_inference_request_seconds_count{route="/v1/genres"} 1.0' in metrics
    assert 'trending_inference_genres_total{genre="Crime"} 1.0' in metrics
    assert 'trending_inference_confidence_ratio_bucket{le="0.8"} 0.0' in metrics
    assert "trending_inference_confidence_ratio_count 1.0" in metrics


async def test_the_openapi_description_names_problems_examples_and_limits(
    client: AsyncClient,
) -> None:
    schema = (await client.get("/openapi.json")).json()
    genres = schema["paths"]["/v1/genres"]["post"]
    usual = {"400", "404", "413", "415", "422", "503"}
    assert set(genres["responses"]) == {"200", "401", "403", "429", *usual}
    content = genres["responses"]["413"]["content"]
    assert list(content) == ["application/problem+json"]
    schemas = schema["components"]["schemas"]
    assert schemas["GenresRequest"]["examples"]
    assert schemas["GenresRequest"]["properties"]["items"]["maxItems"] == 64
    assert schemas["TextItem"]["properties"]["text"]["maxLength"] == 20_000
    assert "HTTPValidationError" not in schemas
    assert all(path.startswith("/v1/") for path in schema["paths"])
