"""The exported graph says what the trained model says."""

import numpy as np
import onnx
import pyarrow as pa
import pytest
from numpy.typing import NDArray

from trending_shared.features import normalise_text
from trending_shared.genres import GENRES
from trending_shared.onnx_models import OnnxModel
from trending_shared.testing.datasets import some_rows
from trending_shared.testing.texts import hostile_texts
from trending_trainer.exporting import OPSETS, Calibration, assemble, export_linear, export_trees
from trending_trainer.sentences import EMBEDDING, export_sentences, fit_sentences
from trending_trainer.training_set import TrainingSet
from trending_trainer.words import (
    LOGREG,
    UNTRAINED,
    XGBOOST,
    LinearModel,
    TreeModel,
    fit_logreg,
    fit_xgboost,
    learnable,
)

PLAIN = Calibration(np.ones(len(GENRES), np.float32), np.zeros(len(GENRES), np.float32))
ALL = np.ones(len(GENRES), np.float32)
HORROR = GENRES.index("Horror")
AWKWARD = [
    "",
    "#",
    ". , ; !",
    "a",
    "can't x's y don't she'll almost's the",
    "ghost ghost ghost ghost ghost ghost ghost ghost",
    "words that nobody has ever seen before",
    "haunted-house murder/police kind_show kind_film country_japan country_nowhere",
    *map(normalise_text, ["café séance Zoë Müller", "naïve İstanbul", "千と千尋 🎬", "a\tb\nc—d"]),
    "silly heist " * 400,
]


def titles() -> TrainingSet:
    """Titles whose genres show in their words, though not always: probabilities of all sizes."""
    return TrainingSet.of(pa.Table.from_pylist(some_rows(160, sure=False)))


Words = LinearModel | TreeModel


def export(model: Words) -> bytes:
    part = export_linear(model) if isinstance(model, LinearModel) else export_trees(model)
    return assemble([(part, ALL)], PLAIN, name="model")


def native(model: Words, texts: list[str]) -> NDArray[np.float32]:
    return PLAIN(model.log_odds(texts))


@pytest.fixture(scope="module", params=["logreg", "xgboost"])
def model(request: pytest.FixtureRequest) -> Words:
    of = titles().seen
    return fit_logreg(of, LOGREG) if request.param == "logreg" else fit_xgboost(of, XGBOOST)


@pytest.fixture(scope="module")
def graph(model: Words) -> OnnxModel:
    return OnnxModel.load(export(model), GENRES)


def test_the_graph_gives_the_probabilities_of_the_model(model: Words, graph: OnnxModel) -> None:
    texts = [*titles().texts, *AWKWARD]
    said = graph.predict(texts)
    assert np.abs(said - native(model, texts)).max() < 2e-6
    spread = said[:, HORROR]
    assert spread.min() < 0.2 < 0.8 < spread.max()  # agreement on nothing would be no proof


def test_a_text_gets_the_same_answer_alone_and_in_company(graph: OnnxModel) -> None:
    texts = [*AWKWARD, *titles().texts][:32]
    together = graph.predict(texts)
    alone = np.concatenate([graph.predict([text]) for text in texts])
    assert np.abs(together - alone).max() <= 1e-6


def test_texts_without_a_single_token_are_answered_together(model: Words, graph: OnnxModel) -> None:
    texts = ["", "...", ""]
    assert np.abs(graph.predict(texts) - native(model, texts)).max() < 1e-6


def test_more_texts_than_a_batch_keep_their_order(graph: OnnxModel) -> None:
    texts = list(titles().texts)
    together = graph.predict(texts)
    assert np.allclose(together[-1:], graph.predict(texts[-1:]), atol=1e-6)
    assert np.allclose(together[70:71], graph.predict(texts[70:71]), atol=1e-6)
    assert graph.predict([]).shape == (0, 16)


def test_an_untrained_genre_keeps_its_constant_probability(graph: OnnxModel) -> None:
    columns = np.flatnonzero(~learnable(titles().seen.labels))
    assert len(columns)
    said = graph.predict(AWKWARD)[:, columns]
    assert np.allclose(said, 1 / (1 + np.exp(-UNTRAINED)), atol=1e-7)


def test_the_same_model_exports_to_the_same_bytes(model: Words) -> None:
    assert export(model) == export(model)


def test_the_graph_states_its_versions_and_asks_for_no_locale(model: Words) -> None:
    proto = onnx.load_from_string(export(model))
    assert {entry.domain: entry.version for entry in proto.opset_import} == OPSETS
    assert [node.name for node in proto.graph.input] == ["text"]
    assert [node.name for node in proto.graph.output] == ["probabilities"]
    assert "StringNormalizer" not in {node.op_type for node in proto.graph.node}


def test_parts_are_weighed_by_genre_and_what_they_say_is_calibrated() -> None:
    of = titles().seen
    words, trees = fit_logreg(of, LOGREG), fit_xgboost(of, XGBOOST)
    chance = np.random.default_rng(0)
    one, other, slopes, offsets = chance.uniform(0.1, 1, (4, len(GENRES))).astype(np.float32)
    calibration = Calibration(slopes, offsets)
    parts = [(export_linear(words), one), (export_trees(trees), other)]
    graph = OnnxModel.load(assemble(parts, calibration, name="both"), GENRES)
    texts = [*titles().unseen.texts, *AWKWARD]
    wanted = calibration(words.log_odds(texts) * one + trees.log_odds(texts) * other)
    assert np.abs(graph.predict(texts) - wanted).max() < 2e-6


def test_a_graph_may_read_words_and_meaning_at_once(encoder: object) -> None:
    of = titles().seen
    words, meaning = fit_logreg(of, LOGREG), fit_sentences(of, EMBEDDING, encoder)  # type: ignore[arg-type]
    part, tokenizer = export_sentences(meaning)
    graph = OnnxModel.load(
        assemble([(export_linear(words), ALL), (part, ALL)], PLAIN, name="both"), GENRES, tokenizer
    )
    texts = [*titles().unseen.texts, *AWKWARD, *hostile_texts(100)]
    wanted = PLAIN(words.log_odds(texts) + meaning.log_odds(texts))
    assert np.abs(graph.predict(texts) - wanted).max() < 2e-5
