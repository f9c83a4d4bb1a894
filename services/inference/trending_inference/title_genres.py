"""What the model in service says of the titles in lists, asked while nobody waits for an answer.

Each is a prediction like any other, under an id that follows from title, text and model: asked
twice, by two processes or after a kill, it is recorded once.
"""

import asyncio
import random
from collections.abc import AsyncIterator, Awaitable, Callable, Collection, Sequence
from contextlib import asynccontextmanager
from dataclasses import replace
from datetime import timedelta
from typing import Any, Never
from uuid import UUID, uuid5

import sqlalchemy as sa
import structlog

from trending_inference.browsing import Browser
from trending_inference.filters import SPEAKS_FOR_ITSELF, told_by
from trending_inference.predicting import Predictor, Verdict
from trending_inference.recording import Recorder, predictions_served
from trending_inference.serving_model import LoadedModel, ServingModel
from trending_shared.catalog import Catalog, title_predictions, titles, trends
from trending_shared.clock import Clock
from trending_shared.errors import TrendingError
from trending_shared.features import RECIPES, compose_text, text_hash
from trending_shared.messages import NAMESPACE

log = structlog.get_logger()

REQUEST_ID = "listed-titles"  # of predictions that no request asked for
LOOKED = timedelta(seconds=30)
LISTED = timedelta(days=7)  # of trends; who looks further back sees what was predicted by then
KEPT = timedelta(days=7)  # what other models said, in case one of them comes back
_BATCH = 64
_CANDIDATES = 8 * _BATCH  # several processes choose among them and seldom meet
_PAUSE = 0.05  # seconds, while callers wait for the model
_UNREADABLE = text_hash("")

Sleep = Callable[[float], Awaitable[None]]


class TitleGenres:
    """Keeps the catalog's `title_predictions` up to date with titles and the model in service."""

    def __init__(
        self,
        catalog: Catalog,
        *,
        browser: Browser,
        serving: ServingModel,
        predictor: Predictor,
        recorder: Recorder,
        clock: Clock,
        sleep: Sleep = asyncio.sleep,
    ) -> None:
        self._catalog = catalog
        self._browser = browser
        self._serving = serving
        self._predictor = predictor
        self._recorder = recorder
        self._clock = clock
        self._sleep = sleep

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """Keep up in the background as long as this lasts."""
        task = asyncio.create_task(self._keep_up())
        task.add_done_callback(_report)
        try:
            yield
        finally:
            task.cancel()
            await asyncio.wait([task])

    async def _keep_up(self) -> Never:
        while True:
            await self._sleep(LOOKED.total_seconds())
            try:
                while await self.predict_some():
                    pass
                await self._forget()
            except TrendingError as error:  # what is missing is still missing at the next look
                log.warning("titles_not_predicted", reason=error.reason, detail=str(error))

    async def predict_some(self) -> int:
        """Predict and record a batch of what is missing; how many that were.

        Raises:
            BrokerUnavailable, ModelUnusable, Overloaded, StoreUnavailable: as their names say.
        """
        model = self._serving.look().champion
        if model is None:
            return 0
        missing = await self._missing(model.manifest.version)
        if not missing:
            return 0
        chosen = dict(random.sample(missing, min(len(missing), _BATCH)))
        texts = await self._texts(model, chosen)
        verdicts: list[Verdict] = []
        seconds = 0.0
        for title_id, text in texts.items():
            while self._predictor.waiting:
                await self._sleep(_PAUSE)
            # One by one: whoever comes meanwhile waits for one text at most.
            answered = await self._predictor.predict(model, [text])
            id = prediction_id(title_id, text, model.manifest.version)
            verdicts += [replace(verdict, prediction_id=id) for verdict in answered.verdicts]
            seconds += answered.seconds
        await self._record(model, texts, verdicts, seconds, chosen)
        log.info("titles_predicted", titles=len(texts), model_version=model.manifest.version)
        return len(texts)

    async def _missing(self, version: str) -> list[tuple[str, str]]:
        """Listed titles, the newest and fastest first, of whose texts the model said nothing yet.

        Returns:
            Title ids, and what their texts are known by in the catalog.
        """
        newest = sa.select(sa.func.max(trends.c.day))
        async with self._catalog.reading() as connection:
            day = await connection.scalar(newest)
            if day is None:
                return []
            found = await connection.execute(
                sa.select(titles.c.title_id, titles.c.text_hash)
                .join(trends, trends.c.title_id == titles.c.title_id)
                .where(trends.c.day > day - LISTED, titles.c.text_hash != _UNREADABLE)
                .where(SPEAKS_FOR_ITSELF, ~sa.exists().where(told_by(version)))
                .group_by(titles.c.title_id, titles.c.text_hash)
                .order_by(sa.func.max(trends.c.day).desc(), sa.func.max(trends.c.score).desc())
                .limit(_CANDIDATES)
            )
            return [(row.title_id, row.text_hash) for row in found]

    async def _texts(self, model: LoadedModel, title_ids: Collection[str]) -> dict[str, str]:
        recipe = model.manifest.recipe
        reviews = RECIPES[recipe].review_words > 0
        stories = await self._browser.stories(title_ids, reviews=reviews)
        return {
            title_id: compose_text(
                name=story.name,
                plot=story.plot,
                kind=story.kind,
                countries=story.countries,
                reviews=story.reviews,
                recipe=recipe,
            )
            for title_id, story in stories.items()
        }

    async def _record(
        self,
        model: LoadedModel,
        texts: dict[str, str],
        verdicts: Sequence[Verdict],
        seconds: float,
        hashes: dict[str, str],
    ) -> None:
        """Publish first: what people see leads to a record."""
        now = self._clock.now()
        await self._recorder.publish(
            predictions_served(
                model,
                list(texts.values()),
                verdicts,
                title_ids=list(texts),
                request_id=REQUEST_ID,
                served_at=now,
                milliseconds=seconds / len(verdicts) * 1000,
                alias=self._serving.alias,
                trial=None,
            )
        )
        rows: list[dict[str, Any]] = [
            {
                "title_id": title_id,
                "model_version": model.manifest.version,
                "text_hash": hashes[title_id],
                "prediction_id": str(verdict.prediction_id),
                "probabilities": verdict.probabilities,
                "genres": list(verdict.genres),
                "served_at": now,
            }
            for title_id, verdict in sorted(zip(texts, verdicts, strict=True), key=_by_title)
        ]
        async with self._catalog.transaction() as connection:
            await self._catalog.upsert(connection, title_predictions, rows)

    async def _forget(self) -> None:
        """Let go of what models said that aren't in service any more."""
        version = self._serving.version()
        if version is None:
            return
        async with self._catalog.transaction() as connection:
            await connection.execute(
                sa.delete(title_predictions).where(
                    title_predictions.c.model_version != version,
                    title_predictions.c.served_at < self._clock.now() - KEPT,
                )
            )


def _report(task: "asyncio.Task[Never]") -> None:
    if not task.cancelled() and (error := task.exception()):
        log.critical("titles_no_longer_predicted", exc_info=error)


def prediction_id(title_id: str, text: str, version: str) -> UUID:
    """The id of what a model of this version says of a title's text."""
    return uuid5(NAMESPACE, f"title:{title_id}:{text_hash(text)}:{version}")


# Processes that lock in one order can't deadlock.
def _by_title(entry: tuple[str, Verdict]) -> str:
    return entry[0]
