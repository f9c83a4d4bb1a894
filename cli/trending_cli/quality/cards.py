"""What is known of a source or a dataset, as a page of Markdown: its data card. Pure.

After Gebru et al., "Datasheets for datasets", 2018. Facts come from the source catalogue, numbers
from a snapshot, intended use and known problems from notes that people write; only notes are kept
by hand, and a number that no longer holds is found by making the card again.
"""

import re
from collections.abc import Iterator, Mapping, Sequence
from datetime import timedelta
from difflib import SequenceMatcher
from itertools import zip_longest

from trending_cli.quality.judging import shown
from trending_cli.quality.report import Measures, Report
from trending_shared.datasets import DatasetManifest
from trending_shared.errors import Rejected
from trending_shared.sources import SourceEntry

MADE_BY = "Made by `trending quality cards`; what people know is in [notes](notes/{name}.md)."
_TRAINING = {
    "allowed": "may learn from it",
    "ask": "may learn from it with written permission only",
    "forbidden": "may not learn from it",
}


class NotesMissing(Rejected):
    """A source has no notes; its card would hide what people know of it."""


_NUMBER = re.compile(r"\d[\d,]*(?:\.\d+)?")


def write_cards(
    manifest: DatasetManifest,
    report: Report,
    catalogue: Mapping[str, SourceEntry],
    notes: Mapping[str, str],
) -> dict[str, str]:
    """All cards by their file's name: one a source, one of the dataset, and a list of them.

    Args:
        report: on that dataset.
        notes: Markdown by source, from `## Intended use` on, and `dataset`'s.

    Raises:
        NotesMissing: nobody has written down what is known of a source.
    """
    if missing := {*catalogue, "dataset"} - set(notes):
        raise NotesMissing(
            f"no notes on {', '.join(sorted(missing))}: write intended use and known problems"
        )
    cards = {
        f"{name}.md": source_card(name, entry, report.sources.get(name), notes[name])
        for name, entry in catalogue.items()
    }
    cards["dataset.md"] = dataset_card(manifest, report, catalogue, notes["dataset"])
    cards["README.md"] = _list_cards(manifest, catalogue)
    return cards


def _list_cards(manifest: DatasetManifest, catalogue: Mapping[str, SourceEntry]) -> str:
    rows = [
        (
            f"[{entry.title}]({name}.md)",
            entry.gives,
            f"`{entry.license}`",
            _TRAINING[entry.training],
        )
        for name, entry in catalogue.items()
    ]
    lines = [
        "# Data cards",
        "",
        "What is known of each source, and of "
        f"[dataset {manifest.dataset_id}](dataset.md), which the demo leads to.",
        "",
        *_table(("source", "gives", "licence", "models"), rows),
        "",
        "Cards are made by `trending quality cards`, from the source catalogue, a dataset and the "
        "notes. `make cards` makes them again for the demo; a test fails if a number is stale.",
        "",
    ]
    return "\n".join(lines)


def source_card(name: str, entry: SourceEntry, measures: Measures | None, notes: str) -> str:
    """The card of a source.

    Args:
        measures: of its records in the snapshot; none if it has none there.
        notes: Markdown, from `## Intended use` on.
    """
    lines = [f"# {entry.title} (`{name}`)", "", f"{entry.gives}.", ""]
    lines += [*_table(("what", "of this source"), _terms(entry)), ""]
    lines += ["## In the [dataset](dataset.md)", ""]
    if measures is None:
        lines += ["No record of this source.", ""]
    else:
        lines += [*_numbers(measures), ""]
    return _finish(lines, notes, name)


def dataset_card(
    manifest: DatasetManifest,
    report: Report,
    catalogue: Mapping[str, SourceEntry],
    notes: str,
) -> str:
    """The card of a snapshot, with all its sources together."""
    facts = [
        ("titles", f"{manifest.rows:,}, {manifest.labelled:,} of them with a genre"),
        ("reviews", f"{manifest.reviews:,}"),
        ("texts", f"by recipe `{manifest.recipe}`"),
        ("columns", ", ".join(f"`{column}`" for column in manifest.columns)),
    ]
    sources = [
        (f"[{name}]({name}.md)", f"{count:,}", _license(catalogue.get(name)))
        for name, count in manifest.sources.items()
    ]
    findings = [
        (check.severity, check.name, check.said)
        for check in report.checks
        if check.severity != "passed"
    ]
    lines = [
        f"# Dataset {manifest.dataset_id}",
        "",
        "The version in force of every title with its reviews, frozen and named by its content.",
        "",
        *_table(("what", "of this dataset"), facts),
        "",
        *_table(("source", "titles", "licence"), sources),
        "",
        "## Numbers",
        "",
        *_numbers(report.overall),
        "",
        "## What the checks say",
        "",
        *(
            _table(("severity", "check", "finding"), findings)
            if findings
            else [f"All {len(report.checks)} checks pass."]
        ),
        "",
    ]
    return _finish(lines, notes, "dataset")


def stale_lines(name: str, kept: str, made: str) -> Iterator[str]:
    """Where a card differs from what it would say now: card, line, old and new value."""
    old, new = kept.splitlines(), made.splitlines()
    for tag, i, j, k, m in SequenceMatcher(a=old, b=new, autojunk=False).get_opcodes():
        if tag == "equal":
            continue
        for line, (was, now) in enumerate(zip_longest(old[i:j], new[k:m], fillvalue=""), i + 1):
            if was != now:
                yield f"{name}:{line}: {_change(was, now)}"


def _change(was: str, now: str) -> str:
    if was and _NUMBER.sub("#", was) == _NUMBER.sub("#", now):
        numbers = zip(_NUMBER.findall(was), _NUMBER.findall(now), strict=True)
        return ", ".join(f"{old} is now {new}" for old, new in numbers if old != new)
    return f"{was!r} is now {now!r}"


def _finish(lines: Sequence[str], notes: str, name: str) -> str:
    return "\n".join([*lines, notes.strip(), "", MADE_BY.format(name=name), ""])


def _terms(entry: SourceEntry) -> Iterator[tuple[str, str]]:
    yield "home", f"<{entry.home}>" if "://" in entry.home else f"`{entry.home}`"
    yield "licence", f"`{entry.license}`; terms: {entry.terms}"
    if entry.attribution:
        yield "attribution", entry.attribution
    yield "training", f"models {_TRAINING[entry.training]}"
    yield "commercial use", "yes" if entry.commercial else "no"
    decision = "obeyed" if entry.robots.decision == "obey" else "not asked"
    yield "robots.txt", f"{decision}: {entry.robots.reason}"
    limit = f", at most {entry.daily_limit:,} a day" if entry.daily_limit else ""
    yield "pace", f"{_pace(entry.delay)}{limit}"
    if entry.key:
        yield "key", f"`{entry.key.variable}`, from {entry.key.where}"
    if entry.consent:
        yield "consent", f"only if `{entry.consent}` says that its terms are accepted"
    yield "fields", ", ".join(entry.fields)
    yield "refresh", entry.refresh
    for job, schedule in entry.schedule.items():
        yield f"job `{job}`", f"every {_span(schedule.every)}"


def _numbers(found: Measures) -> Iterator[str]:
    labels = found.labels
    texts = [text for text in found.texts if text.texts]
    facts = [
        ("titles", f"{found.titles:,}"),
        ("reviews", f"{found.reviews:,}"),
        ("without a genre", f"{labels.unlabelled:,}"),
        *(
            (
                f"words of {'plots' if text.record == 'title' else 'reviews'}",
                f"{text.quantiles['median']:.0f} in the middle, "
                f"{text.quantiles['min']:.0f} to {text.quantiles['max']:.0f}",
            )
            for text in texts
        ),
        *(
            (
                f"languages of {'plots' if text.record == 'title' else 'reviews'}",
                ", ".join(f"{language} {count:,}" for language, count in text.languages.items()),
            )
            for text in texts
            if text.looked_at
        ),
    ]
    yield from _table(("what", "count"), facts)
    yield ""
    fields = [
        (
            field.record,
            field.field,
            f"{field.missing:,}",
            shown(field.missing / field.records, "share"),
        )
        for field in found.fields
        if field.records
    ]
    yield from _table(("record", "field", "missing", "share"), fields)
    kinds = sorted({kind for counts in labels.genres.values() for kind in counts})
    genres = [
        (genre, *(f"{counts[kind]:,}" for kind in kinds))
        for genre, counts in labels.genres.items()
        if any(counts.values())
    ]
    yield ""
    yield from _table(("genre", *(f"{kind}s" for kind in kinds)), genres)


def _table(
    head: Sequence[str], rows: Sequence[Sequence[str]] | Iterator[Sequence[str]]
) -> list[str]:
    lines = [head, ["---"] * len(head), *rows]
    return [f"| {' | '.join(_cell(cell) for cell in line)} |" for line in lines]


def _cell(text: str) -> str:
    """On one line, and nothing in it ends the cell."""
    return " ".join(text.split()).replace("|", "\\|")


def _license(entry: SourceEntry | None) -> str:
    return f"`{entry.license}`" if entry else "not known"


def _pace(delay: timedelta) -> str:
    return f"a request every {_span(delay)} at most" if delay else "no pause between requests"


def _span(span: timedelta) -> str:
    seconds = span.total_seconds()
    for unit, length in (("day", 86_400), ("hour", 3600), ("minute", 60)):
        if seconds >= length:
            return f"{seconds / length:g} {unit}{'s' if seconds != length else ''}"
    return f"{seconds:g} s"
