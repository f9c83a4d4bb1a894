"""What a site's robots.txt lets us visit, and how often: RFC 9309, and Crawl-delay.

A missing file allows everything (section 2.3.1.3). A file that can't be had now allows nothing for
now (2.3.1.4), which is "not now" and not "never"; the RFC would let us take it as missing after 30
days, we don't. Rules are kept for a day (2.4), and longer only while newer ones can't be had. A
site that can't say is asked again after a minute, then after twice as long each time, up to an
hour.
"""

import asyncio
from collections.abc import Awaitable, Callable
from collections.abc import Set as AbstractSet
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from protego import Protego

from trending_scraper.sources.base import SourceUnavailable
from trending_shared.clock import Clock
from trending_shared.errors import Declined

AGENT = "trending-now"  # our product token, which robots.txt files may name
MAX_BYTES = 512 * 1024  # section 2.5 asks for 500 KiB at least; what lies beyond is ignored
KEPT_FOR = timedelta(hours=24)
ASKED_AGAIN_AFTER = timedelta(minutes=1)
LONGEST_PAUSE = timedelta(hours=1)


class RobotsDenied(Declined):
    """The site's robots.txt keeps us from a page, as is its right."""


@dataclass(frozen=True, slots=True)
class RobotsFile:
    """How a site answered when asked for its robots.txt."""

    status: int
    body: bytes = b""


class Rules:
    """The rules of one site that concern us."""

    def __init__(self, text: str = "") -> None:
        self._rules = Protego.parse(text)

    @property
    def crawl_delay(self) -> float | None:
        """Seconds between two requests, if the site asks for some."""
        return self._rules.crawl_delay(AGENT)

    def allow(self, url: str) -> bool:
        return self._rules.can_fetch(url, AGENT)


def rules_of(file: RobotsFile) -> Rules:
    """The rules that follow from an answer.

    429 counts as "not now": the RFC would let us take all that is fetched too fast as allowed.

    Raises:
        SourceUnavailable: the site can't say at the moment.
    """
    if file.status == 200:
        return Rules(file.body.decode("utf-8-sig", errors="replace"))
    if 400 <= file.status < 500 and file.status != 429:
        return Rules()
    raise SourceUnavailable(f"robots.txt answers {file.status}; until it says otherwise, stay out")


@dataclass
class Entry:
    """What is known about a site's rules; `until` is when to ask again."""

    until: datetime | None = None
    rules: Rules | None = None
    trouble: str = ""
    pause: timedelta = ASKED_AGAIN_AFTER
    asking: asyncio.Lock = field(default_factory=asyncio.Lock)


class Robots:
    """The rules of every site visited, asked for once a day.

    Args:
        ask: fetches a robots.txt; may only go to the hosts given.
    """

    def __init__(
        self,
        ask: Callable[[str, AbstractSet[str]], Awaitable[RobotsFile]],
        *,
        clock: Clock,
    ) -> None:
        self._ask = ask
        self._clock = clock
        self._entries: dict[str, Entry] = {}

    async def rules(self, origin: str, hosts: AbstractSet[str]) -> Rules:
        """The rules of `http://host:port`.

        Raises:
            SourceUnavailable: nobody knows them now; says when they are asked for again.
        """
        entry = self._entries.setdefault(origin, Entry())
        async with entry.asking:
            now = self._clock.now()
            if entry.until is None or entry.until <= now:
                try:
                    entry.rules = rules_of(await self._ask(f"{origin}/robots.txt", hosts))
                    entry.until, entry.pause = now + KEPT_FOR, ASKED_AGAIN_AFTER
                except SourceUnavailable as error:
                    entry.until = max(now + entry.pause, error.not_before or now)
                    entry.pause = min(2 * entry.pause, LONGEST_PAUSE)
                    entry.trouble = str(error)  # older rules, if there are any, stay in force
            if entry.rules is None:
                raise SourceUnavailable(entry.trouble, not_before=entry.until)
            return entry.rules
