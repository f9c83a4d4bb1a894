"""One training run as a process: `python -m trending_trainer.fitting RUN_ID ATTEMPT PARENT`.

Reads the request and its dataset, fits each family, registers the bundles, lets the gate judge the
better one, and leaves the outcome for the supervisor to publish. It may be killed anywhere and
started again: fits are deterministic, bundles are named by their content, and an alias that this
run has moved says so.
"""

import hashlib
import os
import sys
import threading
from dataclasses import dataclass
from functools import partial
from uuid import UUID

import structlog

from trending_shared.clock import Clock, SystemClock
from trending_shared.datasets import DatasetManifest, newest_manifest, read_dataset, read_manifest
from trending_shared.errors import AliasMoved, ModelNotFound, Rejected, Unavailable
from trending_shared.events import ModelPromoted, ModelRefused, ModelRegistered
from trending_shared.features import RECIPE
from trending_shared.genres import GENRES
from trending_shared.logs import configure_logs
from trending_shared.onnx_models import ModelUnusable, OnnxModel
from trending_shared.registry import CHAMPION, Manifest, ModelRegistry, Pointer, model_version
from trending_shared.settings import read_settings
from trending_shared.sources import read_catalogue
from trending_shared.storage import ObjectStore
from trending_trainer.cards import write_card
from trending_trainer.evaluation import Evaluation, evaluate, frequent_genre_baseline
from trending_trainer.exporting import export, parity, predict_all
from trending_trainer.promotion import Candidate, Champion, judge
from trending_trainer.reference import build_reference
from trending_trainer.runs import Attempt, Outcome, Request, Runs
from trending_trainer.settings import TrainerSettings
from trending_trainer.supervising import MODEL
from trending_trainer.tracking import Tracker
from trending_trainer.training import FAMILIES, Family, TooFewTitles, decide, train
from trending_trainer.training_set import Terms, TrainingSet

log = structlog.get_logger()


class DatasetUnfit(Rejected):
    """A dataset can't be trained on: there is none, or its texts are of another recipe."""


@dataclass(frozen=True, slots=True)
class Fitted:
    """A bundle, and what chooses among several."""

    graph: bytes
    manifest: Manifest
    validation_f1: float
    """Macro-F1 on titles outside the test split, each judged by a model that didn't see it."""


class Fitting:
    """Takes a request to its outcome.

    Args:
        margin: macro-F1 that a candidate must have above the champion's.
        terms: what may not be learned from.
    """

    def __init__(
        self,
        store: ObjectStore,
        *,
        tracker: Tracker,
        clock: Clock,
        margin: float,
        terms: Terms,
        code_version: str,
    ) -> None:
        self._store = store
        self._registry = ModelRegistry(store)
        self._tracker = tracker
        self._clock = clock
        self._margin = margin
        self._terms = terms
        self._code_version = code_version

    def run(self, request: Request) -> Outcome:
        """Fit, register, judge, promote.

        A dataset that nothing can be learned from, and a model that can't be used, lead to a
        refusal, not to an error; nothing is registered then.

        Raises:
            Unavailable: the store didn't answer.
        """
        try:
            dataset = self._dataset(request)
            rows, left_out = self._terms.permitted(read_dataset(self._store, dataset))
            if left_out:
                log.info("titles_left_out", dataset_id=dataset.dataset_id, by_license=left_out)
            titles = TrainingSet.of(rows)
            if not len(titles.only("test")):
                raise TooFewTitles(f"none of {len(titles)} labelled titles is of the test split")
            fitted = [self._fit(request, family, dataset, titles, left_out) for family in FAMILIES]
        except Rejected as error:
            log.warning("nothing_registered", reason=error.reason, detail=str(error))
            reasons = (f"{error.reason}: {error}",)
            return Outcome(
                refused=ModelRefused(model=MODEL, dataset_id=request.dataset_id, reasons=reasons)
            )
        registered = tuple(self._register(one) for one in fitted)
        # Chosen without a look at the test titles, so that what they say of it stays unbiased.
        best = max(fitted, key=lambda one: one.validation_f1).manifest
        verdict = self._decide(request, best, titles.only("test"))
        if isinstance(verdict, ModelPromoted):
            return Outcome(registered=registered, promoted=verdict)
        return Outcome(registered=registered, refused=verdict)

    def _dataset(self, request: Request) -> DatasetManifest:
        if request.dataset_id:
            dataset: DatasetManifest | None = read_manifest(self._store, request.dataset_id)
        else:
            dataset = newest_manifest(self._store)
        if dataset is None:
            raise DatasetUnfit("no dataset was ever cut; publish a datasets-requested event first")
        if dataset.recipe != RECIPE:
            raise DatasetUnfit(
                f"the texts of {dataset.dataset_id} are of recipe {dataset.recipe}, the gateway's "
                f"of {RECIPE}; publish a datasets-requested event for a new one"
            )
        return dataset

    def _fit(
        self,
        request: Request,
        family: Family,
        dataset: DatasetManifest,
        titles: TrainingSet,
        left_out: dict[str, int],
    ) -> Fitted:
        model = train(family, titles)
        graph = export(model)
        exported = OnnxModel.load(graph, GENRES)
        seen, test = titles.only("train", "validation"), titles.only("test")
        agreement = parity(model, exported, list(test.texts))
        probabilities = predict_all(exported, list(test.texts))
        evaluation = evaluate(test.labels, decide(probabilities, model.thresholds), test.kinds)
        baseline = frequent_genre_baseline(seen.labels, test.labels)
        version = model_version(graph, model.thresholds)
        manifest = Manifest(
            name=MODEL,
            version=version,
            algorithm=family,
            labels=GENRES,
            thresholds=model.thresholds,
            recipe=dataset.recipe,
            dataset_id=dataset.dataset_id,
            dataset_manifest=dataset.key,
            metrics={
                **evaluation.model_dump(),
                "baseline_f1": baseline,
                "validation_f1": model.validation_f1,
                "trained_on": len(seen),
                "untrained": list(model.untrained),
                "left_out": left_out,
            },
            reference=build_reference(list(test.texts), probabilities, GENRES),
            parity={
                "max_difference": agreement.max_difference,
                "label_changes": agreement.label_changes,
                "rows": agreement.rows,
            },
            created_at=self._clock.now(),
            code_version=self._code_version,
            training_id=str(request.run_id),
            wandb_run=self._track(request, family, dataset, evaluation, model.validation_f1),
            card=write_card(
                algorithm=family,
                dataset=dataset,
                trained_on=len(seen),
                left_out=left_out,
                untrained=model.untrained,
                thresholds=model.thresholds,
                evaluation=evaluation,
                baseline_f1=baseline,
                parity=agreement,
            ),
            onnx_sha256=hashlib.sha256(graph).hexdigest(),
            onnx_bytes=len(graph),
        )
        return Fitted(graph, manifest, model.validation_f1)

    def _register(self, fitted: Fitted) -> ModelRegistered:
        held = self._registry.register(fitted.graph, fitted.manifest)
        registered = ModelRegistered(
            model=MODEL,
            model_version=held.version,
            algorithm=held.algorithm,
            dataset_id=fitted.manifest.dataset_id,
            macro_f1=held.metrics["macro_f1"],
            wandb_run=held.wandb_run,
        )
        log.info(
            "model_registered",
            version=held.version,
            family=held.algorithm,
            macro_f1=registered.macro_f1,
        )
        return registered

    def _track(
        self,
        request: Request,
        family: Family,
        dataset: DatasetManifest,
        evaluation: Evaluation,
        validation_f1: float,
    ) -> str | None:
        return self._tracker.record(
            f"{request.run_id}-{family}",
            group=str(request.run_id),
            config={
                "algorithm": family,
                "dataset_id": dataset.dataset_id,
                "titles": dataset.rows,
                "recipe": dataset.recipe,
                "reason": request.reason,
                "code_version": self._code_version,
            },
            metrics={
                "macro_f1": evaluation.macro_f1,
                "micro_f1": evaluation.micro_f1,
                "validation_f1": validation_f1,
            },
            genres={genre: score.model_dump() for genre, score in evaluation.genres.items()},
        )

    def _decide(
        self, request: Request, best: Manifest, test: TrainingSet
    ) -> ModelPromoted | ModelRefused:
        """Judge, and move the alias; anew for as long as others move it in between."""
        mover = f"training {request.run_id}"
        candidate = Candidate(
            version=best.version,
            macro_f1=best.metrics["macro_f1"],
            baseline_f1=best.metrics["baseline_f1"],
            parity_difference=best.parity["max_difference"],
            parity_label_changes=int(best.parity["label_changes"]),
        )
        while True:
            history = self._registry.history(MODEL)
            for index, pointer in enumerate(history):
                if pointer.moved_by == mover:  # by an attempt that died before it could say so
                    return _promoted(pointer, history[index - 1] if index else None)
            current = history[-1] if history else None
            champion = self._measure(current, test) if current else None
            verdict = judge(candidate, champion, margin=self._margin)
            log.info("judged", promote=verdict.promote, reasons=verdict.reasons)
            if not verdict.promote:
                return ModelRefused(
                    model=MODEL,
                    model_version=best.version,
                    dataset_id=best.dataset_id,
                    reasons=verdict.reasons,
                )
            try:
                pointer = self._registry.move(
                    MODEL,
                    best.version,
                    expected=current,
                    reasons=verdict.reasons,
                    moved_by=mover,
                    at=self._clock.now(),
                )
            except AliasMoved:
                continue
            return _promoted(pointer, current)

    def _measure(self, pointer: Pointer, test: TrainingSet) -> Champion:
        """The champion on the candidate's test titles; one that can't be run answers nothing."""
        try:
            manifest = self._registry.manifest(MODEL, pointer.version)
            graph = OnnxModel.load(self._registry.onnx(manifest), GENRES)
            probabilities = predict_all(graph, list(test.texts))
        except (ModelNotFound, ModelUnusable) as error:
            log.error("champion_unusable", version=pointer.version, detail=str(error))
            return Champion(pointer.version, 0.0)
        given = decide(probabilities, manifest.thresholds)
        return Champion(pointer.version, evaluate(test.labels, given, test.kinds).macro_f1)


def _promoted(pointer: Pointer, previous: Pointer | None) -> ModelPromoted:
    return ModelPromoted(
        model=MODEL,
        model_version=pointer.version,
        alias=CHAMPION,
        number=pointer.number,
        previous=previous.version if previous else None,
        reasons=pointer.reasons,
    )


def keep_alive(
    runs: Runs, run_id: UUID, attempt: Attempt, *, every: float, clock: Clock, parent: int
) -> None:
    """Say every so many seconds that the attempt lives; end the process once its parent is gone."""
    pause = threading.Event()
    while os.getppid() == parent:
        try:
            runs.heartbeat(run_id, attempt, clock.now())
        except Unavailable as error:
            log.warning("heartbeat_missed", detail=str(error))
        pause.wait(every)
    os._exit(os.EX_TEMPFAIL)  # nobody would hear of the outcome; another trainer takes over


def main(run_id: UUID, number: int, parent: int) -> None:
    """Fit an open run and store its outcome; end early if `parent`, a process id, is gone."""
    settings = read_settings(TrainerSettings)
    configure_logs(service="trainer-fit", level=settings.log_level, format="json")
    clock = SystemClock()
    store = ObjectStore.at(settings.store)
    runs = Runs(store, lease=settings.lease)
    request = runs.request(run_id)
    attempt = Attempt(number=number, owner=f"pid {os.getpid()}", started_at=clock.now())
    beat = partial(
        keep_alive,
        *(runs, run_id, attempt),
        every=settings.heartbeat.total_seconds(),
        clock=clock,
        parent=parent,
    )
    threading.Thread(target=beat, daemon=True).start()
    fitting = Fitting(
        store,
        tracker=Tracker(settings.home),
        clock=clock,
        margin=settings.margin,
        terms=Terms.of(
            read_catalogue(settings.sources_file),
            excluded_licenses=settings.excluded_licenses,
            permitted_sources=settings.permitted_sources,
        ),
        code_version=settings.code_version,
    )
    runs.end(run_id, fitting.run(request))


if __name__ == "__main__":
    main(UUID(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3]))
