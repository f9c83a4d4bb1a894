"""Reading schema.org descriptions (JSON-LD 1.1) as sites really write them.

Lists where one value was meant, strings where an object was, `@graph`, references, and JSON that
isn't quite: what can be understood is, and nothing here raises.
"""

import html
import json
import math
import re
from collections import Counter, deque
from collections.abc import Callable, Iterable, Iterator, Mapping
from datetime import date, timedelta
from typing import Any

from trending_scraper.external_ids import external_ids
from trending_scraper.sources.base import FoundReview
from trending_shared.events import DayCount, RawReview, RawTitle

Node = Mapping[str, Any]

TITLES = frozenset({"Movie", "TVSeries"})
WATCHING = frozenset({"WatchAction", "ViewAction"})
PAGES = {
    "imdb": re.compile(r"https?://(?:www\.|m\.)?imdb\.com/title/(tt[0-9]+)(?![0-9A-Za-z])"),
    "tmdb": re.compile(r"https?://(?:www\.)?themoviedb\.org/((?:movie|tv)/[0-9]+)"),
    "wikidata": re.compile(r"https?://(?:www\.)?wikidata\.org/(?:wiki|entity)/(Q[0-9]+)"),
}
MAX_VALUES = 100  # of one property: genres, countries
MAX_COUNT = 2**53  # beyond it JSON numbers aren't exact, nor any count of viewers true
LAST_PART = re.compile(r"^.*[/:#]", re.DOTALL)
TRAILING_COMMA = re.compile(r",(\s*[}\]])")
WRAPPING = re.compile(r"^\s*(?://\s*)?(?:<!--|<!\[CDATA\[)|(?://\s*)?(?:-->|\]\]>)[\s;]{0,9}$")
REPAIRS: tuple[Callable[[str], str], ...] = (
    lambda script: script,
    lambda script: WRAPPING.sub("", script.strip("\ufeff")).strip(";"),
    lambda script: TRAILING_COMMA.sub(r"\1", script),
    html.unescape,
)


# ---------------------------------------------------------------- reading


def read_nodes(scripts: Iterable[str]) -> list[Node]:
    """The nodes on the upper levels of all scripts of a page, in order."""
    nodes: list[Node] = []
    for script in scripts:
        pending = deque([parse(script)])
        while pending:
            value = pending.popleft()
            if isinstance(value, list):
                pending += value
            elif isinstance(value, dict):
                nodes.append(value)
                pending += [value.get("@graph"), value.get("mainEntity")]
    return nodes


def parse(script: str) -> Any:
    """The value of a script; none if it's beyond repair."""
    for repair in REPAIRS:
        script = repair(script)
        try:
            return json.loads(script, strict=False)  # lets control characters stand in strings
        except (ValueError, RecursionError):
            continue
    return None


def types(node: Any) -> set[str]:
    """The names of a node's types, without prefix or vocabulary."""
    if not isinstance(node, dict):
        return set()
    values = node.get("@type")
    listed = values if isinstance(values, list) else [values]
    return {LAST_PART.sub("", value) for value in listed if isinstance(value, str)}


def text(value: Any) -> str | None:
    """What a value says: itself, its name, or the first of a list."""
    if value is None:
        return None
    if isinstance(value, str) and value.isascii():
        return value.strip() or None
    for _ in range(4):
        if isinstance(value, list):
            value = value[0] if value else None
        elif isinstance(value, dict):
            value = value.get("@value") or value.get("name")
        else:
            break
    if isinstance(value, bool) or (isinstance(value, float) and not math.isfinite(value)):
        return None
    if isinstance(value, int | float):
        return str(value) if abs(value) <= MAX_COUNT else None
    if not isinstance(value, str):
        return None
    try:
        value.encode()
    except UnicodeEncodeError:  # JSON may escape half a character, which no event could carry
        value = value.encode("utf-16", "surrogatepass").decode("utf-16", "replace")
    return value.strip() or None


def texts(value: Any) -> tuple[str, ...]:
    """What each of some values says, each once."""
    values = value[:MAX_VALUES] if isinstance(value, list) else [value]
    return tuple(dict.fromkeys(said for said in map(text, values) if said))


def first(node: Node, *names: str) -> str | None:
    """The first of some properties that says something."""
    for name in names:
        said = text(node.get(name))
        if said:
            return said
    return None


def each(value: Any) -> Iterator[Node]:
    for item in value if isinstance(value, list) else [value]:
        if isinstance(item, dict):
            yield item


def part(node: Node, name: str) -> Node:
    return next(each(node.get(name)), {})


# ---------------------------------------------------------------- titles


def find_title(nodes: Iterable[Node], url: str) -> Node | None:
    """The film or show that a page is about: the one with the page's address, else the first."""
    titles = [node for node in nodes if types(node) & TITLES and first(node, "name")]
    for title in titles:
        if _same(url, first(title, "url")) or _same(url, first(title, "@id")):
            return title
    return titles[0] if titles else None


def _same(url: str, other: str | None) -> bool:
    return other is not None and other.partition("#")[0].rstrip("/") == url.rstrip("/")


def raw_title(node: Node) -> RawTitle:
    """A title's fields as its node has them."""
    rating = part(node, "aggregateRating")
    return RawTitle(
        name=first(node, "name"),
        kind=next(iter(sorted(types(node) & TITLES)), None),
        year=first(node, "datePublished", "dateCreated", "startDate", "copyrightYear"),
        genres=texts(node.get("genre")),
        plot=first(node, "description", "abstract"),
        countries=texts(node.get("countryOfOrigin")),
        language=first(node, "inLanguage"),
        runtime=first(node, "duration", "timeRequired"),
        age_rating=first(node, "contentRating"),
        rating=first(rating, "ratingValue"),
        best_rating=first(rating, "bestRating"),
        rating_count=first(rating, "ratingCount", "reviewCount"),
        popularity=popularity(node),
        external_ids=others_ids(node),
    )


def others_ids(node: Node) -> dict[str, str]:
    """What others call a title: by links to their pages in `sameAs`, or by named identifiers."""
    claimed: dict[str, str] = {}
    for link in texts(node.get("sameAs")):
        for scheme, page in PAGES.items():
            if match := page.match(link):
                claimed.setdefault(scheme, match[1])
    for value in each(node.get("identifier")):
        scheme, id = (first(value, "propertyID") or "").lower(), first(value, "value")
        if scheme in PAGES and id:
            claimed.setdefault(scheme, id)
    return external_ids(claimed)


def identifier(node: Node) -> str | None:
    """The site's own name for a thing: `identifier`, plain or as a PropertyValue."""
    value = node.get("identifier")
    value = value[0] if isinstance(value, list) and value else value
    if isinstance(value, dict) and "value" in value:
        value = value["value"]
    return text(value)


def popularity(node: Node) -> tuple[DayCount, ...]:
    """How often a title was watched on each day, from counters that span one day."""
    counts: Counter[date] = Counter()
    for counter in each(node.get("interactionStatistic")):
        day, count = _counted_day(counter), _count(counter.get("userInteractionCount"))
        if day is not None and count is not None:
            counts[day] += count
    return tuple(DayCount(day=day, count=count) for day, count in sorted(counts.items()))


def _count(value: Any) -> int | None:
    said = text(value)
    if said is None or len(said) > 16 or not (said.isascii() and said.isdigit()):
        return None
    return int(said)


def _counted_day(counter: Node) -> date | None:
    action = counter.get("interactionType")
    kinds = types(action if isinstance(action, dict) else {"@type": action})
    if kinds.isdisjoint(WATCHING) and action is not None:
        return None
    start, end = _day(first(counter, "startTime")), _day(first(counter, "endTime"))
    if start is None or (end is not None and end - start > timedelta(days=1)):
        return None
    return start


def _day(value: str | None) -> date | None:
    try:
        return date.fromisoformat(value[:10]) if value else None
    except ValueError:
        return None


# ---------------------------------------------------------------- reviews


def found_reviews(title: Node, nodes: Iterable[Node]) -> tuple[FoundReview, ...]:
    """The reviews of a title: those it holds, refers to, or is named by."""
    listed = list(nodes)
    by_id = {name: node for node in listed if (name := first(node, "@id")) and len(node) > 1}
    held = [*each(title.get("review")), *each(title.get("reviews"))]
    held = [by_id.get(str(node["@id"]), node) if set(node) == {"@id"} else node for node in held]
    held += [node for node in listed if "Review" in types(node) and _is_about(node, title)]
    unique = {id(node): node for node in held}.values()
    found, seen = [], set()
    for node in unique:
        review = raw_review(node)
        if review.text is None and review.rating is None:
            continue
        if review.review_source_id in seen:
            review = review.model_copy(update={"review_source_id": None})
        seen.add(review.review_source_id)
        found.append(FoundReview(review, author=first(node, "author", "creator")))
    return tuple(found)


def _is_about(review: Node, title: Node) -> bool:
    subject = part(review, "itemReviewed")
    return any(
        first(subject, name) == first(title, name) and first(title, name) is not None
        for name in ("@id", "url", "name")
    )


def raw_review(node: Node) -> RawReview:
    """A review's fields as its node has them, without its author."""
    rating = part(node, "reviewRating")
    return RawReview(
        review_source_id=identifier(node) or first(node, "@id"),
        text=first(node, "reviewBody", "description", "name"),
        rating=first(rating, "ratingValue") or first(node, "reviewRating"),
        best_rating=first(rating, "bestRating"),
        day=first(node, "datePublished", "dateCreated"),
        language=first(node, "inLanguage"),
    )
