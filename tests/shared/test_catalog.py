"""The catalog as services meet it."""

import asyncio
from pathlib import Path

import pytest

from trending_shared.catalog import Catalog
from trending_shared.errors import SettingInvalid, StoreUnavailable


async def test_several_services_may_create_the_tables_at_once(tmp_path: Path) -> None:
    catalogs = [Catalog(f"sqlite+aiosqlite:///{tmp_path / 'catalog.db'}") for _ in range(4)]
    await asyncio.gather(*(catalog.create() for catalog in catalogs))
    assert all([await catalog.ping() for catalog in catalogs])
    for catalog in catalogs:
        await catalog.close()


async def test_a_database_that_does_not_answer_is_unavailable_and_not_a_crash() -> None:
    catalog = Catalog("postgresql+asyncpg://nobody@127.0.0.1:9/nothing")
    with pytest.raises(StoreUnavailable):
        await catalog.create(patience=0.01)
    assert not await catalog.ping()
    await catalog.close()


def test_a_database_of_another_kind_is_refused_by_the_variables_name() -> None:
    with pytest.raises(SettingInvalid, match="CATALOG_URL"):
        Catalog("mysql://somewhere/db")
