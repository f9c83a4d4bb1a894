"""The supervisor with real child processes: what becomes of runs whose fits end, die or linger."""

import asyncio
import sys
from collections import Counter
from collections.abc import AsyncIterator, Callable, Iterable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

import pytest
from aiokafka import ConsumerRecord
from prometheus_client import CollectorRegistry

from trending_shared.clock import FrozenClock
from trending_shared.delivery import Consumer
from trending_shared.errors import BrokerUnavailable, StoreUnavailable
from trending_shared.events import (
    ModelApproved,
    ModelPromoted,
    ModelRefused,
    ModelRegistered,
    RecordsErased,
    ServiceConfigured,
    TrainingRequested,
)
from trending_shared.messages import Message, first_message
from trending_shared.storage import ObjectStore
from trending_shared.testing import CollectingPublisher
from trending_shared.testing.collecting import Collector
from trending_shared.tracing import OFF, Tracing
from trending_trainer.app import create_app
from trending_trainer.erasing import Eraser
from trending_trainer.handlers import register_handlers
from trending_trainer.metrics import TrainerMetrics
from trending_trainer.runs import Attempt, Outcome, Request, RunDamaged, Runs
from trending_trainer.settings import TrainerSettings
from trending_trainer.supervising import FitNotStarted, Supervisor

NOW = datetime(2026, 11, 1, 12, tzinfo=UTC)
LEASE = timedelta(seconds=20)
WITHIN = 30  # seconds; only a test that fails waits that long
REGISTERED = ModelRegistered(
    model="genres", model_version="a", algorithm="tfidf-logreg", dataset_id="d1", macro_f1=0.5
)
PROMOTION = Outcome(
    registered=(REGISTERED,),
    promoted=ModelPromoted(
        model="genres", model_version="a", alias="champion", number=1, reasons=("the first",)
    ),
)
REFUSED = ModelRefused(model="genres", model_version="a", reasons=("worse",))

# Each is run with the run's id, the attempt's number and the supervisor's process id.
ENDS = """
import sys
from datetime import timedelta
from uuid import UUID
from trending_shared.storage import ObjectStore
from trending_trainer.runs import Outcome, Runs
runs = Runs(ObjectStore.at({store!r}), lease=timedelta(seconds=20))
runs.end(UUID(sys.argv[1]), Outcome.model_validate_json({outcome!r}))
"""
DIES = """
import sys
sys.exit("out of memory at attempt " + sys.argv[2])
"""
TELLS = """
import os, pathlib
pathlib.Path({told!r}).write_text(os.environ["TRACEPARENT"])
"""
LINGERS = """
import socket, sys
line = socket.create_connection(("127.0.0.1", {port}))
line.sendall((" ".join(sys.argv[1:]) + "\\n").encode())
line.recv(1)
"""


class TellingPublisher(CollectingPublisher):
    """Says when something was published."""

    def __init__(self) -> None:
        super().__init__()
        self.told = asyncio.Event()

    async def publish(self, messages: Iterable[Message[Any]]) -> None:
        await super().publish(messages)
        self.told.set()


class Alarm(Supervisor):
    """Counts how often it is woken."""

    woken = 0

    def wake(self) -> None:
        self.woken += 1
        super().wake()


@dataclass
class House:
    """A store in a folder, with trainers that come and go."""

    folder: Path
    publisher: TellingPublisher = field(default_factory=TellingPublisher)
    clock: FrozenClock = field(default_factory=lambda: FrozenClock(NOW))
    tracing: Tracing = OFF

    def __post_init__(self) -> None:
        self.store = ObjectStore.at((self.folder / "store").as_uri())
        self.runs = Runs(self.store, lease=LEASE)
        self.registry = CollectorRegistry()

    def supervisor(self, script: str, **names: object) -> Alarm:
        """A trainer whose fits are this script."""
        path = self.folder / f"fit-{uuid4()}.py"
        path.write_text(script.format(store=(self.folder / "store").as_uri(), **names))
        return self.supervisor_of(sys.executable, str(path))

    def supervisor_of(self, *command: str) -> Alarm:
        self.registry = CollectorRegistry()
        return Alarm(
            runs=self.runs,
            publisher=self.publisher,
            metrics=TrainerMetrics(self.registry),
            clock=self.clock,
            attempts=2,
            logs=self.folder / "logs",
            command=command,
            look_again=3600,
            tracing=self.tracing,
        )

    def claim(self) -> Request:
        request = Request(run_id=uuid4(), correlation_id=uuid4(), dataset_id="d1", reason="a test")
        self.runs.claim(request)
        return request

    def value(self, name: str, **labels: str) -> float | None:
        return self.registry.get_sample_value(f"trending_trainer_{name}", labels)


@pytest.fixture
def house(tmp_path: Path) -> House:
    return House(tmp_path)


# ---------------------------------------------------------------- a run from open to closed


async def test_what_a_fit_came_to_is_published_and_the_run_closed(house: House) -> None:
    supervisor = house.supervisor(ENDS, outcome=PROMOTION.model_dump_json())
    request = house.claim()
    await supervisor.advance(request)
    assert house.publisher.messages == PROMOTION.messages(request)
    assert house.runs.open() == []
    assert house.value("runs_total", outcome="promoted") == 1
    assert house.value("macro_f1_ratio", algorithm="tfidf-logreg") == 0.5
    assert house.value("attempts_total") == 1


@pytest.mark.parametrize("recorded", [True, False])
async def test_a_fit_belongs_to_the_trace_of_what_asked_for_it(
    house: House, traces: Collector, monkeypatch: pytest.MonkeyPatch, recorded: bool
) -> None:
    if not recorded:
        monkeypatch.delenv("OTEL_EXPORTER_OTLP_ENDPOINT")
    message = replace(
        first_message(TrainingRequested(reason="a test")),
        traceparent="00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01",
    )
    house.runs.claim(Request.of(message))
    (request,) = house.runs.open()
    told = house.folder / "told"
    with Tracing("trainer") as house.tracing:
        await house.supervisor(TELLS, told=str(told)).advance(request)
    if recorded:
        (train,) = traces.named("train genres")
        assert (train.trace_id, train.parent_id) == (message.trace_id, "00f067aa0ba902b7")
        assert told.read_text() == f"00-{train.trace_id}-{train.span_id}-01"
    else:
        assert told.read_text() == message.traceparent
    assert {each.traceparent for each in PROMOTION.messages(request)} == {message.traceparent}


@pytest.mark.parametrize("registered", [(), (REGISTERED,)], ids=["by its dataset", "by the gate"])
async def test_a_refused_run_asks_for_nobody(
    house: House, registered: tuple[ModelRegistered, ...]
) -> None:
    refused = ModelRefused(model="genres", dataset_id="d1", reasons=("TooFewTitles: 3",))
    house.runs.end(
        (request := house.claim()).run_id, Outcome(registered=registered, refused=refused)
    )
    await house.supervisor(DIES).advance(request)
    assert house.publisher.events(ModelRefused) == [refused]
    assert house.value("runs_total", outcome="refused") == 1
    assert house.value("runs_total", outcome="failed") == 0


async def test_an_outcome_that_is_there_is_published_without_another_fit(house: House) -> None:
    request = house.claim()
    house.runs.end(request.run_id, PROMOTION)
    await house.supervisor(DIES).advance(request)
    assert house.publisher.messages == PROMOTION.messages(request)
    assert house.value("attempts_total") == 0


async def test_a_fit_that_dies_is_tried_again_and_then_the_run_is_refused(house: House) -> None:
    supervisor, request = house.supervisor(DIES), house.claim()
    for attempt in (1, 2):
        await supervisor.advance(request)
        log = house.folder / "logs" / f"{request.run_id}-{attempt}.log"
        assert log.read_text().strip() == f"out of memory at attempt {attempt}"
        assert house.publisher.messages == []
        assert house.runs.open() == [request]
    await supervisor.advance(request)
    (refused,) = house.publisher.events(ModelRefused)
    assert (refused.model, refused.dataset_id) == ("genres", "d1")
    assert "2 attempts" in refused.reasons[0]
    assert house.runs.open() == []
    assert house.value("attempts_total") == 2
    assert house.value("runs_total", outcome="failed") == 1


async def test_a_fit_that_dies_once_does_not_decide_the_run(house: House) -> None:
    request = house.claim()
    await house.supervisor(DIES).advance(request)
    await house.supervisor(ENDS, outcome=PROMOTION.model_dump_json()).advance(request)
    assert house.publisher.messages == PROMOTION.messages(request)


async def test_while_kafka_is_down_the_run_stays_open_and_its_facts_keep_their_ids(
    house: House,
) -> None:
    supervisor = house.supervisor(ENDS, outcome=PROMOTION.model_dump_json())
    request = house.claim()
    house.publisher.down = True
    with pytest.raises(BrokerUnavailable):
        await supervisor.advance(request)
    assert house.runs.open() == [request]
    house.publisher.down = False
    await supervisor.advance(request)
    assert house.publisher.messages == PROMOTION.messages(request)
    assert house.runs.open() == []
    assert house.value("attempts_total") == 1


async def test_a_run_that_another_trainer_is_at_is_left_alone(house: House) -> None:
    request = house.claim()
    house.runs.begin(request.run_id, owner="another", now=NOW)
    await house.supervisor(DIES).advance(request)
    assert house.value("attempts_total") == 0
    assert house.runs.open() == [request]


async def test_a_run_whose_trainer_fell_silent_is_taken_over(house: House) -> None:
    request = house.claim()
    house.runs.begin(request.run_id, owner="another", now=NOW)
    house.clock.advance(LEASE)
    await house.supervisor(ENDS, outcome=PROMOTION.model_dump_json()).advance(request)
    assert house.publisher.messages == PROMOTION.messages(request)


async def test_a_fit_that_can_not_be_started_waits_and_uses_up_an_attempt(house: House) -> None:
    supervisor, request = house.supervisor_of(str(house.folder / "missing")), house.claim()
    for _ in range(2):
        with pytest.raises(FitNotStarted, match="missing"):
            await supervisor.advance(request)
    await supervisor.advance(request)
    assert len(house.publisher.events(ModelRefused)) == 1


async def test_a_run_with_a_damaged_outcome_is_neither_fitted_nor_closed(house: House) -> None:
    request = house.claim()
    house.store.put(f"runs/{request.run_id}/outcome.json", b"{}}")
    with pytest.raises(RunDamaged):
        await house.supervisor(DIES).advance(request)
    assert house.runs.open() == [request]


# ---------------------------------------------------------------- the loop


@dataclass
class Line:
    """Where fits that linger call; the line is cut when they are gone."""

    port: int
    calls: "asyncio.Queue[tuple[list[str], asyncio.StreamReader]]"


@asynccontextmanager
async def answering() -> AsyncIterator[Line]:
    calls: asyncio.Queue[tuple[list[str], asyncio.StreamReader]] = asyncio.Queue()
    writers: list[asyncio.StreamWriter] = []

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writers.append(writer)
        calls.put_nowait(((await reader.readline()).decode().split(), reader))

    server = await asyncio.start_server(answer, "127.0.0.1", 0)
    try:
        yield Line(server.sockets[0].getsockname()[1], calls)
    finally:
        server.close()
        for writer in writers:
            writer.close()
            await writer.wait_closed()
        await server.wait_closed()


async def test_stopping_ends_the_fit_and_leaves_the_run_to_the_next_trainer(house: House) -> None:
    request = house.claim()
    async with answering() as line, asyncio.timeout(WITHIN):
        async with house.supervisor(LINGERS, port=line.port).running():
            arguments, fit = await line.calls.get()
            assert arguments[:2] == [str(request.run_id), "1"]
        assert await fit.read() == b""
    assert house.publisher.messages == []
    assert house.runs.open() == [request]
    second = house.runs.begin(request.run_id, owner="the next", now=NOW)
    assert second is not None
    assert second.number == 2


async def test_restarts_in_a_long_fit_use_up_no_attempt(house: House) -> None:
    request = house.claim()
    async with answering() as line, asyncio.timeout(WITHIN):
        for _ in range(3):  # of two attempts
            async with house.supervisor(LINGERS, port=line.port).running():
                await line.calls.get()
    await house.supervisor(ENDS, outcome=PROMOTION.model_dump_json()).advance(request)
    assert house.publisher.messages == PROMOTION.messages(request)


async def test_a_trainer_stops_though_the_store_is_gone(house: House) -> None:
    class Unwritable(Runs):
        def withdraw(self, run_id: UUID, attempt: Attempt) -> None:
            raise StoreUnavailable("the disk is full")

    house.runs = Unwritable(house.store, lease=LEASE)
    request = house.claim()
    async with answering() as line, asyncio.timeout(WITHIN):
        async with house.supervisor(LINGERS, port=line.port).running():
            _, fit = await line.calls.get()
        assert await fit.read() == b""
    assert house.runs.begin(request.run_id, owner="the next", now=NOW) is None
    assert house.runs.begin(request.run_id, owner="the next", now=NOW + LEASE) is not None


async def test_a_second_trainer_does_not_start_what_the_first_is_at(house: House) -> None:
    request = house.claim()
    async with answering() as line, asyncio.timeout(WITHIN):
        async with house.supervisor(LINGERS, port=line.port).running():
            await line.calls.get()
            await house.supervisor(LINGERS, port=line.port).advance(request)
            assert house.value("attempts_total") == 0
        assert line.calls.empty()


async def test_open_runs_are_advanced_from_the_start_on(house: House) -> None:
    requests = [house.claim(), house.claim()]
    for request in requests:
        house.runs.end(request.run_id, PROMOTION)
    async with asyncio.timeout(WITHIN), house.supervisor(DIES).running():
        while len(house.publisher.messages) < 4:
            house.publisher.told.clear()
            await house.publisher.told.wait()
    assert {message.causation_id for message in house.publisher.messages} == {
        request.run_id for request in requests
    }
    assert house.value("open_runs") == 2


@pytest.mark.parametrize("document", ["open/{}.json", "{}/outcome.json", "{}/attempts/0001.json"])
async def test_a_damaged_run_holds_up_no_other(house: House, document: str) -> None:
    damaged, sound = sorted((house.claim(), house.claim()), key=lambda one: str(one.run_id))
    house.store.put(f"runs/{document.format(damaged.run_id)}", b"{")
    house.runs.end(sound.run_id, PROMOTION)
    async with asyncio.timeout(WITHIN), house.supervisor(DIES).running():
        await house.publisher.told.wait()
    assert house.publisher.messages == PROMOTION.messages(sound)
    assert house.store.exists(f"runs/open/{damaged.run_id}.json")


async def test_a_supervisor_looks_again_when_woken(house: House) -> None:
    looks: asyncio.Queue[int] = asyncio.Queue()
    loop = asyncio.get_running_loop()

    class WatchedRuns(Runs):
        def open(self) -> list[Request]:
            found = super().open()
            loop.call_soon_threadsafe(looks.put_nowait, len(found))
            return found

    house.runs = WatchedRuns(house.store, lease=LEASE)
    supervisor = house.supervisor(DIES)
    async with asyncio.timeout(WITHIN), supervisor.running():
        assert await looks.get() == 0
        request = house.claim()
        house.runs.end(request.run_id, PROMOTION)
        supervisor.wake()
        assert await looks.get() == 1
        await house.publisher.told.wait()
    assert house.publisher.messages == PROMOTION.messages(request)


# ---------------------------------------------------------------- messages


def a_record(message: Message[Any], offset: int) -> ConsumerRecord:
    return ConsumerRecord(
        topic=message.event.topic,
        partition=0,
        offset=offset,
        timestamp=0,
        timestamp_type=0,
        key=message.event.key.encode(),
        value=message.body(),
        checksum=None,
        serialized_key_size=-1,
        serialized_value_size=-1,
        headers=message.headers(source="test", code_version="1", now=NOW),
    )


ASKED = TrainingRequested(reason="drift", dataset_id="d1")


async def test_a_request_that_comes_twice_opens_one_run_and_wakes_the_supervisor(
    house: House,
) -> None:
    supervisor = house.supervisor(DIES)
    consumer = Consumer(service="trainer", publisher=house.publisher, registry=CollectorRegistry())
    register_handlers(consumer, house.runs, supervisor, Eraser(house.store))
    message = first_message(ASKED)
    await consumer.deliver([a_record(message, 0)])
    assert supervisor.woken == 1
    await consumer.deliver([a_record(message, 1)])
    (request,) = house.runs.open()
    assert (request.run_id, request.correlation_id) == (message.id, message.correlation_id)
    assert house.publisher.raw == []


async def test_a_request_that_comes_after_its_run_opens_nothing(house: House) -> None:
    supervisor = house.supervisor(ENDS, outcome=PROMOTION.model_dump_json())
    consumer = Consumer(service="trainer", publisher=house.publisher, registry=CollectorRegistry())
    register_handlers(consumer, house.runs, supervisor, Eraser(house.store))
    message = first_message(ASKED)
    await consumer.deliver([a_record(message, 0)])
    await supervisor.advance(*house.runs.open())
    await consumer.deliver([a_record(message, 1)])
    assert house.runs.open() == []
    assert [fact.causation_id for fact in house.publisher.messages] == [message.id] * 2


async def test_the_app_is_built_without_connecting(tmp_path: Path) -> None:
    app = create_app(TrainerSettings(trending_home=tmp_path))
    assert app.consumer.consumes == (TrainingRequested, RecordsErased)
    produces = (ModelRegistered, ModelPromoted, ModelApproved, ModelRefused)
    assert app.produces == (*produces, RecordsErased, ServiceConfigured)


# ---------------------------------------------------------------- what CloudWatch counts


@pytest.mark.parametrize(
    ("outcome", "counts"),
    [
        (PROMOTION, {}),
        (Outcome(registered=(REGISTERED,), refused=REFUSED), {"ModelsRefused": 1}),
        (Outcome(refused=REFUSED, failed=True), {"TrainingsFailed": 1}),
    ],
    ids=["promoted", "refused", "failed"],
)
async def test_what_a_run_came_to_is_counted_by_its_line(
    house: House, counted: Callable[[], Counter[str]], outcome: Outcome, counts: dict[str, int]
) -> None:
    request = house.claim()
    house.runs.end(request.run_id, outcome)
    await house.supervisor(DIES).advance(request)
    assert counted() == counts
