"""What the model says of listed titles, asked in the background."""

import asyncio
from datetime import date, timedelta
from typing import Any

import pytest
import sqlalchemy as sa
from prometheus_client import CollectorRegistry

from trending_inference.browsing import Browser
from trending_inference.metrics import InferenceMetrics
from trending_inference.predicting import Predictor
from trending_inference.recording import Recorder
from trending_inference.serving_model import ServingModel
from trending_inference.title_genres import KEPT, TitleGenres
from trending_shared.catalog import title_predictions
from trending_shared.errors import BrokerUnavailable
from trending_shared.events import PredictionServed
from trending_shared.experiments import Experiments
from trending_shared.testing.models import a_graph, promote

DAY = date(2026, 11, 1)


class Background:
    """A gateway's background, without its gateway."""

    def __init__(
        self, world: Any, sleep: Any = asyncio.sleep, *, predictor: type[Predictor] = Predictor
    ) -> None:
        metrics = InferenceMetrics(CollectorRegistry())
        self.serving = ServingModel(
            world.models,
            name="genres",
            alias="champion",
            experiments=Experiments(world.store),
            ttl=timedelta(seconds=1),
            metrics=metrics,
            clock=world.clock,
        )
        self.predictor = predictor(threads=1, max_waiting=64, metrics=metrics)
        self.titles = TitleGenres(
            world.catalog,
            browser=Browser(world.catalog, self.serving.version),
            serving=self.serving,
            predictor=self.predictor,
            recorder=Recorder(world.publisher, within=1.0, metrics=metrics),
            clock=world.clock,
            sleep=sleep,
        )

    async def __aenter__(self) -> "Background":
        await self.serving.refresh()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.serving.close()
        self.predictor.close()


async def stored(world: Any) -> list[Any]:
    async with world.catalog.reading() as connection:
        rows = await connection.execute(
            sa.select(title_predictions).order_by(title_predictions.c.title_id)
        )
        return list(rows)


async def test_each_listed_title_is_predicted_once_for_each_model_and_text(world: Any) -> None:
    first = promote(world.models, a_graph()).version
    await world.add_title("t_1", plot="A ghost.", score=1.0)
    await world.add_title("t_2", plot="A heist.", score=1.0)
    await world.add_title("t_unlisted")
    await world.add_title("t_same", score=1.0)
    await world.say_same("t_1", "t_same")
    async with Background(world) as background:
        assert await background.titles.predict_some() == 2
        assert await background.titles.predict_some() == 0
        rows = await stored(world)
        assert [(row.title_id, row.model_version, row.genres) for row in rows] == [
            ("t_1", first, ["Horror"]),
            ("t_2", first, ["Crime"]),
        ]
        events = world.publisher.events(PredictionServed)
        assert {(each.title_id, each.prediction_id) for each in events} == {
            (row.title_id, row.prediction_id) for row in rows
        }
        await world.add_title("t_2", plot="A laugh.", text_hash="0000000000000000")
        assert await background.titles.predict_some() == 1
        second = promote(world.models, a_graph(likely=0.8)).version
        await background.serving.refresh()
        assert await background.titles.predict_some() == 2
    rows = await stored(world)
    assert {(row.title_id, row.model_version) for row in rows} == {
        (title_id, version) for title_id in ("t_1", "t_2") for version in (first, second)
    }
    assert len({row.prediction_id for row in rows}) == 4


async def test_two_processes_at_once_say_the_same_under_the_same_ids(world: Any) -> None:
    promote(world.models, a_graph())
    for n in range(5):
        await world.add_title(f"t_{n}", plot=f"The ghost of house {n}.", score=float(n))
    async with Background(world) as one, Background(world) as other:
        await asyncio.gather(one.titles.predict_some(), other.titles.predict_some())
    ids = {message.id for message in world.publisher.messages}
    assert len(ids) == len(await stored(world)) == 5


async def test_what_kafka_didnt_take_is_shown_to_nobody_and_comes_again(world: Any) -> None:
    promote(world.models, a_graph())
    await world.add_title(score=1.0)
    async with Background(world) as background:
        world.publisher.down = True
        with pytest.raises(BrokerUnavailable):
            await background.titles.predict_some()
        assert await stored(world) == []
        world.publisher.down = False
        assert await background.titles.predict_some() == 1


async def test_a_title_that_no_model_can_read_holds_nobody_up(world: Any) -> None:
    promote(world.models, a_graph())
    unreadable = "e3b0c44298fc1c14"
    await world.add_title("t_1", name="雨", plot="夜", text_hash=unreadable, score=2.0)
    await world.add_title("t_2", score=1.0)
    async with Background(world) as background:
        assert await background.titles.predict_some() == 1
        assert await background.titles.predict_some() == 0


class Busy(Predictor):
    """Callers wait at the first looks."""

    looks = 3

    @property
    def waiting(self) -> int:
        self.looks -= 1
        return max(self.looks, 0)


async def test_callers_go_first(world: Any) -> None:
    promote(world.models, a_graph())
    await world.add_title(score=1.0)
    pauses: list[float] = []

    async def sleep(seconds: float) -> None:
        assert world.publisher.messages == []
        pauses.append(seconds)

    async with Background(world, sleep, predictor=Busy) as background:
        assert await background.titles.predict_some() == 1
    assert len(pauses) == 2


async def test_without_a_model_or_trends_there_is_nothing_to_do(world: Any) -> None:
    async with Background(world) as background:
        assert await background.titles.predict_some() == 0
        promote(world.models, a_graph())
        await background.serving.refresh()
        assert await background.titles.predict_some() == 0


async def test_what_former_models_said_is_kept_for_a_while(world: Any) -> None:
    promote(world.models, a_graph())
    await world.add_title(score=1.0)
    await world.add_prediction("t_alien", "former", Horror=0.9)
    pauses = 0

    async def sleep(seconds: float) -> None:
        nonlocal pauses
        pauses += 1
        if pauses == 2:
            assert len(await stored(world)) == 2
            world.clock.advance(KEPT + timedelta(seconds=1))
        elif pauses == 3:
            looked_twice.set()
            await asyncio.Event().wait()

    looked_twice = asyncio.Event()
    async with Background(world, sleep) as background, background.titles.running():
        await looked_twice.wait()
        (left,) = await stored(world)
        assert left.model_version == background.serving.version()
