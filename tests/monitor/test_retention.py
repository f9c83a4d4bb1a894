"""What is too old goes, after it was told, and nothing else."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
import sqlalchemy as sa

from trending_monitor import retention
from trending_monitor.retention import Retention
from trending_shared.catalog import Catalog, predictions, title_predictions
from trending_shared.clock import FrozenClock
from trending_shared.errors import BrokerUnavailable
from trending_shared.storage import ObjectStore
from trending_shared.testing import CollectingPublisher

NOON = datetime(2026, 11, 1, 12, tzinfo=UTC)
REPORT = "reports/drift/2026-01-01/v/told"


@pytest.fixture
async def catalog(catalog: Catalog) -> Catalog:
    async with catalog.transaction() as connection:
        rows = [prediction(n) for n in range(120)]
        await catalog.insert_new(connection, predictions, rows)
        shown = {name: rows[119][name] for name in ("model_version", "text_hash", "genres")}
        shown |= {"probabilities": {}, "served_at": rows[119]["served_at"]}
        listed = {"title_id": "t", "prediction_id": rows[119]["prediction_id"], **shown}
        await catalog.insert_new(connection, title_predictions, [listed])
    return catalog


def prediction(days_ago: int) -> dict[str, Any]:
    return {
        "prediction_id": f"p{days_ago}",
        "request_id": "r",
        "correlation_id": "c",
        "model": "genres",
        "model_version": "v",
        "alias": "champion",
        "text": "w",
        "text_hash": "h",
        "probabilities": {},
        "genres": [],
        "served_at": NOON - timedelta(days=days_ago),
        "duration_ms": 1.0,
    }


def a_retention(catalog: Catalog, store: ObjectStore, publisher: CollectingPublisher) -> Retention:
    return Retention(
        catalog=catalog,
        store=store,
        publisher=publisher,
        clock=FrozenClock(NOON),
        every=timedelta(hours=1),
        reports=timedelta(days=30),
        records=timedelta(days=90),
    )


async def left(catalog: Catalog) -> set[str]:
    async with catalog.reading() as connection:
        return set((await connection.scalars(sa.select(predictions.c.prediction_id))).all())


async def test_what_is_old_goes_in_pieces_and_what_lists_show_stays(
    catalog: Catalog, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(retention, "_AT_ONCE", 10)
    store, publisher = ObjectStore.at("memory:///"), CollectingPublisher()
    store.put(REPORT, b"")
    await a_retention(catalog, store, publisher).look()
    assert await left(catalog) == {f"p{n}" for n in range(91)} | {"p119"}
    assert store.keys("reports") == []
    told = [message.event for message in publisher.messages]
    assert [(each.what, each.count, str(each.before)) for each in told] == [
        ("reports/drift", 1, "2026-10-02"),
        ("predictions", 28, "2026-08-03"),
    ]
    await a_retention(catalog, store, publisher).look()
    assert len(publisher.messages) == 2, "nothing more is too old"


async def test_nothing_goes_that_nobody_was_told_of(catalog: Catalog) -> None:
    store, publisher = ObjectStore.at("memory:///"), CollectingPublisher()
    store.put(REPORT, b"")
    publisher.down = True
    with pytest.raises(BrokerUnavailable):
        await a_retention(catalog, store, publisher).look()
    assert store.keys("reports") == [REPORT]
    assert len(await left(catalog)) == 120


async def test_who_goes_on_after_a_kill_tells_it_under_the_same_id(
    catalog: Catalog, monkeypatch: pytest.MonkeyPatch
) -> None:
    store, publisher = ObjectStore.at("memory:///"), CollectingPublisher()
    store.put(REPORT, b"")

    def killed(key: str) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(store, "delete", killed)
        with pytest.raises(KeyboardInterrupt):
            await a_retention(catalog, store, publisher).look()
    await a_retention(catalog, store, publisher).look()
    first, second, *_ = publisher.messages
    assert first.id == second.id
    assert store.keys("reports") == []
