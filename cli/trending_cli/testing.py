"""Which Kafka the tests run against: a cluster that was named, a container, or the embedded one.

And what tests read of it, and send as no client would.
"""

import asyncio
import shutil
import subprocess
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from string import Template
from typing import Any

from aiokafka import AIOKafkaConsumer, AIOKafkaProducer
from aiokafka.record.util import calc_crc32c

from trending_cli.embedded_kafka import EmbeddedKafka
from trending_cli.kafka_distribution import RECIPE, kafka_version
from trending_cli.ports import free_ports
from trending_shared.clock import SystemClock
from trending_shared.messages import Message, Position, decode
from trending_shared.settings import KafkaSettings, variable_name


@dataclass(frozen=True, slots=True)
class KafkaUnderTest:
    """A broker that serves. `embedded` is its handle if it is ours to stop and kill."""

    settings: KafkaSettings
    description: str
    embedded: EmbeddedKafka | None = None

    @property
    def bootstrap(self) -> str:
        return self.settings.bootstrap_servers


@contextmanager
def kafka_under_test(home: Path, environ: Mapping[str, str]) -> Iterator[KafkaUnderTest]:
    """The cluster of KAFKA_BOOTSTRAP_SERVERS; else a container, if Docker answers and has or gets
    the image; else an embedded broker below `home`.

    Raises:
        KafkaUnavailable: none of the three is to be had; the message says what to install.
    """
    given = {field: variable_name(KafkaSettings, field) for field in KafkaSettings.model_fields}
    image = f"apache/kafka:{kafka_version()}"
    if environ.get("KAFKA_BOOTSTRAP_SERVERS"):
        named = {field: environ[name] for field, name in given.items() if environ.get(name)}
        settings = KafkaSettings.model_validate(named)
        yield KafkaUnderTest(settings, f"the cluster at {settings.bootstrap_servers}")
    elif _docker_has(image, environ):
        with _container(image) as address:
            settings = KafkaSettings(bootstrap_servers=address)
            yield KafkaUnderTest(settings, f"container {image} at {address}")
    else:
        with EmbeddedKafka(home, environ=environ) as embedded:
            settings = KafkaSettings(bootstrap_servers=embedded.address)
            description = f"embedded Apache Kafka {kafka_version()} at {embedded.address}"
            yield KafkaUnderTest(settings, description, embedded)


async def send_unreadable(producer: AIOKafkaProducer, message: Message[Any]) -> None:
    """Send a record with a header whose name isn't UTF-8, which Kafka's clients choke on.

    Whoever reads the topic from its start comes by it: not for a broker that tests share.
    """
    batch = producer.create_batch()
    headers = message.headers(source="test", code_version="1", now=SystemClock().now())
    batch.append(
        key=b"bad", value=message.body(), timestamp=None, headers=[*headers, ("UNREADABLE", b"1")]
    )
    batch.close()
    raw = bytearray(batch._build())
    at = raw.index(b"UNREADABLE")
    raw[at : at + 2] = b"\xff\xfe"
    raw[17:21] = calc_crc32c(bytes(raw[21:])).to_bytes(4, "big")  # where a v2 batch has it
    batch._buffer = raw
    await (await producer.send_batch(batch, message.event.topic, partition=0))


async def read_messages(
    kafka: KafkaSettings, topic: str, count: int, *, within: float = 60
) -> list[Message[Any]]:
    """The first messages of a topic; waits for them, but not longer than so many seconds."""
    found: list[Message[Any]] = []
    consumer = AIOKafkaConsumer(topic, **kafka.connection, auto_offset_reset="earliest")
    await consumer.start()
    try:
        async with asyncio.timeout(within):
            while len(found) < count:
                record = await consumer.getone()
                position = Position(record.topic, record.partition, record.offset)
                found.append(decode(headers=record.headers, body=record.value, position=position))
    finally:
        await consumer.stop()
    return found


def _docker_has(image: str, environ: Mapping[str, str]) -> bool:
    docker = shutil.which("docker", path=environ.get("PATH", ""))
    return docker is not None and any(
        subprocess.run([docker, *command, image], env=dict(environ), capture_output=True).returncode
        == 0
        for command in (["image", "inspect"], ["pull", "--quiet"])
    )


@contextmanager
def _container(image: str) -> Iterator[str]:
    """The embedded broker's settings in a container; the image takes them as KAFKA_… variables."""
    from testcontainers.core.container import DockerContainer  # of the tests' environment alone
    from testcontainers.core.wait_strategies import LogMessageWaitStrategy

    port, controller_port = free_ports(2)
    container = DockerContainer(image).with_bind_ports(port, port)
    host = container.get_docker_client().host()
    template = Template((RECIPE / "server.properties.template").read_text())
    lines = template.substitute(port=port, controller_port=controller_port).splitlines()
    properties = dict(line.split("=", 1) for line in lines if line and not line.startswith("#"))
    properties["listeners"] = f"PLAINTEXT://:{port},CONTROLLER://:{controller_port}"
    properties["advertised.listeners"] = f"PLAINTEXT://{host}:{port}"
    properties["log.dirs"] = "/tmp/kafka-data"
    for name, value in properties.items():
        container.with_env(f"KAFKA_{name.upper().replace('.', '_')}", value)
    with container.waiting_for(LogMessageWaitStrategy("Kafka Server started")):
        yield f"{host}:{port}"
