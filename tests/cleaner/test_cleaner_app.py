"""The cleaner as a whole, built and not started."""

from pathlib import Path

from pydantic_settings import BaseSettings

from trending_cleaner.app import create_app
from trending_cleaner.settings import CleanerSettings
from trending_shared.events import (
    FactsScraped,
    PageFetched,
    PageUnchanged,
    RecordRejected,
    RecordsDeleted,
    RecordsErased,
    ReviewCleaned,
    ReviewScraped,
    ServiceConfigured,
    SignalCleaned,
    SignalScraped,
    TitleCleaned,
    TitleMerged,
    TitleScraped,
)
from trending_shared.settings import read_settings


def settings(home: Path) -> CleanerSettings:
    return CleanerSettings(trending_home=home, kafka={"bootstrap_servers": "127.0.0.1:1"})


def test_the_cleaner_says_what_travels_in_and_out(tmp_path: Path) -> None:
    app = create_app(settings(tmp_path))
    assert app.consumer.service == "cleaner"
    assert set(app.consumer.consumes) == {
        *(TitleScraped, ReviewScraped, FactsScraped, SignalScraped),
        *(PageFetched, PageUnchanged, RecordsErased),
    }
    assert set(app.produces) == {
        ServiceConfigured,
        *(TitleCleaned, ReviewCleaned, SignalCleaned, TitleMerged, RecordRejected),
        *(RecordsDeleted, RecordsErased),
    }


def test_two_cleaners_live_side_by_side_and_building_them_writes_nothing(tmp_path: Path) -> None:
    create_app(settings(tmp_path))
    create_app(settings(tmp_path))
    assert not any(path.is_file() for path in tmp_path.rglob("*"))


def test_the_cleaner_listens_where_the_others_expect_it() -> None:
    assert isinstance(read_settings(CleanerSettings), BaseSettings)
    assert read_settings(CleanerSettings).port == 8102
