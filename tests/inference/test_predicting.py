"""Runs of a model that take what waits, each answer to its own request, and what is refused."""

import asyncio
import threading
from collections.abc import Iterator, Sequence
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from prometheus_client import CollectorRegistry

from trending_inference.admission import Overloaded
from trending_inference.metrics import InferenceMetrics
from trending_inference.predicting import Predictor
from trending_shared.onnx_models import ModelUnusable


class Slow:
    """A model that says how long each text is, and runs when it is let."""

    def __init__(self) -> None:
        self.runs: list[list[str]] = []
        self.let = threading.Event()
        self.let.set()
        self.entered = threading.Semaphore(0)
        manifest = SimpleNamespace(labels=("length",), version="slow")
        self.loaded: Any = SimpleNamespace(
            manifest=manifest, thresholds=np.zeros(1, np.float32), graph=self
        )

    def predict(self, texts: Sequence[str]) -> NDArray[np.float32]:
        self.runs.append(list(texts))
        self.entered.release()
        assert self.let.wait(10)
        if "bad" in texts:
            raise ModelUnusable("the graph failed")
        return np.array([[len(text) / 100] for text in texts], np.float32)

    async def running(self) -> None:
        """Until one more run has begun."""
        await asyncio.to_thread(self.entered.acquire)


@pytest.fixture
def slow() -> Slow:
    return Slow()


@pytest.fixture
def metrics() -> InferenceMetrics:
    return InferenceMetrics(CollectorRegistry())


@pytest.fixture
def predictor(metrics: InferenceMetrics, slow: Slow) -> Iterator[Predictor]:
    made = Predictor(threads=1, max_waiting=8, metrics=metrics, here=0)
    yield made
    slow.let.set()
    made.close()


async def length(predictor: Predictor, slow: Slow, text: str, **limits: Any) -> int:
    answered = await predictor.predict(slow.loaded, [text], **limits)
    return round(answered.verdicts[0].probabilities["length"] * 100)


async def test_a_lone_request_waits_for_nobody(predictor: Predictor, slow: Slow) -> None:
    assert await length(predictor, slow, "four") == 4
    assert slow.runs == [["four"]]


async def test_a_run_takes_what_came_during_the_last_and_each_gets_its_own(
    predictor: Predictor, slow: Slow
) -> None:
    await predictor.predict(slow.loaded, ["x"] * 64)  # a text is known to take little
    slow.let.clear()
    texts = ["x" * n for n in range(1, 8)]
    first = asyncio.create_task(length(predictor, slow, texts[0]))
    await slow.running()
    others = [asyncio.create_task(length(predictor, slow, text)) for text in texts[1:]]
    await asyncio.sleep(0)
    slow.let.set()
    assert await asyncio.gather(first, *others) == list(range(1, 8))
    assert slow.runs[1:] == [texts[:1], texts[1:]]


async def test_the_loop_runs_what_takes_no_time_and_takes_all_that_came_in_one_turn(
    metrics: InferenceMetrics, slow: Slow
) -> None:
    here = Predictor(threads=1, max_waiting=8, metrics=metrics, here=60)
    threads: set[threading.Thread] = set()
    predict = slow.predict

    def noted(texts: Sequence[str]) -> NDArray[np.float32]:
        threads.add(threading.current_thread())
        return predict(texts)

    slow.predict = noted  # type: ignore[method-assign]
    await here.predict(slow.loaded, ["x"] * 64)
    texts = ["x" * n for n in range(1, 8)]
    assert await asyncio.gather(*(length(here, slow, text) for text in texts)) == list(range(1, 8))
    assert slow.runs[1:] == [texts]
    assert threads == {threading.current_thread()}
    with pytest.raises(ModelUnusable):
        await length(here, slow, "bad")
    assert await length(here, slow, "good") == 4
    here.close()


async def test_what_was_asked_before_is_answered_without_the_model_under_a_new_id(
    metrics: InferenceMetrics, slow: Slow
) -> None:
    knowing = Predictor(threads=1, max_waiting=8, known=2, metrics=metrics)
    first = await knowing.predict(slow.loaded, ["one", "three"])
    again = await knowing.predict(slow.loaded, ["three", "one"])
    assert slow.runs == [["one", "three"]]
    assert [verdict.probabilities["length"] for verdict in again.verdicts] == [0.05, 0.03]
    ids = {verdict.prediction_id for verdict in (*first.verdicts, *again.verdicts)}
    assert len(ids) == 4
    other = Slow()
    other.loaded.manifest.version = "other"
    await knowing.predict(other.loaded, ["one"])
    assert other.runs == [["one"]]  # which takes the place of what was asked longest ago
    await knowing.predict(slow.loaded, ["one"])
    await knowing.predict(slow.loaded, ["three"])
    assert slow.runs == [["one", "three"], ["three"]]
    assert metrics.known._value.get() == 3
    assert metrics.texts._value.get() == 7
    knowing.close()


async def test_a_full_queue_refuses_at_once_and_says_when_to_come_back(
    predictor: Predictor, slow: Slow
) -> None:
    slow.let.clear()
    waiting = [asyncio.create_task(length(predictor, slow, "x")) for _ in range(8)]
    await slow.running()
    with pytest.raises(Overloaded) as refused:
        await length(predictor, slow, "one too many")
    assert refused.value.retry_after >= 0
    slow.let.set()
    assert await asyncio.gather(*waiting) == [1] * 8


async def test_a_request_larger_than_the_queue_is_answered_while_nobody_waits(
    predictor: Predictor, slow: Slow
) -> None:
    answered = await predictor.predict(slow.loaded, ["x"] * 20)
    assert len(answered.verdicts) == 20


async def test_whose_time_is_up_is_told_and_not_run(
    predictor: Predictor, slow: Slow, metrics: InferenceMetrics
) -> None:
    slow.let.clear()
    first = asyncio.create_task(length(predictor, slow, "first"))
    await slow.running()
    late = asyncio.create_task(length(predictor, slow, "late", within=-1.0))
    patient = asyncio.create_task(length(predictor, slow, "patient"))
    await asyncio.sleep(0)
    slow.let.set()
    assert (await first, await patient) == (5, 7)
    with pytest.raises(Overloaded):
        await late
    assert ["late"] not in slow.runs
    assert metrics.shed._value.get() == 1


async def test_who_is_gone_is_not_run_and_makes_room(predictor: Predictor, slow: Slow) -> None:
    slow.let.clear()
    first = asyncio.create_task(length(predictor, slow, "first"))
    await slow.running()
    gone = [asyncio.create_task(length(predictor, slow, "gone")) for _ in range(7)]
    await asyncio.sleep(0)
    for task in gone:
        task.cancel()
    await asyncio.gather(*gone, return_exceptions=True)
    slow.let.set()
    assert await first == 5
    assert await asyncio.gather(*(length(predictor, slow, "x") for _ in range(8))) == [1] * 8
    assert "gone" not in [text for run in slow.runs for text in run]


async def test_a_run_that_fails_fails_its_own_requests_only(
    predictor: Predictor, slow: Slow
) -> None:
    with pytest.raises(ModelUnusable):
        await length(predictor, slow, "bad")
    assert await length(predictor, slow, "good") == 4


async def test_a_run_is_of_one_model(predictor: Predictor, slow: Slow) -> None:
    other = Slow()
    other.loaded.manifest.version = "other"
    slow.let.clear()
    first = asyncio.create_task(length(predictor, slow, "first"))
    await slow.running()
    mixed = [
        asyncio.create_task(length(predictor, one, "y" * n))
        for n, one in enumerate((slow, other, slow, other), start=1)
    ]
    await asyncio.sleep(0)
    slow.let.set()
    assert await asyncio.gather(first, *mixed) == [5, 1, 2, 3, 4]
    assert [text for run in other.runs for text in run] == ["yy", "yyyy"]


async def test_requests_to_two_models_that_come_by_turns_are_run_together_all_the_same(
    predictor: Predictor, slow: Slow
) -> None:
    models = one, other = Slow(), Slow()
    for name, model in zip(("one", "other"), models, strict=True):
        model.loaded.manifest.version = name
        await predictor.predict(model.loaded, ["x"] * 64)  # a text is known to take little
    slow.let.clear()
    first = asyncio.create_task(length(predictor, slow, "x"))
    await slow.running()
    texts = ["x" * n for n in range(2, 8)]
    rest = [
        asyncio.create_task(length(predictor, model, text))
        for model, text in zip(models * 3, texts, strict=True)
    ]
    await asyncio.sleep(0)
    slow.let.set()
    assert await asyncio.gather(first, *rest) == list(range(1, 8))
    assert (one.runs[1:], other.runs[1:]) == ([texts[::2]], [texts[1::2]])
