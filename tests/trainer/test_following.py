"""When the mirror is started, with real child processes in its place."""

import asyncio
import contextlib
import sys
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
import structlog
from prometheus_client import CollectorRegistry

from trending_shared.clock import FrozenClock
from trending_shared.errors import StoreUnavailable
from trending_shared.registry import ModelRegistry
from trending_shared.storage import ObjectStore
from trending_shared.testing.models import a_manifest
from trending_trainer.following import PAUSE, Follower
from trending_trainer.kept_runs import mark_synced, mark_unsynced, unsynced
from trending_trainer.metrics import TrainerMetrics

NOW = datetime(2026, 11, 1, 12, tzinfo=UTC)
WITHIN = 30  # seconds; only a test that fails waits that long

COUNTS = """
from pathlib import Path
with Path({calls!r}).open("a") as calls:
    calls.write("called\\n")
raise SystemExit({status})
"""
LINGERS = """
import socket, subprocess, sys
line = socket.create_connection(("127.0.0.1", {port}))
child = subprocess.Popen([sys.executable, "-c", "input()"], stdin=line, stdout=line)
line.sendall(b"here\\n")
child.wait()
"""


@dataclass
class House:
    """A registry in a folder, and a script instead of the mirror."""

    home: Path
    clock: FrozenClock = field(default_factory=lambda: FrozenClock(NOW))
    metrics: CollectorRegistry = field(default_factory=CollectorRegistry)

    def __post_init__(self) -> None:
        self.registry = ModelRegistry(ObjectStore.at((self.home / "store").as_uri()))
        self.calls = self.home / "calls"
        self.script = self.home / "mirror.py"
        self.becomes(0)

    def becomes(self, status: int) -> None:
        """What the mirror ends with from now on."""
        self.script.write_text(COUNTS.format(calls=str(self.calls), status=status))

    def follower(self, *, give_up: timedelta = timedelta(seconds=WITHIN)) -> Follower:
        return Follower(
            registry=self.registry,
            metrics=TrainerMetrics(self.metrics),
            clock=self.clock,
            home=self.home,
            command=(sys.executable, str(self.script)),
            give_up=give_up,
        )

    def called(self) -> int:
        return len(self.calls.read_text().splitlines()) if self.calls.exists() else 0

    def value(self, name: str, **labels: str) -> float | None:
        return self.metrics.get_sample_value(f"trending_trainer_{name}", labels)

    def register(self, graph: bytes) -> str:
        return self.registry.register(graph, a_manifest(graph)).version

    def promote(self, version: str) -> None:
        self.registry.move(
            "genres",
            version,
            expected=self.registry.pointer("genres"),
            reasons=("by hand",),
            moved_by="a person",
            at=NOW,
        )


@pytest.fixture
def house(tmp_path: Path) -> House:
    return House(tmp_path)


async def test_the_mirror_runs_at_the_start_and_then_only_for_something_new(house: House) -> None:
    follower = house.follower()
    await follower.look()
    await follower.look()
    assert house.called() == 1
    version = house.register(b"graph")
    for _ in range(2):
        await follower.look()
    assert house.called() == 2
    house.promote(version)
    for _ in range(2):
        await follower.look()
    assert house.called() == 3
    assert house.value("mirrorings_total", outcome="done") == 3
    assert house.value("mirror_behind") == 0


async def test_a_mirror_that_failed_is_made_up_for_after_a_pause(house: House) -> None:
    house.becomes(1)
    follower = house.follower()
    with structlog.testing.capture_logs() as logs:
        await follower.look()
        await follower.look()
    assert [(line["event"], line["log_level"]) for line in logs] == [("mirror_failed", "warning")]
    assert house.called() == 1
    assert house.value("mirrorings_total", outcome="failed") == 1
    assert house.value("mirror_behind") == 1
    house.becomes(0)
    house.clock.advance(PAUSE)
    await follower.look()
    assert house.called() == 2
    assert house.value("mirror_behind") == 0


async def test_a_run_that_lies_as_files_has_the_mirror_run(house: House) -> None:
    follower = house.follower()
    await follower.look()
    a_kept_run(house.home, "offline-run-20261101_120000-r1")
    await follower.look()
    assert house.called() == 2


async def test_a_mirror_that_can_not_be_started_is_a_warning(house: House) -> None:
    follower = house.follower()
    (house.home / "trainer").write_text("where its log's folder should be")
    with structlog.testing.capture_logs() as logs:
        await follower.look()
    assert [line["event"] for line in logs] == ["mirror_failed"]


async def test_a_store_that_is_gone_is_a_warning(house: House) -> None:
    class Gone(ModelRegistry):
        def keys(self, name: str) -> frozenset[str]:
            raise StoreUnavailable("no route")

    house.registry = Gone(ObjectStore.at("memory:///"))
    with structlog.testing.capture_logs() as logs:
        await house.follower().look()
    assert [line["event"] for line in logs] == ["registry_not_followed"]
    assert house.called() == 0


# ---------------------------------------------------------------- a mirror that hangs


@pytest.fixture
async def line(house: House) -> "AsyncIterator[asyncio.Queue[asyncio.StreamReader]]":
    """Where mirrors that linger call; the line is cut when they and their children are gone."""
    calls: asyncio.Queue[asyncio.StreamReader] = asyncio.Queue()
    writers: list[asyncio.StreamWriter] = []

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writers.append(writer)
        await reader.readline()
        calls.put_nowait(reader)

    server = await asyncio.start_server(answer, "127.0.0.1", 0)
    house.script.write_text(LINGERS.format(port=server.sockets[0].getsockname()[1]))
    yield calls
    server.close()
    for writer in writers:
        writer.close()
        with contextlib.suppress(ConnectionError):
            await writer.wait_closed()
    await server.wait_closed()


async def test_a_mirror_that_hangs_is_ended_with_its_children(
    house: House, line: "asyncio.Queue[asyncio.StreamReader]"
) -> None:
    follower = house.follower(give_up=timedelta(0))
    with structlog.testing.capture_logs() as logs:
        await follower.look()
    assert [line["event"] for line in logs] == ["mirror_failed"]
    assert house.value("mirrorings_total", outcome="failed") == 1


async def test_stopping_ends_a_mirror_at_work(
    house: House,
    line: "asyncio.Queue[asyncio.StreamReader]",
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("WANDB_API_KEY", "k" * 40)
    async with asyncio.timeout(WITHIN):
        async with house.follower().running():
            mirror = await line.get()
        assert await mirror.read() == b""


async def test_offline_nothing_is_mirrored(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WANDB_API_KEY", "k" * 40)
    monkeypatch.setenv("WANDB_MODE", "offline")
    async with house.follower().running():
        pass
    assert house.value("mirror_behind") == 0
    assert house.called() == 0


# ---------------------------------------------------------------- runs that lie as files


def a_kept_run(home: Path, name: str, *, whole: bool = True) -> Path:
    run = home / "wandb" / name
    run.mkdir(parents=True)
    if whole:
        mark_unsynced(run)
    return run


def test_of_runs_that_lie_as_files_the_latest_whole_ones_are_to_be_synced(tmp_path: Path) -> None:
    earlier = a_kept_run(tmp_path, "offline-run-20261101_120000-one-tfidf-logreg")
    latest = a_kept_run(tmp_path, "offline-run-20261101_130000-one-tfidf-logreg")
    another = a_kept_run(tmp_path, "offline-run-20261101_120000-two-blend")
    a_kept_run(tmp_path, "offline-run-20261101_140000-two-blend", whole=False)
    assert set(unsynced(tmp_path)) == {latest, another}
    mark_synced(latest)
    assert unsynced(tmp_path) == [another]
    mark_unsynced(latest)
    mark_synced(earlier)
    assert set(unsynced(tmp_path)) == {latest, another}
    assert unsynced(tmp_path / "nowhere") == []
