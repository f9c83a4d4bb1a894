"""Tiny models: whole ONNX graphs from text to probabilities, whose answers a test can foresee."""

import hashlib
import io
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

import numpy as np
from onnx import TensorProto, helper

from trending_shared.evaluation import Answers
from trending_shared.features import RECIPE
from trending_shared.kept_answers import ANSWERS
from trending_shared.onnx_models import INPUT, OUTPUT
from trending_shared.registry import (
    CARD_HEADINGS,
    Histogram,
    Manifest,
    ModelRegistry,
    hash_file,
    model_version,
)

GENRES = {"Comedy": "laugh", "Crime": "heist", "Horror": "ghost"}
_FLOAT, _STRING = TensorProto.FLOAT, TensorProto.STRING


def a_graph(
    words: Mapping[str, str] = GENRES,
    *,
    likely: float = 0.9,
    unlikely: float = 0.1,
    input: str = INPUT,
    output: str = OUTPUT,
) -> bytes:
    """A graph in which a label is likely if the text contains its word.

    Args:
        words: the word of each label, a regular expression.
    """
    nodes = []
    for index, word in enumerate(words.values()):
        pattern = f"(?s).*{word}.*"
        names = [f"{step}{index}" for step in ("found", "one", "scaled", "column")]
        found, one, scaled, column = names
        nodes += [
            helper.make_node("RegexFullMatch", [input], [found], pattern=pattern),
            helper.make_node("Cast", [found], [one], to=_FLOAT),
            helper.make_node("Mul", [one, "span"], [scaled]),
            helper.make_node("Unsqueeze", [scaled, "axis"], [column]),
        ]
    columns = [f"column{index}" for index in range(len(words))]
    nodes += [
        helper.make_node("Concat", columns, ["joined"], axis=1),
        helper.make_node("Add", ["joined", "floor"], [output]),
    ]
    graph = helper.make_graph(
        nodes,
        "words",
        [helper.make_tensor_value_info(input, _STRING, ["n"])],
        [helper.make_tensor_value_info(output, _FLOAT, ["n", len(words)])],
        [
            helper.make_tensor("span", _FLOAT, [1], [likely - unlikely]),
            helper.make_tensor("floor", _FLOAT, [1], [unlikely]),
            helper.make_tensor("axis", TensorProto.INT64, [1], [1]),
        ],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)], ir_version=9)
    return bytes(model.SerializeToString())


def a_manifest(graph: bytes, **changes: Any) -> Manifest:
    """A complete manifest of a graph; thresholds of 0.5 for the labels of `GENRES`."""
    labels = tuple(changes.get("labels", GENRES))
    thresholds = changes.get("thresholds", dict.fromkeys(labels, 0.5))
    anything = Histogram(edges=(0.0, 1.0), shares=(1.0,))
    fields: dict[str, Any] = {
        "name": "genres",
        "version": model_version(graph, thresholds),
        "algorithm": "words",
        "labels": labels,
        "thresholds": thresholds,
        "recipe": RECIPE,
        "dataset_id": "0123456789abcdef",
        "dataset_manifest": "datasets/0123456789abcdef/manifest.json",
        "metrics": {
            "macro_f1": 0.5,
            "macro_f1_interval": {"low": 0.4, "high": 0.6},
            "calibration": {"ece": 0.01, "brier": 0.1, "bins": []},
            "genres": {},
            "slices": {},
        },
        "reference": {f"genre:{label}": anything for label in labels},
        "parity": {"max_difference": 0.0, "label_changes": 0, "rows": 100},
        "card": "".join(f"\n## {heading}\n\nSomething.\n" for heading in CARD_HEADINGS),
        "created_at": datetime(2026, 11, 1, 12, tzinfo=UTC),
        "code_version": "0.1.0",
        "training_id": "11111111-2222-3333-4444-555555555555",
        "onnx_sha256": hashlib.sha256(graph).hexdigest(),
        "onnx_bytes": len(graph),
    }
    return Manifest(**(fields | changes))


def promote(registry: ModelRegistry, graph: bytes, **changes: Any) -> Manifest:
    """Register a graph and point the champion at it."""
    manifest = registry.register(graph, a_manifest(graph, **changes))
    registry.move(
        manifest.name,
        manifest.version,
        expected=registry.pointer(manifest.name),
        reasons=("a test wants it",),
        moved_by="test",
        at=manifest.created_at,
    )
    return manifest


def with_answers(registry: ModelRegistry, answers: Answers, **changes: Any) -> Manifest:
    """Register a graph with what it answered of titles `0`, `1`, … that it didn't learn from."""
    kept = io.BytesIO()
    np.savez_compressed(
        kept,
        allow_pickle=False,
        title_ids=np.arange(len(answers)).astype(str),
        labels=answers.labels,
        probabilities=answers.probabilities,
    )
    files = {ANSWERS: kept.getvalue()}
    manifest = a_manifest(
        b"graph",
        labels=answers.genres,
        thresholds=dict(answers.thresholds),
        files={name: hash_file(content) for name, content in files.items()},
        **changes,
    )
    return registry.register(b"graph", manifest, files)
