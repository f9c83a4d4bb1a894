"""From what a page said to what we know."""

from datetime import UTC, date, datetime
from typing import Any

import pytest

from trending_cleaner.cleaning import (
    NameMissing,
    TextMissing,
    TextTooLong,
    clean_review,
    clean_title,
)
from trending_cleaner.fields import KindUnknown, YearImplausible
from trending_shared.errors import Rejected
from trending_shared.events import DayCount, RawTitle, TitleCleaned
from trending_shared.testing import a_page, a_review_scraped, a_title_scraped

NOW = datetime(2026, 11, 1, 12, tzinfo=UTC)


def test_a_title_is_normalised_in_all_its_fields() -> None:
    scraped = a_title_scraped(
        name=" Alien&nbsp;",
        kind="https://schema.org/Movie",
        year="1979-05-25",
        genres=("Horror", "Gothic space opera"),
        plot="<p>The crew of a freighter\n answers a call from a silent moon.</p>",
        countries=("UK, USA,",),
        language="en-us",
        runtime="PT1H57M",
        rating="8.5",
        best_rating="10",
        rating_count="1,234",
        popularity=(DayCount(day=date(2026, 10, 31), count=3),),
    )
    cleaned = clean_title(scraped, NOW)
    assert cleaned == TitleCleaned(
        title_id=cleaned.title_id,
        source="demo",
        source_id="alien-1979",
        page=scraped.page,
        license="LicenseRef-trending-demo",
        name="Alien",
        kind="film",
        year=1979,
        genres=("Horror",),
        unknown_genres=("Gothic space opera",),
        genre_confidence={"Horror": 1.0},
        plot="The crew of a freighter answers a call from a silent moon.",
        countries=("United Kingdom", "United States"),
        language="en-US",
        runtime_minutes=117,
        rating=0.85,
        rating_count=1234,
        popularity=(DayCount(day=date(2026, 10, 31), count=3),),
        released=date(1979, 5, 25),
        content_hash=cleaned.content_hash,
    )


@pytest.mark.parametrize(
    ("raw", "reason"),
    [
        ({"name": None}, NameMissing),
        ({"name": "<b>\u200b</b>"}, NameMissing),
        ({"name": "A" * 501}, TextTooLong),
        ({"plot": None}, TextMissing),
        ({"plot": "Coming soon."}, TextMissing),
        ({"plot": "<p>" * 50}, TextMissing),
        ({"plot": "word " * 4001}, TextTooLong),
        ({"plot": "<b>" * 100_000}, TextTooLong),
        ({"kind": "Book"}, KindUnknown),
        ({"year": "1066"}, YearImplausible),
    ],
)
def test_a_title_that_lacks_what_makes_it_one_is_rejected(
    raw: dict[str, Any], reason: type[Rejected]
) -> None:
    with pytest.raises(reason):
        clean_title(a_title_scraped(**raw), NOW)


def test_a_title_with_nothing_but_name_kind_and_plot_is_fine() -> None:
    plot = "The crew of a freighter answers a call."
    bare = RawTitle(name="Alien", kind="film", plot=plot)
    cleaned = clean_title(a_title_scraped().model_copy(update={"title": bare}), NOW)
    assert (cleaned.year, cleaned.genres, cleaned.countries) == (None, (), ())
    assert (cleaned.language, cleaned.runtime_minutes, cleaned.rating) == (None, None, None)


def test_a_label_that_nobody_knows_is_kept_and_no_reason_to_reject() -> None:
    cleaned = clean_title(a_title_scraped(genres=("Gothic space opera",)), NOW)
    assert cleaned.genres == ()
    assert cleaned.unknown_genres == ("Gothic space opera",)


def test_cleaning_a_clean_title_changes_nothing() -> None:
    raw = a_title_scraped(
        name="Tom &amp;amp; Jerry\u200b",
        plot="<p>Cat</p><p>&lt;i&gt;chases&lt;/i&gt; e\u0301tourdi mouse, again and again</p>",
        countries=("USA",),
        language="EN_us",
        year="1940-02-10",
    )
    once = clean_title(raw, NOW)
    again = a_title_scraped(
        name=once.name,
        plot=once.plot,
        genres=once.genres,
        countries=once.countries,
        language=once.language,
        year=str(once.released),
        kind=once.kind,
        runtime=str(once.runtime_minutes),
    )
    assert clean_title(again, NOW) == once


def test_the_content_is_the_same_wherever_and_whenever_it_was_found() -> None:
    first = clean_title(a_title_scraped(), NOW)
    page = a_page(url="http://films.example/other", fetched_at=datetime(2026, 10, 1, tzinfo=UTC))
    assert clean_title(a_title_scraped(page=page), NOW).content_hash == first.content_hash


@pytest.mark.parametrize(
    "change",
    [
        {"name": "Aliens"},
        {"kind": "TV Show"},
        {"year": "1986"},
        {"genres": ("Horror",)},
        {"plot": "The crew of a freighter answers a call, and none comes home."},
        {"countries": ("United States",)},
        {"language": "de"},
        {"runtime": "PT137M"},
        {"rating": "8/10"},
        {"rating_count": "1"},
        {"popularity": (DayCount(day=date(2026, 10, 31), count=3),)},
    ],
)
def test_the_content_is_another_when_a_field_says_something_else(change: dict[str, Any]) -> None:
    first = clean_title(a_title_scraped(), NOW)
    second = clean_title(a_title_scraped(**change), NOW)
    assert second.content_hash != first.content_hash
    assert second.title_id == first.title_id


def test_a_page_that_names_a_day_tells_when_a_title_was_released() -> None:
    day = clean_title(a_title_scraped(year="1979-05-25"), NOW)
    assert (day.year, day.released) == (1979, date(1979, 5, 25))
    year = clean_title(a_title_scraped(year="1979"), NOW)
    assert (year.year, year.released) == (1979, None)
    other = clean_title(a_title_scraped(year="1979-06-22"), NOW)
    assert len({each.content_hash for each in (day, year, other)}) == 3


def test_titles_of_one_name_in_two_places_are_two() -> None:
    ids = {clean_title(a_title_scraped(source_id=id), NOW).title_id for id in ("1", "2")}
    assert len(ids) == 2
    assert all(id.startswith("t_") and len(id) == 18 for id in ids)


# ---------------------------------------------------------------- reviews


def test_a_review_is_normalised_and_freed_of_personal_data() -> None:
    raw = a_review_scraped(
        text="<p>Slow &amp; silent.</p>Ask me: jane@mail.example, @jane_d or +49 170 1234567",
        rating="9",
        best_rating="10",
        day="2026-10-20T08:00:00Z",
        language="EN",
    )
    cleaned = clean_review(raw, NOW)
    assert cleaned.event.text == "Slow & silent. Ask me: [email], [handle] or [phone]"
    assert cleaned.personal_data == {"email": 1, "handle": 1, "phone": 1}
    assert (cleaned.event.rating, cleaned.event.day) == (0.9, date(2026, 10, 20))
    assert cleaned.event.language == "en"
    assert not cleaned.day_dropped
    assert cleaned.event.title_id == clean_title(a_title_scraped(), NOW).title_id


def test_a_review_from_the_future_loses_its_day_and_stays() -> None:
    cleaned = clean_review(a_review_scraped(day="2027-01-01"), NOW)
    assert cleaned.event.day is None
    assert cleaned.day_dropped


def test_a_review_without_a_day_has_lost_none() -> None:
    assert not clean_review(a_review_scraped(day=None), NOW).day_dropped


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        (None, TextMissing),
        ("", TextMissing),
        ("<br>!!! ...", TextMissing),
        ("word " * 4001, TextTooLong),
    ],
)
def test_a_review_needs_words_and_not_too_many(text: str | None, reason: type[Rejected]) -> None:
    with pytest.raises(reason):
        clean_review(a_review_scraped(text=text), NOW)


def test_a_review_keeps_its_id_when_its_text_is_corrected() -> None:
    first = clean_review(a_review_scraped(review_source_id="r7"), NOW).event
    second = clean_review(a_review_scraped(review_source_id="r7", text="Loud."), NOW).event
    assert first.review_id == second.review_id
    assert first.content_hash != second.content_hash


def test_a_review_that_its_source_gives_no_id_is_who_wrote_what_about_which_title() -> None:
    def id_of(**raw: Any) -> str:
        return clean_review(a_review_scraped(**raw), NOW).event.review_id

    assert id_of() == id_of(rating="1", day=None, position=5)
    assert id_of() != id_of(text="Loud.")
    assert id_of() != id_of(author_hash="ef" * 32)
    assert id_of() != id_of(source_id="aliens-1986")


def test_cleaning_a_clean_review_changes_nothing() -> None:
    raw = a_review_scraped(review_source_id="7", text="&lt;b&gt;Ask&lt;/b&gt; a@b.example ; @jane")
    once = clean_review(raw, NOW).event
    again = clean_review(a_review_scraped(review_source_id="7", text=once.text), NOW)
    assert again.event == once
    assert not again.personal_data
