"""Counts what there is, and what is odd about it; judges nothing. Pure.

Scraped texts appear in examples only, cut to a line.
"""

import re
from collections import Counter
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from datetime import date, datetime
from itertools import combinations
from typing import Any, Literal

import numpy as np
import pandas as pd

from trending_cli.quality.drift import compare_categories, compare_numbers
from trending_cli.quality.material import REVIEW_FIELDS, TITLE_FIELDS, Material
from trending_cli.quality.report import (
    Bin,
    DriftMeasure,
    DuplicateMeasure,
    FieldMeasure,
    LabelMeasure,
    Measures,
    NeverGiven,
    TextMeasure,
)
from trending_shared.events import AUTHOR_HASH
from trending_shared.features import normalise_text
from trending_shared.genres import GENRES

Detect = Callable[[str], str]
"""The language of a text, as a tag of two letters."""

EXAMPLES = 5
SAMPLE = 2000  # texts whose language is detected; a millisecond each
TELLING = 40  # characters from which on a language can be told
SHORT = 5  # words; fewer tell no story
UNKNOWN_SHOWN = 30
EXPECTED = 10  # titles that should have a genre; if none has, that is no chance
DRIFT_ROWS = 100  # on both sides; fewer make no distribution
MAIN_LANGUAGE = "en"  # what the models read
FIRST_YEAR = 1888
YEARS_AHEAD = 3
FIRST_REVIEW = date(1990, 1, 1)
_PROMISE = {
    "runtime_minutes": "runtime",
    "rating_count": "rating",
}  # fields that the source catalogue knows by another name

_TAG = re.compile(r"[a-z]{2,3}(-[A-Z][a-z]{3})?(-([A-Z]{2}|\d{3}))?")  # RFC 5646, in short
_NAME = re.compile(r"[^\W\d_][^\W\d_]*(?:[ .,'’&()-]+[^\W\d_]+)*[.)]?")  # of a country or language
_SPREADSHEET = re.compile(
    r"\d{1,2}-(jan|feb|mar|apr|may|jun|jul|aug|sep|oct|nov|dec)"
    r"|(jan|feb|mar|apr|may|jun|jul|aug|sep|oct|nov|dec)-\d{1,2}",
    re.IGNORECASE,
)
_MARKUP = re.compile(r"</?[a-z][^<>]{0,200}>|&(?:[a-z]{2,8}|#\d{1,6});", re.IGNORECASE)
# U+FFFD, UTF-8 read as Latin-1 (Ã©, â€™), and control characters.
_BROKEN = re.compile("\N{REPLACEMENT CHARACTER}|Ã[\x80-\xbf]|â€|[\x00-\x08\x0b-\x1f\x7f-\x9f]")
_CUT = re.compile(r"(?:\.{3}|…)\W*$")
_ASIDE = re.compile(r"\s*\([^()]*\)\s*$")  # `Oh! Baby (Tamil)`


def measure(
    material: Material, *, promised: Collection[str] = (), detect: Detect, now: datetime
) -> Measures:
    """All that is counted of these rows.

    Args:
        promised: fields that their source gives, by the names of the source catalogue.
        detect: tells a text's language.
    """
    titles, reviews = material.titles, material.reviews
    repeated = [id for ids in material.repeated_events.values() for id in ids]
    fetched = [frame["fetched_at"].dropna() for frame in (titles, reviews) if "fetched_at" in frame]
    times = pd.concat(fetched) if fetched else pd.Series(dtype=object)
    return Measures(
        titles=len(titles),
        reviews=len(reviews),
        versions=sum(material.rows.values()),
        fields=(
            *_fields(titles, "title", TITLE_FIELDS, promised, now),
            *_fields(reviews, "review", REVIEW_FIELDS, (), now),
        ),
        duplicates=(
            DuplicateMeasure(
                alike="event",
                records=len(repeated),
                groups=len(set(repeated)),
                of=len(titles) + len(reviews),
                examples=tuple(repeated[:EXAMPLES]),
            ),
            *_duplicates(titles, reviews),
        ),
        texts=(_text(titles, "title", detect), _text(reviews, "review", detect)),
        labels=_labels(titles),
        licenses=_counted([*titles["license"], *reviews["license"]]),
        rejects=_counted(material.rejects["reason"]),
        oldest=times.min().to_pydatetime() if len(times) else None,
        newest=times.max().to_pydatetime() if len(times) else None,
    )


# ---------------------------------------------------------------- fields


def _fields(
    rows: pd.DataFrame,
    record: Literal["title", "review"],
    names: Iterable[str],
    promised: Collection[str],
    now: datetime,
) -> Iterable[FieldMeasure]:
    for name in names:
        if name not in rows:
            continue
        missing = rows[name].map(_is_missing).astype(bool)
        there = rows[~missing]
        fits = _FITS.get(name, _anything)
        odd = _where(there, (not fits(value, now) for value in there[name]))
        yield FieldMeasure(
            record=record,
            field=name,
            promised=_PROMISE.get(name, name) in promised,
            records=len(rows),
            missing=int(missing.sum()),
            misfits=len(odd),
            examples=tuple(_line(f"{_key(row)}: {row[name]}") for row in _first(odd)),
        )


def _is_missing(value: Any) -> bool:
    if isinstance(value, tuple | str):
        return not value
    return bool(pd.isna(value))


def _anything(value: Any, now: datetime) -> bool:
    return True


def _plain(value: str, now: datetime) -> bool:
    return not _MARKUP.search(value)


def _title_name(value: str, now: datetime) -> bool:
    return not _MARKUP.search(value) and not _SPREADSHEET.fullmatch(value)


_FITS: Mapping[str, Callable[[Any, datetime], bool]] = {
    "name": _title_name,
    "plot": _plain,
    "text": _plain,
    "kind": lambda value, now: value in ("film", "show"),
    "year": lambda value, now: FIRST_YEAR <= value <= now.year + YEARS_AHEAD,
    "genres": lambda value, now: set(value) <= set(GENRES),
    "countries": lambda value, now: all(_NAME.fullmatch(each) for each in value),
    "language": lambda value, now: bool(_TAG.fullmatch(value) or _NAME.fullmatch(value)),
    "runtime_minutes": lambda value, now: 0 < value <= 24 * 60,
    "rating": lambda value, now: 0 <= value <= 1,
    "rating_count": lambda value, now: value >= 0,
    "popularity": lambda value, now: all(
        each["count"] >= 0 and each["day"] <= now.date() for each in value
    ),
    "day": lambda value, now: FIRST_REVIEW <= value <= now.date(),
    "author_hash": lambda value, now: bool(re.fullmatch(AUTHOR_HASH, value)),
}

# ---------------------------------------------------------------- duplicates


def _duplicates(titles: pd.DataFrame, reviews: pd.DataFrame) -> Iterable[DuplicateMeasure]:
    content = titles["content_hash"] if "content_hash" in titles else pd.Series(dtype=str)
    yield _alike("content", titles, content)
    yield _alike("plot", titles, titles["plot"].map(_folded))
    names = titles["name"].map(lambda name: _folded(_ASIDE.sub("", name)))
    years = titles["year"].map(lambda year: "" if pd.isna(year) else str(int(year)))
    named = names.where(names == "", names + "|" + titles["kind"].astype(str) + "|" + years)
    yield _alike("name", titles, named)
    yield _alike("review", reviews, reviews["text"].map(_folded))


def _alike(
    alike: Literal["content", "plot", "name", "review"], rows: pd.DataFrame, keys: pd.Series
) -> DuplicateMeasure:
    known = keys[keys != ""]
    twins = known[known.duplicated(keep=False)]
    groups = [list(index) for index in twins.groupby(twins).groups.values()]
    return DuplicateMeasure(
        alike=alike,
        records=len(twins),
        groups=len(groups),
        of=len(rows),
        examples=tuple(
            _line(" = ".join(_key(rows.loc[place]) for place in group[:3]))
            for group in groups[:EXAMPLES]
        ),
    )


def _folded(text: Any) -> str:
    """Letters and digits alone, so that capitals and punctuation make no difference."""
    if not isinstance(text, str):
        return ""
    folded = " ".join(re.findall(r"[a-z0-9]+", normalise_text(text)))
    return folded or text.strip().casefold()  # a text in another script stays as it is


# ---------------------------------------------------------------- texts


def _text(rows: pd.DataFrame, record: Literal["title", "review"], detect: Detect) -> TextMeasure:
    column, key = ("plot", "title_id") if record == "title" else ("text", "review_id")
    known = _where(rows, (not _is_missing(text) for text in rows[column]))
    words = known[column].map(lambda text: len(text.split())).astype(int)
    # Ids are hashes, so the first of them are a sample that is the same every time.
    long = known[known[column].map(len) >= TELLING].sort_values(key).head(SAMPLE)
    spoken = [detect(text) for text in long[column]]
    chosen = {
        "short": known[words < SHORT],
        "cut": _where(known, (bool(_CUT.search(text)) for text in known[column])),
        "broken": _where(known, (bool(_BROKEN.search(text)) for text in known[column])),
        "other_language": _where(long, (language != MAIN_LANGUAGE for language in spoken)),
    }
    return TextMeasure(
        record=record,
        texts=len(known),
        looked_at=len(long),
        languages=_counted(spoken),
        words=_histogram(words.to_numpy()),
        quantiles={
            name: float(words.quantile(share)) for name, share in _QUANTILES.items() if len(words)
        },
        short=len(chosen["short"]),
        cut=len(chosen["cut"]),
        broken=len(chosen["broken"]),
        examples={
            why: tuple(_line(f"{_key(row)}: {row[column]}") for row in _first(found))
            for why, found in chosen.items()
            if len(found)
        },
    )


_QUANTILES = {"min": 0.0, "p05": 0.05, "median": 0.5, "p95": 0.95, "max": 1.0}


def _histogram(values: Any) -> tuple[Bin, ...]:
    """Up to 24 bins of whole words; the longest hundredth is in the last."""
    if not len(values):
        return ()
    low, high = int(values.min()), int(np.quantile(values, 0.99)) + 1
    width = max(1, -(-(high - low) // 24))
    edges = np.arange(low, high + width, width)
    counts, _ = np.histogram(np.minimum(values, edges[-1]), edges)
    return tuple(
        Bin(low=a, high=b, count=count)
        for a, b, count in zip(edges[:-1], edges[1:], counts, strict=True)
    )


# ---------------------------------------------------------------- labels


def _labels(titles: pd.DataFrame) -> LabelMeasure:
    kinds = sorted(map(str, titles["kind"].dropna().unique()))
    genres: dict[str, dict[str, int]] = {genre: dict.fromkeys(kinds, 0) for genre in GENRES}
    pairs: Counter[tuple[str, str]] = Counter()
    for kind, found in zip(titles["kind"], titles["genres"], strict=True):
        known = sorted(set(found) & set(GENRES))
        for genre in known:
            genres[genre][kind] += 1
        pairs.update(combinations(known, 2) if len(known) > 1 else ((one, one) for one in known))
    unknown = titles["unknown_genres"] if "unknown_genres" in titles else pd.Series(dtype=object)
    counted = Counter(label for labels in unknown for label in labels)
    return LabelMeasure(
        titles=len(titles),
        unlabelled=sum(not found for found in titles["genres"]),
        genres=genres,
        pairs={
            genre: {other: pairs[min(genre, other), max(genre, other)] for other in GENRES}
            for genre in GENRES
        },
        with_unknown=sum(bool(labels) for labels in unknown),
        unknown={_line(label): count for label, count in counted.most_common(UNKNOWN_SHOWN)},
        never_given=tuple(_never_given(titles["kind"], genres)),
    )


def _never_given(
    kinds: Sequence[str], genres: Mapping[str, Mapping[str, int]]
) -> Iterable[NeverGiven]:
    titles = Counter(kinds)
    for genre, counts in genres.items():
        for kind, count in counts.items():
            others = titles.total() - titles[kind]
            given = sum(counts.values()) - count
            expected = titles[kind] * given / others if others else 0.0
            if count == 0 and expected >= EXPECTED:
                yield NeverGiven(
                    genre=genre, kind=kind, titles=titles[kind], expected=round(expected, 1)
                )


# ---------------------------------------------------------------- drift


def measure_drift(
    reference: Material, current: Material, source: str | None = None
) -> Iterable[DriftMeasure]:
    """Each feature that both know, unless one of them has too few titles."""
    if min(len(reference.titles), len(current.titles)) < DRIFT_ROWS:
        return
    numbers = {"year": _years, "plot words": _plot_words, "reviews a title": _review_counts}
    for feature, values in numbers.items():
        distance = compare_numbers(values(reference), values(current))
        yield _drift(reference, current, source, feature, "PSI", distance)
    for feature in ("kind", "language", "genres", "countries", *([] if source else ["source"])):
        distance = compare_categories(_values(reference, feature), _values(current, feature))
        yield _drift(reference, current, source, feature, "Jensen-Shannon", distance)


def _drift(
    reference: Material,
    current: Material,
    source: str | None,
    feature: str,
    method: Literal["PSI", "Jensen-Shannon"],
    distance: Any,
) -> DriftMeasure:
    return DriftMeasure(
        source=source,
        feature=feature,
        method=method,
        score=round(distance.score, 6),
        chance=round(distance.chance, 6),
        rows=len(current.titles),
        reference_rows=len(reference.titles),
    )


def _years(material: Material) -> list[float]:
    return [float("nan") if pd.isna(year) else float(year) for year in material.titles["year"]]


def _plot_words(material: Material) -> list[float]:
    return [float(len(plot.split())) for plot in material.titles["plot"]]


def _review_counts(material: Material) -> list[float]:
    counts = material.reviews["title_id"].value_counts()
    return [float(counts.get(title_id, 0)) for title_id in material.titles["title_id"]]


def _values(material: Material, feature: str) -> list[str]:
    """The values of a field, those of lists one by one; `-` where there is none."""
    found: list[str] = []
    for value in material.titles[feature]:
        if _is_missing(value):
            found.append("-")
        else:
            found.extend(value if isinstance(value, tuple) else [str(value)])
    return found


# ---------------------------------------------------------------- what is shown


def _counted(values: Iterable[str]) -> dict[str, int]:
    """Most frequent first, then by name."""
    counted = Counter(map(str, values))
    return dict(sorted(counted.items(), key=lambda pair: (-pair[1], pair[0])))


def _where(rows: pd.DataFrame, chosen: Iterable[bool]) -> pd.DataFrame:
    return rows[np.fromiter(chosen, bool)]  # a list, if empty, would choose no column


def _first(rows: pd.DataFrame) -> list[Any]:
    return [row for _, row in rows.head(EXAMPLES).iterrows()]


def _key(row: Any) -> str:
    name = row.get("name")
    told = f" {name}" if isinstance(name, str) else ""
    return f"{row['source']}:{row['source_id']}{told}"


def _line(text: str) -> str:
    one = " ".join(text.split())
    return one if len(one) <= 160 else f"{one[:159]}…"
