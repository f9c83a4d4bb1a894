"""The score: a rule over voices, so that no language model can choose it."""

from collections.abc import Iterable
from dataclasses import dataclass

from trending_inference.insights.checking import Claim
from trending_inference.insights.evidence import Evidence

MIN_VOICES = 3
RULE = (
    "Each review of the evidence is one voice: its own rating from 0 to 1 if it came with one; "
    "else 1 if checked praise cites it, 0 if checked criticism does, 0.5 if both. The score is "
    "10 × (sum of voices + 1) / (voices + 2); there is none of fewer than 3 voices."
)


@dataclass(frozen=True, slots=True)
class Score:
    """From 0 to 10, drawn to 5 while few have spoken (Laplace's rule of succession)."""

    value: float
    """With one decimal."""
    rated: int
    """Voices that are ratings."""
    cited: int
    """Voices that checked claims speak for."""


def score(evidence: Evidence, claims: Iterable[Claim] = ()) -> Score | None:
    """The score by `RULE`; none of fewer than `MIN_VOICES` voices.

    A rating isn't the language model's to judge, so what it says of a rated review counts nothing.
    """
    sentences = evidence.by_id()
    heard: dict[int, set[float]] = {}
    for claim in claims:
        for cited in claim.evidence:
            review = sentences[cited.id].review
            if claim.kind != "story" and review is not None and review not in evidence.ratings:
                heard.setdefault(review, set()).add(1.0 if claim.kind == "praise" else 0.0)
    voices = [*evidence.ratings.values(), *(sum(said) / len(said) for said in heard.values())]
    if len(voices) < MIN_VOICES:
        return None
    value = 10 * (sum(voices) + 1) / (len(voices) + 2)
    return Score(round(value, 1), len(evidence.ratings), len(heard))
