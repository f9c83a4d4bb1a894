"""The scraper as a whole, built and not started."""

from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from trending_scraper.adapters import configured_sources
from trending_scraper.app import create_app, hash_keys, user_agent
from trending_scraper.authors import KEY_FILE
from trending_scraper.settings import ScraperSettings
from trending_shared.errors import SettingInvalid
from trending_shared.events import (
    ErasureRequested,
    FactsScraped,
    PageFetched,
    PageUnchanged,
    RecordsDeleted,
    RecordsErased,
    ReviewScraped,
    ScrapeJob,
    ServiceConfigured,
    SignalScraped,
    TitleScraped,
)
from trending_shared.settings import read_settings

DEMO = {
    "demo_url": "http://127.0.0.1:8080",
    "allowed_private_hosts": "127.0.0.1:8080",
}


def settings(home: Path = Path("unused"), **changes: Any) -> ScraperSettings:
    fields: dict[str, Any] = {"kafka": {"bootstrap_servers": "127.0.0.1:1"}, "trending_home": home}
    return ScraperSettings(**(fields | DEMO | changes))


def agent_of(settings: ScraperSettings) -> str:
    return user_agent(settings, configured_sources(settings))


def test_the_scraper_says_what_travels_in_and_out(tmp_path: Path) -> None:
    app = create_app(settings(tmp_path))
    assert app.consumer.service == "scraper"
    assert set(app.consumer.consumes) == {ScrapeJob, ErasureRequested}
    assert set(app.produces) == {
        ServiceConfigured,
        TitleScraped,
        ReviewScraped,
        FactsScraped,
        SignalScraped,
        PageFetched,
        PageUnchanged,
        ScrapeJob,
        RecordsDeleted,
        RecordsErased,
    }


def test_two_scrapers_live_side_by_side_and_share_the_key_of_their_home(tmp_path: Path) -> None:
    create_app(settings(tmp_path))
    key = (tmp_path / KEY_FILE).read_text()
    create_app(settings(tmp_path))
    assert (tmp_path / KEY_FILE).read_text() == key


def test_settings_are_read_from_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SCRAPER_ALLOWED_PRIVATE_HOSTS", " Site:8000, 127.0.0.1:8080,")
    monkeypatch.setenv("SCRAPER_DEFAULT_DELAY", "PT0.5S")
    read = read_settings(ScraperSettings)
    assert read.allowed_private_hosts == {"site:8000", "127.0.0.1:8080"}
    assert read.default_delay == timedelta(milliseconds=500)
    assert (read.port, read.batch_size, read.at_once) == (8101, 50, 8)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("SCRAPER_AUTHOR_HASH_KEY", "too short"),
        ("SCRAPER_CONTACT", "us@films.example\r\nX-Evil: 1"),
        ("SCRAPER_AT_ONCE", "0"),
        ("SCRAPER_PAGE_TIMEOUT", "PT0S"),
    ],
)
def test_a_setting_that_cant_be_used_is_named(
    monkeypatch: pytest.MonkeyPatch, name: str, value: str
) -> None:
    monkeypatch.setenv(name, value)
    with pytest.raises(SettingInvalid, match=name):
        read_settings(ScraperSettings)


def test_without_a_demo_url_there_is_no_demo() -> None:
    assert configured_sources(settings(demo_url="")) == []


def test_a_demo_url_must_be_one() -> None:
    with pytest.raises(SettingInvalid, match="SCRAPER_DEMO_URL"):
        configured_sources(settings(demo_url="127.0.0.1:8080"))


def test_our_own_site_needs_no_contact() -> None:
    assert agent_of(settings(code_version="1.2")) == "trending-now/1.2 (local demo)"


def test_a_foreign_site_is_told_whom_to_write_to() -> None:
    films = settings(demo_url="https://films.example", contact="mailto:us@films.example")
    assert agent_of(films).endswith("(+mailto:us@films.example)")


def test_a_foreign_site_isnt_visited_without_a_contact() -> None:
    with pytest.raises(SettingInvalid, match=r"SCRAPER_CONTACT.*films\.example:443"):
        agent_of(settings(demo_url="https://films.example"))


def test_the_key_of_authors_comes_from_the_setting_or_the_home(tmp_path: Path) -> None:
    given = settings(tmp_path, author_hash_key="0123456789abcdef")
    assert hash_keys(given) == (b"0123456789abcdef",)
    assert hash_keys(settings(tmp_path)) == (bytes.fromhex((tmp_path / KEY_FILE).read_text()),)
