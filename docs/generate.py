"""Writes the generated part of `docs/`: schemas, `asyncapi.json`, `events.md`, `reference/`.

`python docs/generate.py` writes; with `--check` it writes nothing, shows what differs, and ends
with status 1 if anything does.
"""

import ast
import sys
from collections.abc import Iterator, Mapping
from difflib import unified_diff
from importlib import import_module
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from prometheus_client import CollectorRegistry
from pydantic_settings import BaseSettings

from trending_cli.contracts import OPERATORS, Party, documents
from trending_cli.main import app as commands
from trending_cli.processes import SERVICES
from trending_cli.references import (
    commands_page,
    comments_of,
    http_page,
    metrics_page,
    settings_page,
)
from trending_monitor.openlineage import OpenLineageSettings
from trending_shared.probes import describe_process
from trending_shared.progress import DeliveryMetrics
from trending_shared.publishing import KafkaPublisher
from trending_shared.settings import CommonSettings, KafkaSettings

DOCS = Path(__file__).parent
ROOT = DOCS.parent
MODULES = ("shared", "services/*", "demo", "pipeline", "benchmarks")
"""Where modules are that `python -m` runs; those that start a service or the demo have READMEs."""


def settings_of(name: str) -> type[BaseSettings]:
    """A service's settings class."""
    module = import_module(f"trending_{name}.settings")
    found: type[BaseSettings] = getattr(module, f"{name.title()}Settings")
    return found


def create_service(name: str, home: Path) -> Any:
    """A service's app, built and not started, that keeps what it must below `home`."""
    app = import_module(f"trending_{name}.app")
    return app.create_app(settings_of(name)(trending_home=home))


def gather(apps: Mapping[str, Any]) -> Iterator[Party]:
    """All parties; the gateway has no consumer, and says in `PRODUCES` what it publishes."""
    for name, app in apps.items():
        if hasattr(app, "consumer"):
            yield Party(name, consumes=app.consumer.consumes, publishes=app.produces)
        else:
            yield Party(name, publishes=import_module(f"trending_{name}.app").PRODUCES)
    yield OPERATORS


def registries() -> dict[str, CollectorRegistry]:
    """The metrics that each service has of its own, and before them what several have."""
    common = CollectorRegistry()
    DeliveryMetrics(common)
    KafkaPublisher(KafkaSettings(), service="a", code_version="1", registry=common)
    describe_process(common, service="a", code_version="1")
    found = {"All services": common}
    for name in SERVICES:
        module = import_module(f"trending_{name}.metrics")
        found[name.capitalize()] = registry = CollectorRegistry()
        for each in sorted(vars(module)):
            if each.endswith("Metrics") and getattr(module, each).__module__ == module.__name__:
                getattr(module, each)(registry)
    return found


def runnable_modules() -> dict[str, str]:
    """Modules that are commands, and the first sentence of what each says of itself."""
    found = {}
    for pattern in MODULES:
        for folder in sorted(ROOT.glob(pattern)):
            for file in sorted(folder.rglob("*.py")):
                text = file.read_text()
                if 'if __name__ == "__main__":' not in text or "tests" in file.parts:
                    continue
                start = folder if (folder / "pyproject.toml").exists() else ROOT
                parts = file.relative_to(start).with_suffix("").parts
                name = ".".join(parts).removesuffix(".__main__")
                told = ast.get_docstring(ast.parse(text)) or ""
                found[name] = told.split("\n\n")[0].split(": `python -m")[0]
    return found


def references(apps: Mapping[str, Any]) -> dict[str, str]:
    """The pages below `docs/reference/` that are made of code."""
    groups: dict[str, type[BaseSettings]] = {
        "All services": CommonSettings,
        "Kafka": KafkaSettings,
        **{name.capitalize(): settings_of(name) for name in SERVICES},
        "Lineage for a catalogue": OpenLineageSettings,
    }
    comments = comments_of((ROOT / ".env.example").read_text())
    return {
        "reference/http.md": http_page(apps["inference"].openapi()),
        "reference/settings.md": settings_page(groups, comments),
        "reference/metrics.md": metrics_page(registries()),
        "reference/commands.md": commands_page(commands, runnable_modules()),
    }


def differences(wanted: dict[str, str]) -> Iterator[str]:
    """What would have to change below `docs/`, as unified diffs."""
    for path, text in wanted.items():
        file = DOCS / path
        found = file.read_text().splitlines() if file.exists() else []
        yield from unified_diff(found, text.splitlines(), path, "as the code says", lineterm="")
    for file in sorted((DOCS / "schemas").glob("*")):
        if str(file.relative_to(DOCS)) not in wanted:
            yield f"{file.relative_to(DOCS)}: no event has this schema"


def main() -> None:
    with TemporaryDirectory() as home:
        apps = {name: create_service(name, Path(home)) for name in SERVICES}
        wanted = documents(list(gather(apps))) | references(apps)
    if "--check" in sys.argv[1:]:
        found = list(differences(wanted))
        sys.stdout.writelines(f"{line}\n" for line in found)
        raise SystemExit(1 if found else 0)
    for path, text in wanted.items():
        (DOCS / path).parent.mkdir(parents=True, exist_ok=True)
        (DOCS / path).write_text(text)


if __name__ == "__main__":
    main()
