"""The demo site as a process: its one line, its end, and what it refuses."""

import json
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx
import pytest


@contextmanager
def started(*arguments: str) -> Iterator[subprocess.Popen[str]]:
    command = [sys.executable, "-m", "trending_demo", *arguments]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        try:
            yield process
        finally:
            process.kill()


@pytest.mark.parametrize("stop", [signal.SIGTERM, signal.SIGINT])
def test_the_process_tells_its_address_and_leaves_in_peace(stop: signal.Signals) -> None:
    with started("--json", "--today", "2026-11-01") as process:
        assert process.stdout
        told = json.loads(process.stdout.readline())
        response = httpx.get(f"{told['url']}/titles/alien-1979", trust_env=False)
        process.send_signal(stop)
        assert process.wait(timeout=30) == 0
        assert process.stdout.read() == ""
    assert told["titles"] == 330
    assert f'"url": "{told["url"]}/titles/alien-1979"' in response.text


def test_the_line_for_people_names_address_and_titles() -> None:
    with started() as process:
        assert process.stdout
        line = process.stdout.readline()
    assert line.startswith("demo site: http://127.0.0.1:")
    assert line.endswith(" (330 titles)\n")


@pytest.mark.parametrize(
    ("content", "problem"),
    [
        ("show_id,type\n", "titles.csv, line 1, column title: the header lacks this column"),
        (None, "No such file or directory"),
    ],
)
def test_a_catalogue_that_cannot_be_read_ends_the_process_with_two(
    tmp_path: Path, content: str | None, problem: str
) -> None:
    path = tmp_path / "titles.csv"
    if content is not None:
        path.write_text(content)
    ended = subprocess.run(
        [sys.executable, "-m", "trending_demo", "--catalogue", str(path)],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert ended.returncode == 2
    assert ended.stdout == ""
    assert problem in ended.stderr
    assert "Traceback" not in ended.stderr


def test_a_signal_adds_titles_in_another_language() -> None:
    with started("--json", "--arrivals", "right") as process:
        assert process.stdout
        url = json.loads(process.stdout.readline())["url"]
        arrived = f"{url}/titles/anpfiff-bremen-2021"
        assert httpx.get(arrived, trust_env=False).status_code == 404
        process.send_signal(signal.SIGUSR1)
        page = httpx.get(arrived, trust_env=False)
        while page.status_code == 404:  # until the process has heard of it
            page = httpx.get(arrived, trust_env=False)
        assert '"inLanguage": "de"' in page.text or "German" in page.text
        assert httpx.get(f"{url}/titles/alien-1979", trust_env=False).status_code == 200
