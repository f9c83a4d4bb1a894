"""What a graph must be like to be served, and what it gives."""

from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from onnx import TensorProto, helper

from trending_shared.onnx_models import ModelUnusable, OnnxModel
from trending_shared.testing.models import GENRES, a_graph


def a_plain_graph(
    *, text: list[str | int | None], probabilities: list[str | int | None], kind: int
) -> bytes:
    """A graph that finds no `x` in any text, whatever its shape."""
    graph = helper.make_graph(
        [
            helper.make_node("RegexFullMatch", ["text"], ["found"], pattern="x"),
            helper.make_node("Cast", ["found"], ["probabilities"], to=kind),
        ],
        "plain",
        [helper.make_tensor_value_info("text", TensorProto.STRING, text)],
        [helper.make_tensor_value_info("probabilities", kind, probabilities)],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)], ir_version=9)
    return bytes(model.SerializeToString())


def test_a_graph_gives_one_row_a_text_and_one_column_a_label() -> None:
    model = OnnxModel.load(a_graph(), list(GENRES))
    given = model.predict(["a heist", "a ghost\nin a heist", ""])
    assert given.dtype == np.float32
    expected = [[0.1, 0.9, 0.1], [0.1, 0.9, 0.9], [0.1, 0.1, 0.1]]
    np.testing.assert_allclose(given, expected, atol=1e-6)


def test_no_texts_give_no_rows() -> None:
    assert OnnxModel.load(a_graph(), list(GENRES)).predict([]).shape == (0, 3)


def test_texts_may_stand_in_a_column() -> None:
    graph = a_plain_graph(text=["n", 1], probabilities=["n", 1], kind=TensorProto.FLOAT)
    assert OnnxModel.load(graph, ["Drama"]).predict(["a", "x"]).tolist() == [[0.0], [1.0]]


def test_threads_may_share_a_model() -> None:
    model = OnnxModel.load(a_graph(), list(GENRES))
    texts = [f"{word} {number}" for number in range(50) for word in GENRES.values()]
    with ThreadPoolExecutor(4) as threads:
        rows = list(threads.map(lambda text: model.predict([text])[0].argmax(), texts))
    assert rows == [0, 1, 2] * 50


@pytest.mark.parametrize(
    ("graph", "reason"),
    [
        (b"", "doesn't load"),
        (b"no graph", "doesn't load"),
        (a_graph()[:-40], "doesn't load"),
        (a_graph(input="words"), "must read"),
        (a_graph(output="scores"), "must give"),
        (a_graph({"Comedy": "laugh"}), "shape"),
        (a_plain_graph(text=["n", 2], probabilities=["n", 2], kind=TensorProto.FLOAT), "shape"),
        (a_plain_graph(text=["n"], probabilities=["n"], kind=TensorProto.FLOAT), "shape"),
        (a_plain_graph(text=["n", 1], probabilities=["n", 1], kind=TensorProto.DOUBLE), "float32"),
    ],
)
def test_another_graph_is_refused_with_its_reason(graph: bytes, reason: str) -> None:
    with pytest.raises(ModelUnusable, match=reason):
        OnnxModel.load(graph, list(GENRES))


def test_numbers_that_are_no_probabilities_are_refused() -> None:
    for likely, unlikely in ((1.5, 0.0), (0.5, -0.5), (float("nan"), 0.0)):
        model = OnnxModel.load(a_graph(likely=likely, unlikely=unlikely), list(GENRES))
        with pytest.raises(ModelUnusable, match="no probabilities"):
            model.predict(["a heist"])


def test_a_probability_a_rounding_error_beyond_one_is_one() -> None:
    model = OnnxModel.load(a_graph(likely=1.000001, unlikely=0.0), list(GENRES))
    assert model.predict(["a heist"]).max() == 1.0
