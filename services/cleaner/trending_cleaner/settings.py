"""What the cleaner can be told."""

from datetime import timedelta

from pydantic import Field
from pydantic_settings import SettingsConfigDict

from trending_cleaner.deduplication import REDELIVERABLE
from trending_shared.settings import ConsumerSettings


class CleanerSettings(ConsumerSettings):
    """What the cleaner can be told (`CLEANER_…`)."""

    model_config = SettingsConfigDict(env_prefix="CLEANER_")

    bad_share: float = Field(
        default=0.5,
        gt=0,
        le=1,
        description="of a partition's latest records that may be rejected before it is held; "
        "1 rejects them all one by one",
    )
    bad_records: int = Field(
        default=100, ge=1, description="the fewest records after which a partition may be held"
    )
    reviews_kept: timedelta | None = Field(
        default=None,
        ge=REDELIVERABLE,
        description="after which time a review's row is deleted from its table; never if not given",
    )
    rejects_kept: timedelta | None = Field(
        default=None,
        ge=REDELIVERABLE,
        description="likewise of rejected records; what may still be delivered again is known by "
        "these rows, so neither is kept for less than topics keep records",
    )
    port: int = Field(default=8102, ge=0, le=65535, description="0 takes a free port")
