"""The operator's view: each part for itself, also when something is down."""

from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import uuid4

import pytest
from aiokafka import AIOKafkaConsumer, TopicPartition
from prometheus_client import CollectorRegistry

from trending_inference.backlog import KEPT, Backlog, BacklogWatch, Group, TopicCount, ask_kafka
from trending_inference.operations import quantile
from trending_shared.catalog import windows
from trending_shared.clock import FrozenClock, SystemClock
from trending_shared.errors import BrokerUnavailable
from trending_shared.events import ModelRefused
from trending_shared.experiments import Arm, Experiments, Judgement, shadow_arms
from trending_shared.messages import first_message
from trending_shared.publishing import KafkaPublisher
from trending_shared.settings import KafkaSettings
from trending_shared.standings import Moment, Standing, keep_standing
from trending_shared.testing.models import a_graph, promote
from trending_shared.topics import FOREVER, TopicSpec, ensure_topics, topic_spec

NOON = datetime(2026, 11, 1, 12, tzinfo=UTC)
NOWHERE = "127.0.0.1:1"


@pytest.fixture(autouse=True)
def _nobody_listens(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("KAFKA_BOOTSTRAP_SERVERS", NOWHERE)


async def test_models_drift_and_traffic_are_told(world: Any) -> None:
    first = promote(world.models, a_graph({"Comedy": "laugh"}))
    second = promote(world.models, a_graph())
    row = {
        "window_id": "w_1",
        "model": "genres",
        "model_version": second.version,
        "predictions": 500,
        "first_at": NOON - timedelta(hours=1),
        "last_at": NOON,
        "scores": {"confidence": 0.3, "text_words": 0.1},
        "drifted": ["confidence"],
    }
    async with world.catalog.transaction() as connection:
        await world.catalog.upsert(connection, windows, [row])
    Experiments(world.store).change(
        "models",
        "genres",
        name="autumn",
        state="running",
        arms=[Arm(name="control", version="champion", weight=1)],
        expected=None,
        reasons=(),
        changed_by="test",
        at=NOON,
    )
    async with world.client() as client:
        await client.post("/v1/genres", json={"items": [{"text": "a ghost"}, {"text": "a tree"}]})
        await client.post("/v1/genres", json={"items": []})
        await client.get("/healthz")
        world.clock.advance(timedelta(minutes=1))  # so that the alias is looked up anew
        told = (await client.get("/v1/operations")).json()
    assert told["ready"] == {"kafka": True, "catalog": True, "store": True, "model": True}
    models = told["models"]
    assert models["serving"] == second.version
    assert {each["version"]: each["aliases"] for each in models["versions"]} == {
        first.version: [],
        second.version: ["champion"],
    }
    newest = models["versions"][0]
    assert (newest["macro_f1"], newest["macro_f1_low"], newest["macro_f1_high"]) == (0.5, 0.4, 0.6)
    assert sorted(move["version"] for move in models["moves"]) == sorted(
        [first.version, second.version]
    )
    assert models["moves"][0]["reasons"] == ["a test wants it"]
    assert told["drift"]["windows"][0]["drifted"] == ["confidence"]
    assert [each["name"] for each in told["trials"]["experiments"]] == ["autumn"]
    gateway = told["gateway"]
    assert (gateway["requests"], gateway["refused"], gateway["failed"]) == (2, 1, 0)
    assert (gateway["texts"], gateway["abstained"], gateway["swaps"]) == (2, 1, 1)
    assert gateway["p50_ms"] > 0


async def test_a_trial_that_the_monitor_conducts_says_how_it_stands_and_what_it_needs(
    world: Any,
) -> None:
    first, second = promote(world.models, a_graph()), promote(world.models, a_graph(likely=0.8))
    experiment = Experiments(world.store).change(
        "models",
        "genres",
        name="autumn",
        state="running",
        arms=shadow_arms(second.version, first.version),
        expected=None,
        reasons=(),
        changed_by="monitor",
        at=NOON,
        judged=Judgement(phase="shadow", cause="approved"),
    )
    async with world.client() as client:
        before = (await client.get("/v1/operations")).json()["trials"]
        assert before["standings"] == {}  # nobody has looked yet
        standing = Standing(
            subject="models",
            target="genres",
            name=experiment.name,
            phase="shadow",
            cause="",
            reasons=(),
            missing=("<b>more</b> answers",),
            started_at=NOON,
            looked_at=NOON,
            alpha=0.05,
            outcomes=40,
            texts=40,
            pairs=0,
            arms=(),
            path=(Moment(outcomes=40, difference=0.05, low=-0.1, high=0.2),),
            capital=1.5,
            guards=(),
        )
        keep_standing(world.store, standing)
        told = (await client.get("/v1/operations")).json()["trials"]
        page = (await client.get("/operate")).text
        listed = (await client.get("/v1/experiments")).json()["items"][0]
    assert told["standings"]["autumn"]["outcomes"] == 40
    assert "+0.0500 [-0.1000, +0.2000] by 40 outcomes" in page
    assert "Needs &lt;b&gt;more&lt;/b&gt; answers." in page
    assert listed["judged"]["phase"] == "shadow"


async def test_what_is_down_says_so_and_takes_nothing_else_along(world: Any) -> None:
    promote(world.models, a_graph())
    world.publisher.down = True
    async with world.client() as client:
        told = (await client.get("/v1/operations")).json()
    assert told["ready"] == {"kafka": False, "catalog": True, "store": True, "model": True}
    assert told["kafka"]["problem"] == "Kafka doesn't answer"
    assert told["kafka"]["groups"] == []


async def test_what_is_promoted_and_cant_be_served_is_told(world: Any) -> None:
    first = promote(world.models, a_graph())
    second = promote(world.models, a_graph({"Comedy": "laugh"}), recipe="of-tomorrow")
    async with world.client() as client:
        told = (await client.get("/v1/operations")).json()
        page = (await client.get("/operate")).text
    ((role, version),) = [(each["role"], each["version"]) for each in told["broken"]]
    assert (role, version) == ("champion", second.version)
    assert f"champion can’t be served by <code>{second.version}</code>" in page
    assert first.version in page


async def test_a_catalog_that_is_away_is_told(world: Any) -> None:
    async with world.client() as client:
        await world.catalog.close()
        (world.folder / "catalog.db").unlink()
        (world.folder / "catalog.db").mkdir()
        told = (await client.get("/v1/operations")).json()
    assert told["ready"]["catalog"] is False
    assert told["drift"]["problem"] == "the catalog doesn't answer"


async def test_many_who_look_ask_kafka_once() -> None:
    clock, asked = FrozenClock(NOON), []

    async def ask() -> Backlog:
        asked.append(clock.now())
        if len(asked) == 2:
            raise BrokerUnavailable("gone")
        return Backlog(asked_at=clock.now(), parked=[TopicCount(topic="t-dlq", records=1)])

    watch = BacklogWatch(ask, clock)
    first = await watch.look()
    assert await watch.look() is first
    clock.advance(KEPT)
    away = await watch.look()
    assert (away.problem, away.parked) == ("Kafka doesn't answer", [])
    assert (await watch.look()).problem  # nor is one that is away asked by everybody
    clock.advance(KEPT)
    assert (await watch.look()).problem is None
    assert len(asked) == 3


async def test_no_kafka_is_told_and_not_waited_for() -> None:
    with pytest.raises(BrokerUnavailable):
        await ask_kafka(KafkaSettings(bootstrap_servers=NOWHERE), SystemClock())


def test_quantiles_lie_between_edges_as_prometheus_has_them() -> None:
    within = {0.1: 50.0, 0.2: 90.0, float("inf"): 100.0}
    assert quantile(within, 0.5) == pytest.approx(100)
    assert quantile(within, 0.7) == pytest.approx(150)
    assert quantile(within, 0.99) == pytest.approx(200)  # beyond the last edge nothing is known
    assert quantile({float("inf"): 0.0}, 0.5) is None
    assert quantile({}, 0.5) is None


# ---------------------------------------------------------------- a real Kafka


@pytest.fixture
async def publisher(kafka: Any) -> AsyncIterator[KafkaPublisher]:
    async with KafkaPublisher(
        kafka.settings, service="test", code_version="0", registry=CollectorRegistry()
    ) as publisher:
        yield publisher


@pytest.mark.connected
@pytest.mark.timeout(120)
async def test_lag_members_dead_letters_and_refusals_are_what_kafka_holds(
    kafka: Any, publisher: KafkaPublisher
) -> None:
    name = f"ops-{uuid4().hex[:8]}"
    retry, dead = f"{name}-{name}-retry-10s", f"{name}-{name}-dlq"
    specs = [TopicSpec(topic, 1, FOREVER) for topic in (name, retry, dead)]
    await ensure_topics([*specs, topic_spec(ModelRefused)], kafka.settings.connection, 1)
    for topic, count in ((name, 5), (retry, 2), (dead, 1)):
        for _ in range(count):
            await publisher.publish_raw(topic, key=None, value=b"{}", headers=[])
    refused = ModelRefused(model="genres", model_version=name, reasons=("not surely better",))
    await publisher.publish([first_message(refused)])
    consumer = AIOKafkaConsumer(
        name, retry, **kafka.settings.connection, group_id=name, enable_auto_commit=False
    )
    other = AIOKafkaConsumer(name, **kafka.settings.connection, group_id=f"{name}-2")
    async with consumer, other:
        await consumer.seek_to_beginning(*(TopicPartition(each, 0) for each in (name, retry)))
        await consumer.commit({TopicPartition(name, 0): 2, TopicPartition(retry, 0): 0})
        told = await ask_kafka(kafka.settings, SystemClock(), within=60)
    states = {group.name: (group.state, group.members) for group in told.groups}
    assert states[f"{name}-2"] == ("Stable", 1)
    (group,) = (group for group in told.groups if group.name == name)
    assert group == Group(
        name=name,
        state="Stable",
        members=1,
        lag=3,
        topics=[TopicCount(topic=name, records=3)],
    )
    assert TopicCount(topic=retry, records=2) in told.retrying
    assert TopicCount(topic=dead, records=1) in told.parked
    assert told.refusals[0].model_version == name
    assert told.refusals[0].reasons == ["not surely better"]
