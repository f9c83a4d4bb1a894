"""Sitemaps, the hostile ones too, and what a site of schema.org pages makes of them."""

import gzip
from collections.abc import Callable
from datetime import date
from pathlib import Path

import pytest

from trending_scraper.sitemaps import MAX_SITEMAP, Entry, Sitemap, read_sitemap
from trending_scraper.sources.base import FetchedPage, Follow, PageUnparsable
from trending_scraper.testing import FETCHED_AT, a_source
from trending_shared.errors import SettingInvalid
from trending_shared.events import ScrapeJob

BASE = "https://films.example"
NAMESPACE = 'xmlns="http://www.sitemaps.org/schemas/sitemap/0.9"'


def urlset(*urls: str, lastmod: str = "") -> bytes:
    pages = "".join(f"<url><loc> {url} </loc>{lastmod}</url>" for url in urls)
    return f'<?xml version="1.0"?><urlset {NAMESPACE}>{pages}</urlset>'.encode()


def index(*urls: str) -> bytes:
    pages = "".join(f"<sitemap><loc>{url}</loc></sitemap>" for url in urls)
    return f"<sitemapindex {NAMESPACE}>{pages}</sitemapindex>".encode()


def follow(body: bytes, *, depth: int = 0, **options: str) -> list[Follow]:
    source = a_source("schema_org", BASE, options=options)
    job = ScrapeJob(source="schema_org", url=f"{BASE}/sitemap.xml", depth=depth)
    page = FetchedPage(source.plan(job).url, body, "utf-8", FETCHED_AT)
    return list(source.extract(job, page).follow)


@pytest.mark.parametrize("pack", [bytes, gzip.compress], ids=["plain", "gzip"])
def test_a_sitemap_lists_pages_and_their_days(pack: Callable[[bytes], bytes]) -> None:
    body = urlset(f"{BASE}/titles/1", lastmod="<lastmod>2026-10-30T09:00:00+02:00</lastmod>")
    assert read_sitemap(pack(body)) == Sitemap(
        pages=(Entry(f"{BASE}/titles/1", date(2026, 10, 30)),)
    )


def test_entities_neither_grow_nor_read_files(tmp_path: Path) -> None:
    secret = tmp_path / "secret"
    secret.write_text("password")
    body = f'<!DOCTYPE u [<!ENTITY f SYSTEM "{secret.as_uri()}">]>'.encode()
    found = read_sitemap(body + urlset("https://films.example/&f;").split(b"?>")[1])
    assert "password" not in str(found)


@pytest.mark.parametrize(
    "body",
    [b"", b"<html></html>", b"{}", b"\x1f\x8b broken", gzip.compress(bytes(MAX_SITEMAP + 1))],
    ids=["empty", "HTML", "JSON", "broken gzip", "a bomb"],
)
def test_what_is_no_sitemap_is_none_and_unparsable(body: bytes) -> None:
    assert read_sitemap(body) is None
    with pytest.raises(PageUnparsable):
        follow(body)


def test_titles_of_the_site_itself_are_followed_and_nothing_else() -> None:
    urls = [f"{BASE}/titles/1", f"{BASE}/about", "https://other.example/titles/2", "nonsense"]
    assert follow(urlset(*urls, *urls)) == [Follow(f"{BASE}/titles/1")]


def test_only_what_changed_of_late_is_followed_if_the_operator_wants_it_so() -> None:
    old = urlset(f"{BASE}/titles/1", lastmod="<lastmod>2026-10-01</lastmod>")
    new = urlset(f"{BASE}/titles/1", lastmod="<lastmod>2026-10-31</lastmod>")
    unsaid = urlset(f"{BASE}/titles/1", lastmod="<lastmod>lately</lastmod>")
    assert len(follow(old)) == 1
    assert [len(follow(body, sitemap_days="7")) for body in (old, new, unsaid)] == [0, 1, 1]


def test_an_index_leads_to_its_sitemaps_and_an_index_within_one_to_nothing() -> None:
    body = index(f"{BASE}/sitemap-1.xml.gz", "https://other.example/sitemap.xml")
    assert follow(body) == [Follow(f"{BASE}/sitemap-1.xml.gz", "list")]
    assert follow(body, depth=1) == []


@pytest.mark.parametrize("options", [{"title_path": "("}, {"sitemap_days": "a week"}], ids=str)
def test_an_option_that_cant_be_used_is_a_wrong_setting(options: dict[str, str]) -> None:
    with pytest.raises(SettingInvalid, match=r"schema_org\.options"):
        a_source("schema_org", BASE, options=options)
