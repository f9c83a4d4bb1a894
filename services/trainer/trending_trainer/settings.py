"""What the trainer can be told (`TRAINER_…`)."""

from datetime import timedelta

from pydantic import Field
from pydantic_settings import SettingsConfigDict

from trending_shared.settings import ConsumerSettings


class TrainerSettings(ConsumerSettings):
    """How runs are leased and tried."""

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
