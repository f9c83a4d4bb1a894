"""The prose against the code: what documents name must exist."""

import re
from importlib import import_module
from pathlib import Path
from typing import Any

import pytest

from trending_cli.contracts import Party
from trending_shared.events import ServiceConfigured

ROOT = Path(__file__).parents[2]
PAGES = [
    ROOT / "CONTRIBUTING.md",
    *sorted((ROOT / "docs").rglob("*.md")),
    *sorted((ROOT / "services").glob("*/README.md")),
    *sorted((ROOT / "deploy").glob("*/README.md")),
]
NAME = re.compile(r"`(trending_\w+(?:\.\w+)+)`")
LINK = re.compile(r"\]\(([^)#:]+)(?:#[^)]*)?\)")
ROW = re.compile(r"^\| (\w+) \|(.*)\|.*\|(.*)\|.*\|$", re.MULTILINE)


def find(name: str) -> Any:
    """The module, class, function or method of a dotted name.

    Raises:
        ImportError, AttributeError: there is none.
    """
    parts = name.split(".")
    found: Any = import_module(parts[0])
    for end, part in enumerate(parts[1:], start=2):
        if not hasattr(found, part):
            import_module(".".join(parts[:end]))
        found = getattr(found, part)
    return found


def names() -> list[Any]:
    found = {name for page in PAGES for name in NAME.findall(page.read_text())}
    return sorted(found)


@pytest.mark.parametrize("name", names())
def test_what_the_documents_name_exists(name: str) -> None:
    assert find(name) is not None


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_links_lead_somewhere(page: Path) -> None:
    for target in LINK.findall(page.read_text()):
        assert (page.parent / target).exists(), target


def test_the_table_of_services_says_what_they_consume_and_publish(
    generate: dict[str, Any], services: dict[str, Any]
) -> None:
    text = (ROOT / "docs/architecture.md").read_text()
    table = text.split("## The six services")[1].split("\n## ")[0]
    told = {
        name: (set(re.findall(r"`([\w-]+)`", consumes)), set(re.findall(r"`([\w-]+)`", publishes)))
        for name, consumes, publishes in ROW.findall(table)
        if name != "service"
    }
    parties: list[Party] = list(generate["gather"](services))
    assert told == {
        party.name: (
            {event.topic for event in party.consumes},
            {event.topic for event in party.publishes} - {ServiceConfigured.topic},
        )
        for party in parties
        if party.name != "operators"
    }
