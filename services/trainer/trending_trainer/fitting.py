"""One training run as a process: `python -m trending_trainer.fitting RUN_ID ATTEMPT PARENT`.

Reads the request and its dataset, fits each family, registers the bundles, lets the gate judge the
best one, and leaves the outcome for the supervisor to publish. It may be killed anywhere and
started again: what a family's fit came to is kept until the run is closed, fits are deterministic,
bundles are named by their content, and an alias that this run has moved says so.
"""

import os
import sys
import threading
from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import partial
from uuid import UUID

import numpy as np
import structlog
from pydantic import TypeAdapter

from trending_shared.clock import Clock, SystemClock
from trending_shared.datasets import DatasetManifest, newest_manifest, read_dataset, read_manifest
from trending_shared.embeddings import VECTORS, Embedder
from trending_shared.encoder import SentenceEncoder
from trending_shared.errors import AliasMoved, ModelNotFound, Rejected, Unavailable
from trending_shared.evaluation import Answers, compare, macro_f1
from trending_shared.events import ModelApproved, ModelPromoted, ModelRefused, ModelRegistered
from trending_shared.features import RECIPE
from trending_shared.genres import GENRES
from trending_shared.logs import configure_logs
from trending_shared.messages import read_traceparent
from trending_shared.onnx_models import ModelUnusable, load_bundle
from trending_shared.registry import CHAMPION, ModelRegistry, Pointer
from trending_shared.settings import read_settings
from trending_shared.sources import read_catalogue
from trending_shared.storage import ObjectStore
from trending_shared.tracing import OFF, TRACEPARENT, Tracing
from trending_trainer.bundling import Ancestry, Made, in_eight_bits, make_bundle
from trending_trainer.families import family
from trending_trainer.promotion import Candidate, Champion, Limits, judge
from trending_trainer.runs import Attempt, Outcome, Request, Runs
from trending_trainer.sentences import Encode
from trending_trainer.settings import BASELINE, TrainerSettings
from trending_trainer.studies import Best, Studies
from trending_trainer.supervising import MODEL
from trending_trainer.tracking import Tracker, describe_code
from trending_trainer.training import (
    Ready,
    TooFewTitles,
    Workspace,
    blend,
    fit_family,
    most_frequent,
    ready_alone,
)
from trending_trainer.training_set import Split, Terms, TrainingSet

log = structlog.get_logger()

BLEND = "blend"
SEED = 0
"""Whatever is random in a fit follows from it."""
_TUNED = TypeAdapter(dict[str, Best])
_TRACKED = (
    *("macro_f1", "micro_f1", "mean_average_precision", "validation_f1"),
    *("latency_seconds", "fit_seconds", "peak_bytes"),
)
"""What of a manifest's metrics is a run's in W&B."""


class DatasetUnfit(Rejected):
    """There is no dataset to train on."""


class Fitting:
    """Takes a request to its outcome.

    Args:
        families: what is fitted; see `families`.
        limits: what the gate holds a candidate to.
        terms: what may not be learned from.
        encode: the sentence encoder.
        split: another than `title` is for looking at models only.
        recipe: by which texts are composed.
        studies: whose best parameters families are fitted with; none for the families' own.
        tried: whether a candidate that passes the gate while a champion serves is only approved,
            and an experiment decides; else the alias moves.
    """

    def __init__(
        self,
        store: ObjectStore,
        *,
        families: Sequence[str],
        encode: Encode,
        tracker: Tracker,
        clock: Clock,
        limits: Limits,
        terms: Terms,
        code_version: str,
        split: Split = "title",
        recipe: str = RECIPE,
        studies: Studies | None = None,
        tried: bool = False,
        tracing: Tracing = OFF,
    ) -> None:
        self._store = store
        self._tried = tried
        self._tracing = tracing
        self._studies = studies
        self._registry = ModelRegistry(store)
        self._families = families
        self._encode = encode
        self._tracker = tracker
        self._clock = clock
        self._limits = limits
        self._terms = terms
        self._split: Split = split
        self._recipe = recipe
        self._code_version = code_version

    def run(self, request: Request, workspace: Workspace) -> Outcome:
        """Fit, register, judge, promote or approve.

        A dataset that nothing can be learned from, and a model that can't be used, lead to a
        refusal, not to an error; nothing is registered then.

        Raises:
            Unavailable: the store didn't answer.
        """
        try:
            made = self.make(request, workspace)
            registered = tuple(self.register(one) for one in made)
        except Rejected as error:
            log.warning("nothing_registered", reason=error.reason, detail=str(error))
            reasons = (f"{error.reason}: {error}",)
            return Outcome(
                refused=ModelRefused(model=MODEL, dataset_id=request.dataset_id, reasons=reasons)
            )
        # Chosen without a look at the test titles, so that what they say of it stays unbiased.
        best = max(made, key=lambda one: one.validation_f1)
        with self._tracing.span("judge"):
            verdict = self._decide(request, best)
        if isinstance(verdict, ModelPromoted):
            return Outcome(registered=registered, promoted=verdict)
        if isinstance(verdict, ModelApproved):
            return Outcome(registered=registered, approved=verdict)
        return Outcome(registered=registered, refused=verdict)

    def make(self, request: Request, workspace: Workspace) -> list[Made]:
        """Fit all families and make bundles of them and their blend; nothing is registered.

        Raises:
            Rejected: nothing can be learned from the dataset, or a model can't be used.
            Unavailable: the store didn't answer.
        """
        dataset = find_dataset(self._store, request.dataset_id)
        rows, left_out = self._terms.permitted(read_dataset(self._store, dataset))
        if left_out:
            log.info("titles_left_out", dataset_id=dataset.dataset_id, by_license=left_out)
        titles = TrainingSet.of(rows, split=self._split, recipe=self._recipe)
        if not titles.test.any():
            raise TooFewTitles(f"none of {len(titles)} labelled titles is of the test split")
        tuned = self._tuned(workspace)
        ready, baselines = self._fit(titles, workspace, tuned)
        ready += [in_eight_bits(one, titles) for one in ready if "bert" in one.weights]
        of = Ancestry(
            request=request,
            dataset=dataset,
            titles=titles,
            split=self._split,
            recipe=self._recipe,
            baselines=baselines,
            left_out=left_out,
            tuned=tuned,
            code_version=self._code_version,
        )
        return [self._make(one, of) for one in ready]

    def _tuned(self, workspace: Workspace) -> dict[str, Best]:
        """What tuning has found best, by family; all attempts at a run take the same.

        A later attempt goes on with what an earlier one has fitted, so it must fit the rest alike.
        """
        if (kept := workspace.load("tuned.json")) is not None:
            return _TUNED.validate_json(kept)
        tuned = {}
        for name in self._families:
            best = self._studies.newest(name, self._recipe) if self._studies else None
            if best is None:
                continue
            defaults = family(name, encode=self._encode, workspace=workspace).defaults
            if unknown := sorted(best.params.keys() - defaults.keys()):
                log.warning("study_outdated", family=name, study=best.study_id, unknown=unknown)
                continue
            tuned[name] = best
        workspace.save("tuned.json", _TUNED.dump_json(tuned))
        return tuned

    def _fit(
        self, titles: TrainingSet, workspace: Workspace, tuned: Mapping[str, Best]
    ) -> tuple[list[Ready], dict[str, float]]:
        """The families' models and their blend, and macro-F1 of what needs no learning."""
        baselines = {"the most frequent genre": macro_f1(most_frequent(titles))}
        ready = []
        for name in self._families:
            with self._tracing.span(f"fit {name}"):
                fitted = fit_family(
                    family(name, encode=self._encode, workspace=workspace),
                    titles,
                    workspace,
                    tuned[name].params if name in tuned else None,
                    tell=partial(_tell, name),
                )
            one = ready_alone(fitted, titles)
            log.info("family_fitted", family=name, seconds=round(fitted.seconds, 1))
            if name == BASELINE:
                answers = Answers(titles.unseen.labels, one.probabilities(), one.thresholds)
                baselines[name] = macro_f1(answers)
            else:
                ready.append(one)
        return ready + blends(ready, titles), baselines

    def _make(self, ready: Ready, of: Ancestry) -> Made:
        made = make_bundle(ready, of, self._clock)
        run = self._track(made, of)
        return replace(made, manifest=made.manifest.model_copy(update={"wandb_run": run}))

    def register(self, made: Made) -> ModelRegistered:
        held = self._registry.register(made.graph, made.manifest, made.files)
        registered = ModelRegistered(
            model=MODEL,
            model_version=held.version,
            algorithm=held.algorithm,
            dataset_id=made.manifest.dataset_id,
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

    def _track(self, made: Made, of: Ancestry) -> str | None:
        manifest, evaluation, studies = made.manifest, made.evaluation, self._studies
        metrics = manifest.metrics
        return self._tracker.record(
            f"{of.request.run_id}-{manifest.algorithm}",
            group=str(of.request.run_id),
            config={
                "algorithm": manifest.algorithm,
                "params": manifest.params,
                "weights": metrics["weights"],
                "tuned": metrics["tuned"],
                "dataset_id": of.dataset.dataset_id,
                "titles": of.dataset.rows,
                "recipe": of.recipe,
                "reason": of.request.reason,
                "event_id": str(of.request.run_id),
                "seed": SEED,
                "code_version": of.code_version,
                **describe_code(),
            },
            metrics={
                "ece": evaluation.calibration.ece,
                "brier": evaluation.calibration.brier,
                **{name: metrics[name] for name in _TRACKED},
            },
            tables={
                "genres": [
                    {"genre": genre, **score.model_dump(exclude={"f1_interval"})}
                    for genre, score in evaluation.genres.items()
                ],
                "slices": [
                    {"of": dimension, "value": value, **score.model_dump(exclude={"interval"})}
                    for dimension, slices in evaluation.slices.items()
                    for value, score in slices.items()
                ],
                "calibration": [bin.model_dump() for bin in evaluation.calibration.bins],
                "trials": [row for best in made.studied for row in studies.table(best)]
                if studies
                else [],
            },
        )

    def _decide(self, request: Request, best: Made) -> ModelPromoted | ModelApproved | ModelRefused:
        """Judge, and move the alias; anew for as long as others move it in between.

        Where a champion serves and an experiment is to decide, nothing moves.
        """
        mover = f"training {request.run_id}"
        version = best.manifest.version
        candidate = Candidate(
            version=version,
            evaluation=best.evaluation,
            baselines=best.manifest.metrics["baselines"],
            parity_difference=best.parity.max_difference,
            parity_label_changes=best.parity.label_changes,
            latency=best.latency,
        )
        while True:
            history = self._registry.history(MODEL)
            for index, pointer in enumerate(history):
                if pointer.moved_by == mover:  # by an attempt that died before it could say so
                    return _promoted(pointer, history[index - 1] if index else None)
            current = history[-1] if history else None
            champion = self._measure(current, best) if current else None
            verdict = judge(candidate, champion, self._limits)
            log.info("judged", promote=verdict.promote, reasons=verdict.reasons)
            if not verdict.promote:
                return ModelRefused(
                    model=MODEL,
                    model_version=version,
                    dataset_id=best.manifest.dataset_id,
                    reasons=verdict.reasons,
                )
            if current and champion and champion.usable and self._tried:
                return ModelApproved(
                    model=MODEL,
                    model_version=version,
                    champion=current.version,
                    dataset_id=best.manifest.dataset_id,
                    reasons=verdict.reasons,
                )
            try:
                pointer = self._registry.move(
                    MODEL,
                    version,
                    expected=current,
                    reasons=verdict.reasons,
                    moved_by=mover,
                    at=self._clock.now(),
                )
            except AliasMoved:
                continue
            return _promoted(pointer, current)

    def _measure(self, pointer: Pointer, best: Made) -> Champion:
        """The champion on the candidate's test titles; one that can't be run answers nothing."""
        test = best.test
        thresholds: Mapping[str, float] = dict.fromkeys(GENRES, 1.1)
        probabilities = np.zeros(test.labels.shape, np.float32)
        usable = True
        try:
            manifest = self._registry.manifest(MODEL, pointer.version)
            probabilities = load_bundle(self._registry, manifest).predict(list(test.texts))
            thresholds = manifest.thresholds
        except (ModelNotFound, ModelUnusable) as error:
            usable = False
            log.error("champion_unusable", version=pointer.version, detail=str(error))
        answers = Answers(test.labels, probabilities, thresholds)
        return Champion(
            pointer.version,
            macro_f1(answers),
            compare(best.answers, answers, test.slices),
            usable,
        )


def find_dataset(store: ObjectStore, dataset_id: str | None) -> DatasetManifest:
    """The dataset of an id, or the newest.

    Raises:
        DatasetUnfit: none was ever cut.
        ObjectMissing: there is none of this id.
        StoreUnavailable: the store didn't answer.
    """
    dataset = read_manifest(store, dataset_id) if dataset_id else newest_manifest(store)
    if dataset is None:
        raise DatasetUnfit("no dataset was ever cut; publish a datasets-requested event first")
    return dataset


def terms_of(settings: TrainerSettings) -> Terms:
    """What may not be learned from, by the catalogue and the operator."""
    return Terms.of(
        read_catalogue(settings.sources_file),
        excluded_licenses=settings.excluded_licenses,
        permitted_sources=settings.permitted_sources,
    )


def blends(ready: Sequence[Ready], titles: TrainingSet) -> list[Ready]:
    """The blend of what reads words and what reads meaning, if there are both.

    One network is enough for a text's time: the fine-tuned one, if there is one.
    """
    by_family = {one.family: one for one in ready}
    words = by_family.get("tfidf-logreg")
    meaning = by_family.get("bert", by_family.get("embedding-logreg"))
    return [blend([words, meaning], titles, name=BLEND)] if words and meaning else []


def _tell(name: str, fold: int, of: int) -> None:
    log.info("fold_judged", family=name, fold=fold, of=of)


def _promoted(pointer: Pointer, previous: Pointer | None) -> ModelPromoted:
    return ModelPromoted(
        model=MODEL,
        model_version=pointer.version,
        alias=CHAMPION,
        number=pointer.number,
        previous=previous.version if previous else None,
        reasons=pointer.reasons,
    )


def encoder_of(settings: TrainerSettings) -> Encode:
    """The sentence encoder, loaded when it is first needed, with the vectors that are kept."""
    cache, threads = settings.home / "encoder", os.cpu_count() or 1
    embedder = Embedder(
        lambda: SentenceEncoder.load(cache, threads=threads),
        file=settings.home / VECTORS,
    )
    return embedder.embed


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
    tracing = Tracing("trainer-fit", code_version=settings.code_version)
    fitting = Fitting(
        store,
        families=settings.families,
        encode=encoder_of(settings),
        tracker=Tracker(settings.home),
        clock=clock,
        limits=Limits(
            margin=settings.margin,
            slice_margin=settings.slice_margin,
            ece=settings.max_ece,
            latency=settings.max_latency.total_seconds(),
        ),
        recipe=settings.recipe,
        terms=terms_of(settings),
        code_version=settings.code_version,
        studies=Studies(store) if settings.tuned else None,
        tracing=tracing,
        tried=settings.promotion == "experiment",
    )
    started_in = read_traceparent(os.environ.get(TRACEPARENT))
    with tracing, tracing.span("fit", {"trending.run_id": str(run_id)}, parent=started_in):
        runs.end(run_id, fitting.run(request, runs.workspace(run_id)))


if __name__ == "__main__":
    main(UUID(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3]))
