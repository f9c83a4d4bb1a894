"""Who gets in, by how long those who are in take."""

from contextlib import ExitStack

import pytest
from prometheus_client import CollectorRegistry

from trending_inference.admission import Admission, Overloaded
from trending_inference.metrics import InferenceMetrics


class Hall:
    """An admission whose clock is turned by hand."""

    def __init__(self, most: int = 100) -> None:
        self.time = 0.0
        self.metrics = InferenceMetrics(CollectorRegistry())
        self.admission = Admission(most, self.metrics, now=lambda: self.time)
        self.callers: list[ExitStack] = []

    def enter(self, texts: int = 1, within: float = 10.0) -> None:
        caller = ExitStack()
        caller.enter_context(self.admission.inside(texts, within))
        self.callers.append(caller)

    def leave(self, after: float) -> None:
        """Whoever came first is answered so many seconds later."""
        self.time += after
        self.callers.pop(0).close()

    def settle(self, each: float) -> None:
        """Learn that a text takes so long, with ten inside all the time."""
        for _ in range(10):
            self.enter()
        for _ in range(200):
            self.enter(within=1000)
            self.leave(each)


def test_nobody_is_refused_while_nothing_is_known() -> None:
    hall = Hall()
    for _ in range(100):
        hall.enter(within=0.001)
    assert not hall.admission.shortage(0, 0.001)


def test_the_wait_is_what_is_inside_times_what_passes_between_answers() -> None:
    hall = Hall()
    hall.settle(0.01)
    assert hall.admission.shortage(1, 0.18) == pytest.approx(0.1, rel=0.01)
    assert hall.admission.shortage(1, 0.22) is None
    hall.enter(texts=50)
    assert hall.admission.shortage(1, 1.1) == pytest.approx(0.6, rel=0.01)
    assert hall.admission.shortage(1, 1.3) is None


def test_who_is_refused_is_told_when_to_come_back_and_is_counted() -> None:
    hall = Hall()
    hall.settle(0.01)
    with pytest.raises(Overloaded) as refused:
        hall.enter(within=0.1)
    assert refused.value.retry_after == pytest.approx(0.1, rel=0.01)
    assert hall.metrics.shed._value.get() == 1
    assert len(hall.callers) == 10


def test_it_gets_quicker_when_they_do() -> None:
    hall = Hall()
    hall.settle(0.1)
    assert hall.admission.crowded
    for _ in range(1000):
        hall.enter()
        hall.leave(0.001)
    assert hall.admission.shortage(1, 0.05) is None
    assert not hall.admission.crowded


def test_pauses_say_nothing_of_how_long_an_answer_takes() -> None:
    hall = Hall()
    for _ in range(20):
        hall.enter()
        hall.leave(0.001)
        hall.time += 60  # nobody is there
    for _ in range(100):
        hall.enter()
    assert hall.admission.shortage(0, 0.1) is None


def test_a_slow_start_keeps_nobody_out() -> None:
    hall = Hall()
    for _ in range(64):
        hall.enter()
    hall.leave(3.0)
    hall.enter()
    assert not hall.admission.crowded


def test_what_was_slow_is_forgotten_when_others_are_quick() -> None:
    hall = Hall()
    hall.settle(1.0)
    for _ in range(10):
        hall.leave(1.0)
    hall.enter()
    assert hall.admission.shortage(1, 1.0) == pytest.approx(1.0, rel=0.1)
    hall.leave(0.002)
    for _ in range(10):
        hall.enter()
    assert hall.admission.shortage(1, 0.1) is None


def test_a_limit_holds_however_quick_they_are_but_for_whoever_is_alone() -> None:
    hall = Hall(most=10)
    hall.enter(texts=64)
    assert hall.admission.crowded
    with pytest.raises(Overloaded):
        hall.enter()
    hall.leave(0.1)
    hall.enter(texts=10)
    with pytest.raises(Overloaded):
        hall.enter()


def test_whoever_fails_makes_room() -> None:
    hall = Hall(most=1)
    with pytest.raises(ValueError, match="broken"), hall.admission.inside(1, 1.0):
        raise ValueError("broken")
    hall.enter()
