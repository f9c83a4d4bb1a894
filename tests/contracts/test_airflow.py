"""The DAG files without Airflow: they keep apart from us, and what they ask for is there."""

import ast
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from typer.main import get_command

from trending_cli.main import app

FOLDER = Path(__file__).parents[2] / "deploy" / "airflow" / "dags"
FILES = sorted(FOLDER.glob("*.py"))


def imported(tree: ast.Module) -> set[str]:
    """The top-level packages that a file imports, wherever in it."""
    found = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            found |= {alias.name.split(".")[0] for alias in node.names}
        if isinstance(node, ast.ImportFrom):
            found.add((node.module or "").split(".")[0])
    return found


def asked(function: ast.FunctionDef) -> Iterator[list[str]]:
    """The words of each `trending` command of a function, as far as they are written there."""
    tuples = {
        node.targets[0].id: node.value
        for node in ast.walk(function)
        if isinstance(node, ast.Assign)
        and isinstance(node.targets[0], ast.Name)
        and isinstance(node.value, ast.Tuple)
    }
    for node in ast.walk(function):
        if isinstance(node, ast.Call) and ast.unparse(node.func) == "house.trending":
            yield [word for each in node.args for word in words(each, tuples)]


def words(node: ast.expr, tuples: dict[str, ast.Tuple]) -> Iterator[str]:
    if isinstance(node, ast.Starred):
        node = tuples[node.value.id] if isinstance(node.value, ast.Name) else node.value
    if isinstance(node, ast.Tuple):
        for each in node.elts:
            yield from words(each, tuples)
    else:
        yield node.value if isinstance(node, ast.Constant) and isinstance(node.value, str) else "?"


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.stem)
def test_a_dag_file_imports_airflow_and_nothing_of_ours(file: Path) -> None:
    own = {each.stem for each in FILES}
    allowed = {"airflow", *own, *sys.stdlib_module_names}
    assert imported(ast.parse(file.read_text())) <= allowed


@pytest.mark.parametrize("file", [each for each in FILES if each.stem != "house"])
def test_every_command_that_a_task_asks_is_there_with_these_options(file: Path) -> None:
    tree = ast.parse(file.read_text())
    functions = [node for node in ast.walk(tree) if isinstance(node, ast.FunctionDef)]
    commands = [command for function in functions for command in asked(function)]
    assert len(commands) >= 6
    for command in commands:
        found: Any = get_command(app)
        rest = [*command, "--json"]
        while hasattr(found, "commands"):
            found = found.commands[rest.pop(0)]
        known = {option for each in found.params for option in (*each.opts, *each.secondary_opts)}
        assert {word for word in rest if word.startswith("--")} <= known, command


@pytest.mark.parametrize(
    ("dag", "tasks"),
    [
        ("ingestion", ["scrape", "clean", "store", "version"]),
        ("training", ["load", "features", "retraining", "train", "evaluate", "register"]),
    ],
)
def test_a_dag_has_its_tasks_in_their_order_and_those_that_wait_hold_no_worker(
    dag: str, tasks: list[str]
) -> None:
    tree = ast.parse((FOLDER / f"{dag}.py").read_text())
    [whole] = [node for node in tree.body if getattr(node, "name", None) == dag]
    assert isinstance(whole, ast.FunctionDef)
    inner = [node for node in whole.body if isinstance(node, ast.FunctionDef)]
    assert [node.name for node in inner] == tasks
    for task in inner:
        [decorator] = map(ast.unparse, task.decorator_list)
        waits = "PokeReturnValue" in ast.unparse(task.returns) if task.returns else False
        assert (decorator == "task.sensor(**house.WAITING)") == waits
        assert ast.get_docstring(task)
    assert "'mode': 'reschedule'" in ast.unparse(ast.parse((FOLDER / "house.py").read_text()))
