"""Batches in, events and rows out: each record once, whatever dies in between."""

import random
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any, Protocol
from uuid import UUID

import pytest
from prometheus_client import CollectorRegistry

from trending_cleaner.cleaner import Cleaner
from trending_cleaner.erasing import Eraser
from trending_cleaner.handlers import register_handlers
from trending_cleaner.pages import Pages
from trending_cleaner.validation import Limits
from trending_shared.delivery import Consumer
from trending_shared.errors import BatchUnfit, BrokerUnavailable, StoreUnavailable
from trending_shared.events import (
    DayCount,
    RecordRejected,
    ReviewCleaned,
    TitleCleaned,
    TitleMerged,
    TitleScraped,
)
from trending_shared.messages import Message, Position
from trending_shared.testing import (
    CollectingPublisher,
    a_page,
    a_review_scraped,
    a_title_scraped,
    delivered,
)

NOON = datetime(2026, 11, 1, 12, tzinfo=UTC)
PLOTS = [
    "The crew of a freighter answers a call from a silent moon.",
    "A thief plans his last robbery, and a detective waits for it.",
    "Two rival cooks have to share a kitchen for one long winter.",
]


class House(Protocol):
    """The fixture of `conftest`."""

    cleaner: Cleaner
    pages: Pages
    eraser: Eraser
    tables: dict[str, Any]
    limits: Limits

    def restart(self) -> None: ...
    def take_titles(self, messages: Sequence[Message[TitleScraped]]) -> list[Message[Any]]: ...
    def rows(self, name: str) -> list[dict[str, Any]]: ...
    def count(self, metric: str, **labels: str) -> float: ...


def a_title(source_id: str = "alien-1979", *, day: int = 0, offset: int = 0, **raw: Any) -> Any:
    page = a_page(fetched_at=NOON + timedelta(days=day))
    return delivered(a_title_scraped(source_id=source_id, page=page, **raw), offset=offset)


def reasons(answers: Sequence[Message[Any]]) -> list[str]:
    return [
        answer.event.reason if isinstance(answer.event, RecordRejected) else "cleaned"
        for answer in answers
    ]


def ids(answers: Sequence[Message[Any]]) -> list[UUID]:
    return [answer.id for answer in answers]


# ---------------------------------------------------------------- one batch


def test_every_record_leads_to_one_event_in_order_and_to_one_row(house: House) -> None:
    batch = [
        a_title("alien-1979", offset=0),
        a_title("nameless", offset=1, name=None),
        a_title("heat-1995", offset=2, year="1066"),
        a_title("alien-1979", offset=3),
        a_title("brazil-1985", offset=4),
    ]
    answers = house.take_titles(batch)
    assert [answer.causation_id for answer in answers] == [message.id for message in batch]
    assert reasons(answers) == [
        *("cleaned", "NameMissing", "YearImplausible", "DuplicateTitle", "cleaned")
    ]
    assert [row["source_id"] for row in house.rows("titles")] == ["alien-1979", "brazil-1985"]
    assert {row["event_id"]: row["reason"] for row in house.rows("rejects")} == {
        str(batch[1].id): "NameMissing",
        str(batch[2].id): "YearImplausible",
        str(batch[3].id): "DuplicateTitle",
    }


def test_a_titles_row_holds_all_of_its_event_and_where_it_came_from(house: House) -> None:
    message = a_title(
        popularity=(DayCount(day=date(2026, 10, 31), count=3),),
        rating="8/10",
        external_ids={"imdb": "tt0078748", "wikipedia": "en:Alien (film)", "tvmaze": "none"},
    )
    (answer,) = house.take_titles([message])
    event = answer.event
    assert isinstance(event, TitleCleaned)
    (row,) = house.rows("titles")
    assert row == {
        **event.model_dump(exclude={"page"}),
        "genres": list(event.genres),
        "unknown_genres": [],
        "genre_confidence": [1.0, 1.0],
        "warnings": [],
        "countries": ["United Kingdom", "United States"],
        "popularity": [{"day": date(2026, 10, 31), "count": 3}],
        "external_ids": ["imdb:tt0078748", "wikipedia:en:Alien_(film)"],
        "page_url": event.page.url,
        "page_hash": event.page.hash,
        "page_key": event.page.key,
        "fetched_at": NOON,
        "event_id": str(message.id),
        "correlation_id": str(message.correlation_id),
        "code_version": "1.2.3",
    }


def test_a_reviews_row_holds_all_of_its_event_and_nothing_personal(house: House) -> None:
    message = delivered(a_review_scraped(text="Ask jane@mail.example about the ending."))
    (answer,) = house.cleaner.on_reviews_scraped([message])
    event = answer.event
    assert isinstance(event, ReviewCleaned)
    (row,) = house.rows("reviews")
    assert row["text"] == event.text == "Ask [email] about the ending."
    assert row | event.model_dump(exclude={"page"}) | {"warnings": []} == row
    assert (row["page_key"], row["event_id"]) == (event.page.key, str(message.id))
    assert house.count("personal_data_total", kind="email") == 1


def test_a_reject_says_which_record_of_which_page_it_was_and_why(house: House) -> None:
    message = a_title(year="1066")
    (answer,) = house.take_titles([message])
    event = answer.event
    assert isinstance(event, RecordRejected)
    assert event.detail == "year '1066' isn't between 1888 and 2029"
    (row,) = house.rows("rejects")
    assert (row["record"], row["source"], row["source_id"]) == ("title", "demo", "alien-1979")
    assert (row["reason"], row["detail"]) == ("YearImplausible", event.detail)
    assert (row["page_key"], row["fetched_at"]) == (event.page.key, NOON)
    assert row["rejected_at"] == datetime(2026, 11, 20, 12, tzinfo=UTC)


def test_a_hostile_page_does_no_harm_to_its_neighbours(house: House) -> None:
    counts = (DayCount(day=date(2026, 10, 31), count=10**40),)
    batch = [
        a_title("a", offset=0, name="\u202e<b>\x00Evil &amp;lt;script&amp;gt;", popularity=counts),
        a_title("b", offset=1, rating_count="9" * 5000, runtime="P" + "9" * 5000 + "D"),
        a_title("c", offset=2, genres=tuple("x" * n for n in range(400)), language="\x00" * 400),
        a_title("d", offset=3),
    ]
    assert reasons(house.take_titles(batch)) == ["cleaned"] * 4
    assert len(house.rows("titles")) == 4


# ---------------------------------------------------------------- versions


def test_a_changed_title_is_a_new_row_and_the_same_one_again_a_duplicate(house: House) -> None:
    batch = [
        a_title(day=0, offset=0, plot=PLOTS[0]),
        a_title(day=1, offset=1, plot=PLOTS[1]),
        a_title(day=2, offset=2, plot=PLOTS[1]),
        a_title(day=3, offset=3, plot=PLOTS[0]),
    ]
    answers = [house.take_titles([message])[0] for message in batch]
    assert reasons(answers) == ["cleaned", "cleaned", "DuplicateTitle", "cleaned"]
    assert [row["plot"] for row in house.rows("titles")] == [PLOTS[0], PLOTS[1], PLOTS[0]]


def test_an_old_record_that_comes_late_is_outdated(house: House) -> None:
    house.take_titles([a_title(day=1, offset=1, plot=PLOTS[1])])
    late = house.take_titles([a_title(day=0, offset=0, plot=PLOTS[0])])
    assert reasons(late) == ["OutdatedTitle"]
    assert [row["plot"] for row in house.rows("titles")] == [PLOTS[1]]


def test_what_a_duplicate_confirmed_is_known_to_the_next_process(house: House) -> None:
    house.take_titles([a_title(day=0, offset=0, plot=PLOTS[0])])
    house.take_titles([a_title(day=2, offset=1, plot=PLOTS[0])])
    house.restart()
    late = house.take_titles([a_title(day=1, offset=2, plot=PLOTS[1])])
    assert reasons(late) == ["OutdatedTitle"]


def test_what_another_process_appended_is_known(house: House) -> None:
    first = house.cleaner
    house.restart()
    house.take_titles([a_title(offset=0)])
    assert reasons(first.on_titles_scraped([a_title(day=1, offset=1)])) == ["DuplicateTitle"]


def test_a_review_that_changed_is_a_new_row_and_the_same_one_again_a_duplicate(
    house: House,
) -> None:
    batch = [
        delivered(a_review_scraped(review_source_id="r1"), offset=0),
        delivered(a_review_scraped(review_source_id="r1"), offset=1),
        delivered(a_review_scraped(review_source_id="r1", text="Loud."), offset=2),
        delivered(a_review_scraped(review_source_id="r2", text="Silent."), offset=3),
    ]
    answers = house.cleaner.on_reviews_scraped(batch)
    assert reasons(answers) == ["cleaned", "DuplicateReview", "cleaned", "cleaned"]
    assert len(house.rows("reviews")) == 3


# ---------------------------------------------------------------- whatever dies


def test_a_batch_cut_differently_after_a_crash_gets_the_same_answers_and_no_row_twice(
    house: House,
) -> None:
    batch = [
        a_title("alien-1979", offset=0),
        a_title("alien-1979", offset=1),
        a_title("heat-1995", offset=2, plot="short"),
        a_title("heat-1995", offset=3),
        a_title("alien-1979", offset=4, day=1, plot=PLOTS[1]),
    ]
    first = house.take_titles(batch)
    titles, rejects = house.rows("titles"), house.rows("rejects")
    assert (len(titles), len(rejects)) == (3, 2)
    house.restart()  # it died before anything was published
    more = a_title("brazil-1985", offset=5)
    again = [
        *house.take_titles(batch[:2]),
        *house.take_titles([*batch[2:], more]),
    ]
    assert [(answer.id, answer.event) for answer in again[:5]] == [
        (answer.id, answer.event) for answer in first
    ]
    assert house.rows("rejects") == rejects
    assert [row for row in house.rows("titles") if row["event_id"] != str(more.id)] == titles
    assert len(house.rows("titles")) == 4


@pytest.mark.parametrize("cut", [1, 2, 3])
def test_dying_between_the_two_tables_changes_nothing(house: House, cut: int) -> None:
    batch = [
        a_title(day=0, offset=0, plot=PLOTS[0]),
        a_title(day=4, offset=1, plot=PLOTS[0]),
        a_title(day=2, offset=2, plot=PLOTS[1]),
        a_title(day=6, offset=3, plot=PLOTS[2]),
    ]
    house.tables["rejects"].down = True
    with pytest.raises(StoreUnavailable):
        house.take_titles(batch)
    assert len(house.rows("titles")) == 2
    house.restart()
    answers = [
        *house.take_titles(batch[:cut]),
        *house.take_titles(batch[cut:]),
    ]
    assert reasons(answers) == ["cleaned", "DuplicateTitle", "OutdatedTitle", "cleaned"]
    assert len(house.rows("titles")) == 2
    assert len(house.rows("rejects")) == 2


def test_a_batch_whose_rows_were_not_stored_is_as_unknown_as_before(house: House) -> None:
    house.tables["titles"].down = True
    with pytest.raises(StoreUnavailable):
        house.take_titles([a_title(offset=0)])
    house.tables["titles"].down = False
    assert reasons(house.take_titles([a_title(offset=0)])) == ["cleaned"]
    assert len(house.rows("titles")) == 1


def test_the_same_event_published_twice_by_its_sender_is_one_row(house: House) -> None:
    batch = [a_title("alien-1979", offset=0), a_title("heat-1995", offset=1, name=None)]
    twice = [
        replace(message, position=Position("titles-scraped", 0, 2 + n))
        for n, message in enumerate(batch)
    ]
    retried = [
        replace(message, position=Position("titles-scraped-cleaner-retry-10s", 0, n))
        for n, message in enumerate(batch)
    ]
    first = house.take_titles([*batch, *twice])
    house.restart()
    second = house.take_titles(retried)
    assert ids(first) == ids(second) * 2
    assert len(house.rows("titles")) == 1
    assert len(house.rows("rejects")) == 1


@dataclass
class Record:
    """The attributes of a consumer record that delivery reads."""

    offset: int
    value: bytes
    headers: Sequence[tuple[str, bytes]]
    topic: str = "titles-scraped"
    partition: int = 0
    key: bytes = b"demo:7"


def a_record(message: Message[TitleScraped]) -> Record:
    assert message.position is not None
    headers = message.headers(source="scraper", code_version="1", now=NOON)
    return Record(message.position.offset, message.body(), headers)


async def test_a_broker_that_dies_between_append_and_publish_loses_and_doubles_nothing(
    house: House,
) -> None:
    publisher = CollectingPublisher()
    messages = [a_title(f"film-{n % 7}", day=n, plot=PLOTS[n % 3], offset=n) for n in range(20)]
    messages[5] = a_title("film-5", offset=5, name=None)
    records = [a_record(message) for message in messages]

    def a_consumer() -> Consumer:
        consumer = Consumer(service="cleaner", publisher=publisher, registry=CollectorRegistry())
        register_handlers(consumer, house.cleaner, house.pages, house.eraser)
        return consumer

    publisher.down = True
    with pytest.raises(BrokerUnavailable):
        await a_consumer().deliver(records[:12])
    appended = house.rows("titles")
    assert len(appended) == 11
    publisher.down = False
    house.restart()
    consumer = a_consumer()
    for start, end in ((0, 5), (5, 15), (15, 20)):
        await consumer.deliver(records[start:end])
    judged = [one for one in publisher.messages if not isinstance(one.event, TitleMerged)]
    assert [message.causation_id for message in judged] == [m.id for m in messages]
    assert len(publisher.events(TitleCleaned)) == 19
    assert sorted(row["event_id"] for row in house.rows("titles")) == sorted(
        str(message.id) for n, message in enumerate(messages) if n != 5
    )
    assert publisher.raw == []


@pytest.mark.parametrize("seed", range(6))
def test_a_life_full_of_crashes_ends_with_one_row_and_one_answer_for_each_event(
    house: House, seed: int
) -> None:
    chance = random.Random(seed)
    stream: list[Message[TitleScraped]] = []
    for offset in range(40):
        if stream and chance.random() < 0.15:  # sent twice by a scraper that died
            earlier = chance.choice(stream)
            stream.append(replace(earlier, position=Position("titles-scraped", 0, offset)))
        else:
            plot = chance.choice([*PLOTS, "short"])
            day = offset - chance.choice([0, 0, 0, 3])  # some overtake each other
            stream.append(a_title(chance.choice("abc"), day=day, plot=plot, offset=offset))
    told: dict[UUID, Any] = {}
    committed = 0
    while committed < len(stream):
        batch = stream[committed : committed + chance.randint(1, 12)]
        house.tables["titles"].down = chance.random() < 0.15
        house.tables["rejects"].down = chance.random() < 0.15
        try:
            answers = house.take_titles(batch)
        except StoreUnavailable:
            answers = []
        published = answers[: chance.randint(0, len(answers))]
        for answer in published:
            assert told.setdefault(answer.id, answer.event) == answer.event
        if answers and published == answers:
            committed += len(batch)
        if chance.random() < 0.3:
            house.restart()
    events = {message.id for message in stream}
    causes = Counter(row["event_id"] for row in house.rows("titles") + house.rows("rejects"))
    assert causes == Counter(str(id) for id in events)
    cleaned = [event for event in told.values() if isinstance(event, TitleCleaned)]
    assert len(told) == len(events)
    assert len(cleaned) == len(house.rows("titles"))


def test_rows_that_a_table_takes_for_redelivered_are_not_lost_in_silence(house: House) -> None:
    house.take_titles([a_title("alien-1979", offset=100)])
    answers = house.take_titles([a_title("heat-1995", offset=0)])
    assert reasons(answers) == ["cleaned"]
    assert house.count("rows_refused_total", table="titles") == 1


# ---------------------------------------------------------------- bad records


@pytest.mark.parametrize(
    ("raw", "reason"),
    [
        ({"name": None}, "NameMissing"),
        ({"name": " \u200b "}, "NameMissing"),
        ({"name": "x" * 501}, "TextTooLong"),
        ({"plot": None}, "TextMissing"),
        ({"plot": "<p> </p>"}, "TextMissing"),
        ({"plot": "A short one."}, "TextMissing"),
        ({"plot": "x" * 20_001}, "TextTooLong"),
        ({"plot": "x" * 10_000_000}, "TextTooLong"),
        ({"kind": None}, "KindUnknown"),
        ({"kind": "Book"}, "KindUnknown"),
        ({"year": "1066"}, "YearImplausible"),
        ({"year": "2999"}, "YearImplausible"),
        ({"year": "19790"}, "YearImplausible"),
    ],
)
def test_a_bad_title_is_rejected_by_name_and_counted_and_its_neighbours_stay(
    house: House, raw: dict[str, Any], reason: str
) -> None:
    batch = [a_title("a", offset=0), a_title("bad", offset=1, **raw), a_title("b", offset=2)]
    answers = house.take_titles(batch)
    assert reasons(answers) == ["cleaned", reason, "cleaned"]
    assert [row["source_id"] for row in house.rows("titles")] == ["a", "b"]
    assert [(row["source_id"], row["reason"]) for row in house.rows("rejects")] == [("bad", reason)]
    assert house.count("rejected_total", record="title", reason=reason) == 1
    assert house.count("cleaned_total", record="title") == 2


@pytest.mark.parametrize(
    ("text", "reason"),
    [(None, "TextMissing"), (" … ", "TextMissing"), ("x" * 20_001, "TextTooLong")],
)
def test_a_bad_review_is_rejected_by_name_and_counted_and_its_neighbours_stay(
    house: House, text: str | None, reason: str
) -> None:
    batch = [
        delivered(a_review_scraped(review_source_id=name, text=said), offset=n)
        for n, (name, said) in enumerate([("a", "Fine."), ("bad", text), ("b", "Loud.")])
    ]
    answers = house.cleaner.on_reviews_scraped(batch)
    assert reasons(answers) == ["cleaned", reason, "cleaned"]
    assert house.count("rejected_total", record="review", reason=reason) == 1
    assert house.count("cleaned_total", record="review") == 2


def test_an_unknown_genre_is_kept_and_counted_and_rejects_nothing(house: House) -> None:
    (answer,) = house.take_titles([a_title(genres=("Horror", "Gothic space opera"))])
    assert isinstance(answer.event, TitleCleaned)
    assert answer.event.genres == ("Horror",)
    assert answer.event.unknown_genres == ("Gothic space opera",)
    assert house.count("unknown_genres_total") == 1
    assert house.rows("rejects") == []


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"headers": {"ce_id": b"\xff\xfe"}}, b"Undecodable"),
        ({"headers": {"ce_id": b"7"}}, b"Undecodable"),
        ({"headers": {"ce_time": b"yesterday"}}, b"Undecodable"),
        ({"headers": {"ce_type": b"trending.TitleScraped.v9"}}, b"UnknownEventType"),
        ({"headers": {"ce_type": b"trending.TitleCleaned.v1"}}, b"UnknownEventType"),
        ({"value": b'{"source": "demo", "source_id": "al'}, b"Undecodable"),
        ({"value": b""}, b"Undecodable"),
        ({"value": b"\x00" * 900_000}, b"Undecodable"),
    ],
)
async def test_a_bad_record_is_parked_by_name_and_counted_and_its_neighbours_are_cleaned(
    house: House, changes: dict[str, Any], reason: bytes
) -> None:
    publisher, registry = CollectingPublisher(), CollectorRegistry()
    consumer = Consumer(service="cleaner", publisher=publisher, registry=registry)
    register_handlers(consumer, house.cleaner, house.pages, house.eraser)
    records = [a_record(a_title(name, offset=n)) for n, name in enumerate(["a", "bad", "b"])]
    records[1] = replace(
        records[1],
        value=changes.get("value", records[1].value),
        headers=list((dict(records[1].headers) | changes.get("headers", {})).items()),
    )
    await consumer.deliver(records)
    assert [event.source_id for event in publisher.events(TitleCleaned)] == ["a", "b"]
    ((topic, _, value, headers),) = publisher.raw
    assert (topic, value) == ("titles-scraped-cleaner-dlq", records[1].value)
    assert headers["trending-reason"] == reason
    for outcome, count in (("handled", 2), ("parked", 1)):
        labels = {"topic": "titles-scraped", "outcome": outcome}
        assert registry.get_sample_value("trending_events_consumed_total", labels) == count


def test_a_batch_of_which_too_much_is_bad_is_refused_and_nothing_is_written(
    house: House,
) -> None:
    house.limits = Limits(share=0.5, records=10)
    house.restart()
    good = [a_title(f"good-{n}", offset=n) for n in range(4)]
    bad = [a_title(f"bad-{n}", offset=4 + n, name=None) for n in range(6)]
    elsewhere = [
        replace(message, position=Position("titles-scraped", 1, n)) for n, message in enumerate(bad)
    ]
    with pytest.raises(BatchUnfit) as unfit:
        house.cleaner.on_titles_scraped([*good, *bad, *elsewhere])
    assert unfit.value.partitions == {
        ("titles-scraped", 0): "6 of 10 records are errors: NameMissing 60%"
    }
    assert house.rows("titles") == house.rows("rejects") == []
    assert house.count("rejected_total", record="title", reason="NameMissing") == 0
    house.limits = Limits(share=1, records=10)  # whoever looked at them says so
    house.restart()
    assert reasons(house.cleaner.on_titles_scraped([*good, *bad])).count("NameMissing") == 6


def test_records_that_are_known_already_are_not_bad(house: House) -> None:
    house.limits = Limits(share=0.1, records=5)
    house.restart()
    for turn in range(3):
        batch = [a_title(f"film-{n}", offset=10 * turn + n, day=turn) for n in range(10)]
        answers = house.cleaner.on_titles_scraped(batch)
    assert set(reasons(answers)) == {"DuplicateTitle"}


# ---------------------------------------------------------------- what is counted


def test_what_is_doubtful_stays_is_marked_and_counted(house: House) -> None:
    answer, *_ = house.cleaner.on_titles_scraped([a_title(rating="11", best_rating="10")])
    assert isinstance(answer.event, TitleCleaned)
    assert answer.event.warnings == ("RatingUnreadable",)
    assert [row["warnings"] for row in house.rows("titles")] == [["RatingUnreadable"]]
    assert house.count("warnings_total", record="title", warning="RatingUnreadable") == 1


def test_what_happened_is_counted(house: House) -> None:
    house.take_titles(
        [
            a_title("a", offset=0, genres=("Horror", "Gothic space opera")),
            a_title("a", offset=1, genres=("Horror", "Gothic space opera")),
            a_title("b", offset=2, kind="Book"),
        ]
    )
    house.cleaner.on_reviews_scraped([delivered(a_review_scraped(day="2030-01-01"))])
    assert house.count("cleaned_total", record="title") == 1
    assert house.count("rejected_total", record="title", reason="KindUnknown") == 1
    assert house.count("rejected_total", record="title", reason="DuplicateTitle") == 1
    assert house.count("duplicates_total", record="title") == 1
    assert house.count("unknown_genres_total") == 2
    assert house.count("review_dates_dropped_total") == 1
    assert house.count("rows_total", table="titles") == 1
    assert house.count("rows_total", table="rejects") == 2
    assert house.count("append_seconds_count", table="titles") == 1
    house.take_titles([a_title("c", offset=3)])
    assert house.count("known_records", record="title") == 1  # and the one that's in the table now


def test_tables_are_made_where_there_are_none(house: House, tmp_path: Path) -> None:
    house.take_titles([a_title(name=None)])
    assert house.rows("titles") == []
    assert len(house.rows("rejects")) == 1
    assert sorted(path.name for path in (tmp_path / "tables").iterdir()) == ["rejects", "titles"]
