"""Kafka that lets in only who may, and what is said to who mayn't."""

import ast
import asyncio
import base64
import gc
import json
import os
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from uuid import UUID, uuid4

import pytest
from aiokafka import TopicPartition
from aiokafka.abc import AbstractTokenProvider
from prometheus_client import CollectorRegistry
from tests.secured_kafka import SecuredKafka

from trending_cli import clients
from trending_shared.errors import BrokerUnavailable, SettingInvalid
from trending_shared.events import DatasetRequested
from trending_shared.messages import Message, Position, decode, first_message
from trending_shared.publishing import KafkaPublisher
from trending_shared.reading import reader
from trending_shared.settings import KafkaSettings, read_settings
from trending_shared.topics import (
    FOREVER,
    TopicSpec,
    _create_missing,
    ensure_topics,
    topic_spec,
)
from trending_shared.worker import create_broker

pytestmark = [
    pytest.mark.connected,
    # aiokafka leaves TLS transports behind that the broker has closed.
    pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning"),
]

ROOT = Path(__file__).parents[2]
CLIENTS = {"AIOKafkaConsumer", "AIOKafkaProducer", "AIOKafkaAdminClient"}
PATIENCE = 120  # seconds
WAYS: Mapping[str, Callable[[SecuredKafka], dict[str, str]]] = {
    "SCRAM-SHA-512": lambda kafka: kafka.by_password("SCRAM-SHA-512"),
    "PLAIN": lambda kafka: kafka.by_password("PLAIN"),
    "certificate": lambda kafka: kafka.by_certificate(),
}


class TokensOfTheTest(AbstractTokenProvider):  # type: ignore[misc]
    """Tokens that Kafka's own validator for tests takes: claims, and no signature."""

    def __init__(self, lasting: float = 3600) -> None:
        self.given = 0
        self._lasting = lasting

    async def token(self) -> str:
        self.given += 1
        now = time.time()
        claims = {"sub": "trending", "iat": now, "exp": now + self._lasting}
        parts = [json.dumps(part).encode() for part in ({"alg": "none"}, claims)]
        return ".".join(base64.urlsafe_b64encode(part).decode().rstrip("=") for part in parts) + "."


class KafkaOfTheTest(KafkaSettings):
    """As with Amazon MSK's tokens, which nobody but Amazon MSK takes."""

    tokens: TokensOfTheTest

    def iam_tokens(self) -> AbstractTokenProvider:
        return self.tokens


def told(monkeypatch: pytest.MonkeyPatch, environment: Mapping[str, str]) -> KafkaSettings:
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    return read_settings(KafkaSettings)


def a_publisher(kafka: KafkaSettings) -> KafkaPublisher:
    return KafkaPublisher(kafka, service="test", code_version="1", registry=CollectorRegistry())


def an_event() -> Message[DatasetRequested]:
    return first_message(DatasetRequested(reason="the test asks"), correlation_id=uuid4())


@asynccontextmanager
async def reading(kafka: KafkaSettings) -> AsyncIterator[Callable[[set[UUID]], Awaitable[None]]]:
    """What reads the topic on until all that is wanted was seen, in one consumer's life."""
    seen: set[UUID] = set()
    async with reader(kafka) as consumer:
        consumer.assign([TopicPartition(DatasetRequested.topic, 0)])  # it has no more

        async def until(wanted: set[UUID]) -> None:
            async with asyncio.timeout(PATIENCE):
                while wanted - seen:
                    record = await consumer.getone()
                    at = Position(record.topic, record.partition, record.offset)
                    seen.add(decode(headers=record.headers, body=record.value, position=at).id)

        yield until


@pytest.mark.parametrize("way", WAYS)
async def test_every_kind_of_client_gets_in(
    secured: SecuredKafka, monkeypatch: pytest.MonkeyPatch, way: str
) -> None:
    kafka = told(monkeypatch, WAYS[way](secured))
    await ensure_topics([topic_spec(DatasetRequested)], kafka.connection, 1)
    event = an_event()
    async with a_publisher(kafka) as publisher:
        await publisher.publish([event])
    async with reading(kafka) as until:
        await until({event.id})
    async with clients.admin(kafka) as admin:
        assert DatasetRequested.topic in await admin.list_topics()
    broker = create_broker(kafka, service="test")
    async with broker:
        await broker.start()
        assert await broker.ping(timeout=30)


@pytest.mark.slow  # a client that starts just as its session of two seconds ends may give up
async def test_sessions_that_end_while_clients_are_at_work_lose_nothing(
    secured: SecuredKafka, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Made by a client whose session doesn't end: one that lives for a moment has nothing to resume.
    by_password = told(monkeypatch, secured.by_password())
    await ensure_topics([topic_spec(DatasetRequested)], by_password.connection, 1)
    tokens = TokensOfTheTest()
    kafka = KafkaOfTheTest.model_validate(
        {
            "bootstrap_servers": secured.token_at,
            "security_protocol": "SASL_SSL",
            "sasl_mechanism": "AWS_MSK_IAM",
            "ssl_cafile": secured.authority,
            "aws_region": "eu-central-1",
            "tokens": tokens,
        }
    )
    sent: set[UUID] = set()
    async with a_publisher(kafka) as publisher, reading(kafka) as until:
        before = tokens.given
        async with asyncio.timeout(PATIENCE):
            while tokens.given < before + 3:  # the broker wanted to know anew who we are
                event = an_event()
                await publisher.publish([event])
                sent.add(event.id)
                await until(sent)


async def test_a_token_that_is_over_is_told_by_the_settings_name(secured: SecuredKafka) -> None:
    kafka = KafkaOfTheTest.model_validate(
        {
            "bootstrap_servers": secured.token_at,
            "security_protocol": "SASL_SSL",
            "sasl_mechanism": "AWS_MSK_IAM",
            "ssl_cafile": secured.authority,
            "aws_region": "eu-central-1",
            "tokens": TokensOfTheTest(lasting=-1),
        }
    )
    with pytest.raises(SettingInvalid, match="KAFKA_SASL_MECHANISM=AWS_MSK_IAM"):
        await ensure_topics([topic_spec(DatasetRequested)], kafka.connection, 1)


@pytest.mark.parametrize(
    ("way", "changes", "named"),
    [
        ("SCRAM-SHA-512", {"KAFKA_SASL_PASSWORD": "wrong"}, "KAFKA_SASL_PASSWORD"),
        ("PLAIN", {"KAFKA_SASL_USERNAME": "nobody"}, "KAFKA_SASL_USERNAME"),
        ("PLAIN", {"KAFKA_SASL_MECHANISM": "SCRAM-SHA-256"}, "KAFKA_SASL_MECHANISM"),
        ("PLAIN", {"KAFKA_SSL_CAFILE": ""}, "KAFKA_SSL_CAFILE"),
        (
            "certificate",
            {"KAFKA_SSL_CERTFILE": "", "KAFKA_SSL_KEYFILE": ""},
            "KAFKA_SSL_CERTFILE",
        ),
    ],
)
async def test_who_is_refused_is_told_which_setting_to_change(
    secured: SecuredKafka,
    monkeypatch: pytest.MonkeyPatch,
    way: str,
    changes: dict[str, str],
    named: str,
) -> None:
    kafka = told(monkeypatch, WAYS[way](secured) | changes)
    with pytest.raises(SettingInvalid, match=named) as services:
        await ensure_topics([topic_spec(DatasetRequested)], kafka.connection, 1)
    with pytest.raises(SettingInvalid, match=named):  # as a command meets it
        async with clients.admin(kafka):
            pass
    assert secured.password not in str(services.value)


async def test_more_replicas_than_there_are_brokers_are_told_by_the_settings_name(
    secured: SecuredKafka,
) -> None:
    kafka = KafkaSettings(bootstrap_servers=secured.embedded.address)
    topic = TopicSpec("thrice", 1, FOREVER)
    with pytest.raises(BrokerUnavailable, match="KAFKA_REPLICATION_FACTOR is 3"):
        await _create_missing([topic], kafka.connection, 3)  # which is tried again for a minute


async def test_who_speaks_no_tls_is_told_so_when_patience_ends(secured: SecuredKafka) -> None:
    kafka = KafkaSettings(bootstrap_servers=secured.password_at)
    with pytest.raises(BrokerUnavailable, match="KAFKA_SECURITY_PROTOCOL=PLAINTEXT right"):
        async with clients.admin(kafka):
            pass


def test_a_service_with_a_wrong_password_ends_and_says_why(
    secured: SecuredKafka, tmp_path: Path
) -> None:
    environment = secured.by_password() | {"KAFKA_SASL_PASSWORD": "wrong"}
    ended = subprocess.run(
        [sys.executable, "-m", "trending_cleaner"],
        env={**os.environ, **environment, "TRENDING_HOME": str(tmp_path)},
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert ended.returncode == os.EX_CONFIG, ended.stdout + ended.stderr
    assert "KAFKA_SASL_PASSWORD" in ended.stdout + ended.stderr
    assert "Traceback" not in ended.stdout + ended.stderr


def test_every_client_is_made_with_the_options_of_the_settings() -> None:
    gc.collect()  # what earlier tests left, told of amid `ast.parse`, would break it (CPython 3.11)
    found = 0
    for folder in ("shared", "services", "cli"):
        for file in (ROOT / folder).rglob("*.py"):
            if file.name == "embedded_kafka.py":  # asks its own broker, by its own listener
                continue
            for node in ast.walk(ast.parse(file.read_text())):
                if isinstance(node, ast.Call) and ast.unparse(node.func).endswith(tuple(CLIENTS)):
                    options = [ast.unparse(each.value) for each in node.keywords if not each.arg]
                    assert options, f"{file}:{node.lineno} makes a client of its own kind"
                    assert options[0].endswith(("kafka", ".connection")), f"{file}:{node.lineno}"
                    found += 1
    assert found > 5
