"""What the gateway can be told (`INFERENCE_…`)."""

import os
from datetime import timedelta
from typing import Self

from pydantic import Field, SecretStr, model_validator
from pydantic_settings import SettingsConfigDict

from trending_shared.registry import CHAMPION
from trending_shared.settings import ServiceSettings

LLM = "gpt-4o-mini"


class InferenceSettings(ServiceSettings):
    """Which model is served, and how long anyone waits for anything."""

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
    timeout: timedelta = Field(
        default=timedelta(seconds=10),
        description="how long a request may wait for the model; a caller may ask for less",
    )
    start_urls: dict[str, str] = Field(
        default={}, description="first page of each source, for jobs that name none, as JSON"
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
