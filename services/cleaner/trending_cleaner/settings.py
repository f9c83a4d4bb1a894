"""What the cleaner can be told."""

from pydantic import Field
from pydantic_settings import SettingsConfigDict

from trending_shared.settings import ConsumerSettings


class CleanerSettings(ConsumerSettings):
    """What the cleaner can be told (`CLEANER_…`)."""

    model_config = SettingsConfigDict(env_prefix="CLEANER_")

    port: int = Field(default=8102, ge=0, le=65535, description="0 takes a free port")
