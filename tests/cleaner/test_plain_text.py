"""Text of pages as plain text."""

import random
import unicodedata

import pytest

from trending_cleaner.plain_text import plain_text


@pytest.mark.parametrize(
    ("raw", "text"),
    [
        ("<p>One.</p><p>Two.</p>", "One. Two."),
        ("<b>W</b>ord", "Word"),
        ("One<br>two<br/>three", "One two three"),
        ("Tom &amp; Jerry", "Tom & Jerry"),
        ("Tom &amp;amp; Jerry", "Tom & Jerry"),
        ("&lt;i&gt;Alien&lt;/i&gt; returns", "Alien returns"),
        ("before <script>alert('x')</script>after", "before after"),
        ("<style>p {color: red}</style>seen", "seen"),
        ("seen <!-- not seen --> again", "seen again"),
        ("<a title='a>b' href=x>link</a>", "link"),
        ("a < b and c > d", "a < b and c > d"),
        ("I <3 it", "I <3 it"),
        ("if x<y then the rest stays", "if x<y then the rest stays"),
        ("AT&T", "AT&T"),
        ("caf&eacute;", "café"),
    ],
)
def test_markup_goes_and_what_only_looks_like_it_stays(raw: str, text: str) -> None:
    assert plain_text(raw) == text


@pytest.mark.parametrize(
    ("raw", "text"),
    [
        ("cafe\u0301", "café"),
        ("zero\u200bwidth\ufeff", "zerowidth"),
        ("\u202eright to left\u202c", "right to left"),
        ("nul\x00 bell\x07", "nul bell"),
        ("half \ud800 a pair", "half a pair"),
        ("  white \t\r\n\u00a0\u3000 space\u2028 ", "white space"),
        ("soft\u00adhyphen", "softhyphen"),
        ("<\u200bb>hidden tag</b>", "hidden tag"),
        ("tag\U000e0041s", "tags"),
    ],
)
def test_characters_have_one_form_and_can_be_seen(raw: str, text: str) -> None:
    assert plain_text(raw) == text


def test_markup_escaped_over_and_over_leaves_nothing_that_a_browser_would_run() -> None:
    raw = "<img src=x onerror=alert(1)>"
    for _ in range(12):
        raw = raw.replace("&", "&amp;").replace("<", "&lt;")
    text = plain_text(raw)
    assert "<" not in text
    assert "&" not in text


def hostile_strings() -> list[str]:
    """Two thousand strings of pieces that have led parsers astray."""
    pieces = [
        *("<", ">", "&", ";", "#", "&amp", "&#38", "&#x26;", "&lt;", "&gt", "&lt;b&gt;", "&#0;"),
        *("<b>", "</b>", "<p>", "<!--", "-->", "<![CDATA[", "]]>", "<?xml ", "<!doctype", "</"),
        *("<script>", "</script>", "<body>", "</html>", "<frameset>", "<svg><title>", "<a b='"),
        *("\u200b", "\u202e", "\ufeff", "\u0301", "\u0338", "\u2126", "\x00", "\x1f", "\x85"),
        *("\ud800", "\udfff", "\uffff", "\U000e0041", "\U0001f468\u200d\U0001f469", "\u037e"),
        *(
            " ",
            "\n",
            "\u3000",
            "a",
            "e",
            "Ω",
            "한",
            "\u1100\u1161",
            "@",
            "x.com",
            "+49 170 1234567",
        ),
    ]
    chance = random.Random(1888)
    return ["".join(chance.choices(pieces, k=chance.randint(1, 30))) for _ in range(2000)]


def test_cleaning_twice_is_cleaning_once() -> None:
    for raw in hostile_strings():
        once = plain_text(raw)
        assert plain_text(once) == once, ascii(raw)


def test_whatever_comes_leaves_as_one_printable_line_of_valid_unicode() -> None:
    for raw in hostile_strings():
        text = plain_text(raw)
        assert text.encode().decode() == text
        assert text == " ".join(text.split())
        assert unicodedata.is_normalized("NFC", text)
        assert not any(unicodedata.category(character) in {"Cc", "Cs"} for character in text)


@pytest.mark.parametrize(
    "piece",
    [
        "<a ",
        "<!--",
        "<a b='",
        "</",
        "<?",
        "&amp;",
        "amp;",
        "<b>",
        "<p>",
        "<div>",
        "&#",
        "<![CDATA[",
    ],
)
def test_hostile_text_is_read_in_linear_time(piece: str) -> None:
    # Quadratic time would show: html.parser of Python 3.11 takes two minutes for the first.
    raw = "&" + piece * (80_000 // len(piece)) + "<b>x</b>"
    text = plain_text(raw)
    assert plain_text(text) == text
