"""Who is let in, as whom, how often, and what is said to the others."""

import hmac
import os
import re
import subprocess
import sys
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from datetime import date, timedelta
from pathlib import Path
from typing import Any

import pytest
import yaml
from fastapi.routing import APIRoute
from httpx import AsyncClient, Response
from pydantic import ValidationError

from trending_inference.access import Access, Caller, KeyRing, needed_scope
from trending_inference.problems import Problem
from trending_inference.rates import Rate
from trending_inference.settings import InferenceSettings
from trending_shared.api_keys import ApiKey, Scope
from trending_shared.clock import SystemClock
from trending_shared.errors import SettingInvalid
from trending_shared.events import InsightServed
from trending_shared.settings import read_settings
from trending_shared.testing.models import a_graph, promote

READ, PREDICT, OPERATE = Scope.READ, Scope.PREDICT, Scope.OPERATE
# What each route needs; none: nothing.
SCOPES = {
    ("GET", "/"): READ,
    ("GET", "/titles/t_1"): READ,
    ("GET", "/openapi.json"): READ,
    ("GET", "/metrics"): READ,
    ("GET", "/v1/trending"): READ,
    ("HEAD", "/v1/trending"): READ,
    ("GET", "/v1/titles"): READ,
    ("GET", "/v1/titles/t_1"): READ,
    ("GET", "/v1/models"): READ,
    ("GET", "/v1/predictions/0b6f2d58-4f0a-4c53-9f0b-5d6f3f1f7c11/lineage"): READ,
    ("GET", "/v1/genres"): READ,
    ("GET", "/nothing"): READ,
    ("OPTIONS", "/v1/genres"): READ,
    ("POST", "/v1/genres"): PREDICT,
    ("POST", "/v1/insights"): PREDICT,
    ("POST", "/v1/feedback"): PREDICT,
    ("GET", "/v1/trending/facets"): READ,
    ("POST", "/v1/jobs"): OPERATE,
    ("POST", "/v1/nothing"): OPERATE,
    ("POST", "/v1/genres/"): OPERATE,
    ("DELETE", "/v1/models"): OPERATE,
    ("PUT", "/healthz/"): OPERATE,
    ("BREW", "/v1/trending"): OPERATE,
    ("GET", "/healthz"): None,
    ("GET", "/readyz"): None,
    ("GET", "/static/trending.css"): None,
}
ASKED: dict[str, Any] = {"json": {"items": [{"text": "One last heist."}]}}


def a_key(name: str = "shop", *scopes: Scope, last_day: date | None = None) -> tuple[str, ApiKey]:
    return ApiKey.create(name, scopes or Scope, last_day)


def bearer(key: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {key}"}


def problem(response: Response) -> str:
    assert response.headers["content-type"] == "application/problem+json"
    assert response.headers["cache-control"] == "no-store"
    document = response.json()
    assert document["status"] == response.status_code
    assert document["request_id"] == response.headers["x-request-id"]
    return str(document["type"]).removeprefix("urn:trending:problem:")


@pytest.fixture
def keys() -> dict[Scope, str]:
    return {}


@pytest.fixture
async def client(world: Any, keys: dict[Scope, str]) -> AsyncIterator[AsyncClient]:
    """A gateway with a key for each scope alone."""
    promote(world.models, a_graph())
    kept = []
    for scope in Scope:
        keys[scope], key = a_key(f"only-{scope}", scope)
        kept.append(key)
    async with world.client(api_keys=tuple(kept)) as client:
        yield client


@pytest.mark.parametrize(("asked", "needed"), SCOPES.items(), ids=str)
async def test_each_route_is_for_its_own_scope(
    client: AsyncClient,
    keys: dict[Scope, str],
    asked: tuple[str, str],
    needed: Scope | None,
) -> None:
    method, path = asked
    without = await client.request(method, path)
    assert (without.status_code == 401) == (needed is not None)
    for scope, key in keys.items():
        response = await client.request(method, path, headers=bearer(key))
        allowed = needed in (scope, None)
        assert (response.status_code == 403) != allowed
        assert response.status_code != 401


async def test_no_route_is_left_out(world: Any) -> None:
    app = world.app()
    declared = {
        (method, route.path)
        for route in app.routes
        if isinstance(route, APIRoute)
        for method in route.methods or ()
    }
    for method, path in declared - {("GET", "/healthz"), ("GET", "/readyz")}:
        assert needed_scope(method, path) is not None
    described = app.openapi()
    assert described["components"]["securitySchemes"]["key"]["scheme"] == "bearer"
    for path, operations in described["paths"].items():
        for method, operation in operations.items():
            assert operation["security"] == [{"key": [needed_scope(method.upper(), path)]}]
            assert {"401", "403", "429"} <= set(operation["responses"])
            assert list(operation["responses"]["401"]["content"]) == ["application/problem+json"]


async def test_whoever_sends_no_key_is_told_how(client: AsyncClient) -> None:
    response = await client.post("/v1/genres", **ASKED)
    assert (response.status_code, problem(response)) == (401, "key-missing")
    assert response.headers["www-authenticate"] == 'Bearer realm="trending"'


async def test_a_key_for_something_else_is_told_what_is_needed(
    client: AsyncClient, keys: dict[Scope, str]
) -> None:
    response = await client.post("/v1/genres", headers=bearer(keys[READ]), **ASKED)
    assert (response.status_code, problem(response)) == (403, "scope-missing")
    assert response.headers["www-authenticate"] == (
        'Bearer realm="trending", error="insufficient_scope", scope="predict"'
    )


@pytest.mark.parametrize("scheme", ["Bearer", "bearer", "BEARER"])
async def test_a_good_key_is_answered(
    client: AsyncClient, keys: dict[Scope, str], scheme: str
) -> None:
    headers = {"Authorization": f"{scheme} {keys[PREDICT]}"}
    assert (await client.post("/v1/genres", headers=headers, **ASKED)).status_code == 200


@pytest.mark.parametrize(
    "headers",
    [
        [b"Bearer tn_" + b"a" * 43],
        [b"Bearer {key}x"],
        [b"Bearer {key[:-1]}"],
        [b"Bearer"],
        [b"Bearer "],
        [b"Bearer{key}"],
        [b"{key}"],
        [b""],
        [b"Basic {key}"],
        [b"Bearer {key} {key}"],
        [b"Bearer {key}, Bearer {key}"],
        [b"Bearer {key}", b"Bearer {key}"],
        [b"Bearer tn_wrong", b"Bearer {key}"],
        [b"Bearer \xc3\xa9\xff" + b"a" * 40],
        [b"Bearer " + b"a" * 1024 * 1024],
        [b"Bearer {hash}"],
        [b"Bearer {line}"],
    ],
    ids=lambda headers: repr(headers)[:40],
)
async def test_what_is_no_good_key_is_refused_even_where_none_is_needed(
    world: Any, headers: list[bytes]
) -> None:
    key, kept = a_key()
    known = {b"{key}": key, b"{key[:-1]}": key[:-1], b"{hash}": kept.digest.hex()}
    known[b"{line}"] = kept.line
    sent = []
    for value in headers:
        for mark, text in known.items():
            value = value.replace(mark, text.encode())
        sent.append((b"authorization", value))
    async with world.client(api_keys=(kept,), open_scopes={READ}) as client:
        response = await client.get("/v1/models", headers=sent)
        assert (response.status_code, problem(response)) == (401, "key-invalid")
        assert response.headers["www-authenticate"] == (
            'Bearer realm="trending", error="invalid_token"'
        )
        assert key not in response.text
        assert (await client.get("/v1/models")).status_code == 200
        assert (await client.get("/v1/models", headers=bearer(key))).status_code == 200


async def test_a_key_of_yesterday_is_refused_and_one_of_today_isnt(world: Any) -> None:
    today = world.clock.now().date()
    old, kept_old = a_key("old", last_day=today - timedelta(days=1))
    new, kept_new = a_key("new", last_day=today)
    async with world.client(api_keys=(kept_old, kept_new)) as client:
        response = await client.get("/v1/models", headers=bearer(old))
        assert (response.status_code, problem(response)) == (401, "key-invalid")
        assert (await client.get("/v1/models", headers=bearer(new))).status_code == 200
        world.clock.advance(timedelta(days=1))
        assert (await client.get("/v1/models", headers=bearer(new))).status_code == 401


def test_every_key_is_compared_in_constant_time_whether_it_is_known_or_not() -> None:
    compared: list[tuple[int, int]] = []

    def compare(one: bytes, other: bytes) -> bool:
        compared.append((len(one), len(other)))
        return hmac.compare_digest(one, other)

    key, kept = a_key()
    ring = KeyRing([kept, a_key("other")[1]], compare=compare)
    assert ring.find(key.encode()) is kept
    assert ring.find(b"tn_unknown") is None
    assert ring.find(b"") is None
    assert compared == [(32, 32)] * 3


def test_a_hash_that_begins_like_a_known_one_is_another() -> None:
    key, kept = a_key()
    near = ApiKey("near", kept.scopes, kept.digest[:8] + bytes(24))
    assert KeyRing([near]).find(key.encode()) is None


@pytest.mark.parametrize("host", ["127.0.0.1", "127.8.9.10", "::1", "localhost"])
def test_without_keys_the_gateway_starts_on_loopback(world: Any, host: str) -> None:
    assert world.app(host=host)


@pytest.mark.parametrize(
    "host", ["0.0.0.0", "::", "", "192.0.2.7", "2001:db8::7", "gateway", "127.1", "localhost.evil"]
)
def test_without_keys_it_refuses_to_start_elsewhere(world: Any, host: str) -> None:
    with pytest.raises(ValidationError, match=r"INFERENCE_API_KEYS: .*trending keys create"):
        world.app(host=host)
    assert world.app(host=host, api_keys=(a_key()[1],))
    assert world.app(host=host, open_scopes={READ})


@pytest.mark.parametrize("workers", ["1", "2"])
def test_the_process_that_refuses_ends_with_the_status_of_a_wrong_setting(workers: str) -> None:
    """Whoever watches it, like `trending up`, doesn't start it again."""
    process = subprocess.run(
        [sys.executable, "-m", "trending_inference"],
        env={**os.environ, "INFERENCE_HOST": "0.0.0.0", "INFERENCE_WORKERS": workers},
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )
    assert process.returncode == os.EX_CONFIG == 78
    (line,) = process.stderr.splitlines()
    assert "INFERENCE_API_KEYS: with INFERENCE_HOST=0.0.0.0 " in line
    assert "INFERENCE_OPEN_SCOPES" in line


async def test_at_home_nobody_is_asked_and_nothing_counted(world: Any) -> None:
    promote(world.models, a_graph())
    async with world.client(requests_per_minute=1, texts_per_minute=64) as client:
        for _ in range(3):
            assert (await client.get("/v1/models")).status_code == 200
            asked = {"items": [{"text": "One last heist."}] * 64}
            assert (await client.post("/v1/genres", json=asked)).status_code == 200
        response = await client.get("/v1/models", headers=bearer("tn_of-another-gateway"))
        assert response.status_code == 200


@pytest.mark.parametrize(
    ("host", "status"),
    [
        ("localhost", 200),
        ("LocalHost:8080", 200),
        ("127.0.0.1:8080", 200),
        ("[::1]:8080", 200),
        ("films.example", 401),
        ("localhost.films.example:8080", 401),
        ("127.0.0.1.films.example", 401),
        ("[2001:db8::1]:8080", 401),
        ("", 401),
        ("é", 401),
        ("localhost:" + "8" * 1024 * 1024, 401),
    ],
    ids=lambda value: str(value)[:40],
)
async def test_at_home_a_page_whose_name_was_led_here_gets_nothing(
    world: Any, host: str, status: int
) -> None:
    async with world.client() as client:
        response = await client.get("/v1/models", headers=[(b"Host", host.encode())])
        assert response.status_code == status


def access(
    *keys: ApiKey,
    open_scopes: Sequence[Scope] = (),
    at_home: bool = False,
    requests: int = 60,
    texts: int = 64,
) -> Access:
    return Access(
        keys,
        open_scopes=open_scopes,
        at_home=at_home,
        requests=Rate("requests", requests, now=lambda: 0),
        texts=Rate("texts", texts, now=lambda: 0),
        clock=SystemClock(),
    )


def admit(access: Access, client: str = "203.0.113.7", path: str = "/v1/models") -> Caller:
    headers = [(b"host", b"localhost")]
    return access.admit(method="GET", path=path, headers=headers, client=client)


def test_at_home_no_other_machine_is_let_in() -> None:
    home = access(at_home=True)
    for client in ("127.0.0.1", "::1"):
        assert admit(home, client).name == "anonymous"
    for client in ("203.0.113.7", "2001:db8::1", "", "unknown"):
        with pytest.raises(Problem) as refused:
            admit(home, client)
        assert refused.value.status_code == 401


@pytest.mark.parametrize(
    ("client", "account"),
    [
        ("203.0.113.7", "203.0.113.7"),
        ("::ffff:203.0.113.7", "203.0.113.7"),
        ("2001:db8:1:2:3:4:5:6", "2001:db8:1:2::/64"),
        ("2001:db8:1:2::", "2001:db8:1:2::/64"),
        ("2001:db8:1:3::", "2001:db8:1:3::/64"),
        ("", "anonymous"),
        ("shop", "anonymous"),
    ],
)
def test_who_has_no_key_is_an_address_in_the_counts_and_nameless_elsewhere(
    client: str, account: str
) -> None:
    assert admit(access(open_scopes=[READ]), client) == ("anonymous", account)


def test_a_key_is_its_name_wherever_it_asks_from() -> None:
    key, kept = a_key()
    shop = access(kept)
    headers = [(b"authorization", b"Bearer " + key.encode())]
    for client in ("203.0.113.7", "198.51.100.1"):
        caller = shop.admit(method="GET", path="/", headers=headers, client=client)
        assert caller == ("shop", "shop")


async def test_an_insight_is_told_to_the_name_of_its_key(world: Any) -> None:
    """By it budgets are kept."""
    await world.add_title()
    key, kept = a_key()
    async with world.client(api_keys=(kept,), open_scopes={PREDICT}) as client:
        for headers in (bearer(key), {}):
            asked = {"title_id": "t_alien"}
            response = await client.post("/v1/insights", json=asked, headers=headers)
            assert response.status_code == 200
    assert [event.caller for event in world.publisher.events(InsightServed)] == [
        "shop",
        "anonymous",
    ]


def test_addresses_without_a_key_have_shares_of_their_own() -> None:
    public = access(open_scopes=[READ], requests=2)
    for client in ("203.0.113.7", "198.51.100.1", "2001:db8::1"):
        admit(public, client)
        admit(public, client)
        with pytest.raises(Problem) as refused:
            admit(public, client)
        assert refused.value.status_code == 429
    for index in range(2, 50):
        with pytest.raises(Problem):
            admit(public, f"2001:db8::{index}")
    assert admit(public, path="/healthz")


@asynccontextmanager
async def limited(world: Any, **settings: Any) -> AsyncIterator[AsyncClient]:
    """A gateway for one key, whose client sends it."""
    promote(world.models, a_graph())
    key, kept = a_key()
    async with world.client(api_keys=(kept,), **settings) as client:
        client.headers.update(bearer(key))
        yield client


async def test_too_many_requests_are_refused_and_told_when_to_come_again(world: Any) -> None:
    async with limited(world, requests_per_minute=2) as client:
        for _ in range(2):
            assert (await client.get("/v1/models")).status_code == 200
        response = await client.get("/v1/models")
        assert (response.status_code, problem(response)) == (429, "rate-exceeded")
        assert response.headers["retry-after"] == "30"
        assert response.headers["ratelimit-policy"] == '"requests";q=2;w=60'
        assert response.headers["ratelimit"] == '"requests";r=0;t=30'
        assert (await client.post("/v1/genres", **ASKED)).status_code == 200, "counted apart"


async def test_predictions_are_counted_in_texts(world: Any) -> None:
    async with limited(world, texts_per_minute=64) as client:
        many = {"items": [{"text": "One last heist."}] * 60}
        assert (await client.post("/v1/genres", json=many)).status_code == 200
        response = await client.post("/v1/genres", json=many)
        assert (response.status_code, problem(response)) == (429, "rate-exceeded")
        assert re.fullmatch(r'"texts";r=3;t=\d+', response.headers["ratelimit"])
        few = {"items": [{"text": "One last heist."}] * 3}
        assert (await client.post("/v1/genres", json=few)).status_code == 200
        assert (await client.post("/v1/genres", **ASKED)).status_code == 429
        assert len(world.publisher.messages) == 63
        metrics = (await client.get("/metrics")).text
        count = "trending_inference_requests_total"
        assert f'{count}{{route="/v1/genres",status="429"}} 2.0' in metrics


async def test_a_refused_body_isnt_read(world: Any) -> None:
    read = []

    async def body() -> AsyncIterator[bytes]:
        read.append(True)
        yield b"{}"

    async with world.client(api_keys=(a_key()[1],)) as client:
        response = await client.post("/v1/jobs", content=body())
        assert response.status_code == 401
    assert not read
    assert world.publisher.messages == []


@pytest.mark.parametrize(
    ("variable", "value", "said"),
    [
        ("INFERENCE_API_KEYS", f"shop:own:{'ab' * 32}", "INFERENCE_API_KEYS: .*key 1: scopes are"),
        ("INFERENCE_API_KEYS", f"tn_{'a' * 43}", "INFERENCE_API_KEYS: .*that is a key"),
        ("INFERENCE_OPEN_SCOPES", "read,own", "INFERENCE_OPEN_SCOPES: "),
        ("INFERENCE_TEXTS_PER_MINUTE", "63", "INFERENCE_TEXTS_PER_MINUTE: "),
        ("INFERENCE_REQUESTS_PER_MINUTE", "0", "INFERENCE_REQUESTS_PER_MINUTE: "),
    ],
)
def test_a_setting_that_cant_be_used_is_named_and_not_repeated(
    monkeypatch: pytest.MonkeyPatch, variable: str, value: str, said: str
) -> None:
    monkeypatch.setenv(variable, value)
    with pytest.raises(SettingInvalid, match=said) as refused:
        read_settings(InferenceSettings)
    assert "aaaa" not in str(refused.value)
    assert "abab" not in str(refused.value)


def test_settings_are_read_as_the_command_line_gives_them(monkeypatch: pytest.MonkeyPatch) -> None:
    kept = [a_key("shop", READ)[1], a_key("desk", PREDICT, last_day=date(2027, 1, 31))[1]]
    monkeypatch.setenv("INFERENCE_API_KEYS", ",".join(key.line for key in kept))
    monkeypatch.setenv("INFERENCE_OPEN_SCOPES", "read, Predict")
    settings = read_settings(InferenceSettings)
    assert list(settings.api_keys) == kept
    assert settings.open_scopes == {READ, PREDICT}


def test_the_gateway_of_the_compose_file_starts_and_asks_for_a_key_where_it_matters(
    world: Any,
) -> None:
    compose = yaml.safe_load((Path(__file__).parents[2] / "docker-compose.yml").read_text())
    environment = compose["services"]["inference"]["environment"]
    found = re.fullmatch(r"\$\{INFERENCE_OPEN_SCOPES-(.*)\}", environment["INFERENCE_OPEN_SCOPES"])
    assert found
    scopes = {Scope(each) for each in found[1].split(",")}
    assert scopes == {READ, PREDICT}
    assert world.app(host=environment["INFERENCE_HOST"], open_scopes=scopes)
