"""From texts to vectors, each distinct text once: the sentence encoder and its recent answers."""

from collections import OrderedDict
from collections.abc import Callable, Sequence
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from trending_featurizer.metrics import FeaturizerMetrics
from trending_shared.features import text_hash


class Encoder(Protocol):
    """What `trending_shared.encoder.SentenceEncoder` offers."""

    version: str

    def encode(self, texts: Sequence[str]) -> NDArray[np.float32]: ...


class Embedder:
    """An encoder that remembers its recent answers; for one thread at a time.

    A title comes again when only its counters moved; its text, and so its vector, is the same.

    Args:
        load: makes the encoder, which takes seconds; called once, in `load` or on first use.
        remember: how many answers are kept, those used last.
    """

    def __init__(
        self, load: Callable[[], Encoder], *, remember: int, metrics: FeaturizerMetrics
    ) -> None:
        self._make = load
        self._encoder: Encoder | None = None
        self._remember = remember
        self._metrics = metrics
        self._known: OrderedDict[str, NDArray[np.float32]] = OrderedDict()

    def load(self) -> Encoder:
        if self._encoder is None:
            self._encoder = self._make()
        return self._encoder

    @property
    def version(self) -> str:
        """Which encoder makes the vectors."""
        return self.load().version

    def embed(self, texts: Sequence[str]) -> NDArray[np.float32]:
        """Vectors of one or more texts, in their order: shape (len(texts), dimension)."""
        by_hash = {text_hash(text): text for text in texts}
        new = [hash for hash in by_hash if hash not in self._known]
        vectors = {hash: self._known[hash] for hash in by_hash if hash in self._known}
        if new:
            rows = self.load().encode([by_hash[hash] for hash in new])
            vectors |= {hash: row.copy() for hash, row in zip(new, rows, strict=True)}
        self._metrics.embeddings.labels("computed").inc(len(new))
        self._metrics.embeddings.labels("reused").inc(len(texts) - len(new))
        for hash, vector in vectors.items():
            self._known[hash] = vector
            self._known.move_to_end(hash)
        while len(self._known) > self._remember:
            self._known.popitem(last=False)
        return np.stack([vectors[text_hash(text)] for text in texts])
