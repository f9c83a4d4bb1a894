"""Bundles don't change, aliases move by compare-and-swap (S3: `make test-s3`)."""

import hashlib
import os
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from typing import Any
from uuid import uuid4

import pytest

from trending_shared.errors import AliasMoved, ModelNotFound
from trending_shared.registry import Manifest, ModelRegistry, Pointer, model_version
from trending_shared.storage import ObjectStore

S3 = os.environ.get("TEST_S3_BUCKET")
NOW = datetime(2026, 11, 1, tzinfo=UTC)


def a_manifest(onnx: bytes, **changes: Any) -> Manifest:
    thresholds = {"Drama": 0.4}
    fields: dict[str, Any] = {
        "name": "genres",
        "version": model_version(onnx, thresholds),
        "algorithm": "tfidf-logreg",
        "labels": ("Drama",),
        "thresholds": thresholds,
        "recipe": "r1",
        "dataset_id": "d1",
        "dataset_manifest": "datasets/d1/manifest.json",
        "metrics": {"macro_f1": 0.5},
        "reference": {},
        "parity": {"max_difference": 0.0},
        "created_at": NOW,
        "code_version": "1",
        "training_id": "t1",
        "onnx_sha256": hashlib.sha256(onnx).hexdigest(),
        "onnx_bytes": len(onnx),
    }
    return Manifest(**(fields | changes))


@pytest.fixture(params=["memory", *(["s3"] if S3 else [])])
def store(request: pytest.FixtureRequest) -> ObjectStore:
    return ObjectStore.at(f"s3://{S3}/{uuid4()}" if request.param == "s3" else "memory:///")


@pytest.fixture
def registry(store: ObjectStore) -> ModelRegistry:
    return ModelRegistry(store)


def promote(registry: ModelRegistry, version: str, expected: Pointer | None) -> Pointer:
    return registry.move(
        "genres", version, expected=expected, reasons=("better",), moved_by="test", at=NOW
    )


def test_a_registered_bundle_is_found_with_its_graph(registry: ModelRegistry) -> None:
    manifest = registry.register(b"graph", a_manifest(b"graph"))
    assert registry.manifest("genres", manifest.version) == manifest
    assert registry.onnx(manifest) == b"graph"
    assert registry.versions("genres") == [manifest]


def test_registering_twice_keeps_the_first_manifest(registry: ModelRegistry) -> None:
    first = registry.register(b"graph", a_manifest(b"graph", training_id="t1"))
    again = registry.register(b"graph", a_manifest(b"graph", training_id="t2"))
    assert again == first


def test_a_version_that_is_not_the_content_is_refused(registry: ModelRegistry) -> None:
    with pytest.raises(ValueError, match="the bundle is"):
        registry.register(b"graph", a_manifest(b"other graph", onnx_bytes=5))


def test_a_graph_that_was_changed_in_the_store_is_not_handed_out(
    registry: ModelRegistry, store: ObjectStore
) -> None:
    manifest = registry.register(b"graph", a_manifest(b"graph"))
    store.put(f"models/genres/{manifest.version}/model.onnx", b"evil graph")
    with pytest.raises(ModelNotFound, match="changed"):
        registry.onnx(manifest)


def test_an_alias_moves_from_where_it_was_seen_and_keeps_its_history(
    registry: ModelRegistry,
) -> None:
    one = registry.register(b"one", a_manifest(b"one"))
    two = registry.register(b"two", a_manifest(b"two"))
    with pytest.raises(ModelNotFound):
        registry.champion("genres")
    first = promote(registry, one.version, None)
    second = promote(registry, two.version, first)
    assert registry.champion("genres") == two
    with pytest.raises(AliasMoved):
        promote(registry, one.version, first)
    back = promote(registry, one.version, second)
    assert [pointer.version for pointer in registry.history("genres")] == [
        one.version,
        two.version,
        one.version,
    ]
    assert back.number == 3


def test_of_many_promotions_from_one_state_one_wins(registry: ModelRegistry) -> None:
    manifest = registry.register(b"one", a_manifest(b"one"))

    def attempt(_: int) -> bool:
        try:
            promote(registry, manifest.version, None)
        except AliasMoved:
            return False
        return True

    with ThreadPoolExecutor(8) as pool:
        assert list(pool.map(attempt, range(16))).count(True) == 1


def test_an_alias_never_points_at_nothing(registry: ModelRegistry) -> None:
    with pytest.raises(ModelNotFound):
        promote(registry, "ffff", None)
    assert registry.pointer("genres") is None
