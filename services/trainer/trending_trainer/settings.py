"""What the trainer can be told (`TRAINER_…`)."""

from datetime import timedelta
from importlib.util import find_spec
from typing import Annotated, Literal

from pydantic import Field, field_validator
from pydantic_settings import NoDecode, SettingsConfigDict

from trending_shared.features import RECIPE, RECIPES
from trending_shared.settings import ConsumerSettings

BASELINE = "keywords"
FAMILIES = (BASELINE, "tfidf-logreg", "tfidf-xgboost", "embedding-logreg", "bert")
_EXTRA = ("torch", "transformers")  # what the extra `bert` brings


def can_fine_tune() -> bool:
    """Whether the extra `bert` is installed."""
    return all(map(find_spec, _EXTRA))


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
    families: Annotated[tuple[str, ...], NoDecode] = Field(
        default=tuple(name for name in FAMILIES if name != "bert"),
        description="what is fitted, with commas; `bert` needs the extra of that name",
    )
    recipe: str = Field(default=RECIPE, description="what goes into a text; see `features`")
    tuned: bool = Field(
        default=True,
        description="whether families are fitted with the best parameters that tuning has found",
    )
    promotion: Literal["experiment", "gates"] = Field(
        default="experiment",
        description="what a candidate must pass to take a champion's place: an experiment after "
        "the gates, or these alone",
    )
    margin: float = Field(
        default=0.0,
        ge=0,
        description="macro-F1 that a candidate must surely have above the champion's",
    )
    slice_margin: float = Field(
        default=0.03, ge=0, description="macro-F1 that a candidate may lose on any slice"
    )
    max_ece: float = Field(
        default=0.05, gt=0, le=1, description="calibration error that a candidate may have"
    )
    max_latency: timedelta = Field(
        default=timedelta(milliseconds=100),
        description="processor time that a candidate may take for a text",
    )
    excluded_licenses: Annotated[frozenset[str], NoDecode] = Field(
        default=frozenset(),
        description="SPDX expressions, with commas; titles under these are left out of training",
    )
    permitted_sources: Annotated[frozenset[str], NoDecode] = Field(
        default=frozenset(),
        description="sources that must be asked, and have permitted training in writing",
    )
    wandb_collection: str = Field(
        default="wandb-registry-model/genres",
        pattern=r"^([^/:]+/)?wandb-registry-[^/:]+/[^/:]+$",
        description="where models are linked in W&B's registry, once there is a WANDB_API_KEY",
    )

    @field_validator("families", mode="before")
    @classmethod
    def _names(cls, value: object) -> object:
        if isinstance(value, str):
            return tuple(part.strip() for part in value.split(",") if part.strip())
        return value

    @field_validator("families")
    @classmethod
    def _known(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        if unknown := sorted(set(value) - set(FAMILIES)):
            raise ValueError(f"no family {unknown[0]!r}; there are {', '.join(FAMILIES)}")
        if not set(value) - {BASELINE}:
            raise ValueError("names no family that can be served")
        if "bert" in value and not can_fine_tune():
            raise ValueError("bert needs torch and transformers: install trending-trainer[bert]")
        return tuple(dict.fromkeys(value))

    @field_validator("recipe")
    @classmethod
    def _known_recipe(cls, value: str) -> str:
        if value not in RECIPES:
            raise ValueError(f"no recipe {value!r}; there are {', '.join(RECIPES)}")
        return value

    @field_validator("excluded_licenses", "permitted_sources", mode="before")
    @classmethod
    def _split(cls, value: object) -> object:
        if isinstance(value, str):
            return frozenset(part.strip() for part in value.split(",") if part.strip())
        return value
