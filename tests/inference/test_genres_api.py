"""`POST /v1/genres`: what is answered, what is recorded, and what is refused."""

import asyncio
from collections.abc import AsyncIterator
from typing import Any
from uuid import UUID

import pytest
from httpx import AsyncClient, Response

from trending_shared.events import PredictionServed
from trending_shared.features import compose_text, normalise_text, text_hash
from trending_shared.testing.models import GENRES, a_graph, promote

HEIST = {"text": "One last heist, and a laugh at the end."}


@pytest.fixture
async def client(world: Any) -> AsyncIterator[AsyncClient]:
    promote(world.models, a_graph())
    async with world.client() as client:
        yield client


async def ask(client: AsyncClient, *items: Any, **headers: str) -> Response:
    return await client.post("/v1/genres", json={"items": list(items)}, headers=headers)


def problem(response: Response) -> str:
    assert response.headers["content-type"] == "application/problem+json"
    document = response.json()
    assert document["status"] == response.status_code
    assert document["request_id"] == response.headers["x-request-id"]
    return str(document["type"]).removeprefix("urn:trending:problem:")


async def counted(client: AsyncClient, status: int) -> float:
    """How many requests for genres had this status, as `/metrics` tells it."""
    start = f'trending_inference_requests_total{{route="/v1/genres",status="{status}"}} '
    lines = (await client.get("/metrics")).text.splitlines()
    return sum(float(line.removeprefix(start)) for line in lines if line.startswith(start))


async def test_an_answer_is_nobodys_to_keep_or_to_frame(client: AsyncClient) -> None:
    headers = (await ask(client, HEIST)).headers
    assert headers["cache-control"] == "no-store"
    assert headers["x-content-type-options"] == "nosniff"
    assert headers["x-frame-options"] == "DENY"
    assert headers["cross-origin-resource-policy"] == "same-origin"


async def test_genres_above_their_thresholds_are_given_most_probable_first(
    client: AsyncClient, world: Any
) -> None:
    response = await ask(client, HEIST)
    (item,) = response.json()["items"]
    manifest = world.models.champion("genres")
    assert item["genres"] == ["Comedy", "Crime"]
    assert item["probabilities"] == {"Comedy": 0.9, "Crime": 0.9, "Horror": 0.1}
    assert item["abstained"] is False
    assert item["model"] == {"name": "genres", "version": manifest.version, "alias": "champion"}
    assert response.headers["cache-control"] == "no-store"


async def test_a_text_below_every_threshold_gets_no_genre(client: AsyncClient) -> None:
    (item,) = (await ask(client, {"text": "Nothing happens."})).json()["items"]
    assert (item["genres"], item["abstained"]) == ([], True)
    assert set(item["probabilities"]) == set(GENRES)


async def test_each_answer_belongs_to_its_item(client: AsyncClient) -> None:
    stories = [f"a {list(GENRES.values())[index % 3]} {index}" for index in range(64)]
    items = (await ask(client, *({"text": story} for story in stories))).json()["items"]
    given = [item["genres"] for item in items]
    assert given == [[list(GENRES)[index % 3]] for index in range(64)]
    assert len({item["prediction_id"] for item in items}) == 64


async def test_a_title_and_a_story_in_parts_become_the_text_that_training_saw(
    client: AsyncClient, world: Any
) -> None:
    await world.add_title()
    plot = "A ghost of a signal leads a freighter to a silent moon."
    parts = {
        "name": "Alien",
        "plot": plot,
        "kind": "film",
        "countries": ["United Kingdom"],
    }
    response = await ask(client, {"title_id": "t_alien"}, parts)
    title, story = response.json()["items"]
    assert title["genres"] == story["genres"] == ["Horror"]
    assert (title["title_id"], story["title_id"]) == ("t_alien", None)
    text = compose_text(name="Alien", plot=plot, kind="film", countries=["United Kingdom"])
    assert {event.text for event in world.publisher.events(PredictionServed)} == {text}


async def test_texts_are_made_by_the_recipe_of_the_model_in_service(world: Any) -> None:
    promote(world.models, a_graph(), recipe="name-plot-reviews-kind-countries-1")
    await world.add_title()
    await world.add_review("r_1", "t_alien", text="The ghost is the best part.")
    await world.add_review("r_2", "t_other", text="Of another film.")
    story = {"name": "Low Tide", "plot": "A diver.", "reviews": ["Made me laugh."]}
    async with world.client() as client:
        await ask(client, {"title_id": "t_alien"}, story)
    told, composed = (event.text for event in world.publisher.events(PredictionServed))
    assert "a silent moon. the ghost is the best part. kind_film" in told
    assert "another" not in told
    assert composed == "low tide a diver. made me laugh."


async def test_every_answer_is_recorded_as_an_event_under_its_own_id(
    client: AsyncClient, world: Any
) -> None:
    request_id = "0b6f2d58-4f0a-4c53-9f0b-5d6f3f1f7c11"
    response = await ask(client, HEIST, {"text": "A ghost"}, **{"X-Request-Id": request_id})
    items = response.json()["items"]
    messages = world.publisher.messages
    assert [str(message.id) for message in messages] == [item["prediction_id"] for item in items]
    assert {message.correlation_id for message in messages} == {UUID(request_id)}
    event = messages[0].event
    assert event.text == normalise_text(HEIST["text"])
    assert event.text_hash == text_hash(event.text)
    assert event.probabilities == items[0]["probabilities"]
    assert event.genres == ("Comedy", "Crime")
    assert (event.request_id, event.served_at) == (request_id, world.clock.now())
    assert all(item["recorded"] for item in items)


async def test_a_broker_that_is_down_costs_the_record_but_not_the_answer(
    client: AsyncClient, world: Any
) -> None:
    world.publisher.down = True
    response = await ask(client, HEIST)
    assert response.status_code == 200
    assert response.json()["items"][0]["recorded"] is False
    metrics = (await client.get("/metrics")).text
    assert "trending_inference_unrecorded_predictions_total 1.0" in metrics


async def test_a_broker_that_never_answers_is_waited_for_no_longer_than_told(world: Any) -> None:
    promote(world.models, a_graph())

    async def forever(messages: Any) -> None:
        await asyncio.Event().wait()

    world.publisher.publish = forever
    async with world.client(publish_timeout=0.01) as client:
        assert (await ask(client, HEIST)).json()["items"][0]["recorded"] is False


@pytest.mark.parametrize(
    ("items", "status", "kind"),
    [
        ([], 422, "no-items"),
        ([{"text": "x"}] * 65, 413, "too-many-items"),
        ([{"text": ""}], 422, "text-empty"),
        ([{"text": " \n\t "}], 422, "text-empty"),
        ([{"text": "x" * 20_001}], 413, "text-too-long"),
        ([{"text": "x" * 100_000}], 413, "text-too-long"),
        ([{"plot": "x" * 20_001}], 413, "text-too-long"),
        ([{"text": 7}], 422, "request-invalid"),
        ([{"text": None}], 422, "request-invalid"),
        ([{"text": "a", "title_id": "t"}], 422, "request-invalid"),
        ([{"txet": "a"}], 422, "request-invalid"),
        ([{"plot": "a", "kind": "movie"}], 422, "request-invalid"),
        (["a"], 422, "request-invalid"),
        ([{"title_id": "t_nobody"}], 404, "title-unknown"),
    ],
)
async def test_a_malformed_item_is_refused_with_a_named_problem(
    client: AsyncClient, world: Any, items: list[Any], status: int, kind: str
) -> None:
    response = await ask(client, *items)
    assert (response.status_code, problem(response)) == (status, kind)
    assert world.publisher.messages == []


async def test_a_text_of_the_greatest_length_is_answered(client: AsyncClient) -> None:
    response = await ask(client, {"text": "heist " * 3333 + " a"})
    assert response.json()["items"][0]["genres"] == ["Crime"]


async def test_a_refusal_says_where_and_repeats_nothing_of_what_was_sent(
    client: AsyncClient,
) -> None:
    secret = "my-secret-story"
    response = await ask(client, {"text": "fine"}, {"text": secret, "kind": secret})
    document = response.json()
    assert document["errors"][0]["pointer"].startswith("body/items/1")
    assert secret not in response.text


@pytest.mark.parametrize(
    ("body", "status", "kind"),
    [
        (b"{", 422, "json-invalid"),
        (b'{"items": [{"text": "A gho', 422, "json-invalid"),
        (b"", 422, "json-invalid"),
        (b"[]", 422, "request-invalid"),
        (b"null", 422, "request-invalid"),
        (b"\xff\xfe", 422, "json-invalid"),
        (b'{"items": [{"text": "\\ud800"}]}', 422, "json-invalid"),
        (b"[" * 50_000, 422, "json-invalid"),
    ],
)
async def test_a_body_that_is_no_such_json_is_a_named_problem_that_is_counted(
    client: AsyncClient, body: bytes, status: int, kind: str
) -> None:
    response = await client.post(
        "/v1/genres", content=body, headers={"content-type": "application/json"}
    )
    assert (response.status_code, problem(response)) == (status, kind)
    assert await counted(client, status) == 1


@pytest.mark.parametrize(
    ("text", "status", "kind"),
    [("", 422, "text-empty"), ("\u200b", 422, "text-empty"), ("x" * 100_000, 413, "text-too-long")],
)
async def test_an_empty_text_and_one_of_100_kb_are_named_problems_that_are_counted(
    client: AsyncClient, world: Any, text: str, status: int, kind: str
) -> None:
    response = await ask(client, {"text": text})
    assert (response.status_code, problem(response)) == (status, kind)
    assert await counted(client, status) == 1
    assert world.publisher.messages == []
    assert (await ask(client, HEIST)).status_code == 200


@pytest.mark.parametrize("media_type", ["text/plain", "application/x-www-form-urlencoded", ""])
async def test_another_media_type_than_json_is_refused(
    client: AsyncClient, media_type: str
) -> None:
    response = await client.post(
        "/v1/genres", content=b'{"items":[{"text":"a"}]}', headers={"content-type": media_type}
    )
    assert (response.status_code, problem(response)) == (415, "not-json")


async def test_without_a_model_it_says_when_to_come_back(world: Any) -> None:
    async with world.client() as client:
        response = await ask(client, HEIST)
        assert (response.status_code, problem(response)) == (503, "model-not-found")
        assert int(response.headers["retry-after"]) > 0


async def test_too_many_waiting_requests_are_shed(world: Any) -> None:
    promote(world.models, a_graph())
    async with world.client(max_waiting=1, threads=1) as client:
        responses = await asyncio.gather(*(ask(client, HEIST) for _ in range(20)))
        by_status = sorted({response.status_code for response in responses})
        assert by_status == [200, 503]
        shed = [response for response in responses if response.status_code == 503]
        assert {problem(response) for response in shed} == {"overloaded"}
        assert all(response.headers["retry-after"] for response in shed)
        metrics = (await client.get("/metrics")).text
        assert f"trending_inference_shed_requests_total {len(shed)}.0" in metrics


async def test_hostile_texts_are_texts(client: AsyncClient) -> None:
    texts = ["<script>heist</script>", "heist\u0000\u202e\u200b", "🏴‍☠️ heist", "heist' OR 1=1 --"]
    items = (await ask(client, *({"text": text} for text in texts))).json()["items"]
    assert [item["genres"] for item in items] == [["Crime"]] * 4


@pytest.mark.parametrize("seconds", ["0", "-1", "nan", "inf", "soon", ""])
async def test_a_time_that_nobody_can_wait_is_refused(client: AsyncClient, seconds: str) -> None:
    response = await ask(client, HEIST, **{"X-Request-Timeout": seconds})
    assert (response.status_code, problem(response)) == (422, "request-invalid")
    assert (await ask(client, HEIST, **{"X-Request-Timeout": "5.5"})).status_code == 200


async def test_how_long_a_caller_waits_is_described(client: AsyncClient) -> None:
    described = (await client.get("/openapi.json")).json()["paths"]["/v1/genres"]["post"]
    assert [each["name"] for each in described["parameters"]] == [
        "x-request-timeout",
        "x-unit-id",
    ]
    assert described["requestBody"]["content"]["application/json"]["schema"]
