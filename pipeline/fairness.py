"""Whose titles are called what, and how well: `python -m pipeline.fairness FOLDER`.

Genres are what people wrote on pages. This measures how far two sources agree on the same titles,
how genres are spread over countries, languages and decades, and how well a model finds them there:

    agreement   Cohen's kappa of each genre over the titles that two sources tell of ("A coefficient
                of agreement for nominal scales", 1960), and the mean Jaccard index of their genres
    shares      of a group's titles that have a genre, with Wilson's interval ("Probable inference,
                the law of succession, and statistical inference", 1927), against all titles' share
    quality     macro-F1 by slice, from the evaluation in a model's manifest

A genre that a source never gives to a kind of title (Netflix has no sports shows) is unknown there,
and counts neither as agreement nor as its opposite. All intervals are of 95 %.
"""

import argparse
import hashlib
import json
import sys
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from itertools import combinations
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict

from trending_cleaner.cleaning import clean_title
from trending_cleaner.resolving import Told, name_key, resolve
from trending_cli.model_comparison import read_evaluation
from trending_shared.errors import Rejected
from trending_shared.evaluation import MIN_SLICE, MIN_SUPPORT, Interval
from trending_shared.events import TitleCleaned, TitleScraped
from trending_shared.genres import GENRES
from trending_shared.registry import ModelRegistry
from trending_shared.storage import ObjectStore

READ_AT = datetime(2026, 11, 1, 12, tzinfo=UTC)
DIMENSIONS = ("country", "language", "decade")
RESAMPLES = 1000
_Z = 1.959964  # of 95 %
_SHOWN = 12  # shares that differ most


class _Frozen(BaseModel):
    model_config = ConfigDict(frozen=True)


class Kappa(_Frozen):
    """How far two sources agree on a genre: 1 always, 0 as by chance."""

    titles: int
    """Where both can say."""
    first: int
    """Titles that the first gives it."""
    second: int
    both: int
    kappa: float
    interval: Interval


class Agreement(_Frozen):
    """Two sources on the titles that both tell of."""

    sources: tuple[str, str]
    titles: int
    jaccard: float
    jaccard_interval: Interval
    genres: dict[str, Kappa]
    """Those that each source gives to `MIN_SUPPORT` of these titles or more."""


class Share(_Frozen):
    """Of a group's titles, those that have a genre."""

    source: str
    dimension: str
    group: str
    genre: str
    titles: int
    share: float
    interval: Interval
    of_all: float
    """The same share over all titles of the source."""


class Slice(_Frozen):
    """How well a model finds genres in a group of titles that it didn't learn from."""

    dimension: str
    group: str
    titles: int
    macro_f1: float
    interval: Interval
    surely_below: bool
    """Whether its interval lies wholly below the score on all titles."""


class Quality(_Frozen):
    """A model, on all titles and by slice, the weakest first."""

    algorithm: str
    version: str
    titles: int
    macro_f1: float
    slices: tuple[Slice, ...]


class Bias(_Frozen):
    """All that was measured."""

    catalogues: dict[str, str]
    """SHA-256 by file."""
    titles: dict[str, int]
    """By source."""
    agreement: tuple[Agreement, ...]
    shares: tuple[Share, ...]
    """Whose interval doesn't hold the share of all titles."""
    compared: int
    """Shares that were looked at; one in twenty would differ by chance."""
    quality: Quality | None


@dataclass(frozen=True)
class Labels:
    """What one source says of each of its titles.

    Attributes:
        known: (n, g), whether the source gives that genre to titles of that kind at all.
        given: (n, g), whether it gives it to this title; all false where it isn't known.
    """

    titles: Sequence[TitleCleaned]
    known: NDArray[np.bool_]
    given: NDArray[np.bool_]

    @classmethod
    def of(cls, titles: Sequence[TitleCleaned]) -> "Labels":
        labelled = [title for title in titles if title.genres]
        given = np.array([[genre in each.genres for genre in GENRES] for each in labelled], bool)
        kinds = np.array([each.kind for each in labelled])
        known = np.zeros_like(given)
        for kind in set(kinds.tolist()):
            known[kinds == kind] = given[kinds == kind].any(axis=0)
        return cls(labelled, known, given)


def measure(
    sources: Mapping[str, Sequence[TitleCleaned]],
    *,
    catalogues: Mapping[str, str] | None = None,
    quality: Quality | None = None,
) -> Bias:
    """Measure titles of one source or several; the same titles give the same numbers."""
    labels = {name: Labels.of(titles) for name, titles in sources.items()}
    shares = [share for name, each in labels.items() for share in _shares(name, each)]
    return Bias(
        catalogues=dict(catalogues or {}),
        titles={name: len(each.titles) for name, each in labels.items()},
        agreement=tuple(
            found
            for one, other in combinations(labels, 2)
            if (found := _agreement((one, other), labels[one], labels[other]))
        ),
        shares=tuple(
            each for each in shares if not each.interval.low <= each.of_all <= each.interval.high
        ),
        compared=len(shares),
        quality=quality,
    )


# ---------------------------------------------------------------- agreement


def _agreement(names: tuple[str, str], one: Labels, other: Labels) -> Agreement | None:
    pairs = _same_titles(one.titles, other.titles)
    if not pairs:
        return None
    rows, others = (np.array(each) for each in zip(*pairs, strict=True))
    known = one.known[rows] & other.known[others]
    first, second = one.given[rows] & known, other.given[others] & known
    draws = np.random.default_rng(0).integers(len(rows), size=(RESAMPLES, len(rows)))
    union = (first | second).sum(axis=1)
    alike = np.divide(
        (first & second).sum(axis=1), union, out=np.full(len(rows), np.nan), where=union > 0
    )
    return Agreement(
        sources=names,
        titles=len(rows),
        jaccard=float(np.nanmean(alike)),
        jaccard_interval=_interval(np.nanmean(alike[draws], axis=1)),
        genres={
            genre: Kappa(
                titles=int(known[:, column].sum()),
                first=int(first[:, column].sum()),
                second=int(second[:, column].sum()),
                both=int((first & second)[:, column].sum()),
                kappa=float(
                    _kappa(first[None, :, column], second[None, :, column], known[None, :, column])[
                        0
                    ]
                ),
                interval=_interval(
                    _kappa(first[draws, column], second[draws, column], known[draws, column])
                ),
            )
            for column, genre in enumerate(GENRES)
            if min(first[:, column].sum(), second[:, column].sum()) >= MIN_SUPPORT
        },
    )


def _same_titles(
    one: Sequence[TitleCleaned], other: Sequence[TitleCleaned]
) -> list[tuple[int, int]]:
    """Rows of both that are one title, by what the cleaner goes by: ids, else kind, name, year."""
    places = [{title.title_id: row for row, title in enumerate(titles)} for titles in (one, other)]
    told = (
        Told(
            title_id=title.title_id,
            source=title.source,
            first_at=0,
            described=True,
            name=name_key(title.name, title.kind, title.year),
            ids=frozenset(f"{scheme}:{id}" for scheme, id in title.external_ids.items()),
        )
        for title in (*one, *other)
    )
    pairs = []
    for identity in resolve(told):
        rows = [[place[id] for id in identity.reasons if id in place] for place in places]
        if all(len(found) == 1 for found in rows):
            pairs.append((rows[0][0], rows[1][0]))
    return sorted(pairs)


def _kappa(
    first: NDArray[np.bool_], second: NDArray[np.bool_], known: NDArray[np.bool_]
) -> NDArray[np.float64]:
    """Of m samples of n titles each, (m, n) to (m,); 0 where there is nothing to agree on."""
    count = np.maximum(known.sum(axis=1), 1)
    agreed = ((first == second) & known).sum(axis=1) / count
    p, q = (first & known).sum(axis=1) / count, (second & known).sum(axis=1) / count
    chance = p * q + (1 - p) * (1 - q)
    return np.asarray(np.where(chance < 1, (agreed - chance) / np.maximum(1 - chance, 1e-12), 0.0))


def _interval(values: NDArray[np.float64]) -> Interval:
    low, high = np.nanpercentile(values, [2.5, 97.5])
    return Interval(low=float(low), high=float(high))


# ---------------------------------------------------------------- shares


def _groups(title: TitleCleaned) -> dict[str, str | None]:
    return {
        "country": title.countries[0] if title.countries else None,
        "language": title.language,
        "decade": f"{title.year // 10 * 10}s" if title.year else None,
    }


def _shares(source: str, labels: Labels) -> Iterable[Share]:
    members: dict[tuple[str, str], list[int]] = defaultdict(list)
    for row, title in enumerate(labels.titles):
        for dimension, group in _groups(title).items():
            if group is not None:
                members[dimension, group].append(row)
    for (dimension, group), rows in sorted(members.items()):
        if len(rows) < MIN_SLICE or len(rows) == len(labels.titles):
            continue
        for column, genre in enumerate(GENRES):
            known = labels.known[rows, column]
            everywhere = labels.known[:, column]
            if known.sum() < MIN_SLICE:
                continue
            count, titles = int(labels.given[rows, column].sum()), int(known.sum())
            yield Share(
                source=source,
                dimension=dimension,
                group=group,
                genre=genre,
                titles=titles,
                share=count / titles,
                interval=wilson(count, titles),
                of_all=float(labels.given[everywhere, column].mean()),
            )


def wilson(count: int, of: int) -> Interval:
    """Where a share lies of which `count` of `of` were seen."""
    share, spread = count / of, _Z**2 / of
    centre = (share + spread / 2) / (1 + spread)
    half = _Z * np.sqrt(share * (1 - share) / of + spread / (4 * of)) / (1 + spread)
    return Interval(low=max(0.0, float(centre - half)), high=min(1.0, float(centre + half)))


# ---------------------------------------------------------------- a model's quality


def best_of(registry: ModelRegistry, model: str = "genres") -> Quality | None:
    """The best model there is, by its own evaluation."""
    found = [(read_evaluation(each), each) for each in registry.versions(model)]
    if not found:
        return None
    evaluation, manifest = max(found, key=lambda each: each[0].macro_f1)
    slices = [
        Slice(
            dimension=dimension,
            group=group,
            titles=score.rows,
            macro_f1=score.macro_f1,
            interval=score.interval,
            surely_below=score.interval.high < evaluation.macro_f1,
        )
        for dimension in DIMENSIONS
        for group, score in evaluation.slices.get(dimension, {}).items()
    ]
    return Quality(
        algorithm=manifest.algorithm,
        version=manifest.version,
        titles=evaluation.rows,
        macro_f1=evaluation.macro_f1,
        slices=tuple(sorted(slices, key=lambda each: each.macro_f1)),
    )


# ---------------------------------------------------------------- pages


def write_page(bias: Bias) -> str:
    """What was measured, as Markdown, with a picture beside it: `bias.svg`."""
    lines = [
        "# Bias in genres, measured",
        "",
        "*Made by `make fairness`; don't edit.* [What follows from it](ethics.md).",
        "",
        "Titles with a genre: "
        + ", ".join(f"{count:,} of `{source}`" for source, count in bias.titles.items())
        + ". "
        + "".join(
            f"`csv` is `{name}` (SHA-256 `{digest[:16]}…`). "
            for name, digest in bias.catalogues.items()
        )
        + "All intervals are of 95 %.",
        "",
        "![Cohen's kappa of each genre between sources, and macro-F1 of the model in each group of "
        "titles, with intervals; the tables below have the numbers](bias.svg)",
    ]
    for each in bias.agreement:
        one, other = each.sources
        lines += [
            "",
            f"## Do {one} and {other} call the same titles the same?",
            "",
            f"{each.titles} titles are in both. Their genres overlap by {each.jaccard:.2f} "
            f"({_span(each.jaccard_interval)}; Jaccard's index, 1 is the same genres).",
            "",
            f"| genre | titles | {one} | {other} | both | kappa | 95 % |",
            "|---|---|---|---|---|---|---|",
            *(
                f"| {genre} | {k.titles} | {k.first} | {k.second} | {k.both} | {k.kappa:.2f} "
                f"| {_span(k.interval)} |"
                for genre, k in sorted(each.genres.items(), key=lambda item: item[1].kappa)
            ),
        ]
    ranked = sorted(bias.shares, key=_distance, reverse=True)
    lines += [
        "",
        "## Whose titles have which genres?",
        "",
        f"Of {bias.compared} shares, {len(bias.shares)} differ from the share of all titles by "
        "more than chance explains (one in twenty would by chance). "
        f"The {_SHOWN} furthest from it:",
        "",
        "| source | group | genre | titles | share | 95 % | of all titles |",
        "|---|---|---|---|---|---|---|",
        *(
            f"| {s.source} | {s.dimension} {s.group} | {s.genre} | {s.titles} | {s.share:.0%} "
            f"| {s.interval.low:.0%}–{s.interval.high:.0%} | {s.of_all:.0%} |"
            for s in ranked[:_SHOWN]
        ),
    ]
    if bias.quality:
        lines += [
            "",
            "## For whose titles does the model work?",
            "",
            f"`{bias.quality.algorithm}` {bias.quality.version}, on {bias.quality.titles:,} titles "
            f"that it didn't learn from: macro-F1 {bias.quality.macro_f1:.3f}. Groups of "
            f"{MIN_SLICE} titles or more, the weakest first; a group's mean is over the genres "
            f"that {MIN_SUPPORT} of its titles have.",
            "",
            "| group | titles | macro-F1 | 95 % | |",
            "|---|---|---|---|---|",
            *(
                f"| {s.dimension} {s.group} | {s.titles} | {s.macro_f1:.3f} | {_span(s.interval)} "
                f"| {'surely below' if s.surely_below else ''} |"
                for s in bias.quality.slices
            ),
        ]
    return "\n".join(lines) + "\n"


def _span(interval: Interval) -> str:
    return f"{interval.low:.2f} to {interval.high:.2f}"


def _distance(share: Share) -> float:
    """How far a share's interval is from the share of all titles."""
    return max(share.interval.low - share.of_all, share.of_all - share.interval.high)


def draw(bias: Bias, file: Path) -> None:
    """Intervals as lines, in two columns."""
    import matplotlib as mpl

    mpl.use("svg")
    from matplotlib import pyplot as plt

    mpl.rcParams.update({"svg.hashsalt": "bias", "svg.fonttype": "none", "font.size": 9})
    columns: list[tuple[str, list[tuple[str, float, Interval]], float]] = [
        (
            f"kappa of {' and '.join(each.sources)}",
            [(genre, k.kappa, k.interval) for genre, k in each.genres.items()],
            0.0,
        )
        for each in bias.agreement
    ]
    if bias.quality:
        columns.append(
            (
                "macro-F1 of the model",
                [(f"{s.group}", s.macro_f1, s.interval) for s in bias.quality.slices],
                bias.quality.macro_f1,
            )
        )
    if not columns:
        return
    height = 0.8 + 0.24 * max(len(rows) for _, rows, _ in columns)
    figure, all_axes = plt.subplots(1, len(columns), figsize=(9, height), squeeze=False)
    for axes, (heading, rows, mark) in zip(all_axes[0], columns, strict=True):
        rows.sort(key=lambda row: row[1])
        axes.axvline(mark, color="#8a8073", linewidth=0.8, linestyle="--")
        for at, (_, value, interval) in enumerate(rows):
            colour = "#a92f17" if interval.high < mark else "#1d1a17"
            axes.plot([interval.low, interval.high], [at, at], color=colour, linewidth=1.6)
            axes.plot([value], [at], "o", color=colour, markersize=4)
        axes.set_yticks(range(len(rows)), [row[0] for row in rows])
        axes.set_title(heading, loc="left", fontsize=10)
        axes.spines[["top", "right", "left"]].set_visible(False)
        axes.tick_params(left=False)
    figure.tight_layout()
    figure.savefig(file, metadata={"Date": None}, facecolor="#fffdf9")
    plt.close(figure)


# ---------------------------------------------------------------- the command


def clean(messages: Iterable[Any]) -> list[TitleCleaned]:
    """What the cleaner makes of titles; those that it rejects are left out."""
    found = []
    for message in messages:
        if isinstance(message.event, TitleScraped):
            try:
                found.append(clean_title(message.event, READ_AT))
            except Rejected:
                continue
    newest = {title.title_id: title for title in found}
    return list(newest.values())


def main() -> None:
    from pipeline.demo_store import records
    from pipeline.snapshots import scraped

    parser = argparse.ArgumentParser(prog="python -m pipeline.fairness", description=__doc__)
    parser.add_argument("folder", type=Path, help="where bias.json, bias.md and bias.svg are put")
    parser.add_argument(
        "--catalogue",
        type=Path,
        help="a CSV file as `trending import csv` takes it, beside the demo's titles",
    )
    parser.add_argument(
        "--models", help="URL of a store whose best model is looked at: file:///folder"
    )
    parser.add_argument("--json", action="store_true", help="print what was measured as well")
    options = parser.parse_args()
    sources = {"demo": clean(records())}
    catalogues = {}
    if options.catalogue:
        try:
            sources["csv"] = clean(scraped(options.catalogue, READ_AT))
            digest = hashlib.sha256(options.catalogue.read_bytes()).hexdigest()
        except (OSError, KeyError) as error:
            parser.error(f"{options.catalogue} is no catalogue that can be read: {error}")
        catalogues[options.catalogue.name] = digest
    registry = ModelRegistry(ObjectStore.at(options.models)) if options.models else None
    bias = measure(sources, catalogues=catalogues, quality=best_of(registry) if registry else None)
    options.folder.mkdir(parents=True, exist_ok=True)
    written = json.dumps(bias.model_dump(mode="json"), indent=2, ensure_ascii=False)
    (options.folder / "bias.json").write_text(f"{written}\n")
    (options.folder / "bias.md").write_text(write_page(bias))
    draw(bias, options.folder / "bias.svg")
    weak = [each.group for each in bias.quality.slices if each.surely_below] if bias.quality else []
    told = Counter({"shares that differ": len(bias.shares), "groups surely below": len(weak)})
    sys.stdout.write(
        f"{written}\n" if options.json else f"{options.folder / 'bias.md'}: {dict(told)}\n"
    )


if __name__ == "__main__":
    main()
