"""Format, validity, and every run of `terraform test`."""

import re
from collections import Counter
from collections.abc import Mapping
from concurrent.futures import Future
from pathlib import Path
from typing import Any

import pytest

TERRAFORM = Path(__file__).parents[2] / "deploy" / "terraform"
FOLDERS = ("envs/staging", "envs/prod", "policies")
RUN = re.compile(r'^run "(\w+)"', re.MULTILINE)
ASSERTION = re.compile(r"^  assert \{|^  expect_failures", re.MULTILINE)
RUNS = [
    pytest.param(folder, file.name, run, id=f"{folder}-{run}")
    for folder in FOLDERS
    for file in sorted((TERRAFORM / folder / "tests").glob("*.tftest.hcl"))
    for run in RUN.findall(file.read_text())
]

pytestmark = [pytest.mark.terraform, pytest.mark.timeout(1800)]


@pytest.mark.parametrize(("folder", "file", "run"), RUNS)
def test_a_run_passes(tested: Mapping[str, Future[Any]], folder: str, file: str, run: str) -> None:
    done = tested[folder].result()
    assert done.statuses.get((file, run)) == "pass", "\n".join(done.said.get((file, run), ()))


def test_files_are_formatted(terraform: Any) -> None:
    done = terraform.run(".", "fmt", "-check", "-recursive", "-list=true")
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize("folder", ["envs/staging", "envs/prod"])
def test_an_environment_is_valid(
    terraform: Any, tested: Mapping[str, Future[Any]], folder: str
) -> None:
    tested[folder].result()  # which has initialised it
    done = terraform.run(folder, "validate")
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize("folder", FOLDERS)
def test_it_is_told_how_much_there_was(
    terraform: Any, tested: Mapping[str, Future[Any]], folder: str
) -> None:
    done = tested[folder].result()
    files = [file.read_text() for file in (TERRAFORM / folder / "tests").glob("*.tftest.hcl")]
    assertions = sum(len(ASSERTION.findall(text)) for text in files)
    counts = Counter(done.statuses.values())
    made = [f"{run} {len(found)}" for run, found in done.resources.items() if folder != "policies"]
    terraform.told.append(
        f"{folder}: {counts['pass']} runs passed, {sum(counts.values()) - counts['pass']} didn't, "
        f"{assertions} assertions, {done.seconds:.0f} s"
        + (f"; resources: {', '.join(made)}" if made else "")
    )
    assert set(counts) == {"pass"}
