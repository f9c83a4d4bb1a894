"""Tuning a family: `python -m trending_trainer.tuning --family tfidf-logreg --dataset newest`.

Optuna proposes parameters (Akiba et al., "Optuna: a next-generation hyperparameter optimization
framework", KDD 2019), and each proposal is scored out of fold, on titles outside the test split.
The first trial is the family's defaults, so the best of a study is never worse than they are; a
trial that is behind the median of its predecessors at the same fold is pruned.

The sampler is the tree-structured Parzen estimator (Bergstra et al., "Algorithms for
hyper-parameter optimization", NIPS 2011). It begins anew before each trial, with a seed that
follows from the study's and the trial's number, and knows the trials that have ended and nothing
else. So what a trial tries follows from the documents that `studies` keeps, and a study that was
killed ten times has the same trials as one that ran through.
"""

import argparse
import hashlib
import json
import os
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from importlib.metadata import version
from pathlib import Path

import numpy as np
import optuna
from numpy.typing import NDArray
from optuna.distributions import (
    BaseDistribution,
    CategoricalDistribution,
    FloatDistribution,
    IntDistribution,
    distribution_to_json,
)
from optuna.pruners import MedianPruner
from optuna.samplers import TPESampler
from optuna.trial import TrialState, create_trial
from pydantic import BaseModel

from trending_shared import evaluation
from trending_shared.clock import SystemClock
from trending_shared.datasets import read_dataset
from trending_shared.errors import Rejected, SettingInvalid, TrendingError
from trending_shared.evaluation import Answers, average_precisions
from trending_shared.genres import GENRES
from trending_shared.logs import configure_logs
from trending_shared.settings import read_settings
from trending_shared.storage import ObjectStore
from trending_trainer.families import family as family_of
from trending_trainer.fitting import encoder_of, find_dataset, terms_of
from trending_trainer.runs import StoredWorkspace
from trending_trainer.settings import TrainerSettings, can_fine_tune
from trending_trainer.studies import Best, Studies, Study, Trial
from trending_trainer.training import (
    Family,
    Workspace,
    judge_folds,
)
from trending_trainer.training_set import TrainingSet
from trending_trainer.words import Params

Space = Mapping[str, BaseDistribution]

SPACES: Mapping[str, Space] = {
    "tfidf-logreg": {
        "C": FloatDistribution(0.25, 64.0, log=True),
        "kind_weight": FloatDistribution(0.5, 8.0, log=True),
    },
    "tfidf-xgboost": {
        "n_estimators": IntDistribution(60, 360, step=20),
        "max_depth": IntDistribution(3, 10),
        "learning_rate": FloatDistribution(0.03, 0.4, log=True),
        "min_child_weight": FloatDistribution(0.05, 5.0, log=True),
        "subsample": FloatDistribution(0.4, 1.0),
        "colsample_bytree": FloatDistribution(0.1, 1.0),
        "positive_weight": FloatDistribution(0.0, 1.0),
    },
    "embedding-logreg": {"C": FloatDistribution(0.25, 64.0, log=True)},
    "bert": {
        "learning_rate": FloatDistribution(2e-5, 4e-4, log=True),
        "epochs": IntDistribution(2, 6),
        "batch_size": CategoricalDistribution((16, 32, 64)),
        "dropout": FloatDistribution(0.0, 0.4),
    },
}
"""What is searched; a family's defaults lie inside.

How often facts are hidden isn't: out of fold every title has its own, so a search would find never.
"""

_STARTUP = 5  # trials at random before the sampler has seen enough to guess by
_JUDGES = 3  # trials that have gone further before one is pruned by their median
_SURE = 2  # folds before a trial is pruned; by one the order of trials is often another
_CODE = ("training.py", "tuning.py", "words.py")
_CODE_OF = {"embedding-logreg": ("sentences.py",), "bert": ("bert.py",)}
_LIBRARIES = ("numpy", "optuna", "scikit-learn", "scipy")
_LIBRARIES_OF = {
    "tfidf-xgboost": ("xgboost-cpu",),
    "embedding-logreg": ("onnxruntime",),
    "bert": ("torch", "transformers"),
}


class FamilyNotTuned(Rejected):
    """There is nothing to search for a family of this name, or what it needs isn't installed."""


def describe_study(
    family: Family, dataset_id: str, recipe: str, seen: TrainingSet, *, seed: int
) -> Study:
    """The study of a family by these titles; the test split is no part of it.

    Args:
        seen: titles that may be learned from.
    """
    digest = hashlib.sha256(json.dumps([list(seen.title_ids), list(seen.texts)]).encode())
    digest.update(seen.labels.tobytes())
    digest.update(seen.folds.tobytes())
    return Study(
        family=family.name,
        dataset_id=dataset_id,
        recipe=recipe,
        split="title",
        rows=len(seen),
        titles=digest.hexdigest(),
        defaults=dict(family.defaults),
        space={
            name: json.loads(distribution_to_json(distribution))
            for name, distribution in SPACES[family.name].items()
        },
        seed=seed,
        code=_hash_code(family.name),
        created_at=SystemClock().now(),
    )


def _hash_code(family: str) -> str:
    """Of all that decides a score, so that trials of different code are never compared."""
    here = Path(__file__).parent
    files = [here / name for name in _CODE + _CODE_OF.get(family, ())]
    digest = hashlib.sha256()
    for file in [*files, Path(evaluation.__file__)]:
        digest.update(file.read_bytes())
    for library in _LIBRARIES + _LIBRARIES_OF.get(family, ()):
        digest.update(f"{library}=={version(library)}\n".encode())
    return digest.hexdigest()


class Tuning:
    """Tries parameters of one study, which is meant for one process at a time."""

    def __init__(
        self,
        studies: Studies,
        study: Study,
        seen: TrainingSet,
        family: Callable[[Workspace], Family],
    ) -> None:
        self._studies = studies
        self.study = studies.begin(study)
        self._seen = seen
        self._family = family
        self._space = SPACES[study.family]

    def trials(self) -> list[Trial]:
        """Those that have ended."""
        return self._studies.trials(self.study)

    def run(
        self, trials: int, *, tell: Callable[[Trial, Best], None] = lambda trial, best: None
    ) -> Best:
        """Try until so many trials have ended, those of earlier processes included.

        Args:
            trials: at least 1.
            tell: called with each trial that has ended now, and the best so far.

        Raises:
            TooFewTitles: no genre can be learned, or a fold would be empty.
            StudyDamaged: the study's documents aren't what was written.
            StoreUnavailable: the store didn't answer; all trials that have ended are kept.
        """
        done = self.trials()
        for trial in done[-1:]:  # killed before it could clear up
            self._studies.workspace(self.study, trial.number).clear()
        while len(done) < trials:
            done.append(self._studies.keep(self.study, self._try(done)))
            tell(done[-1], self._studies.name_best(self.study, done))
        return self._studies.name_best(self.study, done)

    def _try(self, done: Sequence[Trial]) -> Trial:
        started = time.monotonic()
        asked = ask(self._space, self.study, done)
        params = dict(asked.params)
        if "epochs" in params:
            params["rate_epochs"] = params["epochs"]  # the learning rate falls to its end
        workspace = self._studies.workspace(self.study, asked.number)
        family = self._family(workspace)
        scores = []
        for score in running_scores(family, self._seen, params, workspace):
            scores.append(score)
            asked.report(score, step=len(scores))
            if len(scores) < family.folds and asked.should_prune():
                break
        return Trial(
            number=asked.number,
            params=params,
            scores=tuple(scores),
            state="complete" if len(scores) == family.folds else "pruned",
            seconds=time.monotonic() - started,
        )

    def again(self, best: Best) -> float:
        """Fit with the best parameters anew, keeping nothing; the score, equal to the last digit.

        That holds where the processor is of the same kind: others add up in another order.
        """
        workspace = StoredWorkspace(ObjectStore.at("memory:///"), "again")
        *_, score = running_scores(self._family(workspace), self._seen, best.params, workspace)
        return score


def ask(space: Space, study: Study, done: Sequence[Trial]) -> optuna.Trial:
    """The next trial of a study, by those that have ended and nothing else."""
    chance = hashlib.sha256(f"{study.seed}/{len(done)}".encode()).digest()
    search = optuna.create_study(
        direction="maximize",
        sampler=TPESampler(
            seed=int.from_bytes(chance[:4], "little"),
            n_startup_trials=_STARTUP,
        ),
        pruner=MedianPruner(n_startup_trials=_JUDGES, n_warmup_steps=_SURE),
    )
    for trial in done:
        complete = trial.state == "complete"
        search.add_trial(
            create_trial(
                state=TrialState.COMPLETE if complete else TrialState.PRUNED,
                value=trial.score if complete else None,
                params={name: trial.params[name] for name in space},
                distributions=dict(space),
                intermediate_values=dict(enumerate(trial.scores, start=1)),
            )
        )
    if not done:
        search.enqueue_trial({name: study.defaults[name] for name in space})
    return search.ask(dict(space))


def running_scores(
    family: Family, seen: TrainingSet, params: Params, workspace: Workspace
) -> Iterator[float]:
    """After each fold, how good the answers to all titles judged so far are; see `score`.

    Args:
        params: those that differ from the family's own.

    Raises:
        TooFewTitles: no genre can be learned, or a fold would be empty.
    """
    judged = np.empty(seen.labels.shape, np.float32)
    so_far = np.zeros(len(seen), bool)
    for rows, said, _ in judge_folds(family, seen, {**family.defaults, **params}, workspace):
        judged[rows] = said
        so_far |= rows
        yield score(seen.labels[so_far], judged[so_far])


def score(labels: NDArray[np.int8], judged: NDArray[np.float32]) -> float:
    """Mean average precision, over the genres that occur.

    A model is used at thresholds and judged by its macro-F1, but that is too noisy to search by.
    On 6,935 titles, 5 % less of the linear family's C changed macro-F1 by 0.0011, more than
    doubling it did, and mean average precision by 0.0001; between C = 1 and 4 the latter differs
    surely (0.0033 [0.0014, 0.0049] of a paired bootstrap), the former doesn't (0.0027 [-0.0015,
    0.0066]). Its order of models is that of what they rank, and no luck with thresholds is in it.
    Calibration moves no title past another; it and the thresholds are chosen by the same
    out-of-fold answers once the parameters are (`training.make_ready`).

    Args:
        labels: (n, 16) of 1, 0 and `UNKNOWN`.
        judged: (n, 16) log-odds by models that didn't see the titles.
    """
    answers = Answers(labels, judged, dict.fromkeys(GENRES, 0.0))
    return float(np.nanmean(average_precisions(answers)))


def open_tuning(
    settings: TrainerSettings, family: str, dataset_id: str | None, *, seed: int
) -> Tuning:
    """A study of a family on a dataset, begun or gone on with.

    Args:
        dataset_id: none for the newest.

    Raises:
        FamilyNotTuned: there is nothing to search for this family, or it isn't installed.
        DatasetUnfit: no dataset was ever cut.
        ObjectMissing: there is no dataset of this id.
        StoreUnavailable: the store didn't answer.
    """
    if family not in SPACES:
        raise FamilyNotTuned(f"no family {family!r} can be tuned; there are {', '.join(SPACES)}")
    if family == "bert" and not can_fine_tune():
        raise FamilyNotTuned("bert needs torch and transformers: install trending-trainer[bert]")
    store = ObjectStore.at(settings.store)
    dataset = find_dataset(store, dataset_id)
    rows, _ = terms_of(settings).permitted(read_dataset(store, dataset))
    seen = TrainingSet.of(rows, recipe=settings.recipe).seen
    encode = encoder_of(settings)

    def build(workspace: Workspace) -> Family:
        return family_of(family, encode=encode, workspace=workspace)

    nowhere = StoredWorkspace(ObjectStore.at("memory:///"), "nowhere")
    study = describe_study(build(nowhere), dataset.dataset_id, settings.recipe, seen, seed=seed)
    return Tuning(Studies(store), study, seen, build)


def main(arguments: Sequence[str] | None = None) -> int:
    """The command; its status is 0, 1 for an error, 78 for a setting, 130 for Ctrl-C."""
    options = parser().parse_args(arguments)
    write = _write_json if options.json else _write_line
    try:
        settings = read_settings(TrainerSettings)
        configure_logs(
            service="trainer-tuning", level=settings.log_level, format=settings.log_format
        )
        optuna.logging.set_verbosity(optuna.logging.WARNING)
        dataset_id = None if options.dataset == "newest" else options.dataset
        tuning = open_tuning(settings, options.family, dataset_id, seed=options.seed)
        write(
            f"{tuning.study.folder}: {tuning.study.rows} titles of dataset "
            f"{tuning.study.dataset_id}, {len(tuning.trials())} trials have ended",
            tuning.study,
        )
        best = tuning.run(options.trials, tell=lambda trial, best: write(told(trial, best), trial))
        write(f"best: trial {best.trial}, {best.score!r}, {json.dumps(best.params)}", best)
        if options.check:
            if (again := tuning.again(best)) != best.score:
                sys.stderr.write(f"error: fitted again, it scores {again!r}\n")
                return 1
            sys.stderr.write("fitted again, it scores the same\n")
    except SettingInvalid as error:
        sys.stderr.write(f"error: {error}\n")
        return os.EX_CONFIG
    except TrendingError as error:
        sys.stderr.write(f"error: {error}\n")
        return 1
    except KeyboardInterrupt:
        sys.stderr.write("stopped; trials that have ended are kept\n")
        return 130
    return 0


def told(trial: Trial, best: Best) -> str:
    """A trial in one line."""
    state = "" if trial.state == "complete" else f"  pruned after fold {len(trial.scores)}"
    params = "  ".join(
        f"{name}={value:.4g}" if isinstance(value, float) else f"{name}={value}"
        for name, value in trial.params.items()
    )
    return (
        f"trial {trial.number:3}  {trial.score:.4f}  best {best.score:.4f} (trial {best.trial})"
        f"  {trial.seconds:.1f} s  {params}{state}"
    )


def parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m trending_trainer.tuning",
        description="Search for a family's parameters, out of fold. Ctrl-C stops the search, and "
        "the same command goes on with it.",
        epilog="Settings are the trainer's (TRAINER_…, STORE_URL); the result is used by its "
        "next fit, unless TRAINER_TUNED=false.",
    )
    parser.add_argument(
        "--family", required=True, help=f"what is tuned: {', '.join(SPACES)}", metavar="NAME"
    )
    parser.add_argument(
        "--dataset",
        default="newest",
        metavar="ID",
        help="by whose titles; newest, the default, is the one that was cut last",
    )
    parser.add_argument(
        "--trials",
        type=positive,
        default=30,
        metavar="N",
        help="how many there are in the end, with those that have ended before (%(default)s)",
    )
    parser.add_argument(
        "--seed", type=int, default=0, metavar="N", help="another one tries others (%(default)s)"
    )
    parser.add_argument(
        "--check",
        action="store_true",
        help="fit with the best parameters again, and compare the score to the last digit",
    )
    parser.add_argument(
        "--json", action="store_true", help="tell study, trials and the best as JSON, a line each"
    )
    return parser


def positive(text: str) -> int:
    number = int(text)
    if number < 1:
        raise ValueError(f"{number} is less than 1")
    return number


def _write_line(line: str, document: BaseModel) -> None:
    sys.stdout.write(f"{line}\n")
    sys.stdout.flush()


def _write_json(line: str, document: BaseModel) -> None:
    _write_line(document.model_dump_json(), document)


if __name__ == "__main__":
    sys.exit(main())
