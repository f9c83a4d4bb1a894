"""What the gateway can be told (`INFERENCE_…`)."""

import os
from datetime import timedelta

from pydantic import Field
from pydantic_settings import SettingsConfigDict

from trending_shared.registry import CHAMPION
from trending_shared.settings import ServiceSettings


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
    threads: int = Field(
        default_factory=lambda: os.cpu_count() or 1, ge=1, description="model runs at once"
    )
    max_waiting: int = Field(
        default=256, ge=1, description="model runs under way or waiting before 503 is answered"
    )
    start_urls: dict[str, str] = Field(
        default={}, description="first page of each source, for jobs that name none, as JSON"
    )
