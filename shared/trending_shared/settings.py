"""What every service can be told through its environment; see `.env.example`.

With no variable set at all the system runs embedded: Kafka as `trending up` started it, a folder as
the object store, SQLite as the catalog, all below `TRENDING_HOME`.
"""

import os
import re
from collections.abc import Collection
from functools import cached_property
from importlib.metadata import version
from pathlib import Path
from typing import Any, Literal, TypeVar

from aiokafka.helpers import create_ssl_context
from pydantic import Field, SecretStr, ValidationError
from pydantic_settings import BaseSettings, SettingsConfigDict

from trending_shared.errors import SettingInvalid

S = TypeVar("S", bound=BaseSettings)

DEFAULT_HOME = Path(".trending")
_SECRET_WORDS = {"key", "keys", "token", "secret", "password"}
_CREDENTIALS = re.compile(
    r"(?<=://)[^/@\s]*(?=@)|(?<=[?&])[^=&]*(?:key|token|secret|password)[^=&]*=[^&\s]*", re.I
)  # the user of an address, and parameters of such names
ADDRESS_FILE = "kafka/address"  # below TRENDING_HOME: where the embedded broker listens


def embedded_address() -> str:
    """Where the embedded broker of `TRENDING_HOME` listens, if one was ever started there."""
    home = Path(os.environ.get("TRENDING_HOME") or DEFAULT_HOME)
    address = home / ADDRESS_FILE
    return address.read_text().strip() if address.exists() else "127.0.0.1:9092"


class KafkaSettings(BaseSettings):
    """How to reach Kafka (`KAFKA_…`)."""

    model_config = SettingsConfigDict(env_prefix="KAFKA_", frozen=True, env_ignore_empty=True)

    bootstrap_servers: str = Field(default_factory=lambda: embedded_address())
    security_protocol: Literal["PLAINTEXT", "SSL", "SASL_PLAINTEXT", "SASL_SSL"] = "PLAINTEXT"
    sasl_mechanism: Literal["PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512"] = "PLAIN"
    sasl_username: str | None = None
    sasl_password: SecretStr | None = None
    ssl_cafile: Path | None = None
    replication_factor: int = Field(default=1, ge=1, description="of topics we create")
    partitions: int = Field(default=3, ge=1, description="of topics we create")

    @cached_property
    def connection(self) -> dict[str, Any]:
        """Options as aiokafka's clients take them."""
        options: dict[str, Any] = {
            "bootstrap_servers": self.bootstrap_servers,
            "security_protocol": self.security_protocol,
        }
        if self.security_protocol.startswith("SASL"):
            options |= {
                "sasl_mechanism": self.sasl_mechanism,
                "sasl_plain_username": self.sasl_username,
                "sasl_plain_password": (
                    self.sasl_password.get_secret_value() if self.sasl_password else None
                ),
            }
        if self.security_protocol.endswith("SSL"):
            options["ssl_context"] = create_ssl_context(
                cafile=str(self.ssl_cafile) if self.ssl_cafile else None
            )
        return options


class CommonSettings(BaseSettings):
    """What is the same for all services; these variables carry no service's prefix."""

    model_config = SettingsConfigDict(frozen=True, env_ignore_empty=True, populate_by_name=True)

    trending_home: Path = Field(default=DEFAULT_HOME, validation_alias="TRENDING_HOME")
    store_url: str = Field(default="", validation_alias="STORE_URL")
    catalog_url: str = Field(default="", validation_alias="CATALOG_URL")
    sources_file: Path | None = Field(
        default=None,
        validation_alias="SOURCES_FILE",
        description="a source catalogue; empty: the one that comes with the package",
    )
    code_version: str = Field(
        default_factory=lambda: version("trending-shared"), validation_alias="CODE_VERSION"
    )
    log_level: Literal["DEBUG", "INFO", "WARNING", "ERROR"] = Field(
        default="INFO", validation_alias="LOG_LEVEL"
    )
    log_format: Literal["auto", "json", "console"] = Field(
        default="auto", validation_alias="LOG_FORMAT", description="auto: console in a terminal"
    )
    kafka: KafkaSettings = Field(default_factory=KafkaSettings, validation_alias="KAFKA")

    @property
    def home(self) -> Path:
        return self.trending_home.absolute()

    @property
    def store(self) -> str:
        """The object store's URL: `s3://bucket/prefix`, or a `file://` folder."""
        return self.store_url or (self.home / "store").as_uri()

    @property
    def catalog(self) -> str:
        """The catalog's SQLAlchemy URL."""
        return self.catalog_url or f"sqlite+aiosqlite:///{self.home / 'catalog.db'}"


class ServiceSettings(CommonSettings):
    """What every service has besides: its own address.

    A subclass sets `env_prefix`, and by it the names of these variables: `CLEANER_PORT`.
    """

    host: str = "127.0.0.1"
    port: int = Field(default=0, ge=0, le=65535, description="0 takes a free port")


class ConsumerSettings(ServiceSettings):
    """What a service that consumes has besides: how it takes its messages."""

    batch_size: int = Field(default=500, ge=1, le=10_000, description="events handled at once")
    dead_letter_limit: int = Field(
        default=100, ge=1, description="dead letters in a row that stop the consumer"
    )
    log_events: bool = Field(
        default=True,
        validation_alias="LOG_EVENTS",
        description="a line for each event; false: for those that weren't handled only",
    )


def read_settings(cls: type[S]) -> S:
    """Read settings from the environment.

    Raises:
        SettingInvalid: a value can't be used; the message names the variable.
    """
    try:
        return cls()
    except ValidationError as error:
        owner = KafkaSettings if error.title == "KafkaSettings" else cls
        problems = [
            ": ".join(
                [*(variable_name(owner, str(at)) for at in problem["loc"][:1]), problem["msg"]]
            )
            for problem in error.errors()  # one of several fields together has no place
        ]
        raise SettingInvalid("; ".join(problems)) from error


def variable_name(cls: type[BaseSettings], field: str) -> str:
    """The environment variable behind a field: `CLEANER_PORT`."""
    info = cls.model_fields.get(field)
    if info is None:
        return field.upper()  # a problem's location is the alias itself
    if isinstance(info.validation_alias, str):
        return info.validation_alias
    return f"{cls.model_config.get('env_prefix', '')}{field}".upper()


def setting_value(settings: BaseSettings, variable: str) -> Any:
    """What a variable was set to; a secret as plain text. None for one that nobody reads."""
    for field in type(settings).model_fields:
        if variable_name(type(settings), field) == variable:
            found = getattr(settings, field)
            return found.get_secret_value() if isinstance(found, SecretStr) else found
    return None


def tell_settings(settings: BaseSettings) -> dict[str, str]:
    """What each variable was set to, to be kept and shown: of a secret only that it is set."""
    told: dict[str, str] = {}
    for field in type(settings).model_fields:
        value = getattr(settings, field)
        if isinstance(value, BaseSettings):
            told |= tell_settings(value)
            continue
        secret = isinstance(value, SecretStr) or not _SECRET_WORDS.isdisjoint(field.split("_"))
        text = "" if value is None or value == () else str(value)
        told[variable_name(type(settings), field)] = (
            "set" if secret and text else _CREDENTIALS.sub("***", text)
        )
    return told


def describe_settings(cls: type[BaseSettings]) -> str:
    """One line a variable, for `--help`."""
    lines = []
    for field, info in cls.model_fields.items():
        if field == "kafka":
            continue
        note = f"  {info.description}" if info.description else ""
        default = info.default
        empty = isinstance(default, Collection) and not default
        if info.default_factory or default is None or empty:
            default = ""
        lines.append(f"  {variable_name(cls, field)}={default}{note}")
    return "\n".join(lines)
