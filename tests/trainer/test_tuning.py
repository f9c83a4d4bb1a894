"""The search for parameters: killed or not it tries the same, and fits use what it has found."""

import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

from trending_shared.evaluation import evaluate
from trending_shared.storage import ObjectStore
from trending_shared.testing.datasets import cut_dataset, some_rows
from trending_trainer.families import BERT
from trending_trainer.families import family as family_of
from trending_trainer.fitting import DatasetUnfit
from trending_trainer.runs import StoredWorkspace
from trending_trainer.settings import TrainerSettings
from trending_trainer.studies import Best, Studies, StudyDamaged, Trial
from trending_trainer.training import Family, Model, Workspace, fit_family, ready_alone
from trending_trainer.training_set import FOLDS, TrainingSet
from trending_trainer.tuning import SPACES, Tuning, describe_study, main, open_tuning
from trending_trainer.words import LOGREG, Params

ROWS = some_rows(120, sure=False)
TRIALS = 9


@pytest.fixture
def store(tmp_path: Path) -> ObjectStore:
    return ObjectStore.at((tmp_path / "store").as_uri())


class Killed(Exception):
    """A process that ends in the middle of something."""


def linear(kill_after: int | None = None) -> Callable[[Workspace], Family]:
    """The linear family; after so many fits it raises `Killed`."""
    fits = 0

    def build(workspace: Workspace) -> Family:
        known = family_of("tfidf-logreg", encode=no_encoder, workspace=workspace)

        def fit(of: TrainingSet, params: Params, judged: TrainingSet | None, place: str) -> Model:
            nonlocal fits
            if fits == kill_after:
                raise Killed
            fits += 1
            return known.fit(of, params, judged, place)

        return Family(known.name, fit, known.defaults, known.export)

    return build


def no_encoder(texts: Any) -> Any:
    raise AssertionError("the linear family reads no meaning")


def nowhere() -> StoredWorkspace:
    return StoredWorkspace(ObjectStore.at("memory:///"), "nowhere")


def tuning(
    store: ObjectStore,
    *,
    seed: int = 0,
    rows: list[dict[str, Any]] = ROWS,
    family: Callable[[Workspace], Family] | None = None,
) -> Tuning:
    build = family or linear()
    seen = TrainingSet.of(pa.Table.from_pylist(rows)).seen
    dataset = cut_dataset(store, "one", rows)
    study = describe_study(build(nowhere()), dataset.dataset_id, dataset.recipe, seen, seed=seed)
    return Tuning(Studies(store), study, seen, build)


def untimed(trials: list[Trial]) -> list[Trial]:
    return [trial.model_copy(update={"seconds": 0.0}) for trial in trials]


@pytest.fixture(scope="module")
def whole() -> tuple[list[Trial], Best]:
    """What a search that nobody disturbs comes to."""
    search = tuning(ObjectStore.at("memory:///"))
    best = search.run(TRIALS)
    return untimed(search.trials()), best


# ---------------------------------------------------------------- the search


@pytest.mark.parametrize("name", SPACES)
def test_a_familys_defaults_lie_in_its_space(name: str) -> None:
    defaults = family_of(name, encode=no_encoder, workspace=nowhere()).defaults
    for parameter, distribution in SPACES[name].items():
        assert distribution._contains(distribution.to_internal_repr(defaults[parameter]))


def test_the_first_trial_is_the_defaults_and_the_best_is_no_worse(
    whole: tuple[list[Trial], Best],
) -> None:
    trials, best = whole
    assert trials[0].params == {name: LOGREG[name] for name in SPACES["tfidf-logreg"]}
    assert len(trials) == TRIALS
    assert best.score == max(one.score for one in trials if one.state == "complete")
    assert best.params == trials[best.trial].params


@pytest.mark.parametrize("fits", [FOLDS, FOLDS + 3, 4 * FOLDS + 1])
def test_killed_pieces_try_the_same_as_one_run(
    store: ObjectStore, whole: tuple[list[Trial], Best], fits: int
) -> None:
    killed = 0
    while True:
        search = tuning(store, family=linear(kill_after=fits))
        try:
            best = search.run(TRIALS)
        except Killed:
            killed += 1
        else:
            break
    assert killed > 0
    assert (untimed(search.trials()), best) == whole


def test_what_has_ended_is_not_tried_again(store: ObjectStore) -> None:
    first = tuning(store).run(2)
    assert tuning(store, family=linear(kill_after=0)).run(2) == first


def test_a_trial_that_falls_behind_is_kept_as_pruned(whole: tuple[list[Trial], Best]) -> None:
    trials, best = whole
    pruned = [trial for trial in trials if trial.state == "pruned"]
    assert pruned
    assert all(2 <= len(trial.scores) < FOLDS for trial in pruned)
    assert all(len(trial.scores) == FOLDS for trial in trials if trial not in pruned)
    assert best.trial not in {trial.number for trial in pruned}


def test_the_best_trial_reproduces_to_the_last_digit(
    store: ObjectStore, whole: tuple[list[Trial], Best]
) -> None:
    best = Best.model_validate_json(whole[1].model_dump_json())
    assert tuning(store).again(best) == best.score


def test_its_score_is_that_of_the_answers_a_fit_is_judged_by(store: ObjectStore) -> None:
    search = tuning(store)
    best = search.run(1)
    of = TrainingSet.of(pa.Table.from_pylist(ROWS))
    fitted = fit_family(linear()(nowhere()), of, nowhere(), best.params)
    validation = evaluate(ready_alone(fitted, of).validation(of), {}, resamples=1)
    assert best.score == pytest.approx(validation.mean_average_precision, abs=1e-6)


def test_another_seed_tries_others(store: ObjectStore, whole: tuple[list[Trial], Best]) -> None:
    search = tuning(store, seed=1)
    search.run(3)
    ours, theirs = untimed(search.trials()), whole[0][:3]
    assert ours[0] == theirs[0]
    assert [one.params for one in ours[1:]] != [one.params for one in theirs[1:]]


def test_the_test_split_changes_nothing(
    store: ObjectStore, whole: tuple[list[Trial], Best]
) -> None:
    test = TrainingSet.of(pa.Table.from_pylist(ROWS)).test
    rows = [
        {**row, "plot": f"other {number}", "text": "other words", "genres": ["Crime"]}
        if hidden
        else row
        for number, (row, hidden) in enumerate(zip(ROWS, test, strict=True))
    ]
    search = tuning(store, rows=rows)
    assert (search.run(TRIALS), untimed(search.trials())) == whole[::-1]


def test_other_titles_are_another_study(store: ObjectStore) -> None:
    assert tuning(store).study.study_id == tuning(store).study.study_id
    assert tuning(store).study.study_id != tuning(store, rows=ROWS[:-1]).study.study_id


def test_a_study_that_lacks_a_trial_is_not_gone_on_with(store: ObjectStore) -> None:
    search = tuning(store)
    search.run(2)
    store.delete(f"{search.study.folder}/trials/00000.json")
    with pytest.raises(StudyDamaged, match="lacks"):
        search.run(3)


def test_a_network_has_a_workspace_for_a_trial_and_its_rate_falls_to_the_end(
    store: ObjectStore,
) -> None:
    tried: list[Params] = []

    def build(workspace: Workspace) -> Family:
        def fit(of: TrainingSet, params: Params, judged: TrainingSet | None, place: str) -> Model:
            assert workspace.load(f"{place}/epoch") is None
            workspace.save(f"{place}/epoch", b"how far it is")
            tried.append(params)
            plain = family_of("tfidf-logreg", encode=no_encoder, workspace=workspace)
            return plain.fit(of, LOGREG, judged, place)

        return Family("bert", fit, BERT, None, folds=3)

    search = tuning(store, family=build)
    search.run(3)
    assert len({params["epochs"] for params in tried}) > 1
    assert all(params["rate_epochs"] == params["epochs"] for params in tried)
    assert store.keys(f"{search.study.folder}/work") == []


# ---------------------------------------------------------------- the command


def command(*arguments: str) -> list[str]:
    return [sys.executable, "-m", "trending_trainer.tuning", *arguments]


def environment(home: Path) -> dict[str, str]:
    kept = {key: os.environ[key] for key in ("PATH", "HOME") if key in os.environ}
    return {**kept, "TRENDING_HOME": str(home), "OPENBLAS_NUM_THREADS": "1"}


def start(home: Path, *arguments: str) -> "subprocess.Popen[str]":
    """The command at work, once it has told of two trials."""
    process = subprocess.Popen(
        command("--family", "tfidf-logreg", *arguments),
        env=environment(home),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert process.stdout is not None
    for _ in range(3):
        assert process.stdout.readline()
    return process


def test_a_command_that_was_killed_goes_on(
    tmp_path: Path, store: ObjectStore, whole: tuple[list[Trial], Best]
) -> None:
    cut_dataset(store, "one", ROWS)
    process = start(tmp_path, "--trials", str(TRIALS))
    process.kill()
    process.communicate()
    assert process.returncode == -signal.SIGKILL
    done = subprocess.run(
        command("--family", "tfidf-logreg", "--trials", str(TRIALS), "--check", "--json"),
        env=environment(tmp_path),
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )
    assert (done.returncode, done.stderr) == (0, "fitted again, it scores the same\n")
    lines = [json.loads(line) for line in done.stdout.splitlines()]
    search = tuning(store)
    assert (untimed(search.trials()), Best.model_validate(lines[-1])) == whole
    assert lines[0]["dataset_id"] == "one"
    assert 1 < len(lines) - 2 < TRIALS  # those that the first hadn't come to
    assert store.get(f"{search.study.folder}/best.json")


def test_ctrl_c_keeps_what_has_ended(tmp_path: Path, store: ObjectStore) -> None:
    cut_dataset(store, "one", ROWS)
    process = start(tmp_path, "--trials", "1000")
    process.send_signal(signal.SIGINT)
    _, complaints = process.communicate(timeout=60)
    assert process.returncode == 130
    assert complaints == "stopped; trials that have ended are kept\n"
    assert len(tuning(store).trials()) >= 2


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        (["--family", "forest"], "error: no family 'forest' can be tuned; there are tfidf-logreg"),
        (
            ["--family", "tfidf-logreg", "--dataset", "two"],
            "error: the store holds no datasets/two",
        ),
    ],
)
def test_what_cannot_be_tuned_gives_one_line(
    tmp_path: Path, arguments: list[str], complaint: str
) -> None:
    done = subprocess.run(
        command(*arguments),
        env=environment(tmp_path),
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )
    assert done.returncode == 1
    assert done.stderr.startswith(complaint)
    assert done.stderr.count("\n") == 1


def test_without_a_dataset_nothing_is_tuned() -> None:
    with pytest.raises(DatasetUnfit, match="no dataset was ever cut"):
        open_tuning(TrainerSettings(), "tfidf-logreg", None, seed=0)


def test_help_names_the_families(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit, match="0"):
        main(["--help"])
    told = capsys.readouterr().out
    assert all(name in told for name in SPACES)
