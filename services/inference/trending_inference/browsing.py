"""What the catalog says of titles and their trends."""

import json
from collections.abc import Collection
from dataclasses import dataclass
from datetime import date
from typing import Any

import sqlalchemy as sa

from trending_inference.schemas import (
    AlsoTold,
    Provenance,
    ReviewText,
    TitleDetail,
    TitleSummary,
    TrendDay,
    TrendingTitle,
)
from trending_shared.catalog import Catalog, identities, titles, trends
from trending_shared.catalog import reviews as written
from trending_shared.events import Kind

HISTORY = 90  # days of trends in a title's detail
REVIEWS = 5

_SUMMARY = (titles.c.title_id, titles.c.name, titles.c.kind, titles.c.year, titles.c.genres)

# Said to be one that another source described first. As long as that one isn't here, this one is.
_first = titles.alias()
_SPEAKS_FOR_ITSELF = ~(
    sa.exists()
    .where(identities.c.title_id == titles.c.title_id)
    .where(identities.c.merged_id != titles.c.title_id)
    .where(_first.c.title_id == identities.c.merged_id)
)


@dataclass(frozen=True, slots=True)
class Story:
    """The fields of a title that its text is made of."""

    name: str
    plot: str
    kind: Kind | None
    countries: tuple[str, ...]
    reviews: tuple[str, ...] = ()


class Browser:
    """Reads of the catalog; each raises `StoreUnavailable` if the database doesn't answer."""

    def __init__(self, catalog: Catalog) -> None:
        self._catalog = catalog

    async def trending(
        self,
        *,
        day: date | None = None,
        kind: Kind | None = None,
        genre: str | None = None,
        limit: int,
        offset: int,
    ) -> tuple[date | None, int, list[TrendingTitle]]:
        """A page of a day's titles, fastest rising first, with the day and how many there are.

        A title that several sources describe is there once.

        Without a day it is the newest one on record; there is none in an empty catalog.
        """
        async with self._catalog.reading() as connection:
            if day is None:
                day = await connection.scalar(sa.select(sa.func.max(trends.c.day)))
            if day is None:
                return None, 0, []
            wanted = [trends.c.day == day, *_matching(kind, genre)]
            joined = trends.join(titles, titles.c.title_id == trends.c.title_id)
            total = await connection.scalar(
                sa.select(sa.func.count()).select_from(joined).where(*wanted)
            )
            rows = await connection.execute(
                sa.select(*_SUMMARY, trends.c.score, trends.c.recent, trends.c.expected)
                .select_from(joined)
                .where(*wanted)
                .order_by(trends.c.score.desc(), titles.c.title_id)
                .limit(limit)
                .offset(offset)
            )
            return day, total or 0, [TrendingTitle(**row) for row in rows.mappings()]

    async def search(
        self, *, query: str, kind: Kind | None = None, limit: int, offset: int
    ) -> tuple[int, list[TitleSummary]]:
        """A page of the titles whose names contain `query`, by name, and how many there are.

        A title that several sources describe is there once, as the one that was first.
        """
        wanted = [titles.c.name.icontains(query, autoescape=True), *_matching(kind, None)]
        async with self._catalog.reading() as connection:
            total = await connection.scalar(
                sa.select(sa.func.count()).select_from(titles).where(*wanted)
            )
            rows = await connection.execute(
                sa.select(*_SUMMARY)
                .where(*wanted)
                .order_by(titles.c.name, titles.c.title_id)
                .limit(limit)
                .offset(offset)
            )
            return total or 0, [TitleSummary(**row) for row in rows.mappings()]

    async def title(self, title_id: str) -> TitleDetail | None:
        """All that is known of a title; none if there is no such title."""
        async with self._catalog.reading() as connection:
            found = await connection.execute(sa.select(titles).where(titles.c.title_id == title_id))
            row = found.mappings().one_or_none()
            if row is None:
                return None
            others = (await connection.execute(_same_title(title_id))).mappings().all()
            history = await connection.execute(
                sa.select(trends)
                .where(trends.c.title_id == title_id)
                .order_by(trends.c.day.desc())
                .limit(HISTORY)
            )
            days = [TrendDay(**entry) for entry in history.mappings()]
            about = written.c.title_id.in_([title_id, *(other["title_id"] for other in others)])
            count = await connection.scalar(
                sa.select(sa.func.count()).select_from(written).where(about)
            )
            newest = await connection.execute(
                sa.select(written)
                .where(about)
                .order_by(written.c.day.desc().nulls_last(), written.c.review_id)
                .limit(REVIEWS)
            )
            return TitleDetail(
                **{name: row[name] for name in TitleDetail.model_fields if name in row},
                trends=days[::-1],
                reviews_count=count or 0,
                reviews=[ReviewText(**review) for review in newest.mappings()],
                provenance=Provenance(**row),
                also_told_by=[AlsoTold(**other) for other in others],
            )

    async def stories(
        self, title_ids: Collection[str], *, reviews: bool = False
    ) -> dict[str, Story]:
        """The fields of titles by id, with their reviews if told to; unknown ones are left out."""
        if not title_ids:
            return {}
        said: dict[str, list[str]] = {}
        async with self._catalog.reading() as connection:
            rows = await connection.execute(
                sa.select(
                    titles.c.title_id,
                    titles.c.name,
                    titles.c.plot,
                    titles.c.kind,
                    titles.c.countries,
                ).where(titles.c.title_id.in_(title_ids))
            )
            if reviews:
                found = sa.select(written.c.title_id, written.c.text).where(
                    written.c.title_id.in_(title_ids)
                )
                for title_id, text in await connection.execute(found):
                    said.setdefault(title_id, []).append(text)
        return {
            row.title_id: Story(
                row.name,
                row.plot,
                row.kind,
                tuple(row.countries),
                tuple(said.get(row.title_id, ())),
            )
            for row in rows
        }

    async def opinions(self, title_id: str, limit: int) -> list[ReviewText]:
        """The newest reviews of a title by all sources that tell of it, as in its detail."""
        others = _same_title(title_id).with_only_columns(titles.c.title_id).order_by(None)
        async with self._catalog.reading() as connection:
            newest = await connection.execute(
                sa.select(written)
                .where((written.c.title_id == title_id) | written.c.title_id.in_(others))
                .order_by(written.c.day.desc().nulls_last(), written.c.review_id)
                .limit(limit)
            )
            return [ReviewText(**review) for review in newest.mappings()]

    async def signals(self, title_ids: Collection[str]) -> dict[str, list[int]]:
        """How often each title was seen a day, oldest first, as its pages told us."""
        if not title_ids:
            return {}
        async with self._catalog.reading() as connection:
            rows = await connection.execute(
                sa.select(titles.c.title_id, titles.c.popularity).where(
                    titles.c.title_id.in_(title_ids)
                )
            )
            return {row.title_id: _counts(row.popularity) for row in rows}


def _matching(kind: Kind | None, genre: str | None) -> list[sa.ColumnElement[bool]]:
    conditions: list[sa.ColumnElement[bool]] = [_SPEAKS_FOR_ITSELF]
    if kind:
        conditions.append(titles.c.kind == kind)
    if genre:
        # A list's JSON text holds each genre in quotes; both dialects can look for that.
        quoted = json.dumps(genre)
        conditions.append(sa.cast(titles.c.genres, sa.Text).contains(quoted, autoescape=True))
    return conditions


def _same_title(title_id: str) -> sa.Select[Any]:
    """What other sources told of the same title, the first first."""
    its = identities.alias()
    return (
        sa.select(titles)
        .join(identities, identities.c.title_id == titles.c.title_id)
        .join(its, its.c.merged_id == identities.c.merged_id)
        .where(its.c.title_id == title_id, titles.c.title_id != title_id)
        .order_by(titles.c.title_id != identities.c.merged_id, titles.c.title_id)
    )


def _counts(popularity: Any) -> list[int]:
    return [entry["count"] for entry in sorted(popularity, key=lambda entry: entry["day"])]
