"""A model's graph in memory: texts in, a probability for each label out.

The gateway, the trainer's gate and the command line all run a bundle through this one class, so a
prediction can be executed again and give the same numbers.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Any, Self

import numpy as np
import onnxruntime as ort
from numpy.typing import NDArray
from onnxruntime.capi import onnxruntime_pybind11_state as ort_errors
from tokenizers import Tokenizer

from trending_shared.errors import Rejected
from trending_shared.registry import Manifest, ModelRegistry

INPUT, IDS, MASK, OUTPUT = "text", "ids", "mask", "probabilities"
_TEXT, _TOKENS = {INPUT: "tensor(string)"}, {IDS: "tensor(int64)", MASK: "tensor(bool)"}
_INPUTS = (_TEXT, _TOKENS, _TEXT | _TOKENS)
_TEXTS_AT_ONCE = 64
_TOKENS_AT_ONCE = 8
_ROUNDING = 1e-5  # how far float32 arithmetic may carry a probability beyond 0 or 1
_ORT_ERRORS = (
    ort_errors.EPFail,
    ort_errors.Fail,
    ort_errors.InvalidArgument,
    ort_errors.InvalidGraph,
    ort_errors.InvalidProtobuf,
    ort_errors.NoSuchFile,
    ort_errors.NotImplemented,
    ort_errors.RuntimeException,
    RuntimeError,
    ValueError,
)


class ModelUnusable(Rejected):
    """A bundle can't be served: its graph doesn't load, or isn't one from text to our labels."""


class OnnxModel:
    """A graph with the output `probabilities` (float32) that reads `text`, its tokens, or both.

    Its inputs are `text` (strings), or `ids` (int64) and `mask` (bool) of shape (n, tokens), or all
    three. Threads may share a model; onnxruntime lets go of the interpreter lock while it computes.
    """

    def __init__(
        self,
        session: ort.InferenceSession,
        labels: tuple[str, ...],
        *,
        rank: int,
        tokenizer: Tokenizer | None,
    ) -> None:
        self.labels = labels
        self._session = session
        self._rank = rank
        self._tokenizer = tokenizer

    @classmethod
    def load(cls, graph: bytes, labels: Sequence[str], tokenizer: bytes | None = None) -> Self:
        """Open a graph and compare its names, types and shapes with what is expected.

        Shapes: `text` is (n,) or (n, 1), `probabilities` (n, len(labels)), columns as `labels`.

        Args:
            tokenizer: the `tokenizer.json` that makes `ids`, with its truncation.

        Raises:
            ModelUnusable: it doesn't load here, or has other inputs or outputs.
        """
        try:
            session = open_session(graph)
        except _ORT_ERRORS as error:
            raise ModelUnusable(f"the graph doesn't load: {error}") from error
        inputs = {node.name: node.type for node in session.get_inputs()}
        if inputs not in _INPUTS:
            raise ModelUnusable(f"the graph must read {INPUT!r} or tokens, not {inputs}")
        outputs = {node.name: node for node in session.get_outputs()}
        if OUTPUT not in outputs or outputs[OUTPUT].type != "tensor(float)":
            raise ModelUnusable(f"the graph must give {OUTPUT!r}, float32: {list(outputs)}")
        text = next((node.shape for node in session.get_inputs() if node.name == INPUT), None)
        if text is not None and (
            len(text) not in (1, 2) or any(isinstance(size, int) and size != 1 for size in text[1:])
        ):
            raise ModelUnusable(f"{INPUT!r} has the shape {text}, not (n,) or (n, 1)")
        probabilities = outputs[OUTPUT].shape
        width = probabilities[1] if len(probabilities) == 2 else None
        if len(probabilities) != 2 or (isinstance(width, int) and width != len(labels)):
            raise ModelUnusable(f"{OUTPUT!r} has the shape {probabilities}, not (n, {len(labels)})")
        reader = _read_tokenizer(tokenizer) if IDS in inputs else None
        return cls(session, tuple(labels), rank=len(text or ()), tokenizer=reader)

    def predict(self, texts: Sequence[str]) -> NDArray[np.float32]:
        """The probability of each label for each text.

        Texts go through the graph a batch at a time: for one that counts words each is a dense row
        of tens of thousands of numbers, and one that reads tokens pays for padding.

        Shapes: float32 (len(texts), len(labels)); every value lies within 0 and 1.

        Raises:
            ModelUnusable: the graph failed on these texts, or gave no probabilities.
        """
        answers = np.empty((len(texts), len(self.labels)), np.float32)
        if self._tokenizer is None:
            for start in range(0, len(texts), _TEXTS_AT_ONCE):
                batch = list(texts[start : start + _TEXTS_AT_ONCE])
                answers[start : start + len(batch)] = self._run({INPUT: self._column(batch)})
            return answers
        # The tokenizer would refuse them all for one half of a surrogate pair.
        valid = [text.encode("utf-8", "replace").decode() for text in texts]
        tokens = [encoding.ids for encoding in self._tokenizer.encode_batch_fast(valid)]
        by_length = sorted(range(len(tokens)), key=lambda index: len(tokens[index]))
        for start in range(0, len(tokens), _TOKENS_AT_ONCE):
            rows = by_length[start : start + _TOKENS_AT_ONCE]
            feed = pad([tokens[row] for row in rows])
            if self._rank:
                feed[INPUT] = self._column([texts[row] for row in rows])
            answers[rows] = self._run(feed)
        return answers

    def _column(self, texts: Sequence[str]) -> NDArray[np.object_]:
        return np.array(texts, dtype=object).reshape((len(texts),) + (1,) * (self._rank - 1))

    def _run(self, feed: dict[str, NDArray[Any]]) -> NDArray[np.float32]:
        shape = (len(next(iter(feed.values()))), len(self.labels))
        try:
            (probabilities,) = self._session.run([OUTPUT], feed)
        except _ORT_ERRORS as error:
            raise ModelUnusable(f"the graph failed: {error}") from error
        if probabilities.shape != shape or probabilities.dtype != np.float32:
            raise ModelUnusable(f"the graph gave {probabilities.shape}, not {shape}")
        least, most = probabilities.min(initial=0), probabilities.max(initial=0)
        if not (least >= -_ROUNDING and most <= 1 + _ROUNDING):  # nor if one is not a number
            raise ModelUnusable("the graph gave numbers that are no probabilities")
        given: NDArray[np.float32] = probabilities
        return given if least >= 0 and most <= 1 else given.clip(0, 1)


def open_session(
    graph: bytes | Path, options: ort.SessionOptions | None = None
) -> ort.InferenceSession:
    """A graph on this processor, one thread a call.

    Args:
        options: those that differ, of `session_options`.
    """
    return ort.InferenceSession(
        graph, options or session_options(), providers=["CPUExecutionProvider"]
    )


def session_options() -> ort.SessionOptions:
    options = ort.SessionOptions()
    # Calls run side by side in threads of their own: more threads within one call would only
    # take the cores from its neighbours, and spinning ones from everybody.
    options.intra_op_num_threads = 1
    options.inter_op_num_threads = 1
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    options.log_severity_level = 3  # errors; they are raised as well
    return options


def load_bundle(registry: ModelRegistry, manifest: Manifest) -> OnnxModel:
    """The model of a bundle.

    Raises:
        ModelNotFound: a file is missing, or isn't the one that was registered.
        ModelUnusable: it can't be served.
    """
    return OnnxModel.load(registry.onnx(manifest), manifest.labels, registry.tokenizer(manifest))


def pad(tokens: Sequence[Sequence[int]]) -> dict[str, NDArray[Any]]:
    """Rows of token ids as `ids` (int64) and `mask` (bool), both (rows, longest)."""
    lengths = np.array([len(row) for row in tokens])
    mask = np.arange(lengths.max()) < lengths[:, None]
    ids = np.zeros(mask.shape, np.int64)
    ids[mask] = np.concatenate(tokens)
    return {IDS: ids, MASK: mask}


def _read_tokenizer(content: bytes | None) -> Tokenizer:
    if content is None:
        raise ModelUnusable("the graph reads tokens, and the bundle has no tokenizer")
    try:
        tokenizer = Tokenizer.from_buffer(content)
    except Exception as error:  # the library has no class of its own for it
        raise ModelUnusable(f"the tokenizer doesn't load: {error}") from error
    tokenizer.no_padding()
    return tokenizer
