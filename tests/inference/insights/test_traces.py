"""A question to a language model as a span: what it cost, and nothing of what was said."""

from typing import Any

from trending_shared.testing.collecting import Collector
from trending_shared.testing.llm import FakeLlm, fails


async def ask(film: Any, llm: FakeLlm) -> None:
    async with film.client(openai_base_url=llm.url, openai_api_key="sk-secret") as client:
        response = await client.post("/v1/insights", json={"title_id": "t_alien"})
    assert response.status_code == 200


async def test_a_question_is_a_span_of_its_request(
    film: Any, llm: FakeLlm, traces: Collector
) -> None:
    await ask(film, llm)
    (chat,) = traces.named("chat gpt-4o-mini")
    assert traces.parent_of(chat).name == "POST /v1/insights"
    assert (chat.kind, chat.failed) == ("CLIENT", False)
    assert chat.attributes["gen_ai.operation.name"] == "chat"
    assert chat.attributes["gen_ai.request.model"] == "gpt-4o-mini"
    assert chat.attributes["gen_ai.usage.input_tokens"] > 0
    assert chat.attributes["gen_ai.usage.output_tokens"] > 0
    told = repr(traces.spans)
    assert "freighter" not in told
    assert "sk-secret" not in told


async def test_a_question_that_fails_is_told_by_its_kind(
    film: Any, llm: FakeLlm, traces: Collector
) -> None:
    llm.replies = [fails(401)]
    await ask(film, llm)
    (chat,) = traces.named("chat gpt-4o-mini")
    assert (chat.failed, chat.attributes["error.type"]) == (True, "llm-denied")
