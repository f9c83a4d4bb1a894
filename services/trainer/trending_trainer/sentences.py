"""A model that reads a text's meaning: the sentence encoder as it is, and one matrix on top."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from onnx import helper, numpy_helper

from trending_shared.encoder import MAX_TOKENS, encoder_graph, encoder_tokenizer
from trending_shared.genres import GENRES
from trending_trainer.exporting import as_part
from trending_trainer.training_set import TrainingSet
from trending_trainer.words import Params, fit_linear

EMBEDDING: Params = {"C": 4.0, "without_facts": 1.0}

Encode = Callable[[Sequence[str]], NDArray[np.float32]]
"""n texts to vectors of length one, (n, dimension)."""


@dataclass(frozen=True, slots=True)
class SentenceModel:
    """One column of weights a genre over a text's vector."""

    encode: Encode
    weights: NDArray[np.float32]
    """Shape (dimension, 16)."""
    offsets: NDArray[np.float32]

    def log_odds(self, texts: Sequence[str] | NDArray[np.object_]) -> NDArray[np.float32]:
        """What the model says of composed texts: (len(texts), 16), columns as `GENRES`."""
        if not len(texts):
            return np.empty((0, len(GENRES)), np.float32)
        return np.asarray(self.encode(list(texts)) @ self.weights + self.offsets, np.float32)


def fit_sentences(titles: TrainingSet, params: Params, encode: Encode) -> SentenceModel:
    """A logistic regression a genre, over the titles of which it is known.

    Args:
        params: those of `EMBEDDING`.
    """
    read = titles.also_without_facts(params["without_facts"])
    vectors = encode(list(read.texts))
    return SentenceModel(encode, *fit_linear(vectors, read, C=params["C"]))


def export_sentences(model: SentenceModel) -> tuple[bytes, bytes]:
    """The encoder with the matrix on top as a part, and its tokenizer."""
    proto = encoder_graph()
    graph = proto.graph
    (vectors,) = graph.output
    graph.initializer.extend(
        numpy_helper.from_array(array, name)
        for name, array in {"weights": model.weights, "offsets": model.offsets}.items()
    )
    graph.node.append(helper.make_node("Gemm", [vectors.name, "weights", "offsets"], ["answers"]))
    vectors.name = "answers"
    vectors.type.tensor_type.shape.dim[1].dim_value = len(GENRES)
    return as_part(proto), encoder_tokenizer(MAX_TOKENS)
