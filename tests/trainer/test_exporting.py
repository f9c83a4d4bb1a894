"""The exported graph says what the trained model says."""

import random
from dataclasses import replace

import numpy as np
import onnx
import pyarrow as pa
import pytest
from sklearn.linear_model import LogisticRegression

from trending_shared.features import compose_text, normalise_text
from trending_shared.genres import GENRES
from trending_shared.onnx_models import OnnxModel
from trending_trainer.exporting import OPSETS, AnswersUnusable, export, parity, predict_all
from trending_trainer.training import (
    FAMILIES,
    UNTRAINED_PROBABILITY,
    Family,
    GenreModel,
    train,
)
from trending_trainer.training_set import TrainingSet

WORDS = {
    "Comedy": ["laughs", "prank", "silly", "wedding", "clown", "joke"],
    "Crime": ["heist", "detective", "murder", "police", "thief", "gun"],
    "Horror": ["ghost", "haunted", "scream", "cursed", "grave", "night"],
}
FILLER = [
    "the",
    "a",
    "of",
    "in",
    "two",
    "young",
    "town",
    "family",
    "one",
    "day",
    "finds",
    "their",
    "after",
    "life",
    "who",
    "when",
    "can't",
]
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
    chance = random.Random(3)
    rows = []
    for number in range(160):
        genre, other = chance.sample(sorted(WORDS), k=2)
        words = [*chance.choices(WORDS[genre], k=2), *chance.choices(WORDS[other], k=number % 2)]
        words += chance.choices(FILLER, k=chance.randrange(5, 25))
        chance.shuffle(words)
        kind = chance.choice(["film", "show"])
        rows.append(
            {
                "title_id": f"t_{number}",
                "source_id": f"s{number}",
                "kind": kind,
                "genres": [genre],
                "text": compose_text(name=f"No {number}", plot=" ".join(words), kind=kind),
            }
        )
    return TrainingSet.of(pa.Table.from_pylist(rows))


@pytest.fixture(scope="module", params=FAMILIES)
def model(request: pytest.FixtureRequest) -> GenreModel:
    family: Family = request.param
    return train(family, titles(), folds=2)


@pytest.fixture(scope="module")
def graph(model: GenreModel) -> OnnxModel:
    return OnnxModel.load(export(model), GENRES)


def test_the_graph_gives_the_probabilities_of_the_model(
    model: GenreModel, graph: OnnxModel
) -> None:
    texts = [*titles().texts, *AWKWARD]
    found = parity(model, graph, texts)
    assert found.max_difference < 1e-6
    assert (found.rows, found.label_changes) == (len(texts), 0)
    spread = predict_all(graph, texts)[:, GENRES.index("Horror")]
    assert spread.min() < 0.2 < 0.8 < spread.max()  # agreement on nothing would be no proof


def test_a_text_gets_the_same_answer_alone_and_in_company(graph: OnnxModel) -> None:
    texts = [*AWKWARD, *titles().texts][:32]
    together = graph.predict(texts)
    alone = np.concatenate([graph.predict([text]) for text in texts])
    assert np.abs(together - alone).max() <= 1e-6


def test_texts_without_a_single_token_are_answered_together(
    model: GenreModel, graph: OnnxModel
) -> None:
    assert parity(model, graph, ["", "...", ""]).max_difference < 1e-6


def test_more_texts_than_a_batch_keep_their_order(graph: OnnxModel) -> None:
    texts = list(titles().texts)
    assert np.array_equal(predict_all(graph, texts), graph.predict(texts))
    assert predict_all(graph, []).shape == (0, 16)


def test_an_untrained_genre_keeps_its_constant_probability(
    model: GenreModel, graph: OnnxModel
) -> None:
    columns = [GENRES.index(genre) for genre in model.untrained]
    assert columns
    assert np.allclose(graph.predict(AWKWARD)[:, columns], UNTRAINED_PROBABILITY, atol=1e-7)


def test_the_same_model_exports_to_the_same_bytes(model: GenreModel) -> None:
    assert export(model) == export(model)


def test_the_graph_states_its_versions_and_asks_for_no_locale(model: GenreModel) -> None:
    proto = onnx.load_from_string(export(model))
    assert {entry.domain: entry.version for entry in proto.opset_import} == OPSETS
    assert [node.name for node in proto.graph.input] == ["text"]
    assert [node.name for node in proto.graph.output] == ["probabilities"]
    assert "StringNormalizer" not in {node.op_type for node in proto.graph.node}


def test_a_model_whose_answers_are_no_numbers_is_refused_by_name(graph: OnnxModel) -> None:
    model = train("tfidf-logreg", titles(), folds=2)
    broken = next(one for one in model.classifiers if isinstance(one, LogisticRegression))
    broken.coef_ = np.full_like(broken.coef_, np.nan)
    with pytest.raises(AnswersUnusable, match="tfidf-logreg"):
        parity(model, graph, list(titles().texts))


def test_a_graph_that_answers_differently_is_noticed(model: GenreModel, graph: OnnxModel) -> None:
    sure = dict.fromkeys(GENRES, 0.0)
    swapped = replace(
        model, classifiers=(*model.classifiers[1:], model.classifiers[0]), thresholds=sure
    )
    texts = list(titles().texts)
    assert parity(swapped, graph, texts).max_difference > 0.1
    assert parity(swapped, graph, texts).label_changes == 0
    halves = replace(swapped, thresholds=dict.fromkeys(GENRES, 0.5))
    assert parity(halves, graph, texts).label_changes > 0
