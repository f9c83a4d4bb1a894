"""What the monitor can be told (`MONITOR_…`)."""

from pydantic import Field
from pydantic_settings import SettingsConfigDict

from trending_shared.settings import ConsumerSettings


class MonitorSettings(ConsumerSettings):
    """How large a window is, and when it counts as drifted."""

    model_config = SettingsConfigDict(env_prefix="MONITOR_")

    port: int = Field(default=8106, ge=0, le=65535)
    window_size: int = Field(
        default=500,
        ge=20,
        description="predictions of one model in a window; smaller ones drift by chance alone",
    )
    false_alarms: float = Field(
        default=0.01,
        gt=0,
        lt=1,
        description="of windows that don't drift, the share in which any feature may seem to",
    )
