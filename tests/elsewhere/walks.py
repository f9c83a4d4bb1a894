"""The same walk twice, on the embedded defaults and on servers, and what each has left, as a table.

    python tests/elsewhere/walks.py [--catalogue FILE] [--json]

The servers are versitygw for S3, PostgreSQL, and Kafka behind SASL_SSL with SCRAM-SHA-512; they run
as long as the walk, and a little longer: commands are asked about what it has left there. Status 1
if one of them fails, or the walks differ where they must not.
"""

import argparse
import asyncio
import hashlib
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parents[2]))

from tests.postgres import PostgresMissing, postgres
from tests.s3_server import VERSION, ServerUnavailable, s3_server
from tests.secured_kafka import secured_kafka
from tests.walking import Outcome, walk

from trending_cli.house import code_version
from trending_cli.kafka_distribution import KafkaUnavailable, kafka_version
from trending_cli.ports import free_ports

OURS = ("KAFKA_", "STORE_URL", "CATALOG_URL", "AWS_", "TRENDING_HOME", "CODE_VERSION")

# What depends on when something was looked at, and not only on what was done.
BY_CHANCE = {
    "topic titles-merged": "namesakes are noticed by batch",
    "table merged": "namesakes are noticed by batch",
    "table pages": "tells times",
    "topic predictions-served": "the gateway asks about listed titles while nobody waits",
    "catalog predictions": "the gateway asks about listed titles while nobody waits",
    "catalog title_predictions": "the gateway asks about listed titles while nobody waits",
}
POSTPONED = "what was slow was tried again"  # in topics of retries

# What people ask afterwards, of everything that the walk has left.
COMMANDS = (
    "doctor",
    "catalog status",
    "topics list",
    "dlq list",
    "models list",
    "models report",
    "quality report",
    "features export",
    "audit verify",
    "retrain why",
)


@dataclass(frozen=True, slots=True)
class Line:
    """One thing that both walks have left: how many records or rows, and whether they say the same.

    `note` has the hash of what the embedded one says, or why the two may differ.
    """

    what: str
    embedded: int
    elsewhere: int
    same: bool
    note: str = ""

    @property
    def varies(self) -> bool:
        return bool(why_by_chance(self.what))


def why_by_chance(what: str) -> str:
    """Why two walks may differ in this; nothing where they must not."""
    return BY_CHANCE.get(what, POSTPONED if "-retry-" in what else "")


@contextmanager
def servers(folder: Path, tell: Callable[[str], None]) -> Iterator[dict[str, str]]:
    """What the house is told in order to use none of what is embedded."""
    environment = {name: value for name, value in os.environ.items() if not name.startswith(OURS)}
    with ExitStack() as running:
        store = running.enter_context(s3_server(environment))
        database = running.enter_context(postgres(environment))
        kafka = running.enter_context(secured_kafka(folder, environment))
        tell(f"S3: versitygw {VERSION}")
        tell(f"catalog: {database.version}")
        tell(f"events: Apache Kafka {kafka_version()}, SASL_SSL, SCRAM-SHA-512")
        bucket = store.pop("TEST_S3_BUCKET")
        told = {"STORE_URL": f"s3://{bucket}/house", "CATALOG_URL": database.url()}
        yield store | told | kafka.by_password()


@contextmanager
def told(environment: Mapping[str, str]) -> Iterator[None]:
    """Our process, and so whatever it starts, has these of our variables and no others."""
    before = dict(os.environ)
    for name in before:
        if name.startswith(OURS):
            del os.environ[name]
    os.environ.update(environment)
    try:
        yield
    finally:
        os.environ.clear()
        os.environ.update(before)


def commands(home: Path, tell: Callable[[str], None]) -> list[str]:
    """Run the commands; those that failed, with what they said."""
    failed = []
    for command in COMMANDS:
        done = subprocess.run(
            [sys.executable, "-m", "trending_cli.main", *command.split(), "--json"],
            env={**os.environ, "TRENDING_HOME": str(home)},
            capture_output=True,
            text=True,
        )
        tell(f"trending {command}: {'done' if done.returncode == 0 else done.stderr.strip()}")
        if done.returncode:
            failed.append(command)
    return failed


def counts(outcome: Outcome) -> dict[str, tuple[int, str | None]]:
    """What a walk has left: count, and a hash of the content of what has ids or rows to compare."""
    found: dict[str, tuple[int, str | None]] = {}
    for topic, count in sorted(outcome.records.items()):
        ids = outcome.events.get(topic)
        found[f"topic {topic}"] = count, _hash(sorted(map(str, ids))) if ids else None
    for table, rows in sorted(outcome.rows.items()):
        found[f"table {table}"] = len(rows), _hash(rows)
    found["table merged"] = len(outcome.merged), None
    for table, count in outcome.catalog.items():
        found[f"catalog {table}"] = count, None
    found["dataset"] = 1, outcome.dataset
    found["champion"] = 1, outcome.champion
    found["parked"] = len(outcome.parked), None
    found["unrecorded"] = len(outcome.unrecorded), None
    return found


def _hash(value: Any) -> str:
    return hashlib.sha256(repr(value).encode()).hexdigest()[:12]


def compare(embedded: Outcome, elsewhere: Outcome) -> list[Line]:
    before, after = counts(embedded), counts(elsewhere)
    lines = []
    for what in dict.fromkeys([*before, *after]):
        (one, hash_one), (other, hash_other) = (
            before.get(what, (0, None)),
            after.get(what, (0, None)),
        )
        same = one == other and hash_one == hash_other
        lines.append(Line(what, one, other, same, why_by_chance(what) or hash_one or ""))
    return lines


def show(lines: list[Line]) -> None:
    width = max(len(line.what) for line in lines)
    sys.stdout.write(f"{'':<{width}}  embedded  elsewhere\n")
    for line in lines:
        if line.embedded or line.elsewhere:
            mark = "" if line.same else "by chance: " if line.varies else "DIFFERS "
            numbers = f"{line.embedded:>8,}  {line.elsewhere:>9,}"
            sys.stdout.write(f"{line.what:<{width}}  {numbers}  {mark}{line.note}\n")


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n", 1)[0])
    parser.add_argument("--catalogue", type=Path, help="a CSV like Kaggle's netflix_titles.csv")
    parser.add_argument("--json", action="store_true", help="the lines as one JSON document")
    options = parser.parse_args()

    def tell(text: str) -> None:
        sys.stderr.write(f"{time.strftime('%H:%M:%S')} {text}\n")

    (port,) = free_ports(1)
    asked = {"CODE_VERSION": code_version()}  # of both walks, though somebody edits meanwhile
    if options.catalogue:
        asked["TEST_CATALOGUE"] = str(options.catalogue.absolute())
    outcomes: dict[str, Outcome] = {}
    failed: list[str] = []
    try:
        with tempfile.TemporaryDirectory(prefix="trending-walks-") as scratch:
            folder = Path(scratch)
            for name in ("elsewhere", "embedded"):
                home = folder / name
                home.mkdir()
                with ExitStack() as running:
                    environment = dict(asked)
                    if name == "elsewhere":
                        environment |= running.enter_context(servers(folder, tell))
                    running.enter_context(told(environment))
                    tell(f"the walk, {name}")
                    began = time.monotonic()
                    outcomes[name] = asyncio.run(walk(home, port))
                    tell(f"done in {time.monotonic() - began:.0f} s")
                    if name == "elsewhere":
                        failed = commands(home, tell)
    except (ServerUnavailable, PostgresMissing, KafkaUnavailable) as error:
        tell(f"error: {error}")
        return 2
    lines = compare(outcomes["embedded"], outcomes["elsewhere"])
    if options.json:
        sys.stdout.write(f"{json.dumps([asdict(line) for line in lines])}\n")
    else:
        show(lines)
    return int(bool(failed) or any(not line.same and not line.varies for line in lines))


if __name__ == "__main__":
    raise SystemExit(main())
