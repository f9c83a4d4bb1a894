"""How fast a host is visited: one after another, not before it likes, few at once.

A host's own word counts: Crawl-delay in its robots.txt, Retry-After (RFC 9110, section 10.2.3) for
how long it is left alone. And so does what it can't take: on 429 or 503 the time between two starts
doubles, to FIRST_SLOWDOWN at least and LONGEST_DELAY at most; each other answer takes SPEEDUP off
again, until the host's usual delay is reached. Of the answers to requests that were on their way
together only one doubles it, as in TCP.
"""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime

from trending_scraper.addresses import CONNECTIONS_PER_HOST
from trending_scraper.sources.base import SourceUnavailable
from trending_shared.clock import Clock

Sleep = Callable[[float], Awaitable[None]]

LONGEST_DELAY = timedelta(seconds=60)
FIRST_SLOWDOWN = timedelta(seconds=1)
SPEEDUP = timedelta(seconds=0.1)
LONGEST_RETRY_AFTER = timedelta(days=1)
EVER = datetime.min.replace(tzinfo=UTC)


def polite_delay(
    least: timedelta | None, crawl_delay: float | None, default: timedelta
) -> timedelta:
    """The time between two requests to a site whose robots.txt we obey.

    What the site says, within reason; our own habit where it says nothing. `least` is the minimum
    of the source's entry, and without one our habit: a site may ask for more, never for less.
    """
    said = default
    if crawl_delay is not None:
        said = timedelta(seconds=min(max(crawl_delay, 0.0), LONGEST_DELAY.total_seconds()))
    return max(said, default if least is None else least)


def retry_after(value: str | None, now: datetime) -> timedelta | None:
    """What a Retry-After header asks for; none if it says nothing we can read."""
    if value is None:
        return None
    value = value.strip()
    if value.isascii() and value.isdigit():
        seconds = int(value) if len(value) < 9 else LONGEST_RETRY_AFTER.total_seconds()
        return min(timedelta(seconds=seconds), LONGEST_RETRY_AFTER)
    try:
        at = parsedate_to_datetime(value)
    except ValueError:
        return None
    at = at if at.tzinfo else at.replace(tzinfo=UTC)
    return min(max(at - now, timedelta()), LONGEST_RETRY_AFTER)


@dataclass
class Host:
    """What we know about a host's pace."""

    slots: asyncio.Semaphore = field(
        default_factory=lambda: asyncio.Semaphore(CONNECTIONS_PER_HOST)
    )
    last_start: datetime = EVER
    held_until: datetime = EVER
    delay: timedelta = timedelta()
    """The host's usual one, as whoever came last had it."""
    slowed: timedelta = timedelta()
    """What the host's answers ask for; nothing while it can take what comes."""
    slowed_at: datetime = EVER


class Pacing:
    """Gives each request its turn.

    Args:
        default_delay: between the starts of two requests where neither source nor site says.
        patience: the longest Retry-After to sit through.
        sleep: waits some seconds.
    """

    def __init__(
        self,
        *,
        clock: Clock,
        default_delay: timedelta = timedelta(seconds=1),
        patience: timedelta = timedelta(seconds=30),
        sleep: Sleep = asyncio.sleep,
    ) -> None:
        self._clock = clock
        self.default_delay = default_delay
        self.patience = patience
        self._sleep = sleep
        self._hosts: dict[str, Host] = {}

    def hold(self, host: str, pause: timedelta) -> None:
        """Leave a host alone for a while."""
        known = self._host(host)
        known.held_until = max(known.held_until, self._clock.now() + pause)

    def slow_down(self, host: str, began: datetime) -> None:
        """A request that began then was too much for the host."""
        known = self._host(host)
        if began < known.slowed_at:
            return
        known.slowed_at = self._clock.now()
        doubled = max(2 * max(known.slowed, known.delay), FIRST_SLOWDOWN)
        known.slowed = min(doubled, LONGEST_DELAY)

    def speed_up(self, host: str) -> None:
        """A request wasn't too much for the host."""
        known = self._host(host)
        known.slowed = max(known.slowed - SPEEDUP, timedelta())

    @asynccontextmanager
    async def turn(self, host: str, delay: timedelta | None = None) -> AsyncIterator[float]:
        """Wait for a turn and keep one of the host's connections for the body of the `with`.

        Args:
            host: as `addresses.authority` has it.
            delay: the least time since the last start; none stands for the default.

        Yields:
            The seconds it waited.

        Raises:
            SourceUnavailable: the host asked to be left alone for longer than our patience.
        """
        known = self._host(host)
        delay = known.delay = self.default_delay if delay is None else delay
        came = self._clock.now()
        async with known.slots:
            while True:
                now = self._clock.now()
                if known.held_until - now > self.patience:
                    raise SourceUnavailable(
                        f"{host} asked to be left alone until {known.held_until.isoformat()}",
                        not_before=known.held_until,
                    )
                # Taken before the wait, so that of many who wait no two get the same turn.
                start = max(now, known.held_until)
                if known.last_start is not EVER:
                    start = max(start, known.last_start + max(delay, known.slowed))
                known.last_start = start
                if start > now:
                    await self._sleep((start - now).total_seconds())
                if known.held_until <= self._clock.now():
                    break  # nobody asked for more patience in the meantime
            yield (self._clock.now() - came).total_seconds()

    def _host(self, host: str) -> Host:
        return self._hosts.setdefault(host, Host())
