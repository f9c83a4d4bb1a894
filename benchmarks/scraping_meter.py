"""What a crawl cost its process: CPU time, and memory as it went on."""

import json
import sys
import time
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import Any

import psutil
from pydantic import BaseModel

LOOK_EVERY = 50  # pages


class Outcome(BaseModel):
    """What came of a crawl."""

    pages: int
    seconds: float
    cpu_seconds: float
    megabytes: list[float]
    """Resident, at every fiftieth page."""


class Meter:
    """Measures what happens within its `with`, and keeps the records of all pages in a file."""

    def __init__(self, records: Path) -> None:
        self._records = records
        self._process = psutil.Process()
        self._pages = 0
        self._megabytes: list[float] = []

    def __enter__(self) -> "Meter":
        self._file = self._records.open("w")
        self._started, self._cpu = time.perf_counter(), time.process_time()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, _: TracebackType | None
    ) -> None:
        cpu, seconds = time.process_time() - self._cpu, time.perf_counter() - self._started
        self._file.close()
        if error is None:
            outcome = Outcome(
                pages=self._pages, seconds=seconds, cpu_seconds=cpu, megabytes=self._megabytes
            )
            sys.stdout.write(outcome.model_dump_json())

    def keep(self, record: Mapping[str, Any]) -> None:
        """A page is done, and said this."""
        self._file.write(f"{json.dumps(record)}\n")
        self._pages += 1
        if self._pages % LOOK_EVERY == 0:
            self._megabytes.append(self._process.memory_info().rss / 2**20)
