"""Holds what was counted against limits. Pure; the limits are here, each with its reason."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Literal

from trending_cli.quality.report import Check, DriftMeasure, Measures, Severity, TextMeasure
from trending_shared.sources import SourceEntry

DAY = timedelta(days=1)
RARE = 20  # titles; a genre needs as many to be learned and tested at all
Unit = Literal["share", "count", "days", "PSI", "bits"]


@dataclass(frozen=True, slots=True)
class Limit:
    """From where on a number is worth a word, a warning, or is an error; none: never."""

    about: str
    unit: Unit
    info: float | None = None
    warning: float | None = None
    error: float | None = None

    def severity(self, value: float) -> Severity:
        steps: tuple[tuple[Severity, float | None], ...] = (
            ("error", self.error),
            ("warning", self.warning),
            ("info", self.info),
        )
        return next((name for name, at in steps if at is not None and value > at), "passed")

    def at_least(self, floor: float) -> "Limit":
        """The same, but with no step below `floor`."""
        raised = [None if at is None else max(at, floor) for at in self._steps]
        return Limit(self.about, self.unit, *raised)

    @property
    def _steps(self) -> tuple[float | None, float | None, float | None]:
        return (self.info, self.warning, self.error)

    def __str__(self) -> str:
        names = ("info", "warning", "error")
        steps = [
            f"{name} above {shown(at, self.unit)}"
            for name, at in zip(names, self._steps, strict=True)
            if at is not None
        ]
        return ", ".join(steps)


LIMITS: Mapping[str, Limit] = {
    "unknown source": Limit("records of a source that isn't in the catalogue", "count", error=0),
    "other licence": Limit("records under other terms than their source's", "share", error=0),
    "required missing": Limit("records without what every one must have", "share", error=0),
    "missing": Limit("titles without a field that their source gives", "share", 0.05, 0.2, 0.8),
    "misfit": Limit("values that can't be what the field is for", "share", None, 0, 0.01),
    "stored twice": Limit("rows of one event that are in a table twice", "count", error=0),
    "same content": Limit("titles that are another one in all but their id", "share", 0, 0.01, 0.1),
    "same plot": Limit("titles whose plot is another one's too", "share", 0, 0.02, 0.2),
    "same name": Limit("titles named like another of their kind and year", "share", 0, 0.02, 0.2),
    "same review": Limit("reviews with the words of another", "share", 0, 0.02, 0.2),
    "other language": Limit("texts that aren't English, which models read", "share", 0, 0.05, 0.5),
    "short text": Limit("texts of fewer than five words", "share", 0, 0.02, 0.2),
    "cut text": Limit("texts that break off", "share", 0.001, 0.02, 0.2),
    "broken text": Limit("texts that were decoded wrongly", "share", None, 0, 0.01),
    "unlabelled": Limit("titles without a genre, if their source gives any", "share", 0, 0.2, 0.8),
    "unknown label": Limit("titles with a label that nobody could map", "share", 0, 0.05, 0.3),
    "rare genre": Limit(f"genres that fewer than {RARE} titles have", "count", info=0),
    "genre never given": Limit("genres that one kind never has, though the other does", "count", 0),
    "rejected": Limit("records that became no row, but for repetitions", "share", 0, 0.05, 0.2),
    "age": Limit("since a page was fetched", "days", None, 7, 30),
    "drift of numbers": Limit("population stability index", "PSI", None, 0.1, 0.25),
    # An eighth of the index in nats, and so 0.18 of it in bits.
    "drift of categories": Limit("Jensen-Shannon divergence", "bits", None, 0.018, 0.045),
}
_ALWAYS = {("title", "name"), ("title", "kind"), ("title", "plot"), ("review", "text")}
_ALIKE = {
    "content": "same content",
    "plot": "same plot",
    "name": "same name",
    "review": "same review",
}


def shown(value: float, unit: Unit) -> str:
    """A number with its unit: `5 %`, `30 days`, `0.1 PSI`."""
    if unit == "share":
        percent = 100 * value
        digits = 0 if percent in (0, 100) or percent >= 10 else 1 if percent >= 1 else 2
        return f"{percent:.{digits}f} %" if percent % 1 else f"{percent:.0f} %"
    if unit == "count":
        return f"{value:,.0f}"
    return f"{value:.3g} {unit}"


def judge(
    overall: Measures,
    sources: Mapping[str, Measures],
    drift: Sequence[DriftMeasure],
    *,
    catalogue: Mapping[str, SourceEntry],
    now: datetime,
) -> tuple[Check, ...]:
    """All checks; the worst first, otherwise in the order of `LIMITS`."""
    checks = [
        *_judge_overall(overall, alone=len(sources) == 1),
        *(
            check
            for name, measures in sources.items()
            for check in _judge_source(name, measures, catalogue.get(name), now)
        ),
        *map(_judge_drift, drift),
    ]
    order = list(LIMITS)
    worst: tuple[Severity, ...] = ("error", "warning", "info", "passed")
    return tuple(sorted(checks, key=lambda one: (worst.index(one.severity), order.index(one.name))))


def _check(
    name: str,
    value: float,
    said: str,
    *,
    source: str | None = None,
    about: str = "",
    examples: Iterable[str] = (),
    floor: float = 0.0,
) -> Check:
    limit = LIMITS[name].at_least(floor) if floor else LIMITS[name]
    severity = limit.severity(value)
    return Check(
        name=name,
        source=source,
        about=about,
        severity=severity,
        measured=round(value, 6),
        limit=str(limit),
        said=said,
        examples=() if severity == "passed" else tuple(examples),
    )


def _part(name: str, count: int, of: int, what: str, **more: object) -> Check:
    """A check of a share."""
    value = count / of if of else 0.0
    said = f"{count:,} of {of:,} {what} ({shown(value, 'share')})"
    return _check(name, value, said, **more)  # type: ignore[arg-type]


def _judge_overall(all_: Measures, *, alone: bool) -> Iterable[Check]:
    labels = all_.labels
    rare = [genre for genre, kinds in labels.genres.items() if sum(kinds.values()) < RARE]
    said = f"{len(rare)} of {len(labels.genres)} genres have fewer than {RARE} titles"
    yield _check("rare genre", len(rare), said, examples=rare)
    for found in all_.duplicates:
        if found.alike in ("plot", "content") and not alone:
            what = f"titles share their {found.alike} with another, whatever their source"
            name = _ALIKE[found.alike]
            yield _part(name, found.records, found.of, what, examples=found.examples)


def _judge_source(
    name: str, found: Measures, entry: SourceEntry | None, now: datetime
) -> Iterable[Check]:
    records = found.titles + found.reviews
    unknown = 0 if entry else records
    said = f"{unknown:,} records are of a source that the catalogue doesn't know"
    yield _check("unknown source", unknown, said, source=name)
    if entry:
        others = {terms: n for terms, n in found.licenses.items() if terms != entry.license}
        yield _part(
            "other licence",
            sum(others.values()),
            records,
            f"records are under other terms than {entry.license}",
            source=name,
            examples=others,
        )
    yield from _judge_fields(name, found)
    yield from _judge_duplicates(name, found)
    for text in found.texts:
        if text.texts:
            yield from _judge_text(name, text)
    yield from _judge_labels(name, found, entry)
    yield from _judge_arrival(name, found, entry, now)


def _judge_fields(name: str, found: Measures) -> Iterable[Check]:
    for field in found.fields:
        if not field.records:
            continue
        where = f"{field.record} {field.field}"
        what = f"{field.record}s have no {field.field}"
        if (field.record, field.field) in _ALWAYS:
            kind = "required missing"
            yield _part(kind, field.missing, field.records, what, source=name, about=where)
        elif field.promised and field.field != "genres":  # those are `unlabelled`
            yield _part("missing", field.missing, field.records, what, source=name, about=where)
        yield _part(
            "misfit",
            field.misfits,
            field.records - field.missing,
            f"values of {where} aren't of its form",
            source=name,
            about=where,
            examples=field.examples,
        )


def _judge_duplicates(name: str, found: Measures) -> Iterable[Check]:
    for one in found.duplicates:
        if one.alike == "event":
            said = f"{one.records:,} rows repeat an event that has a row"
            yield _check("stored twice", one.records, said, source=name, examples=one.examples)
            continue
        kind = "reviews" if one.alike == "review" else "titles"
        what = f"{kind} share their {'words' if kind == 'reviews' else one.alike}"
        limit = _ALIKE[one.alike]
        yield _part(limit, one.records, one.of, what, source=name, examples=one.examples)


def _judge_text(name: str, text: TextMeasure) -> Iterable[Check]:
    about = "plots" if text.record == "title" else "reviews"
    other = sum(count for language, count in text.languages.items() if language != "en")
    counted = (
        ("other language", other, text.looked_at, "are in another language", "other_language"),
        ("short text", text.short, text.texts, "have fewer than five words", "short"),
        ("cut text", text.cut, text.texts, "break off in dots", "cut"),
        ("broken text", text.broken, text.texts, "have wrongly decoded letters", "broken"),
    )
    for limit, count, of, what, why in counted:
        examples = text.examples.get(why, ())
        said = f"{about} {what}"
        yield _part(limit, count, of, said, source=name, about=about, examples=examples)


def _judge_labels(name: str, found: Measures, entry: SourceEntry | None) -> Iterable[Check]:
    labels = found.labels
    if not labels.titles:
        return
    if entry is None or "genres" in entry.fields:
        what = "titles have no genre"
        yield _part("unlabelled", labels.unlabelled, labels.titles, what, source=name)
    most = [f"{label}: {count:,}" for label, count in list(labels.unknown.items())[:10]]
    what = "titles have a label that nobody could map"
    yield _part(
        "unknown label", labels.with_unknown, labels.titles, what, source=name, examples=most
    )
    never = [
        f"{one.genre}: no {one.kind} of {one.titles:,}, {one.expected:,.0f} expected"
        for one in labels.never_given
    ]
    said = f"{len(never)} genres are never given to one of the kinds: not recorded, rather than no"
    yield _check("genre never given", len(never), said, source=name, examples=never)


def _judge_arrival(
    name: str, found: Measures, entry: SourceEntry | None, now: datetime
) -> Iterable[Check]:
    repeated = sum(count for why, count in found.rejects.items() if why.startswith("Duplicate"))
    rejected = sum(found.rejects.values()) - repeated
    reasons = [
        f"{reason}: {count:,}"
        for reason, count in found.rejects.items()
        if not reason.startswith("Duplicate")
    ]
    arrived = found.versions + rejected
    what = "records were rejected"
    yield _part("rejected", rejected, arrived, what, source=name, examples=reasons)
    if found.newest:
        days = (now - found.newest) / DAY
        periods = [each.every / DAY for each in entry.schedule.values()] if entry else []
        # What comes once a month isn't late after a week: three periods may go by.
        floor = 3 * min(periods, default=0.0)
        said = f"the newest page was fetched {days:.1f} days ago, at {found.newest:%Y-%m-%d %H:%M}"
        yield _check("age", days, said, source=name, floor=floor)


def _judge_drift(found: DriftMeasure) -> Check:
    numbers = found.method == "PSI"
    name: str = "drift of numbers" if numbers else "drift of categories"
    unit: Unit = "PSI" if numbers else "bits"
    said = (
        f"{found.feature}: {shown(found.score, unit)} from the reference; chance alone stays "
        f"below {shown(found.chance, unit)} in 99 of 100 samples"
    )
    return _check(
        name,
        found.score,
        said,
        source=found.source,
        about=found.feature,
        floor=found.chance,
    )
