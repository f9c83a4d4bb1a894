"""Which records are of one title: the same answer in whatever order they came."""

import random
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from trending_cleaner.resolving import ALONE, NAMESAKES, UNCLEAR, Told, name_key, resolve

ALIEN = "film 1979 alien"


def a_record(title_id: str, source: str | None = None, *ids: str, **changes: Any) -> Told:
    fields: dict[str, Any] = {
        "title_id": title_id,
        "source": source or f"source of {title_id}",
        "first_at": 0,
        "described": True,
        "name": None,
        "ids": frozenset(ids),
    }
    return Told(**(fields | changes))


def groups(*records: Told) -> list[list[str]]:
    return [sorted(identity.reasons) for identity in resolve(records)]


# ---------------------------------------------------------------- ids


def test_records_that_share_an_id_are_one_title_also_through_a_third() -> None:
    records = [
        a_record("t_1", "demo", "imdb:tt1"),
        a_record("t_2", "tvmaze", "imdb:tt1", "tvmaze:7"),
        a_record("t_3", "trakt", "tvmaze:7"),
        a_record("t_4", "other", "imdb:tt2"),
    ]
    one, other = resolve(records)
    assert dict(one.reasons) == {
        "t_1": "external id imdb:tt1 shared with t_2",
        "t_2": "external id imdb:tt1 shared with t_1",
        "t_3": "external id tvmaze:7 shared with t_2",
    }
    assert dict(other.reasons) == {"t_4": ALONE}


def test_facts_join_two_descriptions_but_are_no_title_by_themselves() -> None:
    facts = a_record("t_9", "wikidata", "imdb:tt1", "tvmaze:7", described=False)
    assert groups(facts) == []
    assert groups(a_record("t_1", "a", "imdb:tt1"), a_record("t_2", "b", "tvmaze:7")) == [
        ["t_1"],
        ["t_2"],
    ]
    assert groups(a_record("t_1", "a", "imdb:tt1"), a_record("t_2", "b", "tvmaze:7"), facts) == [
        ["t_1", "t_2", "t_9"]
    ]


def test_an_identity_is_named_after_the_description_that_was_first_fetched() -> None:
    records = [
        a_record("t_1", None, "imdb:tt1", first_at=5),
        a_record("t_3", None, "imdb:tt1", first_at=2),
        a_record("t_2", None, "imdb:tt1", first_at=2),
        a_record("t_0", None, "imdb:tt1", first_at=1, described=False),
    ]
    assert [identity.title_id for identity in resolve(records)] == ["t_2"]


def test_an_id_that_a_hostile_site_gives_all_its_titles_joins_none() -> None:
    many = [a_record(f"t_{n:03}", "evil", "imdb:tt1") for n in range(NAMESAKES + 1)]
    assert len(groups(*many)) == NAMESAKES + 1
    assert len(groups(*many[1:])) == 1


# ---------------------------------------------------------------- names


def test_records_of_different_sources_with_one_name_and_year_are_one_title() -> None:
    records = [a_record("t_1", "a", name=ALIEN), a_record("t_2", "b", name=ALIEN)]
    (identity,) = resolve(records)
    assert dict(identity.reasons) == {
        "t_1": "kind, name and year of t_2",
        "t_2": "kind, name and year of t_1",
    }


def test_two_titles_of_one_source_are_two_and_a_third_is_neither() -> None:
    records = [a_record(f"t_{n}", source, name=ALIEN) for n, source in enumerate(["a", "a", "b"])]
    assert groups(*records) == [["t_0"], ["t_1"], ["t_2"]]
    assert {reason for one in resolve(records) for reason in one.reasons.values()} == {UNCLEAR}


def test_ids_speak_against_a_name() -> None:
    first = a_record("t_1", "a", "imdb:tt1", name=ALIEN)
    second = a_record("t_2", "b", "imdb:tt2", name=ALIEN)
    assert groups(first, second) == [["t_1"], ["t_2"]]
    # Whose is a third one that names no id? Nobody knows.
    assert groups(first, second, a_record("t_3", "c", name=ALIEN)) == [["t_1"], ["t_2"], ["t_3"]]


def test_what_ids_joined_stays_joined_where_names_are_unclear() -> None:
    records = [
        a_record("t_1", "a", "imdb:tt1", name=ALIEN),
        a_record("t_2", "b", "imdb:tt1", name=ALIEN),
        a_record("t_3", "a", name=ALIEN),
    ]
    assert groups(*records) == [["t_1", "t_2"], ["t_3"]]


def test_a_name_joins_what_another_spelling_and_an_id_have_joined() -> None:
    records = [
        a_record("t_1", "a", "imdb:tt1", name="film 2001 amelie"),
        a_record("t_2", "b", "imdb:tt1", name="film 2001 le fabuleux destin"),
        a_record("t_3", "c", name="film 2001 le fabuleux destin"),
    ]
    assert groups(*records) == [["t_1", "t_2", "t_3"]]


@pytest.mark.parametrize(
    ("name", "other"),
    [
        ("The Thing", "Thing, The"),
        ("Alien³", "ALIEN3"),
        ("Ocean’s Eleven", "Oceans Eleven"),
        ("Spider-Man: No Way Home", "Spider Man – No Way Home"),
        ("Will & Grace", "Will and Grace"),
        ("Ame\u0301lie", "Am\u00e9lie"),
        ("A Quiet Place", "Quiet Place"),
    ],
)
def test_names_differ_in_how_they_are_written(name: str, other: str) -> None:
    assert name_key(name, "film", 2000) == name_key(other, "film", 2000) != None  # noqa: E711


@pytest.mark.parametrize(
    ("one", "other"),
    [
        (("Dune", "film", 1984), ("Dune", "film", 2021)),
        (("Dune", "film", 2021), ("Dune", "film", 2022)),
        (("Fargo", "film", 1996), ("Fargo", "show", 1996)),
        (("Alien", "film", 1979), ("Aliens", "film", 1979)),
        (("Amélie", "film", 2001), ("Amelie", "film", 2001)),
        (("???", "film", 2001), ("!!!", "film", 2001)),
    ],
)
def test_remakes_namesakes_and_neighbours_in_time_are_told_apart(one: Any, other: Any) -> None:
    assert name_key(*one) != name_key(*other)


@pytest.mark.parametrize("told", [(None, "film", 1979), ("It", None, 1979), ("It", "film", None)])
def test_half_a_name_is_none(told: Any) -> None:
    assert name_key(*told) is None


# ---------------------------------------------------------------- in no order

some_records = st.lists(
    st.builds(
        Told,
        title_id=st.integers(0, 11).map("t_{}".format),
        source=st.sampled_from("abcd"),
        first_at=st.integers(0, 3),
        described=st.booleans(),
        name=st.sampled_from([None, "film 1979 alien", "film 1995 heat"]),
        ids=st.frozensets(st.sampled_from(["imdb:1", "imdb:2", "tmdb:1", "trakt:1"]), max_size=2),
    ),
    unique_by=lambda record: record.title_id,
    max_size=12,
)


@given(some_records, st.randoms(use_true_random=False))
def test_the_order_of_arrival_changes_nothing(records: list[Told], chance: random.Random) -> None:
    shuffled = list(records)
    chance.shuffle(shuffled)
    assert resolve(shuffled) == resolve(records)


@given(some_records)
def test_each_description_is_in_one_identity_and_none_has_two_of_a_source_by_name_alone(
    records: list[Told],
) -> None:
    identities = resolve(records)
    members = [one for identity in identities for one in identity.reasons]
    assert len(members) == len(set(members))
    assert {one.title_id for one in records if one.described} <= set(members)
    by_id = {record.title_id: record for record in records}
    for identity in identities:
        named = [
            by_id[one].source
            for one, reason in identity.reasons.items()
            if reason.startswith("kind") and not by_id[one].ids
        ]
        assert len(named) == len(set(named))
        assert by_id[identity.title_id].described


@given(some_records, some_records)
def test_what_shares_nothing_with_a_title_changes_nothing_of_it(
    records: list[Told], others: list[Told]
) -> None:
    strangers = [
        Told(f"x_{n}", one.source, 0, True, None, frozenset()) for n, one in enumerate(others)
    ]
    alone = resolve(records)
    assert [one for one in resolve([*records, *strangers]) if one in alone] == alone
