"""From bytes to text, and from text to titles and links."""

import codecs
import json
from typing import Any

import pytest

from trending_scraper.extraction import (
    MAX_URL,
    absolute,
    list_page,
    page_text,
    source_id,
    title_page,
)

URL = "https://films.example/titles/alien-1979"


def page_with(*scripts: Any, body: str = "") -> str:
    texts = (script if isinstance(script, str) else json.dumps(script) for script in scripts)
    tags = (f'<script type="application/ld+json">{text}</script>' for text in texts)
    return f"<!doctype html><html><head>{''.join(tags)}</head><body>{body}</body></html>"


# ---------------------------------------------------------------- charsets


@pytest.mark.parametrize(
    ("body", "header"),
    [
        ("Amélie".encode(), None),
        ("Amélie".encode(), "UTF-8"),
        ("Amélie".encode("cp1252"), "iso-8859-1"),
        ("Amélie".encode("cp1252"), "us-ascii"),
        ("<meta charset=latin1>Amélie".encode("cp1252"), None),
        (
            '<meta http-equiv="Content-Type" content="text/html; charset=windows-1252">'
            "Amélie".encode("cp1252"),
            None,
        ),
        ("<meta charset=latin1>Amélie".encode(), "utf-8"),
        ("<meta charset=utf-16>Amélie".encode(), None),
        (codecs.BOM_UTF8 + "Amélie".encode(), "iso-8859-1"),
        (codecs.BOM_UTF16_LE + "Amélie".encode("utf-16-le"), "utf-8"),
        (codecs.BOM_UTF16_BE + "Amélie".encode("utf-16-be"), None),
        ("Amélie".encode(), "no-such-charset"),
    ],
)
def test_the_charset_is_told_by_mark_then_header_then_meta(body: bytes, header: str | None) -> None:
    assert page_text(body, header).endswith("Amélie")


@pytest.mark.parametrize(
    ("text", "charset"),
    [
        ("七人の侍", "shift_jis"),
        ("아가씨", "euc-kr"),
        ("霸王别姬", "gb2312"),
        ("Солярис", "koi8-r"),
    ],
)
def test_other_alphabets_are_read(text: str, charset: str) -> None:
    assert page_text(text.encode(charset), charset) == text


def test_the_euro_sign_of_a_page_that_says_latin_1_is_read_as_browsers_do() -> None:
    assert page_text(b"\x80", "ISO-8859-1") == "€"


def test_bytes_that_fit_no_charset_become_replacement_characters() -> None:
    assert page_text(b"Am\xe9lie", "utf-8") == "Am\ufffdlie"


@pytest.mark.parametrize(
    "label",
    ["unicode_escape", "utf-7", "idna", "punycode", "zip", "rot13", "undefined", "a\0b", ""],
)
def test_codecs_that_are_no_charsets_of_pages_are_never_used(label: str) -> None:
    assert page_text(b"\\u0041 +AEE-", label) == "\\u0041 +AEE-"


# ---------------------------------------------------------------- detail pages


def test_a_title_is_read_from_json_ld_before_the_visible_page() -> None:
    text = page_with(
        {"@type": "Movie", "identifier": "m1", "name": "Alien", "review": {"reviewBody": "Good."}},
        body="<h1>Something else</h1><p class=plot>No.</p>",
    )
    found = title_page(text, URL)
    assert found is not None
    assert (found.source_id, found.title.name, found.title.plot) == ("m1", "Alien", None)
    assert [one.review.text for one in found.reviews] == ["Good."]


def test_without_json_ld_the_visible_page_counts() -> None:
    found = title_page(
        page_with("{broken", {"@type": "WebSite"}, body="<h1>Alien</h1><p class=plot>A call.</p>"),
        URL,
    )
    assert found is not None
    assert (found.source_id, found.title.name, found.title.plot) == (
        "alien-1979",
        "Alien",
        "A call.",
    )


@pytest.mark.parametrize("text", ["", "   ", "<html></html>", "\0", "<h1>Not found</h1>", "<!--"])
def test_a_page_without_a_title_has_none(text: str) -> None:
    assert title_page(text, URL) is None


def test_a_script_in_a_comment_isnt_there() -> None:
    text = f"<!-- {page_with({'@type': 'Movie', 'name': 'Alien'})} -->"
    assert title_page(text, URL) is None


def test_an_xml_declaration_does_no_harm() -> None:
    text = '<?xml version="1.0" encoding="ISO-8859-1"?>' + page_with(
        {"@type": "Movie", "name": "Amélie"}
    )
    found = title_page(text, URL)
    assert found is not None
    assert found.title.name == "Amélie"


@pytest.mark.parametrize(
    ("identifier", "url", "expected"),
    [
        ("tt1", URL, "tt1"),
        (None, URL, "alien-1979"),
        (None, f"{URL}/?page=2#cast", "alien-1979"),
        (None, "https://films.example/titles/am%C3%A9lie", "amélie"),
        (None, "https://films.example/", "index"),
        ("x" * 5000, URL, "alien-1979"),
        (None, "https://films.example/" + "y" * 5000, "y" * 200),
    ],
)
def test_a_title_is_called_by_its_identifier_or_its_address(
    identifier: str | None, url: str, expected: str
) -> None:
    assert source_id(identifier, url) == expected


# ---------------------------------------------------------------- list pages


def test_a_list_leads_to_each_address_once_and_to_the_next_page() -> None:
    links = list_page(
        """<link rel="canonical" href="/titles?page=1">
        <a href="/titles/alien-1979">Alien</a> <a href="/titles/alien-1979#cast">Cast</a>
        <a href=" dark ">Dark</a> <a>no address</a> <a href="mailto:us@films.example">Write</a>
        <a rel="nofollow NEXT" href="?page=2">Next</a>""",
        "https://films.example/titles/?page=1",
    )
    assert links.urls == (
        "https://films.example/titles/alien-1979",
        "https://films.example/titles/dark",
        "mailto:us@films.example",
    )
    assert links.next_url == "https://films.example/titles/?page=2"


def test_the_next_page_may_be_told_in_the_head() -> None:
    links = list_page('<link rel="next" href="/p/2"><a rel="next" href="/p/2">Next</a>', URL)
    assert links.next_url == "https://films.example/p/2"
    assert links.urls == ("https://films.example/p/2",)


@pytest.mark.parametrize("href", [None, "", "http://[broken", "/" + "x" * MAX_URL])
def test_an_address_that_cant_be_one_is_left_out(href: str | None) -> None:
    assert absolute(URL, href) is None


def test_an_empty_list_leads_nowhere() -> None:
    assert list_page("", URL).urls == ()
