"""Feast gives back exactly what was exported, and a value that differs is named."""

import asyncio
import json
import os
import shutil
import subprocess
from datetime import timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from pipeline.demo_store import NOW, build, records
from prometheus_client import CollectorRegistry
from typer.testing import CliRunner

from trending_cleaner.cleaning import clean_review, clean_title
from trending_cli.main import app
from trending_featurizer.datasets import Datasets
from trending_featurizer.entries import Entries
from trending_featurizer.feature_table import FeatureTable
from trending_featurizer.featurizing import FEATURES
from trending_featurizer.handlers import Featurizer
from trending_featurizer.metrics import FeaturizerMetrics
from trending_featurizer.trend_keeping import TrendKeeper
from trending_shared.catalog import Catalog
from trending_shared.clock import FrozenClock
from trending_shared.embeddings import VECTORS, Embedder
from trending_shared.erasures import Erasures
from trending_shared.events import ReviewScraped, TitleCleaned, TitleScraped
from trending_shared.messages import Position
from trending_shared.settings import CommonSettings
from trending_shared.storage import ObjectStore
from trending_shared.tables import OffsetTable, table_uri
from trending_shared.testing import CollectingPublisher, delivered
from trending_shared.testing.encoding import HashEncoder

ROOT = Path(__file__).parents[2]
FEAST = ROOT / "deploy" / "feast"
BIN = FEAST / ".venv" / "bin"
DAYS = 3
PLOTS = (
    "",
    "👻" * 40,
    "e\u0301 \u202ettel ot thgir\u202c \u200b\u0000 end",
    "昔々、静かな月からの呼び声に応えた貨物船の乗組員がいた。",
    "word " * 4000,
)

pytestmark = [pytest.mark.feast, pytest.mark.timeout(600)]


async def fill(home: Path) -> None:
    """The demo's store, and its features and trends as after `DAYS` days.

    The featurizer's own handlers do it, with what the cleaner makes of the demo's pages. Every
    third title is fetched every day, and has another plot each time.
    """
    common = CommonSettings(trending_home=home)
    build(home / "store")
    scraped = [message.event for message in records()]
    titles = [clean_title(each, NOW) for each in scraped if isinstance(each, TitleScraped)]
    reviews = [clean_review(each, NOW).event for each in scraped if isinstance(each, ReviewScraped)]
    catalog, clock = Catalog(common.catalog), FrozenClock(NOW)
    await catalog.create()
    metrics = FeaturizerMetrics(CollectorRegistry())
    keeper = TrendKeeper(catalog, publisher=CollectingPublisher(), clock=clock, metrics=metrics)
    featurizer = Featurizer(
        embedder=Embedder(HashEncoder, file=home / VECTORS),
        features=FeatureTable(common.store),
        entries=Entries(catalog, metrics),
        trends=keeper,
        datasets=Datasets(
            ObjectStore.at(common.store),
            titles=table_uri(common.store, "titles"),
            reviews=table_uri(common.store, "reviews"),
            code_version="1",
            clock=clock,
            metrics=metrics,
        ),
        snapshot_titles=10**9,
        erasures=Erasures(ObjectStore.at(common.store)),
        metrics=metrics,
    )
    await featurizer.on_reviews_cleaned([delivered(review) for review in reviews])
    for day in range(DAYS):
        fetched = [
            a_fetch(title, n, day) for n, title in enumerate(titles) if not day or n % 3 == 0
        ]
        messages = [delivered(title, offset=1000 * day + n) for n, title in enumerate(fetched)]
        await featurizer.on_titles_cleaned(messages)
        await keeper.measure_all(keeper.today())
        clock.advance(timedelta(days=1))
    await catalog.close()
    FeatureTable(common.store).append(
        [(Position("odd", 0, n), row) for n, row in enumerate(odd_rows())]
    )


def a_fetch(title: TitleCleaned, number: int, day: int) -> TitleCleaned:
    at = NOW + timedelta(days=day, microseconds=7 * number + 1)
    changes: dict[str, Any] = {"page": title.page.model_copy(update={"fetched_at": at})}
    if day:
        plot = f"{PLOTS[number % len(PLOTS)]} {day}"
        changes |= {"plot": plot, "content_hash": f"{number:08x}{day:08x}"}
    return title.model_copy(update=changes)


def odd_rows() -> list[dict[str, Any]]:
    """Rows from before there were columns, and values that a conversion could bend."""
    largest, smallest = np.finfo(np.float32).max, np.finfo(np.float32).smallest_subnormal
    vector = np.resize(np.array([largest, -smallest, 0.1, -1, 1 / 3], np.float32), 384).tolist()
    full = {
        "text_hash": "\u202e'\"\\\n\u0000👻",
        "recipe": "",
        "encoder": "null",
        "embedding": vector,
        "plot_characters": 2**31 - 1,
        "plot_words": -(2**31) + 1,
        "plot_mean_word_length": 5e-324,
        "plot_distinct_words": 0.1 + 0.2,
        "plot_non_ascii_letters": 1.7976931348623157e308,
    }
    names = list(full)
    versions = [
        full,
        {},
        {name: full[name] for name in names[::2]},
        {name: full[name] for name in names[1::2]},  # and so the newest lacks whole numbers
    ]
    return [
        {
            **dict.fromkeys(FEATURES.names),
            "title_id": title_id,
            "content_hash": f"{n:016x}",
            "fetched_at": NOW + timedelta(microseconds=n),
            "event_id": f"{number:08}-0000-4000-8000-{n:012}",
            **values,
        }
        for number, title_id in enumerate(("odd", "t_ 昔々\u202e👻"))
        for n, values in enumerate(versions)
    ]


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    found = tmp_path_factory.mktemp("home")
    asyncio.run(fill(found))
    environ = {"TRENDING_HOME": str(found), "STORE_URL": "", "CATALOG_URL": ""}
    result = CliRunner().invoke(app, ["features", "export"], env=environ)
    assert result.exit_code == 0, result.output
    return found


@pytest.fixture
def exported(home: Path, tmp_path: Path) -> Path:
    """A folder of the test's own, which Feast may write to."""
    copy = tmp_path / "features"
    shutil.copytree(home / "features", copy)
    return copy


def round_trip(*arguments: object, status: int = 0) -> tuple[dict[str, Any], str]:
    """What it prints as JSON, and on stderr."""
    command = [f"{BIN}/python", f"{FEAST}/round_trip.py", *map(str, arguments), "--json"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == status, done.stderr
    return json.loads(done.stdout) if done.stdout else {}, done.stderr


def rows_of(checks: list[dict[str, Any]]) -> dict[tuple[str, str], int]:
    return {(check["view"], check["way"]): check["rows"] for check in checks}


def test_the_export_has_every_row_of_the_table(home: Path) -> None:
    store = CommonSettings(trending_home=home).store
    table = OffsetTable(store, "features", schema=FEATURES, owner="featurizer").read()
    ours = {(row["title_id"], row["fetched_at"]): row for row in table.to_pylist()}
    theirs = pq.read_table(home / "features" / "title_features.parquet").to_pylist()
    assert len(theirs) == len(ours) == table.num_rows == 330 + 110 * (DAYS - 1) + 8
    for row in theirs:
        own = ours[row["title_id"], row.pop("event_timestamp")]
        assert row == {name: own[name] for name in row}


def test_every_value_comes_back_as_it_was_exported(exported: Path) -> None:
    features, trends = (
        pq.read_table(exported / f"{name}.parquet") for name in ("title_features", "title_trends")
    )
    found, said = round_trip(exported)
    assert [check["different"] for check in found["checks"]] == [0] * 6
    rows = rows_of(found["checks"])
    titles = set(features["title_id"].to_pylist())
    assert set(trends["title_id"].to_pylist()) < titles
    assert trends.num_rows > 300
    for view in ("title_features", "title_trends"):
        assert rows[view, "online"] == len(titles) + 1
        assert rows[view, "point in time"] > 2 * (features.num_rows + trends.num_rows)
        assert rows[view, "push"] == 2
    assert "error" not in said
    again, _ = round_trip(exported)  # over what the first left, its pushes included
    assert again["checks"] == found["checks"]


def test_an_export_without_trends_comes_back_too(exported: Path) -> None:
    file = exported / "title_trends.parquet"
    pq.write_table(pq.read_table(file).slice(0, 0), file)
    found, _ = round_trip(exported)
    assert [check["different"] for check in found["checks"]] == [0] * 5


def changed(file: Path, row: int, column: str, change: Any) -> tuple[str, str]:
    """Change one value; returns the title and the time of its row, as they were."""
    table = pq.read_table(file)
    rows = table.to_pylist()
    title_id, at = rows[row]["title_id"], rows[row]["event_timestamp"]
    rows[row][column] = change(rows[row][column])
    pq.write_table(pa.Table.from_pylist(rows, schema=table.schema), file)
    return title_id, at.isoformat()


def nudge(vector: list[float]) -> list[float]:
    """The last of its numbers moved by as little as there is."""
    return [*vector[:-1], float(np.nextafter(np.float32(vector[-1]), np.float32(2)))]


@pytest.mark.parametrize(
    ("view", "row", "column", "change", "ways", "said"),
    [
        pytest.param(
            "title_features",
            0,
            "plot_words",
            lambda count: count + 1,
            {"point in time"},
            "plot_words is -2147483646, exported was -2147483647",
            id="an old version's number",
        ),
        pytest.param(
            "title_features",
            1,
            "recipe",
            lambda _: "",
            {"point in time"},
            "recipe is '', exported was None",
            id="a null",
        ),
        pytest.param(
            "title_features",
            -1,
            "embedding",
            nudge,
            {"online", "point in time"},
            "embedding[383] is ",
            id="one bit of the newest embedding",
        ),
        pytest.param(
            "title_features",
            -1,
            "event_timestamp",
            lambda at: at + timedelta(seconds=1),
            {"online", "point in time"},
            ", exported was ",
            id="a time",
        ),
        pytest.param(
            "title_trends",
            -1,
            "score",
            lambda score: float(np.nextafter(score, 9)),
            {"online", "point in time"},
            "score is ",
            id="one bit of a score",
        ),
    ],
)
def test_a_value_that_differs_is_reported_with_its_row(
    exported: Path,
    home: Path,
    view: str,
    row: int,
    column: str,
    change: Any,
    ways: set[str],
    said: str,
) -> None:
    title_id, at = changed(exported / f"{view}.parquet", row, column, change)
    found, errors = round_trip(exported, "--against", home / "features", status=1)
    differing = {check["way"]: check for check in found["checks"] if check["different"]}
    assert set(differing) == ways
    for way, check in differing.items():
        assert check["view"] == view
        where = f"title {title_id!r}" + ("" if way == "online" else f" at {at}")
        assert check["first"].startswith(f"{view}, {way}: {where}: ")
        assert said in check["first"]
        assert f"error: {check['first']}\n" in errors


def test_nothing_exported_is_status_3(tmp_path: Path) -> None:
    _, said = round_trip(tmp_path, status=3)
    assert said == (
        f"error: {tmp_path}/title_features.parquet is missing; "
        "`trending features export` writes it\n"
    )


def test_a_connection_is_refused() -> None:
    code = (
        "import round_trip, socket, sys; sys.addaudithook(round_trip.refuse_network); "
        "socket.create_connection(('127.0.0.1', 9))"
    )
    done = subprocess.run(
        [f"{BIN}/python", "-c", code], cwd=FEAST, capture_output=True, text=True, check=False
    )
    assert done.stderr.splitlines()[-1].startswith("PermissionError: socket.")


def test_feast_itself_reads_the_definitions(exported: Path) -> None:
    environ = {**os.environ, "TRENDING_FEATURES": str(exported), "FEAST_USAGE": "False"}

    def feast(*arguments: str) -> str:
        command = [f"{BIN}/feast", "--chdir", str(FEAST), *arguments]
        done = subprocess.run(command, env=environ, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr
        return done.stdout

    feast("apply")
    assert "title_features" in feast("feature-views", "list")
