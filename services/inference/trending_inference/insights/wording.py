"""Words as the checker compares them: what of a text carries meaning, crudely stemmed.

Not linguistics: two texts are compared by the same crude rules, so only agreement between them
matters. Scripts without spaces between words are taken in pairs of letters.
"""

import re
import unicodedata
from collections.abc import Iterator

_WORD = re.compile(r"[^\W_]+(?:['’][^\W_]+)?")
_UNSPACED = re.compile("[\u0e00-\u0eff\u1000-\u109f\u1780-\u17ff\u2e80-\u9fff\uf900-\ufaff]")
_SUFFIXES = (
    *("ingly", "edly", "ness", "ing", "ies", "ers", "est"),
    *("ed", "es", "er", "ly", "s", "e", "y"),
)
_STEM = 3  # letters that a suffix must leave
_TYPOGRAPHY = str.maketrans("‘’ʼ“”„«»–—‑", '\'\'\'"""""---')
# Function words, and the words by which one speaks about films and those who watch them.
_SILENT_WORDS = """
    a about after again all also an and any are as at be because been before being between both but
    by can could did do does during each few for from further had has have having he her here hers
    him his how i if in into is it its itself just like may me might more most much must my no nor
    not of off on once one only or other our out over own per same she should so some such than that
    the their them then there these they this those through to too under until up upon us very was
    we were what when where which while who whom why will with within without would you your
    film films movie movies show shows series season episode episodes title story stories plot
    viewer viewers reviewer reviewers review reviews audience audiences people critic critics
    say says said find finds found call calls called feel feels felt think thinks thought
    praise praises praised describe describes described follow follows tell tells
"""
_SILENT = frozenset(_SILENT_WORDS.split())
_NUMBER_WORDS = {
    **{"two": "2", "three": "3", "four": "4", "five": "5", "six": "6", "seven": "7", "eight": "8"},
    **{"nine": "9", "ten": "10", "eleven": "11", "twelve": "12", "dozen": "12"},
    **{"hundred": "100", "thousand": "1000", "million": "1000000", "billion": "1000000000"},
}


def fold(text: str) -> str:
    """A text as quotes are compared: NFKC, plain quotes and dashes, no case, single spaces."""
    plain = unicodedata.normalize("NFKC", text).translate(_TYPOGRAPHY)
    return " ".join(plain.casefold().split())


def words(text: str) -> list[str]:
    """All words, folded, in their order."""
    return list(_words(fold(text)))


def _words(folded: str) -> Iterator[str]:
    for word in _WORD.findall(folded):
        if len(word) > 1 and _UNSPACED.search(word):
            yield from (word[at : at + 2] for at in range(len(word) - 1))
        else:
            yield word


def stem(word: str) -> str:
    """A folded word without its possessive and one ending: `haunted` and `haunts` are one."""
    word = word.removesuffix("'s")
    for suffix in _SUFFIXES:
        if word.endswith(suffix) and len(word) - len(suffix) >= _STEM:
            word = word.removesuffix(suffix)
            break
    return word[:-1] if len(word) > _STEM and word[-1] in "iye" else word


def stems(text: str) -> frozenset[str]:
    """The stems of all words."""
    return frozenset(stem(word) for word in words(text))


def meanings(text: str) -> frozenset[str]:
    """The stems of the words that carry meaning; numbers are told by `numbers`."""
    return frozenset(
        stem(word)
        for word in words(text)
        if word not in _SILENT and not word.isdigit() and word not in _NUMBER_WORDS
    )


def numbers(text: str) -> frozenset[str]:
    """The whole numbers in a text, in digits, whether written so or as a word; but for `one`."""
    return frozenset(
        _NUMBER_WORDS.get(word) or str(int(word))
        for word in words(text)
        if word in _NUMBER_WORDS or (word.isascii() and word.isdigit())
    )


def names(text: str) -> frozenset[str]:
    """The stems of words with a capital that don't begin a sentence: likely names."""
    found = []
    begins = True
    for match in re.finditer(r"[^\W_]+(?:['’][^\W_]+)?|[.!?:…]", text):
        token = match[0]
        if not token[0].isalnum():
            begins = True
            continue
        if token[0].isupper() and not begins and token.casefold() not in _SILENT:
            found.append(stem(fold(token)))
        begins = False
    return frozenset(found)
