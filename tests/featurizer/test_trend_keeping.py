"""Trends in the catalog follow from what the catalog holds and the day."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, date, datetime, timedelta
from typing import Any

import pytest
import sqlalchemy as sa
from prometheus_client import CollectorRegistry
from sqlalchemy.ext.asyncio import AsyncConnection

from trending_featurizer.entries import Entries
from trending_featurizer.metrics import FeaturizerMetrics
from trending_featurizer.trend_keeping import TrendKeeper
from trending_shared.catalog import Catalog, identities, tides, titles, trend_lacks, trends
from trending_shared.causes import Facts
from trending_shared.clock import FrozenClock
from trending_shared.errors import BrokerUnavailable, StoreUnavailable
from trending_shared.events import DayCount, RecordsDeleted, ReviewCleaned, TitleCleaned, Trend
from trending_shared.series import read_facts
from trending_shared.testing import CollectingPublisher, a_page, a_review_cleaned, a_title_cleaned

NOW = datetime(2026, 11, 2, 12, tzinfo=UTC)
TODAY = NOW.date()


@pytest.fixture
def entries(catalog: Catalog, metrics: FeaturizerMetrics) -> Entries:
    return Entries(catalog, metrics)


@pytest.fixture
def keeper(catalog: Catalog, metrics: FeaturizerMetrics) -> TrendKeeper:
    return TrendKeeper(
        catalog, publisher=CollectingPublisher(), clock=FrozenClock(NOW), metrics=metrics
    )


def a_title(title_id: str = "t_1", *, surge: int = 1, fetched_at: datetime = NOW) -> TitleCleaned:
    """Watched 100 times a day for four weeks, and `surge` times as often in the last four days."""
    last = fetched_at.date()
    days = [
        DayCount(day=last - timedelta(n), count=100 * (surge if n < 5 else 1)) for n in range(29)
    ]
    return a_title_cleaned(
        title_id=title_id, page=a_page(fetched_at=fetched_at), popularity=tuple(days)
    )


def some_reviews(title_id: str, days_ago: list[int]) -> list[ReviewCleaned]:
    return [
        a_review_cleaned(
            review_id=f"{title_id}-{n}",
            title_id=title_id,
            day=TODAY - timedelta(ago),
            page=a_page(fetched_at=NOW),
        )
        for n, ago in enumerate(days_ago)
    ]


async def stored(catalog: Catalog) -> list[dict[str, Any]]:
    query = sa.select(trends).order_by(trends.c.day, trends.c.title_id)
    async with catalog.reading() as connection:
        return [dict(row) for row in (await connection.execute(query)).mappings()]


async def test_a_surging_title_has_a_higher_trend_than_a_steady_one(
    catalog: Catalog, entries: Entries, keeper: TrendKeeper
) -> None:
    await entries.write_titles([a_title("t_1"), a_title("t_2", surge=4)], ["h", "h"])
    found = await keeper.measure(["t_1", "t_2"], TODAY)
    steady, surging = found["t_1"], found["t_2"]
    assert isinstance(steady, Trend)
    assert isinstance(surging, Trend)
    assert surging.score > 1 > 0.1 > abs(steady.score)
    assert (surging.verdict, steady.verdict) == ("rising", "steady")
    assert [
        Trend.model_validate({name: row[name] for name in Trend.model_fields})
        for row in await stored(catalog)
    ] == [steady, surging]


async def test_measuring_again_changes_nothing(
    catalog: Catalog, entries: Entries, keeper: TrendKeeper
) -> None:
    await entries.write_titles([a_title()], ["h"])
    await keeper.measure(["t_1"], TODAY)
    once = await stored(catalog)
    await keeper.measure(["t_1", "t_1"], TODAY)
    await keeper.measure_all(TODAY)
    assert await stored(catalog) == once


async def test_reviews_of_late_raise_a_title(
    catalog: Catalog, entries: Entries, keeper: TrendKeeper
) -> None:
    title = a_title_cleaned(title_id="t_1", page=a_page(fetched_at=NOW))
    await entries.write_titles([title], ["h"])
    await entries.write_reviews(some_reviews("t_1", [200, 40, 30, 20]))
    assert await keeper.measure(["t_1"], TODAY) == {"t_1": "too-few-signals"}
    await entries.write_reviews(some_reviews("t_1", [200, 40, 30, 20] + [2] * 20))
    trend = (await keeper.measure(["t_1"], TODAY))["t_1"]
    assert isinstance(trend, Trend)
    assert trend.score > 0.8
    assert trend.signals == 23  # the one 200 days ago only tells that it was there by then
    assert trend.expected == pytest.approx(3 / 49, rel=0.5)


async def test_a_review_before_its_title_waits_for_it(
    catalog: Catalog, entries: Entries, keeper: TrendKeeper
) -> None:
    reviews = some_reviews("t_1", [50, 40, 30, 20, 10, 5, 2])
    await entries.write_reviews(reviews)
    assert await keeper.measure(["t_1"], TODAY) == {}
    await entries.write_titles(
        [a_title_cleaned(title_id="t_1", page=a_page(fetched_at=NOW))], ["h"]
    )
    assert set(await keeper.measure(["t_1"], TODAY)) == {"t_1"}


async def test_a_new_day_gets_trends_of_all_titles(
    catalog: Catalog, entries: Entries, keeper: TrendKeeper, registry: CollectorRegistry
) -> None:
    batch = [a_title(f"t_{n:04}") for n in range(2500)]
    await entries.write_titles(batch, ["h"] * len(batch))
    tomorrow = TODAY + timedelta(1)
    assert await keeper.measure_all(tomorrow) == 2500
    rows = await stored(catalog)
    assert [row["title_id"] for row in rows] == [title.title_id for title in batch]
    assert {row["day"] for row in rows} == {tomorrow}
    assert registry.get_sample_value("trending_featurizer_trending_titles") == 2500


async def test_a_title_that_is_not_fetched_any_more_loses_its_trend(
    catalog: Catalog, entries: Entries, keeper: TrendKeeper
) -> None:
    await entries.write_titles([a_title()], ["h"])
    counts = [await keeper.measure_all(TODAY + timedelta(days)) for days in (0, 1, 2, 3, 7, 30)]
    assert counts == [1, 1, 1, 0, 0, 0]


async def test_a_trend_whose_data_went_away_goes_too(
    catalog: Catalog, entries: Entries, keeper: TrendKeeper
) -> None:
    await entries.write_titles([a_title()], ["h"])
    await keeper.measure(["t_1"], TODAY)
    async with catalog.transaction() as connection:
        await connection.execute(sa.update(titles).values(popularity=[]))
    await keeper.measure(["t_1"], TODAY)
    assert await stored(catalog) == []


async def test_ninety_days_of_trends_are_kept_and_what_goes_is_told_first(
    catalog: Catalog, entries: Entries, metrics: FeaturizerMetrics
) -> None:
    publisher = CollectingPublisher()
    keeper = TrendKeeper(catalog, publisher=publisher, clock=FrozenClock(NOW), metrics=metrics)
    await entries.write_titles([a_title()], ["h"])
    row = {"title_id": "t_1", "score": 0.0, "recent": 1.0, "expected": 1.0, "signals": 9}
    days = [TODAY - timedelta(n) for n in (91, 90, 89)]
    async with catalog.transaction() as connection:
        await catalog.upsert(connection, trends, [{**row, "day": day} for day in days])
    publisher.down = True
    with pytest.raises(BrokerUnavailable):
        await keeper.measure_all(TODAY)
    assert len(await stored(catalog)) == 4
    publisher.down = False
    await keeper.measure_all(TODAY)
    assert [row["day"] for row in await stored(catalog)] == [date(2026, 8, 5), TODAY]
    [told] = publisher.events(RecordsDeleted)
    assert (told.what, told.count, told.before) == ("trends", 2, date(2026, 8, 5))


# ---------------------------------------------------------------- why, and what is lacking


async def lacks(catalog: Catalog) -> dict[str, tuple[date, str]]:
    async with catalog.reading() as connection:
        rows = await connection.execute(sa.select(trend_lacks))
        return {row.title_id: (row.day, row.lack) for row in rows}


async def test_what_a_title_lacks_is_kept_until_it_has_a_trend(
    catalog: Catalog, entries: Entries, keeper: TrendKeeper
) -> None:
    young = a_title("t_1")
    young = young.model_copy(update={"popularity": young.popularity[:10]})
    await entries.write_titles([young, a_title_cleaned(title_id="t_2")], ["h", "h"])
    await keeper.measure_all(TODAY)
    assert await lacks(catalog) == {
        "t_1": (TODAY, "too-few-days"),
        "t_2": (TODAY, "nothing-counted"),
    }
    await keeper.measure_all(TODAY - timedelta(days=3))
    assert (await lacks(catalog))["t_1"][0] == TODAY, "what is older changes nothing"
    later = NOW + timedelta(minutes=1)
    told = a_title("t_1").model_copy(update={"page": a_page(fetched_at=later)})
    await entries.write_titles([told], ["h"])
    await keeper.measure(["t_1"], TODAY)
    assert set(await lacks(catalog)) == {"t_2"}
    assert [row["title_id"] for row in await stored(catalog)] == ["t_1"]


@pytest.mark.parametrize(
    ("changes", "kind"),
    [
        ({"released": TODAY - timedelta(days=3), "year": 2026}, "release"),
        ({"released": date(2006, 11, 1), "year": 2006}, "anniversary"),
        ({"released": date(2006, 6, 1), "year": 2006}, "attention"),
    ],
)
async def test_the_day_of_a_release_says_why_a_title_rises(
    entries: Entries, keeper: TrendKeeper, changes: dict[str, Any], kind: str
) -> None:
    title = a_title("t_1", surge=5).model_copy(update=changes)
    await entries.write_titles([title], ["h"])
    trend = (await keeper.measure(["t_1"], TODAY))["t_1"]
    assert isinstance(trend, Trend)
    assert trend.cause is not None
    assert trend.cause.kind == kind
    assert trend.standing == ("new" if kind == "release" else "catalogue")


async def test_what_one_source_knows_of_a_release_holds_for_all_that_tell_of_the_title(
    catalog: Catalog, entries: Entries, keeper: TrendKeeper
) -> None:
    known = a_title_cleaned(title_id="t_2", year=1994, released=date(1994, 10, 31))
    await entries.write_titles([a_title("t_1", surge=5), known], ["h", "h"])
    rows = [{"title_id": id, "merged_id": "t_1", "resolution": 1} for id in ("t_1", "t_2")]
    async with catalog.transaction() as connection:
        await catalog.upsert(connection, identities, rows)
        facts = await read_facts(connection, ["t_1", "t_2"])
    assert facts["t_1"] == Facts(date(1994, 10, 31), 1979)
    trend = (await keeper.measure(["t_1"], TODAY))["t_1"]
    assert isinstance(trend, Trend)
    assert trend.cause is not None
    assert trend.cause.kind == "anniversary"


# ---------------------------------------------------------------- tides


def a_source_that_doubles(titles: int, *, surge: int) -> list[TitleCleaned]:
    return [a_title(f"t_{n:04}", surge=surge) for n in range(titles)]


async def test_a_rise_of_all_that_a_source_counts_is_no_titles_rise(
    catalog: Catalog, entries: Entries, keeper: TrendKeeper
) -> None:
    batch = a_source_that_doubles(40, surge=2)
    await entries.write_titles(batch, ["h"] * len(batch))
    assert await keeper.look_at_tides(TODAY)
    assert not await keeper.look_at_tides(TODAY), "it is known by now"
    await keeper.measure_all(TODAY)
    rows = await stored(catalog)
    assert {row["verdict"] for row in rows} == {"steady"}
    assert {row["cause"]["kind"] for row in rows} == {"source-wide"}
    assert rows[0]["cause"]["evidence"]["channel"] == "popularity at demo"
    async with catalog.reading() as connection:
        found = (await connection.execute(sa.select(tides).order_by(tides.c.day))).all()
    assert [(row.channel, row.day, row.factor) for row in found] == [
        ("popularity at demo", TODAY - timedelta(days=ago), 2.0) for ago in (4, 3, 2, 1)
    ]


async def test_a_tide_that_was_none_after_all_is_forgotten(
    catalog: Catalog, entries: Entries, keeper: TrendKeeper
) -> None:
    batch = a_source_that_doubles(40, surge=2)
    await entries.write_titles(batch, ["h"] * len(batch))
    await keeper.measure_all(TODAY)
    many = [a_title(f"t_0{n:05}") for n in range(100)]  # they arrived later, and didn't move
    await entries.write_titles(many, ["h"] * len(many))
    assert await keeper.look_at_tides(TODAY)
    async with catalog.reading() as connection:
        assert (await connection.execute(sa.select(tides))).all() == []
    await keeper.measure_all(TODAY)
    surging = [row for row in await stored(catalog) if row["title_id"] in {"t_0000", "t_0039"}]
    assert {row["verdict"] for row in surging} == {"rising"}


async def test_a_turn_of_the_tide_measures_all_titles_again_within_the_hour(
    catalog: Catalog, entries: Entries, metrics: FeaturizerMetrics
) -> None:
    batch = a_source_that_doubles(40, surge=1)
    await entries.write_titles(batch, ["h"] * len(batch))
    later = [
        title.model_copy(update={"page": a_page(fetched_at=NOW + timedelta(minutes=1))})
        for title in a_source_that_doubles(40, surge=2)
    ]
    keeper = TrendKeeper(
        catalog, publisher=CollectingPublisher(), clock=FrozenClock(NOW), metrics=metrics
    )
    looks = 0

    async def sleep(seconds: float) -> None:
        nonlocal looks
        looks += 1
        if looks == 1:
            await entries.write_titles(later, ["h"] * len(later))
        if looks == 2:
            raise Enough

    with pytest.raises(Enough):
        await keeper.keep_fresh(sleep)
    rows = await stored(catalog)
    assert {row["cause"]["kind"] for row in rows} == {"source-wide"}


class ForgetfulCatalog(Catalog):
    """Doesn't answer the first time it is asked."""

    failures = 1

    @asynccontextmanager
    async def reading(self) -> AsyncIterator[AsyncConnection]:
        if self.failures:
            self.failures -= 1
            raise StoreUnavailable("away")
        async with super().reading() as connection:
            yield connection


class Enough(Exception):
    """Ends a loop that has no end."""


async def test_each_day_is_measured_once_and_a_failure_is_made_up_for(
    catalog: Catalog, entries: Entries, metrics: FeaturizerMetrics, registry: CollectorRegistry
) -> None:
    await entries.write_titles([a_title()], ["h"])
    clock = FrozenClock(NOW)

    async def sleep(seconds: float) -> None:
        clock.advance(timedelta(seconds=seconds))
        if clock.now() > NOW + timedelta(hours=40):
            raise Enough

    forgetful = ForgetfulCatalog(str(catalog.engine.url))
    keeper = TrendKeeper(forgetful, publisher=CollectingPublisher(), clock=clock, metrics=metrics)
    with pytest.raises(Enough):
        await keeper.keep_fresh(sleep)
    await forgetful.close()
    assert [row["day"] for row in await stored(catalog)] == [
        TODAY + timedelta(days) for days in (0, 1, 2)
    ]
    assert registry.get_sample_value("trending_featurizer_trends_seconds_count") == 4
    start = registry.get_sample_value("trending_featurizer_trends_day_timestamp_seconds")
    assert start == datetime(2026, 11, 4, tzinfo=UTC).timestamp()
