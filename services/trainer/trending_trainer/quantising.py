"""A network in eight bits: a fraction of the time, and nearly the same answers. Pure.

Every product with a constant matrix becomes one of integers, which processors multiply several
times as fast; all between the products stays as it was. A matrix has a scale for each of its
columns. What it is multiplied with has one scale and one zero point, found beforehand from what
some texts lead to, the calibration. So a text's answer doesn't depend on its batch, as it does
where scales are found on the way (dynamic quantisation).

Jacob et al., "Quantization and training of neural networks for efficient integer-arithmetic-only
inference", CVPR 2018 (the arithmetic); Wu et al., "Integer quantization for deep learning
inference: principles and empirical evaluation", 2020 (scales by column, calibrations).
"""

import re
from collections import Counter
from collections.abc import Mapping, Sequence

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import ModelProto, NodeProto, TensorProto, helper, numpy_helper
from tokenizers import Tokenizer

from trending_shared.onnx_models import open_session, pad

TEXTS = 256
"""How many are enough for a calibration."""
BITS = 7
"""Of a weight. With eight, two products of a byte and a weight add up to more than processors
without VNNI can hold, and what a model answers would depend on the processor."""
PRODUCT = "MatMulIntegerToFloat"
"""onnxruntime's operator for a product of integers, made numbers again by their scales."""


def quantise(
    part: bytes,
    tokenizer: bytes,
    texts: Sequence[str],
    *,
    clipped: float = 0.0,
    bits: int = BITS,
    spared: str | None = None,
) -> bytes:
    """A graph that reads tokens and no text, in eight bits.

    Args:
        tokenizer: its `tokenizer.json`.
        texts: composed texts like those that it will be asked; `TEXTS` of them count.
        clipped: the share of them whose lowest and highest numbers may lie beyond the scale.
        bits: of a weight.
        spared: matrices whose names match it stay as they are.
    """
    model = onnx.load_from_string(part)
    graph = model.graph
    constants = {one.name: one for one in graph.initializer}
    products = {
        node.output[0]: node
        for node in graph.node
        if node.op_type == "MatMul"
        and node.input[1] in constants
        and not (spared and re.search(spared, node.input[1]))
    }
    if not products:
        return part
    read = list(dict.fromkeys(node.input[0] for node in products.values()))
    lines = {
        name: _line(low, high, clipped)
        for name, (low, high) in _observe(model, read, tokenizer, texts).items()
    }
    uses = Counter(name for node in graph.node for name in node.input)
    nodes: list[NodeProto] = []
    made: dict[str, NDArray[np.generic]] = {}
    for node in graph.node:
        before = nodes[-1] if nodes else None
        if node.output[0] in products:
            value, matrix = node.input
            scale, zero, cut = f"{value}.scale", f"{value}.zero", f"{value}.cut"
            if scale not in made:
                made[scale], made[zero] = lines[value]
                nodes.append(helper.make_node("QuantizeLinear", [value, scale, zero], [cut]))
            steps = f"{matrix}.steps"
            made[matrix], made[steps] = _columns(numpy_helper.to_array(constants[matrix]), bits)
            inputs = [cut, matrix, scale, steps, zero, ""]
            nodes.append(helper.make_node(PRODUCT, inputs, node.output, domain="com.microsoft"))
        elif (
            before is not None
            and before.op_type == PRODUCT
            and node.op_type == "Add"
            and uses[before.output[0]] == 1
            and (added := _added(node, before.output[0], constants))
        ):
            before.input.append(added)
            before.output[0] = node.output[0]
        else:
            nodes.append(node)
    kept = [one for one in graph.initializer if one.name not in made]
    del graph.node[:], graph.initializer[:]
    graph.node.extend(nodes)
    graph.initializer.extend(kept)
    graph.initializer.extend(numpy_helper.from_array(array, name) for name, array in made.items())
    if "com.microsoft" not in {one.domain for one in model.opset_import}:
        model.opset_import.append(helper.make_opsetid("com.microsoft", 1))
    return bytes(model.SerializeToString(deterministic=True))


def _added(node: NodeProto, product: str, constants: Mapping[str, TensorProto]) -> str | None:
    """The vector that a node adds to a product, if that is what it does."""
    first, second = node.input
    name = second if first == product else first
    known = product in node.input and name in constants and len(constants[name].dims) == 1
    return name if known else None


def _observe(
    model: ModelProto, names: Sequence[str], tokenizer: bytes, texts: Sequence[str]
) -> dict[str, tuple[NDArray[np.float32], NDArray[np.float32]]]:
    """The lowest and the highest number of each value, a text at a time: both (texts,)."""
    watched = ModelProto()
    watched.CopyFrom(model)
    del watched.graph.output[:]
    watched.graph.output.extend(helper.make_empty_tensor_value_info(name) for name in names)
    session = open_session(watched.SerializeToString())
    some = list(texts[:: max(len(texts) // TEXTS, 1)])[:TEXTS]
    tokens = Tokenizer.from_buffer(tokenizer).encode_batch_fast(some)
    values = [session.run(names, pad([found.ids])) for found in tokens]
    low = np.array([[value.min() for value in row] for row in values], np.float32)
    high = np.array([[value.max() for value in row] for row in values], np.float32)
    return {name: (low[:, at], high[:, at]) for at, name in enumerate(names)}


def _line(
    low: NDArray[np.float32], high: NDArray[np.float32], clipped: float
) -> tuple[NDArray[np.float32], NDArray[np.uint8]]:
    """Scale and zero point by which numbers become bytes, zero exactly."""
    lowest = min(float(np.quantile(low, clipped)), 0.0)
    highest = max(float(np.quantile(high, 1 - clipped)), 0.0)
    scale = max(highest - lowest, 1e-6) / 255
    return np.array(scale, np.float32), np.array(round(-lowest / scale), np.uint8)


def _columns(
    matrix: NDArray[np.float32], bits: int
) -> tuple[NDArray[np.int8], NDArray[np.float32]]:
    """A matrix in integers, and the step of each column."""
    top = 2 ** (bits - 1) - 1
    steps = np.maximum(np.abs(matrix).max(axis=0), 1e-12) / top
    return np.rint(matrix / steps).astype(np.int8), steps.astype(np.float32)
