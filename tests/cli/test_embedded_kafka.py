"""The embedded broker as a process: what it keeps, whom it answers to, how it ends."""

import asyncio
import os
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer

from trending_cli.embedded_kafka import EmbeddedKafka, KafkaUnavailable
from trending_cli.kafka_distribution import resolve_jars
from trending_cli.ports import free_ports
from trending_cli.testing import KafkaUnderTest, kafka_under_test
from trending_shared.settings import ADDRESS_FILE
from trending_shared.topics import FOREVER, TopicSpec, ensure_topics

pytestmark = pytest.mark.timeout(180)

TOPIC = TopicSpec("kept", 1, FOREVER)


async def write(bootstrap: str, *values: bytes) -> None:
    connection = {"bootstrap_servers": bootstrap}
    await ensure_topics([TOPIC], connection, 1)
    async with AIOKafkaProducer(acks="all", **connection) as producer:
        for value in values:
            await producer.send_and_wait(TOPIC.name, value)


async def read(bootstrap: str, count: int) -> list[bytes]:
    consumer = AIOKafkaConsumer(
        TOPIC.name, bootstrap_servers=bootstrap, group_id=None, auto_offset_reset="earliest"
    )
    async with consumer, asyncio.timeout(30):
        return [(await consumer.getone()).value for _ in range(count)]


def half_a_home(folder: Path) -> Path:
    """A home whose storage looks ready but isn't: a broker gives up on it in a second or two."""
    data = folder / "home" / "kafka" / "data"
    data.mkdir(parents=True)
    (data / "meta.properties").write_text("version=1\ncluster.id=other\nnode.id=7\n")
    return folder / "home"


@pytest.fixture(scope="module")
def broker(tmp_path_factory: pytest.TempPathFactory) -> Iterator[EmbeddedKafka]:
    """A broker in a home with traces of an earlier run: its process is dead, its port is taken."""
    home = tmp_path_factory.mktemp("home")
    (home / "kafka").mkdir()
    with subprocess.Popen(["true"]) as ended:
        (home / "kafka" / "pid").write_text(str(ended.pid))
    with socket.create_server(("127.0.0.1", 0)) as taken:
        (home / ADDRESS_FILE).write_text(f"127.0.0.1:{taken.getsockname()[1]}")
        assert EmbeddedKafka.running(home) is None
        with EmbeddedKafka(home, environ=dict(os.environ)) as broker:
            assert broker.address != f"127.0.0.1:{taken.getsockname()[1]}"
            yield broker


def home_of(broker: EmbeddedKafka) -> Path:
    return broker.log.parents[1]


@pytest.mark.connected
async def test_the_session_broker_gives_back_what_it_took(kafka: KafkaUnderTest) -> None:
    await write(kafka.bootstrap, b"Stalker")
    assert b"Stalker" in await read(kafka.bootstrap, 1)


@pytest.mark.connected
async def test_records_and_address_outlive_a_restart_and_a_kill(fresh_kafka: EmbeddedKafka) -> None:
    address = fresh_kafka.address
    await write(address, b"Solaris")
    fresh_kafka.stop()
    assert fresh_kafka.pid is None
    assert fresh_kafka.start() == address
    await write(address, b"Stalker")
    fresh_kafka.kill()
    assert EmbeddedKafka.running(home_of(fresh_kafka)) is None
    assert fresh_kafka.start() == address
    assert await read(address, 2) == [b"Solaris", b"Stalker"]


@pytest.mark.connected
@pytest.mark.skipif(sys.platform != "linux", reason="what a process has mapped is read in /proc")
def test_the_first_broker_of_a_machine_leaves_its_classes_to_the_next(tmp_path: Path) -> None:
    jars = resolve_jars(os.environ)
    (tmp_path / "trending-now").mkdir()
    (tmp_path / "trending-now" / jars.name).symlink_to(jars)
    broker = EmbeddedKafka(tmp_path, environ={**os.environ, "XDG_CACHE_HOME": str(tmp_path)})

    def left() -> list[Path]:
        return [path for path in (tmp_path / "trending-now").iterdir() if not path.is_symlink()]

    with broker:
        assert left() == []
    (archive,) = left()
    with broker:
        assert str(archive) in Path(f"/proc/{broker.pid}/maps").read_text()
    assert left() == [archive]


@pytest.mark.connected
def test_clients_find_a_running_broker_by_its_home(broker: EmbeddedKafka) -> None:
    home = home_of(broker)
    assert EmbeddedKafka.running(home) == broker.address
    assert (home / ADDRESS_FILE).read_text() == broker.address
    assert (home / "kafka" / "pid").read_text() == str(broker.pid)
    assert broker.start() == broker.address


@pytest.mark.connected
def test_a_second_starter_is_told_where_the_first_listens(broker: EmbeddedKafka) -> None:
    with pytest.raises(KafkaUnavailable, match=f"process {broker.pid}, at {broker.address}"):
        EmbeddedKafka(home_of(broker)).start()
    assert EmbeddedKafka.running(home_of(broker)) == broker.address


@pytest.mark.connected
def test_ctrl_c_in_the_terminal_does_not_reach_the_broker(broker: EmbeddedKafka) -> None:
    assert broker.pid is not None
    assert os.getpgid(broker.pid) != os.getpgid(0)


@pytest.mark.connected
def test_a_start_that_fails_shows_the_end_of_the_log(tmp_path: Path) -> None:
    broker = EmbeddedKafka(half_a_home(tmp_path))
    with pytest.raises(KafkaUnavailable, match=r"(?s)server\.log ends with.*Stored node id 7"):
        broker.start()
    assert broker.pid is None


@pytest.mark.connected
def test_a_rival_is_refused_while_the_first_is_still_starting(tmp_path: Path) -> None:
    home = half_a_home(tmp_path)
    refusals: list[str] = []

    def start_another(step: str) -> None:
        with pytest.raises(KafkaUnavailable) as refusal:
            EmbeddedKafka(home).start()
        refusals.append(str(refusal.value))

    with pytest.raises(KafkaUnavailable, match="ends with"):
        EmbeddedKafka(home, on_progress=start_another).start()
    assert len(refusals) == 1
    assert refusals[0].startswith("Another Kafka runs or starts in")


@pytest.mark.connected
def test_a_port_that_was_asked_for_and_is_taken_is_an_error(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(KafkaUnavailable, match=f"Port {port} on 127.0.0.1 is taken"):
            EmbeddedKafka(half_a_home(tmp_path), port=port).start()


def test_an_address_is_asked_for_only_after_a_start(tmp_path: Path) -> None:
    broker = EmbeddedKafka(tmp_path)
    with pytest.raises(KafkaUnavailable, match="hasn't been started"):
        _ = broker.address
    broker.stop()
    assert EmbeddedKafka.running(tmp_path) is None


def test_free_ports_are_distinct_and_outside_the_ephemeral_range() -> None:
    ports = free_ports(50)
    assert len(set(ports)) == 50
    assert max(ports) < 32_768


def test_a_named_cluster_goes_before_all_others(tmp_path: Path) -> None:
    environ = {
        "KAFKA_BOOTSTRAP_SERVERS": "kafka.example:9092",
        "KAFKA_SECURITY_PROTOCOL": "SASL_PLAINTEXT",
        "KAFKA_SASL_USERNAME": "tests",
        "KAFKA_SASL_PASSWORD": "a secret of tests",
        "KAFKA_OPTS": "meant for somebody else",
    }
    with kafka_under_test(tmp_path, environ) as broker:
        assert broker.bootstrap == "kafka.example:9092"
        assert broker.settings.connection["sasl_plain_username"] == "tests"
        assert broker.description == "the cluster at kafka.example:9092"
        assert broker.embedded is None
    assert list(tmp_path.iterdir()) == []
