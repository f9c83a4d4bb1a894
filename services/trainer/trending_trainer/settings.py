"""What the trainer can be told (`TRAINER_…`)."""

from datetime import timedelta
from typing import Annotated

from pydantic import Field, field_validator
from pydantic_settings import NoDecode, SettingsConfigDict

from trending_shared.settings import ConsumerSettings


class TrainerSettings(ConsumerSettings):
    """How runs are leased and tried, and what may be learned from."""

    model_config = SettingsConfigDict(env_prefix="TRAINER_")

    port: int = Field(default=8104, ge=0, le=65535)
    heartbeat: timedelta = Field(
        default=timedelta(seconds=3), description="how often a run says that it lives"
    )
    lease: timedelta = Field(
        default=timedelta(seconds=20),
        description="silence after which another trainer may take a run over",
    )
    attempts: int = Field(
        default=3, ge=1, description="fits that die before a run counts as failed"
    )
    margin: float = Field(
        default=0.0, ge=0, description="macro-F1 that a candidate must have above the champion's"
    )
    excluded_licenses: Annotated[frozenset[str], NoDecode] = Field(
        default=frozenset(),
        description="SPDX expressions, with commas; titles under these are left out of training",
    )
    permitted_sources: Annotated[frozenset[str], NoDecode] = Field(
        default=frozenset(),
        description="sources that must be asked, and have permitted training in writing",
    )

    @field_validator("excluded_licenses", "permitted_sources", mode="before")
    @classmethod
    def _split(cls, value: object) -> object:
        if isinstance(value, str):
            return frozenset(part.strip() for part in value.split(",") if part.strip())
        return value
