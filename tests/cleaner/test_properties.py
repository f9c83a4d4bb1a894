"""What holds for any record, however a page may have been written."""

from datetime import UTC, date, datetime
from typing import Any

from hypothesis import example, given
from hypothesis import strategies as st

from trending_cleaner import fields
from trending_cleaner.cleaning import clean_review, clean_title
from trending_cleaner.places import country_name, language_tag, split_countries
from trending_cleaner.plain_text import plain_text
from trending_shared.errors import Rejected
from trending_shared.events import DayCount, RawReview, RawTitle, ReviewCleaned, TitleCleaned
from trending_shared.genres import GENRES, map_genres
from trending_shared.testing import a_review_scraped, a_title_scraped

NOW = datetime(2026, 11, 1, 12, tzinfo=UTC)
PIECES = (
    *("The crew of a freighter answers a call. ", "<p>", "</p>", "<b", "&amp;", "&lt;", "&#8203;"),
    *("<script>", "\u200b", "\u202e", "\x00", "\ufeff", "e\u0301", "ﬁ", "１２", "\ud800", "\ufffd"),
    *("1979", "25/05/1979", "May 25, 1979", "PT1H57M", "1:57", "117 min", "1.5 h", "8.1/10", "81%"),
    *("1,234", "1.2K", "12,34,567", "English", "日本語", "zh-hant-tw", "USA", "Korea, Republic of"),
    *(
        "Drama",
        "Romantic Comedy",
        "Movie",
        "TV Show",
        "N/A",
        "-",
        "@jane",
        "a@b.example",
        ", ",
        " ",
    ),
    *("٣", "²", "½", "‚", "−5", "1e9", "nan", "inf", "9" * 30, "\n", "\t", "Ⅷ", "İ", "ß"),
)
TEXTS = st.text(max_size=80) | st.lists(st.sampled_from(PIECES), max_size=8).map("".join)
MAYBE = st.none() | TEXTS
LISTS = st.lists(TEXTS, max_size=4).map(tuple)
COUNTS = st.builds(
    DayCount,
    day=st.dates(min_value=date(2024, 1, 1), max_value=date(2027, 12, 31)),
    count=st.integers(min_value=0, max_value=2**60),
)
TITLES = st.builds(
    RawTitle,
    name=TEXTS.map(lambda text: text + " VIII"),
    kind=st.sampled_from(["Movie", "TV Series", "film", "show", "Movie", "x"]),
    year=st.sampled_from(["1979", "May 25, 1979", "１９７９", None, "2012–2015", "22-Jul"]),
    genres=LISTS | st.lists(st.sampled_from(GENRES), max_size=3).map(tuple),
    plot=TEXTS.map(lambda text: text + " and a long tail of words"),
    countries=LISTS,
    language=MAYBE,
    runtime=MAYBE,
    age_rating=MAYBE,
    rating=MAYBE,
    best_rating=st.just("10") | MAYBE,
    rating_count=MAYBE,
    popularity=st.lists(COUNTS, max_size=4).map(tuple),
    external_ids=st.dictionaries(st.sampled_from(["imdb", "tmdb", "x"]), TEXTS, max_size=3),
)
REVIEWS = st.builds(
    RawReview,
    review_source_id=st.just("r1"),
    text=TEXTS.map(lambda text: text + " I liked it"),
    rating=MAYBE,
    best_rating=st.just("10") | MAYBE,
    day=MAYBE,
    language=MAYBE,
)


def cleaned_title(raw: RawTitle) -> TitleCleaned | None:
    try:
        return clean_title(a_title_scraped().model_copy(update={"title": raw}), NOW)
    except Rejected:
        return None


def cleaned_review(raw: RawReview) -> ReviewCleaned | None:
    try:
        return clean_review(a_review_scraped().model_copy(update={"review": raw}), NOW).event
    except Rejected:
        return None


@given(MAYBE, MAYBE, MAYBE, MAYBE)
def test_whatever_stands_where_it_must_a_title_is_clean_or_rejected_by_name(
    name: str | None, kind: str | None, year: str | None, plot: str | None
) -> None:
    cleaned_title(RawTitle(name=name, kind=kind, year=year, plot=plot))
    cleaned_review(RawReview(text=plot, day=year))


def text_of(value: object) -> str | None:
    return None if value is None else str(value)


@given(TITLES)
def test_a_title_is_rejected_by_name_or_clean_and_cleaning_it_again_changes_nothing(
    raw: RawTitle,
) -> None:
    once = cleaned_title(raw)
    if once is None:
        return
    again = cleaned_title(
        RawTitle(
            name=once.name,
            kind=once.kind,
            year=text_of(once.year),
            genres=(*once.genres, *once.unknown_genres),
            plot=once.plot,
            countries=once.countries,
            language=once.language,
            runtime=text_of(once.runtime_minutes),
            rating=text_of(once.rating),
            best_rating="1",
            rating_count=text_of(once.rating_count),
            popularity=once.popularity,
            external_ids=once.external_ids,
        )
    )
    # What the first cleaning thought of the page's own words it can't know any more.
    judgement: Any = {"genre_confidence", "warnings"}
    assert again is not None
    assert again.model_dump(exclude=judgement) == once.model_dump(exclude=judgement)


@given(REVIEWS)
def test_a_review_is_rejected_by_name_or_clean_and_cleaning_it_again_changes_nothing(
    raw: RawReview,
) -> None:
    once = cleaned_review(raw)
    if once is None:
        return
    again = cleaned_review(
        RawReview(
            review_source_id="r1",
            text=once.text,
            rating=text_of(once.rating),
            best_rating="1",
            day=text_of(once.day),
            language=once.language,
        )
    )
    assert again is not None
    assert again.model_dump(exclude={"warnings"}) == once.model_dump(exclude={"warnings"})


@given(TEXTS)
@example("&lt;&lt;b&gt;b&gt;")
def test_plain_text_of_plain_text_is_itself(text: str) -> None:
    plain = plain_text(text)
    assert plain_text(plain) == plain


@given(TEXTS)
def test_what_a_field_becomes_is_what_it_means(text: str) -> None:
    for read in (fields.count, fields.minutes):
        found = read(text)
        assert found is None or (found >= 0 and read(str(found)) in {found, None} and found < 2**54)
    rating = fields.rating(text, "10")
    assert rating is None or 0 <= rating <= 1
    day = fields.day(text)
    assert day is None or fields.day(day.isoformat()) == day
    tag = fields.language(text)
    assert tag is None or language_tag(tag) == tag
    names = fields.countries([text])
    assert fields.countries(names) == names
    assert all(country_name(name) == name for name in names)
    assert all(isinstance(part, str) for part in split_countries(text))


@given(st.lists(TEXTS, max_size=6))
def test_labels_are_known_or_told_and_confidence_is_a_share(labels: list[str]) -> None:
    mapping = map_genres("demo", labels)
    assert set(mapping.genres) <= set(GENRES)
    assert all(0 < confidence <= 1 for confidence in mapping.confidence.values())
    assert map_genres("demo", mapping.genres).genres == mapping.genres
    assert map_genres("demo", mapping.unknown).unknown == mapping.unknown
