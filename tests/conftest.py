"""What all tests have: an environment and a home of their own, and a real Kafka on request."""

import logging
import os
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import hypothesis
import pytest
import structlog

from trending_cli.embedded_kafka import EmbeddedKafka
from trending_cli.testing import KafkaUnderTest, kafka_under_test
from trending_shared.testing.collecting import Collector, collector

GIVEN = dict(os.environ)  # as the tests were started, before anything is cleaned
OURS = re.compile(
    r"(TRENDING|KAFKA|SCRAPER|CLEANER|FEATURIZER|TRAINER|INFERENCE|MONITOR|OPENAI|WANDB|OTEL|LOG)_.*"
    r"|.*_API_KEY|KAFKA|STORE_URL|CATALOG_URL|CODE_VERSION|TRACEPARENT"
)
BROKER = pytest.StashKey[str]()

# The same examples every time, and none too slow: a busy machine makes no test fail.
hypothesis.settings.register_profile(
    "house", derandomize=True, deadline=None, database=None, max_examples=100
)
hypothesis.settings.load_profile("house")


@pytest.fixture(autouse=True)
def _clean_environment(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """None of our variables but a home that is no test's but this one's."""
    for name in list(os.environ):
        if OURS.fullmatch(name):
            monkeypatch.delenv(name)
    monkeypatch.setenv("TRENDING_HOME", str(tmp_path / "home"))


@pytest.fixture(autouse=True)
def _logs_as_they_were(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """A command that is called here sets up the logs of its process, which is that of all tests."""
    configure, root = structlog.configure, logging.getLogger()
    handlers, level = root.handlers[:], root.level

    def configure_for_now(**options: Any) -> None:
        configure(**options | {"cache_logger_on_first_use": False})

    monkeypatch.setattr(structlog, "configure", configure_for_now)
    yield
    structlog.reset_defaults()
    structlog.contextvars.clear_contextvars()
    root.handlers[:] = handlers
    root.setLevel(level)


@pytest.fixture
def traces(monkeypatch: pytest.MonkeyPatch) -> Iterator[Collector]:
    """A collector of traces that everything made in this test is told of."""
    with collector() as found:
        monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", found.address)
        yield found


@pytest.fixture(scope="session")
def kafka(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[KafkaUnderTest]:
    """One broker for all tests of the session, which therefore share its topics."""
    with kafka_under_test(tmp_path_factory.mktemp("kafka"), GIVEN) as broker:
        request.config.stash[BROKER] = broker.description
        yield broker


@pytest.fixture
def fresh_kafka(tmp_path: Path) -> Iterator[EmbeddedKafka]:
    """An embedded broker for one test alone, which may stop, kill and start it."""
    with EmbeddedKafka(tmp_path / "fresh-kafka", environ=GIVEN) as broker:
        yield broker


def pytest_terminal_summary(
    terminalreporter: pytest.TerminalReporter, config: pytest.Config
) -> None:
    broker = config.stash.get(BROKER, "none was asked for")
    terminalreporter.write_line(f"broker: {broker}")
