"""Feeds of critics: what they are about, what is taken from them, and what hostile ones cost."""

from pathlib import Path
from typing import Any

import pytest

from trending_scraper.sources.base import Extracted, FetchedPage, PageUnparsable
from trending_scraper.sources.feeds import EXCERPT, MAX_FEED
from trending_scraper.testing import FETCHED_AT, a_source
from trending_shared.errors import SettingInvalid
from trending_shared.events import ScrapeJob

FIXTURES = Path(__file__).parent / "fixtures/feeds"
BASE = "https://backrow.example"
URL = f"{BASE}/feed.xml"
OPTIONS = {"heading": r"Review: (?P<name>.+?)(?: \((?P<year>\d{4})\))?", "kind": "film"}
JOB = ScrapeJob(source="feeds", url=URL)


def a_feed(**options: str) -> Any:
    return a_source("feeds", BASE, options=OPTIONS | options)


def read(body: str | bytes, charset: str | None = None, **options: str) -> Extracted:
    content = body.encode() if isinstance(body, str) else body
    found: Extracted = a_feed(**options).extract(
        JOB, FetchedPage(URL, content, charset, FETCHED_AT)
    )
    return found


def rss(*items: str) -> str:
    inside = "".join(f"<item>{item}</item>" for item in items)
    return f'<rss version="2.0"><channel><title>x</title>{inside}</channel></rss>'


def item(title: str = "Review: Alien", text: str = "Terrifying.", link: str = "/1") -> str:
    return f"<title>{title}</title><link>{link}</link><description>{text}</description>"


def test_a_feed_is_asked_for_only_if_it_has_changed_and_robots_txt_decides() -> None:
    request = a_feed().plan(JOB)
    assert request.conditional
    assert request.robots
    assert "application/rss+xml" in request.content_types


def test_reviews_stand_beside_the_title_that_their_heading_names() -> None:
    ledger, salt = read((FIXTURES / "rss.xml").read_bytes()).facts
    assert ledger.source_id == "the lamplighter’s ledger (2026)"
    assert (ledger.title.name, ledger.title.year, ledger.title.kind) == (
        "The Lamplighter’s Ledger",
        "2026",
        "film",
    )
    first, second = ledger.reviews
    assert first.review.review_source_id == f"{BASE}/reviews/lamplighter?from=feed"
    assert first.review.text == "Fog, ink & debt: a film that takes its time."
    assert first.review.day == "2026-10-18T20:30:00+00:00"
    assert first.review.language == "en-GB"
    assert first.author == "Ines Varga"
    assert second.review.text == "A second opinion: too long."
    assert (salt.title.name, salt.title.year) == ("Salt Roads", None)
    assert salt.reviews[0].review.review_source_id == f"{BASE}/reviews/salt-roads"
    assert salt.reviews[0].review.day is None


def test_atom_is_read_as_rss_is() -> None:
    (watch,) = read((FIXTURES / "atom.xml").read_bytes(), kind="show").facts
    assert (watch.title.name, watch.title.year, watch.title.kind) == (
        "Harbour Watch",
        "2025",
        "show",
    )
    (review,) = watch.reviews
    assert review.review.text == "A port by night, and nobody lands what they load."
    assert review.review.review_source_id == "https://slow.example/notes/7"
    assert review.author == "T. Okafor"


def test_of_a_long_review_only_the_beginning_is_taken() -> None:
    (alien,) = read(rss(item(text="word " * 500))).facts
    text = alien.reviews[0].review.text
    assert text is not None
    assert len(text) <= EXCERPT + 2
    assert text.endswith("word …")


def test_a_feed_without_reviews_is_quiet_and_not_broken() -> None:
    assert read(rss(item(title="News"))) == Extracted()
    assert read(rss()) == Extracted()


@pytest.mark.parametrize("body", ["", "<html><body>Log in</body></html>", "{}", b"\x89PNG\r\n"])
def test_what_is_no_feed_is_unparsable(body: str | bytes) -> None:
    with pytest.raises(PageUnparsable):
        read(body)


def test_a_feed_beyond_all_measure_isnt_even_parsed() -> None:
    with pytest.raises(PageUnparsable, match="limit"):
        read(b"<a>" * (MAX_FEED // 3 + 1))


def test_a_broken_feed_gives_what_can_be_read() -> None:
    (alien,) = read(rss(item()) + "</oops> & <").facts
    assert alien.title.name == "Alien"


def test_entities_neither_grow_nor_read_files(tmp_path: Path) -> None:
    secret = tmp_path / "secret"
    secret.write_text("the password")
    entities = f'<!DOCTYPE r [<!ENTITY f SYSTEM "{secret.as_uri()}"><!ENTITY a "aaaaaaaaaa">'
    entities += "".join(f'<!ENTITY {chr(98 + n)} "{f"&{chr(97 + n)};" * 10}">' for n in range(9))
    found = read(entities + "]>" + rss(item(text="&f; &j; fine")))
    text = found.facts[0].reviews[0].review.text
    assert text is not None
    assert "password" not in text
    assert "aaaa" not in text


def test_a_body_that_is_a_files_name_is_no_file(tmp_path: Path) -> None:
    file = tmp_path / "feed.xml"
    file.write_text(rss(item()))
    with pytest.raises(PageUnparsable):
        read(str(file))


def test_bytes_are_read_in_the_charset_of_the_header() -> None:
    body = rss(item(title="Review: Amélie")).encode("latin-1")
    assert read(body, "iso-8859-1").facts[0].title.name == "Amélie"


@pytest.mark.parametrize(
    "options", [{}, {"heading": "(Review"}, {"heading": "Review: (.+)"}], ids=str
)
def test_a_feed_without_a_usable_pattern_is_a_wrong_setting(options: dict[str, str]) -> None:
    with pytest.raises(SettingInvalid, match=r"feeds\.options\.heading"):
        a_source("feeds", BASE, options=options)
