"""The sentence encoder: true to the model it was built from, and careful with its cache."""

import shutil
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from trending_shared import encoder as encoder_module
from trending_shared.encoder import SentenceEncoder
from trending_shared.errors import ModelNotFound

# First six numbers of each vector, from transformers 5.23 on torch 2.15: the model's own forward
# pass, mean over the unmasked tokens, unit length. The last text is cut at 256 tokens.
GOLDEN = {
    "A retired detective is drawn back to solve one last case.": (
        [-0.010197, 0.032585, 0.013480, -0.036733, -0.002121, 0.039789]
    ),
    "Amélie découvre l'amour à Montmartre. 🎬": (
        [-0.064315, 0.053979, 0.023434, 0.036547, -0.044005, 0.115882]
    ),
    "An endless review of a very long film. " * 60: (
        [-0.010676, -0.017989, -0.014557, 0.029905, 0.006810, 0.037008]
    ),
}

MIXED = [
    "A heist goes wrong when the getaway driver falls asleep.",
    "",
    "千と千尋の神隠し is a 2001 film by 宮崎駿.",
    "Slow, meditative and beautiful: " + "a film about gardening, " * 40,
    "🎬",
    "Two stars.\n\tToo long, too loud.",
]


@pytest.fixture(scope="module")
def cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("encoder")


@pytest.fixture(scope="module")
def encoder(cache: Path) -> SentenceEncoder:
    return SentenceEncoder.load(cache)


def only_file(folder: Path) -> Path:
    (path,) = folder.iterdir()
    return path


def difference(one: NDArray[np.float32], other: NDArray[np.float32]) -> float:
    return float(np.abs(one - other).max())


def test_vectors_agree_with_transformers(encoder: SentenceEncoder) -> None:
    vectors = encoder.encode(list(GOLDEN))
    np.testing.assert_allclose(vectors[:, :6], list(GOLDEN.values()), rtol=0, atol=1e-4)


def test_vectors_have_the_announced_shape_and_unit_length(encoder: SentenceEncoder) -> None:
    vectors = encoder.encode(MIXED)
    assert vectors.shape == (len(MIXED), encoder.dimension) == (len(MIXED), 384)
    assert vectors.dtype == np.float32
    np.testing.assert_allclose(np.linalg.norm(vectors, axis=1), 1, rtol=0, atol=1e-6)


def test_a_text_alone_has_the_vector_it_has_in_a_batch(encoder: SentenceEncoder) -> None:
    alone = np.concatenate([encoder.encode([text]) for text in MIXED])
    assert np.array_equal(encoder.encode(MIXED), alone)


def test_vectors_come_in_the_order_of_the_texts(encoder: SentenceEncoder) -> None:
    texts = [f"{'very ' * (7 * index % 10)}good film number {index}" for index in range(10)]
    forward = encoder.encode(texts)
    backward = encoder.encode(texts[::-1])
    assert np.array_equal(forward, backward[::-1])
    assert np.argmax(forward @ encoder.encode(texts).T, axis=1).tolist() == list(range(10))


def test_no_texts_give_no_vectors(encoder: SentenceEncoder) -> None:
    vectors = encoder.encode([])
    assert vectors.shape == (0, 384)
    assert vectors.dtype == np.float32


def test_what_follows_the_256th_token_does_not_count(encoder: SentenceEncoder) -> None:
    # The tokenizer adds one token at each end.
    full, longer, shorter = encoder.encode(["cat " * 254, "cat " * 254 + "dog", "cat " * 253])
    assert difference(full, longer) < 1e-5
    assert difference(full, shorter) > 1e-5


def test_half_a_surrogate_pair_counts_as_a_question_mark(encoder: SentenceEncoder) -> None:
    broken, replaced = encoder.encode(["great film \ud83d", "great film ?"])
    assert difference(broken, replaced) < 1e-5


@pytest.mark.parametrize(
    ("text", "related", "unrelated"),
    [
        ("A detective hunts a killer.", "The police search for a murderer.", "A cooking contest."),
        ("I loved this film.", "What a wonderful movie!", "The train leaves at nine."),
        (
            "Astronauts travel to Mars.",
            "A crew flies to another planet.",
            "Two chefs fall in love.",
        ),
    ],
)
def test_related_sentences_are_nearer_than_unrelated_ones(
    encoder: SentenceEncoder, text: str, related: str, unrelated: str
) -> None:
    vector, near, far = encoder.encode([text, related, unrelated])
    assert vector @ near > vector @ far + 0.2


def test_more_threads_give_the_same_vectors(encoder: SentenceEncoder, cache: Path) -> None:
    threaded = SentenceEncoder.load(cache, threads=2)
    assert threaded.version == encoder.version
    assert difference(threaded.encode(MIXED), encoder.encode(MIXED)) < 1e-5


def test_a_cached_graph_is_used_as_it_is(encoder: SentenceEncoder, cache: Path) -> None:
    path = only_file(cache)
    written = path.stat().st_mtime_ns
    assert SentenceEncoder.load(cache).version == encoder.version
    assert encoder.version in path.name
    assert only_file(cache) == path
    assert path.stat().st_mtime_ns == written


@pytest.mark.parametrize("damage", ["truncated", "altered"])
def test_a_damaged_cached_graph_is_built_anew(
    encoder: SentenceEncoder, cache: Path, tmp_path: Path, damage: str
) -> None:
    intact = only_file(cache).read_bytes()
    middle = len(intact) // 2
    path = Path(shutil.copy(only_file(cache), tmp_path))
    with path.open("r+b") as file:
        if damage == "truncated":
            file.truncate(middle)
        else:
            file.seek(middle)
            file.write(bytes([intact[middle] ^ 0xFF]))
    rebuilt = SentenceEncoder.load(tmp_path)
    assert difference(rebuilt.encode(MIXED), encoder.encode(MIXED)) < 1e-5
    assert only_file(tmp_path).read_bytes() == intact


def test_two_that_build_at_once_leave_one_graph(encoder: SentenceEncoder, tmp_path: Path) -> None:
    folder = tmp_path / "not" / "there" / "yet"
    with ThreadPoolExecutor(2) as pool:
        loaded = list(pool.map(SentenceEncoder.load, [folder, folder]))
    assert [each.version for each in loaded] == [encoder.version] * 2
    assert only_file(folder).suffix == ".onnx"


def test_without_the_package_the_model_is_not_found(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(encoder_module, "PACKAGE", "a_package_nobody_installed")
    with pytest.raises(ModelNotFound, match="isn't installed"):
        SentenceEncoder.load(tmp_path)


def test_a_package_without_weights_is_named_as_such(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    model = tmp_path / "a_package_without_weights" / "model"
    model.mkdir(parents=True)
    for name in ("config.json", "tokenizer.json"):
        (model / name).touch()
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setattr(encoder_module, "PACKAGE", "a_package_without_weights")
    with pytest.raises(ModelNotFound, match=r"lacks model\.safetensors"):
        SentenceEncoder.load(tmp_path / "cache")
