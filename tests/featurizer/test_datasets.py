"""Snapshots: their rows and ids, when they are cut, and what a second delivery does."""

import hashlib
import io
import json
from collections.abc import Callable, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from prometheus_client import CollectorRegistry

from trending_cleaner.schemas import REVIEWS, TITLES, row_of
from trending_featurizer.dataset_rows import HASHED, ROWS, hash_rows, join_rows
from trending_featurizer.datasets import Datasets, NoTitlesYet
from trending_featurizer.metrics import FeaturizerMetrics
from trending_shared.clock import FrozenClock
from trending_shared.datasets import (
    DatasetDamaged,
    DatasetManifest,
    list_datasets,
    manifest_key,
    newest_manifest,
    read_dataset,
    read_manifest,
)
from trending_shared.events import DatasetRequested, ReviewCleaned, TitleCleaned
from trending_shared.features import compose_text, text_hash
from trending_shared.messages import Message
from trending_shared.storage import ObjectStore
from trending_shared.tables import OffsetTable, table_uri
from trending_shared.testing import (
    a_page,
    a_review_cleaned,
    a_title_cleaned,
    a_title_scraped,
    delivered,
)

NOW = datetime(2026, 11, 2, 12, tzinfo=UTC)


class CleanedTables:
    """The cleaner's tables, filled as the cleaner fills them."""

    def __init__(self, url: str) -> None:
        self._tables = {
            TitleCleaned: OffsetTable(url, "titles", schema=TITLES, owner="cleaner"),
            ReviewCleaned: OffsetTable(url, "reviews", schema=REVIEWS, owner="cleaner"),
        }
        self._offset = 0

    def add(self, *events: TitleCleaned | ReviewCleaned) -> None:
        for event in events:
            self._offset += 1
            cause = delivered(a_title_scraped(), offset=self._offset)
            assert cause.position
            row = row_of(cause, event, code_version="1")
            self._tables[type(event)].append([(cause.position, row)])


@pytest.fixture
def url(tmp_path: Path) -> str:
    return (tmp_path / "a store").as_uri()


@pytest.fixture
def store(url: str) -> ObjectStore:
    return ObjectStore.at(url)


@pytest.fixture
def tables(url: str) -> CleanedTables:
    return CleanedTables(url)


@pytest.fixture
def clock() -> FrozenClock:
    return FrozenClock(NOW)


@pytest.fixture
def started(url: str, store: ObjectStore, clock: FrozenClock) -> Callable[[], Datasets]:
    """Starts the service's part anew, with nothing in memory."""

    def start() -> Datasets:
        return Datasets(
            store,
            titles=table_uri(url, "titles"),
            reviews=table_uri(url, "reviews"),
            code_version="1.2.3",
            clock=clock,
            metrics=FeaturizerMetrics(CollectorRegistry()),
        )

    return start


@pytest.fixture
def datasets(started: Callable[[], Datasets]) -> Datasets:
    return started()


def a_title(number: int, **changes: Any) -> TitleCleaned:
    return a_title_cleaned(title_id=f"t_{number:03}", source_id=str(number), **changes)


def a_review(number: int, title: int, **changes: Any) -> ReviewCleaned:
    return a_review_cleaned(review_id=f"r_{number:03}", title_id=f"t_{title:03}", **changes)


def a_request() -> Message[DatasetRequested]:
    return delivered(DatasetRequested(reason="a test"))


def rows_of(store: ObjectStore, dataset_id: str) -> list[dict[str, Any]]:
    rows: list[dict[str, Any]] = read_dataset(store, read_manifest(store, dataset_id)).to_pylist()
    return rows


# ---------------------------------------------------------------- rows


def test_a_row_joins_a_title_with_its_reviews(
    store: ObjectStore, tables: CleanedTables, datasets: Datasets
) -> None:
    title = a_title(1)
    tables.add(a_review(2, 1, text="Second."), title, a_review(1, 1, text="First."), a_title(0))
    tables.add(a_review(3, 99, text="Of a title nobody knows."))
    answer = datasets.answer(a_request()).event
    plain, reviewed = rows_of(store, answer.dataset_id)
    assert (plain["title_id"], plain["n_reviews"], plain["reviews"]) == ("t_000", 0, [])
    assert reviewed["reviews"] == ["First.", "Second."]
    assert reviewed["review_ids"] == ["r_001", "r_002"]
    assert reviewed["n_reviews"] == 2
    assert reviewed["genres"] == ["Horror", "Sci-Fi & Fantasy"]
    assert reviewed["page_key"] == title.page.key
    assert reviewed["text"] == compose_text(
        name=title.name, plot=title.plot, kind=title.kind, countries=title.countries
    )
    assert reviewed["text_hash"] == text_hash(reviewed["text"])


def test_the_newest_version_of_each_title_and_review_counts(
    store: ObjectStore, tables: CleanedTables, datasets: Datasets
) -> None:
    new, old = a_page(fetched_at=NOW), a_page(fetched_at=NOW - timedelta(1))
    tables.add(a_title(1, name="new", page=new), a_title(1, name="old", page=old))
    tables.add(a_review(1, 1, text="new", page=new), a_review(1, 1, text="old", page=old))
    (row,) = rows_of(store, datasets.answer(a_request()).event.dataset_id)
    assert (row["name"], row["reviews"]) == ("new", ["new"])


def a_title_table(titles: Sequence[TitleCleaned]) -> pa.Table:
    rows = [row_of(delivered(a_title_scraped()), title, code_version="1") for title in titles]
    return pa.Table.from_pylist(rows, schema=TITLES)


def a_review_table(reviews: Sequence[ReviewCleaned]) -> pa.Table:
    rows = [row_of(delivered(a_title_scraped()), review, code_version="1") for review in reviews]
    return pa.Table.from_pylist(rows, schema=REVIEWS)


TITLES_OF_THREE = [a_title(n, plot=f"The plot of number {n}, at some length.") for n in range(3)]
REVIEWS_OF_THREE = [a_review(n, n % 3, text=f"Review {n}.") for n in range(7)]


def test_the_id_depends_on_the_content_alone() -> None:
    first = join_rows(a_title_table(TITLES_OF_THREE), a_review_table(REVIEWS_OF_THREE))
    elsewhere = a_page(fetched_at=NOW + timedelta(9), hash="cd" * 32, url="http://other.example")
    again = join_rows(
        a_title_table(
            [
                title.model_copy(update={"page": elsewhere, "content_hash": "0" * 16})
                for title in reversed(TITLES_OF_THREE)
            ]
        ),
        a_review_table(REVIEWS_OF_THREE[::-1]),
    )
    assert first.select(HASHED.names) == again.select(HASHED.names)
    assert first != again
    assert hash_rows(first) == hash_rows(again)


@pytest.mark.parametrize(
    ("titles", "reviews"),
    [
        ([TITLES_OF_THREE[0], *TITLES_OF_THREE[2:]], REVIEWS_OF_THREE),
        (TITLES_OF_THREE, REVIEWS_OF_THREE[1:]),
        ([TITLES_OF_THREE[0].model_copy(update={"genres": ()}), *TITLES_OF_THREE[1:]], []),
        ([TITLES_OF_THREE[0].model_copy(update={"year": 1980}), *TITLES_OF_THREE[1:]], []),
        ([TITLES_OF_THREE[0].model_copy(update={"license": "CC-BY"}), *TITLES_OF_THREE[1:]], []),
    ],
)
def test_another_content_has_another_id(
    titles: list[TitleCleaned], reviews: list[ReviewCleaned]
) -> None:
    base = join_rows(
        a_title_table(TITLES_OF_THREE), a_review_table(REVIEWS_OF_THREE if reviews else [])
    )
    assert hash_rows(join_rows(a_title_table(titles), a_review_table(reviews))) != hash_rows(base)


def test_the_id_does_not_depend_on_how_parquet_packs_the_rows() -> None:
    row = {field.name: None for field in ROWS} | {"title_id": "t_1", "text": "Ä", "reviews": ["a"]}
    rows = pa.Table.from_pylist([row], schema=ROWS)
    assert hash_rows(rows) == hash_rows(pq.read_table(io.BytesIO(_parquet(rows))))


def _parquet(rows: pa.Table) -> bytes:
    buffer = io.BytesIO()
    pq.write_table(rows, buffer, compression="none", row_group_size=1)
    return buffer.getvalue()


# ---------------------------------------------------------------- requests


def test_a_snapshot_says_what_is_in_it(
    store: ObjectStore, tables: CleanedTables, datasets: Datasets
) -> None:
    tables.add(a_title(1), a_title(2, genres=(), license="CC-BY-4.0"), a_review(1, 1))
    request = a_request()
    answer = datasets.answer(request)
    manifest = read_manifest(store, answer.event.dataset_id)
    assert (manifest.rows, manifest.labelled, manifest.reviews) == (2, 1, 1)
    assert manifest.labels == {"Horror": 1, "Sci-Fi & Fantasy": 1}
    assert manifest.licenses == {"CC-BY-4.0": 1, "LicenseRef-trending-demo": 1}
    assert manifest.sources == {"demo": 2}
    assert manifest.created_at == NOW
    assert (manifest.requested_by, manifest.correlation_id) == (request.id, request.correlation_id)
    assert list(manifest.columns) == ROWS.names
    assert manifest.tables == {"titles": 2, "reviews": 1}
    assert newest_manifest(store) == manifest
    assert answer.causation_id == request.id
    assert answer.event.manifest_key == manifest.key == manifest_key(manifest.dataset_id)
    assert (answer.event.titles, answer.event.labelled, answer.event.table_version) == (2, 1, 2)
    (file,) = manifest.files
    data = store.get(file.key)
    assert len(data) == file.bytes
    assert hashlib.sha256(data).hexdigest() == file.sha256
    assert hashlib.md5(data, usedforsecurity=False).hexdigest() == file.md5


def test_a_manifest_from_before_md5s_were_kept_is_read(
    store: ObjectStore, tables: CleanedTables, datasets: Datasets
) -> None:
    tables.add(a_title(1))
    manifest = read_manifest(store, datasets.answer(a_request()).event.dataset_id)
    old = json.loads(manifest.model_dump_json())
    del old["files"][0]["md5"]
    store.put(manifest.key, json.dumps(old).encode())
    (file,) = read_manifest(store, manifest.dataset_id).files
    assert file.md5 is None
    assert len(rows_of(store, manifest.dataset_id)) == 1


def test_nothing_new_is_the_same_dataset_and_its_manifest_stays(
    store: ObjectStore, tables: CleanedTables, datasets: Datasets, clock: FrozenClock
) -> None:
    tables.add(a_title(1))
    first = datasets.answer(a_request())
    written = {key: store.get(key) for key in store.keys("datasets")}
    clock.advance(timedelta(hours=1))
    second = datasets.answer(a_request())
    assert second.event == first.event
    assert second.id != first.id
    assert {key: store.get(key) for key in store.keys("datasets")} == written


def test_a_request_that_comes_twice_gets_the_same_answer_though_more_is_known(
    tables: CleanedTables, started: Callable[[], Datasets]
) -> None:
    tables.add(a_title(1))
    request = a_request()
    first = started().answer(request)
    tables.add(a_title(2))
    assert started().answer(request) == first
    assert started().answer(a_request()).event.titles == 2


def test_a_request_before_any_title_has_to_wait(store: ObjectStore, datasets: Datasets) -> None:
    with pytest.raises(NoTitlesYet):
        datasets.answer(a_request())
    assert store.keys("") == []  # the tables are the cleaner's to make


def test_a_crash_before_the_manifest_leaves_nothing_that_is_read(
    store: ObjectStore, tables: CleanedTables, started: Callable[[], Datasets]
) -> None:
    tables.add(a_title(1))
    request = a_request()
    first = started().answer(request)
    store.delete(first.event.manifest_key)
    assert list_datasets(store) == []
    assert started().answer(request) == first
    assert rows_of(store, first.event.dataset_id)


# ---------------------------------------------------------------- new titles


def title_messages(*numbers: int) -> list[Message[TitleCleaned]]:
    return [delivered(a_title(number), offset=number) for number in numbers]


def test_a_snapshot_is_cut_when_enough_titles_are_new(
    tables: CleanedTables, started: Callable[[], Datasets]
) -> None:
    messages = title_messages(*range(5))
    for n, message in enumerate(messages):
        tables.add(message.event)
        answers = started().cut_if_due([message], titles=n + 1, every=2)
        assert [answer.event.titles for answer in answers] == ([n + 1] if n in (1, 3) else [])
        assert [answer.causation_id for answer in answers] == [message.id for _ in answers]


def test_a_batch_read_again_publishes_its_dataset_again_however_it_is_cut(
    tables: CleanedTables, started: Callable[[], Datasets]
) -> None:
    messages = title_messages(*range(4))
    tables.add(*(message.event for message in messages))
    first = started().cut_if_due(messages, titles=4, every=3)
    assert len(first) == 1
    assert started().cut_if_due(messages, titles=4, every=3) == first
    assert started().cut_if_due(messages[:2], titles=4, every=3) == []
    assert started().cut_if_due(messages[2:], titles=4, every=3) == first


def test_a_catalog_that_is_ahead_of_the_tables_does_not_publish_the_same_again(
    tables: CleanedTables, datasets: Datasets
) -> None:
    tables.add(a_title(1))
    first, second = title_messages(1, 2)
    assert len(datasets.cut_if_due([first], titles=50, every=10)) == 1
    assert datasets.cut_if_due([second], titles=50, every=10) == []


def test_a_damaged_manifest_does_not_hold_up_titles(
    store: ObjectStore, tables: CleanedTables, datasets: Datasets
) -> None:
    store.put(manifest_key("0" * 16), b"{}")
    tables.add(a_title(1))
    assert datasets.cut_if_due(title_messages(1), titles=1, every=5) == []
    assert len(datasets.cut_if_due(title_messages(1), titles=5, every=5)) == 1


# ---------------------------------------------------------------- reading


@pytest.fixture
def manifest(store: ObjectStore, tables: CleanedTables, datasets: Datasets) -> DatasetManifest:
    tables.add(a_title(1))
    return read_manifest(store, datasets.answer(a_request()).event.dataset_id)


def test_a_changed_file_is_noticed(store: ObjectStore, manifest: DatasetManifest) -> None:
    store.put(manifest.files[0].key, b"other bytes")
    with pytest.raises(DatasetDamaged, match="was changed"):
        read_dataset(store, manifest)


def test_a_missing_file_is_noticed(store: ObjectStore, manifest: DatasetManifest) -> None:
    store.delete(manifest.files[0].key)
    with pytest.raises(DatasetDamaged, match="lacks"):
        read_dataset(store, manifest)


def test_only_the_columns_asked_for_are_read(store: ObjectStore, manifest: DatasetManifest) -> None:
    assert read_dataset(store, manifest, columns=["text", "genres"]).column_names == [
        "text",
        "genres",
    ]
