"""What a client that can't connect may say in the log."""

import logging

import pytest
from aiokafka.errors import ProducerFenced

from trending_shared.logs import Repetitions, is_no_leftover

DOWN = "Unable connect to node with id %s: %s"


def a_record(at: float, *, text: str = DOWN, node: int = 1, **changes: object) -> logging.LogRecord:
    record = logging.LogRecord(
        "aiokafka.client", logging.ERROR, __file__, 1, text, (node, "refused"), None
    )
    vars(record).update(created=at, **changes)
    return record


def passing(times: range, repetitions: Repetitions) -> list[float]:
    return [at for at in times if repetitions.filter(a_record(at))]


def test_an_outage_is_told_once_and_then_every_ten_minutes() -> None:
    assert passing(range(1000, 2500), Repetitions()) == [1000, 1600, 2200]


def test_the_next_outage_is_told_again() -> None:
    repetitions = Repetitions()
    assert passing(range(1000, 1020), repetitions) == [1000]
    assert passing(range(1050, 1060), repetitions) == [1050]


def test_every_different_complaint_is_told() -> None:
    repetitions = Repetitions()
    records = [
        a_record(1000),
        a_record(1000, node=2),
        a_record(1000, text="%s isn't the leader: %s"),
        a_record(1000, levelno=logging.CRITICAL),
    ]
    assert all(map(repetitions.filter, records))
    assert not any(map(repetitions.filter, records))


def test_a_traceback_is_never_held_back() -> None:
    with pytest.raises(ZeroDivisionError) as caught:
        _ = 1 / 0
    bug = (caught.type, caught.value, caught.tb)
    repetitions = Repetitions()
    assert all(repetitions.filter(a_record(1000, exc_info=bug)) for _ in range(3))


def test_other_loggers_may_repeat_themselves() -> None:
    repetitions = Repetitions()
    assert all(repetitions.filter(a_record(1000, name="trending_shared.x")) for _ in range(3))


def test_what_a_fenced_producer_leaves_behind_is_no_news() -> None:
    leftover = (ProducerFenced, ProducerFenced(), None)
    bug = (ZeroDivisionError, ZeroDivisionError(), None)
    assert not is_no_leftover(a_record(1000, name="asyncio", exc_info=leftover))
    assert is_no_leftover(a_record(1000, name="asyncio", exc_info=bug))
    assert is_no_leftover(a_record(1000, name="asyncio"))
    assert is_no_leftover(a_record(1000, name="aiokafka", exc_info=leftover))
