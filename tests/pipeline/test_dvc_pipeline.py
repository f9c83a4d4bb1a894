"""What `dvc.yaml` says of its stages is true; DVC itself isn't needed for that."""

import json
import subprocess
import sys
from configparser import ConfigParser
from pathlib import Path
from typing import Any, get_args

import pytest
import yaml
from pipeline.demo_csv import write

from trending_demo.catalogue import csv_catalogue, demo_catalogue
from trending_shared.features import RECIPE
from trending_trainer.settings import FAMILIES
from trending_trainer.training_set import Split

ROOT = Path(__file__).parents[2]
STAGES: dict[str, dict[str, Any]] = yaml.safe_load((ROOT / "dvc.yaml").read_text())["stages"]
PARAMS: dict[str, Any] = yaml.safe_load((ROOT / "params.yaml").read_text())
MODULES = {
    "catalogue": "pipeline.demo_csv",
    "clean": "pipeline.snapshots",
    "features": "pipeline.snapshots",
    "train": "trending_trainer.comparing",
    "evaluate": "pipeline.evaluate",
}
LIST_MODULES = (
    "import importlib, json, sys; importlib.import_module(sys.argv[1]); "
    "print(json.dumps([m.__file__ for m in list(sys.modules.values()) "
    "if getattr(m, '__file__', None)]))"
)


@pytest.mark.parametrize("stage", STAGES)
def test_a_stage_depends_on_all_code_of_ours_that_it_loads(stage: str) -> None:
    module = MODULES[stage]
    assert f"-m {module} " in str(STAGES[stage]["cmd"])
    command = [sys.executable, "-c", LIST_MODULES, module]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True)
    loaded = {Path(file) for file in json.loads(done.stdout.splitlines()[-1])}
    ours = {
        file.relative_to(ROOT)
        for file in loaded
        if file.is_relative_to(ROOT) and not file.relative_to(ROOT).parts[0].startswith(".")
    }
    deps = [Path(each) for each in STAGES[stage]["deps"]]
    left_out = {file for file in ours if not any(file.is_relative_to(dep) for dep in deps)}
    assert left_out <= {Path("pipeline/__init__.py")}
    assert ours - left_out
    assert Path("constraints.txt") in deps
    for dep in deps:
        made = any(dep.is_relative_to(out) for each in STAGES.values() for out in outs(each))
        assert made or str(dep) == "${catalogue}" or (ROOT / dep).exists(), dep


def outs(stage: dict[str, Any]) -> list[str]:
    return [*stage.get("outs", []), *stage.get("metrics", [])]


def test_the_parameters_are_what_training_takes_by_itself() -> None:
    train = PARAMS["train"]
    assert train["recipe"] == RECIPE
    assert train["split"] in get_args(Split)
    assert set(train["families"].split(",")) <= set(FAMILIES)
    assert PARAMS["catalogue"] in outs(STAGES["catalogue"])


def test_what_is_made_is_never_committed() -> None:
    made = [out for stage in STAGES.values() for out in outs(stage)]
    command = ["git", "check-ignore", *made, "data/a.csv", "data/98d661cac4a53c83"]
    ignored = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True)
    assert len(ignored.stdout.splitlines()) == len(made) + 2
    pointers = ["git", "check-ignore", "dvc.lock", "data/98d661cac4a53c83.dvc"]
    assert subprocess.run(pointers, cwd=ROOT, capture_output=True, check=False).returncode == 1


def test_dvc_tells_nobody_and_names_no_machine() -> None:
    config = ConfigParser()
    config.read_string("\n".join(map(str.strip, (ROOT / ".dvc/config").read_text().splitlines())))
    assert not config["core"].getboolean("analytics")
    assert not config["core"].getboolean("check_update")
    remote = config["'remote \"folder\"'"]
    assert (remote["url"], remote.getboolean("verify")) == ("../.trending/dvc", True)


def test_the_demos_catalogue_as_a_file_has_all_its_titles_the_same_every_time(
    tmp_path: Path,
) -> None:
    files = [tmp_path / "one" / "demo.csv", tmp_path / "two" / "demo.csv"]
    assert {write(file) for file in files} == {len(demo_catalogue().titles)}
    assert files[0].read_bytes() == files[1].read_bytes()
    read = csv_catalogue(files[0]).by_id
    for title in demo_catalogue().titles:
        found = read[title.id]
        for name in ("name", "kind", "year", "genres", "plot", "countries", "seasons"):
            assert getattr(found, name) == getattr(title, name), (title.id, name)
