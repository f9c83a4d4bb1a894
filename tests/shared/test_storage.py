"""The object store's promises, the same for a folder and in memory (S3: `make test-s3`)."""

import os
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from uuid import uuid4

import pytest

from trending_shared.errors import ObjectMissing, SettingInvalid, StoreUnavailable
from trending_shared.storage import ObjectStore

S3 = os.environ.get("TEST_S3_BUCKET")


@pytest.fixture(params=["file", "memory", *(["s3"] if S3 else [])])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> ObjectStore:
    urls = {
        "file": (tmp_path / "a store").as_uri(),
        "memory": "memory:///",
        "s3": f"s3://{S3}/{uuid4()}",
    }
    return ObjectStore.at(urls[request.param])


def test_what_was_put_is_read_back_whole(store: ObjectStore) -> None:
    store.put("raw/ab/page.gz", b"\x00bytes")
    store.put("raw/ab/page.gz", b"others")
    assert store.get("raw/ab/page.gz") == b"others"
    assert store.exists("raw/ab/page.gz")


def test_a_missing_object_is_missing_and_may_be_deleted(store: ObjectStore) -> None:
    assert not store.exists("nowhere")
    with pytest.raises(ObjectMissing, match="nowhere"):
        store.get("nowhere")
    store.delete("nowhere")


def test_of_many_writers_exactly_one_creates_an_object(store: ObjectStore) -> None:
    def write(writer: int) -> bool:
        return store.put_new("aliases/genres/champion/00000001.json", str(writer).encode())

    with ThreadPoolExecutor(8) as pool:
        created = list(pool.map(write, range(16)))
    assert created.count(True) == 1
    assert store.get("aliases/genres/champion/00000001.json") == str(created.index(True)).encode()


def test_keys_are_listed_in_order_below_whole_segments(store: ObjectStore) -> None:
    for key in ("a/2", "a/10", "ab/1", "b"):
        store.put(key, b"")
    assert store.keys("a") == ["a/10", "a/2"]
    assert store.keys("none") == []


def test_a_deleted_object_is_gone(store: ObjectStore) -> None:
    store.put("a/b", b"1")
    store.delete("a/b")
    assert store.keys("a") == []


def test_a_folder_that_cannot_be_written_is_unavailable(tmp_path: Path) -> None:
    (tmp_path / "raw").write_text("a file where a folder should be")
    with pytest.raises(StoreUnavailable):
        ObjectStore.at(tmp_path.as_uri()).put("raw/x", b"1")


def test_a_url_of_another_kind_is_refused_by_name() -> None:
    with pytest.raises(SettingInvalid, match="STORE_URL"):
        ObjectStore.at("ftp://host/folder")
