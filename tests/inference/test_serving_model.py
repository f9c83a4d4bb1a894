"""How a model goes into service, and what keeps another from it."""

import asyncio
from datetime import timedelta
from typing import Any

import pytest
from httpx import AsyncClient
from prometheus_client import CollectorRegistry
from structlog.testing import capture_logs

from trending_inference.metrics import InferenceMetrics
from trending_inference.serving_model import ServingModel
from trending_shared.errors import ModelNotFound, StoreUnavailable
from trending_shared.experiments import Experiments
from trending_shared.registry import Manifest, ModelRegistry, Pointer
from trending_shared.testing.models import GENRES, a_graph, promote

TTL = timedelta(seconds=1)


def a_serving_model(world: Any, models: ModelRegistry | None = None) -> ServingModel:
    return ServingModel(
        models or world.models,
        name="genres",
        alias="champion",
        experiments=Experiments(world.store),
        ttl=TTL,
        metrics=InferenceMetrics(CollectorRegistry()),
        clock=world.clock,
    )


def version(serving: ServingModel) -> str:
    return serving.choose("viewer-7").served.version


async def test_a_new_champion_is_noticed_only_when_the_last_look_is_old(world: Any) -> None:
    old = promote(world.models, a_graph())
    serving = a_serving_model(world)
    await serving.refresh()
    new = promote(world.models, a_graph(likely=0.8))
    assert version(serving) == old.version
    await serving.close()
    assert version(serving) == old.version
    world.clock.advance(TTL)
    assert version(serving) == old.version, "the look goes on in the background"
    await serving.close()
    assert version(serving) == new.version


async def test_many_requests_at_once_start_one_look(world: Any) -> None:
    class CountedRegistry(ModelRegistry):
        looks = 0

        def pointer(self, name: str, alias: str = "champion") -> Pointer | None:
            self.looks += 1
            return super().pointer(name, alias)

    models = CountedRegistry(world.store)
    serving = a_serving_model(world, models)
    for _ in range(10):
        serving.look()
    await serving.close()
    assert models.looks == 1


@pytest.mark.parametrize(
    ("changes", "graph"),
    [
        ({"recipe": "another"}, a_graph(likely=0.8)),
        ({}, b"no graph at all"),
        ({}, a_graph(likely=7.0, unlikely=5.0)),
        ({}, a_graph({"Comedy": "laugh"})),
        ({}, a_graph(input="words")),
        ({}, a_graph(output="scores")),
    ],
    ids=["recipe", "bytes", "range", "width", "input", "output"],
)
async def test_a_bundle_that_cant_be_served_leaves_the_old_model_in_service(
    world: Any, changes: dict[str, Any], graph: bytes
) -> None:
    old = promote(world.models, a_graph())
    serving = a_serving_model(world)
    await serving.refresh()
    promote(world.models, graph, **changes)
    await serving.refresh()
    assert version(serving) == old.version


async def test_a_bundle_that_lost_a_threshold_isnt_served(world: Any) -> None:
    old = promote(world.models, a_graph())
    serving = a_serving_model(world)
    await serving.refresh()
    new = promote(world.models, a_graph(likely=0.8))
    damaged = new.model_copy(update={"thresholds": {"Comedy": 0.5}})
    key = f"models/genres/{new.version}/manifest.json"
    world.store.put(key, damaged.model_dump_json().encode())
    await serving.refresh()
    assert version(serving) == old.version


async def test_changed_bytes_are_never_served(world: Any) -> None:
    old = promote(world.models, a_graph())
    serving = a_serving_model(world)
    await serving.refresh()
    new = promote(world.models, a_graph(likely=0.8))
    world.store.put(f"models/genres/{new.version}/model.onnx", a_graph(likely=0.7))
    await serving.refresh()
    assert version(serving) == old.version


async def test_a_broken_bundle_is_fetched_again_only_after_a_pause(world: Any) -> None:
    class CountedRegistry(ModelRegistry):
        fetched = 0

        def onnx(self, manifest: Manifest) -> bytes:
            self.fetched += 1
            return super().onnx(manifest)

    models = CountedRegistry(world.store)
    promote(models, b"no graph at all")
    serving = a_serving_model(world, models)
    for _ in range(3):
        await serving.refresh()
    assert models.fetched == 1
    world.clock.advance(timedelta(minutes=1))
    await serving.refresh()
    assert models.fetched == 2
    fixed = promote(models, a_graph())
    await serving.refresh()
    assert version(serving) == fixed.version


async def test_a_broken_bundle_is_logged_once_however_often_it_is_tried(world: Any) -> None:
    broken = promote(world.models, b"no graph at all")
    serving = a_serving_model(world)
    with capture_logs() as entries:
        for _ in range(3):
            await serving.refresh()
            world.clock.advance(timedelta(minutes=1))
    (told,) = entries
    assert (told["event"], told["log_level"]) == ("version_not_loaded", "error")
    assert (told["role"], told["version"]) == ("champion", broken.version)
    assert told["reason"] == "ModelUnusable"


async def test_a_store_that_is_away_leaves_the_model_in_service(world: Any) -> None:
    class FlakyRegistry(ModelRegistry):
        away = False

        def pointer(self, name: str, alias: str = "champion") -> Pointer | None:
            if self.away:
                raise StoreUnavailable("away")
            return super().pointer(name, alias)

    models = FlakyRegistry(world.store)
    manifest = promote(models, a_graph())
    serving = a_serving_model(world, models)
    await serving.refresh()
    models.away = True
    await serving.refresh()
    assert version(serving) == manifest.version


async def test_an_unreadable_alias_document_is_a_failure_like_any_other(world: Any) -> None:
    world.store.put("aliases/genres/champion/00000001.json", b"{")
    serving = a_serving_model(world)
    await serving.refresh()
    with pytest.raises(ModelNotFound):
        serving.choose("viewer-7")
    await serving.close()


async def test_no_request_fails_while_the_model_is_swapped(world: Any) -> None:
    old = promote(world.models, a_graph()).version
    seen: set[str] = set()
    asked, swapped = asyncio.Event(), asyncio.Event()

    async def keep_asking(client: AsyncClient) -> None:
        while not swapped.is_set():
            response = await client.post(
                "/v1/genres", json={"items": [{"text": "a heist"}, {"text": "a ghost"}]}
            )
            assert response.status_code == 200
            first, second = response.json()["items"]
            assert first["model"] == second["model"]
            version = first["model"]["version"]
            assert first["probabilities"]["Crime"] == pytest.approx(0.9 if version == old else 0.8)
            seen.add(version)
            asked.set()
            if version != old:
                swapped.set()

    async with world.client() as client, asyncio.timeout(30), asyncio.TaskGroup() as group:
        for _ in range(8):
            group.create_task(keep_asking(client))
        await asked.wait()
        new = promote(world.models, a_graph(likely=0.8)).version
        world.clock.advance(TTL)
    assert seen == {old, new}


async def test_what_is_in_service_shows_in_metrics_and_in_readiness(world: Any) -> None:
    async with world.client() as client:
        before = await client.get("/readyz")
        assert (before.status_code, before.text) == (503, "not ready: model")
        assert "trending_inference_model_loaded 0.0" in (await client.get("/metrics")).text
        assert (await client.get("/healthz")).text == "live"
    manifest = promote(world.models, a_graph())
    async with world.client() as client:
        after = await client.get("/readyz")
        assert (after.status_code, after.text) == (200, "ready")
        world.publisher.down = True
        assert (await client.get("/readyz")).text == "not ready: kafka"
        metrics = (await client.get("/metrics")).text
        assert f'version="{manifest.version}"' in metrics
        assert "trending_inference_model_swaps_total 1.0" in metrics
        assert "trending_inference_model_loaded 1.0" in metrics


async def test_a_probe_is_enough_to_bring_the_first_model_into_service(world: Any) -> None:
    serving = a_serving_model(world)
    await serving.refresh()
    promote(world.models, a_graph())
    world.clock.advance(TTL)
    assert serving.look().champion is None
    await serving.close()
    assert serving.look().champion


async def test_a_rollback_brings_the_old_model_back(world: Any) -> None:
    old = promote(world.models, a_graph())
    serving = a_serving_model(world)
    new = promote(world.models, a_graph(likely=0.8))
    await serving.refresh()
    assert version(serving) == new.version
    promote(world.models, a_graph())
    await serving.refresh()
    assert version(serving) == old.version
    assert set(GENRES) == set(serving.choose("viewer-7").served.graph.labels)
