"""What the fields of a scraped record mean: each function reads one kind of value.

A value that can't be read is None, so that a record doesn't fail for a trifle; a kind or year that
is there but wrong raises, because then the record itself can't be trusted.
"""

import re
from collections.abc import Iterable
from datetime import UTC, date, datetime
from email.utils import parsedate_to_datetime
from functools import lru_cache

from trending_cleaner.places import country_name, language_tag, split_countries
from trending_cleaner.plain_text import plain_text
from trending_shared.errors import Rejected
from trending_shared.events import DayCount, Kind

FIRST_YEAR = 1888  # of the oldest film that is left, Roundhay Garden Scene
YEARS_AHEAD = 3  # films are announced that early
FIRST_REVIEW_DAY = date(1990, 10, 17)  # when what became IMDb appeared on Usenet
MAX_MINUTES = 24 * 60
MAX_COUNT = 2**53  # what JSON readers hold exactly; no count of viewers comes near
MAX_VALUE = 200  # characters of a value that isn't prose; longer ones are no such value
MAX_VALUES = 50  # genres or countries of one title
MAX_DAYS = 1100  # three years of daily counts, the latest; 40 kB of an event

_ABSENT = frozenset({"", "n/a", "na", "\\n", "null", "none", "nan", "-", "–", "—", "?", "und"})
_FILMS = (
    *("film", "movie", "featurefilm", "feature", "motionpicture", "shortfilm", "short"),
    *("tvmovie", "tvfilm", "televisionfilm", "documentaryfilm", "animatedfilm"),
)
_SHOWS = (
    *("show", "tvshow", "tv", "tvseries", "series", "televisionseries", "televisionshow"),
    *("tvminiseries", "miniseries", "limitedseries", "webseries", "animeseries"),
)
_YEAR = re.compile(r"(?<!\d)(\d{4})(?:\d{4})?(?!\d)")  # also the year of a day written 19790525
_NUMBER = r"(\d{1,6}(?:[.,]\d{1,6})?)"
_ISO_DURATION = re.compile(
    rf"P(?:{_NUMBER}D)?(?:T(?:{_NUMBER}H)?(?:{_NUMBER}M)?(?:{_NUMBER}S)?)?", re.IGNORECASE
)
_SPOKEN_DURATION = re.compile(
    r"(?:(\d{1,3}(?:[.,]\d{1,2})?)\s*(?:hours?|hrs?|h|std|stunden?|heures?|horas?|ore)\.?)?"
    r"[\s,]*(?:and|und|et|y|e)?\s*"
    r"(?:(\d{1,5})\s*(?:(?:minutes?|mins?|minuten|minutos?|minuti|m)\.?|['’′])?)?",
    re.IGNORECASE,
)
_CLOCK_DURATION = re.compile(r"(\d{1,2}):([0-5]\d)(?::[0-5]\d)?")
_RATING = re.compile(rf"{_NUMBER}\s*(?:(%)|(?:/|(?:out )?of)\s*{_NUMBER})?", re.IGNORECASE)
_GROUPS = re.compile(  # of three digits, by one kind of separator; or as in India: 12,34,567
    r"\d{1,3}(?:,\d{3})+|\d{1,3}(?:\.\d{3})+|\d{1,3}(?:['’]\d{3})+|\d{1,3}(?: \d{3})+"
    r"|\d{1,2}(?:,\d{2})+,\d{3}"
)
_SHORT = re.compile(  # three digits behind the separator would be a group: 1,234K
    r"(\d{1,6}(?:[.,]\d{1,2})?)\s*(?:(k|thousand)|(m|mio|million)|(b|bn|billion))\.?", re.IGNORECASE
)
_DAY_FORMS = (
    *("%B %d %Y", "%d %B %Y", "%b %d %Y", "%d %b %Y", "%Y %B %d"),  # read without commas and dots
    "%Y/%m/%d",
)
_NUMERIC_DAY = re.compile(r"(\d{1,2})([/.-])(\d{1,2})\2(\d{4})")
_ORDINAL = re.compile(r"(?<=\d)(?:st|nd|rd|th)\b", re.IGNORECASE)
_DIGIT = re.compile(r"\d")
# Decimal digits of all scripts but ASCII's; full-width and Arabic signs that go with them.
_FOREIGN_DIGIT = re.compile(r"[^\D0-9]")
_SIGNS = str.maketrans("．，：／％－＋٫٬٪", ".,:/%-+.,%")


class KindUnknown(Rejected):
    """A title is neither a film nor a show, or doesn't say which."""


class YearImplausible(Rejected):
    """A title names a year in which it can't have been released."""


@lru_cache(maxsize=20_000)  # most are said over and over: kinds, years, genres, countries
def value(raw: str | None) -> str | None:
    """A short value as plain text; None for what sites write where they have none."""
    if raw is None or len(raw) > MAX_VALUE:
        return None
    text = plain_text(raw)
    return None if text.lower() in _ABSENT else text


def numeral(raw: str | None) -> str | None:
    """A short value whose digits and signs are ASCII: `８．１／１０` and `٨٫١/١٠` are `8.1/10`."""
    text = value(raw)
    if text is None or text.isascii():
        return text
    return _FOREIGN_DIGIT.sub(lambda digit: str(int(digit[0])), text.translate(_SIGNS))


def values(raw: Iterable[str]) -> tuple[str, ...]:
    """Short values, each once, in order."""
    found = dict.fromkeys(text for item in raw if (text := value(item)))
    return tuple(found)[:MAX_VALUES]


def kind(raw: str | None) -> Kind:
    """Film or show, of what sites call them: `Movie`, `TV Show`, `https://schema.org/TVSeries`.

    Raises:
        KindUnknown: it is neither.
    """
    text = value(raw)
    name = re.sub(r"[^a-z]", "", re.split(r"[/#:]", text.lower())[-1]) if text else ""
    if name in _FILMS:
        return "film"
    if name in _SHOWS:
        return "show"
    raise KindUnknown(f"kind {shown(raw)} is neither film nor show")


def year(raw: str | None, *, now: datetime) -> int | None:
    """The first year in `1979`, `1979-05-25`, `25 May 1979`, `1979–1985`; None if there is none.

    Raises:
        YearImplausible: what is given isn't a year between the first film and the near future.
    """
    text = numeral(raw)
    if text is None or not _DIGIT.search(text):
        return None
    match = _YEAR.search(text)
    found = int(match[1]) if match else 0
    last = now.astimezone(UTC).year + YEARS_AHEAD
    if not FIRST_YEAR <= found <= last:
        raise YearImplausible(f"year {shown(raw)} isn't between {FIRST_YEAR} and {last}")
    return found


def release_day(raw: str | None, *, now: datetime) -> date | None:
    """The day in what a page says of its year; None where it names but a year, or a senseless day.

    Many name the first of January for a year whose day they don't know, so that day is none.
    """
    found = day(raw)
    if found is None or (found.month, found.day) == (1, 1):
        return None
    last = now.astimezone(UTC).year + YEARS_AHEAD
    return found if FIRST_YEAR <= found.year <= last else None


def minutes(runtime: str | None, age_rating: str | None = None) -> int | None:
    """Running time in whole minutes.

    Of ISO 8601 durations, `117 min`, `1h 57m`, `1.5 hours`, `1 Std. 57 Min.`, `117′`, `1:57` and
    `117`.

    Args:
        age_rating: read instead where there is no runtime, because a spreadsheet that was damaged
            on its way moved some there; a bare number in it is an age.
    """
    text = numeral(runtime)
    if text is None:
        text = numeral(age_rating)
        if text is None or text.isdecimal():
            return None
    if text.isdecimal() and len(text) <= 5:
        return _plausible_minutes(int(text))
    if match := _CLOCK_DURATION.fullmatch(text):
        return _plausible_minutes(int(match[1]) * 60 + int(match[2]))
    if (match := _ISO_DURATION.fullmatch(text)) and any(match.groups()):
        days, hours, mins, seconds = (_number(group or "0") for group in match.groups())
        return _plausible_minutes(round(days * 1440 + hours * 60 + mins + seconds / 60))
    if (match := _SPOKEN_DURATION.fullmatch(text)) and any(match.groups()):
        return _plausible_minutes(round(_number(match[1] or "0") * 60) + int(match[2] or 0))
    return None


def _plausible_minutes(found: int) -> int | None:
    return found if 0 < found <= MAX_MINUTES else None


def _number(text: str) -> float:
    return float(text.replace(",", "."))


def countries(raw: Iterable[str]) -> tuple[str, ...]:
    """Countries one by one, under one name each, of lists that may hold lists and stray commas."""
    texts = (plain_text(item) for item in raw if len(item) <= 10 * MAX_VALUE)
    parts = values(part for text in texts for part in split_countries(text))
    return tuple(dict.fromkeys(map(country_name, parts)))


def language(raw: str | None) -> str | None:
    """A language's BCP 47 tag (RFC 5646), of a tag or name; the first one of several."""
    text = value(raw)
    return language_tag(text) if text else None


def rating(raw: str | None, best: str | None = None) -> float | None:
    """A rating on a scale of 0 to 1.

    Its own scale (`8.1/10`, `81%`) comes before `best`, the highest that the site gives. Without a
    scale a number says nothing, and one above its scale can't be one.
    """
    match = _RATING.fullmatch(numeral(raw) or "")
    if match is None:
        return None
    given, percent, own_best = match.groups()
    limit = "100" if percent else own_best or numeral(best)
    if limit is None or not re.fullmatch(_NUMBER, limit):
        return None
    top = _number(limit)
    return round(_number(given) / top, 4) if top > 0 and _number(given) <= top else None


def count(raw: str | None) -> int | None:
    """A whole number, of `1234`, `1,234,567`, `1.234.567`, `1 234`, `12,34,567`, `1.2K`."""
    text = numeral(raw)
    if text is None:
        return None
    if match := _SHORT.fullmatch(text):
        thousands, millions, _ = match.groups()[1:]
        found = round(_number(match[1]) * (10**3 if thousands else 10**6 if millions else 10**9))
    else:
        digits = re.sub(r"\D", "", text) if _GROUPS.fullmatch(text) else text
        if not digits.isdecimal() or len(digits) > 16:
            return None
        found = int(digits)
    return found if found <= MAX_COUNT else None


def day(raw: str | None) -> date | None:
    """A calendar day, of the ways in which sites write one; a time with an offset is read in UTC.

    ISO 8601, RFC 2822 (of feeds), `May 25, 1979`, `25th May 1979`, `25.5.1979`; `25/05/1979` only
    where day and month can't be taken for each other. What is relative (`3 days ago`) isn't read.
    """
    text = numeral(raw)
    if text is None:
        return None
    try:
        return _utc_day(datetime.fromisoformat(text))
    except (ValueError, OverflowError):  # the latter in the years 1 and 9999
        pass
    if match := _NUMERIC_DAY.fullmatch(text):
        return _numeric_day(int(match[1]), int(match[3]), int(match[4]), sure=match[2] == ".")
    if ":" in text:
        try:
            return _utc_day(parsedate_to_datetime(text))
        except (ValueError, OverflowError, TypeError, IndexError):
            return None
    words = " ".join(_ORDINAL.sub("", text).replace(",", " ").replace(".", " ").split())
    words = re.sub(r"\bsept\b", "sep", words, flags=re.IGNORECASE)
    for form in _DAY_FORMS:
        try:
            return datetime.strptime(words, form).date()  # noqa: DTZ007 (a day has no zone)
        except ValueError:
            continue
    return None


def _utc_day(time: datetime) -> date:
    return (time.astimezone(UTC) if time.tzinfo else time).date()


def _numeric_day(first: int, second: int, year: int, *, sure: bool) -> date | None:
    """A day written in numbers, year last; `sure` that the day comes first."""
    if not sure and first <= 12 and second <= 12 and first != second:
        return None
    day, month = (second, first) if second > 12 and not sure else (first, second)
    try:
        return date(year, month, day)
    except ValueError:
        return None


def review_day(raw: str | None, *, now: datetime) -> date | None:
    """The day of a review; None for one that can't be."""
    found = day(raw)
    if found is None:
        return None
    return found if FIRST_REVIEW_DAY <= found <= now.astimezone(UTC).date() else None


def popularity(raw: Iterable[DayCount], *, now: datetime) -> tuple[DayCount, ...]:
    """Counts by day, oldest first, one a day and none of the future.

    Where a page counts a day twice the higher count is the more complete one.
    """
    today = now.astimezone(UTC).date()
    highest: dict[date, DayCount] = {}
    for item in raw:
        if item.day <= today and item.count <= MAX_COUNT:
            known = highest.get(item.day)
            if known is None or item.count > known.count:
                highest[item.day] = item
    return tuple(highest[day] for day in sorted(highest)[-MAX_DAYS:])


def shown(raw: str | None) -> str:
    """A value as a message quotes it: hostile text clipped and escaped."""
    return ascii(raw[:60]) if raw else "(none)"
