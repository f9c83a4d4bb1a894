"""Several gateways on one port, as processes on a real broker."""

import asyncio
import itertools
import os
import re
import signal
import socket
import subprocess
import sys
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import httpx
import psutil
import pytest
from aiokafka import AIOKafkaConsumer

from trending_cli.ports import HOST, free_ports
from trending_shared.events import PredictionServed
from trending_shared.experiments import Arm, Experiments, assign
from trending_shared.genres import GENRES
from trending_shared.onnx_models import load_bundle
from trending_shared.registry import Manifest, ModelRegistry
from trending_shared.storage import ObjectStore
from trending_shared.testing.models import a_graph, a_manifest, promote

pytestmark = [pytest.mark.connected, pytest.mark.timeout(120)]

WORKERS = 2


@contextmanager
def gateway(
    home: Path, bootstrap: str, **settings: str
) -> Iterator[tuple[subprocess.Popen[bytes], str]]:
    (port,) = free_ports(1)
    environment = {
        **os.environ,
        "KAFKA_BOOTSTRAP_SERVERS": bootstrap,
        "TRENDING_HOME": str(home),
        "INFERENCE_PORT": str(port),
        "INFERENCE_WORKERS": str(WORKERS),
        **settings,
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


@pytest.mark.parametrize("workers", [1, WORKERS])
def test_a_port_that_is_taken_is_said(kafka: Any, tmp_path: Path, workers: int) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "trending_inference"],
        env={
            **os.environ,
            "KAFKA_BOOTSTRAP_SERVERS": kafka.bootstrap,
            "TRENDING_HOME": str(tmp_path),
            "INFERENCE_HOST": "192.0.2.1",  # nobody's
            "INFERENCE_OPEN_SCOPES": "read",
            "INFERENCE_WORKERS": str(workers),
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


WORDS = {genre: f"word{number:02d}" for number, genre in enumerate(GENRES)}
CALLERS = 64


def a_text(number: int) -> str:
    """A text of which a model with a label for each word says what it says of no other."""
    return " ".join(word for bit, word in enumerate(WORDS.values()) if number >> bit & 1)


class Answers:
    """What versions say of a text, found out in this process."""

    def __init__(self, models: ModelRegistry, manifests: Sequence[Manifest]) -> None:
        self._graphs = {each.version: load_bundle(models, each) for each in manifests}

    def of(self, version: str, text: str) -> dict[str, float]:
        (row,) = self._graphs[version].predict([text]).tolist()
        return {genre: round(value, 6) for genre, value in zip(GENRES, row, strict=True)}


async def test_every_reply_is_its_own_requests_while_the_champion_moves_and_a_shadow_is_asked(
    kafka: Any, tmp_path: Path
) -> None:
    store = ObjectStore.at((tmp_path / "store").as_uri())
    models, experiments = ModelRegistry(store), Experiments(store)
    graphs = [a_graph(WORDS, likely=likely) for likely in (0.9, 0.8, 0.7)]
    manifests = [
        models.register(graph, a_manifest(graph, labels=tuple(GENRES))) for graph in graphs
    ]
    first, second, candidate = (each.version for each in manifests)
    answers = Answers(models, manifests)

    def move(version: str) -> None:
        expected = models.pointer("genres")
        told: Any = {"reasons": (), "moved_by": "test", "at": datetime.now(UTC)}
        models.move("genres", version, expected=expected, **told)

    move(first)
    experiment = experiments.change(
        *("models", "genres"),
        name="autumn",
        state="running",
        arms=[
            Arm(name="control", version="champion", weight=1),
            Arm(name="candidate", version=candidate, weight=1, shadow=1),
        ],
        expected=None,
        reasons=(),
        changed_by="test",
        at=datetime.now(UTC),
    )
    arms = {n: assign(experiment, f"viewer-{n}").arm.name for n in range(CALLERS)}
    replies: dict[str, tuple[str, str]] = {}  # text and version by prediction
    asked_for, heard, done = "", asyncio.Semaphore(0), asyncio.Event()

    async def keep_asking(client: httpx.AsyncClient, caller: int) -> None:
        for turn in itertools.count():
            if done.is_set():
                break
            text = a_text(1 + caller + CALLERS * (turn % 1000))
            response = await client.post(
                "/v1/genres",
                json={"items": [{"text": text}]},
                headers={
                    "X-Unit-Id": f"viewer-{caller}",
                    "X-Request-Id": f"{home}:{caller}.{turn}",
                },
            )
            assert response.status_code == 200, response.text
            assert response.headers["x-request-id"] == f"{home}:{caller}.{turn}"
            (item,) = response.json()["items"]
            version = item["model"]["version"]
            assert item["probabilities"] == answers.of(version, text)
            assert (version == candidate) == (arms[caller] == "candidate")
            assert item["prediction_id"] not in replies
            replies[item["prediction_id"]] = text, version
            if version == asked_for:
                heard.release()

    home = tmp_path.name
    settings = {"INFERENCE_ALIAS_TTL": "PT0.1S", "INFERENCE_PUBLISH_TIMEOUT": "PT30S"}
    with gateway(tmp_path, kafka.bootstrap, **settings) as (process, url):
        await asyncio.to_thread(until, lambda: httpx.get(f"{url}/readyz").status_code == 200)
        await asyncio.to_thread(until, lambda: len(workers(process)) == WORKERS)
        async with (
            httpx.AsyncClient(base_url=url, timeout=30) as client,
            asyncio.TaskGroup() as group,
        ):
            for caller in range(CALLERS):
                group.create_task(keep_asking(client, caller))
            for asked_for in [second, first] * 2:
                move(asked_for)
                for _ in range(2 * CALLERS):
                    await heard.acquire()
            done.set()
        process.send_signal(signal.SIGTERM)
        assert await asyncio.to_thread(process.wait, 60) == 0

    events = await records(kafka, home)
    told = {each.prediction_id: each for each in events if not of_shadow(each)}
    assert told.keys() == replies.keys()
    for id, (text, version) in replies.items():
        assert (told[id].text, told[id].model_version) == (text, version)
        assert told[id].trial.fallback is False
    shadows = [each for each in events if of_shadow(each)]
    assert shadows
    for each in shadows:
        text, version = replies[each.trial.shadow_of]
        assert version != candidate
        assert (each.text, each.model_version) == (text, candidate)
        assert each.probabilities == answers.of(candidate, text)


def of_shadow(event: Any) -> bool:
    return event.trial.shadow_of is not None


async def records(kafka: Any, home: str) -> list[Any]:
    """All predictions on record for this test's requests."""
    consumer = AIOKafkaConsumer(
        PredictionServed.topic, bootstrap_servers=kafka.bootstrap, auto_offset_reset="earliest"
    )
    await consumer.start()
    try:
        ends = await consumer.end_offsets(consumer.assignment())
        found = []
        for partition, end in ends.items():
            while await consumer.position(partition) < end:
                for batch in (await consumer.getmany(partition, timeout_ms=1000)).values():
                    found += [PredictionServed.model_validate_json(each.value) for each in batch]
        return [each for each in found if each.request_id.startswith(f"{home}:")]
    finally:
        await consumer.stop()


def refuses(port: int) -> bool:
    try:
        socket.create_connection((HOST, port)).close()
    except ConnectionRefusedError:
        return True
    except ConnectionResetError:  # it stopped listening while we came
        return False
    return False
