"""Bundles are measured anew, and a score that isn't the manifest's is an error."""

import json
from pathlib import Path

import pytest
from pipeline.evaluate import main

from trending_shared.registry import Manifest
from trending_shared.storage import ObjectStore
from trending_shared.testing.datasets import cut_dataset, some_rows
from trending_trainer.comparing import main as compare


@pytest.fixture
def trained(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Manifest:
    monkeypatch.setenv("STORE_URL", (tmp_path / "store").as_uri())
    cut_dataset(ObjectStore.at((tmp_path / "store").as_uri()), "one", some_rows())
    families = ["--families", "keywords,tfidf-logreg"]
    assert compare([str(tmp_path / "registry"), *families, "--split", "source-id"]) == 0
    return manifest_in(tmp_path)[1]


def manifest_in(folder: Path) -> tuple[Path, Manifest]:
    (file,) = (folder / "registry" / "models").rglob("manifest.json")
    return file, Manifest.model_validate_json(file.read_bytes())


def evaluate(folder: Path) -> int:
    return main([str(folder / name) for name in ("store", "registry", "evaluation")])


def test_the_exported_graph_reaches_what_its_manifest_tells(
    trained: Manifest, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    capsys.readouterr()
    assert evaluate(tmp_path) == 0
    assert "all scores as in its manifest" in capsys.readouterr().out
    folder = tmp_path / "evaluation"
    found = json.loads((folder / "metrics.json").read_text())
    family = found["families"]["tfidf-logreg"]
    assert found["best"] == "tfidf-logreg"
    assert family["macro_f1"] == trained.metrics["macro_f1"]
    assert family["macro_f1_low"] == trained.metrics["macro_f1_interval"]["low"]
    assert family["ece"] == trained.metrics["calibration"]["ece"]
    assert set(found["baselines"]) == {"keywords", "the most frequent genre"}
    genres = json.loads((folder / "genres.json").read_text())
    assert {row["genre"]: row["f1"] for row in genres} == {
        name: score["f1"] for name, score in trained.metrics["genres"].items() if score["support"]
    }
    assert trained.version in (folder / "pages" / "tfidf-logreg.html").read_text()
    written = {file: file.read_bytes() for file in folder.rglob("*.*")}
    assert evaluate(tmp_path) == 0
    assert {file: file.read_bytes() for file in folder.rglob("*.*")} == written


def test_a_score_that_isnt_the_manifests_is_an_error(
    trained: Manifest, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file, _ = manifest_in(tmp_path)
    for name, more in (("macro_f1", 1e-4), ("rows", 1)):
        told = trained.metrics[name] + more
        metrics = {**trained.metrics, name: told}
        file.write_text(trained.model_copy(update={"metrics": metrics}).model_dump_json())
        assert evaluate(tmp_path) == 1
        said = f": {name} is {trained.metrics[name]}, its manifest tells {told}"
        assert said in capsys.readouterr().err
        assert not (tmp_path / "evaluation").exists()


def test_a_registry_without_a_model_is_an_error(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert evaluate(tmp_path) == 1
    assert "holds no model" in capsys.readouterr().err
