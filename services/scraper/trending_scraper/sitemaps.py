"""Sitemaps (sitemaps.org, protocol 0.9): which pages a site has, and when each changed; pure."""

import zlib
from dataclasses import dataclass
from datetime import date

from lxml import etree  # type: ignore[import-untyped]

MAX_SITEMAP = 16 * 1024 * 1024  # bytes, unpacked; a third of what the protocol allows
GZIP = b"\x1f\x8b"


@dataclass(frozen=True, slots=True)
class Entry:
    """A page of a site, and the day on which it changed last, if the sitemap says so."""

    url: str
    changed_on: date | None


@dataclass(frozen=True, slots=True)
class Sitemap:
    """The pages that a sitemap lists, or the sitemaps that an index of them does."""

    pages: tuple[Entry, ...] = ()
    sitemaps: tuple[Entry, ...] = ()


def read_sitemap(body: bytes) -> Sitemap | None:
    """What a sitemap says, gzip'd or not; none if it is none, or beyond all measure."""
    if body.startswith(GZIP):
        unpacking = zlib.decompressobj(wbits=16 + zlib.MAX_WBITS)
        try:
            body = unpacking.decompress(body, MAX_SITEMAP + 1)
        except zlib.error:
            return None
    if len(body) > MAX_SITEMAP:
        return None
    # No entity is resolved and no DTD loaded, so a sitemap neither grows nor reaches anything.
    parser = etree.XMLParser(resolve_entities=False, no_network=True, load_dtd=False, recover=True)
    try:
        root = etree.fromstring(body, parser)
    except etree.XMLSyntaxError:
        return None
    match _name(root) if root is not None else None:
        case "urlset":
            return Sitemap(pages=_entries(root, "url"))
        case "sitemapindex":
            return Sitemap(sitemaps=_entries(root, "sitemap"))
    return None


def _entries(root: etree._Element, kind: str) -> tuple[Entry, ...]:
    found: dict[str, Entry] = {}
    for element in root:
        if _name(element) != kind:
            continue
        said = {_name(child): (child.text or "").strip() for child in element}
        if url := said.get("loc"):
            found[url] = Entry(url, _day(said.get("lastmod", "")))
    return tuple(found.values())


def _name(element: etree._Element) -> str | None:
    """An element's name without its namespace; none for a comment or an entity."""
    return etree.QName(element).localname if isinstance(element.tag, str) else None


def _day(text: str) -> date | None:
    try:
        return date.fromisoformat(text[:10])
    except ValueError:
        return None
