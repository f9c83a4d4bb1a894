"""What the catalog says of titles and their trends."""

import json
from collections import Counter
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, fields
from datetime import date, datetime, timedelta
from typing import Any

import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncConnection

from trending_inference.filters import TitleFilters, TrendingFilters, conditions, told_by
from trending_inference.reasons import Reason, reasons_for
from trending_inference.schemas import (
    AlsoTold,
    Facet,
    FacetsAnswer,
    PredictedGenre,
    PredictedGenres,
    Provenance,
    ReviewText,
    TitleDetail,
    TitleSummary,
    TitleTrend,
    TrendDay,
    TrendHistory,
    TrendingTitle,
)
from trending_shared.catalog import (
    Catalog,
    Folded,
    fold,
    identities,
    predictions,
    signals,
    title_predictions,
    titles,
    trend_lacks,
    trends,
)
from trending_shared.catalog import reviews as written
from trending_shared.causes import Facts, standing_of
from trending_shared.events import Kind, Lack, Standing, Trend
from trending_shared.series import read_facts, read_series, read_tides
from trending_shared.trends import Series, Tides, measure_trends

HISTORY = 90  # days of trends in a title's detail
FALSE_DISCOVERIES = 0.05  # of the titles of a board that stand out
REVIEWS = 5
_OF_LATE = timedelta(days=28)
_SIGNALS_BEHIND = timedelta(days=3)  # sources count a day when it is over, some a day later

_FACTS = (
    *(titles.c.title_id, titles.c.name, titles.c.kind, titles.c.year),
    *(titles.c.countries, titles.c.language, titles.c.genres),
)
_TREND = [trends.c[name] for name in Trend.model_fields]
_PREDICTED = (
    title_predictions.c.prediction_id,
    title_predictions.c.model_version,
    title_predictions.c.probabilities,
    title_predictions.c.genres.label("passed"),
)

EVERYTHING = TrendingFilters()
_RISING = trends.join(titles, titles.c.title_id == trends.c.title_id)


@dataclass(frozen=True, slots=True)
class Trending:
    """A page of a day's titles; there is no day in an empty catalog."""

    day: date | None
    nearest_day: date | None
    """If nothing is known of that day: the last one before it of which something is."""
    total: int
    items: list[TrendingTitle]


@dataclass(frozen=True, slots=True)
class Story:
    """The fields of a title that its text is made of."""

    name: str
    plot: str
    kind: Kind | None
    countries: tuple[str, ...]
    reviews: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Predicted:
    """A text, the title that it is of, and which model said something of it."""

    title_id: str | None
    prediction_id: str | None
    text: str
    model: str | None
    model_version: str | None


@dataclass(frozen=True, slots=True)
class Counted:
    """What was counted of a title day by day: of its series that with the most of late."""

    metric: str
    days: tuple[tuple[date, int], ...]
    """Oldest first; days that nobody watched to their end are missing."""


@dataclass(frozen=True, slots=True)
class Seen:
    """Of which days there are trends, and when something of what is shown was read last."""

    first_day: date | None
    last_day: date | None
    latest: datetime | None


class Browser:
    """Reads of the catalog; each raises `StoreUnavailable` if the database doesn't answer."""

    def __init__(self, catalog: Catalog, version: Callable[[], str | None]) -> None:
        """Read what the model of the present `version` says, if there is one."""
        self._catalog = catalog
        self._version = version

    async def trending(
        self, filters: TrendingFilters = EVERYTHING, *, limit: int, offset: int
    ) -> Trending:
        """A page of a day's titles, fastest rising first.

        A title that several sources describe is there once.
        """
        async with self._catalog.reading() as connection:
            newest = await connection.scalar(sa.select(sa.func.max(trends.c.day)))
            day = filters.day or newest
            if day is None or newest is None:
                return Trending(day, None, 0, [])
            joined = _predicted(_RISING, self._version())
            wanted = _on(day, filters)
            total = await connection.scalar(
                sa.select(sa.func.count())
                .select_from(_RISING if filters.genre is None else joined)
                .where(*wanted)
            )
            found = await connection.execute(
                sa.select(*_FACTS, *_PREDICTED, *_TREND)
                .select_from(joined)
                .where(*wanted)
                .order_by(trends.c.score.desc(), titles.c.title_id)
                .limit(limit)
                .offset(offset)
            )
            rows = found.mappings().all()
            nearest = None
            if not total and filters.day:
                nearest = await _nearest(connection, day)
            bar: float | None = await connection.scalar(_bar(day))
            known = await _read_known(connection, [row["title_id"] for row in rows], day)
        items = []
        for row in rows:
            trend = _trend(row)
            items.append(
                TrendingTitle(
                    **_summary(row),
                    score=trend.score,
                    recent=trend.recent,
                    expected=trend.expected,
                    trend=TitleTrend.of(trend, bar=bar or 0.0),
                    reasons=known.reasons(row["title_id"], trend, newest=newest),
                )
            )
        return Trending(day, nearest, total or 0, items)

    async def facets(self, filters: TrendingFilters) -> FacetsAnswer:
        """What a day's titles can be narrowed by, each with how many titles that leaves."""
        async with self._catalog.reading() as connection:
            day = filters.day or await connection.scalar(sa.select(sa.func.max(trends.c.day)))
            if day is None:
                return FacetsAnswer(day=None)
            joined = _predicted(_RISING, self._version())

            async def counts(*columns: sa.ColumnElement[Any], of: set[str]) -> Counter[Any]:
                """How many titles have each value, or each of a list, without these filters."""
                others = filters.model_copy(
                    update={name: TrendingFilters.model_fields[name].default for name in of}
                )
                found = await connection.execute(
                    sa.select(*columns, sa.func.count())
                    .select_from(joined if others.genre is not None or "genre" in of else _RISING)
                    .where(*_on(day, others))
                    .group_by(*columns)
                )
                counted: Counter[Any] = Counter()
                for *values, count in found:
                    for value in _each(values):
                        counted[value] += count
                return counted

            kinds = await counts(titles.c.kind, of={"kind"})
            genres = await counts(
                sa.cast(titles.c.genres, sa.Text),
                sa.cast(title_predictions.c.genres, sa.Text),
                of={"genre", "min_probability"},
            )
            languages = await counts(titles.c.language, of={"language"})
            countries = await counts(sa.cast(titles.c.countries, sa.Text), of={"country"})
            years = await counts(titles.c.year, of={"year_from", "year_to", "age"})
            verdicts = await counts(trends.c.verdict, of={"verdict"})
        return FacetsAnswer(
            day=day,
            kinds=_ranked(kinds),
            genres=_ranked(genres),
            languages=_ranked(languages),
            countries=_ranked(countries),
            years=[Facet(value=year, count=years[year]) for year in sorted(years, reverse=True)],
            verdicts=_ranked(verdicts),
        )

    async def search(
        self, filters: TitleFilters, *, query: str = "", limit: int, offset: int
    ) -> tuple[int, list[TitleSummary]]:
        """A page of the titles whose names contain `query`, by name, and how many there are.

        A title that several sources describe is there once, as the one that was first.
        """
        named = Folded(titles.c.name).contains(fold(query), autoescape=True)
        wanted = [named, *conditions(filters)]
        joined = _predicted(titles, self._version())
        async with self._catalog.reading() as connection:
            total = await connection.scalar(
                sa.select(sa.func.count())
                .select_from(titles if filters.genre is None else joined)
                .where(*wanted)
            )
            rows = await connection.execute(
                sa.select(*_FACTS, *_PREDICTED)
                .select_from(joined)
                .where(*wanted)
                .order_by(titles.c.name, titles.c.title_id)
                .limit(limit)
                .offset(offset)
            )
            return total or 0, [TitleSummary(**_summary(row)) for row in rows.mappings()]

    async def history(
        self, title_id: str, since: date | None, until: date | None
    ) -> TrendHistory | None:
        """A title's trend on each day of which there are any; none if there is no such title.

        Args:
            since: the first day that is wanted; 90 days up to the last one, if not given.
            until: the last one; the newest on record, if not given.
        """
        async with self._catalog.reading() as connection:
            if not await connection.scalar(
                sa.select(sa.func.count()).where(titles.c.title_id == title_id)
            ):
                return None
            first, last = (
                await connection.execute(
                    sa.select(sa.func.min(trends.c.day), sa.func.max(trends.c.day))
                )
            ).one()
            if first is None or last is None:
                return TrendHistory(title_id=title_id, first_day=None, last_day=None, days=[])
            end = min(until or last, last)
            start = max(since or end - timedelta(days=HISTORY - 1), first)
            rows = await connection.execute(
                sa.select(trends).where(
                    trends.c.title_id == title_id, trends.c.day >= start, trends.c.day <= end
                )
            )
            measured = {row["day"]: _trend(row) for row in rows.mappings()}
            lacks = await connection.execute(
                sa.select(trend_lacks.c.day, trend_lacks.c.lack).where(
                    trend_lacks.c.title_id == title_id
                )
            )
            known: dict[date, Trend | Lack] = {row.day: row.lack for row in lacks} | measured
        days = [start + timedelta(days=n) for n in range((end - start).days + 1)]
        return TrendHistory(
            title_id=title_id,
            first_day=first,
            last_day=last,
            days=[_told(known.get(day), day) for day in days],
        )

    async def title(self, title_id: str, today: date) -> TitleDetail | None:
        """All that is known of a title; none if there is no such title."""
        async with self._catalog.reading() as connection:
            found = await connection.execute(
                sa.select(titles, *_PREDICTED)
                .outerjoin_from(titles, title_predictions, told_by(self._version()))
                .where(titles.c.title_id == title_id)
            )
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
            measured = [_trend(entry) for entry in history.mappings()]
            lack = (
                await connection.execute(
                    sa.select(trend_lacks.c.day, trend_lacks.c.lack).where(
                        trend_lacks.c.title_id == title_id
                    )
                )
            ).one_or_none()
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
            newest_day = await connection.scalar(sa.select(sa.func.max(trends.c.day)))
            now: Trend | Lack | None = measured[0] if measured else None
            day = measured[0].day if measured else newest_day or today
            if lack and (not measured or lack.day > day):
                now, day = lack.lack, lack.day
            known = await _read_known(connection, [title_id], day)
            return TitleDetail(
                **{name: row[name] for name in TitleDetail.model_fields if name in row}
                | _summary(row),
                trend=_told(now, day, standing=known.standing(title_id)),
                trends=[TrendDay(**trend.model_dump()) for trend in reversed(measured)],
                reasons=known.reasons(title_id, now, newest=newest_day or day),
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

    async def predicted(self, prediction_id: str) -> Predicted | None:
        """A prediction on record; none if there is no such prediction, or not yet."""
        wanted = [predictions.c[field.name] for field in fields(Predicted)]
        async with self._catalog.reading() as connection:
            found = await connection.execute(
                sa.select(*wanted).where(predictions.c.prediction_id == prediction_id)
            )
            row = found.mappings().one_or_none()
        return Predicted(**row) if row else None

    async def prediction_of(self, title_id: str) -> str | None:
        """The id of what the model in service says of a title's present text."""
        async with self._catalog.reading() as connection:
            found: str | None = await connection.scalar(
                sa.select(title_predictions.c.prediction_id)
                .join_from(titles, title_predictions, told_by(self._version()))
                .where(titles.c.title_id == title_id)
            )
        return found

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

    async def counted(self, title_ids: Sequence[str], day: date) -> dict[str, Counted]:
        """What was counted most of each title in the weeks up to a day; none where nothing was."""
        async with self._catalog.reading() as connection:
            series = await read_series(connection, title_ids, day)
        found = {title_id: _loudest(its, day) for title_id, its in series.items()}
        return {title_id: counted for title_id, counted in found.items() if counted.days}

    async def seen(self, day: date | None) -> Seen:
        """How new what lists show of a day is, and which days they can show."""
        if day is None:
            return Seen(None, None, None)
        listed = trends.join(titles, titles.c.title_id == trends.c.title_id)
        async with self._catalog.reading() as connection:
            first, last = (
                await connection.execute(
                    sa.select(sa.func.min(trends.c.day), sa.func.max(trends.c.day))
                )
            ).one()
            pages = await connection.scalar(
                sa.select(sa.func.max(titles.c.fetched_at))
                .select_from(listed)
                .where(trends.c.day == day)
            )
            counts = await connection.scalar(
                sa.select(sa.func.max(signals.c.fetched_at)).where(
                    signals.c.day >= day - _SIGNALS_BEHIND, signals.c.day <= day
                )
            )
        return Seen(first, last, max(filter(None, (pages, counts)), default=None))


@dataclass(frozen=True, slots=True)
class _Known:
    """What reasons rest on besides trends, of some titles as of a day."""

    day: date
    series: Mapping[str, Series]
    facts: Mapping[str, Facts]
    tides: Tides

    def standing(self, title_id: str) -> Standing:
        series = self.series.get(title_id, {})
        first = min((min(counts) for counts in series.values() if counts), default=None)
        return standing_of(self.facts.get(title_id, Facts()), self.day, first)

    def reasons(self, title_id: str, trend: Trend | Lack | None, *, newest: date) -> list[Reason]:
        series, facts = self.series.get(title_id, {}), self.facts.get(title_id, Facts())
        if isinstance(trend, Trend) and not trend.parts:  # of before there were any
            told = measure_trends({"": series}, self.day, facts={"": facts}, tides=self.tides)
            trend = told[""]
        return reasons_for(trend, series, self.day, facts=facts, newest=newest)


async def _read_known(connection: AsyncConnection, title_ids: Sequence[str], day: date) -> _Known:
    return _Known(
        day=day,
        series=await read_series(connection, title_ids, day),
        facts=await read_facts(connection, title_ids),
        tides=await read_tides(connection, day),
    )


def _trend(row: sa.RowMapping) -> Trend:
    """A row of `trends`."""
    values = {name: row[name] for name in Trend.model_fields if row[name] is not None}
    return Trend.model_validate(values)


def _told(trend: Trend | Lack | None, day: date, *, standing: Standing | None = None) -> TitleTrend:
    if isinstance(trend, Trend):
        return TitleTrend.of(trend)
    return TitleTrend(day=day, verdict="not-enough-data", lack=trend, standing=standing)


def _bar(day: date) -> sa.Select[Any]:
    """The largest chance with which a title stands out on a board; `trends.cut_board` in SQL.

    A chance beyond the share that may be wrong never does, so only the few below it are ranked.
    """
    measured = (trends.c.day == day, trends.c.chance.is_not(None))
    titles_measured = sa.select(sa.func.count()).where(*measured).scalar_subquery()
    place = sa.func.row_number().over(order_by=trends.c.chance)
    ranked = (
        sa.select(trends.c.chance, place.label("place"))
        .where(*measured, trends.c.chance <= FALSE_DISCOVERIES)
        .subquery()
    )
    most = FALSE_DISCOVERIES * ranked.c.place / titles_measured
    return sa.select(sa.func.max(ranked.c.chance)).where(ranked.c.chance <= most)


def _predicted(listed: sa.FromClause, version: str | None) -> sa.FromClause:
    """With what the model of this version says of each title; what counts only has no use for it.

    It is read from all over the database, so a count of many titles takes several times as long.
    """
    return listed.outerjoin(title_predictions, told_by(version))


def _on(day: date, filters: TrendingFilters) -> list[sa.ColumnElement[bool]]:
    wanted = [trends.c.day == day, *conditions(filters, day)]
    if filters.verdict is not None:
        wanted.append(trends.c.verdict == filters.verdict)
    if filters.min_score is not None:
        wanted.append(trends.c.score >= filters.min_score)
    return wanted


async def _nearest(connection: AsyncConnection, day: date) -> date | None:
    """The last day of which there are trends before one of which there are none."""
    found: date | None = await connection.scalar(
        sa.select(sa.func.max(trends.c.day)).where(trends.c.day <= day)
    )
    return found if found != day else None


def _summary(row: sa.RowMapping) -> dict[str, Any]:
    """The fields of a `TitleSummary`."""
    probabilities = row["probabilities"]
    predicted = None
    if probabilities is not None:
        ranked = sorted(probabilities.items(), key=lambda entry: (-entry[1], entry[0]))
        predicted = PredictedGenres(
            genres=[
                PredictedGenre(genre=genre, probability=value, passed=genre in row["passed"])
                for genre, value in ranked
            ],
            prediction_id=row["prediction_id"],
            model_version=row["model_version"],
        )
    return {
        **{column.name: row[column.name] for column in _FACTS},
        "predicted": predicted,
    }


def _each(values: Sequence[Any]) -> set[Any]:
    """The values of a row: those of all its lists, each once, or the only one, if there is one."""
    (first, *others) = values
    if others or (isinstance(first, str) and first.startswith("[")):
        return {value for text in values if text for value in json.loads(text)}
    return set() if first is None else {first}


def _ranked(counts: Counter[str]) -> list[Facet]:
    ranked = sorted(counts.items(), key=lambda entry: (-entry[1], entry[0]))
    return [Facet(value=value, count=count) for value, count in ranked]


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


def _loudest(series: Series, day: date) -> Counted:
    late = {
        name: sorted(each for each in counts.items() if day - _OF_LATE <= each[0] < day)
        for name, counts in series.items()
    }
    name = max(sorted(late), key=lambda name: sum(count for _, count in late[name]))
    return Counted(name.partition(" of ")[0], tuple(late[name]))
