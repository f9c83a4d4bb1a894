"""The pipeline by DVC in a clone of the working tree, and its data there and back.

One fast family is fitted on the demo's catalogue. The services' code is that of `.venv`, wherever a
clone lies. `make test-dvc` starts the S3 server.
"""

import hashlib
import json
import os
import re
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml
from pipeline.demo_store import build

from trending_shared.datasets import DatasetManifest, newest_manifest, read_dataset
from trending_shared.registry import ModelRegistry
from trending_shared.storage import ObjectStore

ROOT = Path(__file__).parents[2]
BIN = ROOT / "deploy" / "dvc" / ".venv" / "bin"
STAGES = ["catalogue", "clean", "features", "train", "evaluate"]
TABLES, DATASETS = "data/store/tables", "data/store/datasets"

pytestmark = [pytest.mark.dvc, pytest.mark.timeout(600)]


class Clone:
    """A git clone of its own, with a DVC cache of its own."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._home = folder.parent / f"{folder.name}-home"
        self._home.mkdir()
        (folder / ".venv").symlink_to(ROOT / ".venv")
        with (folder / ".git/info/exclude").open("a") as excluded:
            excluded.write("/.venv\n")

    def run(self, *command: object, status: int = 0) -> str:
        """What a command says on both its outputs."""
        given = {name: value for name, value in os.environ.items() if name.startswith("AWS_")}
        home = str(self._home)
        environ = {
            **given,
            "PATH": f"{BIN}:{os.environ['PATH']}",
            "HOME": home,
            "DVC_SITE_CACHE_DIR": f"{home}/site",
            "DVC_GLOBAL_CONFIG_DIR": f"{home}/global",
            "DVC_SYSTEM_CONFIG_DIR": f"{home}/system",
            "WANDB_MODE": "offline",
            "COLUMNS": "400",
            **{
                f"GIT_{who}_{what}": "test@example.org"
                for who in ("AUTHOR", "COMMITTER")
                for what in ("NAME", "EMAIL")
            },
        }
        done = subprocess.run(
            [str(part) for part in command],
            cwd=self.folder,
            env=environ,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            check=False,
        )
        assert done.returncode == status, done.stdout
        return done.stdout

    def dvc(self, *arguments: object, status: int = 0) -> str:
        return self.run(BIN / "dvc", *arguments, status=status)

    def repro(self, *arguments: object) -> list[str]:
        """Reproduce; the stages that ran."""
        return re.findall("^Running stage '(.+)':$", self.dvc("repro", *arguments), re.MULTILINE)

    def verify(self, *arguments: object, status: int = 0) -> Any:
        """What the verifier found; the text of its error if that is what is expected."""
        command = [".venv/bin/python", "-m", "pipeline.verify_dvc", *arguments]
        said = self.run(*command, status=status)
        return said if status else json.loads(said)

    def git(self, *arguments: object) -> str:
        return self.run("git", *arguments)

    def commit(self) -> None:
        self.git("add", "--all")
        self.git("commit", "--quiet", "--message", "as it is")

    def fresh(self, folder: Path) -> "Clone":
        """A clone as another machine has it: what is committed, and no data."""
        self.git("clone", "--quiet", ".", folder)
        clone = Clone(folder)
        assert {file.suffix for file in (folder / "data").glob("*")} <= {".dvc"}
        assert not (folder / ".dvc/cache").exists()
        return clone

    def copy(self, folder: Path) -> "Clone":
        """The clone with its data, to be changed."""
        shutil.copytree(self.folder, folder, ignore=shutil.ignore_patterns(".venv"), symlinks=True)
        return Clone(folder)

    def hashes(self) -> dict[str, str]:
        """What `dvc.lock` says of each output, by path."""
        lock = yaml.safe_load((self.folder / "dvc.lock").read_text())
        return {
            out["path"]: out["md5"]
            for stage in lock["stages"].values()
            for out in stage.get("outs", [])
        }

    def set(self, **params: Any) -> None:
        file = self.folder / "params.yaml"
        told = yaml.safe_load(file.read_text())
        for name, value in params.items():
            section, _, key = name.rpartition("__")
            (told[section] if section else told)[key] = value
        file.write_text(yaml.safe_dump(told))

    @property
    def manifest(self) -> DatasetManifest:
        found = newest_manifest(ObjectStore.at((self.folder / "data/store").as_uri()))
        assert found
        return found


@pytest.fixture(scope="module")
def ran() -> list[str]:
    """The stages that the first run of `project` ran."""
    return []


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory, ran: list[str]) -> Clone:
    """The working tree's files in a repository of their own, reproduced once; to be read only."""
    folder = tmp_path_factory.mktemp("dvc") / "project"
    listed = ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"]
    names = subprocess.run(listed, cwd=ROOT, capture_output=True, text=True, check=True).stdout
    for name in filter(None, names.split("\0")):
        if (ROOT / name).is_file() and name != "dvc.lock" and not name.startswith("data/"):
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(ROOT / name, folder / name)
    subprocess.run(["git", "init", "--quiet"], cwd=folder, check=True)
    clone = Clone(folder)
    clone.set(train__families="keywords,tfidf-logreg")
    clone.commit()
    ran += clone.repro()
    assert clone.git("status", "--porcelain") == "?? dvc.lock\n"
    clone.commit()
    return clone


@pytest.fixture(params=["folder", "s3"])
def remote(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """The address of an empty remote."""
    if request.param == "folder":
        return str(tmp_path / "remote")
    return f"s3://{os.environ['TEST_S3_BUCKET']}/{tmp_path.name}"


@pytest.fixture
def connect(remote: str) -> Callable[[Clone], Clone]:
    """Has a clone push and pull there, by a setting that isn't committed."""

    def run(clone: Clone) -> Clone:
        clone.dvc("remote", "add", "--local", "--default", "there", remote)
        return clone

    return run


def url_of(remote: str) -> str:
    return remote if "://" in remote else Path(remote).as_uri()


def flip(file: Path) -> None:
    """Change one bit in the middle of a file that may be protected."""
    data = bytearray(file.read_bytes())
    data[len(data) // 2] ^= 1
    file.chmod(0o644)
    file.write_bytes(data)


# ---------------------------------------------------------------- running


def test_all_stages_run_once_and_a_second_run_does_nothing(project: Clone, ran: list[str]) -> None:
    assert ran == STAGES
    said = project.dvc("repro")
    assert [name for name in STAGES if f"Stage '{name}' didn't change, skipping" in said] == STAGES
    assert "up to date" in said
    assert project.git("status", "--porcelain") == ""


def test_the_hashes_are_those_of_the_manifest(project: Clone) -> None:
    manifest = project.manifest
    (file,) = manifest.files
    data = (project.folder / "data/store" / file.key).read_bytes()
    assert file.md5 == hashlib.md5(data, usedforsecurity=False).hexdigest()
    assert file.sha256 == hashlib.sha256(data).hexdigest()
    listing = project.hashes()[DATASETS]
    entries = project.folder / ".dvc/cache/files/md5" / listing[:2] / listing[2:]
    names = {one["relpath"]: one["md5"] for one in json.loads(entries.read_text())}
    assert names[file.key.removeprefix("datasets/")] == file.md5
    found = project.verify()
    assert found["datasets"] == [manifest.dataset_id]
    objects = (project.folder / ".dvc/cache/files/md5").glob("*/*")
    assert found["files"] == sum(not one.name.endswith(".dir") for one in objects)


def test_metrics_and_plots_show_what_the_manifests_tell(project: Clone, tmp_path: Path) -> None:
    shown = json.loads(project.dvc("metrics", "show", "--json"))
    found = shown[""]["data"]["data/evaluation/metrics.json"]["data"]
    (bundle,) = ModelRegistry(ObjectStore.at((project.folder / "data/registry").as_uri())).versions(
        "genres"
    )
    family = found["families"][bundle.algorithm]
    assert family["macro_f1"] == bundle.metrics["macro_f1"]
    assert family["mean_average_precision"] == bundle.metrics["mean_average_precision"]
    assert family["ece"] == bundle.metrics["calibration"]["ece"]
    project.dvc("plots", "show", "--out", tmp_path / "plots")
    page = (tmp_path / "plots" / "index.html").read_text()
    assert "F1 of the best family by genre" in page
    assert (project.folder / f"data/evaluation/pages/{bundle.algorithm}.html").is_file()


def test_from_the_file_on_another_clone_comes_to_the_same_dataset(
    project: Clone, tmp_path: Path
) -> None:
    clone = project.fresh(tmp_path / "clone")
    ours, theirs = project.hashes(), clone.hashes()
    assert ours == theirs
    (clone.folder / "dvc.lock").unlink()
    assert clone.repro("features") == STAGES[:3]
    theirs = clone.hashes()
    assert {name: theirs[name] for name in ("data/demo.csv", DATASETS)} == {
        name: ours[name] for name in ("data/demo.csv", DATASETS)
    }
    assert theirs[TABLES] != ours[TABLES]  # Delta names files at random and notes times
    assert clone.manifest == project.manifest


def test_what_is_changed_reruns_only_what_depends_on_it(project: Clone, tmp_path: Path) -> None:
    clone = project.copy(tmp_path / "clone")
    clone.set(train__split="source-id")
    assert clone.repro() == ["train", "evaluate"]
    differences = json.loads(clone.dvc("metrics", "diff", "--json"))
    scores = differences["data/evaluation/metrics.json"]
    assert scores["families.tfidf-logreg.macro_f1"]["diff"] != 0
    assert clone.hashes()[DATASETS] == project.hashes()[DATASETS]
    clone.set(train__split="title")
    assert clone.dvc("status") != ""
    assert clone.repro() == []  # DVC remembers what this came to
    assert clone.hashes() == project.hashes()
    code = clone.folder / "services/cleaner/trending_cleaner/cleaning.py"
    code.write_text(f"{code.read_text()}# nothing new\n")
    assert clone.repro() == ["clean", "features"]
    assert clone.hashes()[DATASETS] == project.hashes()[DATASETS]


def test_a_file_of_ones_own_is_tracked_and_read(project: Clone, tmp_path: Path) -> None:
    clone = project.copy(tmp_path / "clone")
    lines = (clone.folder / "data/demo.csv").read_text().splitlines(keepends=True)
    (clone.folder / "data/mine.csv").write_text("".join(lines[:200]))
    clone.dvc("add", "data/mine.csv")
    clone.set(catalogue="data/mine.csv")
    assert clone.repro("features") == ["clean", "features"]
    assert clone.manifest.rows == 199
    status = clone.git("status", "--porcelain").splitlines()
    assert status == [" M dvc.lock", " M params.yaml", "?? data/"]
    clone.git("add", "--all")
    assert clone.git("ls-files", "data") == "data/mine.csv.dvc\n"


# ---------------------------------------------------------------- there and back


def test_what_is_pushed_comes_back_in_another_clone(
    project: Clone, connect: Callable[[Clone], Clone], remote: str, tmp_path: Path
) -> None:
    ours = connect(project.copy(tmp_path / "ours"))
    ours.dvc("push")
    assert "in sync" in ours.dvc("status", "--cloud")
    assert ours.verify("--objects", url_of(remote)) == project.verify()
    theirs = connect(project.fresh(tmp_path / "theirs"))
    theirs.dvc("pull")
    assert theirs.git("status", "--porcelain") == ""
    assert theirs.verify() == project.verify()
    for name in project.hashes():
        files = sorted((project.folder / name).rglob("*")) or [project.folder / name]
        for file in files:
            pulled = theirs.folder / file.relative_to(project.folder)
            assert pulled.is_dir() if file.is_dir() else pulled.read_bytes() == file.read_bytes()
    store = ObjectStore.at((theirs.folder / "data/store").as_uri())
    assert read_dataset(store, theirs.manifest).num_rows == project.manifest.rows
    assert theirs.repro() == []
    assert theirs.repro("--force", "--single-item", "features", "evaluate") == [
        "features",
        "evaluate",
    ]
    for name in (DATASETS, "data/evaluation/metrics.json"):  # from tables and bundles pulled
        assert theirs.hashes()[name] == project.hashes()[name]


def test_a_flipped_bit_in_the_cache_is_found(project: Clone, tmp_path: Path) -> None:
    clone = project.copy(tmp_path / "clone")
    md5 = clone.manifest.files[0].md5
    assert md5
    flip(clone.folder / ".dvc/cache/files/md5" / md5[:2] / md5[2:])
    assert f"files/md5/{md5[:2]}/{md5[2:]} was changed" in clone.verify(status=1)


def test_a_flipped_bit_in_a_remote_is_found_there_and_after_it_is_pulled(
    project: Clone, tmp_path: Path
) -> None:
    remote = tmp_path / "remote"
    ours = project.copy(tmp_path / "ours")
    ours.dvc("remote", "add", "--local", "--default", "there", remote)
    ours.dvc("push")
    md5 = project.manifest.files[0].md5
    assert md5
    flip(remote / "files/md5" / md5[:2] / md5[2:])
    assert "was changed" in ours.verify("--objects", remote.as_uri(), status=1)
    theirs = project.fresh(tmp_path / "theirs")
    theirs.dvc("remote", "add", "--local", "--default", "there", remote)
    theirs.dvc("pull")
    assert "was changed" in theirs.verify(status=1)
    careful = project.fresh(tmp_path / "careful")
    careful.dvc("remote", "add", "--local", "--default", "there", remote)
    careful.dvc("remote", "modify", "--local", "there", "verify", "true")
    assert DATASETS in careful.dvc("pull", status=1)
    assert not (careful.folder / DATASETS).exists()


# ---------------------------------------------------------------- what services cut


def test_a_snapshot_of_the_services_is_tracked_and_comes_back(
    project: Clone, connect: Callable[[Clone], Clone], remote: str, tmp_path: Path
) -> None:
    ours = connect(project.copy(tmp_path / "ours"))
    manifest = build(ours.folder / ".trending/store")
    id = manifest.dataset_id
    ours.dvc("add", "--out", f"data/{id}", f".trending/store/datasets/{id}")
    assert ours.git("status", "--porcelain", "--untracked-files=all") == f"?? data/{id}.dvc\n"
    ours.commit()
    ours.dvc("push", f"data/{id}.dvc")
    theirs = connect(ours.fresh(tmp_path / "theirs"))
    theirs.dvc("pull", f"data/{id}.dvc")
    there = ["--objects", url_of(remote)]
    for found in (theirs.verify(f"data/{id}.dvc"), ours.verify(f"data/{id}.dvc", *there)):
        assert found == {"files": 2, "datasets": [id]}
    for file in (ours.folder / ".trending/store/datasets" / id).iterdir():
        assert (theirs.folder / "data" / id / file.name).read_bytes() == file.read_bytes()


def test_a_snapshot_in_a_bucket_is_imported(project: Clone, tmp_path: Path) -> None:
    bucket = f"s3://{os.environ['TEST_S3_BUCKET']}/store"
    here, there = ObjectStore.at((tmp_path / "store").as_uri()), ObjectStore.at(bucket)
    id = build(tmp_path / "store").dataset_id
    for key in here.keys(f"datasets/{id}"):
        there.put(key, here.get(key))
    clone = project.copy(tmp_path / "clone")
    clone.dvc("import-url", f"{bucket}/datasets/{id}", f"data/{id}")
    assert clone.verify(f"data/{id}.dvc") == {"files": 2, "datasets": [id]}
