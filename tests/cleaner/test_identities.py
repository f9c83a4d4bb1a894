"""Records of one title are merged, and said so once, whoever takes them and whatever dies."""

import random
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any, Protocol
from uuid import UUID

import pytest

from trending_shared.errors import StoreUnavailable
from trending_shared.events import TitleMerged, TitleScraped
from trending_shared.messages import Message, Position
from trending_shared.testing import a_facts_scraped, a_page, a_title_scraped, delivered

NOON = datetime(2026, 11, 1, 12, tzinfo=UTC)
PLOTS = [
    "The crew of a freighter answers a call from a silent moon.",
    "A thief plans his last robbery, and a detective waits for it.",
    "Two rival cooks have to share a kitchen for one long winter.",
]


class House(Protocol):
    """The fixture of `conftest`."""

    cleaner: Any
    tables: dict[str, Any]

    def restart(self) -> None: ...
    def rows(self, name: str) -> list[dict[str, Any]]: ...
    def count(self, metric: str, **labels: str) -> float: ...


def a_title(source: str, source_id: str, *, day: float = 0, offset: int = 0, **raw: Any) -> Any:
    page = a_page(fetched_at=NOON + timedelta(days=day))
    event = a_title_scraped(source_id=source_id, page=page, **raw)
    return delivered(event.model_copy(update={"source": source}), offset=offset)


def some_facts(source: str, source_id: str, *, offset: int = 0, **raw: Any) -> Any:
    event = a_facts_scraped(source=source, source_id=source_id, page=a_page(fetched_at=NOON), **raw)
    return delivered(event, offset=offset)


def merged(answers: list[Message[Any]]) -> list[TitleMerged]:
    return [answer.event for answer in answers if isinstance(answer.event, TitleMerged)]


def sources(event: TitleMerged) -> list[str]:
    return sorted(member.source for member in event.members)


# ---------------------------------------------------------------- what is said


def test_a_title_alone_is_merged_of_itself(house: House) -> None:
    (event,) = merged(house.cleaner.on_titles_scraped([a_title("a", "alien")]))
    (member,) = event.members
    assert (member.title_id, member.reason, member.described) == (event.title_id, "alone", True)
    assert (event.name, event.plot[:8], event.absorbed_ids) == ("Alien", "The crew", ())
    assert set(event.provenance.values()) == {event.title_id}


def test_a_second_source_fills_in_what_the_first_lacks(house: House) -> None:
    first = a_title("a", "alien", runtime=None, genres=("Horror",), rating="6/10", rating_count="9")
    second = a_title(
        *("b", "7"), day=1, offset=1, genres=("Drama",), plot=PLOTS[1], rating="8/10",
        rating_count="10",
    )  # fmt: skip
    (alone,) = merged(house.cleaner.on_titles_scraped([first]))
    (event,) = merged(house.cleaner.on_titles_scraped([second]))
    own, other = alone.title_id, event.absorbed_ids[0]
    assert event.title_id == own
    assert [member.reason for member in event.members] == [
        f"kind, name and year of {one}"
        for one in reversed([member.title_id for member in event.members])
    ]
    assert (event.plot, event.runtime_minutes, event.rating) == (alone.plot, 117, 0.8)
    assert event.genres == ("Drama", "Horror")
    assert event.provenance["plot"] == event.provenance["genres.Horror"] == own
    assert event.provenance["runtime_minutes"] == event.provenance["rating"] == other
    assert event.provenance["genres.Drama"] == other
    assert event.resolution > alone.resolution


def test_facts_join_and_complete_what_describes_a_title(house: House) -> None:
    house.cleaner.on_titles_scraped(
        [
            a_title("a", "1", offset=0, external_ids={"imdb": "tt0078748"}),
            a_title("b", "2", offset=1, name="Alien – das unheimliche Wesen", year=None, day=1),
            a_title("tvmaze", "99", offset=2, name="Other", day=2),
        ]
    )
    (event,) = merged(
        house.cleaner.on_facts_scraped(
            [some_facts("wikidata", "Q1", external_ids={"imdb": "tt0078748", "tvmaze": "99"})]
        )
    )
    assert sources(event) == ["a", "tvmaze", "wikidata"]
    assert len(event.absorbed_ids) == 1
    assert event.external_ids == ("imdb:tt0078748", "tvmaze:99", "wikidata:Q1")
    assert event.licenses == ("CC0-1.0", "LicenseRef-trending-demo")


def test_facts_that_nobody_describes_are_no_title_yet(house: House) -> None:
    facts = some_facts("wikidata", "Q1", external_ids={"imdb": "tt0078748"})
    assert house.cleaner.on_facts_scraped([facts]) == []
    (event,) = merged(
        house.cleaner.on_titles_scraped([a_title("a", "1", external_ids={"imdb": "tt0078748"})])
    )
    assert sources(event) == ["a", "wikidata"]


def test_what_changes_nothing_is_not_said_again(house: House) -> None:
    house.cleaner.on_titles_scraped([a_title("a", "1", offset=0)])
    assert merged(house.cleaner.on_titles_scraped([a_title("b", "2", offset=1, name="Heat")]))
    again = house.cleaner.on_titles_scraped([a_title("a", "1", offset=2, day=1)])
    assert merged(again) == []
    assert len(house.rows("merged")) == 2


def test_a_title_that_turns_out_to_be_another_is_parted_again(house: House) -> None:
    house.cleaner.on_titles_scraped([a_title("a", "1", offset=0), a_title("b", "2", offset=1)])
    parted = merged(
        house.cleaner.on_titles_scraped([a_title("b", "2", offset=2, day=1, year="1986")])
    )
    assert [sources(event) for event in sorted(parted, key=sources)] == [["a"], ["b"]]
    assert [event.absorbed_ids for event in parted] == [(), ()]


# ---------------------------------------------------------------- whatever dies


def test_what_was_said_is_said_again_when_its_cause_comes_again(house: House) -> None:
    batch = [a_title("a", "1", offset=0), a_title("b", "2", offset=1), a_title("a", "3", offset=2)]
    first = house.cleaner.on_titles_scraped(batch)
    house.restart()
    again = [
        *house.cleaner.on_titles_scraped(batch[:2]),
        *house.cleaner.on_titles_scraped(batch[2:]),
    ]
    assert {answer.id: answer.event for answer in again} == {
        answer.id: answer.event for answer in first
    }


def test_a_parting_that_was_not_published_is_published_with_its_cause(house: House) -> None:
    house.cleaner.on_titles_scraped([a_title("a", "1", offset=0), a_title("b", "2", offset=1)])
    change = a_title("b", "2", offset=2, day=1, year="1986")
    first = house.cleaner.on_titles_scraped([change])  # and dies
    house.restart()
    assert house.cleaner.on_titles_scraped([change]) == first


def test_dying_before_the_merged_row_is_made_up_for(house: House) -> None:
    batch = [a_title("a", "1", offset=0), a_title("b", "2", offset=1)]
    house.tables["merged"].down = True
    with pytest.raises(StoreUnavailable):
        house.cleaner.on_titles_scraped(batch)
    house.restart()
    (event,) = merged(house.cleaner.on_titles_scraped(batch[:1]))
    assert sources(event) == ["a", "b"]


def test_of_two_cleaners_the_later_one_sees_what_both_took(house: House) -> None:
    first = house.cleaner
    house.restart()
    house.cleaner.on_titles_scraped([a_title("b", "2", offset=0)])
    (event,) = merged(first.on_titles_scraped([a_title("a", "1", offset=1)]))
    assert sources(event) == ["a", "b"]


def test_what_was_said_knowing_less_does_not_hold_over_what_was_said_knowing_more(
    house: House,
) -> None:
    batch = [a_title("a", "1", offset=0), a_title("b", "2", offset=1)]
    house.cleaner.on_titles_scraped(batch)
    (row,) = house.rows("merged")
    late = {**row, "resolution": row["resolution"] - 1, "content_hash": "0" * 16}
    house.tables["merged"].append([(None, late)])
    house.restart()
    assert merged(house.cleaner.on_titles_scraped([a_title("c", "3", offset=2)]))
    assert house.rows("merged")[-1]["absorbed_ids"]


def the_last(events: list[TitleMerged]) -> dict[str, TitleMerged]:
    """What a reader holds true who goes by resolutions, by title."""
    held: dict[str, TitleMerged] = {}
    for event in sorted(events, key=lambda event: event.resolution):
        for absorbed in event.absorbed_ids:
            held.pop(absorbed, None)
        held[event.title_id] = event
    return held


@pytest.mark.parametrize("seed", range(4))
def test_after_any_life_what_was_said_last_is_what_one_quiet_batch_says(
    house: House, seed: int, tmp_path_factory: pytest.TempPathFactory
) -> None:
    chance = random.Random(seed)
    stream: list[Message[TitleScraped]] = []
    for offset in range(30):
        ids = {"imdb": f"tt000000{chance.randint(1, 3)}"} if chance.random() < 0.4 else {}
        title = a_title(
            chance.choice("abc"),
            str(chance.randint(1, 3)),
            day=offset,
            offset=offset,
            name=chance.choice(["Alien", "Heat"]),
            external_ids=ids,
        )
        stream.append(title)
    said: dict[UUID, TitleMerged] = {}
    committed = 0
    while committed < len(stream):
        batch = stream[committed : committed + chance.randint(1, 8)]
        house.tables["titles"].down = chance.random() < 0.1
        house.tables["merged"].down = chance.random() < 0.2
        try:
            answers = house.cleaner.on_titles_scraped(batch)
        except StoreUnavailable:
            answers = []
        published = answers[: chance.randint(0, len(answers))]
        for answer in published:
            if isinstance(answer.event, TitleMerged):
                assert said.setdefault(answer.id, answer.event) == answer.event
        if answers and published == answers:
            committed += len(batch)
        if chance.random() < 0.3:
            house.restart()
    quiet = type(house)(tmp_path_factory.mktemp("quiet").as_uri())  # type: ignore[call-arg]
    told = merged(quiet.cleaner.on_titles_scraped(stream))
    expected = {event.title_id: event.content_hash for event in told}
    held = the_last(list(said.values()))
    assert {title_id: event.content_hash for title_id, event in held.items()} == expected


def test_a_title_that_comes_through_a_retry_topic_is_said_under_the_same_id(house: House) -> None:
    (message,) = [a_title("a", "1")]
    first = house.cleaner.on_titles_scraped([message])
    retried = replace(message, position=Position("titles-scraped-cleaner-retry-10s", 0, 0))
    assert house.cleaner.on_titles_scraped([retried]) == first
    assert len(house.rows("merged")) == 1
