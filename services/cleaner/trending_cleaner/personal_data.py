"""Personal data in what viewers write: found by its form, replaced by a mark of its kind.

Rather one number too many than a telephone number kept; names aren't recognised.
"""

import re
from collections import Counter
from dataclasses import dataclass

# Possessive or bounded repeats and a look behind each start keep hostile text from taking
# quadratic time. A telephone number has 7 to 15 digits (ITU-T E.164).
_PATTERN = re.compile(
    r"""
    (?P<url>
        (?:https?://|ftp://|www\.) [^\s<>"]+ (?<![.,;:!?'")\]])
      | (?<![\w@.-]) (?:[a-z0-9-]{1,63}\.){1,8} (?:com|net|org) \b (?!@)
        (?: / [^\s<>"]* (?<![.,;:!?'")\]]) )?
    )
  | (?P<email> (?<![\w.+%-]) @? [\w.+%-]++ @ [\w-]++ (?:\.[\w-]++)+ )
  | (?P<handle> (?<![\w@./]) @ \w{2,30} (?:\.\w{1,30}){0,3} )
  | (?P<phone> (?<![\w+.,]) (?: \+ | \( | (?=\d) ) [\d\s().\-/]{5,30} (?<=\d) (?!\w) )
    """,
    re.IGNORECASE | re.VERBOSE,
)
_YEARS = re.compile(r"(?:(?:18|19|20)\d\d\D*)+")
_DATE = re.compile(r"(?:19|20)\d\d-\d\d-\d\d")


@dataclass(frozen=True, slots=True)
class Scrubbed:
    """A text without personal data, and how much of each kind was found in it."""

    text: str
    found: Counter[str]


def scrub(text: str) -> Scrubbed:
    """Put `[url]`, `[email]`, `[phone]` and `[handle]` in place of what each stands for.

    Args:
        text: plain text, white space collapsed.
    """
    found: Counter[str] = Counter()

    def mark(match: re.Match[str]) -> str:
        kind = match.lastgroup or ""
        if kind == "phone" and not _is_phone(match[0]):
            return match[0]
        found[kind] += 1
        return f"[{kind}]"

    before = None
    while text != before:  # a mark may lay bare what stood behind it; no mark can be found itself
        before, text = text, _PATTERN.sub(mark, text)
    return Scrubbed(text, found)


def _is_phone(text: str) -> bool:
    digits = sum(character.isdecimal() for character in text)
    if text.startswith("+"):
        return 7 <= digits <= 15
    # Fewer digits without a country code are rather dates, scores and amounts.
    return 9 <= digits <= 15 and not _YEARS.fullmatch(text) and not _DATE.search(text)
