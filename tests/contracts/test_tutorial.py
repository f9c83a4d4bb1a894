"""The tutorial's walker, and whether its commands exist; `make tutorial` walks the page itself."""

import re
import runpy
from pathlib import Path
from typing import Any

import pytest
from typer.main import get_command

from trending_cli.main import app

ROOT = Path(__file__).parents[2]
PAGE = ROOT / "docs" / "tutorial" / "first-prediction.md"
WALK: dict[str, Any] = runpy.run_path(str(ROOT / "docs" / "walk_tutorial.py"))


def test_every_command_of_the_page_exists() -> None:
    steps = list(WALK["read_steps"](PAGE.read_text()))
    assert len(steps) > 10
    root = get_command(app)
    for step in steps:
        for words in re.findall(r"(?<![\w/.-])trending ([a-z]+(?: [a-z]+)?)", step.command):
            command: Any = root
            for word in words.split():
                below = getattr(command, "commands", {})
                assert word in below or not below, step.command
                command = below.get(word, command)


def page(*blocks: str) -> str:
    return "Words.\n\n" + "\n\n".join(blocks) + "\n\nMore words.\n"


def block(*lines: str, stays: bool = False) -> str:
    return ("<!-- stays -->\n" if stays else "") + "\n".join(["```console", *lines, "```"])


def walked(text: str, tmp_path: Path) -> list[dict[str, Any]]:
    folder = tmp_path / "clone"
    folder.mkdir()
    found: list[dict[str, Any]] = WALK["walk"](text, folder, tell=False)
    return found


def test_commands_share_a_shell_and_lines_are_promised_in_order(tmp_path: Path) -> None:
    text = page(
        block("$ NAME=world; mkdir -p a && cd a"),
        block("$ echo hello $NAME; echo not told; pwd", "hello   world", "…/a"),
        block("$ false   # status 1", "$ for i in 1 2; do", "> echo $i; done", "1", "2"),
    )
    assert [step["line"] for step in walked(text, tmp_path)] == [4, 8, 14, 15]


@pytest.mark.parametrize(
    ("lines", "why"),
    [
        (("$ echo good", "better"), "didn't print 'better'"),
        (("$ printf 'b\\na\\n'", "a", "b"), "didn't print 'b'"),
        (("$ false",), "ended with 1"),
        (("$ true  # status 3",), "ended with 0"),
    ],
)
def test_what_isnt_as_promised_is_told_with_its_line(
    tmp_path: Path, lines: tuple[str, ...], why: str
) -> None:
    with pytest.raises(WALK["TutorialWrong"], match=re.escape(why)) as told:
        walked(page(block(*lines)), tmp_path)
    assert "line 4: " in str(told.value)


def test_what_stays_is_waited_for_and_ended(tmp_path: Path) -> None:
    text = page(
        block(
            "$ bash -c 'trap \"echo over; exit\" INT; echo up; while :; do sleep 0.1; done'",
            "up",
            stays=True,
        ),
        block("$ echo beside", "beside"),
    )
    assert len(walked(text, tmp_path)) == 2
    assert (tmp_path / "staying-0").read_text().split() == ["up", "over"]
