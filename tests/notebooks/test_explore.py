"""The notebook runs, and what it says in git is what it would say now."""

import csv
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

NOTEBOOKS = Path(__file__).parents[2] / "notebooks"
COLUMNS = [
    *("show_id", "type", "title", "country", "date_added", "release_year", "rating", "duration"),
    *("listed_in", "description"),
]

pytestmark = pytest.mark.timeout(300)


def execute(tmp_path: Path, catalogue: Path | str = "") -> dict[str, Any]:
    """The notebook as it is after a run in a process of its own."""
    out = tmp_path / "explore.ipynb"
    places = {name: str(tmp_path) for name in ("IPYTHONDIR", "JUPYTER_RUNTIME_DIR", "MPLCONFIGDIR")}
    subprocess.run(
        [sys.executable, NOTEBOOKS / "execute.py", NOTEBOOKS / "explore.ipynb", out],
        env=os.environ | places | {"CATALOGUE": str(catalogue)},
        check=True,
    )
    found: dict[str, Any] = json.loads(out.read_text())
    return found


def said(notebook: dict[str, Any]) -> list[str]:
    """Its findings in words."""
    outputs = [output for cell in notebook["cells"] for output in cell.get("outputs", ())]
    return ["".join(output["data"].get("text/markdown", "")) for output in outputs]


def test_the_findings_in_git_are_those_of_the_demo(tmp_path: Path) -> None:
    """If this fails, `make notebook` writes them anew."""
    kept = json.loads((NOTEBOOKS / "explore.ipynb").read_text())
    notebook = execute(tmp_path)
    assert said(notebook) == said(kept)
    assert sum("image/png" in str(cell) for cell in notebook["cells"]) == 6


def test_another_catalogue_tells_of_its_own_faults(tmp_path: Path) -> None:
    file = tmp_path / "titles.csv"
    rows = [
        {
            "show_id": f"s{n}",
            "type": "TV Show" if n % 3 else "Movie",
            "title": f"Number {n}",
            "country": "" if n % 4 else "India, Japan",
            "date_added": " March 1, 2019",
            "release_year": 2000 + n % 21,
            "rating": "TV-MA",
            "duration": "1 Season" if n % 3 else "90 min",
            "listed_in": "Crime TV Shows, TV Dramas" if n % 3 else "Dramas, Independent Movies",
            "description": f"A detective of few words takes case {n} and never comes back.",
        }
        for n in range(90)
    ]
    rows[0]["title"] = "22-Jul"
    rows[2]["title"], rows[2]["description"] = "Number 1 (Tamil)", rows[1]["description"]
    with file.open("w", newline="") as opened:
        writer = csv.DictWriter(opened, COLUMNS)
        writer.writeheader()
        writer.writerows(rows)
    text = "\n".join(said(execute(tmp_path, file)))
    for finding in (
        "**90 titles** from `titles.csv`: 30 films and 60 shows",
        "90 have a space before it",
        "No film is ever Crime, though 30 would be",
        "**2 titles share their plot**",
        "Number 1 (2001) = Number 1 (Tamil) (2002)",
        "1 names were never anybody's: 22-Jul",
    ):
        assert finding in text
