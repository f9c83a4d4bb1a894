"""GitHub's workflows, as far as one can tell without GitHub; `make workflows-check` does more."""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from release import ENVIRONMENTS, ROOT

FOLDER = ROOT / ".github" / "workflows"
FILES = sorted(FOLDER.glob("*.yml"))
PINNED = re.compile(r"[\w-]+/[\w.-]+@[0-9a-f]{40} # v\d+\.\d+\.\d+")
# What a stranger can write: titles, branches, messages. None of it is for a shell, nor for an `if`.
UNTRUSTED = re.compile(r"github\.(head_ref|event\.(?!pull_request\.(number|base\.sha)))")
SECRETS = {"GATEWAY_API_KEY"}
CHECKOUT = "actions/checkout@"


def workflow(file: Path) -> dict[Any, Any]:
    found: dict[Any, Any] = yaml.safe_load(file.read_text())
    return found


def jobs() -> Iterator[tuple[str, dict[str, Any]]]:
    for file in FILES:
        for name, job in workflow(file)["jobs"].items():
            yield f"{file.stem}.{name}", job


JOBS = dict(jobs())


def steps(job: dict[str, Any]) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = job.get("steps", [])
    return found


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.stem)
def test_every_action_is_pinned_by_its_commit_with_the_version_beside_it(file: Path) -> None:
    for line in file.read_text().splitlines():
        if found := re.search(r"uses: (.+)", line):
            path = found[1].removeprefix("./")
            assert PINNED.fullmatch(found[1]) or (ROOT / path).is_file(), line


def test_an_action_is_the_same_commit_everywhere() -> None:
    text = "".join(file.read_text() for file in FILES)
    commits: dict[str, set[str]] = {}
    for name, commit in re.findall(r"uses: ([\w./-]+)@(.+)", text):
        commits.setdefault(name, set()).add(commit)
    assert all(len(each) == 1 for each in commits.values())


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.stem)
def test_nothing_is_permitted_unless_a_job_says_so(file: Path) -> None:
    assert workflow(file)["permissions"] == {}
    for name, job in workflow(file)["jobs"].items():
        assert "permissions" in job, name
        writes = {each for each, level in job["permissions"].items() if level == "write"}
        assert writes <= {"id-token"}
        releases = "environment" in job or job.get("uses", "").endswith("/environment.yml")
        assert releases == ("id-token" in writes), "only what releases may show who it is"


def test_no_pull_request_gets_a_secret_or_an_identity() -> None:
    for file in FILES:
        assert "pull_request_target" not in file.read_text()
        assert "workflow_run" not in file.read_text()
    [file] = [file for file in FILES if "pull_request" in workflow(file)[True]]
    assert "secrets." not in file.read_text()


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.stem)
def test_the_only_secret_is_the_smoke_tests_key(file: Path) -> None:
    assert set(re.findall(r"secrets\.(\w+)", file.read_text())) <= SECRETS


@pytest.mark.parametrize("name", JOBS)
def test_a_job_ends_some_day_and_its_commands_take_nothing_in_but_variables(name: str) -> None:
    job = JOBS[name]
    if "uses" not in job:
        assert 0 < job["timeout-minutes"] <= 90
    assert not UNTRUSTED.search(str(job))
    for step in steps(job):
        assert "${{" not in step.get("run", ""), "a value goes through env, never into a script"
        if step.get("uses", "").startswith(CHECKOUT):
            assert step["with"]["persist-credentials"] is False


def test_one_check_stands_for_all_others() -> None:
    ci = workflow(FOLDER / "ci.yml")["jobs"]
    passed = ci.pop("passed")
    assert set(passed["needs"]) == set(ci)
    assert passed["if"] == "always()"


def test_prod_comes_after_staging_and_both_are_environments_of_ours() -> None:
    release = workflow(FOLDER / "deploy.yml")
    environments = {
        name: job["with"]["environment"]
        for name, job in release["jobs"].items()
        if job.get("uses", "").endswith("/environment.yml")
    }
    assert list(environments) == list(environments.values()) == list(ENVIRONMENTS)
    assert release["jobs"]["prod"]["needs"] == ["staging"]
    assert release["concurrency"] == {"group": "deploy", "cancel-in-progress": False}


def test_a_release_that_fails_or_is_stopped_is_taken_back() -> None:
    *_, deploy, back = steps(JOBS["environment.release"])
    assert "release.py deploy" in deploy["run"]
    assert "release.py rollback" in back["run"]
    assert back["if"] == f"(failure() || cancelled()) && steps.{deploy['id']}.outcome != 'skipped'"


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.stem)
def test_every_file_and_target_that_a_workflow_runs_is_there(file: Path) -> None:
    text = file.read_text()
    for script in re.findall(r"python3? (\S+\.py)", text):
        assert (ROOT / script).is_file()
    targets = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    assert set(re.findall(r"\bmake ([a-z-]+)", text)) <= targets
