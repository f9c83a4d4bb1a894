"""Languages and countries by the names that sites give them.

The names are CLDR's (Unicode Common Locale Data Repository, as Babel carries it): English ones, and
those that the languages of much of the web have for themselves and others. The tables are built
when first asked for, which takes a fifth of a second and 20 MB.
"""

import re
from functools import cache, lru_cache
from types import MappingProxyType

from babel import Locale
from babel.core import get_global

# Whose names are known, English first: where two of them use one word for two things, it decides.
_NAMED_IN = (
    *("en", "de", "es", "fr", "it", "pt", "nl", "sv", "pl", "ru", "tr"),
    *("ar", "hi", "ja", "ko", "zh"),
)
_TAG = re.compile(
    r"([a-z]{2,3})(?:[-_]([a-z]{4}))?(?:[-_]([a-z]{2}|\d{3}))?(?:[-_](?:[a-z\d]{5,8}|\d[a-z\d]{3}))*",
    re.IGNORECASE | re.ASCII,
)
_SEVERAL = re.compile(r"[,;/|]")
_NO_LANGUAGE = frozenset({"und", "mul", "mis", "zxx", "root"})
_LANGUAGES = {  # beside CLDR's names
    "mandarin": "zh",
    "mandarin chinese": "zh",
    "standard chinese": "zh",
    "castilian": "es",
    "castilian spanish": "es",
    "farsi": "fa",
    "modern greek": "el",
}
_NO_COUNTRY = frozenset({"EU", "EZ", "QO", "UN", "XA", "XB", "ZZ"})
_OWN_NAMES = {  # the models' texts hold these, whatever CLDR calls them by now
    "CD": "Democratic Republic of the Congo",
    "CG": "Republic of the Congo",
    "CI": "Ivory Coast",
    "CZ": "Czech Republic",
    "HK": "Hong Kong",
    "MM": "Myanmar",
    "MO": "Macao",
    "PS": "Palestine",
    "TR": "Turkey",
}
_OTHER_NAMES = {
    "United States": ("u.s.", "u.s.a.", "united states of america", "america"),
    "United Kingdom": ("u.k.", "great britain", "england", "scotland", "wales", "northern ireland"),
    "South Korea": ("republic of korea",),
    "North Korea": ("democratic people's republic of korea",),
    "Russia": ("russian federation",),
    "Netherlands": ("holland",),
    "United Arab Emirates": ("uae", "u.a.e."),
    "Hong Kong": ("hong kong sar",),
    "Macao": ("macau",),
    "China": ("people's republic of china", "mainland china"),
    "Vietnam": ("viet nam",),
    "Myanmar": ("burma",),
    "Eswatini": ("swaziland",),
    "North Macedonia": ("macedonia",),
    "Cape Verde": ("cabo verde",),
    "Moldova": ("republic of moldova",),
    "Syria": ("syrian arab republic",),
    "Laos": ("lao people's democratic republic",),
    "Brunei": ("brunei darussalam",),
    "Iran": ("islamic republic of iran",),
    "Bolivia": ("plurinational state of bolivia",),
    "Venezuela": ("bolivarian republic of venezuela",),
    "Tanzania": ("united republic of tanzania",),
    "Palestine": ("state of palestine",),
    "Ivory Coast": ("cote d'ivoire",),
    "Taiwan": ("province of china taiwan",),
    "Democratic Republic of the Congo": ("dr congo",),
    # Of countries that are no more, films keep the one they were made in.
    "Soviet Union": ("su", "sun", "ussr", "u.s.s.r.", "union of soviet socialist republics"),
    "East Germany": ("dd", "ddr", "gdr", "german democratic republic"),
    "West Germany": ("frg",),
    "Czechoslovakia": ("csk", "tch"),
    "Yugoslavia": ("yu", "yug", "federal republic of yugoslavia"),
    "Serbia and Montenegro": ("scg",),
}
# What ISO 3166 puts behind a comma: `Korea, Republic of`.
_BEHIND = re.compile(r"[\w' ]{0,40}\b(?:republic|states?|province) of(?: the| china)?", re.I)


@lru_cache(maxsize=4096)
def language_tag(text: str) -> str | None:
    """The BCP 47 tag of a language: of `en_us`, `ger`, `English`, `Deutsch`, `日本語`.

    Of several languages it is the first that can be read; None if none can.

    Args:
        text: plain text.
    """
    for part in _SEVERAL.split(text):
        word = " ".join(part.split()).casefold()
        tag = _known_tag(word) or _language_names().get(word)
        if tag:
            return tag
    return None


def country_name(text: str) -> str:
    """The one English name of a country: of `US`, `USA`, `Vereinigte Staaten`.

    What is no country known to CLDR stays as it is.
    """
    return _country_names().get(_fold(text), text)


def split_countries(text: str) -> list[str]:
    """The countries of a list with commas, in which ISO's own names have some too."""
    parts: list[str] = []
    for part in text.split(","):
        word = part.strip()
        if parts and " of" in word and _BEHIND.fullmatch(word):
            before = parts.pop()
            whole = f"{word} {before}"
            parts.append(whole if _fold(whole) in _country_names() else before)
        else:
            parts.append(word)
    return parts


def _known_tag(word: str) -> str | None:
    match = _TAG.fullmatch(word)
    if match is None or match[1] in _NO_LANGUAGE:
        return None
    language, script, region = match.groups()
    english = Locale("en")
    whole = get_global("language_aliases").get(language, language)  # `ger` is `de`, `sh` `sr_Latn`
    language, *implied = whole.split("_")
    if language not in english.languages:
        return None
    script = (script or "").title() or next((part for part in implied if len(part) == 4), "")
    if script not in english.scripts:
        script = ""
    region = (region or "").upper() or next((part for part in implied if len(part) == 2), "")
    (region, *others) = get_global("territory_aliases").get(region, [region])
    if others or region not in english.territories:
        region = ""
    return "-".join(filter(None, (language, script, region)))


@cache
def _language_names() -> MappingProxyType[str, str]:
    """Tags by name, case folded."""
    names = dict(_LANGUAGES)
    for identifier in _NAMED_IN:
        for code, name in Locale(identifier).languages.items():
            tag = _known_tag(code.casefold())
            if tag:
                names.setdefault(name.casefold(), tag)
    return MappingProxyType(names)


@cache
def _country_names() -> MappingProxyType[str, str]:
    """English names by any name or code, folded."""
    english = {
        code: _OWN_NAMES.get(code) or name.replace(" & ", " and ").replace("St. ", "Saint ")
        for code, name in Locale("en").territories.items()
        if len(code) == 2 and code not in _NO_COUNTRY
    }
    names = {other: name for name, others in _OTHER_NAMES.items() for other in others}
    names |= {_fold(name): name for name in (*_OTHER_NAMES, *english.values())}
    for code, name in english.items():
        names.setdefault(code.casefold(), name)
    for alias, codes in get_global("territory_aliases").items():
        if alias.isalpha() and len(codes) == 1 and codes[0] in english:  # `USA`, `UK`
            names.setdefault(alias.casefold(), english[codes[0]])
    for identifier in _NAMED_IN:
        for code, name in Locale(identifier).territories.items():
            if code in english:
                names.setdefault(_fold(name), english[code])
    return MappingProxyType(names)


def _fold(text: str) -> str:
    return text.casefold().replace("’", "'").replace("&", "and").removeprefix("the ")
