"""What the gateway can be told (`INFERENCE_…`)."""

import os
from datetime import timedelta
from ipaddress import ip_address
from pathlib import Path
from typing import Annotated, Self

from pydantic import Field, SecretStr, field_validator, model_validator
from pydantic_settings import NoDecode, SettingsConfigDict

from trending_shared.api_keys import ApiKey, Scope, parse_keys
from trending_shared.registry import CHAMPION
from trending_shared.settings import ServiceSettings

LLM = "gpt-4o-mini"
MAX_ITEMS = 64
"""Of one request for genres."""


def is_loopback(host: str) -> bool:
    """Whether only this machine is reached by a host's name or address."""
    if host in ("127.0.0.1", "localhost", "::1"):
        return True
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return False


class InferenceSettings(ServiceSettings):
    """Which model is served, to whom, and how long anyone waits for anything."""

    model_config = SettingsConfigDict(env_prefix="INFERENCE_")

    port: int = Field(default=8080, ge=0, le=65535)
    model: str = Field(default="genres", description="the registry's name for the task")
    alias: str = Field(default=CHAMPION, description="which of its versions is served")
    alias_ttl: timedelta = Field(
        default=timedelta(seconds=1), description="how old the knowledge of the alias may be"
    )
    publish_timeout: timedelta = Field(
        default=timedelta(seconds=1), description="how long an answer waits for Kafka"
    )
    workers: int = Field(
        default=1, ge=1, le=64, description="processes that answer, each with a model of its own"
    )
    threads: int = Field(
        default_factory=lambda: os.cpu_count() or 1,
        ge=1,
        description="model runs at once in a process",
    )
    max_waiting: int = Field(
        default=1024, ge=1, description="texts under way or waiting before 503 is answered"
    )
    known_texts: int = Field(
        default=4096, ge=0, description="answers remembered for the same text again; 0: none"
    )
    timeout: timedelta = Field(
        default=timedelta(seconds=10),
        description="how long a request may wait for the model; a caller may ask for less",
    )
    followers: int = Field(
        default=8, ge=1, description="jobs followed at once, each by a client of Kafka"
    )
    start_urls: dict[str, str] = Field(
        default={}, description="first page of each source, for jobs that name none, as JSON"
    )
    api_keys: Annotated[tuple[ApiKey, ...], NoDecode] = Field(
        default=(),
        description="lines of `trending keys create`, with commas; they hold hashes, not keys",
    )
    open_scopes: Annotated[frozenset[Scope], NoDecode] = Field(
        default=frozenset(),
        description="what needs no key, of read, predict and operate, with commas; empty: nothing, "
        "or without keys everything, but for this machine only",
    )
    requests_per_minute: int = Field(
        default=1200, ge=1, description="of each key, or address without one; texts count apart"
    )
    texts_per_minute: int = Field(
        default=6000, ge=MAX_ITEMS, description="to predict from, of each key or address"
    )
    log_requests: bool = Field(
        default=True,
        description="a line for each request; false: for those with a status of 400 or more only",
    )
    openai_api_key: SecretStr | None = Field(default=None, validation_alias="OPENAI_API_KEY")
    openai_base_url: str | None = Field(
        default=None,
        validation_alias="OPENAI_BASE_URL",
        description="of any server of OpenAI's chat completions",
    )
    llm_model: str = Field(default=LLM, description="which language model is asked for insights")
    llm_prompt_price: float = Field(default=0.15, ge=0, description="USD per million tokens read")
    llm_completion_price: float = Field(
        default=0.6, ge=0, description="USD per million tokens written"
    )
    llm_day_usd: float = Field(default=5, ge=0, description="budget of a day (UTC)")
    llm_caller_day_usd: float = Field(default=1, ge=0, description="budget of a caller and day")
    llm_timeout: timedelta = Field(default=timedelta(seconds=20), description="of one attempt")
    llm_deadline: timedelta = Field(
        default=timedelta(seconds=30), description="of an attempt and its repetition"
    )
    llm_at_once: int = Field(
        default=8, ge=1, description="questions under way before others are answered without it"
    )
    prometheus_url: str = Field(
        default="", description="of a Prometheus whose answers the operator's page shows as panels"
    )
    dashboards: Path | None = Field(
        default=None, description="the folder of Grafana's JSON that has these panels"
    )

    @property
    def at_home(self) -> bool:
        """Whether nobody is asked for a key, and only callers of this machine are let in."""
        return not self.api_keys and not self.open_scopes

    @model_validator(mode="after")
    def _is_not_open_by_mistake(self) -> Self:
        if self.at_home and not is_loopback(self.host):
            raise ValueError(
                f"INFERENCE_API_KEYS: with INFERENCE_HOST={self.host} others can reach this "
                "gateway, and nobody would be asked for a key; set the line that `trending keys "
                "create` gives, or say in INFERENCE_OPEN_SCOPES what needs none (read,predict)"
            )
        return self

    @model_validator(mode="after")
    def _panels_have_both(self) -> Self:
        if bool(self.prometheus_url) != bool(self.dashboards):
            raise ValueError(
                "INFERENCE_PROMETHEUS_URL and INFERENCE_DASHBOARDS go together: set both or none"
            )
        if self.prometheus_url and not self.prometheus_url.startswith(("http://", "https://")):
            raise ValueError("INFERENCE_PROMETHEUS_URL must start with http:// or https://")
        return self

    @model_validator(mode="after")
    def _prices_are_of_this_model(self) -> Self:
        """Budgets are kept by prices, and those that are set here are of another model."""
        prices = {"llm_prompt_price", "llm_completion_price"}
        if self.llm_model != LLM and not prices <= self.model_fields_set:
            raise ValueError(
                "INFERENCE_LLM_MODEL needs its prices, INFERENCE_LLM_PROMPT_PRICE and "
                "INFERENCE_LLM_COMPLETION_PRICE"
            )
        return self

    @field_validator("api_keys", mode="before")
    @classmethod
    def _parse_keys(cls, value: object) -> object:
        return parse_keys(value) if isinstance(value, str) else value

    @field_validator("open_scopes", mode="before")
    @classmethod
    def _split(cls, value: object) -> object:
        if isinstance(value, str):
            return frozenset(part.strip().lower() for part in value.split(",") if part.strip())
        return value
