"""A title as its page shows it to people, for pages without JSON-LD.

Reads the elements that film sites commonly mark, by class or by schema.org `itemprop`. Each element
is looked at once, whatever a page is made of.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field

from bs4 import BeautifulSoup, Tag

from trending_scraper.sources.base import FoundReview
from trending_shared.events import RawReview, RawTitle

MAX_MARKUP = 512 * 1024  # characters; what people see of a title comes early
MAX_REVIEWS = 200
MAX_VALUES = 100  # of one mark: genres, countries
MARKS = frozenset(
    {"age-rating", "author", "contentRating", "country", "countryOfOrigin", "datePublished"}
    | {"description", "duration", "genre", "genres", "h1", "inLanguage", "kind", "language"}
    | {"plot", "rating", "rating-count", "ratingCount", "ratingValue", "reviewBody", "runtime"}
    | {"score", "text", "time", "year"}
)


@dataclass
class Section:
    """The page, or a review on it, with the marked elements that belong to it, in order."""

    root: Tag
    marked: dict[str, list[Tag]] = field(default_factory=dict)

    def all(self, *names: str) -> list[Tag]:
        return [element for name in names for element in self.marked.get(name, ())]

    def first(self, *names: str, own: bool = False) -> str | None:
        """What the first marked element says; only its `own` words, if asked so."""
        return next((words(element, own=own) for element in self.all(*names)), None)


def read(text: str) -> tuple[RawTitle, tuple[FoundReview, ...]] | None:
    """The title and the reviews of a page; none if it shows no title."""
    soup = BeautifulSoup(text[:MAX_MARKUP].encode(), "lxml", from_encoding="utf-8")
    page, *reviews = sections(soup)
    name = page.first("h1")
    if name is None or page.marked.keys() <= {"h1", "time"}:
        return None  # a heading alone doesn't make a page a title's
    rating, best = fraction(page.first("ratingValue", "score", own=True))
    genres = [link for shelf in page.all("genres")[:1] for link in shelf.find_all("a")]
    title = RawTitle(
        name=name,
        kind=page.first("kind"),
        year=page.first("year", "datePublished"),
        genres=all_words([*genres, *page.all("genre")]),
        plot=page.first("plot", "description"),
        countries=all_words(page.all("country", "countryOfOrigin")),
        language=page.first("language", "inLanguage"),
        runtime=page.first("runtime", "duration"),
        age_rating=page.first("age-rating", "contentRating"),
        rating=rating,
        best_rating=best,
        rating_count=page.first("ratingCount", "rating-count"),
    )
    return title, tuple(map(read_review, reviews))


def read_review(review: Section) -> FoundReview:
    rating, best = fraction(review.first("rating", "ratingValue"))
    times = [str(element.get("datetime") or "") for element in review.all("time")]
    return FoundReview(
        RawReview(
            review_source_id=str(review.root.get("id") or "") or None,
            text=review.first("text", "reviewBody"),
            rating=rating,
            best_rating=best,
            day=next(filter(None, times), None) or review.first("time"),
        ),
        author=review.first("author"),
    )


def fraction(said: str | None) -> tuple[str | None, str | None]:
    """A rating and the best there is, where a page shows both: `8/10`."""
    rating, _, best = (said or "").partition("/")
    return rating.strip() or None, best.strip() or None


def sections(soup: BeautifulSoup) -> list[Section]:
    """The page, then each `article` of the class `review`; an element belongs to the innermost."""
    found = [Section(soup)]
    owners = {id(soup): found[0]}
    for element in soup.find_all(True):
        owner = owners[id(element.parent)]
        classes = element.get_attribute_list("class")
        if element.name == "article" and "review" in classes and len(found) <= MAX_REVIEWS:
            owner = Section(element)
            found.append(owner)
        owners[id(element)] = owner
        for name in (element.name, element.get("itemprop"), *classes):
            if name in MARKS:
                listed = owner.marked.setdefault(str(name), [])
                if len(listed) < MAX_VALUES:
                    listed.append(element)
    return found


def all_words(elements: Sequence[Tag]) -> tuple[str, ...]:
    return tuple(dict.fromkeys(said for said in map(words, elements[:MAX_VALUES]) if said))


def words(element: Tag, *, own: bool = False) -> str | None:
    parts = element.find_all(string=True, recursive=not own)
    return " ".join("".join(parts).split()) or None
