"""What the scraper can be told (`SCRAPER_…`)."""

from datetime import timedelta
from typing import Annotated

from pydantic import Field, SecretStr, field_validator
from pydantic_settings import NoDecode, SettingsConfigDict

from trending_scraper.authors import MIN_KEY
from trending_shared.settings import ConsumerSettings


class ScraperSettings(ConsumerSettings):
    """Which sites are visited, how they are told who visits, and how long they may take."""

    model_config = SettingsConfigDict(env_prefix="SCRAPER_")

    port: int = Field(default=8101, ge=0, le=65535)
    batch_size: int = Field(
        default=50,
        ge=1,
        le=10_000,
        description="jobs handled at once; at a page a second a batch takes most of a minute",
    )
    at_once: int = Field(default=8, ge=1, le=100, description="pages worked on at the same time")
    demo_url: str = Field(default="", description="where the demo film site is; empty: nowhere")
    sources: Annotated[frozenset[str], NoDecode] = Field(
        default=frozenset(),
        description="names of the sources that are asked, with commas; see `trending sources list`",
    )
    schedules: bool = Field(
        default=True, description="whether the recurring jobs of these sources are published"
    )
    contact: str = Field(
        default="",
        pattern=r"^[\x21-\x7e]*$",
        description="a URL or mail address, told to every site; needed to visit any but the demo",
    )
    allowed_private_hosts: Annotated[frozenset[str], NoDecode] = Field(
        default=frozenset(),
        description="host:port,… that may have a private address; all others must be public",
    )
    tmdb_token: SecretStr | None = None
    trakt_client_id: SecretStr | None = None
    omdb_key: SecretStr | None = None
    accept_imdb_terms: bool = Field(
        default=False, description="IMDb's files are used personally and not commercially"
    )
    author_hash_key: SecretStr | None = Field(
        default=None,
        min_length=MIN_KEY,
        description="hashes the names of authors; empty: made once and kept below TRENDING_HOME",
    )
    author_hash_old_keys: Annotated[tuple[SecretStr, ...], NoDecode] = Field(
        default=(),
        description="keys that hashed them before, with commas; needed to find what they hashed",
    )
    pages_kept: timedelta | None = Field(
        default=None,
        ge=timedelta(days=1),
        description="after which time a page's bytes are deleted, and what is known of its fetch; "
        "never if not given: lineage and replays lead back to them",
    )
    default_delay: timedelta = Field(
        default=timedelta(seconds=1),
        ge=timedelta(),
        description="between two requests to a host whose robots.txt has no Crawl-delay",
    )
    connect_timeout: timedelta = Field(default=timedelta(seconds=5), gt=timedelta())
    read_timeout: timedelta = Field(
        default=timedelta(seconds=15), gt=timedelta(), description="the longest silence of a host"
    )
    page_timeout: timedelta = Field(
        default=timedelta(seconds=60), gt=timedelta(), description="for one answer in all"
    )

    @field_validator("author_hash_old_keys", mode="before")
    @classmethod
    def _split_keys(cls, value: object) -> object:
        if not isinstance(value, str):
            return value
        keys = tuple(part.strip() for part in value.split(",") if part.strip())
        if any(len(key) < MIN_KEY for key in keys):
            raise ValueError(f"a key has at least {MIN_KEY} characters")
        return keys

    @field_validator("allowed_private_hosts", "sources", mode="before")
    @classmethod
    def _split(cls, value: object) -> object:
        if isinstance(value, str):
            return frozenset(part.strip().lower() for part in value.split(",") if part.strip())
        return value
