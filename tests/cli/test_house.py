"""The house's processes: they come back when they die, and none is left when it is closed."""

import asyncio
import json
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import psutil
import pytest

from trending_cli.house import empty
from trending_cli.kafka_distribution import KafkaUnavailable
from trending_cli.ports import free_ports
from trending_cli.processes import Child, ServiceDied, Stack
from trending_cli.spawning import spawn
from trending_cli.testing import KafkaUnderTest
from trending_shared.errors import BrokerUnavailable, TrendingError
from trending_shared.settings import KafkaSettings
from trending_shared.topics import list_partitions

pytestmark = pytest.mark.timeout(300)


@pytest.fixture
def told() -> list[str]:
    return []


@pytest.fixture
def stack(tmp_path: Path, told: list[str]) -> Iterator[Stack]:
    stack = Stack(home=tmp_path, env={}, on_event=told.append, pauses=(0, 0))
    yield stack
    stack.stop()


def a_child(folder: Path, *arguments: str) -> Child:
    [port] = free_ports(1)
    return Child(
        command=[sys.executable, *(each.format(port=port) for each in arguments)],
        env=dict(os.environ),
        log=folder / "logs" / "child.log",
        port=port,
    )


def a_server(folder: Path) -> Child:
    return a_child(folder, "-m", "http.server", "{port}", "--bind", "127.0.0.1")


def until(answer: Callable[[], Any]) -> None:
    """Wait; the test's own time limit ends what never comes true."""
    moment = threading.Event()
    while not answer():
        moment.wait(0.02)


def topics(kafka: dict[str, Any]) -> list[str]:
    try:
        return [place.topic for place in asyncio.run(list_partitions(kafka))]
    except BrokerUnavailable:
        return []


def gone(processes: list[psutil.Process]) -> bool:
    _, alive = psutil.wait_procs(processes, timeout=30)
    return not alive


# ---------------------------------------------------------------- children


def test_a_killed_child_is_started_again_where_it_was(
    stack: Stack, told: list[str], tmp_path: Path
) -> None:
    child = stack.children["site"] = a_server(tmp_path)
    stack.start()
    stack.wait_until({"site": "/"})
    first = child.pid
    assert first is not None
    os.kill(first, signal.SIGKILL)
    until(lambda: child.pid not in (None, first))
    stack.wait_until({"site": "/"})
    assert told == ["site ended with status -9; starting it again"]
    until(lambda: stack.peak_megabytes().get("site", 0) > 1)
    stack.stop()
    assert child.pid is None
    assert stack.failed is None


def test_a_child_that_always_dies_is_given_up_with_the_end_of_its_log(
    stack: Stack, told: list[str], tmp_path: Path
) -> None:
    stack.children["site"] = a_child(tmp_path, "-c", "raise SystemExit('the projector is on fire')")
    stack.start()
    with pytest.raises(ServiceDied, match=r"site ended with status 1; (?s:.*)projector is on fire"):
        stack.wait_until({"site": "/"})
    assert len(told) == 2


def test_a_child_that_cannot_use_its_settings_is_not_tried_again(
    stack: Stack, told: list[str], tmp_path: Path
) -> None:
    stack.children["site"] = a_child(tmp_path, "-c", f"raise SystemExit({os.EX_CONFIG})")
    stack.start()
    until(lambda: stack.failed)
    assert told == []


def test_a_child_that_does_not_answer_in_time_is_named(stack: Stack, tmp_path: Path) -> None:
    stack.children["site"] = a_child(tmp_path, "-c", "import time; time.sleep(60)")
    stack.start()
    with pytest.raises(ServiceDied, match="site isn't ready after 0 s"):
        stack.wait_until({"site": "/"}, timeout=0)


def test_a_broker_that_cannot_come_back_is_a_failure(stack: Stack, tmp_path: Path) -> None:
    class Broken:
        pid = None
        status = 137
        log = tmp_path / "server.log"

        def start(self) -> None:
            raise KafkaUnavailable("Port 9092 is taken")

    stack.kafka = Broken()
    stack.start()
    until(lambda: stack.failed)
    assert stack.failed == (
        "kafka ended with status 137 and can't be started again: Port 9092 is taken"
    )


def test_a_process_outlives_the_thread_that_started_it(tmp_path: Path) -> None:
    started: list[subprocess.Popen[bytes]] = []

    def start() -> None:
        command = [sys.executable, "-c", "import time; print('on air', flush=True); time.sleep(60)"]
        started.append(spawn(command, env=os.environ, log=tmp_path / "log"))

    thread = threading.Thread(target=start)
    thread.start()
    thread.join()
    [process] = started
    until(lambda: (tmp_path / "log").read_text() == "on air\n")
    assert process.poll() is None
    process.terminate()
    assert process.wait(30) == -signal.SIGTERM


def test_what_cannot_be_started_is_told(tmp_path: Path) -> None:
    with pytest.raises(OSError, match="missing"):
        spawn([sys.executable], env={}, log=tmp_path / "missing" / "log")


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux ends a child with its parent")
def test_no_process_outlives_a_starter_that_is_killed(tmp_path: Path) -> None:
    script = """
import os, sys
from pathlib import Path
from trending_cli.spawning import spawn
child = [sys.executable, "-c", "import time; print('on air', flush=True); time.sleep(60)"]
print(spawn(child, env=os.environ, log=Path("log")).pid, flush=True)
sys.stdin.read()
"""
    command = [sys.executable, "-c", script]
    with subprocess.Popen(
        command, cwd=tmp_path, stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as starter:
        assert starter.stdout is not None
        child = psutil.Process(int(starter.stdout.readline()))
        until(lambda: (tmp_path / "log").read_text() == "on air\n")
        starter.kill()
    assert gone([child])


# ---------------------------------------------------------------- the whole


@contextmanager
def up(**env: str) -> Iterator[subprocess.Popen[str]]:
    """`trending up` with the cleaner alone, in a process of its own."""
    command = [sys.executable, "-m", "trending_cli.main", "up", "--service", "cleaner", "--json"]
    with subprocess.Popen(
        command,
        env={**os.environ, **env},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as house:
        yield house


@pytest.mark.connected
def test_up_brings_a_killed_broker_back_and_ctrl_c_leaves_nothing_behind(tmp_path: Path) -> None:
    with up(TRENDING_HOME=str(tmp_path)) as house:
        assert house.stdout is not None
        assert house.stderr is not None
        addresses = json.loads(house.stdout.readline() or house.stderr.read())
        assert set(addresses) == {"kafka", "cleaner"}
        kafka = KafkaSettings(bootstrap_servers=addresses["kafka"]).connection
        held = topics(kafka)
        pid = int((tmp_path / "kafka" / "pid").read_text())
        os.kill(pid, signal.SIGKILL)
        until(lambda: (tmp_path / "kafka" / "pid").read_text() not in ("", str(pid)))
        until(lambda: topics(kafka))
        assert topics(kafka) == held
        with pytest.raises(TrendingError, match="in use"):
            empty(tmp_path)
        children = psutil.Process(house.pid).children(recursive=True)
        assert len(children) == 2
        house.send_signal(signal.SIGINT)
        assert gone(children)
        said = house.stderr.read()
    assert house.returncode == 0, said
    assert "kafka ended with status -9; starting it again" in said
    empty(tmp_path)
    assert not tmp_path.exists()


@pytest.mark.connected
def test_sigterm_ends_the_house_as_ctrl_c_does(tmp_path: Path, kafka: KafkaUnderTest) -> None:
    with up(TRENDING_HOME=str(tmp_path), KAFKA_BOOTSTRAP_SERVERS=kafka.bootstrap) as house:
        assert house.stdout is not None
        assert house.stderr is not None
        assert house.stdout.readline(), house.stderr.read()
        [cleaner] = psutil.Process(house.pid).children(recursive=True)
        house.send_signal(signal.SIGTERM)
        assert gone([cleaner])
        said = house.stderr.read()
    assert house.returncode == 0, said
    assert said.splitlines()[-1] == "stopping the services"


@pytest.mark.connected
def test_a_service_that_keeps_dying_ends_up_with_its_log(
    terminal: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CLEANER_BATCH_SIZE", "none")
    said = terminal.run("up", "--service", "cleaner", status=1).stderr
    assert "CLEANER_BATCH_SIZE" in said
    assert "cleaner ended with status 78" in said
