"""Every process of the house is killed with SIGKILL in mid-walk, and nothing comes of it.

Two walks over the same site under the same job: one in peace, one with kills. All processes are
killed in one walk, and each in a walk of its own, over the demo's own catalogue or that which
TEST_CATALOGUE names. `make test-kill` runs this.
"""

import asyncio
import os
import signal
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from uuid import uuid5

import numpy as np
import pytest
from tests.walking import QUESTIONS, Look, Outcome, walk

from trending_cleaner.resolving import ALONE
from trending_cli.house import House
from trending_cli.ports import free_ports
from trending_shared.events import FeaturesComputed, TitleCleaned, TitleMerged, TitleScraped
from trending_shared.messages import NAMESPACE
from trending_shared.walk import Walk

pytestmark = [pytest.mark.connected, pytest.mark.slow]

VICTIMS = ("scraper", "cleaner", "featurizer", "trainer", "inference", "monitor", "kafka")


class Killer:
    """Kills each victim once, as soon as its moment has come.

    Args:
        pages: how many the walk in peace had; what says when its middle has come.
    """

    def __init__(self, victims: tuple[str, ...], pages: int) -> None:
        self._victims = victims
        self._pages = pages
        self.left: dict[str, Callable[[], bool]] = {}

    def __call__(self, house: House, progress: Walk, answered: list[str]) -> Look:
        self._house = house
        self.left = _moments(house, self._victims, progress, self._pages, answered)
        return self.look

    def look(self) -> None:
        for victim, is_now in list(self.left.items()):
            if is_now():
                del self.left[victim]
                kafka = self._house.embedded if victim == "kafka" else None
                pid = kafka.pid if kafka else self._house.stack.children[victim].pid
                assert pid is not None, f"{victim} was meant to be killed, but isn't alive"
                os.kill(pid, signal.SIGKILL)


def _moments(
    house: House, victims: tuple[str, ...], progress: Walk, pages: int, answered: list[str]
) -> dict[str, Callable[[], bool]]:
    """When each victim is in the middle of its work."""

    def fitting() -> bool:
        runs = house.home / "store" / "runs"
        return any(runs.glob("*/attempts/*.heartbeat")) and not any(runs.glob("*/outcome.json"))

    # One after the other, where all are killed in one walk.
    spread = 0.1 if len(victims) > 1 else 0.0
    moments: dict[str, Callable[[], bool]] = {
        "scraper": lambda: progress.count(TitleScraped) > (0.5 - 3 * spread) * pages,
        "cleaner": lambda: progress.count(TitleCleaned) > (0.5 - spread) * pages,
        "kafka": lambda: progress.count(TitleScraped) > (0.5 + 2 * spread) * pages,
        "featurizer": lambda: progress.count(FeaturesComputed) > 0.5 * pages,
        "trainer": fitting,
        "inference": lambda: len(answered) > QUESTIONS // 3,
        "monitor": lambda: len(answered) > QUESTIONS // 2,
    }
    return {victim: moments[victim] for victim in victims}


def kill_in_walk(home: Path, port: int, victims: tuple[str, ...], pages: int) -> Outcome:
    killer = Killer(victims, pages)
    outcome = asyncio.run(walk(home, port, killer))
    assert not killer.left, f"the walk ended before these were killed: {killer.left}"
    return outcome


@pytest.fixture(scope="module")
def port() -> int:
    return free_ports(1)[0]


@pytest.fixture(scope="module")
def peaceful(tmp_path_factory: pytest.TempPathFactory, port: int) -> Outcome:
    """What comes of the walk if nobody is killed."""
    return asyncio.run(walk(tmp_path_factory.mktemp("peace"), port))


def compare_merged(peaceful: Outcome, killed: Outcome) -> None:
    """Assert that the same was said last of every title, and published.

    When a title's namesakes are noticed, and so which of them leads to what is said, depends on how
    batches were cut. What is said of a title without any doesn't.
    """
    for outcome in (peaceful, killed):
        said = {
            uuid5(
                NAMESPACE,
                f"{row['event_id']}:{TitleMerged.type_name()}:{title_id}:{row['content_hash']}",
            )
            for title_id, row in outcome.merged.items()
        }
        assert said <= outcome.events[TitleMerged.topic]
    assert killed.merged.keys() == peaceful.merged.keys()
    for title_id, row in peaceful.merged.items():
        by_chance = {"resolution"}
        if [member["reason"] for member in row["members"]] != [ALONE]:
            by_chance |= {"event_id"}
        last = killed.merged[title_id]
        assert {key: value for key, value in last.items() if key not in by_chance} == {
            key: value for key, value in row.items() if key not in by_chance
        }


def compare(peaceful: Outcome, killed: Outcome) -> None:
    """Assert that the kills left no trace."""
    assert killed.parked == {}
    for topic, ids in peaceful.events.items():
        if topic != TitleMerged.topic:
            assert killed.events.get(topic) == ids, f"{topic}: events are missing, or new"
    compare_merged(peaceful, killed)
    for name in ("titles", "reviews", "rejects", "features"):
        rows = peaceful.rows.get(name, [])
        doubled = [id for id, n in Counter(row["event_id"] for row in rows).items() if n > 1]
        assert killed.rows.get(name, []) == rows, f"the table {name} differs"
        assert doubled == [], f"the table {name} holds events twice"
    assert killed.embeddings.keys() == peaceful.embeddings.keys()
    for event_id, embedding in peaceful.embeddings.items():
        np.testing.assert_allclose(killed.embeddings[event_id], embedding, atol=1e-5)
    for table in ("titles", "reviews", "trends"):
        assert killed.catalog[table] == peaceful.catalog[table], table
    assert killed.unrecorded == set()
    assert killed.dataset == peaceful.dataset
    assert killed.champion == peaceful.champion


@pytest.mark.timeout(420)
def test_a_walk_in_which_everything_is_killed_once_ends_as_one_in_peace(
    peaceful: Outcome, port: int, tmp_path: Path
) -> None:
    assert peaceful.parked == {}
    pages = len(peaceful.events[TitleScraped.topic])
    killed = kill_in_walk(tmp_path, port, VICTIMS, pages)
    assert len(killed.restarts) >= len(VICTIMS)
    compare(peaceful, killed)


@pytest.mark.timeout(3600)
@pytest.mark.parametrize("victim", VICTIMS)
def test_a_walk_in_which_one_is_killed_ends_as_one_in_peace(
    peaceful: Outcome, port: int, tmp_path: Path, victim: str
) -> None:
    pages = len(peaceful.events[TitleScraped.topic])
    killed = kill_in_walk(tmp_path, port, (victim,), pages)
    assert any(line.startswith(victim) for line in killed.restarts)
    compare(peaceful, killed)
