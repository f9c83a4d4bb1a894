"""What others call a title: ids that look as the ids of their scheme do, and no others; pure.

By them titles of several sources become one, so a wrong one does more harm than none.
"""

import re
from collections.abc import Mapping

_NUMBER = re.compile(r"[1-9][0-9]{0,9}")
_FORMS: Mapping[str, re.Pattern[str]] = {
    "imdb": re.compile(r"tt[0-9]{7,10}"),
    "tmdb": re.compile(r"(movie|tv)/[1-9][0-9]{0,9}"),
    "trakt": re.compile(r"(movie|show)/[1-9][0-9]{0,9}"),
    "tvmaze": _NUMBER,
    "thetvdb": _NUMBER,
    "wikidata": re.compile(r"Q[1-9][0-9]{0,9}"),
    "wikipedia": re.compile(r"[a-z][a-z-]{1,15}:[^\s\x00-\x1f]{1,255}"),
}


def external_ids(claimed: Mapping[str, str | None]) -> dict[str, str]:
    """Of ids by scheme, as `RawTitle` has them, those that can be true."""
    return {
        scheme: value for scheme, value in claimed.items() if value and _looks_true(scheme, value)
    }


def _looks_true(scheme: str, value: str) -> bool:
    return _FORMS[scheme].fullmatch(value) is not None
