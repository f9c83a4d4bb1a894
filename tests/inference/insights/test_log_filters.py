"""What CloudWatch counts of the lines that a gateway prints."""

import asyncio
from collections import Counter
from collections.abc import Callable
from typing import Any

from trending_inference.door import Refused
from trending_shared.testing.llm import FakeLlm, fails
from trending_shared.testing.models import promote

Counted = Callable[[], Counter[str]]


async def test_answers_with_5xx_are_counted_and_others_are_not(
    world: Any, counted: Counted
) -> None:
    async def broken() -> None:
        raise KeyError

    app = world.app()
    app.add_api_route("/broken", broken)
    async with world.client_of(app) as client:
        for path in ("/v1/models", "/nothing"):
            await client.get(path)
        assert counted() == {}
        await client.get("/broken")
        await client.post("/v1/genres", json={"items": [{"text": "a heist"}]})  # without a model
    assert counted() == {"RequestsFailed": 2}


async def test_refusals_at_the_door_are_counted_by_how_many_there_were(
    world: Any, counted: Counted
) -> None:
    refused = Refused()
    for _ in range(7):
        refused.count(asyncio.get_running_loop())

    async def told() -> Counter[str]:
        return counted()

    await world.until(told)
    assert counted() == {"RequestsShed": 7}


async def test_a_version_that_cannot_be_served_is_counted(world: Any, counted: Counted) -> None:
    promote(world.models, b"no graph at all")
    async with world.client() as client:
        await client.get("/v1/models")
    assert counted() == {"VersionsBroken": 1}


async def test_what_the_language_model_does_not_answer_is_counted(
    film: Any, llm: FakeLlm, counted: Counted
) -> None:
    llm.replies = [fails(500), fails(500)]
    settings = {"openai_api_key": "sk-test-0123456789", "openai_base_url": llm.url}
    async with film.client(**settings) as client:
        await client.post("/v1/insights", json={"title_id": "t_alien"})
    assert counted() == {"LlmFailed": 2}
