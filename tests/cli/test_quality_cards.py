"""The data cards: what they say, and that no number in the committed ones is stale."""

import os
import shutil
from pathlib import Path
from typing import Any

import pytest
from pipeline.demo_store import build

from trending_cli.quality.cards import stale_lines
from trending_shared.datasets import DatasetManifest
from trending_shared.sources import read_catalogue

ROOT = Path(__file__).parents[2]
CARDS = ROOT / "docs" / "data-cards"

pytestmark = pytest.mark.timeout(300)


@pytest.fixture(scope="module")
def demo_store(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, DatasetManifest]:
    """The store that the demo leads to."""
    home = tmp_path_factory.mktemp("demo")
    return home, build(home / "store")


@pytest.fixture
def at_demo(offline: Any, demo_store: tuple[Path, DatasetManifest]) -> Any:
    """A terminal at that store, and a copy of the cards that may be changed."""
    offline.env["STORE_URL"] = (demo_store[0] / "store").as_uri()
    shutil.copytree(CARDS, offline.home / "cards")
    return offline


def test_the_committed_cards_are_those_of_the_demo(
    at_demo: Any, demo_store: tuple[Path, DatasetManifest]
) -> None:
    """If this fails, `make cards` writes them anew."""
    result = at_demo.run("quality", "cards", "--check", "--folder", CARDS)
    assert result.stdout == "every card says what it would say now\n"
    assert demo_store[1].rows == 330


def test_a_stale_number_is_named_with_its_card_line_and_values(at_demo: Any) -> None:
    folder = at_demo.home / "cards"
    card = folder / "demo.md"
    lines = card.read_text().splitlines()
    line = next(n for n, text in enumerate(lines, 1) if text == "| titles | 330 |")
    lines[line - 1] = "| titles | 331 |"
    card.write_text("\n".join(lines) + "\n")
    said = at_demo.run("quality", "cards", "--check", "--folder", folder, status=1).stdout
    assert said == f"{card}:{line}: 331 is now 330\n"
    assert at_demo.json("quality", "cards", "--check", "--folder", folder, status=1)["stale"]
    at_demo.run("quality", "cards", "--folder", folder)
    at_demo.run("quality", "cards", "--check", "--folder", folder)
    assert card.read_text() == (CARDS / "demo.md").read_text()


def test_a_card_without_notes_is_refused(at_demo: Any) -> None:
    folder = at_demo.home / "cards"
    (folder / "notes" / "tvmaze.md").unlink()
    said = at_demo.run("quality", "cards", "--folder", folder, status=1).stderr
    assert "no notes on tvmaze" in said.replace("\n", " ")


def test_notes_are_kept_word_for_word_and_every_source_has_some() -> None:
    names = {file.stem for file in (CARDS / "notes").glob("*.md")}
    assert names == {*read_catalogue(), "dataset"}
    for name in names:
        notes = (CARDS / "notes" / f"{name}.md").read_text().strip()
        assert notes.startswith("## Intended use\n")
        assert "\n## Known problems\n" in notes
        assert notes in (CARDS / f"{name}.md").read_text()


@pytest.mark.parametrize(
    ("kept", "made", "said"),
    [
        ("a 1,200 of 3\nb\n", "a 1,250 of 3\nb\n", ["c.md:1: 1,200 is now 1,250"]),
        ("a\nb 0.5 %\n", "a\nb 1 %\n", ["c.md:2: 0.5 is now 1"]),
        ("a\n", "a\nb\n", ["c.md:2: '' is now 'b'"]),
        ("a\nb\nc\n", "a\nc\n", ["c.md:2: 'b' is now ''"]),
        ("a\n", "a\n", []),
    ],
)
def test_differences_are_told_line_by_line(kept: str, made: str, said: list[str]) -> None:
    assert list(stale_lines("c.md", kept, made)) == said


def test_the_demo_store_is_the_same_every_time(
    demo_store: tuple[Path, DatasetManifest], tmp_path: Path
) -> None:
    again = build(tmp_path / os.urandom(4).hex())
    assert again.dataset_id == demo_store[1].dataset_id
    assert again.created_at == demo_store[1].created_at
