"""`POST /v1/feedback`: what becomes of a correction, and what isn't one."""

from collections.abc import AsyncIterator
from typing import Any
from uuid import UUID

import pytest
from httpx import AsyncClient

from trending_shared.catalog import corrections
from trending_shared.events import GenresCorrected
from trending_shared.features import text_hash
from trending_shared.testing.models import a_graph, promote

ADDRESS = "127.0.0.1"  # as httpx says it to the app


@pytest.fixture
async def client(world: Any) -> AsyncIterator[AsyncClient]:
    async with world.client() as client:
        yield client


async def test_a_title_is_corrected_with_all_that_a_labelled_row_needs(world: Any) -> None:
    manifest = promote(world.models, a_graph())
    await world.add_title(name="Alien", plot="A ghost.", kind="film", countries=["Chad"])
    await world.add_prediction("t_alien", manifest.version, Horror=0.9)
    async with world.client() as client:
        response = await client.post(
            "/v1/feedback", json={"title_id": "t_alien", "genres": ["Horror", "Comedy"]}
        )
        shown = (await client.get("/v1/titles/t_alien")).json()["predicted"]
    assert response.status_code == 202
    (message,) = world.publisher.messages
    assert str(message.id) == response.json()["feedback_id"]
    text = "alien a ghost. kind_film country_chad"
    assert message.event == GenresCorrected(
        feedback_id=str(message.id),
        title_id="t_alien",
        prediction_id=shown["prediction_id"],
        text=text,
        text_hash=text_hash(text),
        genres=("Comedy", "Horror"),
        model="genres",
        model_version=manifest.version,
        said_by="anonymous",
        corrected_at=world.clock.now(),
    )
    assert message.causation_id == UUID(shown["prediction_id"])


async def test_a_title_can_be_corrected_before_any_model_has_seen_it(
    client: AsyncClient, world: Any
) -> None:
    await world.add_title()
    body = {"title_id": "t_alien", "genres": ["Horror"]}
    assert (await client.post("/v1/feedback", json=body)).status_code == 202
    (event,) = world.publisher.events(GenresCorrected)
    assert (event.model, event.model_version, event.prediction_id) == (None, None, None)
    assert event.key == "t_alien"


async def test_a_prediction_is_corrected_by_its_id(client: AsyncClient, world: Any) -> None:
    id = await world.add_record()
    body = {"prediction_id": id, "genres": ["Comedy"]}
    assert (await client.post("/v1/feedback", json=body)).status_code == 202
    (event,) = world.publisher.events(GenresCorrected)
    assert (event.prediction_id, event.title_id, event.key) == (id, None, id)
    assert (event.text, event.model_version) == ("a ghost", "v1")


async def test_the_lineage_of_a_prediction_has_what_was_said_instead(
    client: AsyncClient, world: Any
) -> None:
    id = await world.add_record()
    await client.post("/v1/feedback", json={"prediction_id": id, "genres": ["Comedy"]})
    (event,) = world.publisher.events(GenresCorrected)
    row = event.model_dump() | {"genres": list(event.genres)}
    async with world.catalog.transaction() as connection:  # as the monitor does
        await world.catalog.insert_new(connection, corrections, [row])
    lineage = (await client.get(f"/v1/predictions/{id}/lineage")).json()
    assert lineage["corrections"] == [
        {
            "feedback_id": event.feedback_id,
            "genres": ["Comedy"],
            "said_by": "anonymous",
            "corrected_at": "2026-11-01T18:00:00Z",
        }
    ]


async def test_the_same_feedback_under_the_same_key_is_the_same(
    client: AsyncClient, world: Any
) -> None:
    await world.add_title()

    async def say(key: str, *genres: str) -> str:
        response = await client.post(
            "/v1/feedback",
            json={"title_id": "t_alien", "genres": genres},
            headers={"Idempotency-Key": key},
        )
        return str(response.json()["feedback_id"])

    first = await say("one", "Horror")
    assert await say("one", "Horror") == first
    assert await say("two", "Horror") != first
    assert await say("one", "Comedy") != first, "another opinion isn't lost behind a key"


async def test_who_said_it_is_told_apart_and_led_back_to_no_address(world: Any) -> None:
    await world.add_title()
    body = {"title_id": "t_alien", "genres": ["Horror"]}
    for _ in range(2):
        async with world.client(open_scopes={"read", "predict"}) as client:
            for _ in range(2):
                assert (await client.post("/v1/feedback", json=body)).status_code == 202
    one, again, other, _ = (event.said_by for event in world.publisher.events(GenresCorrected))
    assert one.startswith("anonymous-")
    assert one == again
    assert one != other, "another process, another hash: nobody can try all addresses"
    assert ADDRESS not in str(world.publisher.messages)


@pytest.mark.parametrize(
    ("body", "kind"),
    [
        ({"title_id": "t_nobody", "genres": ["Horror"]}, "title-unknown"),
        ({"prediction_id": str(UUID(int=7)), "genres": ["Horror"]}, "prediction-unknown"),
    ],
)
async def test_what_isnt_there_cant_be_corrected(
    client: AsyncClient, world: Any, body: dict[str, Any], kind: str
) -> None:
    response = await client.post("/v1/feedback", json=body)
    assert response.status_code == 404
    assert response.json()["type"] == f"urn:trending:problem:{kind}"
    assert world.publisher.messages == []


@pytest.mark.parametrize(
    "changes",
    [
        {"genres": []},
        {"genres": ["Western"]},
        {"genres": ["Horror", "Horror"]},
        {"genres": "Horror"},
        {"comment": "see https://example.org"},
        {"prediction_id": str(UUID(int=7))},
        {"title_id": "a\x00b"},
    ],
)
async def test_senseless_feedback_is_refused(
    client: AsyncClient, world: Any, changes: dict[str, Any]
) -> None:
    await world.add_title()
    body = {"title_id": "t_alien", "genres": ["Horror"]} | changes
    assert (await client.post("/v1/feedback", json=body)).status_code == 422
    assert world.publisher.messages == []


async def test_feedback_that_kafka_didnt_take_is_not_accepted(
    client: AsyncClient, world: Any
) -> None:
    await world.add_title()
    world.publisher.down = True
    body = {"title_id": "t_alien", "genres": ["Horror"]}
    assert (await client.post("/v1/feedback", json=body)).status_code == 503
