"""The services as the contracts see them: built by their own `create_app`, never started."""

import runpy
from pathlib import Path
from typing import Any

import pytest

from trending_cli.processes import SERVICES

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="session")
def generate() -> dict[str, Any]:
    """The names of `docs/generate.py`."""
    return runpy.run_path(str(ROOT / "docs/generate.py"))


@pytest.fixture(scope="session")
def services(generate: dict[str, Any], tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """The app of every service by name."""
    home = tmp_path_factory.mktemp("home")
    return {name: generate["create_service"](name, home) for name in SERVICES}


@pytest.fixture(scope="session")
def workers(services: dict[str, Any]) -> dict[str, Any]:
    """The apps of those services that consume."""
    return {name: app for name, app in services.items() if hasattr(app, "consumer")}
