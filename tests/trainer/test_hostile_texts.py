"""Ten thousand texts as nobody writes them: what is served says what was trained.

Marked slow, with the installed sentence encoder, as it is and fine-tuned, which takes minutes.
"""

from collections.abc import Callable, Sequence

import numpy as np
import pyarrow as pa
import pytest
from numpy.typing import NDArray

from trending_shared.genres import GENRES
from trending_shared.onnx_models import OnnxModel
from trending_shared.storage import ObjectStore
from trending_shared.testing.datasets import some_rows
from trending_shared.testing.texts import hostile_texts
from trending_trainer.exporting import Calibration, assemble
from trending_trainer.families import family
from trending_trainer.runs import StoredWorkspace
from trending_trainer.training_set import TrainingSet

PLAIN = Calibration(np.ones(len(GENRES), np.float32), np.zeros(len(GENRES), np.float32))
QUICK = {"bert": {"epochs": 1, "rate_epochs": 1}}


@pytest.mark.parametrize(
    ("name", "tolerance"),
    [
        ("tfidf-logreg", 2e-6),
        ("tfidf-xgboost", 2e-6),
        pytest.param("embedding-logreg", 2e-5, marks=[pytest.mark.slow, pytest.mark.timeout(1800)]),
        pytest.param("bert", 2e-5, marks=[pytest.mark.slow, pytest.mark.timeout(1800)]),
    ],
)
def test_ten_thousand_hostile_texts_get_the_same_answers(
    name: str, tolerance: float, encoder: Callable[[Sequence[str]], NDArray[np.float32]]
) -> None:
    workspace = StoredWorkspace(ObjectStore.at("memory:///"), "work")
    of = family(name, encode=encoder, workspace=workspace)
    titles = TrainingSet.of(pa.Table.from_pylist(some_rows(160, sure=False))).seen
    model = of.fit(titles, {**of.defaults, **QUICK.get(name, {})}, None, "all")
    assert of.export is not None
    part, tokenizer = of.export(model)
    graph = assemble([(part, np.ones(len(GENRES), np.float32))], PLAIN, name=name)
    texts = hostile_texts(10_000)
    assert len(set(texts)) > 5000
    assert max(map(len, texts)) > 50_000
    served = OnnxModel.load(graph, GENRES, tokenizer).predict(texts)
    assert np.abs(served - PLAIN(model.log_odds(texts))).max() < tolerance
    assert served.std(axis=0).max() > 0.001  # agreement on one answer would be no proof
