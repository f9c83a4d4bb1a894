"""From a fitted model to one ONNX graph that goes all the way from text to probabilities. Pure.

skl2onnx writes the half that reads text; the half that answers is written here. For the linear
family that is one matrix for all genres. For the boosted family it is one ensemble of all genres'
trees, read from XGBoost's own JSON: XGBoost takes the zeros of a sparse matrix for missing values
while a graph sees numbers, so the zeros become NaN in front of the trees.
"""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from onnx import ModelProto, NodeProto, TensorProto, checker, helper, numpy_helper
from scipy.special import logit
from skl2onnx import convert_sklearn
from skl2onnx.common.data_types import StringTensorType
from sklearn.feature_extraction.text import TfidfVectorizer
from xgboost import XGBClassifier

from trending_shared.errors import Rejected
from trending_shared.genres import GENRES
from trending_shared.onnx_models import INPUT, OUTPUT, OnnxModel
from trending_trainer.training import UNTRAINED_PROBABILITY, GenreModel, decide

OPSETS = {"": 18, "ai.onnx.ml": 3, "com.microsoft": 1}
IR_VERSION = 9
_BATCH = 64


class AnswersUnusable(Rejected):
    """A fitted model gives answers that are no probabilities; no manifest could hold its scores."""


@dataclass(frozen=True, slots=True)
class Parity:
    """How far an export is from the model it was made of."""

    max_difference: float
    """Of any probability, within 0 and 1."""
    rows: int
    """Texts compared."""
    label_changes: int
    """Answers, genre by genre, that differ at the thresholds."""


def export(model: GenreModel) -> bytes:
    """The model as a graph: strings `text` (n, 1) to float32 `probabilities` (n, 16).

    Texts must be composed or normalised by `trending_shared.features`.
    """
    proto: ModelProto = convert_sklearn(
        model.features,
        initial_types=[(INPUT, StringTensorType([None, 1]))],
        target_opset=OPSETS,
        # Nothing is lower-cased in the graph today; if ever it is, C.UTF-8 exists on bare images.
        options={TfidfVectorizer: {"locale": "C.UTF-8"}},
    )
    graph = proto.graph
    (columns,) = graph.output
    nodes, constants = (
        _linear(model, columns.name)
        if model.family == "tfidf-logreg"
        else _trees(model, columns.name)
    )
    graph.node.extend(nodes)
    graph.initializer.extend(
        numpy_helper.from_array(array, name) for name, array in constants.items()
    )
    del graph.output[:]
    graph.output.append(
        helper.make_tensor_value_info(OUTPUT, TensorProto.FLOAT, [None, len(GENRES)])
    )
    graph.name = model.family
    proto.ir_version = IR_VERSION
    del proto.opset_import[:]
    proto.opset_import.extend(helper.make_opsetid(*pair) for pair in OPSETS.items())
    checker.check_model(proto)
    return bytes(proto.SerializeToString(deterministic=True))


def parity(model: GenreModel, graph: OnnxModel, texts: Sequence[str]) -> Parity:
    """Let both answer the same texts.

    Raises:
        AnswersUnusable: an answer of the model is no probability.
        ModelUnusable: the same of its graph.
    """
    native, exported = model.probabilities(texts), predict_all(graph, texts)
    if not np.isfinite(native).all():
        raise AnswersUnusable(f"{model.family} answered some of {len(texts)} texts with no number")
    changed = decide(native, model.thresholds) != decide(exported, model.thresholds)
    return Parity(
        max_difference=float(np.abs(native - exported).max(initial=0.0)),
        rows=len(texts),
        label_changes=int(changed.sum()),
    )


def predict_all(graph: OnnxModel, texts: Sequence[str]) -> NDArray[np.float32]:
    """What a graph says of any number of texts, a batch at a time: float32 (len(texts), 16).

    Inside the graph a text is a dense row of tens of thousands of numbers: all texts of a test
    split at once would take a gigabyte.
    """
    starts = range(0, len(texts), _BATCH)
    batches = [graph.predict(list(texts[start : start + _BATCH])) for start in starts]
    return np.concatenate(batches) if batches else graph.predict([])


_Part = tuple[list[NodeProto], dict[str, NDArray[Any]]]


def _linear(model: GenreModel, columns: str) -> _Part:
    """One column of weights a genre; an untrained one has none, and its constant log-odds."""
    width = next(one.coef_.shape[1] for one in model.classifiers if one is not None)
    weights = np.zeros((width, len(GENRES)), np.float32)
    offsets = np.full(len(GENRES), logit(UNTRAINED_PROBABILITY), np.float32)
    for index, classifier in enumerate(model.classifiers):
        if classifier is not None:
            weights[:, index] = classifier.coef_[0]
            offsets[index] = classifier.intercept_[0]
    nodes = [
        helper.make_node("Gemm", [columns, "weights", "offsets"], ["log_odds"]),
        helper.make_node("Sigmoid", ["log_odds"], [OUTPUT]),
    ]
    return nodes, {"weights": weights, "offsets": offsets}


def _trees(model: GenreModel, columns: str) -> _Part:
    """All genres' trees as one ensemble whose targets are the genres' log-odds."""
    attributes: dict[str, list[Any]] = {name: [] for name in _TREE_ATTRIBUTES}
    offsets = np.full(len(GENRES), logit(UNTRAINED_PROBABILITY), np.float32)
    trees = 0
    for index, classifier in enumerate(model.classifiers):
        if classifier is None:
            continue
        offset, grown = _read_trees(classifier)
        offsets[index] = offset
        for tree in grown:
            _add_tree(attributes, tree, number=trees, target=index)
            trees += 1
    nodes = [
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
        # The ensemble's own base_values are dropped for targets without a tree (onnxruntime 1.32).
        helper.make_node("Add", ["votes", "offsets"], ["log_odds"]),
        helper.make_node("Sigmoid", ["log_odds"], [OUTPUT]),
    ]
    zero, missing = np.zeros(1, np.float32), np.full(1, np.nan, np.float32)
    return nodes, {"zero": zero, "missing": missing, "offsets": offsets}


_TREE_ATTRIBUTES = (
    *("nodes_treeids", "nodes_nodeids", "nodes_featureids", "nodes_modes", "nodes_values"),
    *("nodes_truenodeids", "nodes_falsenodeids", "nodes_missing_value_tracks_true"),
    *("target_treeids", "target_nodeids", "target_ids", "target_weights"),
)


def _read_trees(classifier: XGBClassifier) -> tuple[float, list[dict[str, list[Any]]]]:
    """The log-odds that a booster starts from, and its trees as arrays over their nodes."""
    learner = json.loads(classifier.get_booster().save_raw("json"))["learner"]
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
