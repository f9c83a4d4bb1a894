"""What the code says of its events against what is committed and what has been sent."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from jsonschema import Draft7Validator, Draft202012Validator

from trending_cli.contracts import Party, event_schema
from trending_shared.events import (
    EVENTS,
    Event,
    ExperimentChanged,
    RecordRejected,
    RecordsDeleted,
    RecordsErased,
    ServiceConfigured,
)
from trending_shared.messages import Position, decode

EXAMPLES = Path(__file__).parent / "examples"
DOCS = Path(__file__).parents[2] / "docs"
FOR_PEOPLE = {RecordRejected, ExperimentChanged}
OF_SEVERAL: set[type[Event]] = {ServiceConfigured, RecordsDeleted, RecordsErased}
PERSONS = "operators"


@pytest.fixture(scope="module")
def parties(generate: dict[str, Any], services: dict[str, Any]) -> list[Party]:
    return list(generate["gather"](services))


@pytest.fixture(scope="module")
def asyncapi() -> dict[str, Any]:
    document: dict[str, Any] = json.loads((DOCS / "asyncapi.json").read_text())
    return document


def nodes(value: Any) -> Iterator[Any]:
    yield value
    children = value.values() if isinstance(value, dict) else value
    if isinstance(value, dict | list):
        for child in children:
            yield from nodes(child)


def resolve(document: Any, reference: str) -> Any:
    for part in reference.removeprefix("#/").split("/"):
        document = document[part]
    return document


def test_the_committed_documents_are_what_the_code_says(
    generate: dict[str, Any], parties: list[Party]
) -> None:
    assert list(generate["differences"](generate["documents"](parties))) == []


# ---------------------------------------------------------------- who talks with whom


def test_everything_that_is_consumed_is_published_by_somebody(parties: list[Party]) -> None:
    published = {event for party in parties for event in party.publishes}
    assert {event for party in parties for event in party.consumes} <= published


def test_everything_that_is_published_is_consumed_or_meant_for_people(
    parties: list[Party],
) -> None:
    consumed = {event for party in parties for event in party.consumes}
    assert set(EVENTS) - consumed == FOR_PEOPLE


def test_every_fact_of_a_service_has_one_service_that_publishes_it(parties: list[Party]) -> None:
    """But for what services tell of themselves."""
    requests = {event for party in parties if party.name == PERSONS for event in party.publishes}
    for event in set(EVENTS) - requests - OF_SEVERAL:
        assert len([party.name for party in parties if event in party.publishes]) == 1, event


# ---------------------------------------------------------------- schemas and AsyncAPI


@pytest.mark.parametrize("event", EVENTS, ids=lambda event: event.topic)
def test_a_body_schema_is_valid_and_tells_what_each_field_of_its_class_is(
    event: type[Event],
) -> None:
    schema = event_schema(event)
    Draft202012Validator.check_schema(schema)
    assert list(schema["properties"]) == list(event.model_fields)


def test_every_reference_in_the_asyncapi_document_leads_somewhere(
    asyncapi: dict[str, Any],
) -> None:
    references = [
        node["$ref"] for node in nodes(asyncapi) if isinstance(node, dict) and "$ref" in node
    ]
    assert references
    for reference in references:
        assert resolve(asyncapi, reference), reference


def test_every_operation_takes_messages_of_its_own_channel(asyncapi: dict[str, Any]) -> None:
    for name, operation in asyncapi["operations"].items():
        assert operation["action"] in {"send", "receive"}, name
        channel = operation["channel"]["$ref"]
        for message in operation["messages"]:
            assert message["$ref"].startswith(f"{channel}/messages/"), name


def test_every_parameter_of_an_address_is_declared(asyncapi: dict[str, Any]) -> None:
    for channel in asyncapi["channels"].values():
        used = {part.split("}")[0] for part in channel["address"].split("{")[1:]}
        assert used == set(channel.get("parameters", {}))


def test_the_schemas_in_the_asyncapi_document_are_valid(asyncapi: dict[str, Any]) -> None:
    for schema in asyncapi["components"]["schemas"].values():
        Draft7Validator.check_schema(schema)  # AsyncAPI's own dialect is a superset of draft 7


# ---------------------------------------------------------------- what has been sent


def examples() -> list[Any]:
    return [pytest.param(path, id=path.stem) for path in sorted(EXAMPLES.glob("*.json"))]


def test_there_is_an_example_of_every_event() -> None:
    assert {path.stem.split(".")[0] for path in EXAMPLES.glob("*.json")} == {
        event.topic for event in EVENTS
    }


@pytest.mark.parametrize("path", examples())
def test_a_message_that_was_once_sent_can_still_be_read(path: Path) -> None:
    sent = json.loads(path.read_text())
    message = decode(
        headers=[(name, value.encode()) for name, value in sent["headers"].items()],
        body=json.dumps(sent["body"]).encode(),
        position=Position(path.stem, 0, 0),
    )
    assert message.event.topic == path.stem.split(".")[0]
    assert message.event.key == sent["key"]
    assert str(message.id) == sent["headers"]["ce_id"]


@pytest.mark.parametrize("path", examples())
def test_a_message_that_was_once_sent_fits_todays_schemas(
    path: Path, asyncapi: dict[str, Any]
) -> None:
    sent = json.loads(path.read_text())
    schema = json.loads((DOCS / "schemas" / sent["headers"]["ce_dataschema"]).read_text())
    Draft202012Validator(schema).validate(sent["body"])
    name = sent["headers"]["ce_type"].split(".")[1]
    headers = asyncapi["components"]["messages"][name]["headers"]
    Draft7Validator({**headers, "components": asyncapi["components"]}).validate(sent["headers"])
