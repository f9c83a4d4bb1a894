"""What was asked about an erased page goes, and models that know it are trained anew."""

from collections.abc import AsyncIterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa

from trending_monitor.erasing import Eraser
from trending_shared.catalog import Catalog, drafts, predictions, title_predictions
from trending_shared.erasures import Erasure, names_of, write_erasure
from trending_shared.events import RecordsErased, RetrainingRequested
from trending_shared.storage import ObjectStore
from trending_shared.testing import delivered

NOW = datetime(2026, 11, 20, 12, tzinfo=UTC)


@pytest.fixture
async def catalog(tmp_path: Path) -> AsyncIterator[Catalog]:
    catalog = Catalog(f"sqlite+aiosqlite:///{tmp_path / 'catalog.db'}")
    await catalog.create()
    async with catalog.transaction() as connection:
        about = {"t_1": "text of t_1", "t_2": "text of t_2", "": "text of t_1"}
        rows = [a_prediction(n, *about_whom) for n, about_whom in enumerate(about.items())]
        await catalog.insert_new(connection, predictions, rows)
        listed = [
            {"title_id": id, "model_version": version, "prediction_id": "p", "text_hash": "h"}
            | {"probabilities": {}, "genres": [], "served_at": NOW}
            for id in ("t_1", "t_2")
            for version in ("v1", "v2")
        ]
        await catalog.insert_new(connection, title_predictions, listed)
        draft = {"insight_key": "k", "draft": {}, "asked_at": NOW}
        await catalog.insert_new(connection, drafts, [draft])
    yield catalog
    await catalog.close()


def a_prediction(number: int, title_id: str, text: str) -> dict[str, Any]:
    return {
        "prediction_id": f"p{number}",
        "request_id": "r",
        "correlation_id": "c",
        "model": "genres",
        "model_version": "v",
        "alias": "champion",
        "title_id": title_id or None,
        "text": text,
        "text_hash": f"hash of {text}"[:16],
        "probabilities": {},
        "genres": [],
        "served_at": NOW,
        "duration_ms": 1.0,
    }


def erased(service: str = "featurizer", **changes: Any) -> Any:
    return delivered(RecordsErased(erasure_id="e", service=service, counts={}, **changes))


async def values(catalog: Catalog, column: sa.Column[Any]) -> list[Any]:
    async with catalog.reading() as connection:
        return sorted((await connection.scalars(sa.select(column))).all())


async def test_what_was_answered_about_its_titles_goes(catalog: Catalog) -> None:
    store = ObjectStore.at("memory:///")
    asked = Erasure(
        erasure_id="e",
        kind="page",
        subjects=names_of(["http://films.example/1"]),
        titles=names_of(["t_1"]),
        asked_at=NOW,
        asked_by="test",
        reason="a test",
    )
    write_erasure(store, asked)
    [answer] = await Eraser(catalog, store).on_records_erased(erased())
    assert answer.event.service == "monitor"
    assert answer.event.counts["catalog/predictions"] == 1
    assert await values(catalog, predictions.c.prediction_id) == ["p1", "p2"]
    assert await values(catalog, title_predictions.c.title_id) == ["t_2", "t_2"]
    assert await values(catalog, drafts.c.insight_key) == []


async def test_a_model_that_was_trained_on_it_leads_to_a_retraining(catalog: Catalog) -> None:
    eraser = Eraser(catalog, ObjectStore.at("memory:///"))
    message = erased("trainer", models=("genres:0123456789abcdef",))
    for _ in range(2):
        [asked] = await eraser.on_records_erased(message)
        assert isinstance(asked.event, RetrainingRequested)
        assert (asked.event.force, asked.causation_id) == (True, message.id)
        assert asked.event.reason.startswith("erasure e: 1 model")
    assert await eraser.on_records_erased(erased("trainer")) == []
    assert await eraser.on_records_erased(erased("scraper")) == []
