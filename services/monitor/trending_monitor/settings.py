"""What the monitor can be told (`MONITOR_…`)."""

from dataclasses import fields
from datetime import timedelta

from pydantic import Field
from pydantic_settings import SettingsConfigDict

from trending_monitor.retraining import Policy
from trending_shared.settings import ConsumerSettings


class MonitorSettings(ConsumerSettings):
    """How large a window is, when it counts as drifted, and when a model is trained anew."""

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
    retrain_windows: int = Field(
        default=3,
        ge=2,
        description="windows in a row that must drift, or be worse, before a model is retrained",
    )
    retrain_sustained: timedelta = Field(
        default=timedelta(hours=1),
        ge=timedelta(0),
        description="time that these must cover, however fast windows fill",
    )
    retrain_fall: float = Field(
        default=0.05,
        ge=0,
        le=1,
        description="macro-F1 that a window may surely lose against the model's test",
    )
    retrain_new_titles: int = Field(
        default=5000, ge=1, description="since the last training, that are worth another"
    )
    retrain_new_share: float = Field(
        default=0.1, gt=0, description="of the titles learned from, likewise"
    )
    retrain_cool_down: timedelta = Field(
        default=timedelta(hours=6), ge=timedelta(0), description="between two trainings"
    )
    retrain_budget: int = Field(
        default=7, ge=0, description="trainings in a period; with 0 only a person trains, by force"
    )
    retrain_period: timedelta = Field(
        default=timedelta(days=7), gt=timedelta(0), description="that the budget is for"
    )
    retrain_every: timedelta | None = Field(
        default=None,
        description="after which a model is trained though nothing happens; never if not given",
    )
    retrain_patience: timedelta = Field(
        default=timedelta(hours=12),
        gt=timedelta(0),
        description="after which a training that nothing is heard of counts as lost",
    )
    retrain_look: timedelta = Field(
        default=timedelta(minutes=1),
        gt=timedelta(0),
        description="how often it is looked whether something is due",
    )

    @property
    def policy(self) -> Policy:
        """What retraining decisions are held to."""
        return Policy(**{one.name: getattr(self, f"retrain_{one.name}") for one in fields(Policy)})
