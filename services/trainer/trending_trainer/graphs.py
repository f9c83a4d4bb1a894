"""What makes a fine-tuned network faster, and at what price: `python -m trending_trainer.graphs`.

Takes the newest bundle of the family `bert` that `comparing` has left in a folder, and has its
network written in other ways: in eight bits by several methods, rewritten by onnxruntime's
optimiser, cutting texts shorter, with fewer layers, with other settings of the session. All answer
the bundle's test titles with its calibration and thresholds, a few titles at a time in turn, so
whatever else the machine does slows all of them down alike. Times are processor time.

A graph is as good if its macro-F1 differs by at most `MARGIN` and the difference may be chance (the
paired bootstrap), and steady if no text's answer depends on its batch. The fastest that is both is
named, and whether it takes at most half of what the former eight-bit graph takes. A student isn't:
it is another model, and would have to be judged as one. Needs the extra `bert`.
"""

import argparse
import json
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, redirect_stdout
from dataclasses import asdict, dataclass, field
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import onnx
import onnxruntime as ort
from numpy.typing import NDArray
from onnx import numpy_helper
from onnxruntime.quantization import (
    CalibrationDataReader,
    CalibrationMethod,
    QuantFormat,
    QuantType,
    quantize_dynamic,
    quantize_static,
)
from onnxruntime.quantization.matmul_nbits_quantizer import (
    DefaultWeightOnlyQuantConfig,
    MatMulNBitsQuantizer,
)
from onnxruntime.transformers.optimizer import optimize_model
from tokenizers import Tokenizer

from trending_shared.datasets import read_dataset
from trending_shared.errors import ModelNotFound, TrendingError
from trending_shared.evaluation import Answers, compare_macro_f1, decide, evaluate
from trending_shared.genres import GENRES
from trending_shared.logs import configure_logs
from trending_shared.onnx_models import OUTPUT, OnnxModel, open_session, pad, session_options
from trending_shared.registry import ModelRegistry
from trending_shared.settings import read_settings
from trending_shared.storage import ObjectStore
from trending_trainer.exporting import Calibration, assemble
from trending_trainer.fitting import find_dataset, terms_of
from trending_trainer.quantising import TEXTS, quantise
from trending_trainer.settings import TrainerSettings
from trending_trainer.supervising import MODEL
from trending_trainer.training_set import TrainingSet

MARGIN = 0.01
"""Macro-F1 that a graph may differ by and still be as good."""
STEADY = 1e-5
"""How far a probability may depend on the texts beside it."""
FORMER = "weights in 8 bits by blocks of 32"
"""How graphs in eight bits were made before; the fastest has to be twice as fast."""
_BLOCK = 32
_ASIDE = 4  # every so many blocks are also asked together


@dataclass(frozen=True, slots=True)
class Bundle:
    """A fine-tuned network, the titles that it has learned from and those it is judged by."""

    graph: bytes
    tokenizer: bytes
    thresholds: dict[str, float]
    params: dict[str, Any]
    titles: TrainingSet

    @classmethod
    def newest(cls, settings: TrainerSettings, folder: Path) -> "Bundle":
        """Raises ModelNotFound if there is no bundle of `bert`, StoreUnavailable as always."""
        store = ObjectStore.at(folder.absolute().as_uri())
        registry = ModelRegistry(store)
        found = [one for one in registry.versions(MODEL) if one.algorithm == "bert"]
        if not found:
            raise ModelNotFound(f"{folder} holds no bundle of the family bert")
        manifest = max(found, key=lambda one: one.created_at)
        dataset = find_dataset(store, manifest.dataset_id)
        rows, _ = terms_of(settings).permitted(read_dataset(store, dataset))
        return cls(
            registry.onnx(manifest),
            registry.tokenizer(manifest) or b"",
            manifest.thresholds,
            manifest.params["bert"],
            TrainingSet.of(rows, split=manifest.metrics["split"], recipe=manifest.recipe),
        )


@dataclass(slots=True)
class Variant:
    """One way to write the network, and what it did."""

    name: str
    graph: bytes
    tokenizer: bytes
    options: ort.SessionOptions = field(default_factory=session_options)
    taught: bool = False
    """Whether it is another network than the bundle's, and not only written in another way."""
    alone: list[float] = field(default_factory=list)
    together: list[float] = field(default_factory=list)
    """Milliseconds a text by block: asked one at a time, and eight of similar length."""
    said: list[NDArray[np.float32]] = field(default_factory=list)
    batch_difference: float = 0.0

    def open(self) -> Callable[[Sequence[str], bool], None]:
        """What has a block of texts answered, and on request together too."""
        session = open_session(self.graph, self.options)
        tokenizer = Tokenizer.from_buffer(self.tokenizer)
        tokenizer.no_padding()
        model = OnnxModel(session, GENRES, rank=0, tokenizer=tokenizer)
        model.predict(["a film"])

        def answer(texts: Sequence[str], also_together: bool) -> None:
            started = time.process_time()
            said = np.concatenate([model.predict([text]) for text in texts])
            self.alone.append((time.process_time() - started) / len(texts) * 1000)
            self.said.append(said)
            if also_together:
                started = time.process_time()
                model.predict(texts)
                self.together.append((time.process_time() - started) / len(texts) * 1000)
                tokens = [found.ids for found in tokenizer.encode_batch_fast(list(texts))]
                (mixed,) = session.run([OUTPUT], pad(tokens))
                worst = float(np.abs(mixed - said).max())
                self.batch_difference = max(self.batch_difference, worst)

        return answer


@dataclass(frozen=True, slots=True)
class Row:
    """What came of a variant. Differences are to the network as it was exported."""

    name: str
    alone_ms: float
    together_ms: float
    texts_per_second: float
    megabytes: float
    macro_f1: float
    macro_f1_low: float
    macro_f1_high: float
    difference: float
    difference_low: float
    difference_high: float
    changed_answers: int
    changed_titles: float
    """The share of titles of which an answer changed."""
    batch_difference: float
    """Of a probability, alone and among 32 texts of any length."""
    cut: float
    """The share of texts that are longer than what is read of them."""
    taught: bool
    """See `Variant`."""

    @property
    def as_good(self) -> bool:
        return abs(self.difference) <= MARGIN and (
            self.difference_low <= 0 <= self.difference_high or self.difference > 0
        )

    @property
    def steady(self) -> bool:
        return self.batch_difference <= STEADY


def variants(bundle: Bundle, students: Sequence[int]) -> Iterator[Variant]:
    """All ways, the exported network first.

    Args:
        students: numbers of layers for which a student is taught; it takes minutes each.
    """
    graph, tokenizer = bundle.graph, bundle.tokenizer
    texts = list(bundle.titles.seen.texts)
    ours = quantise(graph, tokenizer, texts)
    yield Variant("fp32, as exported", graph, tokenizer)
    yield Variant("fp32, optimised for transformers", _optimised(graph), tokenizer)
    yield Variant(FORMER, by_blocks(graph), tokenizer)
    for per_channel in (False, True):
        name = f"dynamic, a scale a {'column' if per_channel else 'matrix'}"
        yield Variant(name, _dynamic(graph, per_channel=per_channel), tokenizer)
    for method in CalibrationMethod.MinMax, CalibrationMethod.Percentile, CalibrationMethod.Entropy:
        name = f"static, onnxruntime's, {method.name}"
        yield Variant(name, _static(graph, tokenizer, texts, method), tokenizer)
    yield Variant("static, ours", ours, tokenizer)
    yield Variant(
        "static, ours, 8 bits a weight", quantise(graph, tokenizer, texts, bits=8), tokenizer
    )
    yield Variant(
        "static, ours, a hundredth clipped",
        quantise(graph, tokenizer, texts, clipped=0.01),
        tokenizer,
    )
    spared = quantise(graph, tokenizer, texts, spared=r"layer\.\d+\.output\.dense")
    yield Variant("static, ours, not the layers' last products", spared, tokenizer)
    for tokens in 64, 48, 40, 32:
        yield Variant(f"static, ours, {tokens} tokens", ours, _cut(tokenizer, tokens))
    for name, options in _sessions():
        yield Variant(f"static, ours, {name}", ours, tokenizer, options)
    for layers in students:
        student = _student(bundle, layers)
        yield Variant(f"{layers} layers, fp32", student, tokenizer, taught=True)
        small = quantise(student, tokenizer, texts)
        yield Variant(f"{layers} layers, static, ours", small, tokenizer, taught=True)


def measure(
    bundle: Bundle, found: Sequence[Variant], *, tell: Callable[[int, int], None]
) -> list[Row]:
    """Have all variants answer the test titles, in turn; the first is what others differ from.

    Args:
        tell: called with titles answered, and how many there are.
    """
    titles = bundle.titles.unseen
    texts = list(titles.texts)
    ready = [one.open() for one in found]
    for number, start in enumerate(range(0, len(texts), _BLOCK)):
        for answer in ready:
            answer(texts[start : start + _BLOCK], number % _ASIDE == 0)
        tell(min(start + _BLOCK, len(texts)), len(texts))
    rows: list[Row] = []
    reference = Answers(titles.labels, np.concatenate(found[0].said), bundle.thresholds)
    given = decide(reference.probabilities, bundle.thresholds)
    lengths = np.array([len(one.ids) for one in _encoded(bundle.tokenizer, texts)])
    for one in found:
        answers = Answers(titles.labels, np.concatenate(one.said), bundle.thresholds)
        scores = evaluate(answers, {})
        difference = compare_macro_f1(answers, reference)
        changed = decide(answers.probabilities, bundle.thresholds) != given
        read = np.array([len(found.ids) for found in _encoded(one.tokenizer, texts)])
        rows.append(
            Row(
                name=one.name,
                alone_ms=median(one.alone),
                together_ms=median(one.together),
                texts_per_second=1000 / median(one.alone),
                megabytes=len(one.graph) / 1e6,
                macro_f1=scores.macro_f1,
                macro_f1_low=scores.macro_f1_interval.low,
                macro_f1_high=scores.macro_f1_interval.high,
                difference=difference.value,
                difference_low=difference.interval.low,
                difference_high=difference.interval.high,
                changed_answers=int(changed.sum()),
                changed_titles=float(changed.any(axis=1).mean()),
                batch_difference=one.batch_difference,
                cut=float((read < lengths).mean()),
                taught=one.taught,
            )
        )
    return rows


def verdict(rows: Sequence[Row]) -> str:
    """Which one is taken, in a sentence."""
    former = next(row for row in rows if row.name == FORMER)
    fit = [row for row in rows if row.as_good and row.steady and not row.taught]
    best = min(fit, key=lambda row: row.alone_ms)
    times = former.alone_ms / best.alone_ms
    enough = "at least twice" if times >= 2 else "less than twice"
    return (
        f"the fastest that is as good and steady: {best.name}, {times:.1f} times as fast as "
        f"{FORMER}, which is {enough}"
    )


def as_table(rows: Sequence[Row]) -> str:
    heads = (
        "", "ms alone", "ms in 8s", "texts/s", "MB", "macro-F1", "95 %", "difference", "95 %",
        "changed", "titles", "by batch", "cut", "as good", "steady",
    )  # fmt: skip
    table = [
        heads,
        *(
            (
                row.name,
                f"{row.alone_ms:.2f}",
                f"{row.together_ms:.2f}",
                f"{row.texts_per_second:.0f}",
                f"{row.megabytes:.0f}",
                f"{row.macro_f1:.4f}",
                f"{row.macro_f1_low:.3f}-{row.macro_f1_high:.3f}",
                f"{row.difference:+.4f}",
                f"{row.difference_low:+.3f} {row.difference_high:+.3f}",
                f"{row.changed_answers}",
                f"{row.changed_titles:.1%}",
                f"{row.batch_difference:.0e}",
                f"{row.cut:.1%}",
                "yes" if row.as_good else "no",
                "yes" if row.steady else "no",
            )
            for row in rows
        ),
    ]
    widths = [max(len(row[at]) for row in table) for at in range(len(heads))]
    return "\n".join(
        "  ".join(
            cell.rjust(width) if at else cell.ljust(width)
            for at, (cell, width) in enumerate(zip(row, widths, strict=True))
        )
        for row in table
    )


def _products(graph: bytes) -> tuple[onnx.ModelProto, list[str]]:
    """A model, and the names of its products with a constant."""
    model = onnx.load_from_string(graph)
    constants = {one.name for one in model.graph.initializer}
    return model, [
        node.name
        for node in model.graph.node
        if node.op_type == "MatMul" and node.input[1] in constants
    ]


def by_blocks(graph: bytes) -> bytes:
    """A graph as `FORMER` says, which unpacks weights again for every product."""
    settings = DefaultWeightOnlyQuantConfig(
        block_size=32, is_symmetric=True, accuracy_level=4, bits=8
    )
    quantiser = MatMulNBitsQuantizer(onnx.load_from_string(graph), algo_config=settings)
    quantiser.process()
    return bytes(quantiser.model.model.SerializeToString())


def _dynamic(graph: bytes, *, per_channel: bool) -> bytes:
    model, products = _products(graph)
    with _file() as path:
        quantize_dynamic(
            model,
            path,
            per_channel=per_channel,
            nodes_to_quantize=products,
            extra_options={"MatMulConstBOnly": True},
        )
        return path.read_bytes()


def _static(
    graph: bytes, tokenizer: bytes, texts: Sequence[str], method: CalibrationMethod
) -> bytes:
    class Reader(CalibrationDataReader):  # type: ignore[misc]
        """Some texts, all of one length: the library can't lay histograms over others."""

        def __init__(self) -> None:
            some = texts[:: max(len(texts) // (TEXTS // 4), 1)]
            fed = pad([found.ids for found in _encoded(tokenizer, some)])
            self._feeds = (
                {name: values[row : row + 1] for name, values in fed.items()}
                for row in range(len(some))
            )

        def get_next(self) -> dict[str, NDArray[Any]] | None:
            return next(self._feeds, None)

    model, products = _products(graph)
    with _file() as path:
        quantize_static(
            model,
            path,
            Reader(),
            quant_format=QuantFormat.QDQ,
            nodes_to_quantize=products,
            per_channel=True,
            activation_type=QuantType.QUInt8,
            weight_type=QuantType.QInt8,
            calibrate_method=method,
            extra_options={
                "MatMulConstBOnly": True,
                "OpTypesToExcludeOutputQuantization": ["MatMul"],
            },
        )
        return path.read_bytes()


def _optimised(graph: bytes) -> bytes:
    with _file() as path:
        path.write_bytes(graph)
        return bytes(optimize_model(str(path), opt_level=0).model.SerializeToString())


@contextmanager
def _file() -> Iterator[Path]:
    with TemporaryDirectory() as folder:
        yield Path(folder) / "graph.onnx"


def _sessions() -> Iterator[tuple[str, ort.SessionOptions]]:
    levels = ort.GraphOptimizationLevel
    for name, level in (
        ("no fusions", levels.ORT_ENABLE_BASIC),
        ("no layouts", levels.ORT_ENABLE_EXTENDED),
    ):
        options = session_options()
        options.graph_optimization_level = level
        yield name, options
    options = session_options()
    options.add_session_config_entry("session.set_denormal_as_zero", "1")
    yield "denormals as zero", options
    options = session_options()
    options.enable_cpu_mem_arena = False
    yield "no arena", options


def _encoded(tokenizer: bytes, texts: Sequence[str]) -> list[Any]:
    read = Tokenizer.from_buffer(tokenizer)
    read.no_padding()
    return list(read.encode_batch_fast(list(texts)))


def _cut(tokenizer: bytes, tokens: int) -> bytes:
    cutting = Tokenizer.from_buffer(tokenizer)
    cutting.enable_truncation(tokens)
    return cutting.to_str().encode()


def _student(bundle: Bundle, layers: int) -> bytes:
    # Here, because torch takes seconds and gigabytes, and is the extra `bert`.
    from trending_trainer.bert import export_bert
    from trending_trainer.distilling import distil

    taught = distil(
        bundle.graph,
        bundle.tokenizer,
        bundle.titles.seen,
        bundle.params,
        layers=layers,
        tell=lambda epoch, loss: _tell(f"{layers} layers: epoch {epoch}, loss {loss:.3f}"),
    )
    part, _ = export_bert(taught)
    held = {
        one.name: numpy_helper.to_array(one)
        for one in onnx.load_from_string(bundle.graph).graph.initializer
    }
    calibration = Calibration(held["calibration.slopes"], held["calibration.offsets"])
    return assemble([(part, held["weights0"])], calibration, name=f"bert-{layers}")


def main(arguments: Sequence[str] | None = None) -> int:
    """The command; its status is 0, 1 for an error, 130 for Ctrl-C."""
    parser = argparse.ArgumentParser(
        prog="python -m trending_trainer.graphs",
        description="Write a fine-tuned network in other ways, and compare time and answers.",
    )
    parser.add_argument("folder", type=Path, help="where `comparing` has left bundles and dataset")
    parser.add_argument(
        "--students",
        type=lambda text: [int(part) for part in text.split(",") if part],
        default=[],
        metavar="N,N",
        help="also teach students of so many layers, which takes minutes each",
    )
    parser.add_argument("--json", action="store_true", help="print one JSON document instead")
    asked = parser.parse_args(arguments)
    try:
        bundle = Bundle.newest(read_settings(TrainerSettings), asked.folder)
        found = []
        with redirect_stdout(sys.stderr):  # libraries print
            for one in variants(bundle, asked.students):
                _tell(f"made: {one.name}")
                found.append(one)
        rows = measure(bundle, found, tell=lambda done, of: _tell(f"{done} of {of} titles"))
    except TrendingError as error:
        _tell(f"error: {error}")
        return 1
    except KeyboardInterrupt:
        _tell("stopped")
        return 130
    if asked.json:
        told = [asdict(row) | {"as_good": row.as_good, "steady": row.steady} for row in rows]
        sys.stdout.write(f"{json.dumps({'rows': told, 'verdict': verdict(rows)})}\n")
    else:
        sys.stdout.write(f"{as_table(rows)}\n{verdict(rows)}\n")
    return 0


def _tell(line: str) -> None:
    sys.stderr.write(f"{line}\n")


if __name__ == "__main__":
    configure_logs(service="graphs", level="WARNING")  # libraries tell of every node
    sys.exit(main())
