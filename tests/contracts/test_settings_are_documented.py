"""`.env.example` against the settings classes."""

import re
from importlib import import_module
from pathlib import Path
from typing import Any

import pytest
from pydantic_settings import BaseSettings

from trending_cli.processes import SERVICES
from trending_monitor.openlineage import OpenLineageSettings
from trending_shared.settings import (
    ConsumerSettings,
    KafkaSettings,
    ServiceSettings,
    describe_settings,
    variable_name,
)

EXAMPLE = Path(__file__).parents[2] / ".env.example"
LINE = re.compile(r"^#([A-Z][A-Z0-9_]*)=(.*)$", re.MULTILINE)


def settings_classes() -> list[type[BaseSettings]]:
    found: list[type[BaseSettings]] = [KafkaSettings]
    for name in SERVICES:
        settings = getattr(import_module(f"trending_{name}.settings"), f"{name.title()}Settings")
        assert issubclass(settings, ServiceSettings)
        found.append(settings)
    return found


def variables(settings: type[BaseSettings]) -> set[str]:
    return {variable_name(settings, field) for field in settings.model_fields} - {"KAFKA"}


def documented() -> dict[str, str]:
    return dict(LINE.findall(EXAMPLE.read_text()))


def test_the_example_names_every_variable_of_every_settings_class_once() -> None:
    named = [name for name, _ in LINE.findall(EXAMPLE.read_text())]
    known = set().union(*map(variables, settings_classes())) | variables(OpenLineageSettings)
    assert sorted(named) == sorted(known)


def test_only_services_that_consume_can_be_told_how_to(workers: dict[str, Any]) -> None:
    consuming = {cls for cls in settings_classes() if issubclass(cls, ConsumerSettings)}
    assert {cls.__name__.removesuffix("Settings").lower() for cls in consuming} == set(workers)


@pytest.mark.parametrize("settings", settings_classes(), ids=lambda cls: cls.__name__)
def test_help_shows_values_that_could_be_set(settings: type[BaseSettings]) -> None:
    for line in describe_settings(settings).splitlines():
        value = line.split("=", 1)[1].split("  ", 1)[0]
        assert value not in {"()", "{}", "set()", "None"}, line
        assert "frozenset" not in value, line


@pytest.mark.parametrize("settings", settings_classes(), ids=lambda cls: cls.__name__)
def test_the_values_in_the_example_are_the_defaults(
    settings: type[BaseSettings], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("TRENDING_HOME")
    monkeypatch.delenv("AWS_REGION", raising=False)
    default = settings()
    for name, value in documented().items():
        monkeypatch.setenv(name, value)
    assert settings() == default
