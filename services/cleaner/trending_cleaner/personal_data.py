"""Personal data in what viewers write: found by its form, replaced by a mark of its kind.

    [url]      an address on the web, which may be somebody's own page
    [email]    a mail address, spelled out too: `name (at) mail dot com`
    [handle]   a name on a network: `@jane_d`, `u/jane_d`
    [phone]    a telephone number, or another long number that might be one
    [account]  an IBAN whose check digits are right (ISO 13616)
    [card]     a card's number whose check digit is right (Luhn, ISO 7812)
    [ip]       an IP address

Rather one number too many than a telephone number kept. Names and street addresses aren't
recognised: by their form alone they can't be told from the names and places of films.
"""

import re
from collections import Counter
from dataclasses import dataclass
from ipaddress import AddressValueError, IPv6Address

# Possessive or bounded repeats and a look behind each start keep hostile text from taking
# quadratic time. A telephone number has 7 to 15 digits (ITU-T E.164).
_PATTERN = re.compile(
    r"""
    (?P<url>
        (?:h(?:tt|xx)ps?://|ftp://|www\.) [^\s<>"]+ (?<![.,;:!?'")\]])
      | (?<![\w@.-]) (?:[a-z0-9-]{1,63}\.){1,8} (?:com|net|org) \b (?!@)
        (?: / [^\s<>"]* (?<![.,;:!?'")\]]) )?
      | (?<![\w@.-]) (?:[a-z0-9-]{1,63}\.){1,8}
        (?:app|au|be|ca|co|de|dev|es|eu|fr|gg|in|info|io|it|jp|ly|me|nl|ru|tv|uk|us)
        / [^\s<>"]+ (?<![.,;:!?'")\]])
    )
  | (?P<email>
        (?<![\w.+%-]) @? [\w.+%-]++ @ [\w-]++ (?:\.[\w-]++)+
      | (?<![\w.+%-]) [\w.+%-]{1,64} \s? (?: [(\[{] \s? (?:at|@) \s? [)\]}] ) \s? [\w-]{1,63}
        (?: \s? (?: \. | [(\[{] \s? (?:dot|\.) \s? [)\]}] | \bdot\b ) \s? [\w-]{2,63} ){1,4}
      | (?<![\w.+%-]) [\w.+%-]{1,64} (?: \s at \s | \s?@\s ) [\w-]{1,63}
        (?: \s dot \s | \s?\.\s? ) (?:com|net|org|edu|de|fr|uk) \b
    )
  | (?P<handle>
        (?<![\w@./]) @ \w{2,30} (?:\.\w{1,30}){0,3}
      | (?<![\w/]) /? u/ [\w-]{3,30}
    )
  | (?P<account>
        (?-i: (?<!\w) [A-Z]{2}\d{2} (?:\s?[A-Z\d]{4}){2,7} (?:\s?[A-Z\d]{1,4})? (?!\w) )
    )
  | (?P<ip>
        (?<![\w.]) \d{1,3} (?:\.\d{1,3}){3} (?![\w.]*\d)
      | (?<![\w:]) (?=[\da-f:]{0,39}::|(?:[\da-f]{1,4}:){7}) [\da-f:]{3,39} (?![\w:])
    )
  | (?P<number>
        (?<![\w+.,]) (?<!\d/) (?! \d{1,2}(?:\.\d)?/(?:4|5|10|20|100)(?!\d) )  # no score: 9/10
        (?: \+ | \( | (?=\d) ) [\d\s().\-/]{5,30} (?<=\d) (?!\w)
    )
    """,
    re.IGNORECASE | re.VERBOSE,
)
# Most reviews hold none of what all of these begin with.
_HINT = re.compile(
    r"[@\d]|://|www\.|\.(?:com|net|org)\b|\.[a-z]{2,4}/|u/|[(\[{]\s?at|\bdot\b", re.IGNORECASE
)
_YEARS = re.compile(r"(?:(?:18|19|20)\d\d\D*)+")
_DATE = re.compile(r"(?:19|20)\d\d-\d\d-\d\d")
_NOT_A_DIGIT = re.compile(r"\D+")
_FULL_WIDTH = {code: code - 0xFEE0 for code in range(0xFF01, 0xFF5F)}  # ！ to ～, each like its own


@dataclass(frozen=True, slots=True)
class Scrubbed:
    """A text without personal data, and how much of each kind was found in it."""

    text: str
    found: Counter[str]


def scrub(text: str) -> Scrubbed:
    """Put a mark in place of whatever personal data is found.

    Args:
        text: plain text, white space collapsed.
    """
    found: Counter[str] = Counter()
    before = None
    while text != before:  # a mark may lay bare what stood behind it; no mark can be found itself
        before, text = text, _marked(text, found)
    return Scrubbed(text, found)


def _marked(text: str, found: Counter[str]) -> str:
    read = text if text.isascii() else text.translate(_FULL_WIDTH)  # as long as the text itself
    if not _HINT.search(read):
        return text
    parts, end = [], 0
    for match in _PATTERN.finditer(read):
        kind = _kind(match)
        if kind:
            found[kind] += 1
            parts += [text[end : match.start()], f"[{kind}]"]
            end = match.end()
    return "".join([*parts, text[end:]])


def _kind(match: re.Match[str]) -> str | None:
    """What was found; None if it only looks like it."""
    kind, said = match.lastgroup, match[0]
    if kind == "number":
        return _kind_of_number(said)
    if kind == "account":
        return kind if _is_iban(said) else None
    if kind == "ip":
        return kind if _is_ip(said) else None
    return kind


def _kind_of_number(said: str) -> str | None:
    digits = _NOT_A_DIGIT.sub("", said)
    if said.startswith("+"):
        return "phone" if 7 <= len(digits) <= 15 else None
    if _YEARS.fullmatch(said) or _DATE.search(said):
        return None
    if len(digits) == 13 and digits.startswith(("978", "979")):  # a book (ISBN)
        return None
    if 13 <= len(digits) <= 19 and _luhn(digits):
        return "card"
    # Fewer digits without a country code are rather dates, scores and amounts.
    return "phone" if 9 <= len(digits) <= 15 else None


def _luhn(digits: str) -> bool:
    doubled = (sum(divmod(2 * int(digit), 10)) for digit in digits[-2::-2])
    return (sum(doubled) + sum(map(int, digits[::-2]))) % 10 == 0


def _is_iban(said: str) -> bool:
    compact = "".join(said.split())
    moved = compact[4:] + compact[:4]
    return int("".join(str(int(character, 36)) for character in moved)) % 97 == 1


def _is_ip(said: str) -> bool:
    if ":" not in said:
        return all(int(part) <= 255 for part in said.split("."))
    try:
        IPv6Address(said)
    except AddressValueError:
        return False
    return True
