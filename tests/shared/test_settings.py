"""What is told of a service's settings, and what isn't."""

import pytest

from trending_scraper.settings import ScraperSettings
from trending_shared.errors import SettingInvalid
from trending_shared.settings import KafkaSettings, read_settings, tell_settings


def test_no_secret_is_told_and_everything_else_is() -> None:
    settings = ScraperSettings.model_validate(
        {
            "CATALOG_URL": "postgresql+asyncpg://ada:hunter2@db.example/trending?sslpassword=hunter3",
            "STORE_URL": "s3://bucket/prefix",
            "KAFKA": KafkaSettings.model_validate(
                {"sasl_password": "hunter4", "sasl_username": "ada"}
            ),
            "tmdb_token": "hunter5",
            "port": 1,
        }
    )
    told = tell_settings(settings)
    assert "hunter" not in str(told)
    assert told["CATALOG_URL"] == "postgresql+asyncpg://***@db.example/trending?***"
    assert told["STORE_URL"] == "s3://bucket/prefix"
    assert (told["SCRAPER_TMDB_TOKEN"], told["KAFKA_SASL_PASSWORD"]) == ("set", "set")
    assert told["SCRAPER_TRAKT_CLIENT_ID"] == ""
    assert (told["KAFKA_SASL_USERNAME"], told["SCRAPER_PORT"]) == ("ada", "1")


@pytest.mark.parametrize(
    ("told", "named"),
    [
        ({"KAFKA_SECURITY_PROTOCOL": "SASL_SSL"}, "KAFKA_SASL_USERNAME"),
        (
            {"KAFKA_SECURITY_PROTOCOL": "SASL_SSL", "KAFKA_SASL_USERNAME": "ada"},
            "KAFKA_SASL_PASSWORD",
        ),
        (
            {"KAFKA_SECURITY_PROTOCOL": "SSL", "KAFKA_SSL_CAFILE": "/no/such.pem"},
            "KAFKA_SSL_CAFILE",
        ),
        (
            {"KAFKA_SECURITY_PROTOCOL": "SSL", "KAFKA_SSL_CERTFILE": "/no/such.pem"},
            "KAFKA_SSL_CERTFILE",
        ),
        (
            {"KAFKA_SECURITY_PROTOCOL": "SSL", "KAFKA_SSL_KEYFILE": "/no/such.key"},
            "KAFKA_SSL_CERTFILE",
        ),
    ],
)
def test_how_kafka_is_reached_is_judged_at_the_start_by_variable(
    monkeypatch: pytest.MonkeyPatch, told: dict[str, str], named: str
) -> None:
    for name, value in told.items():
        monkeypatch.setenv(name, value)
    with pytest.raises(SettingInvalid, match=f"^{named}") as found:
        read_settings(ScraperSettings)
    assert "Value error" not in str(found.value)
