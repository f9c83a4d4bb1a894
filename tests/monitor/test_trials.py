"""Experiments conducted: from an approval through shadow and split to one outcome."""

import asyncio
from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID, uuid4

import numpy as np
import pytest
import sqlalchemy as sa
from prometheus_client import CollectorRegistry

from trending_monitor.conducting import Policy
from trending_monitor.conductor import Conductor
from trending_monitor.metrics import MonitorMetrics
from trending_monitor.trials import Label, Trials, supported
from trending_shared.catalog import Catalog, corrections, titles, trial_outcomes
from trending_shared.clock import FrozenClock
from trending_shared.errors import BrokerUnavailable
from trending_shared.events import (
    ExperimentChanged,
    InsightServed,
    ModelApproved,
    ModelPromoted,
    PredictionServed,
    Trial,
)
from trending_shared.experiments import (
    CANDIDATE,
    CONTROL,
    Arm,
    Experiment,
    Experiments,
    Judgement,
    assign,
    shadow_arms,
)
from trending_shared.messages import Message
from trending_shared.prompts import Prompt, PromptRegistry
from trending_shared.registry import ModelRegistry
from trending_shared.splits import is_test
from trending_shared.standings import Standing, folder_of, read_standing
from trending_shared.storage import ObjectStore
from trending_shared.testing import CollectingPublisher, delivered
from trending_shared.testing.models import a_graph, a_manifest, promote

NOW = datetime(2026, 11, 1, tzinfo=UTC)
SETTLE = timedelta(seconds=30)
POLICY = Policy(shadow_answers=40, split_answers=20)
NAMES = [name for n in range(20_000) if is_test(name := f"Title {n}")]
RIGHT, WRONG = ("Horror",), ("Comedy",)
METRICS = a_manifest(a_graph()).metrics | {"split": "title"}


class House:
    """A catalog, a store, and a gateway that answers as experiments say.

    Args:
        right: by version, the share of titles whose genre it says.
    """

    def __init__(self, catalog: Catalog) -> None:
        self.catalog = catalog
        self.store = ObjectStore.at("memory:///")
        self.models = ModelRegistry(self.store)
        self.experiments = Experiments(self.store)
        self.clock = FrozenClock(NOW)
        self.publisher = CollectingPublisher()
        self.random = np.random.default_rng(0)
        self.bits = np.random.default_rng(1)
        self.right: dict[str, float] = {}
        self.asked = 0
        self.conductor = self.another()

    def another(
        self, policy: Policy = POLICY, labellers: frozenset[str] = frozenset()
    ) -> Conductor:
        """A monitor that has just been started."""
        self.trials = Trials(self.catalog, settle=SETTLE, labellers=labellers)
        return Conductor(
            trials=self.trials,
            store=self.store,
            publisher=self.publisher,
            metrics=MonitorMetrics(CollectorRegistry()),
            clock=self.clock,
            policy=policy,
            every=timedelta(seconds=30),
        )

    def champion(self, *, right: float) -> str:
        version = promote(self.models, a_graph(), metrics=METRICS).version
        self.right[version] = right
        return version

    def candidate(self, *, right: float, likely: float = 0.8) -> str:
        graph = a_graph(likely=likely)
        version = self.models.register(graph, a_manifest(graph, metrics=METRICS)).version
        self.right[version] = right
        return version

    async def approve(self, version: str) -> Message[ModelApproved]:
        pointer = self.models.pointer("genres")
        message = delivered(
            ModelApproved(
                model="genres",
                model_version=version,
                champion=pointer.version if pointer else "",
                dataset_id="d",
                reasons=("macro-F1 is higher",),
            )
        )
        message = replace(message, id=self.new_id())
        await self.conductor.on_model_approved(message)
        return message

    def new_id(self) -> UUID:
        """An id that is the same in each run: an experiment's name, and so who sees what, is."""
        return UUID(bytes=self.bits.bytes(16), version=4)

    def current(self) -> Experiment:
        found = self.experiments.current("models", "genres")
        assert found is not None
        return found

    async def serve(
        self, count: int, *, labelled: bool = True, milliseconds: dict[str, float] | None = None
    ) -> list[Message[PredictionServed]]:
        """Requests about new titles, each of a unit of its own; pages tell of the titles."""
        experiment = self.current()
        messages: list[Message[PredictionServed]] = []
        for _ in range(count):
            number = self.asked = self.asked + 1
            if labelled:
                await self.tell_of(number)
            drawn = assign(experiment, f"unit {number}")
            luck = float(self.random.random())
            told: UUID | None = None
            for arm in (drawn.arm, *drawn.shadows):
                id = self.new_id()
                messages.append(
                    delivered(
                        PredictionServed(
                            prediction_id=str(id),
                            request_id="r",
                            model="genres",
                            model_version=arm.version,
                            alias="experiment",
                            title_id=f"t{number}",
                            text=f"text {number}",
                            text_hash=f"h{number}",
                            probabilities={"Horror": 0.5},
                            genres=RIGHT if luck < self.right[arm.version] else WRONG,
                            served_at=self.clock.now(),
                            duration_ms=(milliseconds or {}).get(arm.name, 5.0),
                            trial=Trial(
                                experiment=drawn.experiment,
                                arm=arm.name,
                                unit=drawn.unit,
                                shadow_of=str(told) if told else None,
                            ),
                        )
                    )
                )
                told = told or id
        await self.trials.record(messages, self.clock.now())
        return messages

    async def tell_of(self, number: int, genres: Sequence[str] = RIGHT) -> None:
        row = {column.name: None for column in titles.columns} | {
            "title_id": f"t{number}",
            "source": "tv",
            "source_id": f"{number}",
            "name": NAMES[number],
            "kind": "film",
            "genres": list(genres),
            "countries": [],
            "language": "en",
            "license": "CC0-1.0",
            "url": "https://tv.example/",
            "page_hash": "h",
            "page_key": "k",
            "fetched_at": NOW,
            "content_hash": "c",
            "text_hash": f"h{number}",
            "popularity": [],
            "plot": "a ghost",
        }
        async with self.catalog.transaction() as connection:
            await self.catalog.upsert(connection, titles, [row])

    async def look(self) -> None:
        self.clock.advance(SETTLE * 2)
        await self.conductor.look()

    async def until(self, state: str, phase: str, *, most: int = 40, **answers: Any) -> Experiment:
        for _ in range(most):
            found = self.current()
            if found.state == state and found.judged and found.judged.phase == phase:
                return found
            if found.running:
                await self.serve(40, **answers)
            await self.look()
        raise AssertionError(f"it is still {self.current()}")

    def told(self, kind: type[Any]) -> list[Any]:
        return [each.event for each in self.publisher.messages if isinstance(each.event, kind)]

    def phases(self) -> list[tuple[str, str]]:
        return [(each.phase, each.cause) for each in self.told(ExperimentChanged)]


@pytest.fixture
def house(catalog: Catalog) -> House:
    return House(catalog)


# ------------------------------------------------------------ whole trials


async def test_an_approved_model_that_is_better_is_promoted_without_a_hand(house: House) -> None:
    champion = house.champion(right=0.5)
    candidate = house.candidate(right=0.8)
    approval = await house.approve(candidate)
    await house.look()
    first = house.current()
    assert [(arm.version, arm.weight, arm.shadow) for arm in first.arms] == [
        (champion, 1, 0),
        (candidate, 0, 1),
    ]
    await house.until("stopped", "promoted")
    assert house.models.champion("genres").version == candidate
    assert house.phases() == [
        ("shadow", "approved"),
        ("split", "kept to guardrails"),
        ("promoted", "better"),
    ]
    (promoted,) = house.told(ModelPromoted)
    assert (promoted.model_version, promoted.previous) == (candidate, champion)
    assert "it is better" in promoted.reasons[0]
    last = house.told(ExperimentChanged)[-1]
    assert last.low > 0
    assert last.difference == pytest.approx(0.3, abs=0.1)
    # All of it is one story, that of the approval.
    assert {each.correlation_id for each in house.publisher.messages} == {approval.correlation_id}
    page = house.store.get(f"{folder_of('models', 'genres', first.name)}/report.html").decode()
    assert "Promoted, better." in page
    assert "<svg" in page


async def test_one_that_is_worse_is_refused_and_nobody_sees_it_again(house: House) -> None:
    champion = house.champion(right=0.8)
    candidate = house.candidate(right=0.5)
    await house.approve(candidate)
    await house.look()
    ended = await house.until("stopped", "refused")
    assert ended.judged is not None
    assert ended.judged.cause in ("worse", "futile")
    assert house.models.champion("genres").version == champion
    assert house.told(ModelPromoted) == []
    assert house.told(ExperimentChanged)[-1].candidate == candidate


async def test_a_broken_guardrail_gives_everybody_the_champion_again(house: House) -> None:
    champion = house.champion(right=0.5)
    await house.approve(house.candidate(right=0.9))
    await house.look()
    await house.until("running", "split")
    ended = await house.until("stopped", "refused", milliseconds={CANDIDATE: 500.0})
    assert ended.judged is not None
    assert ended.judged.cause == "guardrail"
    assert [reason.split(":")[0] for reason in ended.reasons] == ["latency p95", "latency p99"]
    assert house.models.champion("genres").version == champion


async def test_a_candidate_that_no_gateway_can_load_is_stopped_in_shadow(house: House) -> None:
    house.champion(right=0.5)
    await house.approve(house.candidate(right=0.9))
    await house.look()
    await house.serve(60, labelled=False)
    async with house.catalog.transaction() as connection:
        await connection.execute(sa.text("DELETE FROM trial_answers WHERE shadow_of IS NOT NULL"))
    await house.look()
    assert house.phases()[-1] == ("refused", "guardrail")
    assert "failures in shadow" in house.current().reasons[0]


async def test_labels_may_come_weeks_of_looks_later(house: House) -> None:
    house.champion(right=0.5)
    await house.approve(house.candidate(right=0.8))
    await house.look()
    await house.serve(400, labelled=False)
    await house.look()
    assert await counted(house) == 0
    for number in reversed(range(1, 401)):
        await house.tell_of(number)
    await house.look()
    assert await counted(house) == 400


# ------------------------------------------------------------ one outcome, whatever happens


async def test_an_approval_that_comes_twice_begins_one_trial(house: House) -> None:
    house.champion(right=0.5)
    message = await house.approve(house.candidate(right=0.8))
    await house.conductor.on_model_approved(message)
    await house.look()
    await house.conductor.on_model_approved(message)
    await house.look()
    assert len(house.experiments.history("models", "genres")) == 1
    assert house.phases() == [("shadow", "approved")]


async def test_answers_that_come_twice_count_once(house: House) -> None:
    house.champion(right=0.5)
    await house.approve(house.candidate(right=0.8))
    await house.look()
    messages = await house.serve(30)
    await house.trials.record(messages[::-1], house.clock.now())
    await house.look()
    await house.look()
    assert await counted(house) == 30
    assert standing(house).outcomes == 30


async def test_of_two_that_wait_the_newest_is_tried(house: House) -> None:
    house.champion(right=0.5)
    running = house.candidate(right=0.8)
    await house.approve(running)
    await house.look()
    older, newer = (house.candidate(right=0.8, likely=likely) for likely in (0.7, 0.6))
    await house.approve(older)
    house.clock.advance(timedelta(minutes=1))
    await house.approve(newer)
    while house.current().version(CANDIDATE) == running:
        await house.serve(40)
        await house.look()
    assert house.current().running
    assert house.current().version(CANDIDATE) == newer
    assert house.current().version(CONTROL) == running
    tried = {each.candidate for each in house.told(ExperimentChanged)}
    assert tried == {running, newer}


async def test_a_monitor_killed_before_it_could_say_so_leads_to_the_same_outcome(
    house: House,
) -> None:
    champion = house.champion(right=0.5)
    candidate = house.candidate(right=0.8)
    await house.approve(candidate)
    await house.look()
    await house.until("running", "split")
    house.publisher.down = True
    with pytest.raises(BrokerUnavailable):
        await house.until("stopped", "promoted")
    assert house.told(ModelPromoted) == []
    assert house.models.champion("genres").version == candidate
    house.conductor, house.publisher.down = house.another(), False
    await house.look()
    await house.look()
    (promoted,) = house.told(ModelPromoted)
    assert (promoted.previous, promoted.number) == (champion, 2)
    assert house.phases()[-1] == ("promoted", "better")
    assert len(house.models.history("genres")) == 2


async def test_what_is_told_again_has_the_same_ids(house: House) -> None:
    house.champion(right=0.5)
    await house.approve(house.candidate(right=0.8))
    await house.look()
    await house.until("stopped", "promoted")
    for key in house.store.keys("experiments-told"):
        house.store.delete(key)
    ids = [message.id for message in house.publisher.messages]
    house.conductor = house.another()
    await house.look()
    assert [message.id for message in house.publisher.messages] == ids * 2
    assert len(house.models.history("genres")) == 2


async def test_two_monitors_come_to_one_outcome(house: House) -> None:
    house.champion(right=0.5)
    await house.approve(house.candidate(right=0.8))
    other = house.another()
    for _ in range(40):
        house.clock.advance(SETTLE * 2)
        await asyncio.gather(house.conductor.look(), other.look())
        if not house.current().running:
            break
        await house.serve(40)
    states = house.experiments.history("models", "genres")
    assert [each.judged.phase for each in states if each.judged] == ["shadow", "split", "promoted"]
    assert len(house.models.history("genres")) == 2
    assert len({message.id for message in house.publisher.messages}) == 4


# ------------------------------------------------------------ people


async def test_who_moves_the_champion_ends_the_trial(house: House) -> None:
    house.champion(right=0.5)
    candidate = house.candidate(right=0.8)
    await house.approve(candidate)
    await house.look()
    other = promote(house.models, a_graph(likely=0.7), metrics=METRICS).version
    await house.look()
    assert house.phases()[-1] == ("refused", "champion changed")
    assert house.models.champion("genres").version == other


async def test_who_moves_the_champion_between_verdict_and_promotion_keeps_it(
    house: House,
) -> None:
    champion = house.champion(right=0.5)
    candidate = house.candidate(right=0.8)
    house.experiments.change(
        "models",
        "genres",
        name="autumn",
        state="running",
        arms=shadow_arms(champion, candidate),
        expected=None,
        reasons=(),
        changed_by="test",
        at=NOW,
        judged=Judgement(phase="shadow", cause="by hand"),
    )
    house.experiments.change(
        "models",
        "genres",
        name="autumn",
        state="stopped",
        arms=shadow_arms(champion, candidate),
        expected=house.current(),
        reasons=("it is better",),
        changed_by="monitor",
        at=NOW,
        judged=Judgement(phase="promoted", cause="better"),
    )
    other = promote(house.models, a_graph(likely=0.7), metrics=METRICS).version
    await house.look()
    assert house.models.champion("genres").version == other
    assert house.told(ModelPromoted) == []
    assert house.phases()[-1] == ("refused", "champion changed")


async def test_what_people_conduct_is_left_alone_and_others_wait(house: House) -> None:
    champion = house.champion(right=0.5)
    house.experiments.change(
        "models",
        "genres",
        name="by-hand",
        state="running",
        arms=[Arm(name=CONTROL, version=champion, weight=1)],
        expected=None,
        reasons=(),
        changed_by="test",
        at=NOW,
    )
    await house.approve(house.candidate(right=0.8))
    await house.look()
    assert house.current().name == "by-hand"
    assert house.publisher.messages == []


async def test_without_a_champion_there_is_nothing_to_try_against(house: House) -> None:
    await house.approve(house.candidate(right=0.8))
    await house.look()
    assert house.experiments.current("models", "genres") is None


async def corrected(house: House, prediction: str, who: str, genres: Sequence[str]) -> None:
    row = {column.name: None for column in corrections.columns} | {
        "feedback_id": str(uuid4()),
        "prediction_id": prediction,
        "text": "w",
        "text_hash": "h",
        "genres": list(genres),
        "said_by": who,
        "corrected_at": NOW,
    }
    async with house.catalog.transaction() as connection:
        await house.catalog.insert_new(connection, corrections, [row])


@pytest.mark.parametrize(
    ("labellers", "who", "counts"),
    [
        ({"curator"}, "curator", True),
        ({"curator"}, "somebody", False),
        ({"curator"}, "anonymous-0123456789ab", False),
        ({"anonymous"}, "anonymous-0123456789ab", True),
        (set(), "curator", False),
    ],
)
async def test_only_what_trusted_labellers_say_is_a_label(
    house: House, labellers: set[str], who: str, counts: bool
) -> None:
    house.champion(right=1)
    await house.approve(house.candidate(right=0))
    await house.look()
    house.conductor = house.another(labellers=frozenset(labellers))
    messages = await house.serve(3, labelled=False)
    for message in messages[::2]:
        await corrected(house, message.event.prediction_id, who, RIGHT)
    await house.look()
    found = await outcomes(house)
    assert [row.value for row in found] == ([-1.0] * 3 if counts else [])
    assert {row.label for row in found} <= {who}


async def test_a_labeller_wins_over_the_page_but_not_over_what_was_counted(house: House) -> None:
    house.champion(right=1)
    await house.approve(house.candidate(right=0))
    await house.look()
    house.conductor = house.another(labellers=frozenset({"curator"}))
    messages = await house.serve(2)
    await corrected(house, messages[0].event.prediction_id, "curator", WRONG)
    await house.look()
    assert sorted(row.value for row in await outcomes(house)) == [-1.0, 1.0]
    await corrected(house, messages[2].event.prediction_id, "curator", WRONG)
    await house.look()
    assert sorted(row.value for row in await outcomes(house)) == [-1.0, 1.0]


# ------------------------------------------------------------ what counts


async def test_a_unit_counts_once_however_often_it_asks(house: House) -> None:
    house.champion(right=0.5)
    await house.approve(house.candidate(right=0.8))
    await house.look()
    await house.until("running", "split")
    await house.look()
    before = standing(house)
    (message,) = await house.serve(1)
    again = [
        replace(message, event=message.event.model_copy(update={"prediction_id": str(uuid4())}))
        for _ in range(5)
    ]
    await house.trials.record(again, house.clock.now())
    await house.look()
    await house.look()
    assert standing(house).outcomes == before.outcomes + 1
    assert sum(arm.answers for arm in standing(house).arms) == 1


async def test_an_answer_of_a_gateway_that_does_not_know_of_the_split_counts_for_no_arm(
    house: House,
) -> None:
    house.champion(right=0.5)
    await house.approve(house.candidate(right=0.8))
    await house.look()
    await house.until("running", "split")
    await house.look()
    before = standing(house)
    messages = await house.serve(20)
    turned = [
        replace(
            each,
            event=each.event.model_copy(
                update={
                    "prediction_id": str(uuid4()),
                    "trial": each.event.trial.model_copy(update={"arm": CONTROL, "unit": unit}),
                }
            ),
        )
        for each in messages
        if each.event.trial
        for unit in [a_unit_of(house.current(), CANDIDATE, each.event.prediction_id)]
    ]
    await house.trials.record(turned, house.clock.now())
    await house.look()
    await house.look()
    assert standing(house).outcomes == before.outcomes + 20


def a_unit_of(experiment: Experiment, arm: str, salt: str) -> str:
    """The hash of a unit that this arm is drawn for."""
    drawn = (assign(experiment, f"{salt} {number}") for number in range(1000))
    return next(each.unit for each in drawn if each.arm.name == arm)


def test_an_answer_is_worth_what_it_shares_with_the_truth() -> None:
    label = Label("page", frozenset({"Crime", "Drama"}), frozenset({"Crime", "Drama", "War"}), ())
    assert label.score(["Crime", "Drama"]) == 1
    assert label.score(["Crime"]) == pytest.approx(2 / 3)
    assert label.score(["War"]) == 0
    assert label.score([]) == 0
    assert label.score(["Crime", "Drama", "Comedy"]) == 1  # of Comedy nothing is known
    assert Label("page", frozenset(), frozenset({"Crime"}), ()).score([]) == 1


def an_insight(**changes: Any) -> InsightServed:
    fields: dict[str, Any] = {
        "insight_id": str(uuid4()),
        "request_id": "r",
        "caller": "c",
        "outcome": "answered",
        "prompt": "insights",
        "prompt_version": "0" * 16,
        "answer_form": "insight-1",
        "attempts": 1,
        "cached": False,
        "prompt_tokens": 1,
        "completion_tokens": 1,
        "cost_usd": 0,
        "evidence_hash": "e",
        "sentences": 5,
        "withheld": 0,
        "answer_hash": "a",
        "genres": (),
        "claims": 3,
        "dropped": {"no-overlap": 1},
        "served_at": NOW,
        "duration_ms": 900.0,
    }
    return InsightServed(**(fields | changes))


@pytest.mark.parametrize(
    ("changes", "score"),
    [
        ({}, 0.75),
        ({"dropped": {}}, 1),
        ({"outcome": "degraded", "reason": "nothing-supported"}, 0),
        ({"outcome": "degraded", "reason": "llm-invalid"}, 0),
        ({"outcome": "degraded", "reason": "over-budget"}, None),
        ({"outcome": "degraded", "reason": "llm-unavailable"}, None),
        ({"outcome": "abstained", "reason": "evidence-thin"}, None),
    ],
)
def test_a_prompt_is_worth_what_its_checker_lets_stand(
    changes: dict[str, Any], score: float | None
) -> None:
    assert supported(an_insight(**changes)) == score


async def test_prompts_go_through_the_same_trial(house: House) -> None:
    prompts = PromptRegistry(house.store)
    versions = [
        prompts.register(
            Prompt(name="insights", answers="insight-1", system=f"Say {word}.", user="{data}")
        )
        for word in ("little", "less")
    ]
    control, candidate = versions
    prompts.aliases.move("insights", control, expected=None, reasons=(), moved_by="test", at=NOW)
    house.experiments.change(
        "prompts",
        "insights",
        name="words",
        state="running",
        arms=shadow_arms(control, candidate),
        expected=None,
        reasons=("by hand",),
        changed_by="test",
        at=NOW,
        judged=Judgement(phase="shadow", cause="by hand"),
    )
    for number in range(2000):
        experiment = house.experiments.current("prompts", "insights")
        if experiment is None or not experiment.running:
            break
        drawn = assign(experiment, f"unit {number}")
        told = None
        for arm in (drawn.arm, *drawn.shadows):
            trial = Trial(experiment="words", arm=arm.name, unit=drawn.unit, shadow_of=told)
            dropped = {"no-overlap": 1 + number % 3} if arm.version == control else {}
            event = an_insight(
                evidence_hash=f"e{number}",
                dropped=dropped,
                trial=trial,
                served_at=house.clock.now(),
            )
            told = event.insight_id
            await house.trials.record([delivered(event)], house.clock.now())
        if number % 40 == 39:
            await house.look()
    pointer = prompts.aliases.pointer("insights")
    assert pointer is not None
    assert pointer.version == candidate
    assert house.told(ModelPromoted) == []
    assert house.phases()[-1] == ("promoted", "better")


def standing(house: House) -> Standing:
    return read_standing(house.store, house.current())


async def outcomes(house: House) -> Sequence[Any]:
    async with house.catalog.reading() as connection:
        return (await connection.execute(sa.select(trial_outcomes))).all()


async def counted(house: House) -> int:
    return len(await outcomes(house))
