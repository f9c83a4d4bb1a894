"""However many cleaners share the work, the tables hold what one would have written."""

import asyncio
from contextlib import AsyncExitStack
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from prometheus_client import CollectorRegistry

from trending_cleaner.app import create_app, create_cleaner
from trending_cleaner.metrics import CleanerMetrics
from trending_cleaner.schemas import TABLES
from trending_cleaner.settings import CleanerSettings
from trending_cleaner.validation import Limits
from trending_cli import clients
from trending_cli.embedded_kafka import EmbeddedKafka
from trending_shared.backlog import describe_groups
from trending_shared.clock import SystemClock
from trending_shared.events import TitleScraped
from trending_shared.messages import Message, Position, first_message
from trending_shared.settings import KafkaSettings
from trending_shared.tables import OffsetTable
from trending_shared.testing import a_review_scraped, a_title_scraped

REPLICAS, PARTITIONS, TITLES = 4, 12, 30
# When and by what it was written; and of how many commits one knew who said it.
CIRCUMSTANCES = {"rejected_at", "code_version", "resolution"}
SAID = "Of all films about the sea this is the one that number {} would take along to an island."

pytestmark = [pytest.mark.connected, pytest.mark.timeout(300)]


def titles(source: str) -> list[Message[Any]]:
    """A title each, told twice; every tenth can't be used."""
    told = []
    for n in range(TITLES):
        event = a_title_scraped(
            source_id=f"film-{n}", name="" if n % 10 == 9 else f"Film {n}", plot=f"{SAID} {n} " * 2
        )
        told += [first_message(event.model_copy(update={"source": source})) for _ in range(2)]
    return told


def reviews(source: str, *, spun: bool) -> list[Message[Any]]:
    """A review of each title, and one that repeats it with another word."""
    told = []
    for n in range(TITLES):
        for position, take in enumerate(("bring", "choose") if spun else ("take", "carry")):
            text = SAID.format(n).replace("take", take)
            event = a_review_scraped(
                source_id=f"film-{n}", position=position, text=text, author_hash=f"{n:064x}"
            )
            told.append(first_message(event.model_copy(update={"source": source})))
    return told


PHASES = (  # titles of both sources are one film; the second's reviews repeat the first's
    titles("demo"),
    titles("tvmaze"),
    reviews("demo", spun=False),
    reviews("tvmaze", spun=True),
)


async def test_four_cleaners_write_the_rows_that_one_writes(
    fresh_kafka: EmbeddedKafka, tmp_path: Path
) -> None:
    kafka = KafkaSettings(bootstrap_servers=fresh_kafka.address, partitions=PARTITIONS)
    settings = CleanerSettings(trending_home=tmp_path / "four", kafka=kafka, batch_size=7)
    async with AsyncExitStack() as stack:
        for _ in range(REPLICAS):
            await stack.enter_async_context(create_app(settings).start_lifespan_context())
        await until_shared(kafka)
        sender = await stack.enter_async_context(clients.publisher(settings))
        told = 0
        for phase in PHASES:
            await sender.publish(phase)
            told += len(phase)
            while written(settings.store) < told:  # noqa: ASYNC110
                await asyncio.sleep(0.1)
    one, four = rows_of(one_cleaner(tmp_path)), rows_of(settings.store)
    assert {name: len(rows) for name, rows in four.items()} == {
        name: len(rows) for name, rows in one.items()
    }
    assert four == one
    reasons = {row["reason"] for row in one["rejects"].values()}
    assert reasons == {"DuplicateTitle", "NameMissing", "NearDuplicateReview"}
    united = [title for title in one["merged"].values() if len(title["members"]) == 2]
    assert len(united) == TITLES * 9 // 10


def one_cleaner(folder: Path) -> str:
    """The store of a cleaner that was told all of it, one phase after another."""
    store = (folder / "one" / "store").as_uri()
    cleaner = create_cleaner(
        store,
        metrics=CleanerMetrics(CollectorRegistry()),
        limits=Limits(),
        clock=SystemClock(),
        code_version="1",
    )
    for phase in PHASES:
        handle: Any = (
            cleaner.on_titles_scraped
            if isinstance(phase[0].event, TitleScraped)
            else cleaner.on_reviews_scraped
        )
        first = phase[0].event
        source = int(first.source == "demo")  # a partition for each, for offsets begin anew
        handle(
            [
                replace(message, position=Position(first.topic, source, offset))
                for offset, message in enumerate(phase)
            ]
        )
    return store


async def until_shared(kafka: KafkaSettings) -> None:
    """Until all cleaners have their share of the partitions."""
    async with clients.admin(kafka) as admin:
        while True:
            groups = {group.name: group for group in await describe_groups(admin)}
            cleaners = groups.get("cleaner")
            if cleaners and (cleaners.state, cleaners.members) == ("Stable", REPLICAS):
                return
            await asyncio.sleep(0.1)


def written(store: str) -> int:
    """Rows so far; each record leads to one."""
    return sum(table(store, name).open().count() for name in ("titles", "reviews", "rejects"))


def rows_of(store: str) -> dict[str, dict[str, dict[str, Any]]]:
    """The rows of each table by the event that led to them; of merged titles what was said last."""
    found = {
        name: {row["event_id"]: _told(row) for row in table(store, name).read().to_pylist()}
        for name in TABLES
        if name != "merged"
    }
    said = sorted(table(store, "merged").read().to_pylist(), key=lambda row: row["resolution"])
    causes = {"event_id", "correlation_id"}  # of several records that lead to it, one
    found["merged"] = {
        row["title_id"]: {key: value for key, value in _told(row).items() if key not in causes}
        for row in said
    }
    return found


def table(store: str, name: str) -> OffsetTable:
    return OffsetTable(store, name, schema=TABLES[name], owner="cleaner")


def _told(row: dict[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in row.items() if key not in CIRCUMSTANCES}
