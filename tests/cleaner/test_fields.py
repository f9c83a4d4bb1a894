"""What the fields of a scraped record mean."""

from datetime import UTC, date, datetime

import pytest

from trending_cleaner import fields
from trending_cleaner.fields import KindUnknown, YearImplausible
from trending_shared.events import DayCount

NOW = datetime(2026, 11, 1, 12, tzinfo=UTC)


@pytest.mark.parametrize("raw", ["Movie", "film", "https://schema.org/Movie", "TV Movie", "SHORT"])
def test_a_film_has_many_names(raw: str) -> None:
    assert fields.kind(raw) == "film"


@pytest.mark.parametrize(
    "raw", ["TVSeries", "TV Show", "show", "tv", "TV Mini-Series", "TV Series (2010–2015)"]
)
def test_a_show_has_many_names(raw: str) -> None:
    assert fields.kind(raw) == "show"


@pytest.mark.parametrize("raw", [None, "", "Book", "VideoGame", "TVEpisode", "映画", "<b></b>"])
def test_what_is_neither_film_nor_show_is_rejected(raw: str | None) -> None:
    with pytest.raises(KindUnknown):
        fields.kind(raw)


@pytest.mark.parametrize(
    ("raw", "year"),
    [
        ("1979", 1979),
        ("1979-05-25", 1979),
        ("19790525", 1979),
        ("1979-05-25T00:00:00Z", 1979),
        ("25 May 1979", 1979),
        ("2011–2019", 2011),
        ("(1888)", 1888),
        ("2029", 2029),
        (None, None),
        ("", None),
        ("N/A", None),
        ("to be announced", None),
        ("１９７９", 1979),
        ("١٩٧٩", 1979),
        ("May 25, 1979", 1979),
        ("²", None),
    ],
)
def test_a_year_is_read_where_there_is_one(raw: str | None, year: int | None) -> None:
    assert fields.year(raw, now=NOW) == year


@pytest.mark.parametrize("raw", ["1887", "2030", "0000", "79", "20210", "22-Jul", "9" * 150])
def test_a_wrong_year_is_rejected(raw: str) -> None:
    with pytest.raises(YearImplausible):
        fields.year(raw, now=NOW)


@pytest.mark.parametrize(
    ("raw", "day"),
    [
        ("1979-05-25", date(1979, 5, 25)),
        ("19790525", date(1979, 5, 25)),
        ("1979-05-25T23:30:00-05:00", date(1979, 5, 26)),
        ("25 May 1979", date(1979, 5, 25)),
        ("2029-12-31", date(2029, 12, 31)),
        ("1979", None),
        ("1979-01-01", None),  # how many write that they know but the year
        ("2011–2019", None),
        ("1979-05", None),
        ("05/06/1979", None),
        ("1066-10-14", None),
        ("2030-05-25", None),
        ("1979-02-30", None),
        (None, None),
        ("N/A", None),
    ],
)
def test_a_release_has_a_day_only_where_one_is_named(raw: str | None, day: date | None) -> None:
    assert fields.release_day(raw, now=NOW) == day


@pytest.mark.parametrize(
    ("raw", "minutes"),
    [
        ("PT117M", 117),
        ("PT1H57M", 117),
        ("P0DT1H57M0S", 117),
        ("PT1.5H", 90),
        ("pt90m", 90),
        ("PT5400S", 90),
        ("117 min", 117),
        ("117 minutes", 117),
        ("1h 57m", 117),
        ("1 hr. 57 min.", 117),
        ("1 hour and 57 minutes", 117),
        ("2h", 120),
        ("1:57", 117),
        ("1:57:30", 117),
        ("117", 117),
        ("2 Seasons", None),
        ("PT", None),
        ("P", None),
        ("0 min", None),
        ("PT999999H", None),
        ("1.5 hours", 90),
        ("1,5 h", 90),
        ("1h57", 117),
        ("1 Std. 57 Min.", 117),
        ("2 heures et 5 minutes", 125),
        ("117′", 117),
        ("１１７ min", 117),
        ("٩٠", 90),
        ("5000 min", None),
        ("99.5 hours", None),
        ("²", None),
        ("", None),
        (None, None),
    ],
)
def test_a_running_time_is_read_in_the_ways_it_is_written(
    raw: str | None, minutes: int | None
) -> None:
    assert fields.minutes(raw) == minutes


def test_a_running_time_that_slipped_into_the_age_rating_is_found_there() -> None:
    assert fields.minutes("", "74 min") == 74
    assert fields.minutes("90 min", "74 min") == 90


@pytest.mark.parametrize("age_rating", ["16", "PG-13", "TV-MA", "18+", "12A", None])
def test_an_age_is_no_running_time(age_rating: str | None) -> None:
    assert fields.minutes(None, age_rating) is None


def test_countries_are_split_trimmed_and_called_by_one_name() -> None:
    assert fields.countries([", France, Algeria"]) == ("France", "Algeria")
    assert fields.countries(["United Kingdom,", "UK", "U.S.A."]) == (
        "United Kingdom",
        "United States",
    )


def test_names_of_iso_that_hold_commas_are_one_country() -> None:
    assert fields.countries(["Korea, Republic of, France", "Bolivia, Plurinational State of"]) == (
        *("South Korea", "France", "Bolivia"),
    )


def test_countries_that_nobody_knows_stay_as_they_are() -> None:
    assert fields.countries(["Wakanda, USA"]) == ("Wakanda", "United States")


@pytest.mark.parametrize(
    ("raw", "language"),
    [
        ("EN_us", "en-US"),
        (" 日本語 ", "ja"),
        ("English, French", "en"),
        ("Elvish", None),
        ("und", None),
        ("e" * 300, None),
        (None, None),
    ],
)
def test_a_language_becomes_a_tag_or_nothing(raw: str | None, language: str | None) -> None:
    assert fields.language(raw) == language


@pytest.mark.parametrize(
    ("raw", "best", "rating"),
    [
        ("8.1", "10", 0.81),
        ("4", "5", 0.8),
        ("8,1", "10", 0.81),
        ("8.1/10", None, 0.81),
        ("4 out of 5", "10", 0.8),
        ("81%", None, 0.81),
        ("8 / 10", None, 0.8),
        ("4 Of 5", None, 0.8),
        ("８．１", "１０", 0.81),
        ("٨٫١", "10", 0.81),
        ("81％", None, 0.81),
        ("0", "10", 0.0),
        ("8.1", None, None),
        ("11", "10", None),
        ("8", "0", None),
        ("-3", "10", None),
        ("nan", "10", None),
        ("inf", "10", None),
        ("great", "10", None),
        (None, "10", None),
    ],
)
def test_a_rating_needs_a_scale(raw: str | None, best: str | None, rating: float | None) -> None:
    assert fields.rating(raw, best) == rating


@pytest.mark.parametrize(
    ("raw", "count"),
    [
        ("1234", 1234),
        ("1,234,567", 1234567),
        ("1.234.567", 1234567),
        ("1'234", 1234),
        ("1’234’567", 1234567),
        ("1 234", 1234),
        ("1\u202f234\u00a0567", 1234567),
        ("12,34,567", 1234567),
        ("１，２３４", 1234),
        ("١٬٢٣٤", 1234),
        ("१२३४", 1234),
        ("1.2K", 1200),
        ("1,2 k", 1200),
        ("15K", 15000),
        ("3.45M", 3450000),
        ("1.2 million", 1200000),
        ("2 Mio.", 2000000),
        ("1B", 10**9),
        ("1,234K", None),
        ("12,34", None),
        ("1,234.567", None),
        ("1.5", None),
        ("1e6", None),
        ("-1", None),
        ("99999999B", None),
        ("9" * 18, None),
        ("²", None),
        (None, None),
    ],
)
def test_a_count_is_a_whole_number(raw: str | None, count: int | None) -> None:
    assert fields.count(raw) == count


@pytest.mark.parametrize(
    "raw",
    [
        "1979-05-25",
        "19790525",
        "1979-05-25T08:00:00Z",
        "1979-05-24T23:30:00-05:00",
        "Fri, 25 May 1979 08:00:00 +0000",
        "25 May 1979 08:00:00 GMT",
        "May 25, 1979",
        "may 25 1979",
        "MAY 25, 1979",
        "25 May 1979",
        "25th May, 1979",
        "May 25th, 1979",
        "1979 May 25",
        "1979/05/25",
        "25/05/1979",
        "05/25/1979",
        "25-05-1979",
        "25.05.1979",
        "25.5.1979",
        "２５／０５／１９７９",
        "<b>25 May 1979</b>",
    ],
)
def test_a_day_is_read_in_the_ways_it_is_written(raw: str) -> None:
    assert fields.day(raw) == date(1979, 5, 25)


@pytest.mark.parametrize(
    ("raw", "day"),
    [
        ("Sept. 5, 2001", date(2001, 9, 5)),
        ("5 Jan. 2001", date(2001, 1, 5)),
        ("05/05/2001", date(2001, 5, 5)),
        ("04.05.2001", date(2001, 5, 4)),
        ("04/05/2001", None),
        ("04-05-2001", None),
        ("31/02/2001", None),
        ("13/13/2001", None),
        ("13.13.2001", None),
        ("25/05/79", None),
        ("May 1979", None),
        ("1979", None),
        ("February 30, 1979", None),
        ("3 days ago", None),
        ("vor 3 Tagen", None),
        ("yesterday", None),
        ("today at 10:30", None),
        ("25:61", None),
        ("9999-12-31T23:59:59-23:00", None),
        ("0001-01-01T00:00:00+23:00", None),
        ("", None),
        (None, None),
    ],
)
def test_a_day_that_could_be_another_is_not_read(raw: str | None, day: date | None) -> None:
    assert fields.day(raw) == day


@pytest.mark.parametrize(
    ("raw", "day"),
    [
        ("2026-10-20", date(2026, 10, 20)),
        ("2026-10-20T23:30:00-05:00", date(2026, 10, 21)),
        ("Tue, 20 Oct 2026 23:30:00 -0500", date(2026, 10, 21)),
        ("2026-11-01", date(2026, 11, 1)),
        ("2026-11-02", None),
        ("1979-05-25", None),
        ("2026-02-30", None),
        (None, None),
    ],
)
def test_a_review_has_a_day_that_can_be_true_or_none(raw: str | None, day: date | None) -> None:
    assert fields.review_day(raw, now=NOW) == day


def test_popularity_has_each_day_once_in_order_and_none_to_come() -> None:
    told = [
        DayCount(day=date(2026, 10, 31), count=5),
        DayCount(day=date(2026, 10, 30), count=7),
        DayCount(day=date(2026, 10, 31), count=9),
        DayCount(day=date(2026, 11, 2), count=1),
        DayCount(day=date(2026, 10, 29), count=10**30),
    ]
    assert fields.popularity(told, now=NOW) == (
        DayCount(day=date(2026, 10, 30), count=7),
        DayCount(day=date(2026, 10, 31), count=9),
    )


def test_values_are_few_and_short_whatever_a_page_holds() -> None:
    assert fields.values(["x" * 1000, "Drama", "Drama", "", "N/A"]) == ("Drama",)
    assert len(fields.values(str(number) for number in range(1000, 9000))) == fields.MAX_VALUES
