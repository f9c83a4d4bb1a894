"""A training run from its request to its outcome, on a store in a folder."""

import hashlib
import io
import os
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

import pandas as pd
import pytest

from trending_shared.clock import SystemClock
from trending_shared.datasets import DatasetFile, DatasetManifest, rows_key
from trending_shared.features import RECIPE, compose_text
from trending_shared.genres import GENRES
from trending_shared.onnx_models import OnnxModel
from trending_shared.registry import ModelRegistry
from trending_shared.storage import ObjectStore
from trending_trainer.exporting import AnswersUnusable
from trending_trainer.fitting import Fitted, Fitting
from trending_trainer.runs import Request, Runs
from trending_trainer.settings import TrainerSettings
from trending_trainer.tracking import Tracker
from trending_trainer.training_set import Terms

STORIES = {
    "Comedy": "a silly prank ruins the wedding and everybody laughs",
    "Crime": "a detective hunts the murderer after the heist",
    "Horror": "a cursed house is haunted by a screaming ghost",
}


class Notes(Tracker):
    """Keeps what it is told instead of writing W&B's files."""

    def __init__(self) -> None:
        self.recorded: dict[str, Mapping[str, float]] = {}

    def record(
        self,
        run_id: str,
        *,
        group: str,
        config: Mapping[str, Any],
        metrics: Mapping[str, float],
        genres: Mapping[str, Mapping[str, float]],
    ) -> str | None:
        self.recorded[run_id] = metrics
        return run_id


def cut_dataset(
    store: ObjectStore,
    name: str,
    *,
    titles: int = 120,
    recipe: str = RECIPE,
    swap: bool = False,
    tmdb: int = 0,
) -> None:
    """Publish a dataset; with `swap` every story stands under the next genre.

    Its first `tmdb` titles are TMDB's.
    """
    genres = list(STORIES)
    rows = []
    for number in range(titles):
        genre = genres[number % 3]
        said = genres[(number + swap) % 3]
        text = compose_text(
            name=f"Title {number}", plot=f"{STORIES[said]} in town {number % 7}", kind="film"
        )
        rows.append(
            {
                "title_id": f"t{number:03}",
                "source": "tmdb" if number < tmdb else "demo",
                "license": "LicenseRef-TMDB" if number < tmdb else "test",
                "source_id": f"s{number}",
                "kind": "film",
                "text": text,
                "genres": [genre],
            }
        )
    buffer = io.BytesIO()
    pd.DataFrame(rows).to_parquet(buffer)
    data = buffer.getvalue()
    file = DatasetFile(key=rows_key(name), sha256=hashlib.sha256(data).hexdigest(), bytes=len(data))
    manifest = DatasetManifest(
        dataset_id=name,
        created_at=SystemClock().now(),
        rows=titles,
        labelled=titles,
        reviews=0,
        columns={},
        recipe=recipe,
        tables={},
        files=(file,),
        sources={"demo": titles},
        licenses={"LicenseRef-TMDB": tmdb, "test": titles - tmdb},
        labels={},
        code_version="test",
        requested_by=uuid4(),
        correlation_id=uuid4(),
    )
    store.put(file.key, data)
    store.put(manifest.key, manifest.model_dump_json().encode())


@pytest.fixture
def store(tmp_path: Path) -> ObjectStore:
    return ObjectStore.at((tmp_path / "store").as_uri())


def fitting(
    store: ObjectStore, *, tracker: Tracker | None = None, terms: Terms | None = None
) -> Fitting:
    return Fitting(
        store,
        tracker=tracker or Notes(),
        clock=SystemClock(),
        margin=0.0,
        terms=terms or Terms(),
        code_version="test",
    )


def a_request(dataset_id: str | None = None) -> Request:
    return Request(
        run_id=uuid4(), correlation_id=uuid4(), dataset_id=dataset_id, reason="for a test"
    )


def test_the_first_good_model_becomes_the_champion_and_can_be_run_from_the_registry(
    store: ObjectStore,
) -> None:
    cut_dataset(store, "one")
    notes = Notes()
    outcome = fitting(store, tracker=notes).run(a_request("one"))
    assert outcome.promoted is not None
    assert outcome.refused is None
    assert {event.algorithm for event in outcome.registered} == {"tfidf-logreg", "tfidf-xgboost"}
    registry = ModelRegistry(store)
    champion = registry.champion("genres")
    assert champion.version == outcome.promoted.model_version
    assert champion.metrics["macro_f1"] == 1.0
    assert champion.metrics["genres"]["Crime"]["support"] > 0
    assert champion.wandb_run in notes.recorded
    assert champion.dataset_id == "one"
    assert "| Comedy |" in champion.card
    graph = OnnxModel.load(registry.onnx(champion), GENRES)
    text = compose_text(name="New", plot="the ghost of a haunted house", kind="film")
    answers = dict(zip(GENRES, graph.predict([text])[0], strict=True))
    assert max(answers, key=answers.__getitem__) == "Horror"
    assert answers["Horror"] >= champion.thresholds["Horror"]


def test_titles_that_may_not_be_learned_from_are_left_out_and_counted(store: ObjectStore) -> None:
    cut_dataset(store, "one", titles=150, tmdb=30)
    outcome = fitting(store, terms=Terms(sources=frozenset({"tmdb"}))).run(a_request("one"))
    assert outcome.promoted is not None
    champion = ModelRegistry(store).champion("genres")
    assert champion.metrics["left_out"] == {"LicenseRef-TMDB": 30}
    assert champion.metrics["trained_on"] + champion.metrics["rows"] == 120
    assert "Licences of the texts: test (120)." in champion.card
    assert "don't permit training: LicenseRef-TMDB (30)." in champion.card


def test_a_dataset_of_which_nothing_may_be_learned_leads_to_a_refusal(store: ObjectStore) -> None:
    cut_dataset(store, "one", tmdb=120)
    terms = Terms(licenses=frozenset({"licenseref-tmdb"}))
    assert fitting(store, terms=terms).run(a_request("one")).refused is not None


def test_an_attempt_that_died_after_the_promotion_is_not_judged_against_itself(
    store: ObjectStore,
) -> None:
    cut_dataset(store, "one")
    request = a_request("one")
    first = fitting(store).run(request)
    again = fitting(store).run(request)
    assert again == first
    assert [pointer.number for pointer in ModelRegistry(store).history("genres")] == [1]


def test_another_run_on_the_same_titles_is_refused_as_the_champion_itself(
    store: ObjectStore,
) -> None:
    cut_dataset(store, "one")
    first = fitting(store).run(a_request("one"))
    second = fitting(store).run(a_request("one"))
    assert first.promoted is not None
    assert second.refused is not None
    assert second.refused.model_version == first.promoted.model_version
    assert "champion" in second.refused.reasons[0]
    assert len(ModelRegistry(store).versions("genres")) == 2


def test_the_champion_is_measured_again_on_the_candidates_test_titles(store: ObjectStore) -> None:
    cut_dataset(store, "one")
    fitting(store).run(a_request("one"))
    cut_dataset(store, "two", swap=True)  # what was right of the first dataset is wrong here
    outcome = fitting(store).run(a_request("two"))
    assert outcome.promoted is not None
    assert outcome.promoted.number == 2
    (reason,) = outcome.promoted.reasons
    assert "against the champion's 0.0000" in reason


def test_a_champion_whose_graph_is_gone_makes_way(store: ObjectStore) -> None:
    cut_dataset(store, "one")
    first = fitting(store).run(a_request("one"))
    assert first.promoted is not None
    store.put(f"models/genres/{first.promoted.model_version}/model.onnx", b"nonsense")
    cut_dataset(store, "two", titles=150)
    outcome = fitting(store).run(a_request("two"))
    assert outcome.promoted is not None
    assert outcome.promoted.previous == first.promoted.model_version


def test_without_a_dataset_named_the_newest_is_taken(store: ObjectStore) -> None:
    cut_dataset(store, "old", titles=90)
    cut_dataset(store, "new")
    outcome = fitting(store).run(a_request())
    assert {event.dataset_id for event in outcome.registered} == {"new"}


@pytest.mark.parametrize(
    ("cut", "wanted", "reason"),
    [
        (None, None, "no dataset was ever cut"),
        (None, "unknown", "ObjectMissing"),
        ({"titles": 3}, "one", "TooFewTitles"),
        ({"recipe": "another-9"}, "one", "another-9"),
    ],
)
def test_a_dataset_that_nothing_can_be_learned_from_is_refused_with_the_reason(
    store: ObjectStore, cut: dict[str, Any] | None, wanted: str | None, reason: str
) -> None:
    if cut is not None:
        cut_dataset(store, "one", **cut)
    outcome = fitting(store).run(a_request(wanted))
    assert outcome.registered == ()
    assert outcome.verdict == "refused"
    assert outcome.refused is not None
    assert reason in outcome.refused.reasons[0]


def test_of_a_run_with_one_unusable_model_none_is_registered(store: ObjectStore) -> None:
    class Wild(Fitting):
        """Its trees answer with what is no number."""

        def _fit(self, request: Any, family: Any, *rest: Any) -> Fitted:
            if family == "tfidf-xgboost":
                raise AnswersUnusable("tfidf-xgboost answered with no number")
            return super()._fit(request, family, *rest)

    cut_dataset(store, "one")
    wild = Wild(
        store,
        tracker=Notes(),
        clock=SystemClock(),
        margin=0.0,
        terms=Terms(),
        code_version="test",
    )
    outcome = wild.run(a_request("one"))
    assert outcome.registered == ()
    assert outcome.verdict == "refused"
    assert outcome.refused is not None
    assert outcome.refused.reasons[0].startswith("AnswersUnusable")
    assert ModelRegistry(store).versions("genres") == []


def test_a_changed_dataset_is_refused(store: ObjectStore) -> None:
    cut_dataset(store, "one")
    store.put(rows_key("one"), b"other bytes")
    outcome = fitting(store).run(a_request("one"))
    assert outcome.refused is not None
    assert "DatasetDamaged" in outcome.refused.reasons[0]


def _environment(home: Path) -> dict[str, str]:
    kept = {key: os.environ[key] for key in ("PATH", "HOME") if key in os.environ}
    return {**kept, "TRENDING_HOME": str(home)}


def _open_run(home: Path) -> tuple[Runs, UUID]:
    store = ObjectStore.at((home / "store").as_uri())
    cut_dataset(store, "one")
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
