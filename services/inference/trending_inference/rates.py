"""How much each caller may ask: a share a minute, of which any part may come at once."""

import time
from collections import OrderedDict
from collections.abc import Callable

MINUTE = 60 * 10**9  # nanoseconds: whole numbers, in which no rounding adds up
_MOST = 10_000  # callers that are remembered, some 2 MB


class Rate:
    """A token bucket for each caller, kept as one number: until when its share is spoken for.

    Whoever has been silent longest is forgotten when there are too many, and begins with a full
    share again. Each process counts for itself.

    Args:
        what: what is counted, as answers call it.
        per_minute: each caller's share.
        now: nanoseconds of a clock that never goes back.
    """

    def __init__(
        self,
        what: str,
        per_minute: int,
        *,
        most: int = _MOST,
        now: Callable[[], int] = time.monotonic_ns,
    ) -> None:
        self.what = what
        self.per_minute = per_minute
        self._each = MINUTE // per_minute
        self._most = most
        self._now = now
        self._until: OrderedDict[str, int] = OrderedDict()

    def take(self, caller: str, count: int = 1) -> float:
        """Take so many from a caller's share: 0.0, or the seconds until there will be as many.

        In that case nothing is taken.
        """
        now = self._now()
        until = max(self._until.get(caller, now), now) + count * self._each
        wait = until - now - MINUTE
        if caller in self._until:
            self._until.move_to_end(caller)
        if wait > 0:
            return wait / 10**9
        self._until[caller] = until
        if len(self._until) > self._most:
            self._until.popitem(last=False)
        return 0.0

    def left(self, caller: str) -> int:
        """What a caller could take now."""
        now = self._now()
        return (now + MINUTE - max(self._until.get(caller, now), now)) // self._each

    def __len__(self) -> int:
        return len(self._until)
