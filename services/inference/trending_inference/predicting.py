"""From texts to genres: the decision, and the runs of the model that it is made in.

A run takes all that waits at that moment, so nobody waits for company: one caller alone is answered
at once, and the more there are the larger a run is. How large it may be follows from how long a
text takes: many that are counted in words, one that goes through a network.

What takes no time to speak of is run by the event loop itself: handing it to a thread and back, and
waiting for the interpreter lock on both ways, took longer than the model did.
"""

import asyncio
import os
import sys
import threading
from collections import Counter, OrderedDict, deque
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from hashlib import blake2b
from itertools import chain
from time import perf_counter
from uuid import UUID, uuid4

import numpy as np
from numpy.typing import NDArray

from trending_inference.admission import Overloaded
from trending_inference.metrics import InferenceMetrics
from trending_inference.serving_model import LoadedModel

HERE = 0.001  # seconds a text, up to which the event loop runs a model itself
_RUN_SECONDS = 0.005  # that a run should take at most, so that a newcomer waits no longer for it
_MOST = 64  # texts of one run
_MEMORY = 0.1  # weight of the last run in what a text is expected to take
_VERSIONS = 16  # of which it is remembered


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
    rounded = probabilities.astype(np.float64).round(6)
    return [
        Verdict(
            prediction_id=uuid4(),
            genres=tuple([labels[column] for column in ranked if passes[column]]),
            probabilities=dict(zip(labels, values, strict=True)),
        )
        for values, passes, ranked in zip(
            rounded.tolist(), passed.tolist(), order.tolist(), strict=True
        )
    ]


class Known:
    """Verdicts on the texts asked last, by model version and text.

    Args:
        most: verdicts that are kept, about 2 KB each; 0 keeps none.
    """

    def __init__(self, most: int) -> None:
        self._most = most
        self._verdicts: OrderedDict[bytes, Verdict] = OrderedDict()

    def find(self, version: str, texts: Sequence[str]) -> list[Verdict] | None:
        """What the model would say, under new ids; none if any of the texts is new."""
        if not self._most:
            return None
        found = []
        for text in texts:
            key = _digest(version, text)
            if (verdict := self._verdicts.get(key)) is None:
                return None
            self._verdicts.move_to_end(key)
            found.append(Verdict(uuid4(), verdict.genres, verdict.probabilities))
        return found

    def keep(self, version: str, texts: Sequence[str], verdicts: Sequence[Verdict]) -> None:
        if not self._most:
            return
        for text, verdict in zip(texts, verdicts, strict=True):
            self._verdicts[_digest(version, text)] = verdict
        while len(self._verdicts) > self._most:
            self._verdicts.popitem(last=False)


def _digest(version: str, text: str) -> bytes:
    """128 bits: who can choose texts must not find two that share one."""
    return blake2b(f"{version}:{text}".encode("utf-8", "surrogatepass"), digest_size=16).digest()


@dataclass(frozen=True, slots=True)
class Answered:
    """What came of a request's texts, and the seconds of the run that they were in.

    They are 0 if the answer was known.
    """

    verdicts: Sequence[Verdict]
    seconds: float


@dataclass(slots=True, eq=False)
class _Waiting:
    """A request's texts; `until` is by the loop's clock."""

    model: LoadedModel
    texts: Sequence[str]
    until: float
    answer: "asyncio.Future[Answered]"


Run = tuple[list[Verdict], float]  # and its seconds


class Predictor:
    """Runs models, and refuses what can't be answered in time.

    Args:
        threads: runs at once, of models that take longer than `here` for a text.
        max_waiting: texts under way or waiting.
        known: texts whose answers are remembered.
        here: seconds; what takes longer is run by a thread.
        metrics: none if what is answered isn't told to anybody.
        niceness: by how much its threads give way to others.
    """

    def __init__(
        self,
        *,
        threads: int,
        max_waiting: int,
        metrics: InferenceMetrics | None,
        known: int = 0,
        here: float = HERE,
        niceness: int = 0,
    ) -> None:
        self._pool = ThreadPoolExecutor(
            threads, "model", initializer=_give_way, initargs=(niceness,)
        )
        self._threads = threads
        self._idle = threads
        self._max_waiting = max_waiting
        self._queue: deque[_Waiting] = deque()
        self._texts = 0
        self._known = Known(known)
        self._here = here
        self._soon = False
        self._text_seconds: dict[str, float] = {}
        self._metrics = metrics

    async def predict(
        self, model: LoadedModel, texts: Sequence[str], *, within: float = 60.0
    ) -> Answered:
        """A verdict for each text.

        Args:
            within: seconds that the caller waits.

        Raises:
            Overloaded: too much waits already, or it took longer.
            ModelUnusable: the model failed on these texts.
        """
        if known := self._known.find(model.manifest.version, texts):
            self._count(known, None)
            return Answered(known, 0.0)
        # What is too large for the queue is still answered while nobody else waits.
        if self._texts and self._texts + len(texts) > self._max_waiting:
            self._shed()
            raise self._overloaded(model, f"{self._texts} texts wait for the model")
        loop = asyncio.get_running_loop()
        waiting = _Waiting(model, texts, loop.time() + within, loop.create_future())
        self._queue.append(waiting)
        self._texts += len(texts)
        self._run_what_waits(loop)
        return await waiting.answer

    @property
    def waiting(self) -> int:
        """Texts under way or waiting."""
        return self._texts

    def _overloaded(self, model: LoadedModel, message: str) -> Overloaded:
        wait = self._texts * self._pace(model) / self._threads
        return Overloaded(message, retry_after=wait)

    def _run_what_waits(self, loop: asyncio.AbstractEventLoop) -> None:
        while self._idle and self._queue:
            if self._pace(self._queue[0].model) <= self._here:
                if not self._soon:  # once the loop has read what else has come
                    self._soon = True
                    loop.call_soon(self._run_here, loop)
                return
            if batch := self._take(loop.time()):
                self._idle -= 1
                run = loop.run_in_executor(self._pool, _run, batch)
                run.add_done_callback(partial(self._answer, loop, batch))

    def _run_here(self, loop: asyncio.AbstractEventLoop) -> None:
        self._soon = False
        if self._queue and (batch := self._take(loop.time())):
            run: asyncio.Future[Run] = loop.create_future()
            try:
                run.set_result(_run(batch))
            except Exception as error:  # as an executor's future has it
                run.set_exception(error)
            self._idle -= 1
            self._answer(loop, batch, run)
        else:
            self._run_what_waits(loop)

    def _pace(self, model: LoadedModel) -> float:
        """Seconds that the model is expected to take for a text."""
        return self._text_seconds.get(model.manifest.version, _RUN_SECONDS)

    def _take(self, now: float) -> list[_Waiting]:
        """The next run's requests: of the model that waits longest, in their order.

        Whoever is too late is told.
        """
        batch: list[_Waiting] = []
        others: list[_Waiting] = []
        count = 0
        model = self._queue[0].model
        most = max(1, min(_MOST, int(_RUN_SECONDS / max(self._pace(model), 1e-9))))
        while self._queue:
            first = self._queue[0]
            if first.model is not model:
                others.append(self._queue.popleft())
                continue
            if batch and count + len(first.texts) > most:
                break
            self._queue.popleft()
            if first.answer.done():  # its caller is gone
                self._texts -= len(first.texts)
            elif first.until < now:
                self._texts -= len(first.texts)
                self._shed()
                late = self._overloaded(model, "its time was up before its turn")
                first.answer.set_exception(late)
            else:
                batch.append(first)
                count += len(first.texts)
        self._queue.extendleft(reversed(others))
        return batch

    def _answer(
        self,
        loop: asyncio.AbstractEventLoop,
        batch: list[_Waiting],
        run: "asyncio.Future[Run]",
    ) -> None:
        self._idle += 1
        count = sum(len(waiting.texts) for waiting in batch)
        self._texts -= count
        if (error := run.exception()) is None:
            verdicts, seconds = run.result()
            version = batch[0].model.manifest.version
            known = self._text_seconds.pop(version, seconds / count)
            self._text_seconds[version] = known + _MEMORY * (seconds / count - known)
            if len(self._text_seconds) > _VERSIONS:  # the one that was asked longest ago
                del self._text_seconds[next(iter(self._text_seconds))]
            self._count(verdicts, seconds)
            start = 0
            for waiting in batch:
                end = start + len(waiting.texts)
                if not waiting.answer.done():
                    waiting.answer.set_result(Answered(verdicts[start:end], seconds))
                self._known.keep(version, waiting.texts, verdicts[start:end])
                start = end
        else:
            for waiting in batch:
                if not waiting.answer.done():
                    waiting.answer.set_exception(error)
        self._run_what_waits(loop)

    def _shed(self) -> None:
        if self._metrics:
            self._metrics.shed.inc()

    def _count(self, verdicts: Sequence[Verdict], seconds: float | None) -> None:
        """Tell of a run's answers, or of known ones."""
        if not self._metrics:
            return
        if seconds is None:
            self._metrics.known.inc(len(verdicts))
        else:
            self._metrics.model_seconds.observe(seconds)
        self._metrics.texts.inc(len(verdicts))
        for verdict in verdicts:
            self._metrics.confidence.observe(max(verdict.probabilities.values()))
        if abstained := sum(not verdict.genres for verdict in verdicts):
            self._metrics.abstained.inc(abstained)
        given = Counter(chain.from_iterable(verdict.genres for verdict in verdicts))
        for genre, count in given.items():
            self._metrics.genres.labels(genre).inc(count)

    def close(self) -> None:
        self._pool.shutdown()


def _give_way(niceness: int) -> None:
    """Have this thread yield to those of lesser niceness; Linux alone knows that of a thread."""
    if niceness and sys.platform == "linux":
        os.setpriority(os.PRIO_PROCESS, threading.get_native_id(), niceness)


def _run(batch: Sequence[_Waiting]) -> Run:
    """One run of the model on several requests' texts."""
    started = perf_counter()
    model = batch[0].model
    probabilities = model.graph.predict([text for waiting in batch for text in waiting.texts])
    seconds = perf_counter() - started
    return decide(model, probabilities), seconds
