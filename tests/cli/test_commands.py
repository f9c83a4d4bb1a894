"""What every command does without Kafka: helps, refuses wrong usage, and says what is missing."""

import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

pytestmark = pytest.mark.timeout(300)

COMMANDS = [
    [],
    ["demo"],
    ["up"],
    ["doctor"],
    ["lineage"],
    *(["sources", name] for name in ("list", "check")),
    *(["jobs", name] for name in ("publish", "status")),
    *(["topics", name] for name in ("list", "lag", "tail")),
    *(["dlq", name] for name in ("list", "show", "replay")),
    *(["models", name] for name in ("list", "show", "train", "promote", "rollback")),
    *(["quality", name] for name in ("report", "cards")),
    ["features", "export"],
    ["keys", "create"],
]
JOB = "0b5f3c1e-0000-4000-8000-000000000000"
TRENDING = [sys.executable, "-m", "trending_cli.main"]


@pytest.mark.parametrize("command", COMMANDS, ids=" ".join)
def test_every_command_explains_itself(offline: Any, command: list[str]) -> None:
    said = offline.run(*command, "--help").stdout
    assert f"trending {' '.join(command)}".strip() in said.replace("root ", "trending ")
    assert said.count("--json") == (0 if command == [] else 1)


@pytest.mark.parametrize(
    "command",
    [
        ["jobs", "publish", "demo"],
        ["jobs", "publish", "cinema", "http://films.example"],
        ["jobs", "publish", "tvmaze"],
        ["jobs", "publish", "tvmaze", "--schedule", "matinee"],
        ["jobs", "publish", "tvmaze", "http://films.example", "--schedule", "updates"],
        ["jobs", "publish", "wikidata"],
        ["jobs", "publish", "demo", "films.example/titles"],
        ["jobs", "publish", "demo", "file:///etc/passwd"],
        ["jobs", "publish", "demo", "http://films.example", "--page", "index"],
        ["jobs", "publish", "demo", "http://films.example", "--max-pages", "0"],
        ["jobs", "status", "yesterday"],
        ["topics", "tail", "titles-scraped", "-n", "0"],
        ["dlq", "show", "titles-scraped-cleaner-dlq", "first"],
        ["up", "--service", "projectionist"],
        ["demo", "--catalogue", "missing.csv"],
        ["models", "train", "--dataset"],
        ["keys", "create", "shop"],
        ["keys", "create", "shop", "--scope", "own"],
        ["keys", "create", "The Shop", "--scope", "read"],
        ["keys", "create", "shop", "--scope", "read", "--days", "0"],
        ["premiere"],
    ],
    ids=" ".join,
)
def test_wrong_usage_is_status_2(offline: Any, command: list[str]) -> None:
    assert offline.run(*command, status=2).stderr


@pytest.mark.parametrize(
    "command",
    [
        ["jobs", "publish", "demo", "http://films.example/titles"],
        ["jobs", "publish", "tvmaze", "--schedule", "updates"],
        ["jobs", "publish", "wikimedia"],
        ["jobs", "status", JOB],
        ["topics", "list"],
        ["topics", "lag"],
        ["topics", "tail", "titles-scraped"],
        ["dlq", "list"],
        ["dlq", "show", "titles-scraped-cleaner-dlq", "0"],
        ["dlq", "replay", "titles-scraped-cleaner-dlq"],
        ["models", "train"],
        ["up", "--service", "cleaner"],
    ],
    ids=" ".join,
)
def test_without_kafka_one_line_says_what_to_do(offline: Any, command: list[str]) -> None:
    result = offline.run(*command, status=4)
    assert result.stdout == ""
    assert result.stderr.splitlines()[-1] == (
        "error: no Kafka answers at 127.0.0.1:1; start one with `trending up`, "
        "or set KAFKA_BOOTSTRAP_SERVERS"
    )


def test_a_setting_that_cannot_be_used_is_named(offline: Any) -> None:
    offline.env["KAFKA_SECURITY_PROTOCOL"] = "PIGEON"
    assert "KAFKA_SECURITY_PROTOCOL" in offline.run("topics", "list", status=2).stderr
    del offline.env["KAFKA_SECURITY_PROTOCOL"]
    offline.env["STORE_URL"] = "ftp://store.example"
    assert "STORE_URL" in offline.run("models", "list", status=2).stderr


def test_a_port_that_is_taken_is_told_before_anything_starts(offline: Any, taken_port: int) -> None:
    said = offline.run("up", "--port", taken_port, status=2).stderr
    assert said == f"error: port {taken_port}, meant for inference, is taken; choose another\n"
    assert not offline.home.exists()


def test_fresh_removes_nothing_but_a_home_of_ours(offline: Any) -> None:
    offline.home.mkdir()
    (offline.home / "thesis.txt").write_text("the only copy")
    said = offline.run("demo", "--fresh", status=1).stderr
    assert said == f"error: {offline.home} isn't a home of ours; empty it yourself\n"
    assert (offline.home / "thesis.txt").exists()


def test_doctor_is_content_without_kafka_unless_one_was_named(offline: Any) -> None:
    found = {each["what"]: each for each in offline.json("doctor", status=1)}
    assert found["object store"]["ok"]
    assert found["catalog"]["ok"]
    assert found["broker"]["needed"]
    assert "`trending up`" in found["broker"]["found"]
    del offline.env["KAFKA_BOOTSTRAP_SERVERS"]
    (offline.home / "kafka").mkdir()
    (offline.home / "kafka" / "address").write_text("127.0.0.1:1")
    found = {each["what"]: each for each in offline.json("doctor")}
    assert found["Java"]["ok"]
    assert not found["broker"]["ok"]
    assert not found["broker"]["needed"]


def test_doctor_fails_on_a_catalog_that_does_not_answer(offline: Any) -> None:
    offline.env["CATALOG_URL"] = "postgresql+asyncpg://clerk:secret@127.0.0.1:1/films"
    found = {each["what"]: each for each in offline.json("doctor", status=1)}
    assert not found["catalog"]["ok"]
    assert "secret" not in found["catalog"]["found"]
    offline.env["CATALOG_URL"] = "card-index://drawer"
    assert "CATALOG_URL" in offline.run("doctor", status=1).stdout


def test_the_process_logs_nothing_of_the_libraries_and_ends_in_order(tmp_path: Path) -> None:
    env = {**os.environ, "TRENDING_HOME": str(tmp_path), "KAFKA_BOOTSTRAP_SERVERS": "127.0.0.1:1"}
    ended = subprocess.run(
        [*TRENDING, "topics", "list"], env=env, capture_output=True, text=True, timeout=50
    )
    assert ended.returncode == 4
    assert len(ended.stderr.splitlines()) == 1


@pytest.mark.connected
def test_ctrl_c_is_status_130(terminal: Any) -> None:
    command = [*TRENDING, "jobs", "publish", "demo", "http://films.example/", "--follow"]
    env = {**os.environ, **terminal.env}
    with subprocess.Popen(
        [*command, "--id", JOB], env=env, stdout=subprocess.PIPE, stderr=subprocess.PIPE
    ) as process:
        assert process.stderr is not None
        assert process.stderr.readline() == f"published job {JOB}\n".encode()
        process.send_signal(signal.SIGINT)
        said = process.communicate(timeout=30)
    assert process.returncode == 130, said
    assert said == (b"", b"")
