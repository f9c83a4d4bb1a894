"""What other sources count of a title moves its trend, through the ids they share."""

from collections.abc import Mapping
from datetime import UTC, date, datetime, timedelta
from typing import Any

import pytest
import sqlalchemy as sa

from trending_featurizer.entries import Entries
from trending_featurizer.metrics import FeaturizerMetrics
from trending_featurizer.trend_keeping import TrendKeeper
from trending_shared.catalog import Catalog, signals
from trending_shared.clock import FrozenClock
from trending_shared.events import (
    DayCount,
    Lack,
    MergedMember,
    SignalCleaned,
    TitleCleaned,
    TitleMerged,
    Trend,
)
from trending_shared.testing import CollectingPublisher, a_page, a_signal_cleaned, a_title_cleaned

NOW = datetime(2026, 11, 2, 12, tzinfo=UTC)
TODAY = NOW.date()
ARTICLE = {"wikipedia": "en:Alien_(film)"}


@pytest.fixture
def entries(catalog: Catalog, metrics: FeaturizerMetrics) -> Entries:
    return Entries(catalog, metrics)


@pytest.fixture
def keeper(catalog: Catalog, metrics: FeaturizerMetrics) -> TrendKeeper:
    return TrendKeeper(
        catalog, publisher=CollectingPublisher(), clock=FrozenClock(NOW), metrics=metrics
    )


def a_title(title_id: str = "t_1", ids: dict[str, str] = ARTICLE, **changes: Any) -> TitleCleaned:
    page = a_page(fetched_at=NOW)
    return a_title_cleaned(title_id=title_id, page=page, external_ids=ids, **changes)


def a_signal(
    *, surge: int = 1, until: date = TODAY, at: datetime = NOW, **changes: Any
) -> SignalCleaned:
    """Read 100 times a day for four weeks, and `surge` times as often in the last four days."""
    counts = tuple(
        DayCount(day=until - timedelta(n), count=100 * (surge if n < 5 else 1))
        for n in range(1, 29)
    )
    return a_signal_cleaned(counts=counts, page=a_page(fetched_at=at), **changes)


def a_trend(found: Mapping[str, Trend | Lack], title_id: str = "t_1") -> Trend:
    trend = found[title_id]
    assert isinstance(trend, Trend)
    return trend


async def test_the_readers_of_its_article_raise_a_title(
    entries: Entries, keeper: TrendKeeper
) -> None:
    await entries.write_titles([a_title("t_1"), a_title("t_2", {})], ["h", "h"])
    assert await entries.write_signals([a_signal(surge=4)]) == ["t_1"]
    found = await keeper.measure(["t_1", "t_2"], TODAY)
    assert found["t_2"] == "nothing-counted"
    trend = a_trend(found, "t_1")
    assert trend.score > 1
    assert trend.signals == 24 * 100 + 4 * 400
    assert [(part.metric, part.score) for part in trend.parts] == [("pageviews", trend.score)]


async def test_a_signal_before_its_title_waits_for_it(
    entries: Entries, keeper: TrendKeeper
) -> None:
    assert await entries.write_signals([a_signal(surge=4)]) == []
    await entries.write_titles([a_title()], ["h"])
    assert a_trend(await keeper.measure(["t_1"], TODAY)).score > 1


async def test_a_subject_that_shares_two_ids_with_a_title_counts_once(
    entries: Entries, keeper: TrendKeeper
) -> None:
    ids = {"imdb": "tt0078748", "trakt": "295"}
    await entries.write_titles([a_title(ids=ids)], ["h"])
    await entries.write_signals([a_signal(external_ids=ids)])
    assert a_trend(await keeper.measure(["t_1"], TODAY)).signals == 2800


@pytest.mark.parametrize(("watchers", "weight"), [(1000, 1.0), (1, 0.28)])
async def test_series_of_different_units_weigh_by_how_well_they_are_known(
    entries: Entries, keeper: TrendKeeper, watchers: int, weight: float
) -> None:
    await entries.write_titles([a_title()], ["h"])
    await entries.write_signals([a_signal(surge=8)])
    alone = a_trend(await keeper.measure(["t_1"], TODAY)).score
    steady = [item.model_copy(update={"count": watchers}) for item in a_signal().counts]
    other = a_signal_cleaned(
        subject_id="s_2", metric="watchers", counts=tuple(steady), page=a_page(fetched_at=NOW)
    )
    await entries.write_signals([other])
    both = a_trend(await keeper.measure(["t_1"], TODAY)).score
    assert both == pytest.approx(alone / (1 + weight), abs=0.05)


async def test_of_two_counts_of_a_day_the_later_one_holds_whichever_comes_first(
    catalog: Catalog, entries: Entries
) -> None:
    day = (DayCount(day=TODAY - timedelta(1), count=7),)
    corrected = (DayCount(day=TODAY - timedelta(1), count=8),)
    page = a_page(fetched_at=NOW)
    later = a_page(fetched_at=NOW + timedelta(hours=1))
    await entries.write_signals([a_signal_cleaned(counts=corrected, page=later)])
    await entries.write_signals([a_signal_cleaned(counts=day, page=page)])
    async with catalog.reading() as connection:
        assert (await connection.scalars(sa.select(signals.c["count"]))).all() == [8]


async def test_ninety_days_of_signals_are_kept(
    catalog: Catalog, entries: Entries, keeper: TrendKeeper
) -> None:
    await entries.write_titles([a_title()], ["h"])
    await entries.write_signals([a_signal()])
    await keeper.measure_all(TODAY + timedelta(89))
    async with catalog.reading() as connection:
        days = (await connection.scalars(sa.select(signals.c.day))).all()
    assert days == []
    await entries.write_signals([a_signal(until=TODAY - timedelta(80))])
    async with catalog.reading() as connection:
        kept = (await connection.scalars(sa.select(signals.c.day))).all()
    assert min(kept) == TODAY - timedelta(89)


def a_merged(*title_ids: str, resolution: int = 1, ids: tuple[str, ...] = ()) -> TitleMerged:
    """The titles are one, called after the first; Wikidata knows how it is called."""
    members = [
        MergedMember(title_id=id, source=id, source_id="1", described=id[0] == "t", reason="alone")
        for id in (*title_ids, "facts")
    ]
    return TitleMerged(
        **a_title_cleaned(title_id=title_ids[0]).model_dump(
            include={"title_id", "name", "kind", "plot", "genres", "content_hash"}
        ),
        resolution=resolution,
        members=tuple(members),
        absorbed_ids=title_ids[1:],
        external_ids=ids,
        licenses=("CC0-1.0",),
        provenance={},
    )


async def test_a_signal_finds_a_title_through_what_others_call_it(
    entries: Entries, keeper: TrendKeeper
) -> None:
    await entries.write_titles([a_title("t_1", {}), a_title("t_2", {})], ["h", "h"])
    await entries.write_signals([a_signal(surge=4)])
    lacking = await keeper.measure(["t_1", "t_2"], TODAY)
    assert set(lacking.values()) == {"nothing-counted"}
    said = a_merged("t_1", "t_2", ids=("imdb:tt0078748", "wikipedia:en:Alien_(film)"))
    assert sorted(await entries.write_identities([said])) == ["t_1", "t_2"]
    found = await keeper.measure(["t_1", "t_2"], TODAY)
    assert a_trend(found, "t_1").score == a_trend(found, "t_2").score > 1
    assert sorted(await entries.write_signals([a_signal()])) == ["t_1", "t_2"]


async def test_what_several_sources_tell_of_one_title_counts_together(
    entries: Entries, keeper: TrendKeeper
) -> None:
    def views(each: int) -> tuple[DayCount, ...]:
        return tuple(DayCount(day=TODAY - timedelta(n), count=each) for n in range(1, 29))

    titles = [a_title("t_1", {}, popularity=views(10)), a_title("t_2", {}, popularity=views(100))]
    await entries.write_titles(titles, ["h", "h"])
    alone = await keeper.measure(["t_1"], TODAY)
    assert round(a_trend(alone).recent) == 10
    await entries.write_identities([a_merged("t_1", "t_2")])
    together = await keeper.measure(["t_2"], TODAY)
    assert set(together) == {"t_1", "t_2"}, "what happens to one of them moves both"
    assert together["t_1"] == together["t_2"]
    assert round(a_trend(together).recent) == 110
    parted = [a_merged("t_1", resolution=2), a_merged("t_2", resolution=2)]
    await keeper.measure(await entries.write_identities(parted), TODAY)
    assert await keeper.measure(["t_1"], TODAY) == alone


async def test_a_signal_that_two_sources_name_counts_once(
    entries: Entries, keeper: TrendKeeper
) -> None:
    await entries.write_titles([a_title("t_1"), a_title("t_2")], ["h", "h"])
    await entries.write_signals([a_signal()])
    alone = await keeper.measure(["t_1"], TODAY)
    await entries.write_identities([a_merged("t_1", "t_2")])
    assert (await keeper.measure(["t_1"], TODAY))["t_1"] == alone["t_1"]


@pytest.mark.parametrize("order", [(0, 1, 2), (2, 1, 0), (1, 2, 0), (2, 0, 1)])
async def test_what_was_said_knowing_most_holds_whichever_comes_first(
    entries: Entries, order: tuple[int, ...]
) -> None:
    await entries.write_titles([a_title("t_1", {}), a_title("t_2", {})], ["h", "h"])
    article = ("wikipedia:en:Alien_(film)",)
    said = [
        a_merged("t_1", "t_2", resolution=4, ids=article),
        a_merged("t_1", resolution=5, ids=()),
        a_merged("t_2", resolution=5, ids=article),
    ]
    for number in order:
        await entries.write_identities([said[number]])
    assert await entries.write_signals([a_signal()]) == ["t_2"]


async def test_what_a_title_is_called_may_change_and_an_older_page_changes_nothing(
    entries: Entries,
) -> None:
    renamed = a_title(ids={"wikipedia": "en:Alien_(1979_film)"})
    old = renamed.model_copy(
        update={"external_ids": ARTICLE, "page": a_page(fetched_at=NOW - timedelta(1))}
    )
    await entries.write_titles([renamed], ["h"])
    await entries.write_titles([old], ["h"])
    assert await entries.write_signals([a_signal()]) == []
