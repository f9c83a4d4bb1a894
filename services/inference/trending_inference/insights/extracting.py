"""The answer without a language model: sentences as they stand, and nothing in other words.

Which sentences are central, TextRank says (Mihalcea and Tarau, "TextRank: Bringing Order into
Texts", EMNLP 2004): sentences vote for each other by the words they share, and a vote counts as
much as its voter. Written from the paper.
"""

from collections.abc import Mapping, Sequence
from math import log

from trending_inference.insights.checking import (
    MAX_VIBES,
    Checked,
    Cited,
    Claim,
    FoundGenre,
    Vibe,
)
from trending_inference.insights.evidence import Evidence, Sentence
from trending_inference.insights.vibes import tags_of
from trending_inference.insights.wording import meanings, words

SENTENCES = 2  # of a summary
_DAMPING = 0.85
_ROUNDS = 30  # 0.85 to the 30th is below 1 %


def extract(
    evidence: Evidence, *, genres: Sequence[str], probabilities: Mapping[str, float]
) -> Checked:
    """The plot's most central sentences, the model's genres, and moods in the words of the texts.

    Args:
        genres: those that the model in service gives, most probable first.
        probabilities: of genres, by the same model.
    """
    plot = [each for each in evidence.sentences if each.part == "plot"]
    said: dict[str, list[Cited]] = {}
    for sentence in evidence.sentences:
        for tag in tags_of(sentence.text):
            said.setdefault(tag, []).append(_whole(sentence))
    often = sorted(said.items(), key=lambda found: -len(found[1]))[:MAX_VIBES]
    return Checked(
        genres=tuple(FoundGenre(genre, probabilities.get(genre)) for genre in genres),
        claims=tuple(
            Claim("story", each.text, (_whole(each),)) for each in central(plot, SENTENCES)
        ),
        vibes=tuple(Vibe(tag, tuple(cited[:3])) for tag, cited in often),
    )


def central(sentences: Sequence[Sentence], count: int) -> list[Sentence]:
    """The most central sentences, in their own order; of equals the first."""
    bags = [meanings(each.text) for each in sentences]
    lengths = [len(words(each.text)) for each in sentences]

    def alike(one: int, other: int) -> float:
        shared = len(bags[one] & bags[other])
        size = log(lengths[one]) + log(lengths[other])
        return shared / size if one != other and shared and size else 0.0

    span = range(len(sentences))
    votes = [[alike(one, other) for other in span] for one in span]
    given = [sum(row) for row in votes]
    ranks = [1.0] * len(sentences)
    for _ in range(_ROUNDS):
        ranks = [
            1
            - _DAMPING
            + _DAMPING * sum(votes[at][to] / given[at] * ranks[at] for at in span if votes[at][to])
            for to in span
        ]
    best = sorted(span, key=lambda at: (-round(ranks[at], 9), at))[:count]
    return [sentences[at] for at in sorted(best)]


def _whole(sentence: Sentence) -> Cited:
    return Cited(sentence.id, sentence.text)
