"""What every service can be told through its environment; see `.env.example`.

With no variable set at all the system runs embedded: Kafka as `trending up` started it, a folder as
the object store, SQLite as the catalog, all below `TRENDING_HOME`.
"""

import os
import re
import ssl
from collections.abc import Collection
from functools import cached_property
from importlib.metadata import version
from pathlib import Path
from typing import Any, Literal, Self, TypeVar

from aiokafka.abc import AbstractTokenProvider
from aiokafka.helpers import create_ssl_context
from pydantic import Field, SecretStr, ValidationError, model_validator
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

    model_config = SettingsConfigDict(
        env_prefix="KAFKA_",
        frozen=True,
        env_ignore_empty=True,
        populate_by_name=True,
        hide_input_in_errors=True,  # there are passwords in it
    )

    bootstrap_servers: str = Field(default_factory=lambda: embedded_address())
    security_protocol: Literal["PLAINTEXT", "SSL", "SASL_PLAINTEXT", "SASL_SSL"] = "PLAINTEXT"
    sasl_mechanism: Literal["PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512", "AWS_MSK_IAM"] = "PLAIN"
    sasl_username: str | None = None
    sasl_password: SecretStr | None = None
    ssl_cafile: Path | None = Field(default=None, description="empty: the system's authorities")
    ssl_certfile: Path | None = Field(default=None, description="a client's certificate, PEM")
    ssl_keyfile: Path | None = Field(default=None, description="empty: it is in that file, too")
    ssl_key_password: SecretStr | None = None
    aws_region: str | None = Field(
        default=None, validation_alias="AWS_REGION", description="of a cluster that asks for IAM"
    )
    replication_factor: int = Field(default=1, ge=1, description="of topics we create")
    partitions: int = Field(default=3, ge=1, description="of topics we create")

    @property
    def uses_sasl(self) -> bool:
        return self.security_protocol.startswith("SASL")

    @property
    def uses_iam(self) -> bool:
        """Whether we say who we are by what AWS gave us, as Amazon MSK wants it."""
        return self.uses_sasl and self.sasl_mechanism == "AWS_MSK_IAM"

    @model_validator(mode="after")
    def _can_be_used(self) -> Self:
        told = f"KAFKA_SECURITY_PROTOCOL={self.security_protocol}"
        if self.uses_iam:
            if self.security_protocol != "SASL_SSL":
                raise ValueError("KAFKA_SECURITY_PROTOCOL: AWS_MSK_IAM needs SASL_SSL")
            if not self.aws_region:
                raise ValueError("AWS_REGION: AWS_MSK_IAM needs it, the cluster's")
        elif self.uses_sasl and not self.sasl_username:
            raise ValueError(f"KAFKA_SASL_USERNAME: {told} needs it, and KAFKA_SASL_PASSWORD")
        elif self.uses_sasl and not self.sasl_password:
            raise ValueError(f"KAFKA_SASL_PASSWORD: {told} needs it")
        if self.security_protocol.endswith("SSL"):
            _ = self.ssl_context
        return self

    @cached_property
    def ssl_context(self) -> ssl.SSLContext | None:
        """By whom the brokers' certificates must be signed, and our own if we have one.

        Raises:
            ValueError: a file can't be used; the message names the variable.
        """
        if not self.security_protocol.endswith("SSL"):
            return None
        try:
            context: ssl.SSLContext = create_ssl_context(cafile=self.ssl_cafile)
        except OSError as error:  # of which ssl.SSLError is one
            raise ValueError(f"KAFKA_SSL_CAFILE: {self.ssl_cafile}: {error}") from error
        if self.ssl_keyfile and not self.ssl_certfile:
            raise ValueError("KAFKA_SSL_CERTFILE: KAFKA_SSL_KEYFILE is the key of a certificate")
        if self.ssl_certfile:
            secret = self.ssl_key_password
            # Always told, or OpenSSL would ask a terminal for it.
            password = secret.get_secret_value() if secret else ""
            try:
                context.load_cert_chain(self.ssl_certfile, self.ssl_keyfile, lambda: password)
            except OSError as error:
                raise ValueError(
                    "KAFKA_SSL_CERTFILE, KAFKA_SSL_KEYFILE, KAFKA_SSL_KEY_PASSWORD: "
                    f"{self.ssl_certfile}, {self.ssl_keyfile or 'no other file'}: {error}"
                ) from error
        return context

    def iam_tokens(self) -> AbstractTokenProvider:
        """What tells brokers who we are, if it is AWS that says so.

        Raises:
            SettingInvalid: the extra that signs is missing.
        """
        from trending_shared.msk import IamTokens  # nobody else has to install the AWS SDK

        return IamTokens(self.aws_region or "")

    @cached_property
    def connection(self) -> dict[str, Any]:
        """Options as aiokafka's clients take them; every client of ours is made with them."""
        options: dict[str, Any] = {
            "bootstrap_servers": self.bootstrap_servers,
            "security_protocol": self.security_protocol,
            "ssl_context": self.ssl_context,
        }
        if self.uses_iam:
            options |= {
                "sasl_mechanism": "OAUTHBEARER",
                "sasl_oauth_token_provider": self.iam_tokens(),
            }
        elif self.uses_sasl:
            options |= {
                "sasl_mechanism": self.sasl_mechanism,
                "sasl_plain_username": self.sasl_username,
                "sasl_plain_password": (
                    self.sasl_password.get_secret_value() if self.sasl_password else None
                ),
            }
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
    metrics_emf_namespace: str = Field(
        default="",
        pattern=r"^[0-9A-Za-z._/#:-]{0,255}$",
        validation_alias="METRICS_EMF_NAMESPACE",
        description="of CloudWatch, told of metrics by lines of the log; empty: it isn't",
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
                [
                    *(variable_name(owner, str(at)) for at in problem["loc"][:1]),
                    problem["msg"].removeprefix("Value error, "),
                ]
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
