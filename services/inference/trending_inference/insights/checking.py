"""What of a draft is supported by what it cites. The checker is no language model.

A part of a draft is kept only if everything it cites holds, and dropped under the first reason that
doesn't:

    no-evidence       it cites nothing
    unknown-id        it cites a sentence that doesn't exist
    quote-not-found   a quote isn't in its sentence, or is one word of several
    unsafe-text       a claim holds an address, markup, or what can't be seen
    no-review         praise or criticism that cites no review
    number-not-found  a claim has a number that the cited sentences haven't
    name-not-found    likewise a name, which isn't the title's own either
    no-overlap        too few of its words are in the cited sentences
    no-cue            a mood whose words don't stand there, or only denied
    model-disagrees   a genre that the genre model in service takes for hardly possible
    repeated          it was said before

Whether the sentences themselves tell the truth isn't checked: what a review says is shown as what a
review says.
"""

import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from trending_inference.insights.drafting import Citation, ClaimKind, Draft, DraftClaim
from trending_inference.insights.evidence import Evidence, Sentence, see
from trending_inference.insights.vibes import tags_of
from trending_inference.insights.wording import fold, meanings, names, numbers, stems, words

MIN_OVERLAP = 0.5
"""Share of a claim's meaning words that the cited sentences must have."""
GENRE_FLOOR = 0.05
"""A genre less probable than this by the model in service isn't taken from a language model."""
MAX_GENRES, MAX_CLAIMS, MAX_VIBES = 3, 10, 5

_UNSAFE = re.compile(r"://|\bwww\.|\b[\w-]+\.(?:com|net|org|io|example)\b|[<>`\\{}|]|\]\(", re.I)


@dataclass(frozen=True, slots=True)
class Cited:
    """A quote that stands in its sentence."""

    id: str
    quote: str


@dataclass(frozen=True, slots=True)
class FoundGenre:
    """A genre, with its probability by the model in service if that knows it."""

    genre: str
    probability: float | None
    evidence: tuple[Cited, ...] = ()


@dataclass(frozen=True, slots=True)
class Claim:
    """A sentence about the title that rests on what it cites."""

    kind: ClaimKind
    text: str
    evidence: tuple[Cited, ...]


@dataclass(frozen=True, slots=True)
class Vibe:
    """A mood that a sentence says."""

    tag: str
    evidence: tuple[Cited, ...]


@dataclass(frozen=True, slots=True)
class Checked:
    """What is left of a draft, and how many parts were dropped under which reason."""

    genres: tuple[FoundGenre, ...] = ()
    claims: tuple[Claim, ...] = ()
    vibes: tuple[Vibe, ...] = ()
    dropped: Mapping[str, int] = field(default_factory=dict)

    @property
    def summary(self) -> str:
        """The claims that tell the story, in their order."""
        return " ".join(claim.text for claim in self.claims if claim.kind == "story")


def check(
    draft: Draft, evidence: Evidence, *, name: str, probabilities: Mapping[str, float]
) -> Checked:
    """Keep what is supported, in its order.

    Args:
        name: the title's, whose words a claim may use without citing them.
        probabilities: of genres, by the model in service; empty if there is none.
    """
    sentences = evidence.by_id()
    dropped: Counter[str] = Counter()
    genres: dict[str, FoundGenre] = {}
    claims: dict[str, Claim] = {}
    vibes: dict[str, Vibe] = {}
    for genre in draft.genres:
        probability = probabilities.get(genre.genre)
        reason = _misquoted(genre.evidence, sentences)
        if not reason and probability is not None and probability < GENRE_FLOOR:
            reason = "model-disagrees"
        if reason := reason or _again(genre.genre, genres):
            dropped[reason] += 1
        else:
            genres[genre.genre] = FoundGenre(genre.genre, probability, _cited(genre.evidence))
    for claim in draft.claims:
        reason = _misquoted(claim.evidence, sentences) or _unsupported(claim, sentences, name)
        if reason := reason or _again(fold(claim.text), claims):
            dropped[reason] += 1
        else:
            text = " ".join(claim.text.split())
            claims[fold(text)] = Claim(claim.kind, text, _cited(claim.evidence))
    for vibe in draft.vibes:
        reason = _misquoted(vibe.evidence, sentences)
        if not reason and not any(
            vibe.tag in tags_of(sentences[each.id].text) for each in vibe.evidence
        ):
            reason = "no-cue"
        if reason := reason or _again(vibe.tag, vibes):
            dropped[reason] += 1
        else:
            vibes[vibe.tag] = Vibe(vibe.tag, _cited(vibe.evidence))
    return Checked(
        tuple(genres.values())[:MAX_GENRES],
        tuple(claims.values())[:MAX_CLAIMS],
        tuple(vibes.values())[:MAX_VIBES],
        dict(sorted(dropped.items())),
    )


def _misquoted(cited: Sequence[Citation], sentences: Mapping[str, Sentence]) -> str | None:
    """What is wrong with these citations."""
    if not cited:
        return "no-evidence"
    for each in cited:
        if each.id not in sentences:
            return "unknown-id"
        if not _stands(each.quote, sentences[each.id].text):
            return "quote-not-found"
    return None


def _stands(quote: str, sentence: str) -> bool:
    """Whether a quote is whole words of a sentence as they stand: two or more, or all it has."""
    said, there = words(quote), words(sentence)
    if not said or len(said) < min(2, len(there)):
        return False
    whole = f" {' '.join(said)} " in f" {' '.join(there)} "
    return whole and fold(_bare(quote)) in fold(sentence)


def _bare(quote: str) -> str:
    """A quote without what language models put around one."""
    return " ".join(quote.split()).strip(" .,;:!?…\"'“”‘’")


def _unsupported(claim: DraftClaim, sentences: Mapping[str, Sentence], name: str) -> str | None:
    """What of a claim isn't in the sentences it cites."""
    if _UNSAFE.search(claim.text) or see(claim.text) != claim.text:
        return "unsafe-text"
    cited = [sentences[each.id] for each in claim.evidence]
    if claim.kind != "story" and all(each.part == "plot" for each in cited):
        return "no-review"
    there = " ".join(each.text for each in cited)
    if not numbers(claim.text) <= numbers(there) | numbers(name):
        return "number-not-found"
    known = stems(there) | stems(name)
    if not names(claim.text) <= known:
        return "name-not-found"
    if overlap(claim.text, known) < MIN_OVERLAP:
        return "no-overlap"
    return None


def overlap(text: str, known: Iterable[str]) -> float:
    """Share of a text's meaning words whose stems are known, within 0 and 1; 0 if it has none."""
    meant = meanings(text)
    return len(meant & frozenset(known)) / len(meant) if meant else 0.0


def _again(said: str, before: Iterable[str]) -> str | None:
    return "repeated" if said in before else None


def _cited(citations: Sequence[Citation]) -> tuple[Cited, ...]:
    return tuple(Cited(each.id, _bare(each.quote)) for each in citations)
