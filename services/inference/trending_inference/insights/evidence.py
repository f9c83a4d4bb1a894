"""A title's texts as numbered sentences, which is all that anybody may cite.

Texts are hostile. What can't be seen becomes a space, one for one, so that a sentence's place in
its text stays true. A text that gives orders to language models is withheld whole: whoever wrote it
didn't mean to describe a film. That is a tripwire, not the wall; the wall is that a claim counts
for nothing unless its words are in the sentences (`checking`).
"""

import re
import unicodedata
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal

from trending_inference.insights.wording import words

MAX_SENTENCES = 60
MAX_OF_PLOT = 30
MAX_OF_REVIEW = 6  # one voice among others
MAX_LENGTH = 400  # characters of a sentence; a longer one is cut between words
MIN_SENTENCES = 2
MIN_WORDS = 20  # below either, nothing is claimed

_UNSEEN = re.compile(
    "[\x00-\x09\x0b-\x1f\x7f-\x9f\u00ad\u061c\u180e\u200b\u200e\u200f\u2028-\u202e\u2060-\u206f"
    "\ud800-\udfff\ue000-\uf8ff\ufeff\ufff9-\ufffb\U000e0000-\U000e0fff]"
)
# An end mark with what closes after it, then a space and something that may begin a sentence; a
# full-width end mark needs no space. Runs of marks are taken whole, however long they are.
_END = re.compile(
    r"(?<![.!?…])[.!?…]++[\"'’”»)\]]*+(?=\s+[\"'‘“«(\[¿¡]*[^\W_a-zß-öø-ÿ])|[。！？]+[」』”’）]*|\n{2,}"
)
_ABBREVIATION = re.compile(
    r"(?:\b(?:mr|mrs|ms|dr|st|jr|sr|prof|gen|col|capt|lt|sgt|vs|vol|e\.g|i\.e)|\b[^\W\d_])\.$",
    re.IGNORECASE,
)
_ORDERS = re.compile(
    r"""
      \b(?:ignore|disregard|forget|override)\b [^.!?]{0,30}
      \b(?:previous|prior|above|earlier|preceding|system)\b [^.!?]{0,30}
      \b(?:instructions?|prompts?|directions?|rules|messages?)\b
    | \b(?:system|developer)\s+(?:prompt|message|instructions)\b
    | \b(?:attention|note|message|instructions?)\s+(?:to|for)\s+(?:all\s+|any\s+|the\s+)?
      (?:ai|llms?|chatgpt|(?:large\s+)?language\s+models?)\b
    | <\|\w{1,20}\|> | \[/?inst\] | <</?sys>>
    """,
    re.VERBOSE,
)


@dataclass(frozen=True, slots=True)
class Sentence:
    """One sentence, as it may be cited and as a page can find it: `text[start:end]` of its part."""

    id: str
    part: Literal["plot", "review"]
    review: int | None
    """Which of the reviews, from 0; none for the plot."""
    start: int
    end: int
    text: str


@dataclass(frozen=True, slots=True)
class Review:
    """What a viewer wrote, and the rating that came with it, from 0 to 1."""

    text: str
    rating: float | None = None


@dataclass(frozen=True, slots=True)
class Evidence:
    """All that may be cited of a title."""

    sentences: tuple[Sentence, ...]
    ratings: Mapping[int, float] = field(default_factory=dict)
    """Of those reviews that have a sentence here and gave one, by their number."""
    complete: bool = True
    """False if some sentences found no place."""
    withheld: int = 0
    """Texts left out because they give orders to language models."""

    @property
    def thin(self) -> bool:
        """Too little to say anything of."""
        count = sum(len(words(sentence.text)) for sentence in self.sentences)
        return len(self.sentences) < MIN_SENTENCES or count < MIN_WORDS

    def by_id(self) -> dict[str, Sentence]:
        return {sentence.id: sentence for sentence in self.sentences}


def gather(plot: str, reviews: Sequence[Review]) -> Evidence:
    """The plot's sentences, then the reviews', numbered from `s1` on, as far as there is room."""
    sentences: list[Sentence] = []
    complete, withheld = True, 0
    texts: list[tuple[int | None, str]] = [
        (None, plot),
        *enumerate(review.text for review in reviews),
    ]
    for review, text in texts:
        if gives_orders(text):
            withheld += 1
            continue
        room = MAX_OF_PLOT if review is None else MAX_OF_REVIEW
        room = min(room, MAX_SENTENCES - len(sentences))
        seen = see(text)
        for start, end in split(seen):
            if not room:
                complete = False
                break
            room -= 1
            sentences.append(
                Sentence(
                    id=f"s{len(sentences) + 1}",
                    part="plot" if review is None else "review",
                    review=review,
                    start=start,
                    end=end,
                    text=seen[start:end],
                )
            )
    ratings = {
        sentence.review: rating
        for sentence in sentences
        if sentence.review is not None and (rating := reviews[sentence.review].rating) is not None
    }
    return Evidence(tuple(sentences), ratings, complete, withheld)


def see(text: str) -> str:
    """The text with a space for each character that can't be seen: controls, marks of direction."""
    return _UNSEEN.sub(" ", text)


def gives_orders(text: str) -> bool:
    """Whether a text speaks to a language model, in any spelling that NFKC undoes."""
    return bool(_ORDERS.search(unicodedata.normalize("NFKC", _UNSEEN.sub("", text)).casefold()))


def split(text: str) -> Iterator[tuple[int, int]]:
    """Where the sentences of a text begin and end, in order, without the space around them.

    A sentence ends at an end mark before something that may begin one, not after an abbreviation or
    an initial, and where a paragraph ends. What has no letter or digit is no sentence.
    """
    start = 0
    for match in _END.finditer(text):
        if _ABBREVIATION.search(text, max(start, match.end() - 8), match.end()):
            continue
        yield from _pieces(text, start, match.end())
        start = match.end()
    yield from _pieces(text, start, len(text))


def _pieces(text: str, start: int, end: int) -> Iterator[tuple[int, int]]:
    """A sentence, in pieces of at most `MAX_LENGTH` characters."""
    while start < end:
        cut = end
        if end - start > MAX_LENGTH:
            space = text.rfind(" ", start + 1, start + MAX_LENGTH + 1)
            cut = space if space > 0 else start + MAX_LENGTH
        piece = text[start:cut]
        if any(character.isalnum() for character in piece):
            left = start + len(piece) - len(piece.lstrip())
            yield left, start + len(piece.rstrip())
        start = cut
