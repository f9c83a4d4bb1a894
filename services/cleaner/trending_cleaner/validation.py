"""What is wrong with records, and how badly.

    error    the record can't be used: a `Rejected`, raised where it shows; see `fields`, `cleaning`
    warning  the record stays, and says what to doubt: a field was there and couldn't be read, or
             what was read is odd
    unfit    too many of a partition's latest records are errors: none of them is judged by itself
             any more, for the page or our reading of it has changed

Warnings are named by what a reader would ask: `RatingUnreadable`.
"""

import re
from collections import Counter, deque
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from trending_cleaner.fields import value
from trending_shared.errors import BatchUnfit
from trending_shared.events import RawReview, RawTitle, ReviewCleaned, TitleCleaned
from trending_shared.messages import Position

# What a decoder writes where bytes are no character, and UTF-8 that was read as cp1252.
_GARBLED = re.compile("\ufffd|Ã[©¨¤¶¼±]|â€[™œ“]")
SHORT_FILM, LONG = 2, 600  # minutes; of a film, of anything; all but a few lie between


def title_warnings(raw: RawTitle, title: TitleCleaned) -> tuple[str, ...]:
    """What to doubt about a title that is clean."""
    return _named(_TITLE_WARNINGS, raw, title)


def review_warnings(raw: RawReview, review: ReviewCleaned) -> tuple[str, ...]:
    """What to doubt about a review that is clean."""
    return _named(_REVIEW_WARNINGS, raw, review)


def _named(
    checks: Mapping[str, Callable[[Any, Any], bool]], raw: Any, clean: Any
) -> tuple[str, ...]:
    return tuple(name for name, doubtful in checks.items() if doubtful(raw, clean))


def _unread(raw: str | None, clean: object) -> bool:
    return clean is None and raw is not None and (len(raw) > 200 or value(raw) is not None)


def _garbled(*texts: str) -> bool:
    return any(not text.isascii() and _GARBLED.search(text) for text in texts)


def _odd_length(title: TitleCleaned) -> bool:
    minutes = title.runtime_minutes
    if minutes is None:
        return False
    return minutes > LONG or (title.kind == "film" and minutes < SHORT_FILM)


_TITLE_WARNINGS: Mapping[str, Callable[[RawTitle, TitleCleaned], bool]] = {
    "LanguageUnknown": lambda raw, title: _unread(raw.language, title.language),
    "RuntimeUnreadable": lambda raw, title: _unread(raw.runtime, title.runtime_minutes),
    "RuntimeOdd": lambda _, title: _odd_length(title),
    "RatingUnreadable": lambda raw, title: _unread(raw.rating, title.rating),
    "RatingCountUnreadable": lambda raw, title: _unread(raw.rating_count, title.rating_count),
    "PopularityDropped": lambda raw, title: (
        len(raw.popularity) > len(title.popularity)
        and len({item.day for item in raw.popularity}) > len(title.popularity)
    ),
    "GenresUnknown": lambda _, title: bool(title.unknown_genres) and not title.genres,
    "TextGarbled": lambda _, title: _garbled(title.name, title.plot),
    "PlotIsName": lambda _, title: title.plot.casefold() == title.name.casefold(),
}

_REVIEW_WARNINGS: Mapping[str, Callable[[RawReview, ReviewCleaned], bool]] = {
    "LanguageUnknown": lambda raw, review: _unread(raw.language, review.language),
    "RatingUnreadable": lambda raw, review: _unread(raw.rating, review.rating),
    "DayDropped": lambda raw, review: _unread(raw.day, review.day),
    "TextGarbled": lambda _, review: _garbled(review.text),
}


# ---------------------------------------------------------------- batches

Outcome = str | None  # the reason of an error; None for a record that is fine
Partition = tuple[str, int]


@dataclass(frozen=True, slots=True)
class Limits:
    """When a partition's records are unfit.

    Args:
        share: of the records that may be errors; 1 lets everything pass.
        records: the fewest that a verdict rests on.
    """

    share: float = 0.5
    records: int = 100


class Fitness:
    """The latest outcomes of each partition, and whether they still look like bad luck.

    A verdict covers the records of a batch, and those before it as far back as it takes to have
    enough: a site that changed shows in batches of five as well.
    """

    def __init__(self, limits: Limits) -> None:
        self._limits = limits
        self._before: dict[Partition, deque[Outcome]] = {}

    def judge(self, outcomes: Iterable[tuple[Position, Outcome]]) -> None:
        """Judge a batch.

        Raises:
            BatchUnfit: names the partitions that are unfit, and the shares of reasons in each.
        """
        unfit = {}
        for partition, batch in _by_partition(outcomes).items():
            missing = max(0, self._limits.records - len(batch))
            before = self._before.get(partition, ())
            covered = [*(list(before)[-missing:] if missing else ()), *batch]
            errors = Counter(filter(None, covered))
            if len(covered) < self._limits.records:
                continue
            if errors.total() > self._limits.share * len(covered):
                unfit[partition] = _told(errors, len(covered))
        if unfit:
            raise BatchUnfit(unfit)

    def learn(self, outcomes: Iterable[tuple[Position, Outcome]]) -> None:
        """Remember the outcomes of a batch that was let through."""
        for partition, batch in _by_partition(outcomes).items():
            known = self._before.setdefault(partition, deque(maxlen=self._limits.records))
            known.extend(batch)


def _by_partition(
    outcomes: Iterable[tuple[Position, Outcome]],
) -> dict[Partition, Sequence[Outcome]]:
    found: dict[Partition, list[Outcome]] = {}
    for position, outcome in outcomes:
        found.setdefault((position.topic, position.partition), []).append(outcome)
    return dict(found)


def _told(errors: Counter[str], records: int) -> str:
    shares = ", ".join(
        f"{reason} {number / records:.0%}" for reason, number in errors.most_common()
    )
    return f"{errors.total()} of {records} records are errors: {shares}"
