"""An encoder without a model, for tests in which only the identity of a vector matters."""

import hashlib
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray


class HashEncoder:
    """Unit vectors that depend on the text alone; keeps the texts it was asked for."""

    version = "hash"
    dimension = 384

    def __init__(self) -> None:
        self.asked: list[str] = []

    def encode(self, texts: Sequence[str]) -> NDArray[np.float32]:
        """Vectors of one or more texts: shape (len(texts), 384)."""
        self.asked += texts
        digests = [hashlib.shake_128(text.encode()).digest(self.dimension) for text in texts]
        vectors = np.array([list(digest) for digest in digests], np.float32)
        unit: NDArray[np.float32] = vectors / np.linalg.norm(vectors, axis=1, keepdims=True)
        return unit
