"""How many requests a day a source's terms allow, counted together by all scrapers.

Each request that is sent takes a ticket, an object that only one can create: so does each redirect
that is followed, and each further attempt; one that is held back for the host's sake doesn't.
"""

from datetime import UTC, date, datetime, time, timedelta

from trending_scraper.sources.base import SourceUnavailable
from trending_shared.clock import Clock
from trending_shared.storage import ObjectStore


class Quotas:
    """Tickets by source and UTC day, in the object store; blocks."""

    def __init__(self, store: ObjectStore, *, clock: Clock) -> None:
        self._store = store
        self._clock = clock
        self._taken: dict[str, tuple[date, int]] = {}

    def take(self, source: str, limit: int) -> None:
        """Take a ticket.

        Raises:
            SourceUnavailable: today's are used up; says when the next day begins.
            StoreUnavailable: the store didn't answer.
        """
        today = self._clock.now().astimezone(UTC).date()
        day, taken = self._taken.get(source, (None, 0))
        if day != today:
            taken = self._begin(source, today)
        while taken < limit:
            taken += 1
            self._taken[source] = (today, taken)
            if self._store.put_new(f"quotas/{source}/{today}/{taken:08}", b""):
                return
        raise SourceUnavailable(
            f"{source} allows {limit} requests a day, and today's are used up",
            not_before=datetime.combine(today + timedelta(days=1), time(), UTC),
        )

    def _begin(self, source: str, today: date) -> int:
        """How many tickets of today are taken; those of earlier days are of no use any more."""
        days = [(key, key.split("/")[2]) for key in self._store.keys(f"quotas/{source}")]
        for key, day in days:
            if day < str(today):
                self._store.delete(key)
        return sum(day == str(today) for _, day in days)
