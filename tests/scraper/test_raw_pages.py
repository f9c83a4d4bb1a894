"""Raw pages: the same bytes lie under the same key for ever."""

import gzip
import hashlib

import pytest

from trending_scraper.raw_pages import RawPages
from trending_scraper.testing import FETCHED_AT
from trending_shared.errors import ObjectMissing
from trending_shared.events import Page
from trending_shared.storage import ObjectStore

BODY = b"<h1>Alien</h1>"


def test_a_page_lies_gzipped_under_its_hash() -> None:
    store = ObjectStore.at("memory:///")
    digest, key = RawPages(store).keep(BODY)
    assert digest == hashlib.sha256(BODY).hexdigest()
    assert key == f"raw/{digest[:2]}/{digest}.gz"
    assert gzip.decompress(store.get(key)) == BODY


def test_a_page_is_written_once() -> None:
    store = ObjectStore.at("memory:///")
    _, key = RawPages(store).keep(BODY)
    store.put(key, b"as it was first written")
    assert RawPages(store).keep(BODY)[1] == key
    assert store.get(key) == b"as it was first written"


def test_two_stores_hold_the_same_bytes() -> None:
    first, second = ObjectStore.at("memory:///"), ObjectStore.at("memory:///")
    key = RawPages(first).keep(BODY)[1]
    RawPages(second).keep(BODY)
    assert first.get(key) == second.get(key)
    assert first.get(key)[4:8] == bytes(4)  # gzip's time of modification


def test_what_was_kept_is_read_again() -> None:
    pages = RawPages(ObjectStore.at("memory:///"))
    digest, key = pages.keep(BODY)
    page = Page(url="http://films.example/", hash=digest, key=key, fetched_at=FETCHED_AT)
    assert pages.read(page) == BODY


@pytest.mark.parametrize(
    "damaged",
    [None, b"", b"no gzip", gzip.compress(BODY)[:-4], gzip.compress(b"<h1>Dark</h1>")],
    ids=["gone", "empty", "no gzip", "cut", "another's"],
)
def test_bytes_that_are_gone_or_damaged_are_missing(damaged: bytes | None) -> None:
    store = ObjectStore.at("memory:///")
    pages = RawPages(store)
    digest, key = pages.keep(BODY)
    if damaged is None:
        store.delete(key)
    else:
        store.put(key, damaged)
    page = Page(url="http://films.example/", hash=digest, key=key, fetched_at=FETCHED_AT)
    with pytest.raises(ObjectMissing, match=key):
        pages.read(page)
