"""The demo's second part, read from the log: what is told, once each, and where it ends."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import uuid4

import pytest
from typer.testing import CliRunner

from trending_cli.demo_drift import Arrival, Story, in_order
from trending_cli.main import app
from trending_shared.events import (
    DatasetRequested,
    ExperimentChanged,
    ModelApproved,
    ModelPromoted,
    ModelRefused,
    RetrainingDecided,
    TrainingRequested,
)
from trending_shared.messages import Message, first_message
from trending_shared.testing import a_title_cleaned
from trending_shared.walk import Walk

NOW = datetime(2026, 11, 1, 12, tzinfo=UTC)
JOB = uuid4()


@pytest.fixture
def story() -> Story:
    return Story({JOB: Arrival(Walk(JOB))})


def decided(*, retrain: bool, n: int = 0) -> Message[RetrainingDecided]:
    event = RetrainingDecided(
        decision_id=str(n),
        model="genres",
        trigger="drift",
        retrain=retrain,
        codes=("drift-sustained",) if retrain else ("not-sustained",),
        reasons=(f"{n} windows",),
        decided_at=NOW,
        budget_left=1,
    )
    return replace(first_message(event), time=NOW + timedelta(seconds=n))


def promoted(version: str = "v2") -> ModelPromoted:
    return ModelPromoted(
        model="genres", model_version=version, alias="champion", number=2, reasons=("better",)
    )


def test_a_story_ends_with_the_judgement_that_comes_after_its_decision(story: Story) -> None:
    story.take(first_message(promoted("v1")))
    assert story.ended is None
    yes = decided(retrain=True)
    story.take(yes)
    refused = ModelRefused(model="genres", model_version="v2", reasons=("worse",))
    story.take(yes.leads_to(refused))
    told = story.result()
    assert (told["decision_id"], told["promoted"], told["refused"]) == ("0", None, ["worse"])
    assert [one["event"] for one in told["events"]] == [
        *("ModelPromoted", "RetrainingDecided", "ModelRefused"),
    ]


def changed(phase: Any, number: int) -> ExperimentChanged:
    return ExperimentChanged(
        subject="models",
        target="genres",
        experiment="trial-v2",
        number=number,
        phase=phase,
        control="v1",
        candidate="v2",
        cause="guardrail" if phase == "refused" else "ready",
        reasons=("a slice got worse",),
        outcomes=40,
    )


def test_a_model_that_is_approved_ends_by_its_experiment(story: Story) -> None:
    yes = decided(retrain=True)
    approval = yes.leads_to(
        ModelApproved(
            model="genres", model_version="v2", champion="v1", dataset_id="d", reasons=("better",)
        )
    )
    for message in (yes, approval, approval.leads_to(changed("shadow", 1))):
        story.take(message)
    assert story.approved == approval
    assert story.ended is None
    story.take(approval.leads_to(changed("refused", 2)))
    assert story.result()["refused"] == ["a slice got worse"]


def test_what_is_said_again_of_one_more_window_is_kept_and_takes_no_line(
    story: Story, capsys: pytest.CaptureFixture[str]
) -> None:
    for n in (1, 2):
        story.take(decided(retrain=False, n=n))
    story.take(decided(retrain=True, n=3))
    lines = capsys.readouterr().err.splitlines()
    assert [line.split()[0] for line in lines if "RetrainingDecided" in line] == [
        *("12:00:01", "12:00:03"),
    ]
    assert len(story.told) == 3


def test_an_event_that_comes_twice_is_told_once(story: Story) -> None:
    no = decided(retrain=False)
    story.take(no)
    story.take(no)
    assert len(story.told) == 1


def test_only_titles_of_the_job_are_asked_about(story: Story) -> None:
    title = a_title_cleaned()
    story.take(first_message(title))
    story.take(first_message(title, correlation_id=JOB))
    assert story.titles == [], "the gateway needn't know them yet"
    story.arrivals[JOB].there = True
    assert story.titles == [title.title_id]
    assert story.told == []


def test_what_is_read_at_once_is_told_by_time_and_after_its_cause() -> None:
    yes = replace(decided(retrain=True), time=NOW)
    wanted: Message[Any] = replace(yes.leads_to(DatasetRequested(reason="drift")), time=NOW)
    training = replace(
        wanted.leads_to(TrainingRequested(reason="drift")), time=NOW - timedelta(seconds=1)
    )
    assert in_order([wanted, training, yes]) == [training, yes, wanted]


def test_a_catalogue_of_ones_own_has_nothing_in_store(tmp_path: Any) -> None:
    file = tmp_path / "titles.csv"
    file.write_text("show_id\n")
    done = CliRunner().invoke(app, ["demo", "--drift", "--catalogue", str(file)])
    assert done.exit_code == 2
