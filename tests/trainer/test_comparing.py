"""Every family on one dataset, by one command."""

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


def compared(folder: Path, capsys: pytest.CaptureFixture[str], *arguments: str) -> str:
    """Compare; the options that are printed last."""
    assert main([str(folder), *QUICK, *arguments]) == 0
    return capsys.readouterr().out.splitlines()[-1]


def kept(folder: Path) -> ModelRegistry:
    return ModelRegistry(ObjectStore.at(folder.as_uri()))


def test_every_family_leaves_a_bundle_that_can_be_looked_at(
    store: ObjectStore, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    dataset = cut_dataset(store, "one", some_rows())
    said = compared(tmp_path / "models", capsys)
    assert said == f"--dataset {dataset.dataset_id} --split title"
    registry = kept(tmp_path / "models")
    bundles = registry.versions("genres")
    assert {one.algorithm for one in bundles} == {"tfidf-logreg", "tfidf-xgboost"}
    for one in bundles:
        assert (one.dataset_id, one.metrics["split"]) == (dataset.dataset_id, "title")
        assert "keywords" in one.metrics["baselines"]
    assert registry.pointer("genres") is None
    assert store.keys("models") == []


def test_another_split_has_other_test_titles_and_says_so(
    store: ObjectStore, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Also of one that is compared again, whose bundles are older than the other's."""
    cut_dataset(store, "one", some_rows())
    for split in ("title", "time", "title"):
        said = compared(tmp_path / "models", capsys, "--split", split)
        assert said.endswith(f" --split {split}")
    bundles = kept(tmp_path / "models").versions("genres")
    rows = {one.metrics["split"]: one.metrics["rows"] for one in bundles}
    assert len(bundles) == 4
    assert rows["time"] == 30
    assert rows["title"] != 30


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
