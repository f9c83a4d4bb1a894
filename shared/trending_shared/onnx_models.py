"""A model's graph in memory: texts in, a probability for each label out.

The gateway, the trainer's gate and the command line all run a bundle through this one class, so a
prediction can be executed again and give the same numbers.
"""

from collections.abc import Sequence
from typing import Self

import numpy as np
import onnxruntime as ort
from numpy.typing import NDArray
from onnxruntime.capi import onnxruntime_pybind11_state as ort_errors

from trending_shared.errors import Rejected

INPUT, OUTPUT = "text", "probabilities"
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
    """A graph with the input `text` (strings) and the output `probabilities` (float32).

    Threads may share a model; onnxruntime lets go of the interpreter lock while it computes.
    """

    def __init__(self, session: ort.InferenceSession, labels: tuple[str, ...], rank: int) -> None:
        self.labels = labels
        self._session = session
        self._rank = rank

    @classmethod
    def load(cls, graph: bytes, labels: Sequence[str]) -> Self:
        """Open a graph and compare its names, types and shapes with what is expected.

        Shapes: `text` is (n,) or (n, 1), `probabilities` (n, len(labels)), columns as `labels`.

        Raises:
            ModelUnusable: it doesn't load here, or has other inputs or outputs.
        """
        options = ort.SessionOptions()
        # Calls run side by side in threads of their own: more threads within one call would only
        # take the cores from its neighbours, and spinning ones from everybody.
        options.intra_op_num_threads = 1
        options.inter_op_num_threads = 1
        options.add_session_config_entry("session.intra_op.allow_spinning", "0")
        options.log_severity_level = 3  # errors; they are raised as well
        try:
            session = ort.InferenceSession(graph, options, providers=["CPUExecutionProvider"])
        except _ORT_ERRORS as error:
            raise ModelUnusable(f"the graph doesn't load: {error}") from error
        inputs = {node.name: node for node in session.get_inputs()}
        outputs = {node.name: node for node in session.get_outputs()}
        if set(inputs) != {INPUT} or inputs[INPUT].type != "tensor(string)":
            raise ModelUnusable(f"the graph's one input must be {INPUT!r}, strings: {list(inputs)}")
        if OUTPUT not in outputs or outputs[OUTPUT].type != "tensor(float)":
            raise ModelUnusable(f"the graph must give {OUTPUT!r}, float32: {list(outputs)}")
        text, probabilities = inputs[INPUT].shape, outputs[OUTPUT].shape
        if len(text) not in (1, 2) or any(isinstance(size, int) and size != 1 for size in text[1:]):
            raise ModelUnusable(f"{INPUT!r} has the shape {text}, not (n,) or (n, 1)")
        width = probabilities[1] if len(probabilities) == 2 else None
        if len(probabilities) != 2 or (isinstance(width, int) and width != len(labels)):
            raise ModelUnusable(f"{OUTPUT!r} has the shape {probabilities}, not (n, {len(labels)})")
        return cls(session, tuple(labels), len(text))

    def predict(self, texts: Sequence[str]) -> NDArray[np.float32]:
        """The probability of each label for each text.

        Shapes: float32 (len(texts), len(labels)); every value lies within 0 and 1.

        Raises:
            ModelUnusable: the graph failed on these texts, or gave no probabilities.
        """
        shape = (len(texts), len(self.labels))
        if not texts:
            return np.empty(shape, np.float32)
        column = np.array(texts, dtype=object).reshape(shape[:1] + (1,) * (self._rank - 1))
        try:
            (probabilities,) = self._session.run([OUTPUT], {INPUT: column})
        except _ORT_ERRORS as error:
            raise ModelUnusable(f"the graph failed: {error}") from error
        if probabilities.shape != shape or probabilities.dtype != np.float32:
            raise ModelUnusable(f"the graph gave {probabilities.shape}, not {shape}")
        if not np.all((probabilities >= -_ROUNDING) & (probabilities <= 1 + _ROUNDING)):
            raise ModelUnusable("the graph gave numbers that are no probabilities")
        clipped: NDArray[np.float32] = np.clip(probabilities, 0, 1)
        return clipped
