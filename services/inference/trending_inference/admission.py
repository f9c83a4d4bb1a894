"""Who gets in: what can't be answered in its time isn't begun."""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from trending_inference.metrics import InferenceMetrics
from trending_shared.errors import Unavailable

_WINDOW = 0.05  # seconds at least over which answers are counted: they come in bursts
_ANSWERS = 16  # at least: one that is slow says little, least of all the first of a process
_MEMORY = 0.3  # weight of the last window in what a text is expected to take
_CROWDED = 0.02  # seconds of work, below which nobody is refused


class Overloaded(Unavailable):
    """More is under way than can be answered in the time that there is."""

    def __init__(self, message: str, *, retry_after: float) -> None:
        super().__init__(message)
        self.retry_after = retry_after
        """Seconds until what is under way will have been answered."""


class Admission:
    """Knows how much is under way from the first byte read to the record confirmed, and how long
    that takes.

    Little's law tells the wait of a newcomer: what is under way, times what passes between two
    answers. The latter is measured while there is always something under way, so it has the model
    in it, Kafka, and the processor time of everything around them, whichever is short.

    Args:
        most: texts under way.
        now: seconds of a clock that never goes back.
    """

    def __init__(
        self,
        most: int,
        metrics: InferenceMetrics,
        *,
        now: Callable[[], float] = time.monotonic,
    ) -> None:
        self._most = most
        self._metrics = metrics
        self._now = now
        self._texts = 0
        self._each = 0.0  # seconds between two texts that are answered
        self._answered = 0
        self._since: float | None = None

    @property
    def crowded(self) -> bool:
        """Whether anybody might be refused."""
        return self._texts * self._each > _CROWDED or self._texts >= self._most

    def shortage(self, texts: int, within: float) -> float | None:
        """None if so many more texts can be answered in so many seconds.

        Otherwise the seconds until what is under way is answered. Half of a caller's time is kept
        for what can't be foreseen. What is larger than the limit is let in when it is alone.
        """
        wait = self._texts * self._each
        full = self._texts and self._texts + texts > self._most
        return wait if full or wait > max(within / 2, _CROWDED) else None

    @contextmanager
    def inside(self, texts: int, within: float) -> Iterator[None]:
        """What happens inside is the answering of so many texts for a caller that waits so long.

        Raises:
            Overloaded: it doesn't get in.
        """
        if (wait := self.shortage(texts, within)) is not None:
            self._metrics.shed.inc()
            raise Overloaded(f"{self._texts} texts are under way", retry_after=wait)
        if not self._texts:
            self._since, self._answered = self._now(), 0
        self._texts += texts
        try:
            yield
        finally:
            self._texts -= texts
            self._leave(texts)

    def _leave(self, texts: int) -> None:
        self._answered += texts
        if self._since is None:
            return
        passed = self._now() - self._since
        each = passed / self._answered
        if not self._texts:
            # A text takes this at most; what passes until the next one comes says nothing.
            self._each = min(self._each, each)
            self._since = None
        elif passed >= _WINDOW and self._answered >= _ANSWERS:
            self._each += _MEMORY * (each - self._each) if self._each else each
            self._since, self._answered = self._since + passed, 0
