"""The source catalogue: what is written there can be relied on, and bad ones are named."""

from datetime import UTC, date, datetime, timedelta, timezone
from pathlib import Path

import pytest

from trending_shared.errors import SettingInvalid
from trending_shared.events import ScrapeJob
from trending_shared.sources import Schedule, read_catalogue
from trending_shared.testing import a_catalogue


def test_our_own_catalogue_can_be_read_and_says_the_terms_of_every_source() -> None:
    catalogue = read_catalogue()
    assert {"demo", "tvmaze", "wikimedia", "wikidata"} <= catalogue.keys()
    for name, entry in catalogue.items():
        assert entry.license, name
        assert entry.attribution or entry.license in {"CC0-1.0"} or "LicenseRef" in entry.license


def test_a_file_of_ones_own_takes_the_catalogues_place(tmp_path: Path) -> None:
    file = tmp_path / "mine.yaml"
    file.write_text(a_catalogue())
    assert list(read_catalogue(file)) == ["films"]


@pytest.mark.parametrize(
    ("before", "after", "said"),
    [
        ("delay: PT1S", "delai: PT1S", "films.dela[iy]"),
        ("decision: obey", "decision: ignore", "films.robots.decision"),
        ("training: allowed", "training: why not", "films.training"),
        ("films:", "films: [", "mine.yaml"),
    ],
)
def test_what_is_wrong_with_a_catalogue_is_named(
    tmp_path: Path, before: str, after: str, said: str
) -> None:
    file = tmp_path / "mine.yaml"
    file.write_text(a_catalogue().replace(before, after))
    with pytest.raises(SettingInvalid, match=said):
        read_catalogue(file)
    with pytest.raises(SettingInvalid, match="SOURCES_FILE"):
        read_catalogue(file)


def test_a_file_that_isnt_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(SettingInvalid, match=r"SOURCES_FILE.*nowhere"):
        read_catalogue(tmp_path / "nowhere.yaml")


@pytest.mark.parametrize(
    ("url", "on_new_years_day"),
    [
        ("https://films.example/all", "https://films.example/all"),
        ("https://films.example/?d={day}", "https://films.example/?d=2027-01-01"),
        ("https://films.example/?d={yesterday}", "https://films.example/?d=2026-12-31"),
        ("https://films.example/{two_days_ago:%Y/%m/%d}", "https://films.example/2026/12/30"),
        ("https://films.example/{{day}}", "https://films.example/{day}"),
    ],
)
def test_a_scheduled_address_has_the_periods_dates_filled_in(
    url: str, on_new_years_day: str
) -> None:
    schedule = Schedule(every=timedelta(days=1), url=url)
    assert schedule.url_on(date(2027, 1, 1)) == on_new_years_day


@pytest.mark.parametrize(
    "wrong",
    ["{tomorrow}", "{}", "{day.__class__}", "{day[0]}", "{day!r}", "{day:%s}", "{day:{day}}", "{"],
)
def test_a_scheduled_address_with_anything_else_to_fill_in_is_refused(
    tmp_path: Path, wrong: str
) -> None:
    file = tmp_path / "mine.yaml"
    schedule = {"all": {"every": "P1D", "url": f"https://x.example/{wrong}"}}
    file.write_text(a_catalogue(schedule=schedule))
    with pytest.raises(SettingInvalid, match=r"films\.schedule\.all\.url"):
        read_catalogue(file)


def test_every_scheduled_address_of_our_own_catalogue_can_be_filled_in() -> None:
    for entry in read_catalogue().values():
        for schedule in entry.schedule.values():
            assert "{" not in schedule.url_on(date(2026, 11, 25))


@pytest.mark.parametrize(
    ("every", "begins"),
    [
        (timedelta(minutes=1), datetime(2026, 11, 26, 12, 34, tzinfo=UTC)),
        (timedelta(hours=6), datetime(2026, 11, 26, 12, tzinfo=UTC)),
        (timedelta(days=1), datetime(2026, 11, 26, tzinfo=UTC)),
        (timedelta(days=7), datetime(2026, 11, 26, tzinfo=UTC)),  # weeks begin on Thursday
    ],
)
def test_periods_begin_at_the_same_time_for_everyone(every: timedelta, begins: datetime) -> None:
    schedule = Schedule(every=every, url="https://films.example/{yesterday}", max_pages=3)
    now = datetime(2026, 11, 26, 12, 34, 56, tzinfo=UTC)
    in_kabul = now.astimezone(timezone(timedelta(hours=4, minutes=30)))
    for time in (begins, now, in_kabul, begins + every - timedelta(microseconds=1)):
        assert schedule.begins(time) == begins
        assert schedule.job("films", time) == ScrapeJob(
            source="films", url="https://films.example/2026-11-25", max_pages=3
        )
    assert schedule.begins(begins + every) == begins + every
