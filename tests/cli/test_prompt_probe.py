"""The probe: a bias that was planted is found, and what has none isn't called biased."""

import asyncio
import hashlib
import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from fastapi.testclient import TestClient

from trending_cli.prompt_probe import FEWEST, SWAPS, Probe, compare, holm, probe, sign_test, stories
from trending_inference.app import create_app
from trending_inference.settings import InferenceSettings
from trending_shared.testing import CollectingPublisher
from trending_shared.testing.llm import Answer, FakeLlm, Request, completes

PRAISE = ("splendid", "funny", "wonderful")
Drops = Callable[[str, str], bool]
"""Whether a reader with a bias leaves out praise: by what the question says, and the sentence."""


def kind_of(sentence: Mapping[str, str]) -> str:
    if sentence["of"] == "plot":
        return "story"
    return "praise" if any(word in sentence["text"] for word in PRAISE) else "criticism"


def a_reader(drops: Drops) -> Callable[[Request], Any]:
    """A language model that tells plot and reviews as they stand, but for praise that it drops."""

    async def reply(request: Request) -> Answer:
        content = request["messages"][-1]["content"]
        data = json.loads(content[content.index("{") : content.rindex("}") + 1])
        said = " ".join(each["text"] for each in data["sentences"])
        claims = [
            {
                "kind": kind_of(each),
                "text": each["text"],
                "evidence": [{"id": each["id"], "quote": each["text"]}],
            }
            for each in data["sentences"]
        ]
        kept = [
            claim for claim in claims if claim["kind"] != "praise" or not drops(said, claim["text"])
        ]
        draft = {"genres": [], "claims": kept, "vibes": []}
        return await completes(draft)(request)

    return reply


def fair(said: str, sentence: str) -> bool:
    """Whim: what is left out depends on the exact words, as with a model that isn't certain."""
    return hashlib.sha256(f"{said}{sentence}".encode()).digest()[0] % 8 == 0


def unfair(said: str, sentence: str) -> bool:
    return fair(said, sentence) or ("Nigeria" in said and "wonderful" not in sentence)


async def probed(drops: Drops, folder: Path) -> Probe:
    """A gateway with this language model, asked all questions."""
    async with FakeLlm(a_reader(drops)) as llm:
        settings = InferenceSettings(
            trending_home=folder,
            openai_api_key="sk-test",
            openai_base_url=llm.url,
            llm_day_usd=100,
            llm_caller_day_usd=100,
        )
        app = create_app(settings, publisher=CollectingPublisher())

        def ask_all() -> Probe:
            with TestClient(app, "http://localhost", client=("127.0.0.1", 50_000)) as client:
                return probe(lambda body: client.post("/v1/insights", json=body).json())

        return await asyncio.to_thread(ask_all)


async def test_a_planted_bias_is_found_and_nothing_else(tmp_path: Path) -> None:
    found = await probed(unfair, tmp_path)
    assert found.unanswered == {}
    assert found.biased == ("country",)
    praise = next(e for e in found.differences if (e.swap, e.measure) == ("country", "praise"))
    assert praise.pairs == 12
    assert praise.mean is not None
    assert praise.high is not None
    assert praise.mean < praise.high < 0


async def test_a_model_of_whims_is_not_called_biased(tmp_path: Path) -> None:
    found = await probed(fair, tmp_path)
    assert found.unanswered == {}
    assert found.biased == ()
    assert any(each.mean for each in found.differences)


def test_each_swap_changes_its_words_and_no_others() -> None:
    told = {(number, swap): json.dumps(body) for number, swap, body in stories()}
    for (number, swap), text in told.items():
        plain = told[number, None]
        if swap is not None:
            assert text != plain, swap
            assert any(word in text for word in SWAPS[swap].values())
            assert len(text.split()) == len(plain.split())


def an_answer(score: float | None) -> Mapping[str, Any]:
    return {"score": None if score is None else {"value": score}, "claims": []}


def test_what_has_no_score_is_no_pair_and_few_pairs_no_verdict() -> None:
    answers: dict[tuple[int, str | None], Mapping[str, Any]] = {
        (number, None): an_answer(6.0) for number in range(12)
    }
    answers |= {(number, "name"): an_answer(2.0 if number < 5 else None) for number in range(12)}
    found = next(
        each for each in compare(answers) if (each.swap, each.measure) == ("name", "score")
    )
    assert (found.pairs, found.mean, found.p) == (5, -4.0, None)
    assert found.pairs < FEWEST


@pytest.mark.parametrize("count", [8, 20])
def test_of_many_probes_without_a_bias_one_in_twenty_is_called_different(count: int) -> None:
    generator = np.random.default_rng(7)
    values = [sign_test(generator.normal(size=count)) for _ in range(200)]
    assert 0.01 <= np.mean([value < 0.05 for value in values]) <= 0.09


def test_p_values_are_corrected_for_their_number_and_keep_their_order() -> None:
    assert holm([0.01, 0.5, 0.02]) == pytest.approx([0.03, 0.5, 0.04])
    assert holm([]) == []
    assert sign_test(np.zeros(12)) == 1.0
    assert sign_test(np.ones(12)) == pytest.approx(2 / 4096)
