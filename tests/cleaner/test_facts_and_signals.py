"""Facts and signals: checked, each event in a table once, whatever dies in between."""

from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from typing import Any, Protocol

import pytest

from trending_shared.errors import StoreUnavailable
from trending_shared.events import DayCount, RecordRejected, SignalCleaned
from trending_shared.messages import Position
from trending_shared.testing import a_facts_scraped, a_page, a_signal_scraped, delivered

NOON = datetime(2026, 11, 1, 12, tzinfo=UTC)
TODAY = date(2026, 11, 20)  # by the cleaner's clock


class House(Protocol):
    """The fixture of `conftest`."""

    cleaner: Any
    tables: dict[str, Any]

    def restart(self) -> None: ...
    def rows(self, name: str) -> list[dict[str, Any]]: ...
    def count(self, metric: str, **labels: str) -> float: ...


def some_facts(offset: int = 0, *, day: int = 0, **raw: Any) -> Any:
    page = a_page(fetched_at=NOON + timedelta(days=day))
    return delivered(a_facts_scraped(page=page, **raw), offset=offset)


def a_signal(offset: int = 0, **changes: Any) -> Any:
    return delivered(a_signal_scraped(**changes), offset=offset)


def views(*counts: int, last: date = date(2026, 10, 31)) -> tuple[DayCount, ...]:
    days = reversed(range(len(counts)))
    return tuple(
        DayCount(day=last - timedelta(ago), count=n) for ago, n in zip(days, counts, strict=True)
    )


def reasons(answers: list[Any]) -> list[str]:
    return [
        answer.event.reason if isinstance(answer.event, RecordRejected) else "cleaned"
        for answer in answers
    ]


# ---------------------------------------------------------------- facts


def test_facts_need_no_plot_and_are_a_row_under_the_id_of_their_title(house: House) -> None:
    assert house.cleaner.on_facts_scraped([some_facts(rating="8.5/10")]) == []
    (row,) = house.rows("facts")
    assert (row["name"], row["kind"], row["year"], row["rating"]) == ("Alien", "film", 1979, 0.85)
    assert row["external_ids"] == [
        "imdb:tt0078748",
        "wikidata:Q103569",
        "wikipedia:en:Alien_(film)",
    ]
    assert row["title_id"].startswith("t_")


def test_facts_may_lack_anything_but_a_way_to_recognise_their_title(house: House) -> None:
    bare: dict[str, Any] = {"name": None, "kind": None, "year": None}
    batch = [
        some_facts(0, source_id="1", source="imdb", **bare, rating="8/10"),
        some_facts(1, source_id="2", source="imdb", **bare, external_ids={"imdb": "2"}),
        some_facts(2, source_id="3", kind="episode"),
        some_facts(3, source_id="4", year="1066"),
    ]
    assert reasons(house.cleaner.on_facts_scraped(batch)) == [
        *("FactsMissing", "KindUnknown", "YearImplausible")
    ]
    assert [row["source_id"] for row in house.rows("facts")] == ["1"]
    assert {row["record"] for row in house.rows("rejects")} == {"facts"}
    assert house.count("rejected_total", record="facts", reason="FactsMissing") == 1
    assert house.count("cleaned_total", record="facts") == 1


def test_facts_have_versions_as_titles_have(house: House) -> None:
    batch = [
        some_facts(0, day=0, year="1979"),
        some_facts(1, day=2, year="1979"),
        some_facts(2, day=1, year="1980"),
        some_facts(3, day=3, year="1980"),
    ]
    for _ in range(2):
        assert reasons(house.cleaner.on_facts_scraped(batch)) == ["DuplicateFacts", "OutdatedFacts"]
        house.restart()
    assert [row["year"] for row in house.rows("facts")] == [1979, 1980]
    assert len(house.rows("rejects")) == 2


# ---------------------------------------------------------------- signals


def test_a_signal_is_one_row_and_one_event_without_what_cannot_be(house: House) -> None:
    counts = (
        *views(7, 5120),
        DayCount(day=TODAY + timedelta(1), count=9),
        DayCount(day=date(2026, 10, 29), count=10**40),
    )
    (answer,) = house.cleaner.on_signals_scraped([a_signal(counts=counts)])
    assert isinstance(answer.event, SignalCleaned)
    assert answer.event.counts == views(7, 5120)
    (row,) = house.rows("signals")
    assert row["external_ids"] == ["wikipedia:en:Alien_(film)"]
    assert row["counts"] == [item.model_dump() for item in views(7, 5120)]
    assert (row["subject_id"], row["metric"]) == (answer.event.subject_id, "pageviews")


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"external_ids": {}}, "SubjectUnknown"),
        ({"external_ids": {"imdb": "78748"}}, "SubjectUnknown"),
        ({"metric": "page views\n"}, "MetricUnknown"),
        ({"counts": ()}, "CountsMissing"),
        ({"counts": (DayCount(day=date(2030, 1, 1), count=1),)}, "CountsMissing"),
    ],
)
def test_a_bad_signal_is_rejected_by_name_and_counted_and_its_neighbours_stay(
    house: House, changes: dict[str, Any], reason: str
) -> None:
    batch = [a_signal(0), a_signal(1, **changes), a_signal(2, source_id="en:Heat")]
    answers = house.cleaner.on_signals_scraped(batch)
    assert reasons(answers) == ["cleaned", reason, "cleaned"]
    assert [row["reason"] for row in house.rows("rejects")] == [reason]
    assert house.count("rejected_total", record="signal", reason=reason) == 1
    assert house.count("cleaned_total", record="signal") == 2


def test_windows_of_one_subject_are_all_kept_whichever_comes_first(house: House) -> None:
    late, early = a_signal(0, counts=views(9)), a_signal(1, counts=views(1, 2, 3))
    assert reasons(house.cleaner.on_signals_scraped([late, early])) == ["cleaned", "cleaned"]
    assert len(house.rows("signals")) == 2


def test_a_signal_that_comes_again_gets_the_same_answer_and_no_second_row(house: House) -> None:
    batch = [a_signal(0), a_signal(1, metric="?"), a_signal(2, source_id="en:Heat")]
    first = house.cleaner.on_signals_scraped(batch)
    house.restart()
    retried = [
        replace(message, position=Position("signals-scraped-cleaner-retry-10s", 0, n))
        for n, message in enumerate(batch)
    ]
    again = [
        *house.cleaner.on_signals_scraped(retried[:1]),
        *house.cleaner.on_signals_scraped(retried[1:] + retried),
    ]
    assert again == first + first
    assert len(house.rows("signals")) == 2
    assert len(house.rows("rejects")) == 1


def test_a_signal_whose_row_was_not_stored_is_as_unknown_as_before(house: House) -> None:
    house.tables["signals"].down = True
    with pytest.raises(StoreUnavailable):
        house.cleaner.on_signals_scraped([a_signal()])
    house.tables["signals"].down = False
    assert reasons(house.cleaner.on_signals_scraped([a_signal()])) == ["cleaned"]
    assert len(house.rows("signals")) == 1
