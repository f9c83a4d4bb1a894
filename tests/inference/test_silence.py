"""Neither a text nor a key that was sent comes back in a log line or a problem document."""

import io
import logging
from collections.abc import AsyncIterator
from typing import Any

import pytest
import sqlalchemy as sa
from httpx import AsyncClient, Response
from pydantic import BaseModel
from structlog.contextvars import merge_contextvars
from structlog.processors import JSONRenderer, format_exc_info
from structlog.testing import capture_logs

from trending_shared.api_keys import ApiKey, Scope
from trending_shared.catalog import titles
from trending_shared.logs import NOISY
from trending_shared.testing.models import a_graph, promote

TEXT = "a-ghost-nobody-may-hear-of"
ITEM = {"text": TEXT}


class Ear:
    """Hears all that is logged at the level DEBUG, through structlog and beside it."""

    def __init__(self, entries: list[Any], others: io.StringIO) -> None:
        self._entries = entries
        self._others = others

    @property
    def heard(self) -> str:
        lines = [str(JSONRenderer()(None, "", dict(entry))) for entry in self._entries]
        return "\n".join([*lines, self._others.getvalue()])


@pytest.fixture
def ear() -> Any:
    others = io.StringIO()
    handler = logging.StreamHandler(others)
    root = logging.getLogger()
    levels = {logger: logger.level for logger in (root, *map(logging.getLogger, NOISY))}
    for logger in levels:
        logger.setLevel(logging.DEBUG if logger is root else logging.WARNING)
    root.addHandler(handler)
    try:
        with capture_logs(processors=[merge_contextvars, format_exc_info]) as entries:
            yield Ear(entries, others)
    finally:
        root.removeHandler(handler)
        for logger, level in levels.items():
            logger.setLevel(level)


class Strict(BaseModel):
    """Its errors repeat what it was given."""

    number: int


@pytest.fixture
def secrets() -> list[str]:
    """What must not be told; every key that a test makes is added."""
    return [TEXT]


@pytest.fixture
async def client(world: Any, secrets: list[str]) -> AsyncIterator[AsyncClient]:
    """A gateway that knows two keys, `all` and `reader`, with some routes that break."""
    promote(world.models, a_graph())
    key, kept = ApiKey.create("all", Scope)
    reading, kept_reading = ApiKey.create("reader", [Scope.READ])
    secrets += [key, reading, kept.digest.hex(), kept_reading.digest.hex()]
    app = world.app(api_keys=(kept, kept_reading), texts_per_minute=64)

    async def raises(text: str) -> None:
        try:
            raise KeyError(text)
        except KeyError as error:
            raise ValueError(f"never heard of {text}") from error

    async def validates(text: str) -> None:
        Strict.model_validate({"number": text})

    app.add_api_route("/raises", raises)
    app.add_api_route("/validates/{text}", validates)
    async with world.client_of(app) as client:
        client.headers["Authorization"] = f"Bearer {key}"
        yield client


def check(response: Response, status: int, ear: Ear, secrets: list[str]) -> None:
    assert response.status_code == status
    if status >= 400:
        assert response.headers["content-type"] == "application/problem+json"
        for secret in secrets:
            assert secret not in response.text
    for secret in secrets:
        assert secret not in ear.heard


async def test_an_answer(client: AsyncClient, ear: Ear, secrets: list[str]) -> None:
    check(await client.post("/v1/genres", json={"items": [ITEM]}), 200, ear, secrets)


async def test_an_insight(client: AsyncClient, ear: Ear, secrets: list[str]) -> None:
    story = {"name": TEXT, "plot": f"{TEXT} haunts a house. " * 20, "reviews": [TEXT]}
    response = await client.post("/v1/insights", json=story)
    assert response.status_code == 200
    assert "insight_told" in ear.heard
    for secret in secrets:
        assert secret not in ear.heard


@pytest.mark.parametrize("key", ["tn_of-a-stranger", f"tn_{'s' * 43}", TEXT])
async def test_401(client: AsyncClient, ear: Ear, secrets: list[str], key: str) -> None:
    secrets.append(key)
    response = await client.post(
        "/v1/genres", json={"items": [ITEM]}, headers={"Authorization": f"Bearer {key}"}
    )
    check(response, 401, ear, secrets)


async def test_403_tells_the_keys_name(client: AsyncClient, ear: Ear, secrets: list[str]) -> None:
    response = await client.post(
        "/v1/genres",
        json={"items": [ITEM]},
        headers={"Authorization": f"Bearer {secrets[2]}"},
    )
    check(response, 403, ear, secrets)
    assert '"key": "reader"' in ear.heard


@pytest.mark.parametrize(
    "item",
    [{"text": [TEXT]}, {"plot": TEXT, "kind": TEXT}, {"text": TEXT, "plot": TEXT}, TEXT],
    ids=str,
)
async def test_422(client: AsyncClient, ear: Ear, secrets: list[str], item: Any) -> None:
    check(await client.post("/v1/genres", json={"items": [item]}), 422, ear, secrets)


async def test_422_of_a_query(client: AsyncClient, ear: Ear, secrets: list[str]) -> None:
    check(await client.get("/v1/trending", params={"day": TEXT}), 422, ear, secrets)


async def test_404_and_429(client: AsyncClient, ear: Ear, secrets: list[str]) -> None:
    check(await client.get(f"/v1/titles/{TEXT}"), 404, ear, secrets)
    check(await client.get(f"/{TEXT}"), 404, ear, secrets)
    assert (await client.post("/v1/genres", json={"items": [ITEM] * 64})).status_code == 200
    check(await client.post("/v1/genres", json={"items": [ITEM]}), 429, ear, secrets)


@pytest.mark.parametrize("path", [f"/raises?text={TEXT}", f"/validates/{TEXT}"])
async def test_500_tells_where_and_what_kind(
    client: AsyncClient, ear: Ear, secrets: list[str], path: str
) -> None:
    check(await client.get(path, headers={"X-Request-Id": "order-17"}), 500, ear, secrets)
    assert "Error" in ear.heard
    assert "test_silence.py" in ear.heard
    assert '"caller": "all"' in ear.heard
    assert '"request_id": "order-17"' in ear.heard
    if path.startswith("/raises"):
        assert ear.heard.index("KeyError") > ear.heard.index("ValueError")


async def test_503_of_a_catalog_that_fails_at_what_was_searched_for(
    world: Any, client: AsyncClient, ear: Ear, secrets: list[str]
) -> None:
    async with world.catalog.transaction() as connection:
        await connection.execute(sa.schema.DropTable(titles))
    check(await client.get("/v1/titles", params={"query": TEXT}), 503, ear, secrets)
    assert "no such table" in ear.heard


async def test_a_prediction_that_isnt_recorded(
    world: Any, client: AsyncClient, ear: Ear, secrets: list[str]
) -> None:
    world.publisher.down = True
    check(await client.post("/v1/genres", json={"items": [ITEM]}), 200, ear, secrets)
    assert "predictions_not_recorded" in ear.heard


async def test_an_answer_that_breaks_off(world: Any, ear: Ear) -> None:
    """The server has nothing to log of it: it is told of no error."""

    async def breaks(scope: Any, receive: Any, send: Any) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": []})
        raise ValueError(TEXT)

    app = world.app()
    app.mount("/breaks", breaks)
    sent = []

    async def send(message: Any) -> None:
        sent.append(message["type"])

    async def receive() -> Any:
        return {"type": "http.request"}

    scope = {
        "type": "http",
        "method": "GET",
        "path": "/breaks/",
        "query_string": b"",
        "headers": [(b"host", b"localhost")],
        "client": ("127.0.0.1", 1),
    }
    await app(scope, receive, send)
    assert sent == ["http.response.start"]
    assert "ValueError" in ear.heard
    assert TEXT not in ear.heard
