"""What a page says, as it says it: bytes in, records and links out; pure.

A title is read from the page's JSON-LD if it has any, else from the HTML that people see.
"""

import codecs
import re
from dataclasses import dataclass
from urllib.parse import unquote, urldefrag, urljoin, urlsplit

from lxml import etree, html  # type: ignore[import-untyped]

from trending_scraper import linked_data, visible_page
from trending_scraper.scripts import scripts
from trending_scraper.sources.base import FoundTitle

MAX_SOURCE_ID = 200  # characters; it is part of a Kafka key
MAX_URL = 2000
BOMS = (
    (codecs.BOM_UTF8, "utf-8"),
    (codecs.BOM_UTF16_LE, "utf-16-le"),
    (codecs.BOM_UTF16_BE, "utf-16-be"),
)
META = re.compile(
    rb"""<meta[^>]{1,200}?charset\s*=\s*["']?\s*([a-zA-Z0-9_:.-]{1,40})""", re.IGNORECASE
)
META_WITHIN = 1024  # bytes, as the HTML standard has it
LABEL = re.compile(r"[a-z0-9_:.-]{1,40}")
# What the Encoding Standard lets browsers decode, by Python's names; Python knows codecs that
# aren't character sets at all.
CHARSETS = frozenset(
    {"utf-8", "utf-16-le", "utf-16-be", "big5", "gb18030", "euc_jp", "euc_kr", "shift_jis"}
    | {"iso2022_jp", "koi8-r", "koi8-u", "mac-cyrillic", "mac-roman", "cp866", "cp874"}
    | {f"cp125{n}" for n in range(9)}
    | {f"iso8859-{n}" for n in (2, 3, 4, 5, 6, 7, 8, 10, 13, 14, 15, 16)}
)
WIDER = {
    "ascii": "cp1252", "iso8859-1": "cp1252", "iso8859-9": "cp1254", "iso8859-11": "cp874",
    "gbk": "gb18030", "gb2312": "gb18030", "utf-16": "utf-16-le",
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class Links:
    """Where a list page leads: all addresses on it, each once, and the next page of the list."""

    urls: tuple[str, ...]
    next_url: str | None


# ---------------------------------------------------------------- text


def page_text(body: bytes, charset: str | None) -> str:
    """Decode a page: byte order mark, then header, then meta element, then UTF-8.

    What can't be decoded becomes U+FFFD. The order and the wider charsets that stand for narrower
    ones are those of the WHATWG's HTML and Encoding standards.
    """
    for bom, bom_name in BOMS:
        if body.startswith(bom):
            return body[len(bom) :].decode(bom_name, errors="replace")
    name = codec_name(charset) if charset else None
    if name is None:
        meta = META.search(body[:META_WITHIN])
        name = codec_name(meta[1].decode("ascii")) if meta else None
        if name and name.startswith("utf-16"):
            name = None  # the meta element itself couldn't be read if that were true
    return body.decode(name or "utf-8", errors="replace")


def codec_name(label: str) -> str | None:
    """Python's codec for a charset's label; none if it isn't one that pages may use."""
    if not LABEL.fullmatch(label.lower()):
        return None
    try:
        name = codecs.lookup(label).name
    except LookupError:
        return None
    name = WIDER.get(name, name)
    return name if name in CHARSETS else None


def parse_page(text: str) -> html.HtmlElement | None:
    try:
        return html.document_fromstring(text.encode(), parser=html.HTMLParser(encoding="utf-8"))
    except etree.ParserError:
        return None  # an empty page


# ---------------------------------------------------------------- list pages


def list_page(text: str, url: str) -> Links:
    """The links of a page, and the one it calls the next."""
    root = parse_page(text)
    urls: dict[str, None] = {}
    next_url = None
    for element in root.iter("a", "link") if root is not None else ():
        target = absolute(url, element.get("href"))
        if target is None:
            continue
        if next_url is None and "next" in (element.get("rel") or "").lower().split():
            next_url = target
        elif element.tag == "a":
            urls.setdefault(target)
    return Links(tuple(urls), next_url)


def absolute(base: str, href: str | None) -> str | None:
    """A link's address without its fragment; none if it can't be one."""
    if not href or len(href) > MAX_URL:
        return None
    try:
        target = urldefrag(urljoin(base, href.strip())).url
    except ValueError:
        return None
    return target if len(target) <= MAX_URL else None


# ---------------------------------------------------------------- detail pages


def title_page(text: str, url: str) -> FoundTitle | None:
    """The title that a page is about, with its reviews; none if it shows none."""
    nodes = linked_data.read_nodes(scripts(text, "application/ld+json"))
    node = linked_data.find_title(nodes, url)
    if node is not None:
        return FoundTitle(
            source_id=source_id(linked_data.identifier(node), url),
            title=linked_data.raw_title(node),
            reviews=linked_data.found_reviews(node, nodes),
        )
    found = visible_page.read(text)
    if found is None:
        return None
    title, reviews = found
    return FoundTitle(source_id(None, url), title, reviews)


def source_id(identifier: str | None, url: str) -> str:
    """What the site calls a title: its identifier, else the last part of the page's path."""
    if identifier and len(identifier) <= MAX_SOURCE_ID:
        return identifier
    path = unquote(urlsplit(url).path).rstrip("/")
    return path.rsplit("/", 1)[-1][-MAX_SOURCE_ID:] or "index"
