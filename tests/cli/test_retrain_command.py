"""`trending retrain`: why, and now."""

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any

import pytest

from trending_shared.events import RetrainingDecided, RetrainingRequested
from trending_shared.messages import Message, first_message


@pytest.fixture
def at_home(offline: Any, monkeypatch: pytest.MonkeyPatch) -> Any:
    """A terminal whose child processes live where it does."""
    for name, value in offline.env.items():
        monkeypatch.setenv(name, value)
    return offline


def test_before_anything_was_decided_it_is_told_what_would_be_and_needs_no_kafka(
    at_home: Any,
) -> None:
    found = at_home.json("retrain", "why")
    assert found["decided"] == []
    assert found["now"]["person"]["codes"] == ["nothing-new"]
    assert "no title has come" in at_home.run("retrain", "why").stdout


def test_a_dry_run_asks_nobody_and_says_no_by_its_status(at_home: Any) -> None:
    said = at_home.json("retrain", "now", "--reason", "a whim", "--dry-run", status=1)
    assert (said["retrain"], said["codes"]) == (False, ["nothing-new"])
    forced = at_home.json("retrain", "now", "--reason", "a whim", "--dry-run", "--force")
    assert forced["codes"] == ["person", "forced"]
    assert forced["reasons"][0] == "a person asked: a whim"


def test_a_reason_must_be_given(at_home: Any) -> None:
    at_home.run("retrain", "now", status=2)


def test_nobody_is_asked_where_kafka_does_not_answer(at_home: Any) -> None:
    at_home.run("retrain", "now", "--reason", "a whim", status=4)


@pytest.mark.connected
@pytest.mark.parametrize("yes", [True, False], ids=["yes", "no"])
def test_a_request_is_followed_to_the_decision(terminal: Any, yes: bool) -> None:
    asked: list[RetrainingRequested] = []

    def decide(messages: Sequence[Message[Any]]) -> Sequence[Message[Any]]:
        """A monitor that has made up its mind."""
        asked.extend(message.event for message in messages)
        return [
            message.leads_to(
                RetrainingDecided(
                    decision_id=str(message.id),
                    model="genres",
                    trigger="person",
                    retrain=yes,
                    codes=("person",) if yes else ("cool-down",),
                    reasons=("[/because]",),
                    decided_at=datetime(2026, 11, 1, tzinfo=UTC),
                    possible_at=None if yes else datetime(2026, 11, 2, tzinfo=UTC),
                    budget_left=3,
                )
            )
            for message in messages
        ]

    with terminal.group(f"decide-{yes}".lower(), RetrainingRequested, decide):
        arguments = ("retrain", "now", "--reason", "a whim", "--force")
        said = terminal.run(*arguments, status=0 if yes else 1).stdout
    assert "[/because]" in said
    assert ("possible at 2026-11-02 00:00:00" in said) != yes
    assert asked[0].force


@pytest.mark.connected
def test_a_request_that_was_made_already_is_only_followed(terminal: Any) -> None:
    request = first_message(RetrainingRequested(reason="a whim"))
    decided = RetrainingDecided(
        decision_id=str(request.id),
        model="genres",
        trigger="person",
        retrain=True,
        codes=("person",),
        reasons=("a person asked: a whim",),
        decided_at=datetime(2026, 11, 1, tzinfo=UTC),
        budget_left=3,
    )
    terminal.publish(request, request.leads_to(decided))
    before = records(terminal)
    said = terminal.json("retrain", "now", "--reason", "another", "--id", request.id)
    assert said["decision_id"] == str(request.id)
    assert said["reasons"] == ["a person asked: a whim"]
    assert records(terminal) == before


def records(terminal: Any) -> int:
    topics = {each["topic"]: each for each in terminal.json("topics", "list")}
    return int(topics[RetrainingRequested.topic]["records"])
