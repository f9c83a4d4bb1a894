"""What adapters call a title by others' ids is what the cleaner takes for such ids."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from trending_cleaner.external_ids import external_ids

CASES = sorted((Path(__file__).parents[1] / "scraper/sources/fixtures").glob("*/cases.yaml"))


def ids_told(cases: Any) -> Iterator[tuple[str, dict[str, str]]]:
    """The ids of each title and signal that is read from a source's answers."""
    for case in cases:
        for name in ("titles", "facts"):
            for source_id, title in case.get(name, {}).items():
                yield source_id, title.get("external_ids", {})
        for signal in case.get("signals", ()):
            yield signal["source_id"], signal["external_ids"]


@pytest.mark.parametrize("path", CASES, ids=lambda path: path.parent.name)
def test_the_cleaner_keeps_every_id_that_an_adapter_tells(path: Path) -> None:
    source = path.parent.name
    for source_id, told in ids_told(yaml.safe_load(path.read_text())):
        kept = external_ids(told, source=source, source_id=source_id)
        assert {scheme: kept.get(scheme) for scheme in told} == told
