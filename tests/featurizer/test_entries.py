"""Titles and reviews in the catalog: the newest stays, and popularity is gathered."""

from datetime import UTC, date, datetime, timedelta, timezone
from typing import Any

import pytest
import sqlalchemy as sa

from trending_featurizer.entries import Entries, merge_popularity
from trending_featurizer.metrics import FeaturizerMetrics
from trending_shared.catalog import Catalog, reviews, titles
from trending_shared.events import DayCount, TitleCleaned
from trending_shared.testing import a_page, a_review_cleaned, a_title_cleaned

MONDAY = datetime(2026, 11, 2, 12, tzinfo=UTC)


@pytest.fixture
def entries(catalog: Catalog, metrics: FeaturizerMetrics) -> Entries:
    return Entries(catalog, metrics)


async def rows_of(catalog: Catalog, table: sa.Table) -> list[dict[str, Any]]:
    async with catalog.reading() as connection:
        return [dict(row) for row in (await connection.execute(sa.select(table))).mappings()]


def a_title(fetched_at: datetime = MONDAY, **changes: Any) -> TitleCleaned:
    return a_title_cleaned(page=a_page(fetched_at=fetched_at), **changes)


async def test_a_title_lies_in_the_catalog_as_it_was_told(
    catalog: Catalog, entries: Entries
) -> None:
    title = a_title(popularity=(DayCount(day=date(2026, 11, 1), count=7),), rating=0.8)
    await entries.write_titles([title], ["ab" * 8])
    (row,) = await rows_of(catalog, titles)
    assert row["title_id"] == title.title_id
    assert row["genres"] == ["Horror", "Sci-Fi & Fantasy"]
    assert row["countries"] == ["United Kingdom", "United States"]
    assert row["text_hash"] == "ab" * 8
    assert row["popularity"] == [{"day": "2026-11-01", "count": 7}]
    assert (row["rating"], row["url"]) == (0.8, title.page.url)


@pytest.mark.parametrize("batches", [[["old", "new"]], [["new", "old"]], [["new"], ["old"]]])
async def test_the_newest_version_stays_whatever_the_order(
    catalog: Catalog, entries: Entries, batches: list[list[str]]
) -> None:
    versions = {
        "old": a_title(MONDAY, name="old"),
        "new": a_title(MONDAY + timedelta(1), name="new"),
    }
    for batch in batches:
        await entries.write_titles([versions[name] for name in batch], ["h"] * len(batch))
    assert [row["name"] for row in await rows_of(catalog, titles)] == ["new"]


async def test_versions_are_ordered_in_time_not_by_their_offset_from_utc(
    catalog: Catalog, entries: Entries
) -> None:
    tokyo = timezone(timedelta(hours=9))
    await entries.write_titles([a_title(MONDAY, name="new")], ["h"])
    earlier = (MONDAY - timedelta(hours=1)).astimezone(tokyo)  # 20:00 on its own clock
    await entries.write_titles([a_title(earlier, name="old")], ["h"])
    assert [row["name"] for row in await rows_of(catalog, titles)] == ["new"]


async def test_writing_twice_is_writing_once(catalog: Catalog, entries: Entries) -> None:
    batch = [a_title(title_id=f"t_{n}") for n in range(3)]
    for _ in range(2):
        await entries.write_titles(batch, ["h"] * 3)
        await entries.write_reviews([a_review_cleaned(review_id=f"r_{n}") for n in range(3)])
    assert await entries.count_titles() == 3
    assert len(await rows_of(catalog, reviews)) == 3


async def test_an_older_review_changes_nothing(catalog: Catalog, entries: Entries) -> None:
    for fetched_at, text in ((MONDAY, "new"), (MONDAY - timedelta(1), "old")):
        await entries.write_reviews(
            [a_review_cleaned(page=a_page(fetched_at=fetched_at), text=text)]
        )
    assert [row["text"] for row in await rows_of(catalog, reviews)] == ["new"]


async def test_popularity_is_gathered_over_fetches(catalog: Catalog, entries: Entries) -> None:
    for days in (3, 2, 1, 0):
        fetched_at = MONDAY - timedelta(days)
        yesterday = DayCount(day=fetched_at.date() - timedelta(1), count=10 + days)
        await entries.write_titles([a_title(fetched_at, popularity=(yesterday,))], ["h"])
    (row,) = await rows_of(catalog, titles)
    assert [entry["count"] for entry in row["popularity"]] == [13, 12, 11, 10]


def test_a_correction_replaces_what_was_known() -> None:
    day = date(2026, 10, 30)
    merged = merge_popularity({day: 5}, [DayCount(day=day, count=6)], MONDAY.date())
    assert merged == {day: 6}


def test_days_that_were_not_over_and_days_long_past_are_left_out() -> None:
    today = MONDAY.date()
    told = [DayCount(day=today + timedelta(n), count=1) for n in (-200, -90, -89, -1, 0, 1, 9999)]
    assert sorted(merge_popularity({}, told, today)) == [
        today - timedelta(89),
        today - timedelta(1),
    ]
