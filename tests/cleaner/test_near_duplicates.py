"""Reviews that repeat another one are found, and no others; the first one stays."""

import itertools
import random
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any, Protocol

import pytest
from hypothesis import given
from hypothesis import strategies as st

from trending_cleaner.near_duplicates import ALIKE, FEW, Sketch, likeness
from trending_shared.errors import StoreUnavailable
from trending_shared.events import RecordRejected
from trending_shared.messages import Message, Position
from trending_shared.testing import a_page, a_review_scraped, a_title_scraped, delivered

NOON = datetime(2026, 11, 1, 12, tzinfo=UTC)
LONG = (
    "Slow, silent and terrifying; the ship itself is the best actor in it. I have seen it nine "
    "times and still look away when the cat does, because nobody else on that table knows yet."
)


class House(Protocol):
    """The fixture of `conftest`."""

    cleaner: Any
    tables: dict[str, Any]

    def restart(self) -> None: ...
    def rows(self, name: str) -> list[dict[str, Any]]: ...
    def count(self, metric: str, **labels: str) -> float: ...


def a_review(
    offset: int, text: str, *, source: str = "demo", title: str = "alien-1979", **raw: Any
) -> Any:
    fields = {"review_source_id": str(offset), "author_hash": f"{offset:064x}", **raw}
    page = a_page(fetched_at=NOON + timedelta(minutes=offset))
    event = a_review_scraped(source_id=title, page=page, text=text, **fields)
    return delivered(event.model_copy(update={"source": source}), offset=offset)


def reasons(answers: list[Message[Any]]) -> list[str]:
    return [
        answer.event.reason if isinstance(answer.event, RecordRejected) else "cleaned"
        for answer in answers
    ]


def edited(text: str, words: int, seed: int = 1) -> str:
    """A text with some words replaced by others."""
    chance = random.Random(seed)
    parts = text.split()
    for place in chance.sample(range(len(parts)), words):
        parts[place] = f"word{chance.randint(0, 10**6)}"
    return " ".join(parts)


def made_up(seed: int, words: int = 100) -> str:
    chance = random.Random(seed)
    return " ".join(f"w{chance.randint(0, 3000)}" for _ in range(words))


# ---------------------------------------------------------------- likeness


def test_planted_copies_are_found_and_no_others() -> None:
    originals = [Sketch.of(made_up(seed)) for seed in range(300)]
    copies = [Sketch.of(edited(made_up(seed), 3, seed)) for seed in range(300)]
    bands: dict[int, set[int]] = {}
    for number, sketch in enumerate(originals):
        for band in sketch.bands:
            bands.setdefault(band, set()).add(number)
    found = {
        (number, other)
        for number, copy in enumerate(copies)
        for band in copy.bands
        for other in bands.get(band, ())
        if likeness(copy.phrases, originals[other].phrases) >= ALIKE
    }
    alike = {n for n in range(300) if likeness(copies[n].phrases, originals[n].phrases) >= ALIKE}
    assert {number for number, _ in found} == alike
    assert len(alike) > 290
    assert all(number == other for number, other in found)


words = st.lists(st.sampled_from(list("abcdefg")), min_size=FEW, max_size=40)


@given(words, words)
def test_likeness_is_the_share_of_common_phrases(one: list[str], other: list[str]) -> None:
    first, second = (Sketch.of(" ".join(text)) for text in (one, other))
    sets = [set(itertools.pairwise(itertools.pairwise(text))) for text in (one, other)]
    expected = len(sets[0] & sets[1]) / len(sets[0] | sets[1])
    assert likeness(first.phrases, second.phrases) == pytest.approx(expected)
    assert likeness(second.phrases, first.phrases) == pytest.approx(expected)


@pytest.mark.parametrize("change", [str.upper, lambda text: text.replace(",", " –").strip(".")])
def test_case_and_punctuation_make_no_other_text(change: Callable[[str], str]) -> None:
    assert Sketch.of(change(LONG)).whole == Sketch.of(LONG).whole


# ---------------------------------------------------------------- what is refused


def test_a_copy_with_a_word_changed_names_the_first_one(house: House) -> None:
    batch = [a_review(0, LONG), a_review(1, edited(LONG, 1)), a_review(2, "Loud. " + LONG)]
    answers = house.cleaner.on_reviews_scraped(batch)
    assert reasons(answers) == ["cleaned", "NearDuplicateReview", "NearDuplicateReview"]
    first = answers[0].event.review_id
    assert answers[1].event.detail.endswith(f"of its phrases are those of {first}")
    assert len(house.rows("reviews")) == 1
    assert house.count("duplicates_total", record="review") == 2


def test_another_opinion_is_no_copy(house: House) -> None:
    batch = [a_review(n, made_up(n)) for n in range(20)]
    assert set(reasons(house.cleaner.on_reviews_scraped(batch))) == {"cleaned"}


def test_a_few_words_are_a_copy_only_of_the_same_author(house: House) -> None:
    batch = [
        a_review(0, "Great film!", author_hash="aa"),
        a_review(1, "great film", author_hash="bb"),
        a_review(2, "Great film.", author_hash="aa"),
        a_review(3, "Great film.", author_hash=None),
        a_review(4, "Great film.", author_hash=None),
    ]
    assert reasons(house.cleaner.on_reviews_scraped(batch)) == [
        *("cleaned", "cleaned", "NearDuplicateReview", "cleaned", "cleaned")
    ]


def test_a_changed_review_is_no_copy_of_itself(house: House) -> None:
    batch = [
        a_review(0, LONG, review_source_id="7"),
        a_review(1, edited(LONG, 1), review_source_id="7"),
    ]
    assert reasons(house.cleaner.on_reviews_scraped(batch)) == ["cleaned", "cleaned"]


def test_of_different_titles_only_the_very_same_text_of_another_source_is_a_copy(
    house: House,
) -> None:
    batch = [
        a_review(0, LONG),
        a_review(1, edited(LONG, 1), source="b", title="heat"),
        a_review(2, LONG, title="heat"),
        a_review(3, LONG.upper(), source="b", title="heat"),
    ]
    assert reasons(house.cleaner.on_reviews_scraped(batch)) == [
        *("cleaned", "cleaned", "cleaned", "NearDuplicateReview")
    ]


def test_a_copy_at_another_source_of_the_same_title_is_found(house: House) -> None:
    title = a_title_scraped(external_ids={"imdb": "tt0078748"})
    elsewhere = title.model_copy(update={"source": "b", "source_id": "7"})
    house.cleaner.on_titles_scraped([delivered(title, offset=0), delivered(elsewhere, offset=1)])
    batch = [a_review(0, LONG), a_review(1, edited(LONG, 1), source="b", title="7")]
    assert reasons(house.cleaner.on_reviews_scraped(batch)) == ["cleaned", "NearDuplicateReview"]


# ---------------------------------------------------------------- whatever dies


def test_the_same_answers_come_again_in_other_batches_and_after_a_crash(house: House) -> None:
    batch = [
        a_review(0, LONG),
        a_review(1, edited(LONG, 1)),
        a_review(2, edited(LONG, 1)),
        a_review(1, edited(LONG, 1)),
        a_review(3, made_up(3)),
    ]
    first = house.cleaner.on_reviews_scraped(batch)
    house.restart()
    earlier = a_page(fetched_at=NOON - timedelta(days=1))
    house.cleaner.on_reviews_scraped(
        [delivered(a_review_scraped(source_id="x", page=earlier, text=LONG), offset=9)]
    )
    retried = [
        replace(message, position=Position("reviews-scraped-cleaner-retry-10s", 0, n))
        for n, message in enumerate(batch)
    ]
    again = [
        *house.cleaner.on_reviews_scraped(retried[:2]),
        *house.cleaner.on_reviews_scraped(retried[2:]),
    ]
    assert again == first
    assert len(house.rows("rejects")) == 3


def test_a_review_whose_row_was_not_stored_has_no_copies(house: House) -> None:
    house.tables["reviews"].down = True
    with pytest.raises(StoreUnavailable):
        house.cleaner.on_reviews_scraped([a_review(0, LONG)])
    house.tables["reviews"].down = False
    assert reasons(house.cleaner.on_reviews_scraped([a_review(1, edited(LONG, 1))])) == ["cleaned"]
    assert reasons(house.cleaner.on_reviews_scraped([a_review(0, LONG)])) == ["NearDuplicateReview"]


def test_what_another_process_appended_is_known(house: House) -> None:
    first = house.cleaner
    house.restart()
    house.cleaner.on_reviews_scraped([a_review(0, LONG)])
    assert reasons(first.on_reviews_scraped([a_review(1, edited(LONG, 1))])) == [
        "NearDuplicateReview"
    ]
