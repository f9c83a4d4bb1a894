"""A release by digest, and the way back, with programs that do as the real ones do."""

import json
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from release import (
    EVERYWHERE,
    ROOT,
    SERVICES,
    Environment,
    ReleaseImpossible,
    changed_services,
    changed_since,
    critical_findings,
    digests_after,
    digests_in_force,
    main,
    python_requirements,
)
from trending_cli.house import code_version

REGISTRY = "123456789012.dkr.ecr.eu-central-1.amazonaws.com/trending-staging"
OLD, NEW, OTHER = (f"sha256:{digit * 64}" for digit in "abc")

PROGRAMS = Path(__file__).with_name("programs.py")


@dataclass
class Staging:
    """An environment, and images that were built for it."""

    folder: Path

    @property
    def environment(self) -> Environment:
        environ = {"STATE_BUCKET": "state", "AWS_REGION": "eu-central-1", "TF_VARS": '{"a": "b"}'}
        return Environment("staging", environ, folders=self.folder / "envs")

    def is_so(self, **changes: Any) -> None:
        file = self.folder / "world.json"
        file.write_text(json.dumps(json.loads(file.read_text()) | changes))

    def build(self, **digests: str) -> Path:
        for service, digest in digests.items():
            image = self.folder / "images" / service
            image.mkdir(parents=True)
            (image / "image.tar").write_text(digest)
        return self.folder / "images"

    @property
    def world(self) -> Any:
        return json.loads((self.folder / "world.json").read_text())

    def calls(self, *beginning: str) -> list[list[str]]:
        lines = (self.folder / "calls").read_text().splitlines()
        calls = [json.loads(line) for line in lines]
        return [call for call in calls if call[: len(beginning)] == [*beginning]]


@pytest.fixture
def staging(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Staging:
    """It runs two services, and has been released to before."""
    programs = tmp_path / "bin"
    programs.mkdir()
    for name in ("terraform", "aws", "skopeo", "trending"):
        command = f'exec {sys.executable} {PROGRAMS} {tmp_path} {name} "$@"'
        (programs / name).write_text(f"#!/bin/sh\n{command}\n")
        (programs / name).chmod(0o755)
    monkeypatch.setenv("PATH", str(programs), prepend=":")
    (tmp_path / "envs" / "staging").mkdir(parents=True)
    none: dict[str, Sequence[str]] = dict.fromkeys(
        ("pushed", "unsafe", "does_not_start", "does_not_work"), ()
    )
    runs = {"cleaner": OLD, "inference": OLD}
    world = {"told": runs, "runs": runs, "repositories": SERVICES, "refuses": False, **none}
    (tmp_path / "world.json").write_text(json.dumps(world))
    return Staging(tmp_path)


def test_what_was_built_runs_by_digest_and_the_rest_stays(staging: Staging) -> None:
    staging.environment.deploy(staging.build(inference=NEW))
    assert staging.world["runs"] == {"cleaner": OLD, "inference": NEW}
    [copy] = staging.calls("skopeo", "copy")
    assert "--preserve-digests" in copy
    assert copy[-1].startswith(f"docker://{REGISTRY}/inference:")
    assert copy[-1].endswith(NEW[7:19])
    [smoke] = staging.calls("trending", "smoke", "https://lb.example")
    assert "--code-version" in smoke
    assert json.loads((staging.environment.folder / "account.auto.tfvars.json").read_text()) == {
        "a": "b"
    }


def test_a_gateway_that_is_not_new_is_not_asked_for_its_version(staging: Staging) -> None:
    staging.environment.deploy(staging.build(cleaner=NEW))
    [smoke] = staging.calls("trending", "smoke")
    assert "--code-version" not in smoke


def test_a_release_that_does_not_work_is_taken_back(staging: Staging) -> None:
    staging.is_so(does_not_work=[NEW])
    with pytest.raises(ReleaseImpossible, match="trending smoke"):
        staging.environment.deploy(staging.build(cleaner=NEW, inference=NEW))
    assert staging.world["runs"] == {"cleaner": NEW, "inference": NEW}
    staging.environment.rollback()
    assert staging.world["runs"] == {"cleaner": OLD, "inference": OLD}
    staging.environment.rollback()  # again, as when the runner was lost in the middle of it
    assert staging.world["runs"] == {"cleaner": OLD, "inference": OLD}


def test_what_ecs_took_back_by_itself_is_no_release(staging: Staging) -> None:
    staging.is_so(does_not_start=[NEW])
    with pytest.raises(ReleaseImpossible, match=f"cleaner runs .*{OLD} instead of {NEW}"):
        staging.environment.deploy(staging.build(cleaner=NEW))
    staging.environment.rollback()
    assert staging.world["told"] == {"cleaner": OLD, "inference": OLD}


def test_an_unsafe_image_is_pushed_and_never_runs(staging: Staging) -> None:
    staging.is_so(unsafe=[NEW])
    with pytest.raises(ReleaseImpossible, match="critical findings: CVE-1"):
        staging.environment.deploy(staging.build(cleaner=OTHER, inference=NEW))
    assert staging.calls("terraform", f"-chdir={staging.environment.folder}", "apply") == []
    staging.environment.rollback()
    assert staging.calls("terraform", f"-chdir={staging.environment.folder}", "apply") == []


def test_what_terraform_may_not_do_changes_nothing(staging: Staging) -> None:
    staging.is_so(refuses=True)
    with pytest.raises(ReleaseImpossible, match="apply"):
        staging.environment.deploy(staging.build(cleaner=NEW))
    assert staging.world["told"] == {"cleaner": OLD, "inference": OLD}


def test_an_image_that_is_there_is_not_pushed_again(staging: Staging) -> None:
    staging.is_so(pushed=[NEW])
    staging.environment.deploy(staging.build(cleaner=NEW))
    assert staging.calls("skopeo", "copy") == []
    assert staging.world["runs"]["cleaner"] == NEW


def test_a_first_release_has_nothing_to_go_back_to(staging: Staging) -> None:
    staging.is_so(told={}, runs={}, does_not_work=[NEW])
    with pytest.raises(ReleaseImpossible, match="smoke"):
        staging.environment.deploy(staging.build(inference=NEW))
    staging.environment.rollback()
    assert staging.world["runs"] == {"inference": NEW}


def test_an_environment_is_made_by_a_person(staging: Staging) -> None:
    staging.is_so(repositories=[])
    with pytest.raises(ReleaseImpossible, match="staging isn't there"):
        staging.environment.deploy(staging.build(inference=NEW))


# ---------------------------------------------------------------- what is decided


def test_a_change_touches_the_images_that_it_goes_into() -> None:
    assert changed_services(["services/trainer/README.md", "docs/a.md", "cli/b.py"]) == ["trainer"]
    assert changed_services(["services/monitor/a.py", "services/cleaner/b.py"]) == [
        "cleaner",
        "monitor",
    ]
    assert changed_services(["README.md", "tests/cleaner/test_cleaning.py"]) == []
    for place in EVERYWHERE:
        assert changed_services(["README.md", f"{place}x"]) == list(SERVICES)


def test_every_place_that_is_watched_is_there() -> None:
    assert all((ROOT / place).exists() for place in EVERYWHERE)
    assert {folder.name for folder in (ROOT / "services").iterdir()} == set(SERVICES)


def test_without_a_commit_to_compare_with_all_services_are_built() -> None:
    assert changed_since("none") == list(SERVICES)
    assert changed_since("HEAD") == []


def test_an_image_says_the_version_that_the_house_says(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["code-version"]) == 0
    assert capsys.readouterr().out.strip() == code_version().removesuffix(".dirty")


def test_a_bill_of_materials_becomes_pins() -> None:
    components = [
        {"name": "httpx", "version": "0.28.1", "purl": "pkg:pypi/httpx@0.28.1"},
        {"name": "attrs", "version": "26.1", "purl": "pkg:pypi/attrs@26.1"},
        {"name": "trending-shared", "version": "0.1.0", "purl": "pkg:pypi/trending-shared@0.1.0"},
        {"name": "bash", "version": "5.2", "purl": "pkg:deb/debian/bash@5.2"},
    ]
    assert python_requirements({"components": components}) == ["attrs==26.1", "httpx==0.28.1"]
    with pytest.raises(ReleaseImpossible):
        python_requirements({"components": components[3:]})


def test_only_digests_run() -> None:
    with pytest.raises(ReleaseImpossible, match="names no digest"):
        digests_in_force({"containers": {"cleaner": {"image": f"{REGISTRY}/cleaner:latest"}}})
    with pytest.raises(ReleaseImpossible, match="no digest"):
        digests_after({}, {"cleaner": "latest"})
    with pytest.raises(ReleaseImpossible, match="no service dashboard"):
        digests_after({}, {"dashboard": NEW})


def test_a_scan_that_is_not_complete_says_nothing() -> None:
    with pytest.raises(ReleaseImpossible, match="FAILED"):
        critical_findings({"imageScanStatus": {"status": "FAILED"}})
    enhanced = {"enhancedFindings": [{"title": "CVE-2", "severity": "CRITICAL"}]}
    scan = {"imageScanStatus": {"status": "ACTIVE"}, "imageScanFindings": enhanced}
    assert critical_findings(scan) == ["CVE-2"]
