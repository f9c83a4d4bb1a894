"""Parts of imported files: kept under their content, read back whole or not at all."""

import gzip
import hashlib

import pytest

from trending_shared.errors import ObjectMissing
from trending_shared.events import ScrapeJob
from trending_shared.imports import (
    MAX_PART,
    PartDamaged,
    is_part,
    keep_part,
    part_job,
    read_part,
)
from trending_shared.storage import ObjectStore

ROWS = b"show_id,title\ns1,Alien\n"


@pytest.fixture
def store() -> ObjectStore:
    return ObjectStore.at("memory:///")


def test_a_part_is_read_back_as_it_was_kept(store: ObjectStore) -> None:
    url = keep_part(store, ROWS)
    assert is_part(url)
    assert read_part(store, url) == ROWS


def test_the_same_rows_are_one_object_and_one_job(store: ObjectStore) -> None:
    first, again = keep_part(store, ROWS), keep_part(store, ROWS)
    assert first == again
    assert len(store.keys("imports")) == 1
    assert part_job("csv", first) == part_job("csv", again)
    assert part_job("csv", first)[0] != part_job("mine", first)[0]


def test_parts_are_keys_of_their_own_so_that_scrapers_share_a_file(store: ObjectStore) -> None:
    jobs = [part_job("csv", keep_part(store, rows))[1] for rows in (b"one", b"other")]
    assert [job.key for job in jobs] == [job.url for job in jobs]
    assert ScrapeJob(source="demo", url="https://Films.example/a").key == "films.example"


@pytest.mark.parametrize(
    "url",
    [
        "store:raw/ab/abcd.gz",
        "store:imports/../raw/ab/abcd.gz",
        f"store:imports/aa/{'b' * 64}.csv.gz",
        f"store:imports/bb/{'b' * 64}.csv.gz\n",
        f"http://films.example/imports/bb/{'b' * 64}.csv.gz",
        "store:aliases/genres/champion/00000001.json",
    ],
)
def test_nothing_else_in_the_store_can_be_read(store: ObjectStore, url: str) -> None:
    assert not is_part(url)
    with pytest.raises(PartDamaged):
        read_part(store, url)


def test_a_part_that_isnt_there_is_missing(store: ObjectStore) -> None:
    with pytest.raises(ObjectMissing):
        read_part(store, f"store:imports/bb/{'b' * 64}.csv.gz")


@pytest.mark.parametrize(
    "object",
    [
        gzip.compress(b"show_id,title\ns1,Aliens\n"),
        gzip.compress(ROWS)[:-12],
        gzip.compress(bytes(50 * MAX_PART)),
        b"no gzip",
    ],
    ids=["other rows", "cut off", "a bomb", "no gzip"],
)
def test_a_part_that_was_changed_is_damaged(store: ObjectStore, object: bytes) -> None:
    url = keep_part(store, ROWS)
    store.put(url.removeprefix("store:"), object)
    with pytest.raises(PartDamaged):
        read_part(store, url)


def test_a_part_beyond_measure_is_damaged_whatever_its_name(store: ObjectStore) -> None:
    rows = bytes(MAX_PART + 1)
    url = keep_part(store, rows)
    assert hashlib.sha256(rows).hexdigest() in url
    with pytest.raises(PartDamaged):
        read_part(store, url)
