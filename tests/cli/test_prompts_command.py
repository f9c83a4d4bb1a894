"""Prompts from the command line: registered from a file, put in force, shown as that file again."""

from pathlib import Path
from typing import Any

from trending_shared.prompts import Prompt, read_prompt, write_prompt

PROMPT = Prompt(name="insights", answers="insight-1", system="Say what it is like.", user="{data}")


def test_a_prompt_goes_from_a_file_into_force(offline: Any, tmp_path: Path) -> None:
    file = tmp_path / "prompt.yaml"
    file.write_text(write_prompt(PROMPT))
    assert offline.json("prompts", "list") == []
    assert "built-in" in offline.run("prompts", "show", status=3).stderr
    assert offline.json("prompts", "register", file) == {
        "name": "insights",
        "version": PROMPT.version,
    }
    (listed,) = offline.json("prompts", "list")
    assert (listed["version"], listed["champion"]) == (PROMPT.version, False)
    moved = offline.json("prompts", "promote", PROMPT.version, "--reason", "shorter")
    assert (moved["number"], moved["version"], moved["reasons"]) == (1, PROMPT.version, ["shorter"])
    assert offline.json("prompts", "list")[0]["champion"] is True
    assert PROMPT.version in offline.run("prompts", "list").stdout
    assert read_prompt(offline.run("prompts", "show").stdout) == PROMPT


def test_what_is_no_prompt_and_what_is_not_there_are_told(offline: Any, tmp_path: Path) -> None:
    file = tmp_path / "prompt.yaml"
    file.write_text("name: insights\n")
    assert "answers" in offline.run("prompts", "register", file, status=1).stderr
    assert "no prompt insights 0123" in offline.run("prompts", "promote", "0123", status=3).stderr
    assert "no prompt" in offline.run("prompts", "show", "0123", status=3).stderr
