"""Prompts don't change, and are told with the data in their place."""

from datetime import UTC, datetime
from typing import Any

import pytest

from trending_shared.errors import PromptNotFound
from trending_shared.prompts import (
    Prompt,
    PromptInvalid,
    PromptRegistry,
    read_prompt,
    write_prompt,
)
from trending_shared.registry import ModelRegistry
from trending_shared.storage import ObjectStore


def a_prompt(**changes: Any) -> Prompt:
    fields = {
        "name": "insights",
        "answers": "insight-1",
        "system": "Say what it is like: ½.",
        "user": "The data:\n\n{data}\n",
        "parameters": {"temperature": 0},
    }
    return Prompt(**(fields | changes))


@pytest.fixture
def store() -> ObjectStore:
    return ObjectStore.at("memory:///")


def test_a_version_is_everything_that_decides_an_answer() -> None:
    changes: list[dict[str, Any]] = [
        {},
        {"name": "other"},
        {"answers": "insight-2"},
        {"system": "Say less."},
        {"user": "{data}"},
        {"parameters": {"temperature": 1}},
    ]
    assert len({a_prompt(**change).version for change in changes}) == len(changes)
    assert a_prompt().version == a_prompt().version


def test_the_data_is_put_in_its_place_and_read_no_further() -> None:
    system, user = a_prompt().messages("the {data} says {data}")
    assert (system["role"], system["content"]) == ("system", "Say what it is like: ½.")
    assert (user["role"], user["content"]) == ("user", "The data:\n\nthe {data} says {data}\n")


def test_a_prompt_is_written_as_the_file_that_gives_it() -> None:
    assert read_prompt(write_prompt(a_prompt())) == a_prompt()


@pytest.mark.parametrize(
    ("text", "wrong"),
    [
        ("{", "YAML"),
        ("insights", "prompt"),
        (write_prompt(a_prompt()).replace("{data}", "no data"), "must stand once"),
        (write_prompt(a_prompt()).replace("½", "{data}"), "nowhere else"),
        (write_prompt(a_prompt()).replace("temperature", "api_key"), "api_key"),
        (write_prompt(a_prompt()).replace("name: insights", "name: ../../x"), "name"),
        (write_prompt(a_prompt()) + "tools: []\n", "tools"),
        ("!!python/object/apply:os.getcwd []", "YAML"),
    ],
)
def test_what_is_no_prompt_is_refused_with_the_place(text: str, wrong: str) -> None:
    with pytest.raises(PromptInvalid, match=wrong):
        read_prompt(text)


def test_a_registered_prompt_is_found_and_has_aliases_as_models_have(store: ObjectStore) -> None:
    registry = PromptRegistry(store)
    one, two = a_prompt(), a_prompt(system="Say less.")
    for prompt in (one, one, two):
        assert registry.register(prompt) == prompt.version
    assert {each.version for each in registry.versions("insights")} == {one.version, two.version}
    assert registry.versions("other") == []
    assert registry.aliases.pointer("insights") is None
    first = registry.aliases.move(
        "insights",
        one.version,
        expected=None,
        reasons=("first",),
        moved_by="test",
        at=datetime(2026, 11, 1, tzinfo=UTC),
    )
    assert registry.aliases.pointer("insights") == first
    assert ModelRegistry(store).pointer("insights") is None, "models have their own"


def test_what_is_not_there_or_was_changed_is_not_handed_out(store: ObjectStore) -> None:
    registry = PromptRegistry(store)
    with pytest.raises(PromptNotFound, match="no prompt"):
        registry.get("insights", "0123")
    version = registry.register(a_prompt())
    key = f"prompts/insights/{version}/prompt.json"
    store.put(key, a_prompt(system="Praise everything.").model_dump_json().encode())
    with pytest.raises(PromptNotFound, match="changed"):
        registry.get("insights", version)
    store.put(key, b"{}")
    with pytest.raises(PromptNotFound, match="read"):
        registry.get("insights", version)
