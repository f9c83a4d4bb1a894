"""What others call a title: ids by scheme, kept only in the form that the scheme gives them."""

import re
import unicodedata
from collections.abc import Callable, Mapping

MAX_ARTICLE = 255  # bytes of an article's name at Wikipedia

_ARTICLE = re.compile(r"([a-z]{2,3}(?:-[a-z]{2,12}){0,2}):([^#<>\[\]|{}\x00-\x1f\x7f]+)")


def external_ids(raw: Mapping[str, str], *, source: str, source_id: str) -> dict[str, str]:
    """The ids that are of a known scheme and its form, each in one spelling, by scheme.

    A source that is itself such a scheme calls its own titles by it.
    """
    told = {source: source_id, **raw}
    read = {scheme: _SCHEMES[scheme](told[scheme].strip()) for scheme in _SCHEMES if scheme in told}
    return {scheme: found for scheme, found in read.items() if found}


def listed(ids: Mapping[str, str]) -> list[str]:
    """The ids as tables keep them: `imdb:tt0078748`, sorted."""
    return sorted(f"{scheme}:{name}" for scheme, name in ids.items())


def _of_form(pattern: str) -> Callable[[str], str | None]:
    form = re.compile(pattern, re.ASCII)

    def read(text: str) -> str | None:
        return text if form.fullmatch(text) else None

    return read


def _article(text: str) -> str | None:
    """`en:Alien_(film)` of `EN: alien (film)`: MediaWiki begins names with a capital."""
    language, _, name = text.partition(":")
    name = "_".join(unicodedata.normalize("NFC", name).replace("_", " ").split())
    found = f"{language.strip().lower()}:{name[:1].upper()}{name[1:]}"
    return found if _ARTICLE.fullmatch(found) and len(name.encode()) <= MAX_ARTICLE else None


_NUMBER = r"[1-9]\d{0,9}"
_SCHEMES: Mapping[str, Callable[[str], str | None]] = {
    "imdb": _of_form(r"tt\d{7,10}"),
    "thetvdb": _of_form(_NUMBER),
    "tmdb": _of_form(rf"(?:movie|tv)/{_NUMBER}"),
    "trakt": _of_form(rf"(?:movie|show)/{_NUMBER}"),
    "tvmaze": _of_form(_NUMBER),
    "wikidata": _of_form(rf"Q{_NUMBER}"),
    "wikipedia": _article,
}
