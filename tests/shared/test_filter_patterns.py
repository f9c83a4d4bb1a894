"""CloudWatch's filter patterns, as we evaluate them, and what they count of consumed events."""

from collections import Counter
from collections.abc import Callable

import pytest

from trending_shared.errors import StoreUnavailable, Undecodable
from trending_shared.outcomes import Outcomes
from trending_shared.testing.filter_patterns import PatternInvalid, fields, matches, value_of
from trending_shared.tracing import OFF

LINE = (
    '{"event": "request_answered", "status": 503, "seconds": 0.25, "key": null, "deep": {"a": "b"},'
    ' "drifted": ["words", "genre:Drama"], "none": [], "ok": true}'
)


@pytest.mark.parametrize(
    ("pattern", "whether"),
    [
        ('{ $.event = "request_answered" }', True),
        ('{ $.event = "request_*" }', True),
        ('{ $.event = "request" }', False),
        ('{ $.event != "request_answered" }', False),
        ('{ $.missing = "*" }', False),
        ('{ $.missing != "a" }', False),
        ("{ $.status >= 500 }", True),
        ("{ $.status > 503 }", False),
        ("{ $.status = 503 }", True),
        ("{ $.event > 1 }", False),
        ("{ $.ok = 1 }", False),
        ('{ $.deep.a = "b" }', True),
        ('{ $.deep = "*" }', False),
        ('{ $.drifted[1] = "genre:*" }', True),
        ('{ $.drifted[0] = "*" }', True),
        ('{ $.none[0] = "*" }', False),
        ('{ $.drifted = "*" }', False),
        ("{ $.missing NOT EXISTS }", True),
        ("{ $.status NOT EXISTS }", False),
        ("{ $.key IS NULL }", True),
        ('{ $.event = "a" || $.status = 503 && $.seconds < 0.5 }', True),
        ('{ ($.event = "a" || $.status = 503) && $.seconds > 0.5 }', False),
    ],
)
def test_a_pattern_matches_as_cloudwatch_says(pattern: str, whether: bool) -> None:
    assert matches(pattern, LINE) is whether


@pytest.mark.parametrize("line", ["Traceback (most recent call last):", "[1]", ""])
def test_what_is_no_object_is_not_counted(line: str) -> None:
    assert not matches("{ $.event NOT EXISTS }", line)


@pytest.mark.parametrize(
    "pattern",
    [
        '$.event = "a"',
        "{ $.event }",
        '{ $.event > "a" }',
        '{ event = "a" }',
        '{ ($.a = "b" }',
        "{}",
    ],
)
def test_what_we_cannot_tell_is_an_error(pattern: str) -> None:
    with pytest.raises(PatternInvalid):
        matches(pattern, LINE)


def test_a_value_is_a_number_or_is_taken_from_the_line() -> None:
    assert value_of("1", LINE) == 1
    assert value_of("$.seconds", LINE) == 0.25
    assert fields('{ $.event = "a" && $.drifted[0] = "*" }') == {"event", "drifted"}


def test_parked_events_are_counted_and_others_are_not(counted: Callable[[], Counter[str]]) -> None:
    outcomes = Outcomes(OFF, tell_handled=True)
    outcomes.tell("postponed", "titles-scraped:0:4", StoreUnavailable("no answer"))
    outcomes.tell("declined", "scrape-jobs:0:1")
    outcomes.tell("handled", "titles-scraped:0:5")
    assert counted() == {}
    outcomes.tell("parked", "titles-scraped:0:6", Undecodable("no JSON"))
    assert counted() == {"EventsParked": 1}
