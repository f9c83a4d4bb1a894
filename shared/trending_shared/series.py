"""What was counted of titles, day by day, as the catalog keeps it: what trends are measured on."""

from collections.abc import Mapping, Sequence, Set
from datetime import date, timedelta
from typing import Any

import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncConnection

from trending_shared.catalog import (
    external_ids,
    identities,
    identity_ids,
    reviews,
    signals,
    tides,
    titles,
)
from trending_shared.causes import Facts
from trending_shared.trends import OLDEST, Series, Tides


async def read_series(
    connection: AsyncConnection, title_ids: Sequence[str], as_of: date
) -> Mapping[str, Series]:
    """What a day's trend rests on, of some titles and all that were said to be the same.

    What several sources tell of one title counts together, for each of them. Titles that the
    catalog doesn't have yet count nothing and have no series.
    """
    same = await _same_titles(connection, title_ids)
    series = await _of_each(connection, sorted(same), as_of)
    return {
        title_id: {name: counts for one in ids for name, counts in series.get(one, {}).items()}
        for title_id, ids in same.items()
        if title_id in series
    }


async def read_facts(connection: AsyncConnection, title_ids: Sequence[str]) -> Mapping[str, Facts]:
    """What is known of titles besides counts; what one source doesn't tell, another may.

    A title's release is the earliest that any source tells. Unknown titles are left out.
    """
    same = await _same_titles(connection, title_ids)
    rows = await connection.execute(
        sa.select(titles.c.title_id, titles.c.released, titles.c.year).where(
            titles.c.title_id.in_(sorted(same))
        )
    )
    told = {title_id: (released, year) for title_id, released, year in rows}
    found = {}
    for title_id in told:
        its = [told[one] for one in same[title_id] if one in told]
        found[title_id] = Facts(
            released=min((day for day, _ in its if day), default=None),
            year=told[title_id][1] or min((year for _, year in its if year), default=None),
        )
    return found


async def read_tides(connection: AsyncConnection, as_of: date) -> Tides:
    """What moved in whole channels, on the days that a trend rests on."""
    rows = await connection.execute(
        sa.select(tides).where(tides.c.day < as_of, tides.c.day >= as_of - OLDEST)
    )
    found: dict[str, dict[date, float]] = {}
    for channel, day, factor in rows:
        found.setdefault(channel, {})[day] = factor
    return found


async def _same_titles(
    connection: AsyncConnection, title_ids: Sequence[str]
) -> Mapping[str, Set[str]]:
    """These titles, and all that were said to be the same as one of them, each with all it is."""
    its, theirs = identities.alias(), identities.alias()
    pairs = await connection.execute(
        sa.select(its.c.title_id, theirs.c.title_id)
        .join(theirs, theirs.c.merged_id == its.c.merged_id)
        .where(its.c.title_id.in_(title_ids))
    )
    same: dict[str, set[str]] = {title_id: {title_id} for title_id in title_ids}
    for one, other in pairs:
        same[one].add(other)
    return same | {other: same[one] for one in title_ids for other in same[one]}


async def _of_each(
    connection: AsyncConnection, title_ids: Sequence[str], as_of: date
) -> Mapping[str, Series]:
    # Days too old to count become one: it still tells that the title had reviews by then.
    early = as_of - OLDEST - timedelta(days=1)
    day = sa.case((reviews.c.day < early, sa.literal(early, sa.Date)), else_=reviews.c.day)
    reviewed = (
        sa.select(reviews.c.title_id, day, sa.func.count(), sa.func.max(reviews.c.fetched_at))
        .where(reviews.c.title_id.in_(title_ids), reviews.c.day.is_not(None))
        .group_by(reviews.c.title_id, day)
    )
    counted = sa.select(
        titles.c.title_id, titles.c.source, titles.c.popularity, titles.c.fetched_at
    ).where(titles.c.title_id.in_(title_ids))
    review_rows = (await connection.execute(reviewed)).all()
    title_rows = (await connection.execute(counted)).all()
    signal_rows = (await connection.execute(_signals_of(title_ids, early))).all()
    return gather_series(title_rows, review_rows, signal_rows)


def _signals_of(title_ids: Sequence[str], early: date) -> sa.Select[Any]:
    """What was counted, since a day, of everything that shares an id with one of these titles."""
    theirs = called(title_ids=title_ids)
    return (
        sa.select(
            theirs.c.title_id,
            signals.c.subject_id,
            signals.c.metric,
            signals.c.day,
            signals.c["count"],
        )
        .join_from(theirs, external_ids, external_ids.c.external_id == theirs.c.external_id)
        .join(signals, signals.c.subject_id == external_ids.c.owner_id)
        .where(signals.c.day > early)
        .distinct()  # they may share several ids
    )


def called(
    *, title_ids: Sequence[str] | None = None, external_ids_in: Sequence[str] | None = None
) -> sa.Subquery:
    """What titles are called elsewhere, by their own source or by one that tells of the same title.

    Columns: title_id, external_id.
    """
    own = sa.select(external_ids.c.owner_id.label("title_id"), external_ids.c.external_id)
    others = sa.select(identities.c.title_id, identity_ids.c.external_id).join(
        identity_ids, identity_ids.c.merged_id == identities.c.merged_id
    )
    if title_ids is not None:
        own = own.where(external_ids.c.owner_id.in_(title_ids))
        others = others.where(identities.c.title_id.in_(title_ids))
    if external_ids_in is not None:
        own = own.where(external_ids.c.external_id.in_(external_ids_in))
        others = others.where(identity_ids.c.external_id.in_(external_ids_in))
    return own.union(others).subquery()


def read_popularity(stored: Sequence[Mapping[str, Any]]) -> dict[date, int]:
    """The counts of a catalog row by day."""
    return {date.fromisoformat(entry["day"]): int(entry["count"]) for entry in stored}


def gather_series(
    title_rows: Sequence[Any], review_rows: Sequence[Any], signal_rows: Sequence[Any] = ()
) -> Mapping[str, Series]:
    """What is known of each title, by title and name of the series.

    From a title's first review to the day before its page was last fetched, a day without reviews
    had none. A day without popularity is unknown: the source may just not have shown it.

    Args:
        title_rows: title id, source, popularity as the catalog keeps it, time of fetching.
        review_rows: title id, day, number of reviews, newest time of fetching.
        signal_rows: title id, subject, metric, day, count; one of each subject, metric and day.
    """
    reviewed: dict[str, dict[date, int]] = {}
    until: dict[str, date] = {}
    for title_id, day, count, fetched_at in review_rows:
        reviewed.setdefault(title_id, {})[day] = count
        until[title_id] = max(until.get(title_id, date.min), fetched_at.date())
    series: dict[str, dict[str, dict[date, int]]] = {}
    for title_id, source, stored, fetched_at in title_rows:
        counted = read_popularity(stored)
        series[title_id] = {f"popularity of {title_id} at {source}": counted}
        if counts := reviewed.get(title_id):
            first, end = min(counts), max(until[title_id], fetched_at.date())
            days = (first + timedelta(days=n) for n in range((end - first).days))
            of_days = {day: counts.get(day, 0) for day in days}
            series[title_id][f"reviews of {title_id} at {source}"] = of_days
    for title_id, subject_id, metric, day, count in signal_rows:
        if title_id in series:
            named = series[title_id].setdefault(f"{metric} of {subject_id}", {})
            named[day] = count
    return series
