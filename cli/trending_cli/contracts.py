"""The contracts as documents: JSON Schemas, AsyncAPI 3.0, and a table for people. Pure.

What travels is read from the event classes, who sends and receives it from the parties handed in;
`docs/generate.py` gathers them from the services' own `create_app`. Sources: AsyncAPI 3.0.0 with
its Kafka bindings 0.5.0, JSON Schema 2020-12.
"""

import inspect
import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from importlib.metadata import version
from typing import Any

from pydantic.json_schema import GenerateJsonSchema, models_json_schema

from trending_shared.events import (
    EVENTS,
    DatasetRequested,
    ErasureRequested,
    Event,
    ModelPromoted,
    RetrainingRequested,
    ScrapeJob,
    TrainingRequested,
)
from trending_shared.messages import schema_name
from trending_shared.topics import RETRY_DELAYS, dead_letter_topic, retry_topic, topic_spec

_HEADERS = {
    "ce_specversion": ("CloudEvents' version", {"const": "1.0"}),
    "ce_id": ("deterministic for what follows from something else", {"format": "uuid"}),
    "ce_type": ("class and version of the event", {}),
    "ce_source": ("the party that published it", {"pattern": "^trending/"}),
    "ce_time": ("when it was published, in UTC", {"format": "date-time"}),
    "ce_dataschema": ("the body's schema, below `docs/schemas/`", {}),
    "ce_correlationid": ("the id of the story's first event", {"format": "uuid"}),
    "ce_causationid": ("the id of the event this one follows from", {"format": "uuid"}),
    "ce_codeversion": ("the code that published it", {}),
    "content-type": ("of the body", {"const": "application/json"}),
    "traceparent": ("W3C trace context; its trace id is the correlation id", {}),
}
_NEEDED = ("ce_id", "ce_type")  # what a reader can't do without


@dataclass(frozen=True, slots=True)
class Party:
    """Whoever takes part; one that consumes does so as a consumer group of its name."""

    name: str
    consumes: tuple[type[Event], ...] = ()
    publishes: tuple[type[Event], ...] = ()


OPERATORS = Party(
    "operators",
    publishes=(
        *(ScrapeJob, DatasetRequested, RetrainingRequested, TrainingRequested, ModelPromoted),
        ErasureRequested,
    ),
)  # people, through `trending` or any Kafka client


class _FieldsWithoutTitles(GenerateJsonSchema):
    """Leaves out the titles that pydantic makes of field names; they say nothing new."""

    def field_title_should_be_set(self, schema: Any) -> bool:
        return False


# ---------------------------------------------------------------- schemas


def _definitions(events: Iterable[type[Event]], prefix: str) -> dict[str, Any]:
    _, found = models_json_schema(
        [(event, "validation") for event in events],
        ref_template=prefix + "{model}",
        schema_generator=_FieldsWithoutTitles,
    )
    definitions: dict[str, Any] = found["$defs"]
    return definitions


def event_schema(event: type[Event]) -> dict[str, Any]:
    """The JSON Schema of an event's body, as a reader must be able to take it."""
    definitions = _definitions([event], "#/$defs/")
    body = definitions.pop(event.__name__)
    schema = {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "$id": schema_name(event),
        **body,
    }
    return schema | ({"$defs": definitions} if definitions else {})


class _FieldNames:
    """Stands for an event whose fields hold their own names in braces."""

    def __getattr__(self, name: str) -> str:
        return f"{{{name}}}"


def key_of(event: type[Event]) -> str:
    """What an event's key is made of: `{source}:{source_id}`, or what its docstring says."""
    told = inspect.getdoc(event.__dict__["key"])
    if told:
        return told.splitlines()[0]
    return str(event.__dict__["key"].fget(_FieldNames()))


# ---------------------------------------------------------------- AsyncAPI


def asyncapi(parties: Sequence[Party]) -> dict[str, Any]:
    """The whole system as one AsyncAPI 3.0 document."""
    groups = [party for party in parties if party.consumes]
    return {
        "asyncapi": "3.0.0",
        "info": {
            "title": "Trending Now",
            "version": version("trending-shared"),
            "description": "Everything that travels between the services. Events are CloudEvents "
            "1.0 in Kafka's binary mode: attributes in headers, the body as JSON. Any of them may "
            "come twice, with the same `ce_id`.",
        },
        "defaultContentType": "application/json",
        "servers": {
            "kafka": {
                "host": "127.0.0.1:9092",
                "protocol": "kafka",
                "description": "Whatever `KAFKA_BOOTSTRAP_SERVERS` names.",
            }
        },
        "channels": {event.topic: _channel(event) for event in EVENTS}
        | {name: channel for party in groups for name, channel in _group_channels(party)},
        "operations": {name: what for party in parties for name, what in _operations(party)},
        "components": {
            "messages": {event.__name__: _message(event) for event in EVENTS},
            "schemas": {"CloudEventHeaders": _headers_schema()}
            | _definitions(EVENTS, "#/components/schemas/"),
        },
    }


def _ref(*path: str) -> dict[str, str]:
    return {"$ref": "#/" + "/".join(path)}


def _first_line(event: type[Event]) -> str:
    return (inspect.getdoc(event) or "").splitlines()[0]


def _channel(event: type[Event]) -> dict[str, Any]:
    spec = topic_spec(event)
    return {
        "address": event.topic,
        "description": _first_line(event),
        "messages": {event.__name__: _ref("components", "messages", event.__name__)},
        "bindings": {
            "kafka": {
                "topic": spec.name,
                "partitions": spec.partitions,
                "topicConfiguration": {
                    "cleanup.policy": ["delete"],
                    "retention.ms": _milliseconds(spec.retention),
                },
                "bindingVersion": "0.5.0",
            }
        },
    }


def _milliseconds(retention: timedelta) -> int:
    return max(-1, int(retention.total_seconds() * 1000))


def _pauses() -> list[str]:
    """The delays as they stand in the names of retry topics: `10s`."""
    return [retry_topic("", "", delay).rpartition("-")[2] for delay in RETRY_DELAYS]


def _group_channels(party: Party) -> Iterable[tuple[str, dict[str, Any]]]:
    """Where a group's messages wait and are parked, as two addresses with parameters."""
    topics = {
        "description": "the topic they come from",
        "enum": sorted(event.topic for event in party.consumes),
    }
    messages = {
        event.__name__: _ref("components", "messages", event.__name__) for event in party.consumes
    }
    yield (
        f"{party.name}-retries",
        {
            "address": f"{{topic}}-{party.name}-retry-{{delay}}",
            "description": f"Messages that {party.name} couldn't handle yet, bytes and headers as "
            "they came, with `trending-due`, `trending-attempt`, `trending-reason`, "
            "`trending-detail` and `trending-origin` beside them, and `trending-until` and "
            "`trending-since` where they wait for a time. One partition, 7 days.",
            "parameters": {
                "topic": topics,
                "delay": {"description": "the pause before the next attempt", "enum": _pauses()},
            },
            "messages": messages,
        },
    )
    yield (
        f"{party.name}-dead-letters",
        {
            "address": f"{{topic}}-{party.name}-dlq",
            "description": f"Messages that {party.name} can never handle, bytes and headers as "
            "they came, with `trending-reason`, `trending-detail`, `trending-origin` and "
            "`trending-attempt` beside them. One partition, kept for ever.",
            "parameters": {"topic": topics},
            "messages": messages,
        },
    )


def _operations(party: Party) -> Iterable[tuple[str, dict[str, Any]]]:
    for event in party.consumes:
        group = {"type": "string", "enum": [party.name]}
        bindings = {"kafka": {"groupId": group, "bindingVersion": "0.5.0"}}
        yield (
            f"{party.name}-receives-{event.topic}",
            _operation("receive", event.topic, event) | {"bindings": bindings},
        )
    for event in party.publishes:
        yield f"{party.name}-sends-{event.topic}", _operation("send", event.topic, event)


def _operation(action: str, channel: str, event: type[Event]) -> dict[str, Any]:
    return {
        "action": action,
        "channel": _ref("channels", channel),
        "messages": [_ref("channels", channel, "messages", event.__name__)],
    }


def _message(event: type[Event]) -> dict[str, Any]:
    constants = {"ce_type": event.type_name(), "ce_dataschema": schema_name(event)}
    return {
        "name": event.type_name(),
        "title": event.__name__,
        "summary": _first_line(event),
        "contentType": "application/json",
        "headers": {
            "type": "object",
            "allOf": [
                _ref("components", "schemas", "CloudEventHeaders"),
                {"properties": {name: {"const": value} for name, value in constants.items()}},
            ],
        },
        "correlationId": {"location": "$message.header#/ce_correlationid"},
        "payload": _ref("components", "schemas", event.__name__),
        "bindings": {
            "kafka": {
                "key": {"type": "string", "description": key_of(event)},
                "bindingVersion": "0.5.0",
            }
        },
    }


def _headers_schema() -> dict[str, Any]:
    return {
        "description": "CloudEvents 1.0 attributes and extensions, W3C trace context.",
        "type": "object",
        "properties": {
            name: {"type": "string", "description": meaning, **rules}
            for name, (meaning, rules) in _HEADERS.items()
        },
        "required": list(_NEEDED),
    }


# ---------------------------------------------------------------- for people


def events_page(parties: Sequence[Party]) -> str:
    """`docs/events.md`: each topic with its writers, readers, key and fields."""
    waits = ", then ".join(f"`<topic>-<group>-retry-{pause}`" for pause in _pauses())
    parts = {
        name: part
        for event in EVENTS
        for name, part in event_schema(event).get("$defs", {}).items()
    }
    lines = [
        "# Events",
        "",
        "Generated by `python docs/generate.py`; don't edit.",
        "",
        "Everything that travels between the services: one class of `trending_shared.events` a "
        "topic. Operators are people, through `trending` or any Kafka client; `trending` also "
        "reads every topic, outside of any group.",
        "",
        "| topic | key | partitions, kept | published by | consumed by |",
        "|---|---|---|---|---|",
        *(_row(event, parties) for event in EVENTS),
        "",
        "A consuming service is a consumer group of its name. What it can't handle now waits in "
        f"{waits}; what it can never handle lies in `{dead_letter_topic('<topic>', '<group>')}`.",
        "",
        "## Headers",
        "",
        "| header | meaning |",
        "|---|---|",
        *(f"| `{name}` | {meaning} |" for name, (meaning, _) in _HEADERS.items()),
    ]
    for event in EVENTS:
        named = f"`{event.type_name()}`, [schema](schemas/{schema_name(event)})"
        lines += ["", f"## {event.topic}", "", f"{_first_line(event)} {named}.", ""]
        lines += _fields(event_schema(event))
    for name, part in sorted(parts.items()):
        lines += ["", f"## {name}", "", part["description"], "", *_fields(part)]
    return "\n".join(lines) + "\n"


def _row(event: type[Event], parties: Sequence[Party]) -> str:
    spec, key = topic_spec(event), key_of(event)
    kept = f"{spec.retention.days} days" if spec.retention > timedelta() else "for ever"
    cells = (
        f"[`{event.topic}`](#{event.topic})",
        f"`{key}`" if "{" in key else key,
        f"{spec.partitions}, {kept}",
        ", ".join(party.name for party in parties if event in party.publishes),
        ", ".join(party.name for party in parties if event in party.consumes),
    )
    return f"| {' | '.join(cells)} |"


def _fields(schema: Mapping[str, Any]) -> list[str]:
    needed = schema.get("required", ())
    return [
        "| field | type | meaning |",
        "|---|---|---|",
        *(
            f"| `{name}`{'' if name in needed else ' (optional)'} "
            f"| {type_in_words(field)} | {field.get('description', '')} |"
            for name, field in schema["properties"].items()
        ),
    ]


def type_in_words(schema: Mapping[str, Any]) -> str:
    """A JSON Schema's type in a word or two; what it refers to is a heading of the same page."""
    if "$ref" in schema:
        name = schema["$ref"].rpartition("/")[2]
        return f"[{name}](#{name.lower()})"
    for choice in ("anyOf", "oneOf"):
        if choice in schema:
            return " or ".join(type_in_words(one) for one in schema[choice])
    if "enum" in schema:
        return " or ".join(f'"{value}"' for value in schema["enum"])
    if "const" in schema:
        return f'"{schema["const"]}"'
    match schema.get("type", "anything"):
        case "array":
            return f"list of {type_in_words(schema['items'])}"
        case "object" if isinstance(schema.get("additionalProperties"), dict):
            return f"{type_in_words(schema['additionalProperties'])} by name"
        case known:
            return str(schema.get("format", known))


# ---------------------------------------------------------------- files


def documents(parties: Sequence[Party]) -> dict[str, str]:
    """Every generated file below `docs/`, by its relative path."""
    return {
        **{f"schemas/{schema_name(event)}": _json(event_schema(event)) for event in EVENTS},
        "asyncapi.json": _json(asyncapi(parties)),
        "events.md": events_page(parties),
    }


def _json(value: Any) -> str:
    return json.dumps(value, indent=2, ensure_ascii=False) + "\n"
