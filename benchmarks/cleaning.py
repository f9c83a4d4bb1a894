"""Titles that one core cleans in a second, in this process and without Kafka."""

import gc
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from itertools import islice
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pyarrow as pa
from prometheus_client import CollectorRegistry

from benchmarks.inputs import scraped_titles
from benchmarks.results import Result
from benchmarks.rounds import ROUNDS, Bench
from trending_cleaner.app import create_cleaner
from trending_cleaner.cleaning import clean_title
from trending_cleaner.metrics import CleanerMetrics
from trending_cleaner.schemas import TITLES, row_of
from trending_cleaner.validation import Limits
from trending_shared.clock import SystemClock
from trending_shared.events import TitleScraped
from trending_shared.messages import Message, Position
from trending_shared.tables import OffsetTable

COUNT, BATCH = 5000, 500
Batches = Sequence[Sequence[Message[TitleScraped]]]


def measure_cleaning(bench: Bench) -> Result:
    """The cleaner's batches; beside them cleaning without tables, and tables without cleaning."""
    bench.tell("cleaning: titles in batches, without Kafka")
    messages = [
        replace(message, position=Position(TitleScraped.topic, 0, offset))
        for offset, message in enumerate(islice(scraped_titles(), COUNT))
    ]
    batches = [messages[start : start + BATCH] for start in range(0, COUNT, BATCH)]
    _clean(batches)  # builds the tables of names
    rounds = [
        (_in_a_folder(_clean_and_store, batches), _timed(_clean, batches), _store_only(batches))
        for _ in range(ROUNDS)
    ]
    whole, cleaned, stored = (
        tuple(COUNT / seconds for seconds in column) for column in zip(*rounds, strict=True)
    )
    return Result(
        "cleaning in batches of 500, of a core",
        "titles",
        whole,
        cpu_ms=1000 / sorted(whole)[ROUNDS // 2],
        references=(
            Result("without tables", "titles", cleaned),
            Result("the same rows appended, without cleaning", "titles", stored),
        ),
    )


def _clean(batches: Batches) -> None:
    now = SystemClock().now()
    for batch in batches:
        for message in batch:
            clean_title(message.event, now)


def _clean_and_store(batches: Batches, url: str) -> None:
    cleaner = create_cleaner(
        url,
        metrics=CleanerMetrics(CollectorRegistry()),
        limits=Limits(),
        clock=SystemClock(),
        code_version="benchmark",
    )
    for batch in batches:
        cleaner.on_titles_scraped(batch)


def _store_only(batches: Batches) -> float:
    now = SystemClock().now()
    rows = [
        [
            (message.position, row_of(message, clean_title(message.event, now), code_version=""))
            for message in batch
        ]
        for batch in batches
    ]

    def store(placed: Any, url: str) -> None:
        table = OffsetTable(url, "titles", schema=TITLES, owner="cleaner")
        for batch in placed:
            table.append(batch)

    return _in_a_folder(store, rows)


def _in_a_folder(work: Callable[[Any, str], None], batches: Any) -> float:
    with TemporaryDirectory(prefix="trending-bench-") as folder:
        url = Path(folder).as_uri()
        return _timed(lambda given: work(given, url), batches)


def _timed(work: Callable[[Any], None], batches: Any) -> float:
    """CPU seconds, of all threads of this process."""
    gc.collect()
    pa.default_memory_pool().release_unused()
    start = time.process_time()
    work(batches)
    return time.process_time() - start
