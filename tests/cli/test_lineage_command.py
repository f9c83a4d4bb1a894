"""What `trending lineage` says of predictions that are on record, and of those that aren't."""

import asyncio
from datetime import UTC, datetime
from typing import Any
from uuid import uuid4

import pytest

from trending_shared.catalog import Catalog, predictions
from trending_shared.features import text_hash
from trending_shared.registry import ModelRegistry
from trending_shared.storage import ObjectStore
from trending_shared.testing.models import a_graph, promote

TEXT = "A ghost [/bold] of a \x1b[31msignal."


def a_prediction(terminal: Any, **changes: Any) -> str:
    """Put a prediction on record, as the monitor does."""
    id = str(uuid4())
    row = {
        "prediction_id": id,
        "request_id": "r",
        "correlation_id": str(uuid4()),
        "model": "genres",
        "model_version": "0123456789abcdef",
        "alias": "champion",
        "title_id": None,
        "text": TEXT,
        "text_hash": text_hash(TEXT),
        "probabilities": {"Comedy": 0.1, "Crime": 0.1, "Horror": 0.9},
        "genres": ["Horror"],
        "served_at": datetime(2026, 11, 1, 18, tzinfo=UTC),
        "duration_ms": 1.0,
    }

    async def insert() -> None:
        catalog = Catalog(terminal.settings.catalog)
        await catalog.create()
        async with catalog.transaction() as connection:
            await catalog.upsert(connection, predictions, [row | changes])
        await catalog.close()

    asyncio.run(insert())
    return id


def test_a_prediction_that_is_not_on_record_is_not_found(offline: Any) -> None:
    assert offline.run("lineage", "nobody", status=3).stderr == (
        "error: no prediction nobody is on record\n"
    )


def test_a_catalog_that_does_not_answer_is_status_4(offline: Any) -> None:
    offline.env["CATALOG_URL"] = "postgresql+asyncpg://clerk:secret@127.0.0.1:1/films"
    said = offline.run("lineage", "nobody", status=4).stderr
    assert said == "error: the catalog doesn't answer; see `trending doctor`\n"


def test_what_is_missing_on_the_way_is_told_as_gaps(offline: Any) -> None:
    id = a_prediction(offline)
    told = offline.json("lineage", id)
    assert told["prediction"]["genres"] == ["Horror"]
    assert told["model"] is None
    assert told["gaps"]
    shown = offline.run("lineage", id).stdout
    assert "A ghost [/bold] of a" in shown
    assert "\x1b" not in shown
    assert shown.count("gap ") == len(told["gaps"])


@pytest.mark.parametrize(("recorded", "status"), [(0.9, 0), (0.8, 1)], ids=["same", "different"])
def test_a_replay_that_differs_is_status_1(offline: Any, recorded: float, status: int) -> None:
    registry = ModelRegistry(ObjectStore.at(offline.settings.store))
    model = promote(registry, a_graph())
    probabilities = {"Comedy": 0.1, "Crime": 0.1, "Horror": recorded}
    id = a_prediction(offline, model_version=model.version, probabilities=probabilities)
    told = offline.json("lineage", id, "--replay", status=status)
    assert told["model"]["version"] == model.version
    assert told["replay"]["equal"] == (status == 0)
    assert "replay" in offline.run("lineage", id, "--replay", status=status).stdout


def test_a_replay_without_its_model_is_status_1(offline: Any) -> None:
    offline.run("lineage", a_prediction(offline), "--replay", status=1)
