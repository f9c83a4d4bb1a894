"""What the cleaner erases from its tables, what it says anew, and what it takes no more."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from trending_cleaner.erasing import kept_rows
from trending_shared.clock import FrozenClock
from trending_shared.erasures import Erasure, lift_erasure, names_of, write_erasure
from trending_shared.events import (
    RecordRejected,
    RecordsDeleted,
    RecordsErased,
    ReviewCleaned,
    TitleMerged,
)
from trending_shared.messages import Message
from trending_shared.retention import Retention
from trending_shared.storage import ObjectStore
from trending_shared.testing import (
    CollectingPublisher,
    a_page,
    a_review_scraped,
    a_title_scraped,
    delivered,
)

House = Any  # the fixture of `conftest`
MOTH, OWL = "ab" * 32, "cd" * 32
SAID = "I have seen it four times and the last hour is better each time I see it."
URL = "http://films.example/titles/alien-1979"
OTHER = "http://other.example/alien"


def erasure(house: House, kind: Any = "author", **names: Any) -> Message[RecordsErased]:
    """What the scraper answers when it has done its part."""
    told = {name: names_of(values) for name, values in names.items()}
    asked = Erasure(
        erasure_id="e1",
        kind=kind,
        asked_at=datetime(2026, 11, 20, tzinfo=UTC),
        asked_by="test",
        reason="a test",
        **told,
    )
    write_erasure(ObjectStore.at(house.url), asked)
    return delivered(RecordsErased(erasure_id="e1", service="scraper", counts={}))


def reviews(house: House, *scraped: Any, first: int = 0) -> list[Message[Any]]:
    messages = [delivered(one, offset=first + n) for n, one in enumerate(scraped)]
    return list(house.cleaner.on_reviews_scraped(messages))


def test_an_authors_reviews_go_and_what_others_said_stays(house: House) -> None:
    reviews(house, a_review_scraped(author_hash=MOTH), a_review_scraped(text=SAID, position=1))
    before = house.rows("reviews")
    [answer] = house.eraser.on_records_erased(erasure(house, subjects=[MOTH]))
    assert isinstance(answer.event, RecordsErased)
    assert answer.event.service == "cleaner"
    assert answer.event.counts["tables/reviews"] == 1
    assert house.rows("reviews") == [row for row in before if row["author_hash"] == OWL]


def test_what_comes_by_an_erased_author_is_taken_no_more_until_that_is_lifted(
    house: House,
) -> None:
    asked = erasure(house, subjects=[MOTH])
    review = a_review_scraped(author_hash=MOTH)
    assert reviews(house, review) == []
    assert house.rows("reviews") == house.rows("rejects") == []
    assert house.count("erased_total", record="review") == 1
    lift_erasure(ObjectStore.at(house.url), asked.event.erasure_id)
    [answer] = reviews(house, review, first=1)
    assert isinstance(answer.event, ReviewCleaned)


def test_a_review_that_repeated_an_erased_one_is_the_first_to_say_it_now(house: House) -> None:
    copied = a_review_scraped(text=f"{SAID} Truly.", position=1)
    first, second = reviews(house, a_review_scraped(author_hash=MOTH, text=SAID), copied)
    assert isinstance(second.event, RecordRejected)
    house.eraser.on_records_erased(erasure(house, subjects=[MOTH], records=[first.event.review_id]))
    assert house.rows("rejects") == []
    [again] = reviews(house, copied, first=2)
    assert isinstance(again.event, ReviewCleaned)


def test_a_title_that_another_source_tells_of_too_keeps_what_that_said(house: House) -> None:
    ids = {"imdb": "tt0078748"}
    mine = a_title_scraped(external_ids=ids, page=a_page(url=URL))
    other = a_title_scraped(
        external_ids=ids, page=a_page(url=OTHER), plot="A crew finds something on a moon."
    ).model_copy(update={"source": "tvmaze", "source_id": "7"})
    said = house.cleaner.on_titles_scraped([delivered(mine), delivered(other, offset=1)])
    (title_id,) = {one.event.title_id for one in said if getattr(one.event, "source", "") == "demo"}
    asked = erasure(house, kind="page", subjects=[URL], titles=[title_id])

    first = house.eraser.on_records_erased(asked)
    again = house.eraser.on_records_erased(asked)  # as after a kill that left it unanswered

    for answers in (first, again):
        [merged] = [one.event for one in answers if isinstance(one.event, TitleMerged)]
        assert [member.source for member in merged.members] == ["tvmaze"]
        assert merged.plot == "A crew finds something on a moon."
    assert [one.id for one in first] == [one.id for one in again]
    assert [row["source"] for row in house.rows("titles")] == ["tvmaze"]
    [row] = house.rows("merged")
    assert title_id not in {row["title_id"], *(member["title_id"] for member in row["members"])}


def test_it_waits_for_the_scraper(house: House) -> None:
    reviews(house, a_review_scraped(author_hash=MOTH))
    asked = erasure(house, subjects=[MOTH])
    other = asked.event.model_copy(update={"service": "featurizer"})
    assert house.eraser.on_records_erased(delivered(other)) == []
    assert len(house.rows("reviews")) == 1


@pytest.mark.parametrize(("days", "left"), [(99, 2), (101, 1), (120, 0)])
async def test_rows_are_deleted_after_the_time_they_are_kept(
    house: House, days: int, left: int
) -> None:
    now = datetime(2026, 11, 1, 12, tzinfo=UTC)
    early, late = a_page(fetched_at=now), a_page(fetched_at=now + timedelta(days=10))
    reviews(
        house,
        a_review_scraped(page=early, author_hash=MOTH),
        a_review_scraped(page=late, position=1, text=SAID),
    )
    publisher, clock = CollectingPublisher(), FrozenClock(now + timedelta(days=days))
    kept = kept_rows(house.url, "reviews", "fetched_at", timedelta(days=100))
    retention = Retention([kept], publisher=publisher, clock=clock)
    await retention.look()
    await retention.look()  # says nothing twice
    assert len(house.rows("reviews")) == left
    told = [message.event for message in publisher.messages]
    assert all(isinstance(event, RecordsDeleted) for event in told)
    assert [(event.what, event.count) for event in told] == (
        [("tables/reviews", 2 - left)] if left < 2 else []
    )
