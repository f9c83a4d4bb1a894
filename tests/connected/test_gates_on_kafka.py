"""Models that were planted, worse and better, before gates and people on a real broker."""

import asyncio
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import httpx
import pytest
from aiokafka import AIOKafkaConsumer
from prometheus_client import CollectorRegistry
from typer.testing import CliRunner

from trending_cli import clients
from trending_cli.demo_trial import SETTINGS, People, Story, see_trial
from trending_cli.embedded_kafka import EmbeddedKafka
from trending_cli.house import running_house
from trending_cli.main import app as trending
from trending_shared.events import ModelApproved, ModelPromoted, ModelRefused, TrainingRequested
from trending_shared.messages import Message, Position, decode, first_message
from trending_shared.publishing import KafkaPublisher
from trending_shared.registry import ModelRegistry
from trending_shared.settings import KafkaSettings
from trending_shared.splits import is_test
from trending_shared.storage import ObjectStore
from trending_shared.testing.datasets import WORDS, cut_dataset, some_rows
from trending_trainer.app import create_app
from trending_trainer.settings import TrainerSettings

pytestmark = [pytest.mark.connected, pytest.mark.timeout(900)]

TRAINER = {
    "TRAINER_FAMILIES": "keywords,tfidf-logreg",
    "TRAINER_MAX_ECE": "0.2",  # of a hundred test titles
    "WANDB_MODE": "disabled",
}
UNREAD = [Story({"text": row["text"]}, tuple(row["genres"])) for row in some_rows(6000)[600:]]
TRIED = TRAINER | SETTINGS | {"MONITOR_REPORTS": "false"}


def mislabelled(share: float) -> list[dict[str, Any]]:
    """Titles of which some that may be learned from are said to be of the next genre."""
    names = sorted(WORDS)
    rows: list[dict[str, Any]] = []
    for number, row in enumerate(some_rows(600)):
        wrong = not is_test(row["name"]) and number % 100 < 100 * share
        genres = [names[(names.index(genre) + wrong) % len(names)] for genre in row["genres"]]
        rows.append({**row, "genres": genres})
    return rows


async def verdict_on(
    dataset: str, publisher: KafkaPublisher, verdicts: AIOKafkaConsumer
) -> Message[Any]:
    """What the trainer says of a model of this dataset."""
    request = first_message(TrainingRequested(reason="planted", dataset_id=dataset))
    await publisher.publish([request])
    async with asyncio.timeout(300):
        while True:
            record = await verdicts.getone()
            position = Position(record.topic, record.partition, record.offset)
            message = decode(headers=record.headers, body=record.value, position=position)
            if message.correlation_id == request.correlation_id:
                return message


async def test_a_worse_model_is_refused_a_better_one_promoted_and_a_person_takes_it_back(
    fresh_kafka: EmbeddedKafka, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    environment: Mapping[str, str] = TRAINER | {
        "KAFKA_BOOTSTRAP_SERVERS": fresh_kafka.address,
        "TRENDING_HOME": str(tmp_path / "home"),
        "TRAINER_PROMOTION": "gates",
    }
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    settings = TrainerSettings()
    store = ObjectStore.at(settings.store)
    for name, share in {"fair": 0.35, "worse": 1.0, "better": 0.0}.items():
        cut_dataset(store, name, mislabelled(share))
    kafka = KafkaSettings(bootstrap_servers=fresh_kafka.address)
    publisher = KafkaPublisher(
        kafka, service="test", code_version="1", registry=CollectorRegistry()
    )
    topics: Sequence[str] = (ModelPromoted.topic, ModelRefused.topic)
    verdicts = AIOKafkaConsumer(*topics, **kafka.connection, auto_offset_reset="earliest")
    async with publisher, create_app(settings).start_lifespan_context():
        await verdicts.start()
        try:
            fair = await verdict_on("fair", publisher, verdicts)
            worse = await verdict_on("worse", publisher, verdicts)
            better = await verdict_on("better", publisher, verdicts)
        finally:
            await verdicts.stop()

    assert isinstance(fair.event, ModelPromoted)
    assert isinstance(worse.event, ModelRefused)
    assert any("isn't surely" in reason for reason in worse.event.reasons)
    assert isinstance(better.event, ModelPromoted)
    assert better.event.previous == fair.event.model_version
    assert "against the champion's" in better.event.reasons[0]

    registry = ModelRegistry(store)
    assert registry.champion("genres").version == better.event.model_version
    done = await asyncio.to_thread(CliRunner().invoke, trending, ["models", "rollback"])
    assert done.exit_code == 0, done.output
    assert registry.champion("genres").version == fair.event.model_version
    assert [pointer.version for pointer in registry.history("genres")] == [
        fair.event.model_version,
        better.event.model_version,
        fair.event.model_version,
    ]
    assert {one.dataset_id for one in registry.versions("genres")} == {"fair", "worse", "better"}


async def test_what_is_better_for_people_is_promoted_and_what_is_worse_refused_without_a_hand(
    fresh_kafka: EmbeddedKafka, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    home = tmp_path / "home"
    monkeypatch.setenv("TRENDING_HOME", str(home))
    monkeypatch.setenv("KAFKA_BOOTSTRAP_SERVERS", fresh_kafka.address)
    store = ObjectStore.at((home / "store").as_uri())
    for name, share in {"fair": 0.35, "worse": 1.0, "better": 0.0}.items():
        cut_dataset(store, name, mislabelled(share))
    registry = ModelRegistry(store)

    def version_of(dataset: str) -> str:
        (found,) = [one for one in registry.versions("genres") if one.dataset_id == dataset]
        return found.version

    services = ("trainer", "inference", "monitor")
    with running_house(home, env=TRIED, services=services) as house:
        async with (
            clients.publisher(house.settings) as publisher,
            httpx.AsyncClient(base_url=house.url("inference"), timeout=30) as gateway,
        ):
            topics = (ModelPromoted.topic, ModelApproved.topic, ModelRefused.topic)
            verdicts = AIOKafkaConsumer(
                *topics, **house.settings.kafka.connection, auto_offset_reset="earliest"
            )
            await verdicts.start()
            try:
                first = await verdict_on("fair", publisher, verdicts)
                assert isinstance(first.event, ModelPromoted)
                approved = await verdict_on("better", publisher, verdicts)
                assert isinstance(approved.event, ModelApproved)
                assert registry.champion("genres").version == first.event.model_version
                won = await see_trial(house, approved.event.model_version, UNREAD)
                refused = await verdict_on("worse", publisher, verdicts)
            finally:
                await verdicts.stop()
            assert won.judged is not None
            assert (won.judged.phase, won.judged.cause) == ("promoted", "better")
            better = approved.event.model_version
            assert [each.version for each in registry.history("genres")] == [
                first.event.model_version,
                better,
            ]
            # The gate already refuses what was taught wrongly; who insists is refused by people.
            assert isinstance(refused.event, ModelRefused)
            start = ["experiment", "start", "insisting", "--candidate", version_of("worse")]
            started = await asyncio.to_thread(CliRunner().invoke, trending, start)
            assert started.exit_code == 0, started.output
            lost = await see_trial(house, version_of("worse"), UNREAD)
            assert lost.judged is not None
            assert lost.judged.phase == "refused"
            people = People(gateway, UNREAD)
            while await people.ask(10) != {better}:  # it looks again once a second
                pass
    assert registry.champion("genres").version == better
    told = await asyncio.to_thread(
        CliRunner().invoke, trending, ["experiment", "status", "insisting", "--json"]
    )
    standing = json.loads(told.output)
    assert standing["phase"] == "refused"
    assert standing["path"][-1]["high"] < 0 or lost.judged.cause == "guardrail"
