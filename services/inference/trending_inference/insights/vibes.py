"""Moods, and the words that say them: a tag is given only where one of its words stands.

The same table serves the checker and the answer without a language model. The words are English;
texts in other languages get no tags.
"""

from collections.abc import Mapping

from trending_inference.insights.wording import stem, words

_CUES = {
    "atmospheric": "atmospheric atmosphere moody",
    "bleak": "bleak grim hopeless despair",
    "bittersweet": "bittersweet",
    "charming": "charming charm delightful",
    "cozy": "cozy cosy snug comforting",
    "creepy": "creepy eerie uncanny unsettling",
    "dark": "dark sinister macabre",
    "emotional": "emotional touching heartbreaking tearjerker",
    "epic": "epic sweeping",
    "fast": "frenetic relentless breakneck",
    "feel-good": "uplifting heartwarming feelgood",
    "funny": "funny hilarious laugh witty",
    "gritty": "gritty brutal",
    "hopeful": "hopeful optimistic",
    "lonely": "lonely loneliness solitary isolated",
    "melancholic": "melancholic melancholy wistful sad sorrowful",
    "mysterious": "mysterious mystery enigmatic puzzling",
    "nostalgic": "nostalgic nostalgia",
    "quirky": "quirky offbeat eccentric",
    "romantic": "romantic romance tender",
    "scary": "scary terrifying frightening horrifying",
    "silly": "silly goofy absurd",
    "slow": "slow unhurried",
    "spectacular": "spectacular stunning dazzling",
    "surreal": "surreal dreamlike bizarre",
    "tense": "tense suspenseful suspense gripping nailbiting",
    "thoughtful": "thoughtful provoking reflective meditative",
    "violent": "violent violence bloody gory",
    "warm": "warm gentle",
}
VIBES: Mapping[str, frozenset[str]] = {
    tag: frozenset(map(stem, cues.split())) for tag, cues in _CUES.items()
}
"""The stems that say a tag."""
_DENIALS = frozenset(["not", "no", "never", "without", "hardly", "barely", "nothing", "neither"])
_REACH = 3  # words before a cue in which a denial undoes it


def tags_of(text: str) -> list[str]:
    """The tags whose words stand in a text undenied, in alphabetical order."""
    said = set()
    spoken = words(text)
    for at, word in enumerate(spoken):
        before = spoken[max(0, at - _REACH) : at]
        if not any(each in _DENIALS or each.endswith("n't") for each in before):
            said.add(stem(word))
    return [tag for tag, cues in VIBES.items() if cues & said]
