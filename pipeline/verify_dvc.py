"""Whether DVC holds what was cut: `python -m pipeline.verify_dvc [FILE …] [--objects URL]`.

DVC names a file by its MD5, and a folder by the MD5 of a listing. Each file is read from DVC's
cache or from a remote, and compared with its name; what is of a dataset also with the MD5, SHA-256
and size in the manifest beside it. Nothing of DVC is needed for that.
"""

import argparse
import hashlib
import json
import sys
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import yaml
from pydantic import ValidationError

from trending_shared.datasets import DatasetManifest, manifest_key
from trending_shared.errors import ObjectMissing, Rejected, TrendingError
from trending_shared.storage import ObjectStore

CACHE = Path(".dvc/cache")
_MANIFEST = "manifest.json"


class SnapshotDamaged(Rejected):
    """What DVC holds isn't what was tracked, or isn't what the manifest says."""


def tracked(file: Path) -> Iterator[tuple[str, str]]:
    """Path and hash of what a `dvc.lock` or a `.dvc` file tracks and DVC keeps.

    Raises:
        SnapshotDamaged: the file is neither.
    """
    document = yaml.safe_load(file.read_text(encoding="utf-8"))
    try:
        stages = document["stages"].values() if "stages" in document else [document]
        for stage in stages:
            for out in stage.get("outs", ()):
                yield out["path"], out["md5"]
    except (AttributeError, KeyError, TypeError) as error:
        raise SnapshotDamaged(f"{file} is no file of DVC's: {error!r}") from error


def read_object(objects: ObjectStore, md5: str, what: str) -> bytes:
    """The bytes that DVC keeps under a hash.

    Raises:
        SnapshotDamaged: there are none, or they have another hash.
        StoreUnavailable: the remote didn't answer.
    """
    key = f"files/md5/{md5[:2]}/{md5[2:]}"
    try:
        data = objects.get(key)
    except ObjectMissing as error:
        raise SnapshotDamaged(f"{what}: DVC holds no {key}") from error
    found = hashlib.md5(data, usedforsecurity=False).hexdigest()
    if found != md5.removesuffix(".dir"):
        raise SnapshotDamaged(f"{what}: {key} was changed, its MD5 is {found}")
    return data


def read_out(objects: ObjectStore, path: str, md5: str) -> dict[str, tuple[str, bytes]]:
    """MD5 and bytes of each file of an output, by its path."""
    data = read_object(objects, md5, path)
    if not md5.endswith(".dir"):
        return {path: (md5, data)}
    entries = {f"{path}/{entry['relpath']}": entry["md5"] for entry in json.loads(data)}
    return {name: (hash, read_object(objects, hash, name)) for name, hash in entries.items()}


def check_datasets(files: Mapping[str, tuple[str, bytes]]) -> list[DatasetManifest]:
    """Compare each dataset among these files with its manifest.

    Raises:
        SnapshotDamaged: a file is missing or another one than the manifest says.
    """
    found = []
    for name, (_, data) in files.items():
        if not name.endswith(f"/{_MANIFEST}"):
            continue
        try:
            manifest = DatasetManifest.model_validate_json(data)
        except ValidationError:
            continue  # a model's
        home = manifest_key(manifest.dataset_id).removesuffix(_MANIFEST)
        for file in manifest.files:
            path = name.removesuffix(_MANIFEST) + file.key.removeprefix(home)
            if path not in files:
                raise SnapshotDamaged(f"{path} isn't tracked, and {name} tells of it")
            md5, content = files[path]
            held = {
                "md5": md5,
                "sha256": hashlib.sha256(content).hexdigest(),
                "bytes": len(content),
            }
            told = file.model_dump(include=set(held), exclude_none=True)
            for key, value in told.items():
                if held[key] != value:
                    raise SnapshotDamaged(f"{path}: {key} is {held[key]}, {name} tells {value}")
        found.append(manifest)
    return found


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m pipeline.verify_dvc", description=__doc__)
    parser.add_argument(
        "file",
        type=Path,
        nargs="*",
        help="what says what is tracked: dvc.lock, *.dvc (default: dvc.lock)",
    )
    parser.add_argument(
        "--objects", help="a remote, as file:///folder or s3://bucket/prefix (default: the cache)"
    )
    asked = parser.parse_args(arguments)
    count, datasets = 0, []
    try:
        objects = ObjectStore.at(asked.objects or CACHE.absolute().as_uri())
        for file in asked.file or [Path("dvc.lock")]:
            for path, md5 in tracked(file):
                files = read_out(objects, path, md5)
                count += len(files)
                datasets += check_datasets(files)
    except (TrendingError, OSError, yaml.YAMLError) as error:
        sys.stderr.write(f"error: {error}\n")
        return 1
    told: dict[str, Any] = {"files": count, "datasets": [one.dataset_id for one in datasets]}
    sys.stdout.write(f"{json.dumps(told)}\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
