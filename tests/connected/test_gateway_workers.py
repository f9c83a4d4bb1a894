"""Several gateways on one port, as processes on a real broker."""

import os
import re
import signal
import socket
import subprocess
import sys
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import psutil
import pytest

from trending_cli.ports import HOST, free_ports
from trending_shared.registry import ModelRegistry
from trending_shared.storage import ObjectStore
from trending_shared.testing.models import a_graph, promote

pytestmark = [pytest.mark.connected, pytest.mark.timeout(120)]

WORKERS = 2


@contextmanager
def gateway(home: Path, bootstrap: str) -> Iterator[tuple[subprocess.Popen[bytes], str]]:
    (port,) = free_ports(1)
    environment = {
        **os.environ,
        "KAFKA_BOOTSTRAP_SERVERS": bootstrap,
        "TRENDING_HOME": str(home),
        "INFERENCE_PORT": str(port),
        "INFERENCE_WORKERS": str(WORKERS),
    }
    with (home / "log").open("wb") as log:
        process = subprocess.Popen(
            [sys.executable, "-m", "trending_inference"],
            env=environment,
            stdout=log,
            stderr=subprocess.STDOUT,
        )
    try:
        yield process, f"http://{HOST}:{port}"
    finally:
        process.kill()
        process.wait()


def until(says: Callable[[], Any]) -> Any:
    """What is said first that isn't false; the test's timeout ends the asking."""
    while True:
        try:
            if said := says():
                return said
        except httpx.TransportError:
            pass


def workers(process: subprocess.Popen[bytes]) -> set[int]:
    return {child.pid for child in psutil.Process(process.pid).children()}


def test_workers_share_a_port_and_metrics_and_one_that_dies_comes_back(
    kafka: Any, tmp_path: Path
) -> None:
    promote(ModelRegistry(ObjectStore.at((tmp_path / "store").as_uri())), a_graph())
    with gateway(tmp_path, kafka.bootstrap) as (process, url):

        def ask(text: str) -> tuple[str, list[str]]:
            answer = httpx.post(f"{url}/v1/genres", json={"items": [{"text": text}]})
            return text, answer.json()["items"][0]["genres"]

        def told() -> int:
            """Texts answered, by the metrics of whoever is asked."""
            metrics = httpx.get(f"{url}/metrics").text
            return int(float(re.findall(r"(?m)^trending_inference_texts_total (\S+)", metrics)[0]))

        until(lambda: httpx.get(f"{url}/readyz").status_code == 200)
        until(lambda: len(workers(process)) == WORKERS)
        words = {"ghost": ["Horror"], "laugh": ["Comedy"], "heist": ["Crime"]}
        with ThreadPoolExecutor(16) as pool:
            answers = list(pool.map(ask, [*words] * 20))
        assert Counter(text for text, _ in answers) == dict.fromkeys(words, 20)
        assert all(genres == words[text] for text, genres in answers)
        assert {told() for _ in range(20)} == {60}

        before = workers(process)
        os.kill(min(before), signal.SIGKILL)
        after = until(lambda: (now := workers(process)) != before and len(now) == WORKERS and now)
        assert min(before) not in after
        assert max(before) in after
        until(lambda: httpx.get(f"{url}/readyz").status_code == 200)
        assert ask("ghost")[1] == ["Horror"]
        assert told() == 61  # what the dead one had counted is still there

        process.send_signal(signal.SIGTERM)
        assert process.wait(60) == 0
        assert not any(psutil.pid_exists(pid) for pid in after)


def test_a_worker_ends_with_its_parent(kafka: Any, tmp_path: Path) -> None:
    with gateway(tmp_path, kafka.bootstrap) as (process, _):
        children = until(lambda: len(found := workers(process)) == WORKERS and found)
        process.kill()
        process.wait()
        until(lambda: not any(psutil.pid_exists(pid) for pid in children))


def test_a_port_that_is_taken_is_said(kafka: Any, tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "trending_inference"],
        env={
            **os.environ,
            "KAFKA_BOOTSTRAP_SERVERS": kafka.bootstrap,
            "TRENDING_HOME": str(tmp_path),
            "INFERENCE_HOST": "192.0.2.1",  # nobody's
            "INFERENCE_OPEN_SCOPES": "read",
            "INFERENCE_WORKERS": str(WORKERS),
        },
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 1
    assert "192.0.2.1" in done.stderr
    assert "Traceback" not in done.stderr


def test_a_stop_waits_for_what_was_accepted(kafka: Any, tmp_path: Path) -> None:
    promote(ModelRegistry(ObjectStore.at((tmp_path / "store").as_uri())), a_graph())
    with gateway(tmp_path, kafka.bootstrap) as (process, url):
        until(lambda: httpx.get(f"{url}/readyz").status_code == 200)
        port = httpx.URL(url).port
        assert port is not None
        body = b'{"items": [{"text": "ghost"}]}'
        head = (
            f"POST /v1/genres HTTP/1.1\r\nHost: {HOST}:{port}\r\nExpect: 100-continue\r\n"
            f"Content-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n"
        )
        with socket.create_connection((HOST, port)) as asked:
            asked.sendall(head.encode())
            assert b"100 Continue" in asked.recv(1000)  # it is under way, and waits for its body
            process.send_signal(signal.SIGTERM)
            until(lambda: refuses(port))
            asked.sendall(body)
            answer = b"".join(iter(lambda: asked.recv(65536), b""))
        assert b" 200 " in answer.splitlines()[0]
        assert b'"Horror"' in answer
        assert process.wait(60) == 0


def refuses(port: int) -> bool:
    try:
        socket.create_connection((HOST, port)).close()
    except ConnectionRefusedError:
        return True
    return False
