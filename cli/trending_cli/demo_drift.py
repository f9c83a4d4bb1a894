"""The demo's second part: the site gets titles in another language, and the house finds its way.

Nothing here tells a service what to do but what the world does: pages that appear, a scrape job as
a schedule would publish, and people who ask about such texts. What follows is read from the log.
"""

import asyncio
import os
import random
import signal
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID, uuid4

import httpx
from aiokafka import ConsumerRecord

from trending_cli.demo_trial import People, unread_stories
from trending_cli.house import House
from trending_cli.jobs import publish_job
from trending_cli.output import tell
from trending_cli.processes import ServiceDied
from trending_shared.errors import BrokerUnavailable, Rejected, TrendingError
from trending_shared.events import (
    EVENTS,
    Event,
    ExperimentChanged,
    ModelApproved,
    ModelPromoted,
    ModelRefused,
    RetrainingDecided,
    ScrapeJob,
    TitleCleaned,
)
from trending_shared.messages import Message, Position, decode
from trending_shared.reading import reader
from trending_shared.settings import KafkaSettings
from trending_shared.topics import FOREVER, list_partitions, topic_spec
from trending_shared.walk import EventLog, Walk

SETTINGS = {
    "MONITOR_WINDOW_SIZE": "50",
    "MONITOR_RETRAIN_WINDOWS": "3",
    "MONITOR_RETRAIN_SUSTAINED": "PT30S",
    "MONITOR_RETRAIN_COOL_DOWN": "PT0S",  # the first training was minutes ago
    "MONITOR_RETRAIN_LOOK": "PT1S",
}
"""Small windows and no pauses, so that hours become minutes; all else is as ever."""
OBSERVED_EVERY = timedelta(seconds=5)
_GIVE_UP = 1800.0  # seconds without a line; a training says nothing until it ends
_ASKED_AT_ONCE = 20  # titles
_PAUSE = 1.0  # seconds between two who ask
_LONGER_PAUSE = 5.0  # once something is done about it, which needs the machine
_TOLD = (
    *("trigger", "retrain", "codes", "reasons", "reason", "drifted", "titles", "dataset_id"),
    *("algorithm", "model_version", "macro_f1", "window_id"),
    *("experiment", "phase", "cause", "candidate", "outcomes", "difference", "low", "high"),
)
"""Fields worth telling, of whatever event has them."""
_UNSHOWN = ("codes", "window_id")  # what the others say on a line
_NEWS = (
    *("retrain", "codes", "titles", "dataset_id", "algorithm", "model_version", "reason"),
    *("experiment", "phase"),
)
"""Fields of which one must differ from the last event of its kind for a line of its own."""


@dataclass
class Arrival:
    """Titles that are new on the site, and the job that brings them."""

    walk: Walk
    titles: list[str] = field(default_factory=list)
    there: bool = False
    """Whether the gateway knows all of them."""


@dataclass
class Story:
    """What has happened since the site changed, in the order in which it was read.

    Told are facts that Kafka keeps for ever: decisions, and what they are about.
    """

    arrivals: dict[UUID, Arrival] = field(default_factory=dict)
    """By the job's id."""
    told: list[dict[str, Any]] = field(default_factory=list)
    lines: int = 0
    decided: Message[RetrainingDecided] | None = None
    approved: Message[ModelApproved] | None = None
    ended: Message[ModelPromoted | ModelRefused | ExperimentChanged] | None = None
    _seen: set[UUID] = field(default_factory=set)
    _last: dict[tuple[str, Any], Any] = field(default_factory=dict)

    def take(self, message: Message[Any]) -> None:
        """Take note of an event; the same event twice counts once."""
        if message.id in self._seen:
            return
        self._seen.add(message.id)
        event = message.event
        if arrival := self.arrivals.get(message.correlation_id):
            arrival.walk.add(message)
            if isinstance(event, TitleCleaned):
                arrival.titles.append(event.title_id)
        if isinstance(event, RetrainingDecided) and event.retrain and not self.decided:
            self.decided = message
        if isinstance(event, ModelApproved) and self.decided:
            self.approved = message
        if self.decided and not self.ended and _is_an_end(event):
            self.ended = message
        if topic_spec(type(event)).retention == FOREVER:
            self._tell(message.time, type(event).__name__, str(message.id), _details(event))

    def look_who_is_there(self) -> None:
        """Have people ask about titles once all of a job are known."""
        for arrival in self.arrivals.values():
            if arrival.titles and arrival.walk.settled and not arrival.there:
                arrival.there = True
                tell(f"{len(arrival.titles)} new titles are there; people ask about them")

    @property
    def titles(self) -> list[str]:
        """Those that people ask about."""
        return [
            title_id
            for arrival in self.arrivals.values()
            if arrival.there
            for title_id in arrival.titles
        ]

    @property
    def unread(self) -> list[str]:
        """Those that came when the model was made; none before they are there."""
        _, *later = self.arrivals.values()
        return [title_id for arrival in later if arrival.there for title_id in arrival.titles]

    def take_alert(self, name: str, since: str, summary: str) -> None:
        """An alert that fires; told once."""
        if not any(one["event"] == f"alert {name}" for one in self.told):
            moment = datetime.fromisoformat(since)
            self._tell(moment, f"alert {name}", "", {"reason": summary})

    def _tell(self, moment: datetime | None, name: str, id: str, details: dict[str, Any]) -> None:
        when = moment.isoformat() if moment else None
        self.told.append({"at": when, "event": name, "id": id, **details})
        news = [details.get(field) for field in _NEWS]
        if self._last.get((name, details.get("trigger"))) == news:
            return  # one more window, of which the same is said as of the one before
        self._last[name, details.get("trigger")] = news
        at = f"{moment:%H:%M:%S}" if moment else "        "
        shown = {key: value for key, value in details.items() if key not in _UNSHOWN}
        words = ", ".join(f"{key} {_words(value)}" for key, value in shown.items())
        tell(f"{at}  {name:<18} {id[:8]:<8}  {words}")
        self.lines += 1

    def result(self) -> dict[str, Any]:
        ended = self.ended.event if self.ended else None
        promoted = isinstance(ended, ModelPromoted)
        return {
            "job_ids": list(self.arrivals),
            "titles": len(self.titles),
            "decision_id": self.decided.event.decision_id if self.decided else None,
            "promoted": ended.model_version if isinstance(ended, ModelPromoted) else None,
            "refused": list(ended.reasons) if ended and not promoted else [],
            "events": self.told,
        }


async def see_drift(house: House, site: str) -> Story:
    """Let the site change and people ask, and follow what comes of it to the end.

    Raises:
        TrendingError: nothing came of it, or a service doesn't answer.
    """
    story = Story()
    async with _following(house.settings.kafka) as log:
        await _grow(house, site, story)
        asking = asyncio.create_task(_ask(house, story))
        try:
            await _until_ended(house, site, log, story, asking)
        finally:
            asking.cancel()
            await asyncio.gather(asking, return_exceptions=True)
    return story


async def _grow(house: House, site: str, story: Story) -> None:
    """Have the site show more titles, and a job look for them as a schedule would."""
    job_id = uuid4()
    story.arrivals[job_id] = Arrival(Walk(job_id))
    pid = house.stack.children["site"].pid
    assert pid, "the site is watched, and started again if it dies"
    os.kill(pid, signal.SIGUSR1)
    await publish_job(house.settings, ScrapeJob(source="demo", url=f"{site}/titles?page=1"), job_id)
    tell(f"the site has new titles; published job {job_id}")


async def _until_ended(
    house: House, site: str, log: EventLog, story: Story, asking: "asyncio.Task[None]"
) -> None:
    last_news, lines = time.monotonic(), 0
    while story.ended is None:
        if house.stack.failed:
            raise ServiceDied(house.stack.failed)
        if asking.done():
            asking.result()
        try:
            messages = [_message(record) for record in await log.take(0.5)]
            for message in in_order([one for one in messages if one]):
                story.take(message)
        except BrokerUnavailable as error:
            tell(str(error))
            await asyncio.sleep(1)
        story.look_who_is_there()
        if story.approved and len(story.arrivals) == 1:
            await _grow(house, site, story)  # what a model was chosen by can't judge it
        await _look_at_alerts(house, story)
        if story.lines > lines:
            last_news, lines = time.monotonic(), story.lines
        if time.monotonic() - last_news > _GIVE_UP:
            raise TrendingError(
                f"nothing has come of it for {_GIVE_UP:.0f} s; see the logs in "
                f"{house.home / 'logs'}, or begin anew with --fresh if these titles were there"
            )


async def _ask(house: House, story: Story) -> None:
    """Ask the gateway about the new titles that are there, as one person after another.

    Once a model is tried and titles have come that it can't know, people ask about those and say
    which genres they are of.
    """
    async with httpx.AsyncClient(
        base_url=house.url("inference"), timeout=30, trust_env=False
    ) as client:
        while not (unread := story.unread):
            await _ask_once(client, story)
            await asyncio.sleep(_PAUSE if story.decided is None else _LONGER_PAUSE)
        people = People(client, await unread_stories(house, unread))
        while True:
            await people.ask(_ASKED_AT_ONCE)
            await people.say()


async def _ask_once(client: httpx.AsyncClient, story: Story) -> None:
    titles = sorted(story.titles)
    chosen = random.sample(titles, min(_ASKED_AT_ONCE, len(titles)))
    if not chosen:
        return
    items = [{"title_id": title_id} for title_id in chosen]
    try:
        answer = await client.post("/v1/genres", json={"items": items})
    except httpx.HTTPError as error:
        raise TrendingError(f"the gateway doesn't answer: {error!r}") from error
    if answer.is_error and answer.status_code not in (429, 503):
        raise TrendingError(f"the gateway answered {answer.status_code}: {answer.text}")


async def _look_at_alerts(house: House, story: Story) -> None:
    """Tell what fires in Prometheus, if there is one."""
    if "prometheus" not in house.stack.children:
        return
    try:
        async with httpx.AsyncClient(timeout=5, trust_env=False) as client:
            answer = await client.get(f"{house.url('prometheus')}/api/v1/alerts")
            alerts = answer.json()["data"]["alerts"]
    except httpx.HTTPError:
        return
    for alert in alerts:
        if alert["state"] == "firing":
            summary = alert["annotations"].get("summary", "")
            story.take_alert(alert["labels"]["alertname"], alert["activeAt"], summary)


@asynccontextmanager
async def _following(kafka: KafkaSettings) -> AsyncIterator[EventLog]:
    """The log of all events from now on."""
    topics = {event.topic for event in EVENTS}
    async with reader(kafka) as consumer:
        partitions = [one for one in await list_partitions(kafka.connection) if one.topic in topics]
        consumer.assign(partitions)
        starts = await consumer.end_offsets(partitions)
        for partition, offset in starts.items():
            consumer.seek(partition, offset)
        yield EventLog(consumer, starts)


def _message(record: ConsumerRecord) -> Message[Any] | None:
    position = Position(record.topic, record.partition, record.offset)
    try:
        return decode(headers=record.headers, body=record.value, position=position)
    except Rejected:
        return None  # whoever consumes it parks it


def in_order(messages: Sequence[Message[Any]]) -> list[Message[Any]]:
    """Events that were read at once, partition by partition: by time, and each after its cause."""
    by_id = {message.id: message for message in messages}

    def place(message: Message[Any]) -> tuple[datetime, int, int]:
        steps, cause = 0, by_id.get(message.causation_id) if message.causation_id else None
        while cause is not None:
            steps += 1
            cause = by_id.get(cause.causation_id) if cause.causation_id else None
        moment = message.time or datetime.max.replace(tzinfo=UTC)
        return moment, steps, EVENTS.index(type(message.event))

    return sorted(messages, key=place)


def _is_an_end(event: Event) -> bool:
    refused = isinstance(event, ExperimentChanged) and event.phase == "refused"
    return refused or isinstance(event, ModelPromoted | ModelRefused)


def _details(event: Event) -> dict[str, Any]:
    document = event.model_dump(mode="json", include=set(_TOLD), exclude_none=True)
    return {name: document[name] for name in _TOLD if name in document}


def _words(value: object) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, Sequence) and not isinstance(value, str):
        more = f" and {len(value) - 3} more" if len(value) > 3 else ""
        return "; ".join(map(str, value[:3])) + more
    return f"{value:.4f}" if isinstance(value, float) else str(value)
