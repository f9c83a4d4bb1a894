"""What is told of a service's settings, and what isn't."""

from trending_scraper.settings import ScraperSettings
from trending_shared.settings import KafkaSettings, tell_settings


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
