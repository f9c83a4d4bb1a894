"""`docs/bad-input.md` against the code: its reasons, counters and tests exist."""

import re
from functools import cache
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
ROW = re.compile(r"^\| ([^|]+) \| ([^|]+) \| (`[\w-]+`|–) \| `(\w+)[^|]*` \| `([^|]+)` \|$", re.M)
FUNCTION = re.compile(r"^(?:async )?def (\w+)", re.M)
LINES = (ROOT / "docs/bad-input.md").read_text().splitlines()[2:]
ROWS = ROW.findall("\n".join(LINES))


@cache
def sources() -> str:
    files = [*ROOT.glob("services/*/trending_*/**/*.py"), *ROOT.glob("shared/**/*.py")]
    return "\n".join(path.read_text() for path in files)


@cache
def functions(path: str) -> set[str]:
    return set(FUNCTION.findall((ROOT / path).read_text()))


def test_every_line_of_the_table_is_read() -> None:
    assert len(ROWS) == sum(line.startswith("| ") for line in LINES) - 1 > 20


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row[0])
def test_a_bad_input_has_a_reason_a_counter_and_a_test(row: tuple[str, ...]) -> None:
    _, outcome, reason, metric, test = row
    name = reason.strip("`")
    if outcome.startswith("problem"):
        assert f'"{name}"' in sources()
    elif name != "–":
        assert f"class {name}(" in sources()
    assert f'"{metric}"' in sources()
    path, _, function = test.partition("::")
    assert function in functions(path)
