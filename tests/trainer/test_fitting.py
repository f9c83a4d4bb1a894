"""A training run from its request to its outcome, on a store in a folder."""

import json
import os
import re
import subprocess
import sys
from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

import numpy as np
import pytest
from numpy.typing import NDArray

from trending_shared.clock import SystemClock
from trending_shared.datasets import rows_key
from trending_shared.features import RECIPE, compose_text
from trending_shared.genres import GENRES
from trending_shared.onnx_models import load_bundle
from trending_shared.registry import Manifest, ModelRegistry
from trending_shared.storage import ObjectStore
from trending_shared.testing.datasets import cut_dataset, some_rows
from trending_trainer import words
from trending_trainer.bundling import Ancestry, AnswersUnusable, Made
from trending_trainer.families import BERT
from trending_trainer.fitting import Fitting
from trending_trainer.promotion import Limits
from trending_trainer.runs import Outcome, Request, Runs
from trending_trainer.settings import TrainerSettings
from trending_trainer.studies import Studies, Study, Trial
from trending_trainer.tracking import Tracker
from trending_trainer.training import Ready
from trending_trainer.training_set import Terms
from trending_trainer.words import LOGREG

QUICK = ("keywords", "tfidf-logreg", "tfidf-xgboost")


class Notes(Tracker):
    """Keeps what it is told instead of writing W&B's files."""

    def __init__(self) -> None:
        self.recorded: dict[str, dict[str, Any]] = {}

    def record(
        self,
        run_id: str,
        *,
        group: str,
        config: Mapping[str, Any],
        metrics: Mapping[str, float],
        tables: Mapping[str, Sequence[Mapping[str, Any]]],
    ) -> str | None:
        self.recorded[run_id] = {"config": config, "metrics": metrics, "tables": tables}
        return run_id


def no_encoder(texts: Sequence[str]) -> NDArray[np.float32]:
    raise AssertionError("no family of these tests reads meaning")


@pytest.fixture
def store(tmp_path: Path) -> ObjectStore:
    return ObjectStore.at((tmp_path / "store").as_uri())


def fitting(store: ObjectStore, *, kind: type[Fitting] = Fitting, **changes: Any) -> Fitting:
    settings: dict[str, Any] = {
        "families": QUICK,
        "encode": no_encoder,
        "tracker": Notes(),
        "clock": SystemClock(),
        "limits": Limits(ece=0.2),  # of two dozen test titles
        "terms": Terms(),
        "code_version": "test",
        "studies": Studies(store),
    }
    return kind(store, **(settings | changes))


def a_request(dataset_id: str | None = None) -> Request:
    return Request(
        run_id=uuid4(), correlation_id=uuid4(), dataset_id=dataset_id, reason="for a test"
    )


def run(store: ObjectStore, request: Request, **changes: Any) -> Outcome:
    """One run, in a workspace of its own."""
    runs = Runs(store, lease=TrainerSettings().lease)
    return fitting(store, **changes).run(request, runs.workspace(request.run_id))


def test_the_first_good_model_becomes_the_champion_and_can_be_run_from_the_registry(
    store: ObjectStore,
) -> None:
    cut_dataset(store, "one", some_rows())
    notes = Notes()
    request = a_request("one")
    outcome = run(store, request, tracker=notes)
    assert outcome.promoted is not None
    assert outcome.refused is None
    assert {event.algorithm for event in outcome.registered} == {"tfidf-logreg", "tfidf-xgboost"}
    registry = ModelRegistry(store)
    champion = registry.champion("genres")
    assert champion.version == outcome.promoted.model_version
    assert champion.metrics["macro_f1"] > 0.9
    assert champion.metrics["genres"]["Crime"]["support"] > 0
    assert set(champion.metrics["baselines"]) == {"the most frequent genre", "keywords"}
    assert champion.dataset_id == "one"
    assert "| Comedy |" in champion.card
    graph = load_bundle(registry, champion)
    text = compose_text(name="New", plot="the ghost of a haunted grave", kind="film")
    answers = dict(zip(GENRES, graph.predict([text])[0], strict=True))
    assert max(answers, key=answers.__getitem__) == "Horror"
    assert answers["Horror"] >= champion.thresholds["Horror"]


def test_a_run_says_what_it_was_made_of_and_which_event_asked(store: ObjectStore) -> None:
    cut_dataset(store, "one", some_rows())
    notes, request = Notes(), a_request("one")
    outcome = run(store, request, tracker=notes)
    for event in outcome.registered:
        assert event.wandb_run is not None
        recorded = notes.recorded[event.wandb_run]
        config = recorded["config"]
        assert config["event_id"] == str(request.run_id)
        assert config["dataset_id"] == "one"
        assert config["algorithm"] == event.algorithm
        assert config["params"].keys() == {event.algorithm}
        assert len(config["environment"]) == 16
        assert config["seed"] == words._SEED == BERT["seed"]
        assert recorded["metrics"]["macro_f1"] == event.macro_f1
        assert recorded["metrics"]["fit_seconds"] > 0
        assert [row["genre"] for row in recorded["tables"]["genres"]] == list(GENRES)


def test_the_answers_of_the_test_split_are_kept_beside_the_graph(store: ObjectStore) -> None:
    import io

    cut_dataset(store, "one", some_rows())
    run(store, a_request("one"))
    registry = ModelRegistry(store)
    champion = registry.champion("genres")
    with np.load(io.BytesIO(registry.file(champion, "answers.npz")), allow_pickle=False) as kept:
        assert kept["probabilities"].shape == (champion.metrics["rows"], len(GENRES))
        assert set(kept["slice kind"]) == {"film", "show"}


def test_titles_that_may_not_be_learned_from_are_left_out_and_counted(store: ObjectStore) -> None:
    rows = some_rows()
    tmdb = {"source": "tmdb", "license": "LicenseRef-TMDB"}
    cut_dataset(store, "one", [row | tmdb if n < 30 else row for n, row in enumerate(rows)])
    outcome = run(store, a_request("one"), terms=Terms(sources=frozenset({"tmdb"})))
    assert outcome.promoted is not None
    champion = ModelRegistry(store).champion("genres")
    assert champion.metrics["left_out"] == {"LicenseRef-TMDB": 30}
    assert champion.metrics["trained_on"] + champion.metrics["rows"] == 120
    assert "Of the texts: test (120)." in champion.card
    assert "don't permit training: LicenseRef-TMDB (30)." in champion.card


def test_a_dataset_of_which_nothing_may_be_learned_leads_to_a_refusal(store: ObjectStore) -> None:
    cut_dataset(store, "one", [row | {"license": "LicenseRef-TMDB"} for row in some_rows()])
    terms = Terms(licenses=frozenset({"licenseref-tmdb"}))
    assert run(store, a_request("one"), terms=terms).refused is not None


def test_an_attempt_that_died_after_the_promotion_is_not_judged_against_itself(
    store: ObjectStore,
) -> None:
    cut_dataset(store, "one", some_rows())
    request = a_request("one")
    first = run(store, request)
    again = run(store, request)
    assert again == first
    assert [pointer.number for pointer in ModelRegistry(store).history("genres")] == [1]


def test_another_run_on_the_same_titles_is_refused_as_the_champion_itself(
    store: ObjectStore,
) -> None:
    cut_dataset(store, "one", some_rows())
    first = run(store, a_request("one"))
    second = run(store, a_request("one"))
    assert first.promoted is not None
    assert second.refused is not None
    assert second.refused.model_version == first.promoted.model_version
    assert "champion" in second.refused.reasons[0]
    assert len(ModelRegistry(store).versions("genres")) == 2


def test_the_champion_is_measured_again_on_the_candidates_test_titles(store: ObjectStore) -> None:
    cut_dataset(store, "one", some_rows())
    run(store, a_request("one"))
    cut_dataset(
        store, "two", some_rows(swap=True)
    )  # what was right of the first dataset is wrong here
    outcome = run(store, a_request("two"))
    assert outcome.promoted is not None
    assert outcome.promoted.number == 2
    (reason,) = outcome.promoted.reasons
    found = re.search(r"against the champion's (0\.\d+)", reason)
    assert found is not None
    assert float(found[1]) < 0.3


def test_where_an_experiment_decides_a_better_candidate_is_approved_and_nothing_moves(
    store: ObjectStore,
) -> None:
    cut_dataset(store, "one", some_rows())
    first = run(store, a_request("one"), tried=True)
    assert first.promoted is not None
    cut_dataset(store, "two", some_rows(swap=True))
    request = a_request("two")
    outcome = run(store, request, tried=True)
    assert outcome.verdict == "approved"
    assert outcome.approved is not None
    assert outcome.approved.champion == first.promoted.model_version
    assert "against the champion's" in outcome.approved.reasons[0]
    assert ModelRegistry(store).champion("genres").version == first.promoted.model_version
    told = outcome.messages(request)
    assert [message.event for message in told][-1] == outcome.approved
    assert [message.id for message in told] == [each.id for each in outcome.messages(request)]


def test_a_worse_candidate_is_refused_by_the_gate_before_any_experiment(
    store: ObjectStore,
) -> None:
    cut_dataset(store, "one", some_rows())
    run(store, a_request("one"), tried=True)
    assert run(store, a_request("one"), tried=True).verdict == "refused"


@pytest.mark.parametrize("tried", [False, True], ids=["gates", "experiment"])
def test_a_champion_whose_graph_is_gone_makes_way(store: ObjectStore, tried: bool) -> None:
    cut_dataset(store, "one", some_rows())
    first = run(store, a_request("one"))
    assert first.promoted is not None
    store.put(f"models/genres/{first.promoted.model_version}/model.onnx", b"nonsense")
    cut_dataset(store, "two", some_rows(180))
    outcome = run(store, a_request("two"), tried=tried)
    assert outcome.promoted is not None
    assert outcome.promoted.previous == first.promoted.model_version


def test_without_a_dataset_named_the_newest_is_taken(store: ObjectStore) -> None:
    cut_dataset(store, "old", some_rows(90))
    cut_dataset(store, "new", some_rows())
    outcome = run(store, a_request())
    assert {event.dataset_id for event in outcome.registered} == {"new"}


@pytest.mark.parametrize(
    ("cut", "wanted", "reason"),
    [
        (None, None, "no dataset was ever cut"),
        (None, "unknown", "ObjectMissing"),
        ({"rows": some_rows(3)}, "one", "TooFewTitles"),
    ],
)
def test_a_dataset_that_nothing_can_be_learned_from_is_refused_with_the_reason(
    store: ObjectStore, cut: dict[str, Any] | None, wanted: str | None, reason: str
) -> None:
    if cut is not None:
        cut_dataset(store, "one", **({"rows": some_rows()} | cut))
    outcome = run(store, a_request(wanted))
    assert outcome.registered == ()
    assert outcome.verdict == "refused"
    assert outcome.refused is not None
    assert reason in outcome.refused.reasons[0]


def test_of_a_run_with_one_unusable_model_none_is_registered(store: ObjectStore) -> None:
    class Wild(Fitting):
        """Its trees answer with what is no number."""

        def _make(self, ready: Ready, of: Ancestry) -> Made:
            if ready.family == "tfidf-xgboost":
                raise AnswersUnusable("tfidf-xgboost answered with no number")
            return super()._make(ready, of)

    cut_dataset(store, "one", some_rows())
    outcome = run(store, a_request("one"), kind=Wild)
    assert outcome.registered == ()
    assert outcome.verdict == "refused"
    assert outcome.refused is not None
    assert outcome.refused.reasons[0].startswith("AnswersUnusable")
    assert ModelRegistry(store).versions("genres") == []


def test_a_changed_dataset_is_refused(store: ObjectStore) -> None:
    cut_dataset(store, "one", some_rows())
    store.put(rows_key("one"), b"other bytes")
    outcome = run(store, a_request("one"))
    assert outcome.refused is not None
    assert "DatasetDamaged" in outcome.refused.reasons[0]


# ---------------------------------------------------------------- with what tuning has found


def a_study(store: ObjectStore, *, recipe: str = RECIPE, day: int = 1, **params: Any) -> Study:
    """A study of the linear family, of three trials, the second of which is the best."""
    studies = Studies(store)
    study = Study(
        family="tfidf-logreg",
        dataset_id="another",
        recipe=recipe,
        split="title",
        rows=100,
        titles="",
        defaults={},
        space={},
        seed=day,
        code="",
        created_at=datetime(2026, 3, day, tzinfo=UTC),
    )
    studies.begin(study)
    tried = {"state": "complete", "seconds": 1.0}
    trials = [
        Trial(number=0, params={"C": 4.0}, scores=(0.4, 0.5), **tried),
        Trial(number=1, params=params, scores=(0.5, 0.6), **tried),
        Trial(number=2, params={"C": 9.0}, scores=(0.7,), **tried | {"state": "pruned"}),
    ]
    for trial in trials:
        studies.keep(study, trial)
    studies.name_best(study, trials)
    return study


def linear(store: ObjectStore, **changes: Any) -> Manifest:
    """The linear family's model of a run of its own."""
    run(store, a_request("one"), families=("tfidf-logreg",), **changes)
    return ModelRegistry(store).versions("genres")[-1]


def test_a_fit_takes_the_best_parameters_of_the_newest_study(store: ObjectStore) -> None:
    cut_dataset(store, "one", some_rows())
    a_study(store, day=2, C=2.5)
    newest = a_study(store, day=3, C=0.5)
    a_study(store, day=1, C=3.5)
    notes = Notes()
    model = linear(store, tracker=notes)
    assert model.params == {"tfidf-logreg": {**LOGREG, "C": 0.5}}
    told = {"tfidf-logreg": {"study": newest.study_id, "trial": 1, "score": 0.6}}
    assert model.metrics["tuned"] == told
    (recorded,) = notes.recorded.values()
    assert recorded["config"]["tuned"] == told
    rows = recorded["tables"]["trials"]
    assert [(row["trial"], row["state"], row["score"]) for row in rows] == [
        (0, "complete", 0.5),
        (1, "complete", 0.6),
        (2, "pruned", 0.7),
    ]
    assert rows[1]["params"] == '{"C": 0.5}'


@pytest.mark.parametrize(
    ("study", "changes"),
    [
        ({"C": 0.5}, {"studies": None}),
        ({"C": 0.5, "recipe": "another-9"}, {}),
        ({"C": 0.5, "no_longer_taken": 1}, {}),
    ],
)
def test_a_study_that_does_not_fit_is_not_used(
    store: ObjectStore, study: dict[str, Any], changes: dict[str, Any]
) -> None:
    cut_dataset(store, "one", some_rows())
    a_study(store, **study)
    model = linear(store, **changes)
    assert model.params["tfidf-logreg"]["C"] == 4.0
    assert model.metrics["tuned"] == {}


def test_all_attempts_at_a_run_take_the_same_study(store: ObjectStore) -> None:
    cut_dataset(store, "one", some_rows())
    a_study(store, day=1, C=0.5)
    request = a_request("one")
    first = run(store, request, families=("tfidf-logreg",))
    a_study(store, day=2, C=2.5)
    store.delete(f"runs/{request.run_id}/work/tfidf-logreg/fitted.npz")  # it died before that
    assert run(store, request, families=("tfidf-logreg",)) == first


def _environment(home: Path) -> dict[str, str]:
    kept = {key: os.environ[key] for key in ("PATH", "HOME") if key in os.environ}
    quick = {"TRAINER_FAMILIES": ",".join(QUICK), "TRAINER_MAX_ECE": "0.2"}
    return {**kept, **quick, "TRENDING_HOME": str(home)}


def _open_run(home: Path) -> tuple[Runs, UUID]:
    store = ObjectStore.at((home / "store").as_uri())
    cut_dataset(store, "one", some_rows())
    runs = Runs(store, lease=TrainerSettings().lease)
    request = a_request("one")
    runs.claim(request)
    return runs, request.run_id


def test_the_process_leaves_the_outcome_a_heartbeat_and_an_offline_run(tmp_path: Path) -> None:
    runs, run_id = _open_run(tmp_path)
    done = subprocess.run(
        [sys.executable, "-m", "trending_trainer.fitting", str(run_id), "1", str(os.getpid())],
        env=_environment(tmp_path),
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )
    assert done.returncode == 0, done.stderr
    outcome = runs.outcome(run_id)
    assert outcome is not None
    assert outcome.promoted is not None
    store = ObjectStore.at((tmp_path / "store").as_uri())
    assert any(key.endswith("0001.heartbeat") for key in store.keys(f"runs/{run_id}"))
    kept = list((tmp_path / "wandb").glob("offline-run-*/run-*.wandb"))
    assert {event.wandb_run for event in outcome.registered} == {
        file.name.removeprefix("run-").removesuffix(".wandb") for file in kept
    }


def test_a_killed_fit_goes_on_and_fits_nothing_twice(tmp_path: Path) -> None:
    runs, run_id = _open_run(tmp_path)

    def start(attempt: int) -> subprocess.Popen[str]:
        return subprocess.Popen(
            [
                *(sys.executable, "-m", "trending_trainer.fitting"),
                *(str(run_id), str(attempt), str(os.getpid())),
            ],
            env=_environment(tmp_path),
            stderr=subprocess.PIPE,
            text=True,
        )

    def judged(lines: Iterable[str]) -> list[str]:
        told = [json.loads(line) for line in lines if "fold_judged" in line]
        return [line["family"] for line in told]

    first = start(1)
    assert first.stderr is not None
    before = []
    for line in first.stderr:
        before.append(line)
        if "family_fitted" in line and "tfidf-logreg" in line:
            first.kill()
            break
    before += first.communicate(timeout=60)[1].splitlines()
    assert runs.outcome(run_id) is None
    second = start(2)
    after = second.communicate(timeout=120)[1].splitlines()
    assert second.returncode == 0, after
    assert set(judged(after)) == {"tfidf-xgboost"}
    assert judged(before).count("tfidf-logreg") == judged(after).count("tfidf-xgboost") == 6
    outcome = runs.outcome(run_id)
    assert outcome is not None
    assert {event.algorithm for event in outcome.registered} == {"tfidf-logreg", "tfidf-xgboost"}
    runs.close(run_id)
    store = ObjectStore.at((tmp_path / "store").as_uri())
    assert store.keys(f"runs/{run_id}/work") == []


def test_a_fit_whose_trainer_was_killed_ends_without_an_outcome(tmp_path: Path) -> None:
    runs, run_id = _open_run(tmp_path)
    trainer = subprocess.Popen([sys.executable, "-c", ""])
    trainer.wait()
    fit = subprocess.run(
        [sys.executable, "-m", "trending_trainer.fitting", str(run_id), "1", str(trainer.pid)],
        env=_environment(tmp_path),
        check=False,
        timeout=120,
    )
    assert fit.returncode == os.EX_TEMPFAIL
    assert runs.outcome(run_id) is None
