"""Experiments with prompts, and with the models that insights rest on."""

from typing import Any

import pytest
from httpx import AsyncClient

from trending_inference.insights.serving_prompt import built_in
from trending_shared.catalog import spending
from trending_shared.events import InsightServed, PredictionServed
from trending_shared.experiments import Arm, assign, hash_unit
from trending_shared.prompts import Prompt, PromptRegistry
from trending_shared.testing.llm import FakeLlm, fails
from trending_shared.testing.models import a_graph

UNITS = [f"viewer-{number}" for number in range(8)]
SHADOWS = "trending_inference_shadows_total"


def control() -> Arm:
    return Arm(name="control", version="champion", weight=1)


def candidate(version: str, weight: float = 0, shadow: float = 0) -> Arm:
    return Arm(name="candidate", version=version, weight=weight, shadow=shadow)


async def metric(client: AsyncClient, sample: str) -> float:
    lines = (await client.get("/metrics")).text.splitlines()
    return sum(float(line.rsplit(" ", 1)[1]) for line in lines if line.startswith(sample))


async def genre_model(client: AsyncClient, unit: str) -> str:
    body = {"items": [{"text": "a heist"}]}
    response = await client.post("/v1/genres", json=body, headers={"X-Unit-Id": unit})
    return str(response.json()["items"][0]["model"]["version"])


@pytest.fixture
def terse(world: Any) -> Prompt:
    prompt = built_in().model_copy(update={"system": "Be brief."})
    PromptRegistry(world.store).register(prompt)
    return prompt


def with_llm(llm: FakeLlm, **changes: Any) -> dict[str, Any]:
    return {"openai_api_key": "sk-test", "openai_base_url": llm.url, **changes}


async def tell(client: AsyncClient, unit: str) -> dict[str, Any]:
    response = await client.post(
        "/v1/insights", json={"title_id": "t_alien"}, headers={"X-Unit-Id": unit}
    )
    assert response.status_code == 200, response.text
    answer: dict[str, Any] = response.json()
    return answer


async def test_prompts_are_compared_as_models_are(film: Any, llm: FakeLlm, terse: Prompt) -> None:
    experiment = film.experiment(control(), candidate(terse.version, 1), subject="prompts")
    versions = {"control": built_in().version, "candidate": terse.version}
    async with film.client(**with_llm(llm)) as client:
        for unit in UNITS:
            arm = assign(experiment, unit).arm.name
            assert (await tell(client, unit))["prompt"]["version"] == versions[arm]
            event = film.publisher.events(InsightServed)[-1]
            assert (event.trial.arm, event.trial.unit) == (arm, hash_unit("autumn", unit))
            assert event.prompt_version == versions[arm]
    assert {request["messages"][0]["content"] for request in llm.requests} == {
        built_in().system,
        "Be brief.",
    }
    assert {event.trial for event in film.publisher.events(PredictionServed)} == {None}


async def test_a_unit_has_one_arm_of_models_in_genres_and_insights_alike(
    film: Any, llm: FakeLlm
) -> None:
    other = film.register(a_graph(likely=0.8))
    film.experiment(control(), candidate(other.version, 1))
    async with film.client(**with_llm(llm)) as client:
        for unit in UNITS:
            answer = await tell(client, unit)
            assert answer["model"]["version"] == await genre_model(client, unit)


async def test_a_prompt_in_shadow_is_asked_after_the_answer_and_paid_for_apart(
    film: Any, llm: FakeLlm, terse: Prompt
) -> None:
    film.experiment(control(), candidate(terse.version, shadow=1), subject="prompts")
    async with film.client(**with_llm(llm, llm_caller_day_usd=0.01)) as client:
        answer = await tell(client, "viewer-7")
        assert answer["prompt"]["version"] == built_in().version
        await film.until(lambda: metric(client, SHADOWS))
        assert await metric(client, "trending_inference_insights_total") == 1
        assert await metric(client, "trending_inference_llm_calls_total") == 2
    seen, shadow = film.publisher.events(InsightServed)
    assert shadow.trial.shadow_of == seen.insight_id == answer["insight_id"]
    assert (seen.trial.arm, shadow.trial.arm) == ("control", "candidate")
    assert (shadow.prompt_version, shadow.outcome) == (terse.version, "answered")
    assert (shadow.evidence_hash, shadow.answer_hash) == (seen.evidence_hash, seen.answer_hash)
    assert (seen.caller, shadow.caller) == ("anonymous", ":shadow")
    assert shadow.cost_usd == seen.cost_usd > 0


async def test_a_shadow_over_its_budget_takes_nothing_from_callers(
    film: Any, llm: FakeLlm, terse: Prompt
) -> None:
    film.experiment(control(), candidate(terse.version, shadow=1), subject="prompts")
    spent = {"day": film.clock.now().date(), "caller": ":shadow", "micro_usd": 10**6, "calls": 9}
    async with film.catalog.transaction() as connection:
        await film.catalog.insert_new(connection, spending, [spent])
    async with film.client(**with_llm(llm)) as client:
        assert (await tell(client, "viewer-7"))["outcome"] == "answered"
        await film.until(lambda: metric(client, SHADOWS))
    shadow = film.publisher.events(InsightServed)[-1]
    assert (shadow.outcome, shadow.reason) == ("degraded", "over-budget")
    assert len(llm.requests) == 1


async def test_models_in_shadow_are_asked_for_what_insights_rest_on(
    film: Any, llm: FakeLlm
) -> None:
    other = film.register(a_graph(likely=0.8))
    film.experiment(control(), candidate(other.version, shadow=1))
    llm.replies = [fails(401)]
    async with film.client(**with_llm(llm)) as client:
        answer = await tell(client, "viewer-7")
        await film.until(lambda: metric(client, SHADOWS))
    seen, shadow = film.publisher.events(PredictionServed)
    assert seen.prediction_id == answer["prediction_id"] == shadow.trial.shadow_of
    assert (shadow.model_version, shadow.text) == (other.version, seen.text)
