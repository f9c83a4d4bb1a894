"""Requests a second through the gateway, and through a route that does nothing."""

import json
import subprocess
import sys
import time
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field, replace
from pathlib import Path
from statistics import median

import httpx
import numpy as np
from numpy.typing import NDArray

from benchmarks.callers import HOST, PATIENCE, Load, Outcome
from benchmarks.inputs import training_set
from benchmarks.results import Result
from benchmarks.rounds import ROUNDS, START_TIMEOUT, Bench, MeasurementFailed, Running
from trending_demo.catalogue import demo_catalogue
from trending_shared.features import normalise_text
from trending_shared.genres import GENRES
from trending_shared.onnx_models import OnnxModel
from trending_shared.registry import ModelRegistry
from trending_shared.storage import ObjectStore
from trending_shared.testing.models import promote
from trending_trainer.exporting import assemble
from trending_trainer.families import family
from trending_trainer.runs import StoredWorkspace
from trending_trainer.training import fit_family, ready_alone

PATH = "/v1/genres"
RECORDED = '"recorded":true'
ANSWERED = '"probabilities":{'
WORKERS = 2
CALLERS = (1, 16, 64)
ALONE = 1.0  # seconds a round
BODIES = 20_000


@dataclass
class Target:
    """A server, what it is asked, and how it did."""

    running: Running
    bodies: Sequence[str]
    expect: str = RECORDED
    outcomes: dict[int, list[Outcome]] = field(default_factory=dict)
    cpu_seconds: dict[int, list[float]] = field(default_factory=dict)
    asked: int = 0

    def wait_until_it_answers(self) -> None:
        """Some have no readiness of their own."""
        deadline = time.monotonic() + START_TIMEOUT
        url = f"http://{HOST}:{self.running.port}{PATH}"
        headers = {"Content-Type": "application/json"}
        while time.monotonic() < deadline:
            self.running.check()
            try:
                if httpx.post(
                    url, content=self.bodies[0], headers=headers, trust_env=False
                ).is_success:
                    return
            except httpx.TransportError:
                pass
            time.sleep(0.1)
        raise MeasurementFailed(f"{self.running.name} answers nothing")

    def go(self, callers: int, seconds: float) -> Outcome:
        """Have it called, by a process of its own.

        Raises:
            MeasurementFailed: an answer was missing, or wasn't a recorded 200.
        """
        load = Load(
            port=self.running.port,
            path=PATH,
            bodies=list(self.bodies),
            first=self.asked,
            expect=self.expect,
            callers=callers,
            seconds=seconds,
        )
        cpu = self.running.cpu_seconds()
        called = subprocess.run(
            [sys.executable, "-m", "benchmarks.callers"],
            input=load.model_dump_json(),
            capture_output=True,
            text=True,
            timeout=seconds + 3 * PATIENCE,
        )
        used = self.running.cpu_seconds() - cpu
        if called.returncode:
            last = called.stderr.strip().splitlines()[-1:]
            raise MeasurementFailed(f"{self.running.name} and {callers} callers: {last}")
        outcome = Outcome.model_validate_json(called.stdout)
        self.asked += outcome.answers
        if outcome.errors or not outcome.answers:
            raise MeasurementFailed(
                f"{self.running.name} and {callers} callers: {outcome.errors} of "
                f"{outcome.answers} answers weren't the 200 expected"
            )
        self.outcomes.setdefault(callers, []).append(outcome)
        self.cpu_seconds.setdefault(callers, []).append(used)
        return outcome

    def result(self, name: str, callers: int) -> Result:
        outcomes, used = self.outcomes[callers], self.cpu_seconds[callers]
        return Result(
            name,
            "requests/s",
            tuple(one.answers / one.seconds for one in outcomes),
            median(cpu / one.answers * 1000 for cpu, one in zip(used, outcomes, strict=True)),
            p50_ms=median(one.p50_ms for one in outcomes),
            p99_ms=median(one.p99_ms for one in outcomes),
            caller_ms=median(one.cpu_seconds / one.answers * 1000 for one in outcomes),
        )


def no_encoder(texts: Sequence[str]) -> NDArray[np.float32]:
    raise AssertionError("the fast family reads words only")


def train_and_promote(bench: Bench) -> bytes:
    """Make a model of the fast family from the demo's catalogue the champion; its graph."""
    bench.tell("gateway: training a model")
    store = ObjectStore.at((bench.home / "store").as_uri())
    titles, workspace = training_set(), StoredWorkspace(store, "work")
    words = family("tfidf-xgboost", encode=no_encoder, workspace=workspace)
    model = ready_alone(fit_family(words, titles, workspace), titles)
    parts = [(fitted.part, weights) for fitted, weights in model.parts]
    graph = assemble(parts, model.calibration, name=model.family)
    promote(
        ModelRegistry(store),
        graph,
        labels=GENRES,
        thresholds=model.thresholds,
        algorithm=model.family,
    )
    return graph


def distinct(plots: Sequence[str]) -> list[str]:
    """Requests for one text each, more of them than a gateway remembers."""
    numbered = (f"{plots[n % len(plots)]} Part {n}." for n in range(BODIES))
    return [json.dumps({"items": [{"text": text}]}) for text in numbered]


def measure_gateway(bench: Bench, seconds: float) -> list[Result]:
    """The gateway beside the bare route, with few and with many callers; and the model alone."""
    graph = train_and_promote(bench)
    plots = [title.plot for title in demo_catalogue().titles]
    bodies = distinct(plots)
    file = bench.home / "model.onnx"
    file.write_bytes(graph)
    bench.tell("gateway: starting it, and what it is compared with")
    with ExitStack() as stack:
        running = stack.enter_context(bench.service("inference", workers=WORKERS))
        answer = bench.home / "answer.json"
        answer.write_bytes(_ask(running, bodies[0]))

        def start(name: str, argument: Path, **settings: object) -> Running:
            process = bench.process(name, f"benchmarks.{name}", str(argument), **settings)
            return stack.enter_context(process)

        gateway = Target(running, bodies)
        others = {
            "Mosec": Target(start("peer_mosec", file, workers=WORKERS), bodies, ANSWERED),
            "FastAPI, as most write it": Target(start("peer_fastapi", file), bodies, ANSWERED),
            "bare route": Target(start("bare_route", answer), bodies),
        }
        for target in (gateway, *others.values()):
            target.wait_until_it_answers()
            target.go(CALLERS[1], 1.0)
            target.outcomes.clear()
            target.cpu_seconds.clear()
        for callers in CALLERS:
            bench.tell(f"gateway: {ROUNDS} rounds with callers: {callers}")
            for _ in range(ROUNDS):
                for target in (gateway, *others.values()):
                    target.go(callers, seconds)
    bench.tell("model alone")
    alone = _model_alone(OnnxModel.load(graph, GENRES), [normalise_text(plot) for plot in plots])
    return [
        replace(
            gateway.result(f"gateway, {callers} caller{'s' * (callers > 1)}", callers),
            references=(
                *(target.result(name, callers) for name, target in others.items()),
                alone,
            ),
        )
        for callers in CALLERS
    ]


def _ask(running: Running, body: str) -> bytes:
    answer = httpx.post(
        f"http://{HOST}:{running.port}{PATH}",
        content=body,
        headers={"Content-Type": "application/json"},
        trust_env=False,
    )
    if answer.status_code != 200 or RECORDED not in answer.text:
        raise MeasurementFailed(f"the gateway answered {answer.status_code}: {answer.text}")
    return answer.content


def _model_alone(model: OnnxModel, texts: Sequence[str]) -> Result:
    rates, cpu_ms = [], []
    for _ in range(ROUNDS):
        started, cpu, answered = time.perf_counter(), time.process_time(), 0
        while time.perf_counter() - started < ALONE:
            model.predict([texts[answered % len(texts)]])
            answered += 1
        rates.append(answered / (time.perf_counter() - started))
        cpu_ms.append((time.process_time() - cpu) / answered * 1000)
    return Result("model alone", "texts/s", tuple(rates), median(cpu_ms))
