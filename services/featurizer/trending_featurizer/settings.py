"""What the featurizer can be told."""

from datetime import timedelta
from pathlib import Path

from pydantic import Field
from pydantic_settings import SettingsConfigDict

from trending_shared.settings import ConsumerSettings


class FeaturizerSettings(ConsumerSettings):
    """What the featurizer can be told (`FEATURIZER_…`)."""

    model_config = SettingsConfigDict(env_prefix="FEATURIZER_")

    port: int = Field(default=8103, ge=0, le=65535)
    batch_size: int = Field(default=256, ge=1, le=10_000, description="events handled at once")
    threads: int = Field(default=2, ge=1, le=64, description="cores the encoder may use")
    remembered_texts: int = Field(
        default=1_000_000, ge=1, description="texts whose embeddings are kept on disk, 1.6 KB each"
    )
    reviews_kept: timedelta | None = Field(
        default=None,
        ge=timedelta(days=1),
        description="after which time reviews are deleted from the catalog; never if not given",
    )
    snapshot_titles: int = Field(
        default=1000, ge=1, description="new titles after which a dataset is cut"
    )

    @property
    def encoder_cache(self) -> Path:
        return self.home / "encoder"
