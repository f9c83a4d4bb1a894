"""A circuit breaker for each host: one that fails again and again is left alone, longer each time.

After FAILURES in a row the circuit opens for FIRST_PAUSE. Then one request, the probe, is let
through: if it gets an answer the circuit closes, if it fails it opens for twice as long, up to
LONGEST_PAUSE. Whoever comes meanwhile is told when to come again. A probe that nobody hears of
again is followed by another after the same time.
"""

from dataclasses import dataclass
from datetime import datetime, timedelta

import structlog

from trending_scraper.sources.base import SourceUnavailable
from trending_shared.clock import Clock

log = structlog.get_logger()

FAILURES = 5
FIRST_PAUSE = timedelta(seconds=30)
LONGEST_PAUSE = timedelta(hours=1)


@dataclass
class Circuit:
    """What a host did of late."""

    failures: int = 0
    open_until: datetime | None = None

    @property
    def pause(self) -> timedelta:
        doublings = min(max(self.failures - FAILURES, 0), 16)
        return min(FIRST_PAUSE * float(2**doublings), LONGEST_PAUSE)


class Breaker:
    """Says whether a host may be asked, by what it did before."""

    def __init__(self, *, clock: Clock) -> None:
        self._clock = clock
        self._circuits: dict[str, Circuit] = {}

    def check(self, host: str) -> None:
        """Call before a request; the first one after a pause is the probe.

        Raises:
            SourceUnavailable: the host's circuit is open.
        """
        circuit = self._circuits.get(host)
        if circuit is None or circuit.open_until is None:
            return
        now = self._clock.now()
        if now < circuit.open_until:
            raise SourceUnavailable(
                f"{host} failed {circuit.failures} times in a row; it is left alone until "
                f"{circuit.open_until.isoformat()}",
                not_before=circuit.open_until,
            )
        circuit.open_until = now + circuit.pause

    def answered(self, host: str) -> None:
        """A request got an answer: nothing is wrong with the host."""
        self._circuits.pop(host, None)

    def failed(self, host: str) -> None:
        """A request got none, or was told that the host is broken."""
        circuit = self._circuits.setdefault(host, Circuit())
        circuit.failures += 1
        if circuit.failures >= FAILURES:
            circuit.open_until = self._clock.now() + circuit.pause
            log.warning(
                "host_left_alone",
                host=host,
                failures=circuit.failures,
                until=circuit.open_until.isoformat(),
            )
