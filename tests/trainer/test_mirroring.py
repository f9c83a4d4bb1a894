"""Runs, models and aliases on their way to W&B: its own client, a server in memory."""

import json
import os
import shutil
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from trending_shared.registry import TOKENIZER, ModelRegistry, hash_file, model_version
from trending_shared.storage import ObjectStore
from trending_shared.testing.models import a_manifest
from trending_trainer.kept_runs import unsynced
from trending_trainer.mirroring import main, parser
from trending_trainer.testing import KEY, Collection, WandbServer
from trending_trainer.tracking import Tracker

NOW = datetime(2026, 11, 1, 12, tzinfo=UTC)
WITHIN = 120  # seconds; only a test that fails waits that long
PROJECT = "trending-now"
REGISTRY = "wandb-registry-model"
IMPATIENT = {
    "WANDB_HTTP_TIMEOUT": "1",
    "WANDB__GRAPHQL_RETRY_MAX": "1",
    "WANDB__FILE_STREAM_RETRY_MAX": "1",
    "WANDB__FILE_TRANSFER_RETRY_MAX": "1",
}
RECORDS = """
from pathlib import Path
from trending_trainer.tracking import Tracker
print(
    Tracker(Path({home!r})).record(
        "one-tfidf-logreg",
        group="one",
        config={{"event_id": "one", "dirty": True, "params": {{"C": 4.0}}}},
        metrics={{"macro_f1": 0.5, "fit_seconds": 12.5}},
        tables={{"genres": [{{"genre": "Crime", "f1": 0.25}}, {{"genre": "Horror", "f1": 0.75}}]}},
    )
)
"""


class House:
    """A home with a registry, and the mirror as a process of its own."""

    def __init__(self, home: Path) -> None:
        self.home = home
        self.registry = ModelRegistry(ObjectStore.at((home / "store").as_uri()))
        self.output = ""
        """All that mirrors have said."""

    def register(self, graph: bytes, tokenizer: bytes | None = None) -> str:
        files = {TOKENIZER: tokenizer, "answers.npz": b"numbers"} if tokenizer else {}
        manifest = a_manifest(graph, training_id="one", wandb_run="one-tfidf-logreg")
        manifest = manifest.model_copy(
            update={
                "version": model_version(graph, manifest.thresholds, tokenizer),
                "files": {name: hash_file(content) for name, content in files.items()},
            }
        )
        return self.registry.register(graph, manifest, files).version

    def promote(self, version: str) -> None:
        self.registry.move(
            "genres",
            version,
            expected=self.registry.pointer("genres"),
            reasons=("better",),
            moved_by="a person",
            at=NOW,
        )

    def start(self, variables: dict[str, str]) -> "subprocess.Popen[str]":
        return subprocess.Popen(
            [sys.executable, "-m", "trending_trainer.mirroring", "--json"],
            env=_environment(variables, self.home),
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            start_new_session=True,
        )

    def mirror(self, server: WandbServer, **variables: str) -> dict[str, Any]:
        """What a mirror did that came to its end."""
        status, report = self.end(self.start(server.settings | variables))
        assert status == 0, self.output
        return report

    def end(self, process: "subprocess.Popen[str]") -> tuple[int, dict[str, Any]]:
        try:
            said, errors = process.communicate(timeout=WITHIN)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
            said, errors = process.communicate()
        self.output += said + errors
        return process.returncode, json.loads(said or "{}")


def _environment(variables: dict[str, str], home: Path) -> dict[str, str]:
    return {**os.environ, "HOME": str(home), "TRENDING_HOME": str(home), **variables}


@pytest.fixture
def house(tmp_path: Path) -> House:
    return House(tmp_path)


@pytest.fixture
def server() -> Iterator[WandbServer]:
    with WandbServer() as server:
        yield server


@pytest.fixture(scope="module")
def recorded(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run as a fit has recorded it, with a key, and a server that never answers."""
    home = tmp_path_factory.mktemp("recorded")
    with socket.create_server(("127.0.0.1", 0)) as silent:
        url = f"http://127.0.0.1:{silent.getsockname()[1]}"
        done = subprocess.run(
            [sys.executable, "-c", RECORDS.format(home=str(home))],
            env=_environment({"WANDB_BASE_URL": url, "WANDB_API_KEY": KEY}, home),
            capture_output=True,
            text=True,
            timeout=WITHIN,
            check=True,
        )
        assert done.stdout == "one-tfidf-logreg\n"
        silent.setblocking(False)
        with pytest.raises(BlockingIOError):  # nobody has called
            silent.accept()
    return home


def keep(recorded: Path, house: House) -> None:
    """Have that run in a house, as if it had been recorded there."""
    shutil.copytree(recorded / "wandb", house.home / "wandb", symlinks=True)


def versions(collection: Collection) -> list[str]:
    return [artifact.metadata["version"] for artifact in collection.versions]


def champion(server: WandbServer) -> str | None:
    artifact = server.collection(REGISTRY, "genres").aliases.get("champion")
    return artifact.metadata["version"] if artifact else None


def test_runs_models_and_aliases_arrive_once_and_the_key_is_nowhere(
    house: House, server: WandbServer, recorded: Path
) -> None:
    keep(recorded, house)
    first, second = house.register(b"graph", b"words"), house.register(b"another")
    house.promote(first)
    report = house.mirror(server)
    assert report["synced"] == ["one-tfidf-logreg"]
    assert sorted(report["uploaded"]) == sorted(report["linked"]) == sorted([first, second])
    assert report["moved"] == {"champion": first}

    told = server.runs["one-tfidf-logreg"]
    assert (told.project, told.group, told.complete) == (PROJECT, "one", True)
    expected = {"event_id": "one", "dirty": True, "params": {"C": 4.0}}
    assert expected.items() <= told.config.items()
    (line,) = told.history
    assert (line["macro_f1"], line["fit_seconds"]) == (0.5, 12.5)
    assert told.summary["macro_f1"] == 0.5
    assert told.table("genres") == [{"genre": "Crime", "f1": 0.25}, {"genre": "Horror", "f1": 0.75}]

    collection = server.collection(REGISTRY, "genres")
    assert sorted(versions(collection)) == sorted([first, second])
    artifact = collection.aliases[first]
    assert artifact is collection.aliases["champion"]
    assert (artifact.type, artifact.source.project) == ("model", PROJECT)
    manifest = house.registry.manifest("genres", first)
    assert artifact.files == {
        "model.onnx": b"graph",
        TOKENIZER: b"words",
        "manifest.json": manifest.model_dump_json(indent=1).encode(),
        "card.md": manifest.card.encode(),
    }
    assert artifact.metadata["store_key"] == f"models/genres/{first}"
    assert artifact.metadata["wandb_run"] == "one-tfidf-logreg"
    assert artifact.metadata["event_id"] == server.runs[artifact.run].group == "one"
    assert artifact.metadata["dataset_id"] == manifest.dataset_id
    assert artifact.metadata["metrics"]["macro_f1"] == manifest.metrics["macro_f1"]

    server.asked.clear()
    again = house.mirror(server)
    assert not any(again.values())
    writes = {"UpsertBucket", "CreateArtifact", "LinkArtifact", "AddAliases"}
    assert not writes & set(server.asked)

    files = [file for file in house.home.rglob("*") if file.is_file()]
    assert not unsynced(house.home)
    assert not [file for file in files if KEY.encode() in file.read_bytes()]
    assert KEY not in house.output


def test_the_champion_follows_a_promotion_and_a_rollback(house: House, server: WandbServer) -> None:
    first, second = house.register(b"graph"), house.register(b"another")
    house.promote(first)
    for version in (second, first):
        house.promote(version)
        assert house.mirror(server)["moved"] == {"champion": version}
        assert champion(server) == version
    assert len(server.collection(REGISTRY, "genres").versions) == 2


def test_a_mirror_that_is_killed_in_an_upload_or_before_a_link_is_made_up_for(
    house: House, server: WandbServer
) -> None:
    version = house.register(b"graph")
    house.promote(version)

    def kill_before(step: str) -> None:
        process = house.start(server.settings)

        def kill(operation: str) -> int | None:
            if operation != step:
                return None
            os.killpg(process.pid, signal.SIGKILL)
            return 503

        server.trouble = kill
        status, _ = house.end(process)
        assert status == -signal.SIGKILL
        server.trouble = lambda operation: None

    registered = server.collection(REGISTRY, "genres")
    kill_before("CommitArtifact")
    assert server.collection(PROJECT, "genres").versions == []
    kill_before("LinkArtifact")
    assert versions(server.collection(PROJECT, "genres")) == [version]
    assert registered.versions == []
    report = house.mirror(server)
    assert (report["uploaded"], report["linked"]) == ([], [version])
    assert champion(server) == version
    assert server.asked.count("CommitArtifact") == server.asked.count("LinkArtifact") == 2
    assert versions(registered) == versions(server.collection(PROJECT, "genres")) == [version]


def test_in_any_trouble_runs_stay_as_files_and_what_is_missing_is_told(
    recorded: Path, server: WandbServer, tmp_path: Path
) -> None:
    server.trouble = lambda operation: 500
    with socket.create_server(("127.0.0.1", 0)) as silent:
        troubles = {
            "broken": {},
            "unreachable": {"WANDB_BASE_URL": "http://127.0.0.1:1"},
            "silent": {"WANDB_BASE_URL": f"http://127.0.0.1:{silent.getsockname()[1]}"},
            "another key": {"WANDB_API_KEY": "f" * 40},
        }
        started = []
        for trouble, variables in troubles.items():
            house = House(tmp_path / trouble)
            house.register(b"graph")
            keep(recorded, house)
            started.append((house, house.start(server.settings | IMPATIENT | variables)))
        ended = [(house, *house.end(process)) for house, process in started]
    for house, status, report in ended:
        assert status == 1
        assert len(report.pop("failed")) == 1
        assert not any(report.values())
        lines = [json.loads(line) for line in house.output.splitlines() if '"warning"' in line]
        assert [line["event"] for line in lines] == ["mirror_broken_off"]
        assert KEY not in house.output
        assert len(unsynced(house.home)) == 1
    assert server.runs == {}


def test_a_run_whose_tables_were_refused_is_brought_again(
    house: House, server: WandbServer, recorded: Path
) -> None:
    keep(recorded, house)
    server.trouble = lambda operation: 403 if operation == "PUT" else None
    status, report = house.end(house.start(server.settings | IMPATIENT))
    assert (status, report["synced"]) == (1, [])
    assert "run_not_synced" in house.output
    assert len(unsynced(house.home)) == 1
    server.trouble = lambda operation: None
    assert house.mirror(server)["synced"] == ["one-tfidf-logreg"]
    assert unsynced(house.home) == []
    assert len(server.runs["one-tfidf-logreg"].table("genres")) == 2


def test_a_damaged_bundle_holds_up_no_other(house: House, server: WandbServer) -> None:
    damaged, sound = house.register(b"graph"), house.register(b"another")
    (house.home / "store" / "models" / "genres" / damaged / "model.onnx").write_bytes(b"changed")
    status, report = house.end(
        house.start(
            server.settings | {"TRAINER_WANDB_COLLECTION": "cinema-org/wandb-registry-films/kinds"}
        )
    )
    assert status == 1
    assert report["linked"] == [sound]
    (why,) = report["failed"]
    assert damaged in why
    assert versions(server.collection("wandb-registry-films", "kinds")) == [sound]


@pytest.mark.parametrize(
    ("variables", "says"),
    [
        ({}, "WANDB_API_KEY"),
        ({"WANDB_API_KEY": KEY, "WANDB_MODE": "offline"}, "WANDB_MODE"),
        ({"WANDB_API_KEY": KEY, "TRAINER_WANDB_COLLECTION": "genres"}, "TRAINER_WANDB_COLLECTION"),
    ],
)
def test_offline_or_told_nonsense_the_command_says_what_to_set(
    variables: dict[str, str],
    says: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    assert main([]) == os.EX_CONFIG
    assert says in capsys.readouterr().err


def test_the_help_names_the_settings() -> None:
    assert "TRAINER_WANDB_COLLECTION" in parser().format_help()


def test_with_w_and_b_switched_off_nothing_is_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("WANDB_MODE", "disabled")
    home = tmp_path / "home"
    run = Tracker(home).record("r1", group="g", config={}, metrics={"macro_f1": 0.5}, tables={})
    assert run is None
    assert not home.exists()
