"""From a model that is ready to a bundle: its graph, its answers, and all that is told of it."""

import hashlib
import io
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace

import numpy as np
from numpy.typing import NDArray

from trending_shared.clock import Clock
from trending_shared.datasets import DatasetManifest
from trending_shared.errors import Rejected
from trending_shared.evaluation import Answers, Evaluation, decide, evaluate, macro_f1
from trending_shared.features import measure_cost
from trending_shared.genres import GENRES
from trending_shared.onnx_models import OnnxModel
from trending_shared.registry import TOKENIZER, Manifest, hash_file, model_version
from trending_trainer.cards import Parity, write_card
from trending_trainer.exporting import assemble
from trending_trainer.quantising import quantise
from trending_trainer.reference import build_reference
from trending_trainer.runs import Request
from trending_trainer.studies import Best
from trending_trainer.supervising import MODEL
from trending_trainer.training import Fitted, Ready
from trending_trainer.training_set import Split, TrainingSet
from trending_trainer.words import learnable

_TIMED = 200  # texts whose processor time is measured


class AnswersUnusable(Rejected):
    """A fitted model gives answers that are no probabilities; no manifest could hold its scores."""


@dataclass(frozen=True, slots=True)
class Ancestry:
    """What all models of a run have in common.

    Args:
        baselines: macro-F1 of what needs no learning, by name.
        left_out: titles that may not be learned from, by licence.
        tuned: the studies whose best parameters were taken, by family.
    """

    request: Request
    dataset: DatasetManifest
    titles: TrainingSet
    split: Split
    recipe: str
    baselines: Mapping[str, float]
    left_out: Mapping[str, int]
    tuned: Mapping[str, Best]
    code_version: str


@dataclass(frozen=True, slots=True)
class Made:
    """A bundle, and what the gate and the choice among several need to know of it."""

    graph: bytes
    files: Mapping[str, bytes]
    manifest: Manifest
    evaluation: Evaluation
    test: TrainingSet
    """The titles that it is measured on, and the exported graph's answers to them."""
    answers: Answers
    parity: Parity
    studied: Sequence[Best]
    """The studies whose best parameters it has."""

    @property
    def latency(self) -> float:
        """Seconds of one processor for a text, in the middle of many."""
        return float(self.manifest.metrics["latency_seconds"])

    @property
    def validation_f1(self) -> float:
        """Macro-F1 on titles outside the test split, each judged by a model that didn't see it."""
        return float(self.manifest.metrics["validation_f1"])


def make_bundle(ready: Ready, of: Ancestry, clock: Clock) -> Made:
    """Export a model, have the graph answer the test split, and tell all that is known of it.

    Raises:
        AnswersUnusable: the trained model answers with no number.
    """
    unseen = of.titles.unseen
    graph = assemble(
        [(fitted.part, weights) for fitted, weights in ready.parts],
        ready.calibration,
        name=ready.family,
    )
    tokenizer = next((one.tokenizer for one, _ in ready.parts if one.tokenizer), None)
    exported = OnnxModel.load(graph, GENRES, tokenizer)
    texts = list(unseen.texts)
    native, probabilities = ready.probabilities(), exported.predict(texts)
    if not np.isfinite(native).all():
        raise AnswersUnusable(f"{ready.family} answered some of {len(texts)} with no number")
    changed = decide(native, ready.thresholds) != decide(probabilities, ready.thresholds)
    parity = Parity(
        max_difference=float(np.abs(native - probabilities).max(initial=0.0)),
        rows=len(texts),
        label_changes=int(changed.sum()),
    )
    answers = Answers(unseen.labels, probabilities, ready.thresholds)
    evaluation = evaluate(answers, unseen.slices)
    latency = measure_cost(lambda text: exported.predict([text]), texts[:_TIMED])
    studied = [of.tuned[one.family] for one, _ in ready.parts if one.family in of.tuned]
    wanted = learnable(of.titles.seen.labels)
    untrained = tuple(genre for genre, can in zip(GENRES, wanted, strict=True) if not can)
    trained_on, leaks = len(of.titles.seen), int(of.titles.leaks.sum())
    files = {"answers.npz": _keep_answers(unseen, probabilities)}
    if tokenizer:
        files[TOKENIZER] = tokenizer
    manifest = Manifest(
        name=MODEL,
        version=model_version(graph, ready.thresholds, tokenizer),
        algorithm=ready.family,
        labels=GENRES,
        thresholds=ready.thresholds,
        recipe=of.recipe,
        dataset_id=of.dataset.dataset_id,
        dataset_manifest=of.dataset.key,
        metrics={
            **evaluation.model_dump(mode="json"),
            "split": of.split,
            "baselines": dict(of.baselines),
            "validation_f1": macro_f1(ready.validation(of.titles)),
            "trained_on": trained_on,
            "leaks": leaks,
            "untrained": list(untrained),
            "unrecorded": of.titles.unrecorded(),
            "left_out": dict(of.left_out),
            "weights": dict(ready.weights),
            "tuned": {one.family: one.told for one in studied},
            "latency_seconds": latency,
            "fit_seconds": sum(one.seconds for one, _ in ready.parts),
            "peak_bytes": max(one.peak_bytes for one, _ in ready.parts),
        },
        params={one.family: one.params for one, _ in ready.parts},
        reference=build_reference(texts, probabilities, GENRES),
        parity=asdict(parity),
        created_at=clock.now(),
        code_version=of.code_version,
        training_id=str(of.request.run_id),
        card=write_card(
            algorithm=ready.family,
            dataset=of.dataset,
            recipe=of.recipe,
            trained_on=trained_on,
            leaks=leaks,
            left_out=of.left_out,
            untrained=untrained,
            unrecorded=of.titles.unrecorded(),
            thresholds=ready.thresholds,
            evaluation=evaluation,
            baselines=of.baselines,
            parity=parity,
            latency=latency,
            code_version=of.code_version,
            training_id=str(of.request.run_id),
        ),
        onnx_sha256=hashlib.sha256(graph).hexdigest(),
        onnx_bytes=len(graph),
        files={name: hash_file(content) for name, content in files.items()},
    )
    return Made(graph, files, manifest, evaluation, unseen, answers, parity, studied)


def in_eight_bits(ready: Ready, titles: TrainingSet) -> Ready:
    """A model with a fine-tuned network, in eight bits: several times as fast, and smaller.

    It has the calibration, thresholds and out-of-fold answers of the one that it was made of, which
    therefore is before it when the best is chosen; a person may promote it.

    Args:
        titles: those outside the test split lead to the network's scales; see `quantising`.
    """

    def smaller(fitted: Fitted) -> Fitted:
        if fitted.family != "bert" or fitted.tokenizer is None:
            return fitted
        texts = list(titles.seen.texts)
        return replace(fitted, part=quantise(fitted.part, fitted.tokenizer, texts))

    parts = tuple((smaller(fitted), weights) for fitted, weights in ready.parts)
    return replace(ready, family=f"{ready.family}-int8", parts=parts)


def _keep_answers(test: TrainingSet, probabilities: NDArray[np.float32]) -> bytes:
    """What a model answered of its test split, for comparisons later: NumPy's npz, no pickles."""
    buffer = io.BytesIO()
    np.savez_compressed(
        buffer,
        allow_pickle=False,
        title_ids=test.title_ids.astype(str),
        labels=test.labels,
        probabilities=probabilities,
        **{f"slice {name}": values.astype(str) for name, values in test.slices.items()},
    )
    return buffer.getvalue()
