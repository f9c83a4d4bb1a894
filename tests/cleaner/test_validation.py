"""What is wrong with records, and how badly."""

from datetime import UTC, date, datetime
from typing import Any

import pytest

from trending_cleaner.cleaning import clean_review, clean_title
from trending_cleaner.validation import Fitness, Limits, Outcome
from trending_shared.errors import BatchUnfit
from trending_shared.events import DayCount
from trending_shared.messages import Position
from trending_shared.testing import a_review_scraped, a_title_scraped

NOW = datetime(2026, 11, 1, 12, tzinfo=UTC)


@pytest.mark.parametrize(
    ("raw", "warnings"),
    [
        ({}, ()),
        ({"language": "Elvish"}, ("LanguageUnknown",)),
        ({"language": "N/A"}, ()),
        ({"runtime": "2 Seasons"}, ("RuntimeUnreadable",)),
        ({"runtime": "x" * 1000}, ("RuntimeUnreadable",)),
        ({"runtime": "1 min"}, ("RuntimeOdd",)),
        ({"runtime": "1 min", "kind": "TV Show"}, ()),
        ({"rating": "11", "best_rating": "10"}, ("RatingUnreadable",)),
        ({"rating": "-1", "best_rating": "10"}, ("RatingUnreadable",)),
        ({"rating_count": "many"}, ("RatingCountUnreadable",)),
        ({"popularity": (DayCount(day=date(2031, 1, 1), count=1),)}, ("PopularityDropped",)),
        ({"popularity": (DayCount(day=date(2026, 1, 1), count=1),) * 2}, ()),
        ({"genres": ("Zorb",)}, ("GenresUnknown",)),
        ({"genres": ("Zorb", "Drama")}, ()),
        ({"name": "AmÃ©lie"}, ("TextGarbled",)),
        ({"name": "Am\ufffdlie"}, ("TextGarbled",)),
        ({"name": "Amélie, São Paulo"}, ()),
        ({"name": "The long way to the sea", "plot": "the long way to the sea"}, ("PlotIsName",)),
        ({"language": "Elvish", "runtime": "long"}, ("LanguageUnknown", "RuntimeUnreadable")),
    ],
)
def test_a_title_says_what_to_doubt_about_it(
    raw: dict[str, Any], warnings: tuple[str, ...]
) -> None:
    assert clean_title(a_title_scraped(**raw), NOW).warnings == warnings


@pytest.mark.parametrize(
    ("raw", "warnings"),
    [
        ({}, ()),
        ({"day": "2031-01-01"}, ("DayDropped",)),
        ({"day": None}, ()),
        ({"rating": "six"}, ("RatingUnreadable",)),
        ({"language": "Elvish"}, ("LanguageUnknown",)),
        ({"text": "ItÃ¢â€šÂ¬â„¢s a cafÃ©"}, ("TextGarbled",)),
    ],
)
def test_a_review_says_what_to_doubt_about_it(
    raw: dict[str, Any], warnings: tuple[str, ...]
) -> None:
    assert clean_review(a_review_scraped(**raw), NOW).event.warnings == warnings


def test_what_to_doubt_is_no_part_of_the_content() -> None:
    doubtful = clean_title(a_title_scraped(rating="eleven"), NOW)
    assert doubtful.content_hash == clean_title(a_title_scraped(), NOW).content_hash


# ---------------------------------------------------------------- batches


def batch(*outcomes: Outcome, partition: int = 0) -> list[tuple[Position, Outcome]]:
    return [
        (Position("titles-scraped", partition, n), outcome) for n, outcome in enumerate(outcomes)
    ]


def test_a_partition_is_unfit_when_more_than_its_share_is_bad() -> None:
    fitness = Fitness(Limits(share=0.5, records=4))
    fitness.judge(batch(None, "NameMissing", None, "NameMissing"))
    with pytest.raises(BatchUnfit) as unfit:
        fitness.judge(batch("TextMissing", "NameMissing", None, "NameMissing"))
    assert unfit.value.partitions == {
        ("titles-scraped", 0): "3 of 4 records are errors: NameMissing 50%, TextMissing 25%"
    }


def test_few_records_make_no_verdict_and_many_small_batches_do() -> None:
    fitness = Fitness(Limits(share=0.5, records=4))
    for _ in range(3):
        small = batch("NameMissing")
        fitness.judge(small)
        fitness.learn(small)
    with pytest.raises(BatchUnfit):
        fitness.judge(batch("NameMissing"))


def test_what_came_before_a_batch_counts_only_as_far_as_a_verdict_needs_it() -> None:
    fitness = Fitness(Limits(share=0.5, records=4))
    fitness.learn(batch(None, None, None, None))
    fitness.judge(batch("NameMissing", "NameMissing"))
    with pytest.raises(BatchUnfit, match="4 of 4"):
        fitness.judge(batch(*["NameMissing"] * 4))


def test_partitions_are_judged_apart() -> None:
    fitness = Fitness(Limits(share=0.5, records=2))
    with pytest.raises(BatchUnfit) as unfit:
        fitness.judge(batch(None, None) + batch("NameMissing", "NameMissing", partition=1))
    assert list(unfit.value.partitions) == [("titles-scraped", 1)]


def test_a_share_of_one_lets_everything_pass() -> None:
    Fitness(Limits(share=1, records=1)).judge(batch("NameMissing", "NameMissing"))
