"""What a catalogue of lineage is told, by a server that takes it as Marquez does."""

import json
from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import UTC, datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread
from typing import Any
from uuid import UUID

import pytest

from trending_monitor.openlineage import CatalogueUnavailable, OpenLineageSettings, connect
from trending_shared.clock import FrozenClock
from trending_shared.errors import SettingInvalid
from trending_shared.events import (
    DatasetPublished,
    ModelPromoted,
    ModelRefused,
    ModelRegistered,
    ServiceConfigured,
    TrainingRequested,
)
from trending_shared.messages import Message, first_message
from trending_shared.settings import KafkaSettings

NOON = datetime(2026, 11, 1, 12, tzinfo=UTC)
VERSION, DATASET = "9f2c4e6a8b0d1f37", "0a1b2c3d4e5f6071"


class Catalogue(ThreadingHTTPServer):
    """Takes `POST /api/v1/lineage`, or answers 503 while `down`."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Lineage)
        self.told: list[dict[str, Any]] = []
        self.keys: set[str | None] = set()
        self.down = False

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_port}"


class _Lineage(BaseHTTPRequestHandler):
    server: Catalogue

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        found = self.path == "/api/v1/lineage" and not self.server.down
        if found:
            self.server.told.append(json.loads(body))
            self.server.keys.add(self.headers["Authorization"])
        self.send_response(201 if found else 501 if self.server.down else 404)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, format: str, *args: Any) -> None:
        """Nothing."""


@pytest.fixture
def catalogue() -> Iterator[Catalogue]:
    with Catalogue() as server:
        thread = Thread(target=server.serve_forever)
        thread.start()
        yield server
        server.shutdown()
        thread.join()


def arrived(event: Any, cause: Message[Any] | None = None) -> Message[Any]:
    message = cause.leads_to(event) if cause else first_message(event)
    return replace(message, time=NOON)


def named(datasets: list[dict[str, Any]]) -> list[tuple[str, str, str | None]]:
    return [
        (
            each["namespace"],
            each["name"],
            (each["facets"].get("version") or {}).get("datasetVersion"),
        )
        for each in datasets
    ]


def a_story() -> list[Message[Any]]:
    """From a dataset to a model that is put in force, and one that isn't."""
    published = arrived(
        DatasetPublished(
            dataset_id=DATASET,
            manifest_key="k",
            titles=3,
            labelled=2,
            recipe="r",
            table_version=7,
        )
    )
    requested = arrived(TrainingRequested(reason="new data", dataset_id=DATASET), published)
    registered = arrived(
        ModelRegistered(
            model="genres",
            model_version=VERSION,
            algorithm="blend",
            dataset_id=DATASET,
            macro_f1=0.5,
        ),
        requested,
    )
    promoted = ModelPromoted(
        model="genres", model_version=VERSION, alias="champion", number=1, reasons=("better",)
    )
    refused = ModelRefused(
        model="genres", model_version=VERSION, dataset_id=DATASET, reasons=("no better", "slower")
    )
    return [
        *(published, requested, registered),
        *(arrived(promoted, registered), arrived(refused, registered)),
    ]


def connected(catalogue: Catalogue, **settings: Any) -> Callable[[Message[Any]], None]:
    given = {"url": catalogue.url, "STORE_URL": "s3://bucket/trending"} | settings
    given["KAFKA"] = KafkaSettings(bootstrap_servers="broker:9092,other:9092")
    return connect(OpenLineageSettings.model_validate(given), FrozenClock(NOON))


def test_a_catalogue_is_told_which_run_made_what_of_what(catalogue: Catalogue) -> None:
    tell = connected(catalogue, api_key="sesame")
    story = a_story()
    for message in story:
        tell(message)
    assert catalogue.keys == {"Bearer sesame"}
    told = [
        (each["job"]["name"], each["eventType"], UUID(each["run"]["runId"]))
        for each in catalogue.told
    ]
    published, requested, _, promoted, refused = (message.id for message in story)
    assert told == [
        ("featurizer.snapshot", "START", published),
        ("featurizer.snapshot", "COMPLETE", published),
        ("trainer.training", "START", requested),
        ("trainer.training", "COMPLETE", requested),
        ("trainer.gate", "START", promoted),
        ("trainer.gate", "COMPLETE", promoted),
        ("trainer.gate", "START", refused),
        ("trainer.gate", "ABORT", refused),
    ]
    _, snapshot, _, training, _, gate, _, refusal = catalogue.told
    dataset = ("s3://bucket", "trending/datasets", DATASET)
    model = ("s3://bucket", "trending/models/genres", VERSION)
    assert named(snapshot["inputs"])[0] == ("s3://bucket", "trending/tables/titles", "7")
    assert named(snapshot["outputs"]) == named(training["inputs"]) == [dataset]
    assert named(training["outputs"]) == named(gate["inputs"]) == [model]
    assert named(gate["outputs"]) == [("s3://bucket", "trending/aliases/genres/champion", VERSION)]
    assert refusal["outputs"] == []
    assert refusal["run"]["facets"]["errorMessage"]["message"] == "no better; slower"
    assert {each["eventTime"] for each in catalogue.told} == {NOON.isoformat()}


def test_a_training_that_gave_no_model_failed(catalogue: Catalogue) -> None:
    requested = a_story()[1]
    nothing = ModelRefused(model="genres", reasons=("no genre can be learned",))
    connected(catalogue)(arrived(nothing, requested))
    [told] = catalogue.told
    assert (told["eventType"], told["run"]["runId"]) == ("FAIL", str(requested.id))


def test_services_are_jobs_between_topics_and_what_they_keep(catalogue: Catalogue) -> None:
    event = ServiceConfigured(
        service="cleaner", settings={}, consumes=("titles-scraped",), produces=("titles-cleaned",)
    )
    connected(catalogue, STORE_URL="file:///var/a%20store")(arrived(event))
    [told] = catalogue.told
    assert (told["job"]["namespace"], told["job"]["name"]) == ("trending", "cleaner")
    assert "run" not in told
    assert named(told["inputs"]) == [("kafka://broker:9092", "titles-scraped", None)]
    outputs = named(told["outputs"])
    assert ("kafka://broker:9092", "titles-cleaned", None) in outputs
    assert ("file", "/var/a store/tables/titles", None) in outputs


def test_a_catalogue_that_refuses_postpones(catalogue: Catalogue) -> None:
    catalogue.down = True
    tell, message = connected(catalogue), a_story()[1]
    with pytest.raises(CatalogueUnavailable, match="501"):
        tell(message)
    catalogue.down = False
    tell(message)
    assert len(catalogue.told) == 1


@pytest.mark.parametrize("url", ["", "marquez:5000"])
def test_an_address_that_is_none_stops_the_process(url: str) -> None:
    with pytest.raises(SettingInvalid, match="OPENLINEAGE_URL"):
        connect(OpenLineageSettings(url=url), FrozenClock(NOON))
