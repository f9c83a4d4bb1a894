"""Kafka's backlog as the operator's view tells it: who is behind, what waits, what was parked."""

import asyncio
from collections import Counter
from collections.abc import Awaitable, Callable, Iterable, Sequence
from datetime import UTC, datetime, timedelta

import structlog
from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.admin import AIOKafkaAdminClient
from aiokafka.errors import KafkaError
from pydantic import AwareDatetime, BaseModel, Field, ValidationError

from trending_shared.backlog import GroupState, Lag, count_records, describe_groups, measure_lag
from trending_shared.clock import Clock
from trending_shared.errors import BrokerUnavailable
from trending_shared.events import ModelRefused
from trending_shared.settings import KafkaSettings
from trending_shared.topics import list_partitions, read_to_end

log = structlog.get_logger()

KEPT = timedelta(seconds=5)  # for which an answer of Kafka's is told again
PATIENCE = 5.0  # seconds for Kafka to answer; somebody waits for a page
REFUSALS = 5


class TopicCount(BaseModel):
    """A topic, and how many records of it this is about."""

    topic: str = Field(examples=["titles-scraped"])
    records: int


class Group(BaseModel):
    """A consumer group, which is a service, and what it has yet to handle."""

    name: str = Field(examples=["cleaner"])
    state: str = Field(description="in Kafka's words; Stable has members", examples=["Stable"])
    members: int
    lag: int = Field(description="records, retry topics not among them")
    topics: list[TopicCount] = Field(description="of which some wait, most first")


class Refusal(BaseModel):
    """A model, or a training, that the gate refused."""

    at: AwareDatetime
    model_version: str | None
    dataset_id: str | None
    reasons: list[str]


class Backlog(BaseModel):
    """What Kafka says."""

    asked_at: AwareDatetime
    problem: str | None = Field(default=None, description="why nothing is known, if so")
    groups: list[Group] = []
    retrying: list[TopicCount] = Field(default=[], description="what waits to be tried again")
    parked: list[TopicCount] = Field(default=[], description="dead letters, for a person to see")
    refusals: list[Refusal] = Field(default=[], description="the newest, newest first")


class BacklogWatch:
    """Asks Kafka for its backlog when somebody looks, and no oftener than every few seconds.

    Args:
        ask: raises `BrokerUnavailable`.
    """

    def __init__(self, ask: Callable[[], Awaitable[Backlog]], clock: Clock) -> None:
        self._ask = ask
        self._clock = clock
        self._known: Backlog | None = None
        self._asking = asyncio.Lock()

    async def look(self) -> Backlog:
        async with self._asking:  # who comes meanwhile is told the same
            now = self._clock.now()
            if self._known is None or now - self._known.asked_at >= KEPT:
                try:
                    self._known = await self._ask()
                except BrokerUnavailable as error:
                    log.warning("backlog_unknown", detail=str(error))
                    self._known = Backlog(asked_at=now, problem="Kafka doesn't answer")
            return self._known


async def ask_kafka(kafka: KafkaSettings, clock: Clock, *, within: float = PATIENCE) -> Backlog:
    """Raises `BrokerUnavailable` if Kafka doesn't answer within so many seconds."""
    try:
        async with asyncio.timeout(within):
            return await _ask_kafka(kafka, clock)
    except (KafkaError, OSError, TimeoutError) as error:
        raise BrokerUnavailable.at(kafka.bootstrap_servers, error) from error


async def _ask_kafka(kafka: KafkaSettings, clock: Clock) -> Backlog:
    admin = AIOKafkaAdminClient(**kafka.connection)
    reader = AIOKafkaConsumer(
        **kafka.connection, enable_auto_commit=False, isolation_level="read_committed"
    )
    try:
        await admin.start()
        await reader.start()
        groups = await describe_groups(admin)
        lags = await measure_lag(admin, reader)
        partitions = await list_partitions(kafka.connection)
        dead = [each for each in partitions if each.topic.endswith("-dlq")]
        parked = await count_records(reader, dead)
        return Backlog(
            asked_at=clock.now(),
            groups=[_group(group, lags) for group in groups],
            retrying=_counts(lag for lag in lags if _is_retry(lag)),
            parked=[TopicCount(topic=t, records=n) for t, n in parked.most_common() if n],
            refusals=await _refusals(
                reader, [each for each in partitions if each.topic == ModelRefused.topic]
            ),
        )
    finally:
        await reader.stop()
        await admin.close()


def _group(group: GroupState, lags: Sequence[Lag]) -> Group:
    waiting = _counts(lag for lag in lags if lag.group == group.name and not _is_retry(lag))
    return Group(
        name=group.name,
        state=group.state,
        members=group.members,
        lag=sum(topic.records for topic in waiting),
        topics=waiting,
    )


def _is_retry(lag: Lag) -> bool:
    return "-retry-" in lag.topic


def _counts(lags: Iterable[Lag]) -> list[TopicCount]:
    waiting: Counter[str] = Counter()
    for lag in lags:
        waiting[lag.topic] += lag.records
    return [TopicCount(topic=topic, records=n) for topic, n in waiting.most_common() if n]


async def _refusals(
    reader: AIOKafkaConsumer, partitions: Sequence[TopicPartition]
) -> list[Refusal]:
    """The newest, newest first; what can't be read is for `trending topics tail`."""
    if not partitions:
        return []
    first = await reader.beginning_offsets(partitions)
    last = await reader.end_offsets(partitions)
    starts = {each: max(first[each], last[each] - REFUSALS) for each in partitions}
    found = []
    async for record in read_to_end(reader, starts):
        try:
            event = ModelRefused.model_validate_json(record.value or b"")
        except ValidationError:
            continue
        found.append(
            Refusal(
                at=datetime.fromtimestamp(record.timestamp / 1000, UTC),
                model_version=event.model_version,
                dataset_id=event.dataset_id,
                reasons=list(event.reasons),
            )
        )
    return sorted(found, key=lambda refusal: refusal.at, reverse=True)
