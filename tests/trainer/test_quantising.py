"""A network in eight bits: what becomes of its products, and that company changes no answer."""

from typing import Any

import numpy as np
import onnx
import pytest
from numpy.typing import NDArray
from onnx import numpy_helper
from tokenizers import Tokenizer

from trending_shared.encoder import build_graph, encoder_tokenizer
from trending_shared.genres import GENRES
from trending_shared.onnx_models import IDS, MASK, open_session, pad
from trending_shared.testing.datasets import some_rows
from trending_shared.testing.texts import hostile_texts
from trending_trainer.exporting import as_part
from trending_trainer.quantising import PRODUCT, quantise

LAYERS, WIDTH, INNER, WORDS = 2, 32, 64, 30_522
TEXTS = [str(row["text"]) for row in some_rows(60)]
TOKENIZER = encoder_tokenizer(128)


def a_network() -> bytes:
    """A BERT as small as can be, whose weights are noise."""
    chance = np.random.default_rng(0)

    def noise(*shape: int) -> NDArray[np.float32]:
        return (chance.standard_normal(shape) * 0.3).astype(np.float32)

    def linear(name: str, inputs: int, outputs: int) -> dict[str, NDArray[Any]]:
        return {f"{name}.weight": noise(outputs, inputs), f"{name}.bias": noise(outputs)}

    def norm(name: str) -> dict[str, NDArray[Any]]:
        return {f"{name}.weight": 1 + noise(WIDTH), f"{name}.bias": noise(WIDTH)}

    weights = {
        "embeddings.word_embeddings.weight": noise(WORDS, WIDTH),
        "embeddings.position_embeddings.weight": noise(128, WIDTH),
        "embeddings.token_type_embeddings.weight": noise(2, WIDTH),
        **norm("embeddings.LayerNorm"),
    }
    for layer in range(LAYERS):
        name = f"encoder.layer.{layer}"
        for part in ("self.query", "self.key", "self.value", "output.dense"):
            weights |= linear(f"{name}.attention.{part}", WIDTH, WIDTH)
        weights |= norm(f"{name}.attention.output.LayerNorm") | norm(f"{name}.output.LayerNorm")
        weights |= linear(f"{name}.intermediate.dense", WIDTH, INNER)
        weights |= linear(f"{name}.output.dense", INNER, WIDTH)
    config = {"num_attention_heads": 2, "layer_norm_eps": 1e-12, "num_hidden_layers": LAYERS}
    head = noise(WIDTH, len(GENRES)), noise(len(GENRES))
    return as_part(build_graph(weights, config, head=head))


@pytest.fixture(scope="module")
def network() -> bytes:
    return a_network()


@pytest.fixture(scope="module")
def small(network: bytes) -> bytes:
    return quantise(network, TOKENIZER, TEXTS)


def tokens(texts: list[str]) -> list[list[int]]:
    return [one.ids for one in Tokenizer.from_buffer(TOKENIZER).encode_batch_fast(texts)]


def answer(graph: bytes, read: list[list[int]]) -> NDArray[np.float32]:
    (said,) = open_session(graph).run(None, pad(read))
    return np.asarray(said)


def alone(graph: bytes, read: list[list[int]]) -> NDArray[np.float32]:
    session = open_session(graph)
    return np.concatenate([session.run(None, pad([one]))[0] for one in read])


def test_no_answer_depends_on_its_company(small: bytes) -> None:
    """Not even on hostile company, whose numbers are larger than any seen before."""
    read = tokens([*TEXTS, "ghost " * 200, "", *hostile_texts(100)])
    single = alone(small, read)
    for size in (2, 32, len(read)):
        together = [answer(small, read[at : at + size]) for at in range(0, len(read), size)]
        assert np.abs(np.concatenate(together) - single).max() < 1e-5


def test_answers_are_nearly_those_of_the_network(network: bytes, small: bytes) -> None:
    wanted, said = alone(network, tokens(TEXTS)), alone(small, tokens(TEXTS))
    assert 0 < np.abs(said - wanted).mean() < 0.03 * wanted.std()


def test_every_product_is_one_of_integers_that_no_processor_overflows(small: bytes) -> None:
    graph = onnx.load_from_string(small).graph
    held = {one.name: numpy_helper.to_array(one) for one in graph.initializer}
    products = [node for node in graph.node if node.op_type == PRODUCT]
    assert len(products) == 6 * LAYERS
    for product in products:
        matrix, steps, offsets = (held[product.input[at]] for at in (1, 3, 6))
        assert matrix.dtype == np.int8
        assert 2 * 255 * int(np.abs(matrix.astype(int)).max()) < 2**15  # two of them in 16 bits
        assert steps.shape == offsets.shape == (matrix.shape[1],)
        assert np.abs(matrix).max(axis=0).min() == 63  # each column uses its whole scale
    assert not any(node.op_type == "MatMul" and node.input[1] in held for node in graph.node)
    # Query, key and value read the same, which is cut into bytes once.
    assert sum(node.op_type == "QuantizeLinear" for node in graph.node) == 4 * LAYERS


def test_what_is_spared_stays_as_it_is(network: bytes) -> None:
    graph = onnx.load_from_string(
        quantise(network, TOKENIZER, TEXTS, spared=r"layer\.1\.output")
    ).graph
    held = {one.name: numpy_helper.to_array(one) for one in graph.initializer}
    assert held["encoder.layer.1.output.dense.weight"].dtype == np.float32
    assert held["encoder.layer.0.output.dense.weight"].dtype == np.int8


def test_the_same_texts_give_the_same_bytes_and_others_other_scales(
    network: bytes, small: bytes
) -> None:
    assert quantise(network, TOKENIZER, TEXTS) == small
    assert quantise(network, TOKENIZER, TEXTS[:5]) != small


def test_a_network_without_products_stays_as_it_is(small: bytes) -> None:
    """Such as one that is in eight bits already."""
    assert quantise(small, TOKENIZER, TEXTS) == small


def test_a_text_without_tokens_of_its_own_is_answered(small: bytes) -> None:
    said = answer(small, tokens([""]))
    assert np.isfinite(said).all()
    assert {IDS, MASK} == {one.name for one in open_session(small).get_inputs()}
