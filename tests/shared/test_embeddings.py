"""Each text is encoded once, on one machine and for as long as its vector is kept."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from trending_shared.embeddings import Embedder
from trending_shared.testing.encoding import HashEncoder


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "home" / "vectors.sqlite"


def test_a_text_is_encoded_once_and_answers_keep_their_order(file: Path) -> None:
    encoder, told = HashEncoder(), []
    embedder = Embedder(lambda: encoder, file=file, tell=lambda *counts: told.append(counts))
    first = embedder.embed(["a", "b", "a"])
    again = embedder.embed(["b", "c", "a"])
    assert encoder.asked == ["a", "b", "c"]
    assert np.array_equal(first, HashEncoder().encode(["a", "b", "a"]))
    assert np.array_equal(again, HashEncoder().encode(["b", "c", "a"]))
    assert told == [(2, 1), (1, 2)]


def test_another_process_knows_what_one_has_encoded(file: Path) -> None:
    texts = [f"text {number}" for number in range(1200)]  # more than one statement asks for
    first = Embedder(HashEncoder, file=file).embed(texts)
    second = HashEncoder()
    again = Embedder(lambda: second, file=file).embed([*reversed(texts), "new"])
    assert second.asked == ["new"]
    assert np.array_equal(again[:-1], first[::-1])


def test_vectors_of_another_encoder_are_others(file: Path) -> None:
    class Other(HashEncoder):
        version = "other"

        def encode(self, texts: Sequence[str]) -> NDArray[np.float32]:
            return np.negative(super().encode(texts))

    one = Embedder(HashEncoder, file=file).embed(["a"])
    other = Embedder(Other, file=file).embed(["a"])
    assert np.array_equal(one, -other)
    assert np.array_equal(Embedder(HashEncoder, file=file).embed(["a"]), one)


def test_the_texts_encoded_last_are_kept(file: Path) -> None:
    encoder = HashEncoder()
    embedder = Embedder(lambda: encoder, file=file, most=2)
    for text in ("a", "b", "c"):
        embedder.embed([text])
    embedder.embed(["b", "c"])
    assert encoder.asked == ["a", "b", "c"]
    embedder.embed(["a"])
    assert encoder.asked == ["a", "b", "c", "a"]


def test_a_batch_larger_than_what_is_kept_is_answered_whole(file: Path) -> None:
    texts = [str(number) for number in range(10)]
    found = Embedder(HashEncoder, file=file, most=3).embed(texts)
    assert np.array_equal(found, HashEncoder().encode(texts))


def test_a_damaged_file_costs_no_answer(file: Path) -> None:
    file.parent.mkdir()
    file.write_bytes(b"no database at all, but long enough to be looked at" * 40)
    encoder = HashEncoder()
    embedder = Embedder(lambda: encoder, file=file)
    for _ in range(2):
        assert np.array_equal(embedder.embed(["a"]), HashEncoder().encode(["a"]))
    assert encoder.asked == ["a", "a"]
