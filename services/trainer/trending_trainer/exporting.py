"""From fitted models to one ONNX graph that goes all the way from text to probabilities. Pure.

Each model becomes a part: a graph of its own from what it reads to log-odds. skl2onnx writes the
half of a part that reads words; the half that answers is written here. For the linear family that
is one matrix for all genres. For the boosted family it is one ensemble of all genres' trees, read
from XGBoost's own JSON: XGBoost takes the zeros of a sparse matrix for missing values while a graph
sees numbers, so the zeros become NaN in front of the trees.

`assemble` joins parts, weighs them, and calibrates what they say.
"""

import json
import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from onnx import ModelProto, NodeProto, TensorProto, checker, compose, helper, numpy_helper
from scipy.special import logit
from skl2onnx import convert_sklearn
from skl2onnx.common.data_types import StringTensorType
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.pipeline import FeatureUnion
from xgboost import XGBClassifier

from trending_shared.genres import GENRES
from trending_shared.onnx_models import IDS, INPUT, MASK, OUTPUT
from trending_trainer.words import UNTRAINED, LinearModel, TreeModel

OPSETS = {"": 23, "ai.onnx.ml": 3, "com.microsoft": 1}
IR_VERSION = 11
LOG_ODDS = "log_odds"
_WRITES = {"": 18, "ai.onnx.ml": 3, "com.microsoft": 1}  # the newest that skl2onnx knows


@dataclass(frozen=True, slots=True)
class Calibration:
    """What makes log-odds mean what they say: `slopes * log_odds + offsets`, both (16,)."""

    slopes: NDArray[np.float32]
    offsets: NDArray[np.float32]

    def __call__(self, log_odds: NDArray[np.floating]) -> NDArray[np.float32]:
        """Calibrated probabilities of log-odds, both (n, 16)."""
        calibrated = log_odds.astype(np.float32) * self.slopes + self.offsets
        return np.asarray(1 / (1 + np.exp(-calibrated)), np.float32)


def export_linear(model: LinearModel) -> bytes:
    """Strings `text` (n, 1) to `log_odds` (n, 16); texts must be composed by a recipe."""
    return _export(
        model.features,
        lambda columns: [helper.make_node("Gemm", [columns, "weights", "offsets"], [LOG_ODDS])],
        {"weights": model.weights, "offsets": model.offsets},
    )


def export_trees(model: TreeModel) -> bytes:
    """As `export_linear`; all genres' trees are one ensemble whose targets are the genres."""
    attributes: dict[str, list[Any]] = {name: [] for name in _TREE_ATTRIBUTES}
    offsets = np.full(len(GENRES), UNTRAINED, np.float32)
    trees = 0
    for index, booster in enumerate(model.boosters):
        if booster is None:
            continue
        offset, grown = _read_trees(booster)
        offsets[index] = offset
        for tree in grown:
            _add_tree(attributes, tree, number=trees, target=index)
            trees += 1

    def answer(columns: str) -> list[NodeProto]:
        return [
            helper.make_node("Equal", [columns, "zero"], ["is_zero"]),
            helper.make_node("Where", ["is_zero", "missing", columns], ["counts"]),
            helper.make_node(
                "TreeEnsembleRegressor",
                ["counts"],
                ["votes"],
                domain="ai.onnx.ml",
                n_targets=len(GENRES),
                aggregate_function="SUM",
                post_transform="NONE",
                **attributes,  # type: ignore[arg-type]  # the stub knows no attributes that are lists
            ),
            # The ensemble's own base_values are dropped for targets without a tree (onnxruntime
            # 1.32).
            helper.make_node("Add", ["votes", "offsets"], [LOG_ODDS]),
        ]

    zero, missing = np.zeros(1, np.float32), np.full(1, np.nan, np.float32)
    constants = {"zero": zero, "missing": missing, "offsets": offsets}
    return _export(model.features, answer, constants)


def assemble(
    parts: Sequence[tuple[bytes, NDArray[np.float32]]], calibration: Calibration, *, name: str
) -> bytes:
    """One graph of several parts: what they read to `probabilities` (n, 16).

    Args:
        parts: each with its weights by genre, (16,); `log_odds` are weighed and added.
    """
    nodes: list[NodeProto] = []
    constants = {
        "calibration.slopes": calibration.slopes.astype(np.float32),
        "calibration.offsets": calibration.offsets.astype(np.float32),
    }
    initializers = [numpy_helper.from_array(array, key) for key, array in constants.items()]
    reads: dict[str, Any] = {}
    weighed = []
    for number, (content, weights) in enumerate(parts):
        prefix = f"part{number}."
        part = compose.add_prefix(
            ModelProto.FromString(content), prefix, rename_inputs=False, rename_outputs=True
        )
        nodes.extend(part.graph.node)
        initializers.extend(part.graph.initializer)
        reads |= {entry.name: entry for entry in part.graph.input}
        initializers.append(numpy_helper.from_array(weights, f"weights{number}"))
        weighed.append(f"weighed{number}")
        said = part.graph.output[0].name
        nodes.append(helper.make_node("Mul", [said, f"weights{number}"], [weighed[-1]]))
    nodes += [
        helper.make_node("Sum", weighed, ["together"]),
        helper.make_node("Mul", ["together", "calibration.slopes"], ["scaled"]),
        helper.make_node("Add", ["scaled", "calibration.offsets"], ["calibrated"]),
        helper.make_node("Sigmoid", ["calibrated"], [OUTPUT]),
    ]
    inputs = [reads[name] for name in (INPUT, IDS, MASK) if name in reads]
    output = helper.make_tensor_value_info(OUTPUT, TensorProto.FLOAT, [None, len(GENRES)])
    return _model(helper.make_graph(nodes, name, inputs, [output], initializers))


def as_part(encoder: ModelProto) -> bytes:
    """A graph from `ids` and `mask` to (n, 16) as a part."""
    (output,) = encoder.graph.output
    encoder.graph.node.append(helper.make_node("Identity", [output.name], [LOG_ODDS]))
    output.name = LOG_ODDS
    return _model(encoder.graph)


def _model(graph: Any) -> bytes:
    opsets = [helper.make_opsetid(*pair) for pair in OPSETS.items()]
    proto = helper.make_model(graph, opset_imports=opsets, ir_version=IR_VERSION)
    checker.check_model(proto)
    return bytes(proto.SerializeToString(deterministic=True))


def _export(features: FeatureUnion, answer: Any, constants: dict[str, NDArray[Any]]) -> bytes:
    with warnings.catch_warnings():
        # It doubts all but words; that pieces of words are the same is tested.
        warnings.filterwarnings("ignore", message="The conversion of CountVectorizer may not work")
        proto: ModelProto = convert_sklearn(
            features,
            initial_types=[(INPUT, StringTensorType([None, 1]))],
            target_opset=_WRITES,
            # Nothing is lower-cased in the graph today; if ever it is, C.UTF-8 exists everywhere.
            options={TfidfVectorizer: {"locale": "C.UTF-8"}},
        )
    graph = proto.graph
    (columns,) = graph.output
    graph.node.extend(answer(columns.name))
    graph.initializer.extend(
        numpy_helper.from_array(array, name) for name, array in constants.items()
    )
    del graph.output[:]
    graph.output.append(
        helper.make_tensor_value_info(LOG_ODDS, TensorProto.FLOAT, [None, len(GENRES)])
    )
    graph.name = "words"
    return _model(graph)


_TREE_ATTRIBUTES = (
    *("nodes_treeids", "nodes_nodeids", "nodes_featureids", "nodes_modes", "nodes_values"),
    *("nodes_truenodeids", "nodes_falsenodeids", "nodes_missing_value_tracks_true"),
    *("target_treeids", "target_nodeids", "target_ids", "target_weights"),
)


def _read_trees(booster: XGBClassifier) -> tuple[float, list[dict[str, list[Any]]]]:
    """The log-odds that a booster starts from, and its trees as arrays over their nodes."""
    learner = json.loads(booster.get_booster().save_raw("json"))["learner"]
    base = float(learner["learner_model_param"]["base_score"].strip("[]"))
    return float(logit(base)), learner["gradient_booster"]["model"]["trees"]


def _add_tree(
    attributes: dict[str, list[Any]], tree: dict[str, list[Any]], *, number: int, target: int
) -> None:
    """Append a tree; its leaves keep their values where other nodes keep their conditions."""
    for node, (left, right, column, value, default_left) in enumerate(
        zip(
            tree["left_children"],
            tree["right_children"],
            tree["split_indices"],
            tree["split_conditions"],
            tree["default_left"],
            strict=True,
        )
    ):
        leaf = left == -1
        entry = (
            *(number, node, 0 if leaf else column, "LEAF" if leaf else "BRANCH_LT"),
            *(0.0 if leaf else value, 0 if leaf else left, 0 if leaf else right),
            int(bool(default_left) and not leaf),
        )
        for name, item in zip(_TREE_ATTRIBUTES, entry, strict=False):
            attributes[name].append(item)
        if leaf:
            for name, item in zip(_TREE_ATTRIBUTES[8:], (number, node, target, value), strict=True):
                attributes[name].append(item)
