"""How fast replicas are together, played out from what one of them was seen to do.

A replica takes a batch, works on it, writes, and takes the next. What it works on needs a core.
What it writes goes where others write too: the log of a Delta table, whose next entry one of all
writers can create, while the others read what came before them and try again; or SQLite, where
one writes and the others wait. Everything that is measured is measured with one replica, so what
was measured with several says how wrong the model is.

Source of the law that this resembles where it saturates: Gunther 2007, "Guerrilla Capacity
Planning", the universal scalability law. Its two parameters would be fitted to three points; here
nothing is fitted.
"""

import heapq
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from random import Random

COMMITS = 400  # that are played out for each figure, after a quarter that doesn't count
SLICES = 20  # of a batch's work, by which replicas share a core
MARK = 0.0003  # seconds of a core to look up how far a table has one partition; see `tables`
BROKER_CORES = 12  # of all brokers together, where replicas are on machines of their own


class Shared(StrEnum):
    """What replicas of a service write to together."""

    nothing = "nothing"
    log = "the log of a Delta table"
    lock = "a lock of the catalog"


@dataclass(frozen=True)
class Work:
    """What a replica does with events, in seconds.

    Args:
        batch: events that are taken together.
        cpu: of a core, for an event.
        broker: of a core of the broker's, for an event.
        wait: for a batch, in which the replica doesn't work: for Kafka's answers, and the disk.
        exclusive: for a batch, in which no other replica can write.
    """

    batch: int
    cpu: float
    broker: float
    wait: float
    shared: Shared = Shared.nothing
    exclusive: float = 0.0


@dataclass(frozen=True)
class Played:
    """What came of so many replicas."""

    replicas: int
    rate: float
    """Events a second."""
    attempts: float
    """To write, for each that succeeded."""


def play(
    work: Work, *, replicas: int, partitions: int, cores: int | None = None, seed: int = 0
) -> Played:
    """Play out how fast replicas are.

    Args:
        cores: that replicas and the broker share; none: each replica has one of its own, and the
            brokers `BROKER_CORES`.

    Replicas without a partition have nothing to do.
    """
    active = min(replicas, partitions)
    house = _House(work, active, partitions, cores, Random(seed))
    return Played(replicas, min(house.run(), _brokers_rate(work, cores)), house.attempts_each)


def grow(work: Work, replicas: Sequence[int]) -> list[Played]:
    """As many partitions as replicas, each on a core of its own."""
    return [play(work, replicas=n, partitions=n) for n in replicas]


def worth(played: Sequence[Played], least: float = 0.5) -> int:
    """The most replicas of which each still does so much of what one does alone."""
    alone = played[0].rate / played[0].replicas
    return max(one.replicas for one in played if one.rate >= least * alone * one.replicas)


def bound(work: Work, most: Played) -> str:
    """What bounds the rate of very many replicas."""
    if most.rate >= 0.95 * _brokers_rate(work, None):
        return f"{BROKER_CORES} cores of brokers"
    if work.exclusive and most.rate >= 0.4 * work.batch / work.exclusive:
        return work.shared.value
    return "replicas"


def _brokers_rate(work: Work, cores: int | None) -> float:
    if cores is not None or not work.broker:  # it takes its share of the cores
        return float("inf")
    return BROKER_CORES / work.broker


class _House:
    """Replicas on cores; a heap of what happens next."""

    def __init__(
        self, work: Work, active: int, partitions: int, cores: int | None, random: Random
    ) -> None:
        marks = min(work.batch, partitions // active) * MARK if work.shared is Shared.log else 0.0
        self._slice = (work.batch * work.cpu + marks) / SLICES
        # Where the broker shares the cores it works on a replica's last batch beside the next one.
        self._broker_slice = work.batch * work.broker / SLICES if cores is not None else 0.0
        self._asked, self._blocked = set[int](), set[int]()
        self._work, self._random, self._active = work, random, active
        self._free = active if cores is None else cores
        self._ready: deque[int] = deque()
        self._left = [SLICES] * 2 * active  # of each replica, then of the broker's work for each
        self._began = [0.0] * active
        self._heap: list[tuple[float, int, str]] = []
        self._written_at, self._lock_free_at = -1.0, 0.0
        self._attempts = 0
        self._done: list[float] = []
        for replica in range(active):
            self._after(0.0, self._jitter(work.wait + SLICES * self._slice), replica, "ready")

    @property
    def attempts_each(self) -> float:
        return self._attempts / max(1, len(self._done))

    def run(self) -> float:
        total = COMMITS + self._active
        while len(self._done) < total:
            now, replica, what = heapq.heappop(self._heap)
            if what == "ready":
                self._left[replica] = SLICES
                self._ready.append(replica)
            elif what == "slice":
                self._free += 1
                self._left[replica] -= 1
                if self._left[replica]:
                    self._ready.append(replica)
                elif replica < self._active:
                    self._write(now, replica)
                else:
                    self._end_broker(now, replica - self._active)
            elif what == "written":
                self._end_write(now, replica)
            self._dispatch(now)
        first = total // 4
        return (total - first) * self._work.batch / (self._done[-1] - self._done[first - 1])

    def _dispatch(self, now: float) -> None:
        while self._free and self._ready:
            self._free -= 1
            who = self._ready.popleft()
            seconds = self._slice if who < self._active else self._broker_slice
            self._after(now, seconds, who, "slice")

    def _write(self, now: float, replica: int) -> None:
        self._attempts += 1
        self._began[replica] = now
        if self._work.shared is Shared.lock:
            self._lock_free_at = max(now, self._lock_free_at) + self._work.exclusive
            self._after(self._lock_free_at, 0.0, replica, "written")
        else:
            self._after(now, self._jitter(self._work.exclusive), replica, "written")

    def _end_write(self, now: float, replica: int) -> None:
        if self._work.shared is Shared.log and self._written_at > self._began[replica]:
            self._write(now, replica)  # another one was faster
            return
        self._written_at = now
        self._done.append(now)
        if replica in self._asked:
            self._blocked.add(replica)  # until the broker is done with the batch before
        else:
            self._go_on(now, replica)

    def _go_on(self, now: float, replica: int) -> None:
        if self._broker_slice:
            self._asked.add(replica)
            self._left[self._active + replica] = SLICES
            self._ready.append(self._active + replica)
        self._after(now, self._jitter(self._work.wait), replica, "ready")

    def _end_broker(self, now: float, replica: int) -> None:
        self._asked.remove(replica)
        if replica in self._blocked:
            self._blocked.remove(replica)
            self._go_on(now, replica)

    def _after(self, now: float, seconds: float, replica: int, what: str) -> None:
        heapq.heappush(self._heap, (now + seconds, replica, what))

    def _jitter(self, seconds: float) -> float:
        return seconds * self._random.uniform(0.7, 1.3)
