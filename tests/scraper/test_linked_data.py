"""JSON-LD as sites write it: in many shapes, and not always JSON."""

import json
from datetime import date
from typing import Any

import pytest

from trending_scraper.linked_data import (
    find_title,
    found_reviews,
    identifier,
    parse,
    popularity,
    raw_title,
    read_nodes,
    text,
)
from trending_shared.events import DayCount

URL = "https://films.example/titles/alien-1979"
ALIEN = {"@type": "Movie", "name": "Alien"}


def watched(start: str, count: Any, **more: Any) -> dict[str, Any]:
    return {
        "@type": "InteractionCounter",
        "interactionType": "https://schema.org/WatchAction",
        "startTime": start,
        "userInteractionCount": count,
        **more,
    }


# ---------------------------------------------------------------- JSON that isn't quite


@pytest.mark.parametrize(
    "script",
    [
        '{"@type": "Movie", "name": "Alien"}',
        '\ufeff{"@type": "Movie", "name": "Alien"}',
        '<!-- {"@type": "Movie", "name": "Alien"} -->',
        '//<![CDATA[\n{"@type": "Movie", "name": "Alien"}\n//]]>',
        '{"@type": "Movie", "name": "Alien",}',
        '{"@type": ["Movie",], "name": "Alien"};',
        "{&quot;@type&quot;: &quot;Movie&quot;, &quot;name&quot;: &quot;Alien&quot;}",
        '{"@type": "schema:Movie", "name": " Alien\\n"}',
        '{"@type": "https://schema.org/Movie", "name": ["Alien", "Alien 1"]}',
        '[{"@type": "WebSite"}, {"@type": "Movie", "name": "Alien"}]',
        '{"@graph": [{"@type": "WebPage"}, {"@type": "Movie", "name": "Alien"}]}',
        '{"@type": "WebPage", "mainEntity": {"@type": "Movie", "name": {"@value": "Alien"}}}',
    ],
)
def test_a_title_is_found_however_it_is_wrapped(script: str) -> None:
    title = find_title(read_nodes([script]), URL)
    assert title is not None
    assert raw_title(title).name == "Alien"
    assert raw_title(title).kind == "Movie"


def test_control_characters_may_stand_in_strings() -> None:
    assert parse('{"description": "two\nlines\tand a bell\a"}') == {
        "description": "two\nlines\tand a bell\a"
    }


@pytest.mark.parametrize(
    "script",
    ["", "null", "42", "not json", "{", "[" * 100_000, '{"a":' * 100_000, "9" * 10_000, "\x00"],
)
def test_what_is_beyond_repair_has_no_title_and_does_no_harm(script: str) -> None:
    assert find_title(read_nodes([script]), URL) is None


def test_a_broken_script_doesnt_hide_the_next() -> None:
    assert find_title(read_nodes(["{", json.dumps(ALIEN)]), URL) == ALIEN


# ---------------------------------------------------------------- values


@pytest.mark.parametrize(
    ("value", "said"),
    [
        ("  Drama ", "Drama"),
        (1979, "1979"),
        (8.5, "8.5"),
        ({"@type": "Country", "name": "France"}, "France"),
        ([{"@value": "English"}], "English"),
        ("half \ud83d a character", "half \ufffd a character"),
        ("", None),
        ([], None),
        ({}, None),
        (None, None),
        (True, None),
        (float("nan"), None),
        (float("inf"), None),
        (10**400, None),
        ([[[[[["deep"]]]]]], None),
    ],
)
def test_a_value_says_one_thing(value: Any, said: str | None) -> None:
    assert text(value) == said


def test_all_fields_of_a_title_are_taken_as_they_stand() -> None:
    title = raw_title(
        {
            "@type": ["CreativeWork", "TVSeries"],
            "name": "Dark",
            "genre": ["Thriller", {"name": "Drama"}, "Thriller", 7, ""],
            "description": "A child disappears.",
            "startDate": "2017-12-01",
            "countryOfOrigin": {"@type": "Country", "name": "Germany"},
            "inLanguage": {"@type": "Language", "name": "German"},
            "timeRequired": "PT60M",
            "contentRating": "TV-MA",
            "aggregateRating": {"ratingValue": 8.7, "bestRating": 10, "reviewCount": "402"},
        }
    )
    assert title.model_dump() == {
        "name": "Dark",
        "kind": "TVSeries",
        "year": "2017-12-01",
        "genres": ("Thriller", "Drama", "7"),
        "plot": "A child disappears.",
        "countries": ("Germany",),
        "language": "German",
        "runtime": "PT60M",
        "age_rating": "TV-MA",
        "rating": "8.7",
        "best_rating": "10",
        "rating_count": "402",
        "popularity": (),
        "external_ids": {},
    }


def test_fields_of_the_wrong_kind_are_empty_and_dont_hide_the_others() -> None:
    title = raw_title(
        {
            **ALIEN,
            "genre": {"a": 1},
            "aggregateRating": "9",
            "duration": [{}],
            "interactionStatistic": "many",
            "inLanguage": None,
        }
    )
    assert title == raw_title(ALIEN)


def test_a_title_with_the_pages_address_goes_before_the_first() -> None:
    other = {"@type": "Movie", "name": "Aliens", "url": "https://films.example/titles/aliens-1986"}
    alien = {**ALIEN, "@id": f"{URL}/#movie"}
    assert find_title([other, alien], URL) == alien
    assert find_title([other, ALIEN], URL) == other


def test_a_title_without_a_name_is_none() -> None:
    assert find_title([{"@type": "Movie", "name": " "}], URL) is None
    assert find_title([{"@type": "Book", "name": "Solaris"}], URL) is None


@pytest.mark.parametrize(
    ("value", "said"),
    [
        ("alien-1979", "alien-1979"),
        (42, "42"),
        ({"@type": "PropertyValue", "propertyID": "imdb", "value": "tt0078748"}, "tt0078748"),
        ([{"value": "tt0078748"}, "42"], "tt0078748"),
        (None, None),
    ],
)
def test_an_identifier_is_plain_or_a_property(value: Any, said: str | None) -> None:
    assert identifier({"identifier": value}) == said


# ---------------------------------------------------------------- popularity


def test_daily_counters_become_views_a_day_in_order() -> None:
    counters = [
        watched("2026-10-31T00:00:00Z", 20, endTime="2026-11-01T00:00:00Z"),
        watched("2026-10-30", "10"),
        watched("2026-10-31", 5, interactionService="the other player"),
    ]
    assert popularity({"interactionStatistic": counters}) == (
        DayCount(day=date(2026, 10, 30), count=10),
        DayCount(day=date(2026, 10, 31), count=25),
    )


@pytest.mark.parametrize(
    "counter",
    [
        watched("2026-10-01", 20, endTime="2026-11-01"),
        watched("", 20),
        watched("last week", 20),
        watched("2026-13-01", 20),
        watched("2026-10-31", -1),
        watched("2026-10-31", 2.5),
        watched("2026-10-31", "1e9"),
        watched("2026-10-31", 10**30),
        watched("2026-10-31", None),
        watched("2026-10-31", 20, interactionType={"@type": "LikeAction"}),
        watched("2026-10-31", 20, interactionType="https://schema.org/CommentAction"),
        "20",
    ],
)
def test_a_counter_that_isnt_of_one_days_views_is_left_out(counter: Any) -> None:
    assert popularity({"interactionStatistic": [counter]}) == ()


# ---------------------------------------------------------------- reviews


def test_a_review_gives_its_fields_and_its_author_apart() -> None:
    node = {
        "@type": "Review",
        "identifier": "r1",
        "author": [{"@type": "Person", "name": "tidal_moth"}],
        "datePublished": "2026-10-20",
        "reviewRating": {"ratingValue": 9, "bestRating": 10},
        "reviewBody": "Slow and terrifying.",
        "inLanguage": "en",
    }
    (found,) = found_reviews({**ALIEN, "review": node}, [])
    assert found.author == "tidal_moth"
    assert found.review.model_dump() == {
        "review_source_id": "r1",
        "author_hash": None,
        "text": "Slow and terrifying.",
        "rating": "9",
        "best_rating": "10",
        "day": "2026-10-20",
        "language": "en",
    }


def test_reviews_may_stand_beside_their_title() -> None:
    title: dict[str, Any] = {**ALIEN, "@id": "#alien", "review": [{"@id": "#r1"}]}
    graph: list[dict[str, Any]] = [
        title,
        {"@type": "Review", "@id": "#r1", "reviewBody": "Referred to."},
        {"@type": "Review", "reviewBody": "By id.", "itemReviewed": {"@id": "#alien"}},
        {"@type": "Review", "reviewBody": "By name.", "itemReviewed": {"name": "Alien"}},
        {"@type": "Review", "reviewBody": "Another's.", "itemReviewed": {"name": "Aliens"}},
        {"@type": "Review", "reviewBody": "Nobody's."},
    ]
    found = found_reviews(title, graph)
    assert [one.review.text for one in found] == ["Referred to.", "By id.", "By name."]


def test_reviews_that_say_nothing_are_left_out() -> None:
    reviews = [{"author": "a"}, "loved it", None, {"reviewBody": "Fine."}, {"reviewRating": "4"}]
    found = found_reviews({**ALIEN, "review": reviews}, [])
    assert [(one.review.text, one.review.rating) for one in found] == [("Fine.", None), (None, "4")]


def test_two_reviews_with_one_identifier_stay_two() -> None:
    reviews = [{"identifier": "r1", "reviewBody": body} for body in ("Good.", "Bad.")]
    found = found_reviews({**ALIEN, "review": reviews}, [])
    assert [one.review.review_source_id for one in found] == ["r1", None]


# ---------------------------------------------------------------- ids of others


def test_links_to_others_and_named_identifiers_say_what_they_call_a_title() -> None:
    node = {
        "@type": "Movie",
        "name": "Salt Roads",
        "sameAs": [
            "https://www.imdb.com/title/tt9900102/?ref=x",
            "http://www.wikidata.org/entity/Q99001020",
            "https://www.themoviedb.org/movie/900102-salt-roads",
            "https://imdb.com.evil.example/title/tt0000001",
            "https://www.imdb.com/name/nm0000001",
        ],
    }
    ids = {"imdb": "tt9900102", "wikidata": "Q99001020", "tmdb": "movie/900102"}
    assert raw_title(node).external_ids == ids
    named = {"identifier": [{"propertyID": "IMDb", "value": "tt9900102"}, {"propertyID": "isan"}]}
    assert raw_title(named).external_ids == {"imdb": "tt9900102"}


def test_ids_of_others_that_cant_be_true_are_none() -> None:
    alien = {"propertyID": "imdb", "value": "alien"}
    values: list[Any] = [None, 7, {}, [[]], "tt1", alien, {"value": {}}]
    for odd in values:
        assert raw_title({"sameAs": odd, "identifier": odd}).external_ids == {}
