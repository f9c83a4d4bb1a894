"""Scraped text as plain text: no markup, no invisible characters, one form of each character."""

import html
import re
import unicodedata

from lxml import etree  # type: ignore[import-untyped]
from lxml.html import HTMLParser, document_fromstring  # type: ignore[import-untyped]

# Control characters but white space, halves of surrogate pairs, interlinear annotation, and what
# Unicode calls Default_Ignorable_Code_Point (UAX #44): zero-width, bidirectional and filler
# characters, variation selectors and tags, in which text can be hidden or turned around.
_INVISIBLE = re.compile(
    "[\x00-\x08\x0e-\x1b\x7f-\x84\x86-\x9f"
    "\u00ad\u034f\u061c\u115f\u1160\u17b4\u17b5\u180b-\u180f\u200b-\u200f\u202a-\u202e"
    "\u2060-\u206f\u3164\ufe00-\ufe0f\ufeff\uffa0\ufff0-\ufffb\ud800-\udfff"
    "\U0001bca0-\U0001bca3\U0001d173-\U0001d17a\U000e0000-\U000e0fff]"
)
_TAG = re.compile(r"<[a-zA-Z/!?][^<>]*>")  # "a < b" and "I <3 it" aren't markup
_UNSEEN = ("head", "noscript", "script", "style", "template", "textarea", "title")
_BREAKS = frozenset(
    (
        *("article", "blockquote", "br", "dd", "div", "dl", "dt", "figcaption", "figure", "footer"),
        *("h1", "h2", "h3", "h4", "h5", "h6", "header", "hr", "li", "ol", "p", "pre", "section"),
        *("table", "td", "th", "tr", "ul"),
    )
)
_ROUNDS = 4  # sites escape twice by mistake; nobody does it four times but to get past us


def plain_text(raw: str) -> str:
    """The text that a reader would see, in Unicode's form NFC (UAX #15) and on one line.

    What it returns it leaves as it is: `plain_text(plain_text(raw)) == plain_text(raw)`. Time is
    linear in the length of `raw`.
    """
    if raw.isascii() and raw.isprintable() and "<" not in raw and "&" not in raw:
        return " ".join(raw.split())  # as most short values are
    text = raw
    for _ in range(_ROUNDS):
        seen = _look(text)
        if seen == text:
            return text
        text = seen
    return _look(text.translate({ord("<"): " ", ord("&"): " "}))


def _look(text: str) -> str:
    text = unicodedata.normalize("NFC", _INVISIBLE.sub("", text))
    if "<" in text and _TAG.search(text):
        text = _without_tags(text)
    elif "&" in text:
        text = html.unescape(text)
    return " ".join(text.split())


def _without_tags(text: str) -> str:
    # libxml2 stays linear where html.parser needs minutes for 80 kB of hostile "<a <a <a …".
    root = document_fromstring(
        f"<body>{text}", parser=HTMLParser(remove_comments=True, remove_pis=True)
    )
    etree.strip_elements(root, *_UNSEEN, with_tail=False)
    seen = []
    for event, element in etree.iterwalk(root, events=("start", "end")):
        if element.tag in _BREAKS:
            seen.append(" ")
        seen.append((element.text if event == "start" else element.tail) or "")
    return "".join(seen)
