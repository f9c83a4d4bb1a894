"""From texts to genres: the decision, and the threads it is made in."""

import asyncio
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from time import perf_counter
from uuid import UUID, uuid4

import numpy as np
from numpy.typing import NDArray

from trending_inference.metrics import InferenceMetrics
from trending_inference.serving_model import LoadedModel
from trending_shared.errors import Unavailable


class Overloaded(Unavailable):
    """More requests wait for the model than will be answered in good time."""


@dataclass(frozen=True, slots=True)
class Verdict:
    """What a model says about one text."""

    prediction_id: UUID
    genres: tuple[str, ...]
    """Those at or above their thresholds, most probable first; empty if the model abstains."""
    probabilities: dict[str, float]
    """Of every label, rounded to 6 digits."""


def decide(model: LoadedModel, probabilities: NDArray[np.float32]) -> list[Verdict]:
    """Verdicts for rows of probabilities, shape (n, labels), each under an id of its own."""
    labels = model.manifest.labels
    passed = probabilities >= model.thresholds
    order = np.argsort(-probabilities, axis=1, kind="stable")
    return [
        Verdict(
            prediction_id=uuid4(),
            genres=tuple(labels[column] for column in ranked if passes[column]),
            probabilities={
                label: round(value, 6) for label, value in zip(labels, values, strict=True)
            },
        )
        for values, passes, ranked in zip(
            probabilities.tolist(), passed.tolist(), order.tolist(), strict=True
        )
    ]


class Predictor:
    """Runs models in a few threads of its own, and refuses work rather than queue it for long."""

    def __init__(self, *, threads: int, max_waiting: int, metrics: InferenceMetrics) -> None:
        self._threads = ThreadPoolExecutor(threads, thread_name_prefix="model")
        self._max_waiting = max_waiting
        self._waiting = 0
        self._metrics = metrics

    async def predict(
        self, model: LoadedModel, texts: Sequence[str]
    ) -> tuple[list[Verdict], float]:
        """A verdict for each text, and the seconds that the model took for all of them.

        Raises:
            Overloaded: too many calls are under way or waiting.
            ModelUnusable: the model failed on these texts.
        """
        if self._waiting >= self._max_waiting:
            self._metrics.shed.inc()
            raise Overloaded(f"{self._waiting} requests are waiting for the model")

        def run() -> tuple[NDArray[np.float32], float]:
            started = perf_counter()
            return model.graph.predict(texts), perf_counter() - started

        self._waiting += 1
        try:
            loop = asyncio.get_running_loop()
            probabilities, seconds = await loop.run_in_executor(self._threads, run)
        finally:
            self._waiting -= 1
        verdicts = decide(model, probabilities)
        self._metrics.model_seconds.observe(seconds)
        self._metrics.texts.inc(len(verdicts))
        for verdict in verdicts:
            if not verdict.genres:
                self._metrics.abstained.inc()
            for genre in verdict.genres:
                self._metrics.genres.labels(genre).inc()
        return verdicts, seconds

    def close(self) -> None:
        self._threads.shutdown()
