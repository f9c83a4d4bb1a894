"""Writes the generated part of `docs/`: schemas, `asyncapi.json`, `events.md`.

`python docs/generate.py` writes; with `--check` it writes nothing, shows what differs, and ends
with status 1 if anything does.
"""

import sys
from collections.abc import Iterator
from difflib import unified_diff
from importlib import import_module
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from trending_cli.contracts import OPERATORS, Party, documents
from trending_cli.processes import SERVICES

DOCS = Path(__file__).parent


def create_service(name: str, home: Path) -> Any:
    """A service's app, built and not started, that keeps what it must below `home`."""
    settings = getattr(import_module(f"trending_{name}.settings"), f"{name.title()}Settings")
    app = import_module(f"trending_{name}.app")
    return app.create_app(settings(trending_home=home))


def gather(home: Path) -> Iterator[Party]:
    """All parties; the gateway has no consumer, and says in `PRODUCES` what it publishes."""
    for name in SERVICES:
        app = create_service(name, home)
        if hasattr(app, "consumer"):
            yield Party(name, consumes=app.consumer.consumes, publishes=app.produces)
        else:
            yield Party(name, publishes=import_module(f"trending_{name}.app").PRODUCES)
    yield OPERATORS


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
        wanted = documents(list(gather(Path(home))))
    if "--check" in sys.argv[1:]:
        found = list(differences(wanted))
        sys.stdout.writelines(f"{line}\n" for line in found)
        raise SystemExit(1 if found else 0)
    for path, text in wanted.items():
        (DOCS / path).parent.mkdir(parents=True, exist_ok=True)
        (DOCS / path).write_text(text)


if __name__ == "__main__":
    main()
