"""The verifier finds whatever is left, wherever it lies and in whatever form; and nothing else."""

import gzip
import io
import json
import sqlite3
from contextlib import closing
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import sqlalchemy as sa

from trending_cli.privacy.erasing import clear_files
from trending_cli.privacy.needles import Matcher, needles_of
from trending_cli.privacy.scanning import Scan, scan_catalog, scan_files, scan_store
from trending_shared.catalog import Catalog, drafts
from trending_shared.messages import Position
from trending_shared.storage import ObjectStore
from trending_shared.tables import OffsetTable

AUTHOR = "k3fa91c:" + "5d" * 24
REVIEW = "r_0123456789abcdef"
TEXT = 'Slow, silent and terrifying; the café aboard the ship is "the best actor" in it.'
URL = "http://films.example/titles/alien"
MATCHER = Matcher(
    [
        *needles_of("author", [AUTHOR]),
        *needles_of("id", [REVIEW]),
        *needles_of("text", [TEXT]),
        *needles_of("address", [URL]),
    ]
)
SCHEMA = pa.schema([("review_id", pa.string()), ("text", pa.string())])


def parquet(**columns: list[object]) -> bytes:
    buffer = io.BytesIO()
    pq.write_table(pa.table(columns), buffer, compression="zstd")
    return buffer.getvalue()


def array(*values: str) -> bytes:
    buffer = io.BytesIO()
    np.savez_compressed(buffer, title_ids=np.array(values))
    return buffer.getvalue()


LEFTOVERS: dict[str, bytes] = {
    "a raw page": gzip.compress(f"<p>{TEXT.replace('é', '&eacute;')}</p>".encode()),
    "a report": gzip.compress(json.dumps({"html": f"<li>{TEXT}</li>"}).encode()),
    "JSON with escapes": json.dumps({"text": f"It was\n{TEXT}"}).encode(),
    "an orphaned Parquet file": parquet(text=["another", TEXT]),
    "a nested column": parquet(reviews=[["another"], [TEXT]], n=[1, 1]),
    "a normalised text": parquet(text=["alien slow, silent and terrifying; the cafe aboard the"]),
    "the statistics of a file": json.dumps({"stats": json.dumps({"min": {"id": REVIEW}})}).encode(),
    "the answers of a model": array("t_1", REVIEW),
    "a manifest": json.dumps({"detail": f"98% of its phrases are those of {REVIEW}"}).encode(),
    "an author": AUTHOR.encode(),
    "an excerpt": b"as someone said, 'silent and terrifying; the caf\xc3\xa9 aboard the ship is'",
    "an address": f'{{"url": "{URL}"}}'.encode(),
    "an address with escapes": f'{{"url": "{URL}"}}'.replace("/", r"\/").encode(),
}


@pytest.mark.parametrize("data", LEFTOVERS.values(), ids=LEFTOVERS.keys())
def test_a_leftover_in_the_store_is_found_in_any_form(data: bytes) -> None:
    store, scan = ObjectStore.at("memory:///"), Scan()
    store.put("somewhere/else", b"nothing of it")
    store.put("nobody/knows/this", data)
    scan_store(store, MATCHER, scan)
    assert {one.where for one in scan.findings} == {"nobody/knows/this"}
    assert scan.read["objects"] == 2


@pytest.mark.parametrize(
    "harmless",
    [
        "Slow and silent. The ship is the best.",
        f"{URL}s/another and {URL}/reviews and {URL}?page=2",
        "r_0123456789abcdee k3fa91c:" + "5e" * 24,
    ],
)
def test_what_only_looks_like_it_is_not_found(harmless: str) -> None:
    assert MATCHER.find_in(harmless.encode()) == set()


def test_what_others_say_in_the_same_words_is_not_looked_for() -> None:
    matcher = Matcher(needles_of("text", [TEXT])).without([f"I heard: {TEXT}"])
    assert matcher.needles == frozenset()


def test_a_few_words_are_anybodys() -> None:
    assert list(needles_of("text", ["A masterpiece!", None, ""])) == []


def test_an_earlier_version_of_a_table_is_found(tmp_path: Path) -> None:
    table = OffsetTable(tmp_path.as_uri(), "reviews", schema=SCHEMA, owner="cleaner")
    table.append([(Position("t", 0, 0), {"review_id": REVIEW, "text": TEXT})])
    table.open().delete(f"review_id = '{REVIEW}'")  # as one would, who has never looked
    assert table.read().num_rows == 0
    scan = Scan()
    scan_store(ObjectStore.at(tmp_path.as_uri()), MATCHER, scan)
    places = {one.where.rsplit("/", 1)[0] for one in scan.findings}
    assert places == {"tables/reviews", "tables/reviews/_delta_log"}


def test_what_a_killed_writer_has_left_in_a_folder_is_found(tmp_path: Path) -> None:
    store, scan = ObjectStore.at(tmp_path.as_uri()), Scan()
    store.put("raw/ab", b"nothing of it")
    (tmp_path / "raw" / "cd#1").write_bytes(gzip.compress(TEXT.encode()))  # not yet renamed
    scan_store(store, MATCHER, scan, folder=tmp_path)
    assert [one.where for one in scan.findings if one.kind == "text"][:1] == ["raw/cd#1"]


async def test_a_row_of_the_catalog_is_found_also_in_a_table_that_we_do_not_know(
    tmp_path: Path,
) -> None:
    url = f"sqlite+aiosqlite:///{tmp_path / 'catalog.db'}"
    catalog = Catalog(url)
    await catalog.create()
    async with catalog.transaction() as connection:
        await connection.execute(sa.text("CREATE TABLE older (number INTEGER, said TEXT)"))
        await connection.execute(sa.text("INSERT INTO older VALUES (7, :said)"), {"said": TEXT})
        row = {"insight_key": "k", "draft": {"quote": TEXT}, "asked_at": sa.func.now()}
        await connection.execute(sa.insert(drafts).values(**row))
    await catalog.close()
    scan = Scan()
    await scan_catalog(url, MATCHER, scan)
    assert {one.where for one in scan.findings} == {"older: 7", "drafts: k"}


def test_what_sqlite_has_deleted_is_still_in_its_file(tmp_path: Path) -> None:
    with closing(sqlite3.connect(tmp_path / "cache.sqlite")) as database:
        database.execute("PRAGMA secure_delete = OFF")
        database.execute("CREATE TABLE kept (text TEXT)")
        database.execute("INSERT INTO kept VALUES (?)", (TEXT,))
        database.execute("DELETE FROM kept")
        database.commit()
    scan = Scan()
    scan_files(tmp_path, MATCHER, scan, besides=None)
    assert {(one.store, one.where) for one in scan.findings} == {("file", "cache.sqlite")}
    assert scan.read["rows"] == 0


async def test_the_catalog_wipes_what_was_deleted(tmp_path: Path) -> None:
    catalog = Catalog(f"sqlite+aiosqlite:///{tmp_path / 'catalog.db'}")
    await catalog.create()
    async with catalog.transaction() as connection:
        row = {"insight_key": "k", "draft": {"quote": TEXT}, "asked_at": sa.func.now()}
        await connection.execute(sa.insert(drafts).values(**row))
    async with catalog.transaction() as connection:
        await connection.execute(sa.delete(drafts))
    await catalog.wipe()
    scan = Scan()
    scan_files(tmp_path, MATCHER, scan, besides=None)
    await catalog.close()
    assert scan.findings == set()


def test_files_are_found_and_the_brokers_and_the_stores_left_to_those_who_can_read_them(
    tmp_path: Path,
) -> None:
    for name in (
        "kafka/data.log",
        "store/raw/ab",
        "wandb/run/files/table.json",
        "logs/cleaner.log",
    ):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(f'{{"said": "{URL}"}}')
    scan = Scan()
    scan_files(tmp_path, MATCHER, scan, besides=tmp_path / "store")
    assert {one.where for one in scan.findings} == {
        "wandb/run/files/table.json",
        "logs/cleaner.log",
    }


def test_reports_are_deleted_and_lines_of_logs_blotted_in_place(tmp_path: Path) -> None:
    line = f'{{"event": "event_consumed", "url": "{URL}", "seconds": 1}}\n'
    other = line.replace("alien", "aliens")
    (tmp_path / "logs").mkdir()
    log = tmp_path / "logs" / "scraper.log"
    log.write_text(other + line + other)
    (tmp_path / "quality").mkdir()
    report = tmp_path / "quality" / "report.html"
    report.write_text(f"<p>{TEXT}</p>")
    assert clear_files(tmp_path, MATCHER) == {
        "logs/scraper.log": "blotted",
        "quality/report.html": "deleted",
    }
    assert not report.exists()
    told = log.read_text()
    assert told.startswith(other)
    assert told.endswith(other)
    assert len(told) == len(other + line + other)
    assert json.loads(told.splitlines()[1])["seconds"] == 1
    assert clear_files(tmp_path, MATCHER) == {}
