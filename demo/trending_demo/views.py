"""How often each title was watched: made up for the demo, the same on every machine.

A title has a level (150 to 15,000 views a day, most titles low), a week with a strong weekend, and
some noise; these depend on the title and the calendar day alone. About six titles in a hundred,
chosen by their hash, surge in the five days before the day the site is looked at: this part moves
along with that day, so the demo always has something rising.
"""

import hashlib
from dataclasses import dataclass
from datetime import date, timedelta

DAYS = 28
SURGING = 0.06  # the share of titles
SURGE = (2.0, 3.0, 4.0, 5.0, 6.0)  # by how much the last days exceed the usual, oldest first
WEEK = (0.80, 0.75, 0.80, 0.90, 1.20, 1.50, 1.35)  # from Monday to Sunday


@dataclass(frozen=True)
class DayViews:
    """How often a title was watched from midnight to midnight, UTC."""

    day: date
    count: int

    @property
    def next_day(self) -> date:
        return self.day + timedelta(days=1)


def daily_views(title_id: str, today: date) -> tuple[DayViews, ...]:
    """The views of the last 28 full days, oldest first, `today` not among them."""
    level = 150 * 100 ** (chance(title_id, "level") ** 2)
    surge = SURGE if is_surging(title_id) else ()
    factors = (1.0,) * (DAYS - len(surge)) + surge
    days = (today - timedelta(days=ago) for ago in range(DAYS, 0, -1))
    return tuple(
        DayViews(day, round(level * factor * WEEK[day.weekday()] * noise(title_id, day)))
        for day, factor in zip(days, factors, strict=True)
    )


def is_surging(title_id: str) -> bool:
    return chance(title_id, "surge") < SURGING


def noise(title_id: str, day: date) -> float:
    """Between 0.9 and 1.1."""
    return 0.9 + 0.2 * chance(title_id, day.isoformat())


def chance(title_id: str, what: str) -> float:
    """A number in [0, 1), uniform over titles, always the same for the same question."""
    digest = hashlib.blake2b(f"{title_id} {what}".encode(), digest_size=6).digest()
    return int.from_bytes(digest) / 2**48
