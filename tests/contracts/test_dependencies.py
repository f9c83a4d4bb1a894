"""What a service's process imports is installed beside it: its image has nothing else."""

import ast
import sys
from collections.abc import Iterator
from importlib.metadata import packages_distributions, requires
from importlib.util import find_spec
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).parents[2]
OVERRIDDEN = {
    canonicalize_name(Requirement(line).name)
    for line in (ROOT / "overrides.txt").read_text().splitlines()
    if line and not line.startswith("#")
}


def installed_with(package: str) -> set[str]:
    """The names of all distributions that installing a package brings, its own among them."""
    found: set[str] = set()
    waiting, seen = [Requirement(package)], set()
    while waiting:
        wanted = waiting.pop()
        name = canonicalize_name(wanted.name)
        if name in OVERRIDDEN:
            continue
        found.add(name)
        for extra in ("", *wanted.extras):
            if (name, extra) in seen:
                continue
            seen.add((name, extra))
            for each in map(Requirement, requires(name) or ()):
                if each.marker is None or each.marker.evaluate({"extra": extra}):
                    waiting.append(each)
    return found


def imported_by(package: str) -> dict[str, str]:
    """Top-level names that importing all modules of a package imports, each with one of ours
    that does so. What a function imports, or only a type checker sees, isn't among them.
    """
    (folder,) = find_spec(package).submodule_search_locations  # type: ignore[union-attr, misc]
    waiting = [
        ".".join((package, *file.relative_to(folder).with_suffix("").parts))
        for file in Path(folder).rglob("*.py")
    ]
    foreign: dict[str, str] = {}
    seen: set[str] = set()
    while waiting:
        name = waiting.pop()
        if name in seen:
            continue
        seen.add(name)
        spec = find_spec(name)
        if spec is None or spec.origin is None:
            continue
        for wanted in _imports(ast.parse(Path(spec.origin).read_text()).body):
            if wanted.startswith("trending_"):
                waiting.append(wanted)
            else:
                foreign.setdefault(wanted.partition(".")[0], name)
    return {name: by for name, by in foreign.items() if name not in sys.stdlib_module_names}


def _imports(statements: list[ast.stmt]) -> Iterator[str]:
    for each in statements:
        if isinstance(each, ast.Import):
            yield from (alias.name for alias in each.names)
        elif isinstance(each, ast.ImportFrom) and each.module:
            yield each.module
            if each.module.startswith("trending_"):  # an alias may be a module itself
                own = find_spec(each.module)
                if own and own.submodule_search_locations:
                    yield from (f"{each.module}.{alias.name}" for alias in each.names)
        elif isinstance(each, ast.Try):
            yield from _imports(each.body)


@pytest.mark.parametrize(
    "service", ["scraper", "cleaner", "featurizer", "trainer[bert]", "inference", "monitor", "demo"]
)
def test_what_a_service_imports_comes_with_it(service: str) -> None:
    brought = installed_with(f"trending-{service}")
    distributions = packages_distributions()
    missing = {
        name: by
        for name, by in imported_by(f"trending_{service.partition('[')[0]}").items()
        if not brought & {canonicalize_name(each) for each in distributions.get(name, ())}
    }
    assert not missing
