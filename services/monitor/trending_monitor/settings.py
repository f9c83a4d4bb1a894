"""What the monitor can be told (`MONITOR_…`)."""

from dataclasses import fields
from datetime import timedelta
from typing import Annotated

from pydantic import Field, field_validator
from pydantic_settings import NoDecode, SettingsConfigDict

from trending_monitor import conducting, retraining
from trending_shared.settings import ConsumerSettings


class MonitorSettings(ConsumerSettings):
    """How large a window is, when it drifted, when to train anew, how experiments are judged."""

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
    experiments_every: timedelta = Field(
        default=timedelta(seconds=30),
        gt=timedelta(0),
        description="how often experiments are looked at",
    )
    experiment_alpha: float = Field(
        default=0.05,
        gt=0,
        lt=0.5,
        description="chance that a candidate is promoted that isn't better",
    )
    experiment_worth: float = Field(
        default=0.01,
        gt=0,
        lt=1,
        description="improvement of a score from 0 to 1 that is worth an experiment",
    )
    experiment_slice_margin: float = Field(
        default=0.05, gt=0, lt=1, description="by how much a slice may get worse"
    )
    experiment_shadow_answers: int = Field(
        default=300, ge=20, description="of a candidate, before anybody gets one"
    )
    experiment_split_answers: int = Field(
        default=100, ge=20, description="of a candidate that people got, before it is promoted"
    )
    experiment_outcomes: int = Field(
        default=10_000, ge=1, description="after which a candidate that isn't decided is refused"
    )
    experiment_lasts: timedelta = Field(
        default=timedelta(days=14),
        gt=timedelta(0),
        description="after which time one that isn't decided is refused",
    )
    experiment_quick: timedelta = Field(
        default=timedelta(milliseconds=100),
        ge=timedelta(0),
        description="up to which no answer is slow; beyond it what the control takes counts",
    )
    experiment_settle: timedelta = Field(
        default=timedelta(seconds=30),
        ge=timedelta(0),
        description="age from which on an answer counts; a shadow that isn't there is missing",
    )
    labellers: Annotated[frozenset[str], NoDecode] = Field(
        default=frozenset(),
        description="keys whose corrections are labels, by name, with commas; `anonymous` for "
        "whoever has none",
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
        default=7,
        ge=0,
        le=100,
        description="trainings in a period; with 0 only a person trains, by force",
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
    def retrain_policy(self) -> retraining.Policy:
        """What retraining decisions are held to."""
        names = [one.name for one in fields(retraining.Policy)]
        return retraining.Policy(**{name: getattr(self, f"retrain_{name}") for name in names})

    @property
    def experiment_policy(self) -> conducting.Policy:
        """By which experiments are judged."""
        return conducting.Policy(
            alpha=self.experiment_alpha,
            worth=self.experiment_worth,
            slice_margin=self.experiment_slice_margin,
            shadow_answers=self.experiment_shadow_answers,
            split_answers=self.experiment_split_answers,
            outcomes=self.experiment_outcomes,
            lasts=self.experiment_lasts,
            quick=self.experiment_quick / timedelta(milliseconds=1),
        )

    @field_validator("labellers", mode="before")
    @classmethod
    def _split(cls, value: object) -> object:
        if isinstance(value, str):
            return frozenset(part.strip() for part in value.split(",") if part.strip())
        return value
