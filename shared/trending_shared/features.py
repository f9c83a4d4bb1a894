"""The feature library: what is computed of a title, the same way for training and serving.

A feature's name is a promise: the same title gives the same value wherever it is computed.
Featurizer and trainer compute by name, tables, datasets and bundles carry it, and the gateway
composes a text by the recipe that its model was trained on. Whoever wants other values adds a
feature with the next number; what one of this name returns never changes, and a test sees to it.

Words and pieces of words are weighed inside a model's graph, and vectors are the encoder's: see
`trending_shared.embeddings`.
"""

import hashlib
import re
import time
import unicodedata
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any


@dataclass(frozen=True, slots=True)
class Recipe:
    """What goes into a text besides name and plot."""

    facts: bool
    """Kind and countries."""
    review_words: int
    """Words of reviews at most."""


RECIPES: Mapping[str, Recipe] = {
    "name-plot-1": Recipe(facts=False, review_words=0),
    "name-plot-kind-countries-1": Recipe(facts=True, review_words=0),
    "name-plot-reviews-kind-countries-1": Recipe(facts=True, review_words=80),
}
RECIPE = "name-plot-kind-countries-1"
"""The one that is used where nobody says otherwise."""
STATISTICS = "plot-statistics-1"
"""What `text_statistics` counts."""

# Letters that Unicode doesn't take apart into an ASCII letter and a mark; applied after NFKD, so
# that letters with a further mark (ǿ) are covered too.
_LETTERS = str.maketrans(
    {
        "ß": "ss", "ẞ": "ss", "æ": "ae", "Æ": "ae", "œ": "oe", "Œ": "oe", "ø": "o", "Ø": "o",
        "đ": "d", "Đ": "d", "ð": "d", "Ð": "d", "þ": "th", "Þ": "th", "ł": "l", "Ł": "l",
        "ħ": "h", "Ħ": "h", "ı": "i", "‘": "'", "’": "'", "ʼ": "'",
    }
)  # fmt: skip
_UNREADABLE = re.compile(r"[^!-~]+")  # all but the visible ASCII characters
_NOT_A_WORD = re.compile(r"[^a-z0-9]+")
_WORD = re.compile(r"\w+")
_FACTS = re.compile(r" ?\b(?:kind|country)_\w+")


def normalise_text(text: str) -> str:
    """Fold a text to lower-case ASCII with single spaces; what can't be folded becomes a space.

    Accents go first (NFKD without the marks): the tokenisers of scikit-learn and onnxruntime split
    words with accents, and lower `İ`, differently. Normalising twice changes nothing, and a text
    from `compose_text` is normalised already.
    """
    if not text.isascii():
        decomposed = unicodedata.normalize("NFKD", text)
        plain = "".join(letter for letter in decomposed if not unicodedata.combining(letter))
        text = plain.translate(_LETTERS)
    return _UNREADABLE.sub(" ", text).strip().lower()


def compose_text(
    *,
    name: str,
    plot: str,
    kind: str | None = None,
    countries: Iterable[str] = (),
    reviews: Iterable[str] = (),
    recipe: str = RECIPE,
) -> str:
    """Name and plot, then what else the recipe takes, as far as it is known.

    Facts are one token each, `kind_show country_south_korea`. Only these hold an underscore, so
    that no plot can pretend to be a fact.

    Args:
        kind: `film` or `show`; none if it isn't known.
        countries: in any order; each counts once.
        reviews: in any order; a recipe takes the beginning of all of them in alphabetical order.

    Returns:
        A normalised text; an empty one if neither name nor plot has a readable letter or digit.

    Raises:
        KeyError: there is no such recipe.
    """
    takes = RECIPES[recipe]
    story = [normalise_text(part.replace("_", " ")) for part in (name, plot)]
    if not any(character.isalnum() for part in story for character in part):
        return ""
    if takes.review_words:
        said = sorted(normalise_text(review.replace("_", " ")) for review in reviews)
        story.append(" ".join(" ".join(said).split()[: takes.review_words]))
    facts = set()
    if takes.facts:
        facts = {_fact("kind", kind or ""), *(_fact("country", country) for country in countries)}
    return " ".join(filter(None, [*story, *sorted(facts, key=_kind_first)]))


def without_facts(text: str) -> str:
    """A composed text of a title whose kind and countries nobody knows."""
    return _FACTS.sub("", text)


def _fact(name: str, value: str) -> str:
    word = _NOT_A_WORD.sub("_", normalise_text(value)).strip("_")
    return f"{name}_{word}" if word else ""


def _kind_first(fact: str) -> tuple[bool, str]:
    return not fact.startswith("kind_"), fact


def text_hash(text: str) -> str:
    """The name of a text in events, tables and the catalog: 16 hex digits of its SHA-256."""
    return hashlib.sha256(text.encode()).hexdigest()[:16]


@dataclass(frozen=True, slots=True)
class TextStatistics:
    """What can be counted in a text; shares lie within 0 and 1, an empty text is all zeros."""

    characters: int
    words: int
    mean_word_length: float
    """Characters a word."""
    distinct_words: float
    """Share of the words that differ, whatever their case."""
    non_ascii_letters: float
    """Share of the letters that aren't ASCII; of a raw text, as a composed one has none."""


def text_statistics(text: str) -> TextStatistics:
    """Count what a text is made of."""
    words = [word.lower() for word in _WORD.findall(text)]
    letters = [character for character in text if character.isalpha()]
    foreign = sum(not letter.isascii() for letter in letters)
    return TextStatistics(
        characters=len(text),
        words=len(words),
        mean_word_length=sum(map(len, words)) / max(len(words), 1),
        distinct_words=len(set(words)) / max(len(words), 1),
        non_ascii_letters=foreign / max(len(letters), 1),
    )


@dataclass(frozen=True, slots=True)
class Feature:
    """A pure function of what is told of a title.

    Args:
        reads: the fields of a title that it takes, by name.
        gives: what it returns, in words.
    """

    reads: tuple[str, ...]
    gives: str
    compute: Callable[..., Any]

    def of(self, title: Mapping[str, Any]) -> Any:
        """The value of one title; raises `KeyError` if it lacks a field."""
        return self.compute(**{name: title[name] for name in self.reads})


def _recipe(name: str, recipe: Recipe) -> Feature:
    facts = ("kind", "countries") if recipe.facts else ()
    said = ("reviews",) if recipe.review_words else ()
    words = f", with {recipe.review_words} words of reviews" if said else ""
    return Feature(
        reads=("name", "plot", *facts, *said),
        gives=f"the text that a model reads{words}",
        compute=partial(compose_text, recipe=name),
    )


LIBRARY: Mapping[str, Feature] = {
    **{name: _recipe(name, recipe) for name, recipe in RECIPES.items()},
    STATISTICS: Feature(
        reads=("plot",),
        gives="characters, words, their length, and shares of distinct words and foreign letters",
        compute=lambda plot: text_statistics(plot),
    ),
}
"""By name, whose last part is the version."""


def measure_cost(compute: Callable[[Any], object], values: Sequence[Any]) -> float:
    """Seconds of processor time that a function takes for one of these, in the middle of many."""
    spent = []
    for value in values:
        started = time.process_time()
        compute(value)
        spent.append(time.process_time() - started)
    return sorted(spent)[len(spent) // 2]
