"""People for a trial: they ask the gateway about stories, and say later which genres these are of.

Nothing here tells a service what to do. Who conducts the trial is the monitor; what comes of it is
read from the experiment's states.
"""

import asyncio
import time
from collections.abc import Collection, Sequence
from dataclasses import dataclass, field
from itertools import count, cycle

import httpx
import sqlalchemy as sa

from trending_cli.house import House
from trending_cli.output import tell
from trending_cli.processes import ServiceDied
from trending_shared.catalog import Catalog, titles
from trending_shared.errors import TrendingError
from trending_shared.experiments import CANDIDATE, Experiment, Experiments
from trending_shared.splits import is_test
from trending_shared.storage import ObjectStore

SETTINGS = {
    "INFERENCE_REQUESTS_PER_MINUTE": "1000000",
    "INFERENCE_TEXTS_PER_MINUTE": "1000000",
    "MONITOR_EXPERIMENTS_EVERY": "PT0.5S",
    "MONITOR_EXPERIMENT_SETTLE": "PT2S",
    "MONITOR_EXPERIMENT_SHADOW_ANSWERS": "60",
    "MONITOR_EXPERIMENT_SPLIT_ANSWERS": "20",
    "MONITOR_EXPERIMENT_QUICK": "PT1S",  # Kafka, six services and who asks share a machine
    "MONITOR_LABELLERS": "anonymous",  # whoever asks from this machine is trusted, for once
}
"""Few answers and no pauses, so that days become minutes; all else is as ever."""
_GIVE_UP = 1800.0  # seconds without a step
_AT_ONCE = 20  # requests between two looks


@dataclass(frozen=True, slots=True)
class Story:
    """What is asked about, as an item of a request, and what is true of it."""

    item: dict[str, str]
    genres: tuple[str, ...]


async def unread_stories(house: House, new: Collection[str] = ()) -> list[Story]:
    """Titles that no model has learned from, with the genres that pages tell.

    Args:
        new: those that came after all models were made; without, what is of the split that none
            learns from.
    """
    catalog = Catalog(house.settings.catalog)
    try:
        async with catalog.reading() as connection:
            rows = await connection.execute(
                sa.select(titles.c.title_id, titles.c.name, titles.c.genres)
            )
            return [
                Story({"title_id": row.title_id}, tuple(row.genres))
                for row in rows
                if row.genres and (row.title_id in new if new else is_test(row.name))
            ]
    finally:
        await catalog.close()


async def see_trial(house: House, candidate: str, stories: Sequence[Story]) -> Experiment:
    """Let people ask and say until the trial of a version has ended; its last state.

    Raises:
        TrendingError: nothing came of it, or a service doesn't answer.
    """
    if not stories:
        raise TrendingError("there is no story that no model has learned from")
    experiments = Experiments(ObjectStore.at(house.settings.store))
    async with httpx.AsyncClient(
        base_url=house.url("inference"), timeout=30, trust_env=False
    ) as client:
        people, seen, last_news = People(client, stories), 0, time.monotonic()
        while True:
            if house.stack.failed:
                raise ServiceDied(house.stack.failed)
            state = await asyncio.to_thread(experiments.current, "models", "genres")
            if state and state.number > seen and _is_of(state, candidate):
                seen, last_news = state.number, time.monotonic()
                _tell(state)
                if not state.running:
                    return state
            if time.monotonic() - last_news > _GIVE_UP:
                raise TrendingError(f"nothing has come of the trial for {_GIVE_UP:.0f} s")
            await people.ask(_AT_ONCE)
            await people.say()


@dataclass
class People:
    """Each asks once about one story; what they say later is about that very answer."""

    client: httpx.AsyncClient
    stories: Sequence[Story]
    unsaid: list[tuple[str, tuple[str, ...]]] = field(default_factory=list)

    def __post_init__(self) -> None:
        self._next = zip(count(1), cycle(self.stories), strict=False)

    async def ask(self, number: int) -> set[str]:
        """The versions that answered."""
        versions = set()
        for _ in range(number):
            who, story = next(self._next)
            answer = await self._post(
                "/v1/genres", {"items": [story.item]}, {"X-Unit-Id": f"viewer-{who}"}
            )
            if answer.status_code == httpx.codes.SERVICE_UNAVAILABLE:
                continue  # too much waits; people come back
            _check(answer)
            (told,) = answer.json()["items"]
            versions.add(str(told["model"]["version"]))
            self.unsaid.append((told["prediction_id"], story.genres))
        return versions

    async def say(self) -> None:
        """Say of all answers so far what is true; of what isn't on record yet, the next time."""
        left = []
        for prediction_id, genres in reversed(self.unsaid):
            said = await self._post(
                "/v1/feedback", {"prediction_id": prediction_id, "genres": genres}
            )
            if said.status_code in (httpx.codes.NOT_FOUND, httpx.codes.SERVICE_UNAVAILABLE):
                left.append((prediction_id, genres))
            else:
                _check(said)
        self.unsaid = left[::-1]

    async def _post(
        self, path: str, body: object, headers: dict[str, str] | None = None
    ) -> httpx.Response:
        try:
            return await self.client.post(path, json=body, headers=headers)
        except httpx.HTTPError as error:
            raise TrendingError(f"the gateway doesn't answer: {error!r}") from error


def _check(answer: httpx.Response) -> None:
    if answer.is_error:
        raise TrendingError(f"the gateway answered {answer.status_code}: {answer.text}")


def _is_of(state: Experiment, candidate: str) -> bool:
    return any((arm.name, arm.version) == (CANDIDATE, candidate) for arm in state.arms)


def _tell(state: Experiment) -> None:
    phase = f"{state.judged.phase}, {state.judged.cause}" if state.judged else state.state
    tell(f"trial {state.name}: {phase}; {'; '.join(state.reasons)}")
