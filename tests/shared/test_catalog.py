"""The catalog as services meet it."""

import asyncio
from pathlib import Path

import pytest
import sqlalchemy as sa

from trending_shared.catalog import Catalog, predictions, trends
from trending_shared.errors import SettingInvalid, StoreUnavailable


async def test_several_services_may_create_the_tables_at_once(tmp_path: Path) -> None:
    catalogs = [Catalog(f"sqlite+aiosqlite:///{tmp_path / 'catalog.db'}") for _ in range(4)]
    await asyncio.gather(*(catalog.create() for catalog in catalogs))
    assert all([await catalog.ping() for catalog in catalogs])
    for catalog in catalogs:
        await catalog.close()


async def test_a_catalog_of_an_earlier_version_gets_what_it_lacks_and_keeps_its_rows(
    tmp_path: Path,
) -> None:
    url = f"sqlite+aiosqlite:///{tmp_path / 'catalog.db'}"
    since = ("experiment", "arm", "unit", "fallback", "shadow_of")
    before = sa.MetaData()
    sa.Table(
        "predictions",
        before,
        *(
            sa.Column(column.name, column.type, primary_key=column.primary_key)
            for column in predictions.columns
            if column.name not in since
        ),
        sa.Index("predictions_open", "model_version", "window_id"),
    )
    old = Catalog(url)
    async with old.engine.begin() as connection:
        await connection.run_sync(before.create_all)
        await connection.exec_driver_sql("INSERT INTO predictions (prediction_id) VALUES ('p1')")
    await old.close()
    catalogs = [Catalog(url) for _ in range(4)]
    await asyncio.gather(*(catalog.create() for catalog in catalogs))
    async with catalogs[0].reading() as connection:
        found = await connection.execute(sa.select(predictions.c.prediction_id, predictions.c.arm))
        assert found.all() == [("p1", None)]
        plan = await connection.exec_driver_sql("PRAGMA index_list(predictions)")
        assert "predictions_by_experiment" in {row.name for row in plan}
    for catalog in catalogs:
        await catalog.close()


async def test_trends_of_before_there_were_intervals_stay_and_can_be_read(tmp_path: Path) -> None:
    url = f"sqlite+aiosqlite:///{tmp_path / 'catalog.db'}"
    old = Catalog(url)
    async with old.engine.begin() as connection:
        await connection.exec_driver_sql(
            "CREATE TABLE trends (title_id VARCHAR(32) NOT NULL, day DATE NOT NULL, "
            "score FLOAT NOT NULL, recent FLOAT NOT NULL, expected FLOAT NOT NULL, "
            "signals INTEGER NOT NULL, PRIMARY KEY (title_id, day))"
        )
        await connection.exec_driver_sql(
            "INSERT INTO trends VALUES ('t_1', '2026-11-01', 1.5, 30, 10, 99)"
        )
    await old.create()
    async with old.reading() as connection:
        (row,) = (await connection.execute(sa.select(trends))).mappings()
    assert (row["score"], row["low"], row["verdict"], row["parts"]) == (1.5, None, None, None)
    async with old.transaction() as connection:
        assert await old.upsert(connection, trends, [{**row, "verdict": "rising", "parts": []}])
    await old.close()


async def test_a_database_that_does_not_answer_is_unavailable_and_not_a_crash() -> None:
    catalog = Catalog("postgresql+asyncpg://nobody@127.0.0.1:9/nothing")
    with pytest.raises(StoreUnavailable):
        await catalog.create(patience=0.01)
    assert not await catalog.ping()
    await catalog.close()


def test_a_database_of_another_kind_is_refused_by_the_variables_name() -> None:
    with pytest.raises(SettingInvalid, match="CATALOG_URL"):
        Catalog("mysql://somewhere/db")
