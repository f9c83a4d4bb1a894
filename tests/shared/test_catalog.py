"""The catalog as services meet it, on SQLite and on PostgreSQL."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from datetime import UTC, date, datetime
from itertools import pairwise
from typing import Any

import pytest
import sqlalchemy as sa
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory
from tests.postgres import Postgres

from trending_shared import migrations
from trending_shared.catalog import Catalog, metadata, predictions, tides, titles, trends
from trending_shared.errors import RowUnfit, SettingInvalid, StoreUnavailable

both = pytest.mark.both_catalogs
NOON = datetime(2026, 11, 1, 12, tzinfo=UTC)
A_PREDICTION = {
    "prediction_id": "p1",
    "request_id": "r",
    "correlation_id": "c",
    "model": "genres",
    "model_version": "v",
    "alias": "champion",
    "text": "words",
    "text_hash": "h",
    "probabilities": {},
    "genres": [],
    "served_at": NOON,
    "duration_ms": 1.0,
}
A_TITLE = {
    "title_id": "t_1",
    "source": "s",
    "source_id": "1",
    "name": "Amélie",
    "kind": "film",
    "genres": [],
    "plot": "",
    "countries": [],
    "license": "",
    "url": "",
    "page_hash": "",
    "page_key": "",
    "fetched_at": NOON,
    "content_hash": "",
    "text_hash": "",
    "popularity": [],
}


async def keep(catalog: Catalog, table: sa.Table, *rows: dict[str, Any]) -> int:
    async with catalog.transaction() as connection:
        return await catalog.upsert(connection, table, rows)


# ------------------------------------------------------------ migrations


async def differences(catalog: Catalog) -> list[Any]:
    """What the tables and the code's own description of them don't agree on."""

    def compare(connection: sa.Connection) -> list[Any]:
        context = MigrationContext.configure(connection, opts={"compare_type": True})
        return list(compare_metadata(context, metadata))

    async with catalog.reading() as connection:
        return await connection.run_sync(compare)


@both
async def test_migrations_lead_to_what_the_code_says_of_its_tables(catalog: Catalog) -> None:
    assert await differences(catalog) == []
    assert await catalog.revision() == migrations.newest()


@both
async def test_several_services_may_create_the_tables_at_once(catalog_url: str) -> None:
    catalogs = [Catalog(catalog_url) for _ in range(4)]
    await asyncio.gather(*(catalog.create() for catalog in catalogs))
    assert await differences(catalogs[0]) == []
    for catalog in catalogs:
        await catalog.close()


@both
async def test_a_catalog_of_before_there_were_migrations_is_taken_over_with_its_rows(
    catalog_url: str,
) -> None:
    old = Catalog(catalog_url)
    since = {"trend_lacks", "tides"}
    before = sa.MetaData()
    for table in metadata.sorted_tables:
        if table.name not in since:
            table.to_metadata(before)
    later = ("experiment", "arm", "unit", "fallback", "shadow_of")
    before.remove(before.tables["predictions"])
    sa.Table(
        "predictions",
        before,
        *(
            sa.Column(
                column.name,
                column.type,
                primary_key=column.primary_key,
                nullable=column.nullable,
            )
            for column in predictions.columns
            if column.name not in later
        ),
    )
    async with old.engine.begin() as connection:
        await connection.run_sync(before.create_all)
        await connection.execute(sa.insert(before.tables["titles"]).values(A_TITLE))
        await connection.execute(sa.insert(before.tables["predictions"]).values(A_PREDICTION))
    await old.close()
    catalogs = [Catalog(catalog_url) for _ in range(4)]
    await asyncio.gather(*(catalog.create() for catalog in catalogs))
    async with catalogs[0].reading() as connection:
        [title] = (await connection.execute(sa.select(titles))).mappings()
        assert title["name"] == "Amélie"
        found = await connection.execute(sa.select(predictions.c.prediction_id, predictions.c.arm))
        assert found.all() == [("p1", None)]
    assert await differences(catalogs[0]) == []
    assert await keep(catalogs[0], predictions, A_PREDICTION | {"arm": "control"}) == 1
    for catalog in catalogs:
        await catalog.close()


@both
async def test_trends_of_before_there_were_intervals_stay_and_can_be_read(
    catalog_url: str,
) -> None:
    old = Catalog(catalog_url)
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


@both
async def test_an_older_service_works_on_with_a_catalog_of_a_later_release(
    catalog: Catalog, catalog_url: str
) -> None:
    async with catalog.transaction() as connection:  # as a later migration may
        for statement in (
            "ALTER TABLE predictions ADD COLUMN mood VARCHAR(16)",
            "ALTER TABLE titles ADD COLUMN seasons INTEGER NOT NULL DEFAULT 0",
            "CREATE TABLE moods (mood VARCHAR(16) PRIMARY KEY)",
            "UPDATE alembic_version SET version_num = '9999'",
        ):
            await connection.exec_driver_sql(statement)
    older = Catalog(catalog_url)
    await older.create()
    assert await older.revision() == "9999"
    assert await keep(older, predictions, A_PREDICTION) == 1
    assert await keep(older, titles, A_TITLE) == 1
    async with older.reading() as connection:
        assert (await connection.execute(sa.select(predictions))).one().text == "words"
    await older.close()


@both
async def test_each_migration_leaves_the_tables_of_the_one_before_usable(
    catalog_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nothing goes, and what is new may be left out: services are replaced one by one."""
    catalog = Catalog(catalog_url)
    script = ScriptDirectory(str(migrations.FOLDER))
    shapes = []
    for step in reversed(list(script.walk_revisions())):
        monkeypatch.setattr(ScriptDirectory, "get_current_head", lambda _, to=step: to.revision)
        await catalog.create()
        async with catalog.reading() as connection:
            shapes.append(await connection.run_sync(shape))
    for earlier, later in pairwise(shapes):
        assert earlier.keys() <= later.keys()
        for name in later.keys() - earlier.keys():
            table, column = name.split(".")
            known = any(one.startswith(f"{table}.") for one in earlier)
            assert not known or later[name], f"{column} of {table} has to be told"
    await catalog.close()


def shape(connection: sa.Connection) -> dict[str, bool]:
    """Every column, and whether an insert may leave it out."""
    found = sa.inspect(connection)
    return {
        f"{table}.{column['name']}": bool(column["nullable"] or column["default"])
        for table in found.get_table_names()
        for column in found.get_columns(table)
    }


# ------------------------------------------------------------ what is kept


@both
async def test_what_is_told_comes_back_as_it_was(catalog: Catalog) -> None:
    row = A_TITLE | {
        "genres": ["Drama", "Ko\u0301medie", "\0"],
        "released": date(1994, 5, 21),
        "rating": 8.25,
        "rating_count": 2**53,
        "fetched_at": datetime.fromisoformat("2026-11-01T14:30:00+02:00"),
        "popularity": [{"day": "2026-10-31", "count": 2**40}],
    }
    await keep(catalog, titles, row)
    async with catalog.reading() as connection:
        found = dict((await connection.execute(sa.select(titles))).mappings().one())
    assert {name: found[name] for name in row} == row
    assert found["fetched_at"].utcoffset() == NOON.utcoffset()


@both
async def test_a_text_with_a_character_that_databases_have_no_room_for_is_kept(
    catalog: Catalog,
) -> None:
    await keep(catalog, predictions, A_PREDICTION | {"text": "before\0after"})
    async with catalog.reading() as connection:
        query = sa.select(predictions.c.text).where(predictions.c.text.contains("after"))
        assert (await connection.execute(query)).scalar_one() == "before\ufffdafter"
        nothing = sa.select(predictions).where(predictions.c.request_id == "a\0b")
        assert (await connection.execute(nothing)).all() == []


@pytest.mark.parametrize(
    "changes",
    [
        {"request_id": "x" * 200},
        {"text": "half of a pair: \ud800"},
        {"probabilities": {"Drama": float("nan")}},
    ],
    ids=["long", "no-text", "no-json"],
)
@pytest.mark.parametrize("catalog_url", ["postgresql"], indirect=True)
async def test_a_row_that_postgresql_refuses_can_never_work_and_is_told_without_its_words(
    catalog: Catalog, changes: dict[str, Any]
) -> None:
    with pytest.raises(RowUnfit) as refused:
        await keep(catalog, predictions, A_PREDICTION | changes)
    assert "half of a pair" not in str(refused.value)


@both
async def test_a_number_beyond_all_bounds_can_never_work(catalog: Catalog) -> None:
    with pytest.raises(RowUnfit):
        await keep(catalog, titles, A_TITLE | {"rating_count": 2**70})


@both
async def test_only_what_is_not_older_replaces_a_row(catalog: Catalog) -> None:
    older = A_TITLE | {"fetched_at": NOON.replace(hour=11), "name": "before"}
    assert await keep(catalog, titles, A_TITLE) == 1
    async with catalog.transaction() as connection:
        assert await catalog.upsert(connection, titles, [older], newer="fetched_at") == 0
        assert await catalog.upsert(connection, titles, [A_TITLE], newer="fetched_at") == 1
    async with catalog.reading() as connection:
        assert (await connection.execute(sa.select(titles.c.name))).scalar_one() == "Amélie"


@both
async def test_of_rows_with_one_key_the_last_replaces_and_the_first_is_new(
    catalog: Catalog,
) -> None:
    rows = [A_PREDICTION | {"text": text} for text in ("first", "last")]
    async with catalog.transaction() as connection:
        await catalog.insert_new(connection, predictions, rows)
        kept = (await connection.execute(sa.select(predictions.c.text))).scalar_one()
        assert kept == "first"
        await catalog.upsert(connection, predictions, rows)
        kept = (await connection.execute(sa.select(predictions.c.text))).scalar_one()
        assert kept == "last"


@both
async def test_two_that_write_the_same_rows_the_other_way_round_both_come_to_an_end(
    catalog: Catalog,
) -> None:
    rows = [{"channel": f"c{n}", "day": NOON.date(), "factor": 1.0} for n in range(200)]
    for _ in range(5):
        await asyncio.gather(
            *(keep(catalog, tides, *order) for order in (rows, rows[::-1]) for _ in range(3))
        )


# ------------------------------------------------------------ what goes wrong


async def test_a_database_that_does_not_answer_is_unavailable_and_not_a_crash() -> None:
    catalog = Catalog("postgresql+asyncpg://nobody@127.0.0.1:9/nothing")
    with pytest.raises(StoreUnavailable):
        await catalog.create(patience=0.01)
    assert not await catalog.ping()
    await catalog.close()


@pytest.fixture
async def own_server(postgres_server: Postgres, catalog: Catalog) -> AsyncIterator[Postgres]:
    yield postgres_server
    postgres_server.start()


async def lose_the_server(catalog: Catalog, server: Postgres) -> None:
    async with catalog.transaction() as connection:
        await catalog.upsert(connection, predictions, [A_PREDICTION | {"text": "lost"}])
        server.stop()
        await connection.execute(sa.select(predictions))


@pytest.mark.parametrize("catalog_url", ["postgresql"], indirect=True)
async def test_a_server_that_is_started_again_is_unavailable_meanwhile_and_then_as_before(
    catalog: Catalog, own_server: Postgres
) -> None:
    await keep(catalog, predictions, A_PREDICTION)
    with pytest.raises(StoreUnavailable):
        await lose_the_server(catalog, own_server)
    assert not await catalog.ping()
    with pytest.raises(StoreUnavailable):
        await keep(catalog, predictions, A_PREDICTION)
    own_server.start()
    async with catalog.reading() as connection:
        found = await connection.execute(sa.select(predictions.c.text))
        assert found.scalar_one() == "words"


@both
async def test_who_waits_too_long_for_a_connection_is_told_that_the_catalog_is_unavailable(
    catalog: Catalog,
) -> None:
    pool: Any = catalog.engine.sync_engine.pool
    pool._timeout = 0.01  # seconds instead of half a minute
    async with AsyncExitStack() as stack:
        for _ in range(10):
            await stack.enter_async_context(catalog.reading())
        with pytest.raises(StoreUnavailable):
            await stack.enter_async_context(catalog.reading())


@pytest.mark.parametrize("catalog_url", ["postgresql"], indirect=True)
async def test_a_database_that_lets_nobody_in_is_told_by_the_variables_name(
    catalog_url: str,
) -> None:
    for url in (f"{catalog_url}x", catalog_url.replace("trending@", "nobody@")):
        catalog = Catalog(url)
        with pytest.raises(SettingInvalid, match="CATALOG_URL: "):
            await catalog.create()
        await catalog.close()


@pytest.mark.parametrize("catalog_url", ["postgresql"], indirect=True)
async def test_whom_we_talk_to_is_held_against_an_authority(
    catalog_url: str, postgres_server: Postgres, monkeypatch: pytest.MonkeyPatch
) -> None:
    stranger = Catalog(f"{catalog_url}?ssl=verify-full")
    monkeypatch.setenv("PGSSLROOTCERT", str(postgres_server.authority))
    known = Catalog(f"{catalog_url}?ssl=verify-full")
    assert await known.ping()
    async with known.reading() as connection:
        used = sa.text("SELECT ssl FROM pg_stat_ssl WHERE pid = pg_backend_pid()")
        assert await connection.scalar(used) is True
    monkeypatch.delenv("PGSSLROOTCERT")
    assert not await stranger.ping()
    await known.close()
    await stranger.close()


@pytest.mark.parametrize(
    "url",
    [
        "mysql://somewhere/db",
        "postgresql+asyncpg://u@h/db?sslmode=require",
        "postgresql+asyncpg://u@h:port/db",
    ],
)
def test_an_address_that_cannot_be_used_is_refused_by_the_variables_name(url: str) -> None:
    with pytest.raises(SettingInvalid, match="CATALOG_URL"):
        Catalog(url)
