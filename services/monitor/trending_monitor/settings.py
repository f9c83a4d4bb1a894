"""What the monitor can be told (`MONITOR_…`)."""

from datetime import timedelta

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
    reports: bool = Field(
        default=True, description="whether a report on each day is made once it has ended"
    )
    reports_every: timedelta = Field(
        default=timedelta(hours=1),
        gt=timedelta(0),
        description="how often it is looked whether one is missing",
    )
    reports_kept: timedelta = Field(
        default=timedelta(days=90),
        ge=timedelta(days=1),
        description="after which time the reports on a day are deleted",
    )
    records_kept: timedelta = Field(
        default=timedelta(days=90),
        ge=timedelta(days=2),
        description="after which time predictions and insights are deleted from the catalog",
    )
    audit_every: timedelta = Field(
        default=timedelta(seconds=30),
        gt=timedelta(0),
        description="how often it is looked what was promoted or changed, for the audit log",
    )
