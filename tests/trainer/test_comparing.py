"""Every family on one dataset, by one command."""

import json
from pathlib import Path

import pytest

from trending_shared.registry import ModelRegistry
from trending_shared.storage import ObjectStore
from trending_shared.testing.datasets import cut_dataset, some_rows
from trending_trainer.comparing import main
from trending_trainer.words import fit_logreg

QUICK = ["--families", "keywords,tfidf-logreg,tfidf-xgboost"]


@pytest.fixture
def store(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> ObjectStore:
    monkeypatch.setenv("STORE_URL", (tmp_path / "store").as_uri())
    monkeypatch.setenv("TRENDING_HOME", str(tmp_path / "home"))
    return ObjectStore.at((tmp_path / "store").as_uri())


def test_families_stand_side_by_side_and_their_bundles_can_be_looked_at(
    store: ObjectStore, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    cut_dataset(store, "one", some_rows())
    assert main([str(tmp_path / "models"), *QUICK]) == 0
    printed = capsys.readouterr().out.splitlines()
    lines = printed[next(n for n, line in enumerate(printed) if line.startswith("family ")) :]
    assert lines[0].split()[:2] == ["family", "macro-F1"]
    scores = [float(line.split()[1]) for line in lines[1:3]]
    assert scores == sorted(scores, reverse=True)
    assert {line.split()[0] for line in lines[1:3]} == {"tfidf-logreg", "tfidf-xgboost"}
    assert any(line.startswith("keywords") for line in lines[3:])
    registry = ModelRegistry(ObjectStore.at((tmp_path / "models").as_uri()))
    kept = registry.versions("genres")
    assert {one.metrics["split"] for one in kept} == {"title"}
    assert registry.pointer("genres") is None
    assert store.keys("models") == []


def test_another_split_has_other_test_titles(
    store: ObjectStore, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    cut_dataset(store, "one", some_rows())
    rows = {}
    for split in ("title", "time"):
        assert main([str(tmp_path / split), *QUICK, "--split", split, "--json"]) == 0
        (first, *_) = json.loads(capsys.readouterr().out.splitlines()[-1])
        assert first["metrics"]["split"] == split
        rows[split] = first["metrics"]["rows"]
    assert rows["time"] == 30


def test_a_comparison_that_was_stopped_goes_on(
    store: ObjectStore,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    cut_dataset(store, "one", some_rows())
    fits: list[int] = []

    def counted(*arguments: object) -> object:
        fits.append(len(fits))
        return fit_logreg(*arguments)  # type: ignore[arg-type]

    def stopped(*_: object) -> object:
        raise KeyboardInterrupt

    monkeypatch.setattr("trending_trainer.families.fit_logreg", counted)
    with monkeypatch.context() as patch:
        patch.setattr("trending_trainer.families.fit_xgboost", stopped)
        assert main([str(tmp_path / "models"), *QUICK]) == 130
    assert "goes on from here" in capsys.readouterr().err
    before = len(fits)
    assert before == 7
    assert main([str(tmp_path / "models"), *QUICK]) == 0
    assert len(fits) == before


@pytest.mark.parametrize(
    ("arguments", "status", "said"),
    [
        (["--dataset", "unknown"], 1, "unknown"),
        (["--families", "tarot"], 1, "TRAINER_FAMILIES: "),
        (["--families", "keywords"], 1, "no family that can be served"),
    ],
)
def test_what_cant_be_compared_is_said(
    store: ObjectStore,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    arguments: list[str],
    status: int,
    said: str,
) -> None:
    cut_dataset(store, "one", some_rows())
    assert main([str(tmp_path / "models"), *arguments]) == status
    error = capsys.readouterr().err
    assert said in error
    assert "Traceback" not in error
