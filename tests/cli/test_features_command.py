"""What `trending features export` writes: every version, exactly, the same bytes every time."""

import asyncio
from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from trending_featurizer.feature_table import FeatureTable
from trending_featurizer.featurizing import FEATURES, featurize, titles_table
from trending_shared.catalog import Catalog, trends
from trending_shared.features import LIBRARY
from trending_shared.messages import Position
from trending_shared.storage import ObjectStore
from trending_shared.tables import OffsetTable
from trending_shared.testing import a_page, a_title_cleaned, delivered
from trending_shared.testing.datasets import cut_dataset, some_rows
from trending_shared.testing.encoding import HashEncoder

NOON = datetime(2026, 11, 1, 12, 0, 0, 123457, tzinfo=UTC)
DAY = timedelta(days=1)
LEFT_OUT = {"content_hash", "page_hash", "event_id"}  # whence a row came, not what it says
Row = Mapping[str, Any]


def a_version(
    title_id: str, *, at: datetime = NOON, plot: str = "A ghost calls.", **of: Any
) -> Row:
    """A title's features, as the featurizer computes them."""
    title = a_title_cleaned(title_id=title_id, plot=plot, page=a_page(fetched_at=at), **of)
    found = featurize(titles_table([delivered(title)]), HashEncoder().encode, "hash")
    return dict(found.to_pylist()[0])


def keep(terminal: Any, rows: Sequence[Row]) -> None:
    positions = (Position("titles-cleaned", 0, n) for n in range(len(rows)))
    FeatureTable(terminal.settings.store).append(list(zip(positions, rows, strict=True)))


def keep_trends(terminal: Any, rows: Iterable[Row]) -> None:
    async def insert() -> None:
        catalog = Catalog(terminal.settings.catalog)
        await catalog.create()
        async with catalog.transaction() as connection:
            await catalog.upsert(connection, trends, list(rows))
        await catalog.close()

    asyncio.run(insert())


def a_trend(title_id: str, day: date, **changes: Any) -> Row:
    measured = {"score": 0.1 + 0.2, "recent": 120.5, "expected": 1 / 3, "signals": 2**31 - 1}
    return {"title_id": title_id, "day": day, **measured, **changes}


def exported(terminal: Any, name: str) -> pa.Table:
    return pq.read_table(terminal.home / "features" / f"{name}.parquet")


def test_every_version_is_a_row_with_the_values_of_the_table(offline: Any) -> None:
    rows = [
        a_version("t_2", at=NOON + DAY, plot="Ein Geist ruft. Он звонит 👻 дважды."),
        a_version("t_1"),
        a_version("t_2", at=NOON, plot=""),
    ]
    keep(offline, rows)
    offline.run("features", "export")
    expected = [
        {
            "event_timestamp": row["fetched_at"],
            **{name: row[name] for name in FEATURES.names if name not in LEFT_OUT | {"fetched_at"}},
        }
        for row in (rows[1], rows[2], rows[0])
    ]
    found = exported(offline, "title_features")
    assert found.to_pylist() == expected
    kept = FEATURES.remove(FEATURES.get_field_index("embedding"))
    types = {"event_timestamp": kept.field("fetched_at").type, "embedding": pa.list_(pa.float32())}
    types |= {field.name: field.type for field in kept}
    assert all(field.type == types[field.name] for field in found.schema)


def test_of_several_events_about_one_fetch_the_one_that_a_dataset_takes_counts(
    offline: Any,
) -> None:
    keep(
        offline,
        [
            a_version("t_1", content_hash="00000000000000aa", plot="One."),
            a_version("t_1", content_hash="00000000000000cc", plot="One two three."),
            a_version("t_1", content_hash="00000000000000bb", plot="One two."),
            a_version("t_1", content_hash="00000000000000aa", plot="One.", at=NOON + DAY),
        ],
    )
    offline.run("features", "export")
    assert exported(offline, "title_features").column("plot_words").to_pylist() == [3, 1]


def test_the_same_rows_make_the_same_bytes_in_whatever_order_they_came(
    offline: Any, tmp_path: Path
) -> None:
    rows = [a_version(f"t_{n % 7}", at=NOON + n * DAY) for n in range(30)]
    measured = [a_trend(f"t_{n % 7}", date(2026, 11, 1 + n)) for n in range(20)]
    keep(offline, rows)
    keep_trends(offline, measured)
    offline.run("features", "export")
    again = type(offline)(tmp_path / "again", "127.0.0.1:1")
    for row in reversed(rows):  # in a commit, and so in a file, of its own
        FeatureTable(again.settings.store).append(
            [(Position("retried", int(row["fetched_at"].timestamp()), 0), row)]
        )
    keep_trends(again, reversed(measured))
    again.run("features", "export")
    for name in ("title_features.parquet", "title_trends.parquet"):
        files = [each.home / "features" / name for each in (offline, again)]
        assert files[0].read_bytes() == files[1].read_bytes()


def test_a_trend_begins_with_its_day_in_utc(offline: Any) -> None:
    keep(offline, [a_version("t_1")])
    rows = [
        a_trend("t_2", date(2026, 11, 2), score=-1.5),
        a_trend("t_1", date(2026, 11, 3)),
        a_trend("t_1", date(2026, 11, 2)),
    ]
    keep_trends(offline, rows)
    offline.run("features", "export")
    found = exported(offline, "title_trends")
    midnight = datetime(2026, 11, 2, tzinfo=UTC)
    times = {2: midnight, 3: midnight + DAY}
    assert found.to_pylist() == [
        {
            "title_id": row["title_id"],
            "event_timestamp": times[row["day"].day],
            **{name: row[name] for name in ("score", "recent", "expected", "signals")},
        }
        for row in (rows[2], rows[1], rows[0])
    ]
    assert found.schema.field("event_timestamp").type == pa.timestamp("us", "UTC")


def test_it_says_what_it_read_and_wrote(offline: Any, tmp_path: Path) -> None:
    keep(offline, [a_version("t_1"), a_version("t_1", at=NOON + DAY), a_version("t_2")])
    folder = tmp_path / "below" / "elsewhere"
    said = offline.json("features", "export", "--to", folder)
    files = {file.name: file.stat().st_size for file in folder.iterdir()}  # and no draft
    assert said["files"] == {
        "title_features.parquet": {
            "titles": 2,
            "rows": 3,
            "bytes": files.pop("title_features.parquet"),
        },
        "title_trends.parquet": {
            "titles": 0,
            "rows": 0,
            "bytes": files.pop("title_trends.parquet"),
        },
    }
    assert said["folder"] == str(folder)
    assert not files
    result = offline.run("features", "export", "--to", folder)
    assert "read 3 rows of features at version 1" in result.stderr
    assert "warning: no trends yet" in result.stderr
    assert "title_features.parquet" in result.stdout


@pytest.mark.parametrize("table", ["missing", "empty"])
def test_nothing_to_export_is_status_3_and_leaves_nothing(offline: Any, table: str) -> None:
    if table == "empty":
        OffsetTable(offline.settings.store, "features", schema=FEATURES, owner="featurizer").open()
    said = offline.run("features", "export", status=3).stderr
    assert said.startswith("error: no features yet in file://")
    assert not (offline.home / "features").exists()
    assert not (offline.home / "catalog.db").exists()


def test_a_column_that_the_table_does_not_have_yet_is_exported_empty(offline: Any) -> None:
    old = pa.schema([field for field in FEATURES if field.name != "plot_distinct_words"])
    row = a_version("t_1")
    table = OffsetTable(offline.settings.store, "features", schema=old, owner="featurizer")
    table.append([(None, {name: row[name] for name in old.names})])
    offline.run("features", "export")
    found = exported(offline, "title_features")
    assert found.column("plot_distinct_words").to_pylist() == [None]
    assert found.column("plot_words").to_pylist() == [row["plot_words"]]


def test_a_folder_that_cannot_be_written_is_status_1(offline: Any, tmp_path: Path) -> None:
    keep(offline, [a_version("t_1")])
    (tmp_path / "file").touch()
    said = offline.run("features", "export", "--to", tmp_path / "file" / "below", status=1).stderr
    assert "file/below can't be written" in said


def test_a_catalog_that_does_not_answer_is_status_4_and_keeps_the_last_export(offline: Any) -> None:
    keep(offline, [a_version("t_1")])
    offline.run("features", "export")
    before = (offline.home / "features" / "title_features.parquet").read_bytes()
    keep(offline, [a_version("t_2"), a_version("t_2")])
    offline.env["CATALOG_URL"] = "postgresql+asyncpg://clerk:secret@127.0.0.1:1/films"
    said = offline.run("features", "export", status=4).stderr
    assert "error: the catalog doesn't answer; see `trending doctor`" in said
    assert (offline.home / "features" / "title_features.parquet").read_bytes() == before


def test_the_library_is_listed_with_its_cost_where_there_is_a_dataset(terminal: Any) -> None:
    before = terminal.json("features", "list")
    assert before["titles"] == 0
    assert {each["microseconds"] for each in before["features"]} == {None}
    cut_dataset(ObjectStore.at(terminal.settings.store), "one", some_rows())
    after = terminal.json("features", "list")
    assert after["titles"] > 0
    assert LIBRARY.keys() < {each["name"] for each in after["features"]}
    assert all(each["microseconds"] > 0 for each in after["features"])


def test_a_dataset_is_compared_with_the_features_of_its_titles(offline: Any) -> None:
    features = [a_version(f"t_{number}", plot=f"A ghost calls {number}.") for number in range(4)]
    rows = [
        some_rows(1)[0]
        | {name: row[name] for name in ("title_id", "content_hash", "text_hash")}
        | {"plot": f"A ghost calls {number}."}
        for number, row in enumerate(features)
    ]
    store = ObjectStore.at(offline.settings.store)
    cut_dataset(store, "0123456789abcdef", rows)
    keep(offline, features)
    told = offline.json("features", "check")
    assert (told["sound"], told["titles"], told["dataset_id"]) == (True, 4, "0123456789abcdef")
    rows[0]["text_hash"] = "another"
    rows[1]["plot"] = "A ghost calls."
    rows[2]["content_hash"] = "0" * 16
    cut_dataset(store, "fedcba9876543210", rows)
    told = offline.json("features", "check", "fedcba9876543210", status=1)
    found = {name: told[name] for name in ("missing", "of_other_text", "miscounted")}
    assert found == {"missing": ["t_2"], "of_other_text": ["t_0"], "miscounted": ["t_1"]}
    assert "not sound" in offline.run("features", "check", status=1).stdout
    offline.run("features", "check", "none", status=3)
