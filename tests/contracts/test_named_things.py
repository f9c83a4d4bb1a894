"""What tables of the documents name: commands can be called, files are there, tests are in them."""

import re
from functools import cache
from importlib.util import find_spec
from pathlib import Path

import pytest
from typer.main import get_command

from trending_cli.main import app

ROOT = Path(__file__).parents[2]
PAGES = ("docs/reference/seed.md", "docs/explanation/threats.md", "docs/ownership.md")
CODE = re.compile(r"`([^`]+)`")
TARGET = re.compile(r"^([a-z][a-z0-9-]*):", re.MULTILINE)
FUNCTION = re.compile(r"^(?:async )?def (\w+)", re.MULTILINE)
PLACE = re.compile(r"[\w.-]+(?:/[\w.-]*)+(?:::\w+)?|[\w-]+\.(?:md|py|ya?ml)(?:::\w+)?")
ALERT = re.compile(r"(?:[A-Z][a-z]+){2,}")


@cache
def targets() -> set[str]:
    return set(TARGET.findall((ROOT / "Makefile").read_text()))


def missing(name: str) -> str | None:
    """Why a name leads nowhere; none if it leads somewhere, or is none of these things."""
    first, *words = name.split()
    if first == "make":
        return None if words[0] in targets() else f"no target {words[0]} in the Makefile"
    if first == "trending":
        command = get_command(app)
        for word in words:
            below = getattr(command, "commands", {})
            if word not in below:
                return f"no command {name}"
            command = below[word]
        return f"{name} is a group of commands" if getattr(command, "commands", None) else None
    if name.startswith("python -m "):
        return None if find_spec(words[1]) else f"no module {words[1]}"
    if ALERT.fullmatch(name):
        return None if (ROOT / f"docs/runbooks/{name}.md").exists() else f"no alert {name}"
    if not PLACE.fullmatch(name):
        return None
    path, _, function = name.partition("::")
    if not (ROOT / path).exists():
        return f"no file {path}"
    if function and function not in FUNCTION.findall((ROOT / path).read_text()):
        return f"no test {function} in {path}"
    return None


def named() -> list[tuple[str, str]]:
    """Each page and what its tables have between backticks."""
    return sorted(
        {
            (page, name)
            for page in PAGES
            for line in (ROOT / page).read_text().splitlines()
            if line.startswith("| ")
            for name in CODE.findall(line)
        }
    )


@pytest.mark.parametrize("page", PAGES)
def test_what_a_page_names_exists(page: str) -> None:
    assert [why for where, name in named() if where == page and (why := missing(name))] == []


def test_every_row_of_the_seed_has_a_command_code_and_a_proof() -> None:
    rows = [
        [cell.strip() for cell in line.strip("|").split("|")]
        for line in (ROOT / PAGES[0]).read_text().splitlines()
        if line.startswith("| ") and "asked for" not in line
    ]
    assert len(rows) > 40
    for asked, command, code, proof in rows:
        assert re.match(r"`(make|trending|python -m) ", command), asked
        assert "`" in code, asked
        assert "`" in proof or "](" in proof, asked


def test_what_is_gone_is_told() -> None:
    assert missing("make sense") == "no target sense in the Makefile"
    assert missing("trending models forget") == "no command trending models forget"
    assert missing("trending models") == "trending models is a group of commands"
    assert missing("tests/nowhere.py::test_it") == "no file tests/nowhere.py"
    assert missing("tests/conftest.py::test_it") == "no test test_it in tests/conftest.py"
    assert missing("python -m nowhere_at_all") == "no module nowhere_at_all"
    assert missing("NothingEverHappens") == "no alert NothingEverHappens"
    assert missing("robots.txt`s neighbour") is None
