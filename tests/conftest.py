"""What all tests have: an environment and a home of their own, and a real Kafka on request."""

import asyncio
import io
import json
import logging
import os
import re
from collections import Counter
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import redirect_stderr
from pathlib import Path
from typing import Any

import hypothesis
import pytest
import structlog
from tests.postgres import Postgres, PostgresMissing, postgres

from trending_cli.embedded_kafka import EmbeddedKafka
from trending_cli.testing import KafkaUnderTest, kafka_under_test
from trending_shared.catalog import Catalog
from trending_shared.logs import configure_logs
from trending_shared.testing.collecting import Collector, collector
from trending_shared.testing.filter_patterns import matches, value_of

GIVEN = dict(os.environ)  # as the tests were started, before anything is cleaned
OURS = re.compile(
    r"(TRENDING|KAFKA|SCRAPER|CLEANER|FEATURIZER|TRAINER|INFERENCE|MONITOR|OPENAI|WANDB|OTEL|LOG|METRICS)_.*"
    r"|.*_API_KEY|KAFKA|STORE_URL|CATALOG_URL|CODE_VERSION|TRACEPARENT"
)
BROKER = pytest.StashKey[str]()
CATALOGS = ("sqlite", "postgresql")
FILTERS = Path(__file__).parents[1] / "deploy/terraform/modules/observability/filters.json"

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
def counted() -> Callable[[], Counter[str]]:
    """What CloudWatch's filters count of the lines that were printed in this test so far."""
    printed = io.StringIO()
    with redirect_stderr(printed):
        configure_logs(service="a-service", format="json")

    def count() -> Counter[str]:
        found: Counter[str] = Counter()
        for name, told in json.loads(FILTERS.read_text()).items():
            for line in printed.getvalue().splitlines():
                if matches(told["pattern"], line):
                    found[name] += int(value_of(told.get("value", "1"), line))
        return found

    return count


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


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Each test with a catalog runs on the one that TEST_CATALOG names, some on both."""
    if "catalog_url" not in metafunc.fixturenames:
        return
    kinds = [kind for kind in (GIVEN.get("TEST_CATALOG"),) if kind]
    if not kinds and metafunc.definition.get_closest_marker("both_catalogs"):
        kinds = list(CATALOGS)
    if kinds:
        metafunc.parametrize("catalog_url", kinds, indirect=True)


@pytest.fixture
def catalog_url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """CATALOG_URL of a database of the test's own, with nothing in it but what `catalog` makes."""
    kind = getattr(request, "param", "sqlite")
    if kind == "postgresql":
        server: Postgres = request.getfixturevalue("postgres_server")
        if "catalog" in request.fixturenames:  # it needs its tables anyway; a copy is made at once
            return server.url(like=request.getfixturevalue("postgres_template"))
        return server.url()
    assert kind == "sqlite", f"TEST_CATALOG is one of {', '.join(CATALOGS)}, not {kind}"
    return f"sqlite+aiosqlite:///{tmp_path / 'catalog.db'}"


@pytest.fixture
async def catalog(catalog_url: str) -> AsyncIterator[Catalog]:
    """A catalog of the test's own."""
    made = Catalog(catalog_url)
    await made.create()
    yield made
    await made.close()


@pytest.fixture(scope="session")
def postgres_server() -> Iterator[Postgres]:
    """One server for all tests of the session, each with a database of its own."""
    try:
        with postgres(GIVEN) as server:
            yield server
    except PostgresMissing as missing:
        pytest.skip(str(missing))


@pytest.fixture(scope="session")
def postgres_template(postgres_server: Postgres) -> str:
    """A database with the catalog's tables."""
    url = postgres_server.url()

    async def create() -> None:
        catalog = Catalog(url)
        await catalog.create()
        await catalog.close()

    asyncio.run(create())
    return url.rpartition("/")[2]


def pytest_terminal_summary(
    terminalreporter: pytest.TerminalReporter, config: pytest.Config
) -> None:
    broker = config.stash.get(BROKER, "none was asked for")
    terminalreporter.write_line(f"broker: {broker}")
