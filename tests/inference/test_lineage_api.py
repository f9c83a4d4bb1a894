"""`/v1/predictions/{id}/lineage`: from an answer back to what made it."""

from datetime import UTC, datetime
from typing import Any

from trending_shared.catalog import predictions
from trending_shared.events import PredictionServed
from trending_shared.testing.models import a_graph, promote


async def test_an_answer_can_be_traced_and_executed_again(world: Any) -> None:
    promote(world.models, a_graph())
    async with world.client() as client:
        asked = {"items": [{"text": "A heist, and a ghost who laughs."}]}
        (item,) = (await client.post("/v1/genres", json=asked)).json()["items"]
        path = f"/v1/predictions/{item['prediction_id']}/lineage"
        early = await client.get(path)
        assert early.status_code == 404
        assert early.json()["type"] == "urn:trending:problem:prediction-unknown"
        (message,) = world.publisher.messages
        await record(world, message.event, str(message.correlation_id))
        promote(world.models, a_graph(likely=0.6))
        found = (await client.get(path, params={"replay": True})).json()
    assert found["prediction"]["genres"] == item["genres"]
    assert found["prediction"]["served_at"] == "2026-11-01T18:00:00Z"
    assert found["model"]["version"] == item["model"]["version"]
    assert found["replay"]["equal"] is True
    assert found["dataset"] is None
    assert any(gap.startswith("dataset:") for gap in found["gaps"])


async def record(world: Any, event: PredictionServed, correlation_id: str) -> None:
    """What the monitor does with the event."""
    row = event.model_dump() | {
        "correlation_id": correlation_id,
        "genres": list(event.genres),
        "served_at": event.served_at.astimezone(UTC),
        "window_id": None,
    }
    assert isinstance(row["served_at"], datetime)
    async with world.catalog.transaction() as connection:
        await world.catalog.upsert(connection, predictions, [row])
