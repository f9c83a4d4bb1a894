"""Models that were trained on what is erased are named, and lose their answers to its titles."""

from contextlib import suppress
from datetime import UTC, datetime

import numpy as np
import pytest
from obstore.store import MemoryStore

from trending_shared.erasures import Erasure, names_of, write_erasure
from trending_shared.errors import StoreUnavailable
from trending_shared.evaluation import Answers
from trending_shared.events import RecordsErased
from trending_shared.kept_answers import read_answers
from trending_shared.registry import ModelRegistry
from trending_shared.storage import ObjectStore
from trending_shared.testing import delivered
from trending_shared.testing.models import GENRES, a_graph, promote, with_answers
from trending_trainer.erasing import Eraser

DATASET = "d" * 16
BEFORE = RecordsErased(erasure_id="e", service="featurizer", counts={}, datasets=(DATASET,))


class Dying(ObjectStore):
    """Lets so many writes happen."""

    left = 10**9

    def put(self, key: str, data: bytes) -> None:
        if not self.left:
            raise StoreUnavailable("killed")
        self.left -= 1
        super().put(key, data)


def a_registry(store: ObjectStore) -> ModelRegistry:
    """Two models, one of them trained on a dataset that has lost rows, with answers to three."""
    registry = ModelRegistry(store)
    genres = tuple(GENRES)
    answers = Answers(
        np.zeros((3, 3), np.int8),
        np.full((3, 3), 0.2, np.float32),
        dict.fromkeys(genres, 0.5),
        genres,
    )
    with_answers(registry, answers, dataset_id=DATASET)
    promote(registry, a_graph())
    asked = Erasure(
        erasure_id="e",
        kind="page",
        subjects=names_of(["http://films.example/1"]),
        titles=names_of(["1"]),
        asked_at=datetime(2026, 11, 20, tzinfo=UTC),
        asked_by="test",
        reason="a test",
    )
    write_erasure(store, asked)
    return registry


@pytest.mark.parametrize("writes", [0, 1, 2, 10])
async def test_models_are_named_and_answers_go_though_a_trainer_is_killed(writes: int) -> None:
    store = Dying(MemoryStore())
    registry = a_registry(store)
    [manifest] = [one for one in registry.versions("genres") if one.dataset_id == DATASET]
    store.left = writes
    with suppress(StoreUnavailable):
        await Eraser(store).on_records_erased(delivered(BEFORE))
    store.left = 10**9
    [answer] = await Eraser(store).on_records_erased(delivered(BEFORE))
    assert answer.event.models == (f"genres:{manifest.version}",)
    left = read_answers(registry, registry.manifest("genres", manifest.version))
    assert left.title_ids.tolist() == ["0", "2"]
    assert left.probabilities.shape == (2, 3)
    assert not any(key.endswith(".new") for key in store.keys("models"))


async def test_it_waits_for_the_featurizer() -> None:
    other = BEFORE.model_copy(update={"service": "cleaner"})
    assert await Eraser(ObjectStore(MemoryStore())).on_records_erased(delivered(other)) == []
