"""What DVC holds is compared with its names and with the manifest, to the last byte."""

import hashlib
import json
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
import yaml
from pipeline.demo_store import build
from pipeline.verify_dvc import main

from trending_shared.datasets import DatasetManifest


def md5(data: bytes) -> str:
    return hashlib.md5(data, usedforsecurity=False).hexdigest()


class Kept:
    """A folder as DVC keeps it: objects by MD5, and the file that tracks them."""

    def __init__(self, folder: Path) -> None:
        self.objects = folder / "objects"
        self.pointer = folder / "snapshot.dvc"

    def put(self, data: bytes, suffix: str = "") -> str:
        name = md5(data) + suffix
        file = self.file(name)
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(data)
        return name

    def file(self, name: str) -> Path:
        return self.objects / "files" / "md5" / name[:2] / name[2:]

    def track(self, files: dict[str, bytes]) -> None:
        entries = [{"md5": self.put(data), "relpath": name} for name, data in files.items()]
        listing = self.put(json.dumps(entries).encode(), ".dir")
        out = {"md5": listing, "hash": "md5", "path": "snapshot"}
        self.pointer.write_text(yaml.safe_dump({"outs": [out]}))


@pytest.fixture(scope="module")
def snapshot(tmp_path_factory: pytest.TempPathFactory) -> tuple[dict[str, bytes], DatasetManifest]:
    home = tmp_path_factory.mktemp("store")
    manifest = build(home)
    folder = home / "datasets" / manifest.dataset_id
    return {file.name: file.read_bytes() for file in sorted(folder.iterdir())}, manifest


@pytest.fixture
def kept(tmp_path: Path, snapshot: tuple[dict[str, bytes], DatasetManifest]) -> Kept:
    found = Kept(tmp_path)
    found.track(snapshot[0])
    return found


@pytest.fixture
def verify(kept: Kept, capsys: pytest.CaptureFixture[str]) -> Callable[[], tuple[int, str, str]]:
    def run() -> tuple[int, str, str]:
        status = main([str(kept.pointer), "--objects", kept.objects.as_uri()])
        told = capsys.readouterr()
        return status, told.out, told.err

    return run


Verify = Callable[[], tuple[int, str, str]]
Snapshot = tuple[dict[str, bytes], DatasetManifest]


def test_what_was_cut_is_what_dvc_holds(verify: Verify, snapshot: Snapshot) -> None:
    status, told, _ = verify()
    assert status == 0
    assert json.loads(told) == {"files": 2, "datasets": [snapshot[1].dataset_id]}


def test_a_changed_bit_is_named(kept: Kept, verify: Verify, snapshot: Snapshot) -> None:
    (file,) = snapshot[1].files
    assert file.md5
    path = kept.file(file.md5)
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(data)
    status, _, error = verify()
    assert status == 1
    assert error.startswith(f"error: snapshot/titles.parquet: files/md5/{file.md5[:2]}/")
    assert f"was changed, its MD5 is {md5(bytes(data))}" in error


def test_a_missing_object_is_named(kept: Kept, verify: Verify, snapshot: Snapshot) -> None:
    md5 = snapshot[1].files[0].md5
    assert md5
    kept.file(md5).unlink()
    status, _, error = verify()
    assert (status, "DVC holds no files/md5/" in error) == (1, True)
    shutil.rmtree(kept.objects)
    assert verify()[0] == 1


@pytest.mark.parametrize(("name", "value"), [("md5", "0" * 32), ("sha256", "0" * 64), ("bytes", 7)])
def test_another_file_than_the_manifest_tells_of_is_named(
    kept: Kept, verify: Verify, snapshot: Snapshot, name: str, value: object
) -> None:
    files, manifest = snapshot
    (file,) = manifest.files
    other = manifest.model_copy(update={"files": (file.model_copy(update={name: value}),)})
    kept.track(files | {"manifest.json": other.model_dump_json().encode()})
    status, _, error = verify()
    assert status == 1
    assert error == (
        f"error: snapshot/titles.parquet: {name} is {getattr(file, name)}, "
        f"snapshot/manifest.json tells {value}\n"
    )


def test_a_manifest_without_its_rows_is_named(
    kept: Kept, verify: Verify, snapshot: Snapshot
) -> None:
    kept.track({"manifest.json": snapshot[0]["manifest.json"]})
    assert "snapshot/titles.parquet isn't tracked" in verify()[2]


def test_a_manifest_from_before_md5s_were_kept_is_held_to_the_rest(
    kept: Kept, verify: Verify, snapshot: Snapshot
) -> None:
    files, manifest = snapshot
    (file,) = manifest.files
    old = manifest.model_copy(update={"files": (file.model_copy(update={"md5": None}),)})
    kept.track(files | {"manifest.json": old.model_dump_json().encode()})
    assert verify()[0] == 0


@pytest.mark.parametrize("text", ["", "outs: 7", "stages: []", "outs: [{path: x}]", "{"])
def test_what_isnt_dvcs_is_said(kept: Kept, verify: Verify, text: str) -> None:
    kept.pointer.write_text(text)
    status, _, error = verify()
    assert status == 1
    assert error.startswith("error: ")
