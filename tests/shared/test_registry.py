"""Bundles don't change, aliases move by compare-and-swap (S3: `make test-s3`)."""

import os
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from typing import Any
from uuid import uuid4

import pytest

from trending_shared.errors import AliasMoved, ModelNotFound
from trending_shared.registry import (
    CARD_HEADINGS,
    TOKENIZER,
    BundleIncomplete,
    ModelRegistry,
    Pointer,
    hash_file,
    model_version,
)
from trending_shared.storage import ObjectStore
from trending_shared.testing.models import a_manifest

S3 = os.environ.get("TEST_S3_BUCKET")
NOW = datetime(2026, 11, 1, tzinfo=UTC)


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


def test_what_lies_beside_the_graph_is_kept_and_checked_like_it(
    registry: ModelRegistry, store: ObjectStore
) -> None:
    files = {TOKENIZER: b"words", "answers.npz": b"numbers"}
    hashes = {name: hash_file(content) for name, content in files.items()}
    thresholds = {"Comedy": 0.5, "Crime": 0.5, "Horror": 0.5}
    version = model_version(b"graph", thresholds, b"words")
    assert version != model_version(b"graph", thresholds)
    manifest = registry.register(
        b"graph", a_manifest(b"graph", version=version, files=hashes), files
    )
    assert registry.tokenizer(manifest) == b"words"
    assert registry.file(manifest, "answers.npz") == b"numbers"
    store.put(f"models/genres/{version}/answers.npz", b"other numbers")
    with pytest.raises(ModelNotFound, match=r"answers\.npz was changed"):
        registry.file(manifest, "answers.npz")
    with pytest.raises(ModelNotFound, match="has no report"):
        registry.file(manifest, "report.html")


def test_a_manifest_that_tells_of_other_files_is_refused(registry: ModelRegistry) -> None:
    with pytest.raises(ValueError, match="other files"):
        registry.register(b"graph", a_manifest(b"graph", files={"answers.npz": "0" * 64}))


def test_a_bundle_of_before_there_were_files_is_read_as_it_is(registry: ModelRegistry) -> None:
    manifest = registry.register(b"graph", a_manifest(b"graph"))
    assert registry.tokenizer(manifest) is None


@pytest.mark.parametrize(
    ("changes", "missing"),
    [
        *(({"card": a_manifest(b"").card.replace(one, "Other")}, one) for one in CARD_HEADINGS),
        ({"card": ""}, "card: Licences"),
        ({"metrics": {"macro_f1": 0.5}}, "metrics: slices"),
        ({"reference": {}}, "the reference for drift"),
        ({"parity": {}}, "the comparison with the trained model"),
        ({"labels": ("Comedy",), "thresholds": {}}, "a threshold for each label"),
    ],
)
def test_an_incomplete_bundle_is_refused_and_leaves_nothing(
    registry: ModelRegistry, store: ObjectStore, changes: dict[str, Any], missing: str
) -> None:
    with pytest.raises(BundleIncomplete, match=missing):
        registry.register(b"graph", a_manifest(b"graph", **changes))
    assert store.keys("models") == []


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


def test_all_aliases_of_a_name_are_told_with_where_they_point(registry: ModelRegistry) -> None:
    assert registry.aliases("genres") == {}
    first, second = (
        registry.register(graph, a_manifest(graph)).version for graph in (b"one", b"two")
    )
    promote(registry, second, promote(registry, first, None))
    registry.move(
        "genres",
        first,
        expected=None,
        reasons=(),
        moved_by="test",
        at=NOW,
        alias="shadow",
    )
    told = {alias: pointer.version for alias, pointer in registry.aliases("genres").items()}
    assert told == {"champion": second, "shadow": first}


def test_whatever_is_new_adds_a_key(registry: ModelRegistry) -> None:
    seen = [registry.keys("genres")]
    version = registry.register(b"graph", a_manifest(b"graph")).version
    seen.append(registry.keys("genres"))
    pointer = promote(registry, version, None)
    seen.append(registry.keys("genres"))
    promote(registry, version, pointer)
    seen.append(registry.keys("genres"))
    assert [len(keys) for keys in seen] == [0, 1, 2, 3]
