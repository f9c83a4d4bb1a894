"""Texts a second through the gateway when a network answers, as a share of the network alone."""

import json
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass, field, replace
from statistics import median

import numpy as np

from benchmarks.inputs import training_set
from benchmarks.requests import WORKERS, Target
from benchmarks.results import Result
from benchmarks.rounds import ROUNDS, Bench
from trending_demo.catalogue import demo_catalogue
from trending_shared.encoder import SentenceEncoder
from trending_shared.features import normalise_text
from trending_shared.genres import GENRES
from trending_shared.onnx_models import OnnxModel
from trending_shared.registry import TOKENIZER, ModelRegistry, hash_file, model_version
from trending_shared.storage import ObjectStore
from trending_shared.testing.models import a_manifest
from trending_trainer.exporting import Calibration, assemble
from trending_trainer.graphs import FORMER, by_blocks
from trending_trainer.quantising import quantise
from trending_trainer.sentences import EMBEDDING, export_sentences, fit_sentences

CALLERS = 16
LEARNED = 100  # titles; how fast a network is doesn't depend on what it has learned


@dataclass
class Network:
    """A graph in service, and the same graph in threads of this process."""

    name: str
    target: Target
    alone: OnnxModel
    rates: list[float] = field(default_factory=list)
    cpu_ms: list[float] = field(default_factory=list)

    def ask_alone(self, texts: Sequence[str], seconds: float) -> None:
        """As many threads as the gateway has workers, each asking for one text at a time."""
        started, cpu = time.perf_counter(), time.process_time()

        def ask(thread: int) -> int:
            answered = 0
            while time.perf_counter() - started < seconds:
                self.alone.predict([texts[(answered * WORKERS + thread) % len(texts)]])
                answered += 1
            return answered

        with ThreadPoolExecutor(WORKERS) as pool:
            answered = sum(pool.map(ask, range(WORKERS)))
        self.rates.append(answered / (time.perf_counter() - started))
        self.cpu_ms.append((time.process_time() - cpu) / answered * 1000)


def measure_networks(bench: Bench, seconds: float) -> list[Result]:
    """MiniLM-L6 in eight bits as it was and as it is, 16 callers, no answer remembered."""
    bench.tell("network: making graphs")
    encoder = SentenceEncoder.load(bench.home / "encoder", threads=WORKERS)
    titles = training_set()
    few = titles.where(np.arange(len(titles)) < LEARNED)
    part, tokenizer = export_sentences(fit_sentences(few, EMBEDDING, encoder.encode))
    parts = {
        f"network, {FORMER}": by_blocks(part),
        "network, products of bytes": quantise(part, tokenizer, list(titles.texts)),
    }
    ones, zeros = np.ones(len(GENRES), np.float32), np.zeros(len(GENRES), np.float32)
    registry = ModelRegistry(ObjectStore.at((bench.home / "store").as_uri()))
    plots = [title.plot for title in demo_catalogue().titles]
    bodies = [json.dumps({"items": [{"text": plot}]}) for plot in plots]
    networks = []
    with ExitStack() as stack:
        for number, (name, small) in enumerate(parts.items()):
            graph = assemble([(small, ones)], Calibration(ones, zeros), name="network")
            _promote(registry, f"network-{number}", graph, tokenizer)
            bench.tell(f"{name}: starting a gateway")
            settings = {"workers": WORKERS, "model": f"network-{number}", "known_texts": 0}
            running = stack.enter_context(bench.service("inference", **settings))
            target = Target(running, bodies)
            target.wait_until_it_answers()
            target.go(CALLERS, 1.0)
            target.outcomes.clear()
            target.cpu_seconds.clear()
            networks.append(Network(name, target, OnnxModel.load(graph, GENRES, tokenizer)))
        for number in range(ROUNDS):
            bench.tell(f"network: round {number + 1} of {ROUNDS}, with callers: {CALLERS}")
            for one in networks:
                one.ask_alone([normalise_text(plot) for plot in plots], seconds)
                one.target.go(CALLERS, seconds)
    return [
        replace(
            one.target.result(one.name, CALLERS),
            references=(
                Result(
                    f"the graph alone, {WORKERS} threads",
                    "texts/s",
                    tuple(one.rates),
                    median(one.cpu_ms),
                ),
            ),
        )
        for one in networks
    ]


def _promote(registry: ModelRegistry, name: str, graph: bytes, tokenizer: bytes) -> None:
    thresholds = dict.fromkeys(GENRES, 0.5)
    manifest = a_manifest(
        graph,
        name=name,
        version=model_version(graph, thresholds, tokenizer),
        labels=GENRES,
        thresholds=thresholds,
        files={TOKENIZER: hash_file(tokenizer)},
    )
    registry.register(graph, manifest, {TOKENIZER: tokenizer})
    registry.move(
        name,
        manifest.version,
        expected=None,
        reasons=("measured",),
        moved_by="benchmark",
        at=manifest.created_at,
    )
