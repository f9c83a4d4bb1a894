"""The command line in this process, and consumer groups for it to look at."""

import asyncio
import json
import socket
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from prometheus_client import CollectorRegistry
from typer.testing import CliRunner, Result

from trending_cli import clients
from trending_cli.main import app
from trending_cli.testing import KafkaUnderTest
from trending_shared.clock import SystemClock
from trending_shared.delivery import Consumer
from trending_shared.events import Event
from trending_shared.logs import configure_logs
from trending_shared.messages import Message
from trending_shared.publishing import KafkaPublisher
from trending_shared.settings import CommonSettings, KafkaSettings, ServiceSettings
from trending_shared.topics import all_event_topics, ensure_topics, list_partitions, read_all
from trending_shared.worker import Base, worker_app

Handler = Callable[[Sequence[Message[Any]]], Sequence[Message[Any]]]


class Terminal:
    """Runs commands as a person in `home` does, with Kafka at `bootstrap`."""

    def __init__(self, home: Path, bootstrap: str) -> None:
        self.home = home
        self.kafka = KafkaSettings(bootstrap_servers=bootstrap)
        self.settings = CommonSettings(trending_home=home, kafka=self.kafka)
        self.env = {
            "TRENDING_HOME": str(home),
            "KAFKA_BOOTSTRAP_SERVERS": bootstrap,
            "COLUMNS": "200",
        }

    def run(self, *arguments: object, status: int = 0) -> Result:
        """Run a command that is to end with this status; nothing is logged, as in a terminal."""
        configure_logs(service="cli", level="CRITICAL")
        result = CliRunner().invoke(app, [str(each) for each in arguments], env=self.env)
        assert result.exit_code == status, result.output
        return result

    def json(self, *arguments: object, status: int = 0) -> Any:
        """The document that a command prints."""
        return json.loads(self.run(*arguments, "--json", status=status).stdout)

    def wait_for(self, topic: str, id: str) -> None:
        """Until a topic, which may not be there yet, holds the event with this id."""

        async def holds() -> bool:
            async with clients.reader(self.kafka) as reader:
                places = [
                    place
                    for place in await list_partitions(self.kafka.connection)
                    if place.topic == topic
                ]
                found = [record async for record in read_all(reader, places)]
            return id.encode() in [dict(record.headers).get("ce_id") for record in found]

        while not asyncio.run(holds()):
            pass

    def publish(self, *messages: Message[Any]) -> None:
        async def send() -> None:
            async with self._publisher("test") as publisher:
                await publisher.publish(messages)

        self.ensure_topics()
        asyncio.run(send())

    def ensure_topics(self) -> None:
        topics = all_event_topics(partitions=self.kafka.partitions)
        asyncio.run(ensure_topics(topics, self.kafka.connection, 1))

    def _publisher(self, service: str) -> KafkaPublisher:
        return KafkaPublisher(
            self.kafka, service=service, code_version="1", registry=CollectorRegistry()
        )

    @contextmanager
    def group(self, name: str, kind: type[Event], handle: Handler) -> Iterator[None]:
        """A consumer group at work in a thread of its own."""
        ready, done = threading.Event(), threading.Event()
        registry, clock = CollectorRegistry(), SystemClock()
        publisher = self._publisher(name)
        consumer = Consumer(service=name, publisher=publisher, registry=registry, clock=clock)
        consumer.on(kind, handle)
        settings = ServiceSettings(kafka=self.kafka)
        base = Base(settings, registry, clock, publisher, consumer)
        service = worker_app(base, produces=())

        async def serve() -> None:
            async with service.start_lifespan_context():
                ready.set()
                await asyncio.to_thread(done.wait)

        thread = threading.Thread(target=asyncio.run, args=[serve()])
        thread.start()
        try:
            assert ready.wait(60)
            yield
        finally:
            done.set()
            thread.join()


@pytest.fixture
def terminal(kafka: KafkaUnderTest, tmp_path: Path) -> Terminal:
    found = Terminal(tmp_path / "home", kafka.bootstrap)
    found.ensure_topics()
    return found


@pytest.fixture
def taken_port() -> Iterator[int]:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        yield taken.getsockname()[1]


@pytest.fixture
def offline(tmp_path: Path) -> Terminal:
    """Where no Kafka answers: nobody listens on port 1."""
    return Terminal(tmp_path / "home", "127.0.0.1:1")
